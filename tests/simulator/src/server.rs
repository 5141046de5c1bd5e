//! The shell for other processes: the same cloud on a socket, for the `aws` command line, a real
//! binary, or a demo.
//!
//! A caller that names the application `ecs-drain` in its user agent is the program under test. All
//! others are logged as `other`; their calls are not counted, struck by faults or judged.

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

/// The source of the world's time while it is served.
#[derive(Clone)]
pub enum TimeScale {
    /// Tokio's clock, counted from the simulator's creation.
    Real,
    /// Tokio's clock, this many times faster, counted from the moment that serving begins.
    Accelerated(u32),
    /// The world's own time: requests arrive at the moment that another clock has advanced the
    /// world to.
    Follow,
    /// The result of this function: the time since the scenario began.
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

/// The interval at which a waiting call checks the world's time, where another clock advances it.
const TICK: Duration = Duration::from_millis(20);

/// The world's time as a request sees it.
#[derive(Clone)]
struct Clock {
    now: Arc<dyn Fn() -> SimTime + Send + Sync>,
    /// The world's speed against this clock; `None` if another clock advances the world.
    factor: Option<u32>,
}

impl Clock {
    /// Returns the time to sleep here until the world reaches `at`.
    fn until(&self, now: SimTime, at: SimTime) -> Duration {
        let factor = self.factor.filter(|factor| *factor > 0);
        factor
            .map_or(TICK, |factor| (at.saturating_sub(now) / factor).max(Duration::from_millis(1)))
    }
}

/// Serves until `shutdown` is ready, and cuts its connections then.
pub async fn serve_until(
    simulator: Simulator,
    listener: TcpListener,
    time: TimeScale,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let clock = clock(&simulator, time);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _peer) = accepted?;
                connections.spawn(connection(simulator.clone(), clock.clone(), stream));
            }
        }
    }
}

fn clock(simulator: &Simulator, time: TimeScale) -> Clock {
    let simulator = simulator.clone();
    match time {
        TimeScale::Real => Clock { now: Arc::new(move || simulator.now()), factor: Some(1) },
        TimeScale::Accelerated(factor) => {
            let (from, began) = (simulator.reached(), tokio::time::Instant::now());
            Clock { now: Arc::new(move || from + began.elapsed() * factor), factor: Some(factor) }
        }
        TimeScale::Follow => Clock { now: Arc::new(move || simulator.reached()), factor: None },
        TimeScale::Custom(elapsed) => {
            Clock { now: Arc::new(move || BEGIN + elapsed()), factor: None }
        }
    }
}

async fn connection(simulator: Simulator, clock: Clock, stream: TcpStream) {
    let service = service_fn(move |request| answer(simulator.clone(), clock.clone(), request));
    // A connection that ends in an error is one that the peer, or a fault, has cut.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    simulator: Simulator,
    clock: Clock,
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
    let delivery = match simulator.handle((clock.now)(), &request) {
        Delivery::Waits(number) => {
            simulator.collect(number, || (clock.now)(), |now, at| clock.until(now, at)).await
        }
        other @ (Delivery::Answer(_) | Delivery::Lost | Delivery::Never | Delivery::CallerDies) => {
            other
        }
    };
    match delivery {
        Delivery::Answer(reply) => response(reply),
        Delivery::Lost => {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "lost by the fault plan"))
        }
        Delivery::Waits(_) | Delivery::Never | Delivery::CallerDies => std::future::pending().await,
    }
}

fn response(reply: Reply) -> Result<http::Response<Full<Bytes>>, io::Error> {
    let mut response = http::Response::builder()
        .status(reply.status)
        .header("content-type", reply.content_type)
        .header("x-amzn-requestid", reply.request_id);
    if let Some(code) = reply.query_error {
        response = response.header("x-amzn-query-error", code);
    }
    response.body(Full::new(Bytes::from(reply.body))).map_err(io::Error::other)
}
