//! The client's view of each mishap, and the calls that reached the service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Mishap, Proxy};
use crate::connector::{Simulator, SimulatorConfig};
use crate::server::{TimeScale, serve_until};
use crate::spec::ClusterSpec;

/// Starts a simulator with one cluster behind a proxy, both until the runtime ends.
async fn served() -> (Simulator, Proxy, TcpListener) {
    let simulator = Simulator::new(SimulatorConfig::default()).unwrap();
    simulator.set_up(|cloud| cloud.add_cluster(&ClusterSpec::new("web")));
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::new(server.local_addr().unwrap(), 1);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    tokio::task::spawn_local(serve_until(
        simulator.clone(),
        server,
        TimeScale::Real,
        std::future::pending(),
    ));
    (simulator, proxy, listener)
}

const REQUEST: &str = "POST / HTTP/1.1\r\nhost: localhost\r\nuser-agent: app/ecs-drain\r\n\
    x-amz-target: AmazonEC2ContainerServiceV20141113.ListClusters\r\ncontent-length: 2\r\n\r\n{}";

/// Sends one request and reads until the connection ends, or no more bytes arrive.
async fn ask(stream: &mut TcpStream) -> (String, bool) {
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let ended = loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.read_buf(&mut bytes)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) => {}
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), ended)
}

/// Returns the result of a request that this mishap strikes: the answer, true if the connection
/// ended, and the number of calls that arrived.
async fn struck(mishap: Option<Mishap>) -> (String, bool, usize) {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (simulator, proxy, listener) = served().await;
            let address = listener.local_addr().unwrap();
            proxy.strike(&mishap.map_or(Vec::new(), |mishap| vec![(mishap, 1000)]));
            tokio::task::spawn_local(proxy.clone().serve_until(listener, std::future::pending()));
            let mut stream = TcpStream::connect(address).await.unwrap();
            let (answer, ended) = ask(&mut stream).await;
            assert_eq!(proxy.requests(), 1);
            assert_eq!(
                proxy.struck().into_iter().collect::<Vec<_>>(),
                mishap.map_or(vec![], |m| vec![(m, 1)])
            );
            (answer, ended, simulator.peek(|cloud| cloud.log.entries().len()))
        })
        .await
}

/// The answer without the parts that vary with time.
const WHOLE: &str = r#"{"clusterArns":["arn:aws:ecs:us-east-1:123456789012:cluster/web"]}"#;

#[tokio::test(start_paused = true)]
async fn what_is_not_struck_passes_unharmed() {
    let (answer, ended, calls) = struck(None).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(WHOLE), "{answer}");
    assert_eq!((ended, calls), (false, 1));
}

#[tokio::test(start_paused = true)]
async fn each_mishap_does_what_its_name_says() {
    for mishap in Mishap::ALL {
        let (answer, ended, calls) = struck(Some(mishap)).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let fits = match mishap {
            Mishap::Delayed => body == WHOLE && !ended,
            Mishap::AnswerCut => answer.len() < WHOLE.len() + 300 && body != WHOLE && ended,
            Mishap::RequestCut | Mishap::HalfClosed => answer.is_empty(),
            Mishap::BodyShort => {
                head.contains(&format!("content-length: {}", WHOLE.len())) && body != WHOLE && ended
            }
            Mishap::BodyGone => {
                head.starts_with("HTTP/1.1 200 OK") && head.contains("content-length: 0") && !ended
            }
            Mishap::HeadGarbled => answer.ends_with(WHOLE),
            Mishap::BodyGarbled => head.starts_with("HTTP/1.1 200 OK") && body != WHOLE && !ended,
            Mishap::GatewayError => {
                head.starts_with("HTTP/1.1 50") && body.starts_with("<html>") && ended
            }
            Mishap::GatewayTimeout => {
                head.starts_with("HTTP/1.1 504") && body.starts_with("<html>") && ended
            }
            Mishap::Swallowed | Mishap::Unanswered => answer.is_empty() && !ended,
        };
        assert!(fits, "{mishap:?}: {answer}, ended: {ended}");
        assert_eq!(calls, usize::from(mishap.passes_on()), "{mishap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_requests_that_are_meant_are_struck() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (_simulator, proxy, listener) = served().await;
            let address = listener.local_addr().unwrap();
            tokio::task::spawn_local(proxy.clone().serve_until(listener, std::future::pending()));
            let mut stream = TcpStream::connect(address).await.unwrap();
            proxy.strike_only("DescribeClusters", &[(Mishap::GatewayError, 1000)]);
            assert!(ask(&mut stream).await.0.ends_with(WHOLE));
            proxy.strike_only("ListClusters", &[(Mishap::GatewayError, 1000)]);
            assert!(ask(&mut stream).await.0.ends_with("</html>\r\n"));
            let mut stream = TcpStream::connect(address).await.unwrap();
            proxy.calm();
            assert!(ask(&mut stream).await.0.ends_with(WHOLE));
        })
        .await;
}
