//! The shell for other processes: the same cloud on a socket, for the `aws` command line, a real binary, or a demo.
//!
//! Whatever names the application `ecs-drain` in its user agent is the program under test; everyone else is logged
//! as `other`, and neither counted, nor struck by faults, nor judged.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::SimTime;
use crate::cloud::{BEGIN, Delivery, Reply, Request};
use crate::connector::Simulator;

/// What moves the world's time while it is served.
#[derive(Clone)]
pub enum TimeScale {
    /// Tokio's clock, counted since the simulator was made.
    Real,
    /// Tokio's clock, so many times faster, counted from the moment that serving begins.
    Accelerated(u32),
    /// Nothing here: requests arrive at the moment that someone else has brought the world to.
    Follow,
    /// Whatever this says: the time since the scenario began.
    Custom(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl fmt::Debug for TimeScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => f.write_str("Real"),
            Self::Accelerated(factor) => write!(f, "Accelerated({factor})"),
            Self::Follow => f.write_str("Follow"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

type Now = Arc<dyn Fn() -> SimTime + Send + Sync>;

/// Serves until `shutdown` is ready. Connections are cut then.
pub async fn serve_until(
    simulator: Simulator,
    listener: TcpListener,
    time: TimeScale,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let now = now(&simulator, time);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _peer) = accepted?;
                connections.spawn(connection(simulator.clone(), Arc::clone(&now), stream));
            }
        }
    }
}

fn now(simulator: &Simulator, time: TimeScale) -> Now {
    let simulator = simulator.clone();
    match time {
        TimeScale::Real => Arc::new(move || simulator.now()),
        TimeScale::Accelerated(factor) => {
            let (from, began) = (simulator.peek(|cloud| cloud.now()), tokio::time::Instant::now());
            Arc::new(move || from + began.elapsed() * factor)
        }
        TimeScale::Follow => Arc::new(move || simulator.peek(|cloud| cloud.now())),
        TimeScale::Custom(elapsed) => Arc::new(move || BEGIN + elapsed()),
    }
}

async fn connection(simulator: Simulator, now: Now, stream: TcpStream) {
    let service = service_fn(move |request| answer(simulator.clone(), Arc::clone(&now), request));
    // A connection that ends in an error is one that the peer, or a fault, has cut.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    simulator: Simulator,
    now: Now,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, io::Error> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    // The SDK writes its own user agent here, with the application's name in it.
    let agent = header("x-amz-user-agent").or_else(|| header("user-agent")).unwrap_or_default();
    let controller = agent.contains("app/ecs-drain");
    let (target, authorization) = (header("x-amz-target"), header("authorization"));
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let caller = if controller { "ecs-drain" } else { "other" }.to_owned();
    let request = Request { caller, controller, target, authorization, body };
    match simulator.handle(now(), &request) {
        Delivery::Answer(reply) => response(reply),
        Delivery::Lost => Err(io::Error::new(io::ErrorKind::ConnectionReset, "lost by the fault plan")),
        Delivery::Never | Delivery::CallerDies => std::future::pending().await,
    }
}

fn response(reply: Reply) -> Result<http::Response<Full<Bytes>>, io::Error> {
    http::Response::builder()
        .status(reply.status)
        .header("content-type", reply.content_type)
        .header("x-amzn-requestid", reply.request_id)
        .body(Full::new(Bytes::from(reply.body)))
        .map_err(io::Error::other)
}
