//! The shell for tests: a simulated cloud behind the AWS SDK's HTTP connector, on tokio's clock.
//!
//! Under a paused clock everything runs in virtual time. A request is applied the moment it is sent: dropping its
//! future loses the answer, never the effect. Only the answer takes time.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::SimTime;
use crate::cloud::{BEGIN, Cloud, CloudError, Delivery, Reply, Request};

/// How a simulator begins.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Decides everything that looks like chance.
    pub seed: u64,
    /// The wall time at which the scenario begins.
    pub start: Timestamp,
    /// How long an answer takes.
    pub latency: Duration,
    /// A file for the table; without one it lives in memory.
    pub dynamodb_file: Option<PathBuf>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        // 2026-01-05T09:00:00Z, a Monday morning.
        let start = Timestamp::constant(1_767_603_600, 0);
        Self { seed: 1, start, latency: Duration::from_millis(20), dynamodb_file: None }
    }
}

/// A simulated cloud that many clients share.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

struct Inner {
    cloud: Mutex<Cloud>,
    crashes: Mutex<BTreeMap<String, Arc<Notify>>>,
    created: Instant,
    start: Timestamp,
    latency: Duration,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// An empty cloud whose scenario begins now, on tokio's clock.
    pub fn new(config: SimulatorConfig) -> Result<Self, CloudError> {
        let cloud = match &config.dynamodb_file {
            None => Cloud::new(config.seed, config.start)?,
            Some(path) => Cloud::with_file(config.seed, config.start, path)?,
        };
        let inner = Inner {
            cloud: Mutex::new(cloud),
            crashes: Mutex::default(),
            created: Instant::now(),
            start: config.start,
            latency: config.latency,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The present moment: [`BEGIN`] and what tokio's clock has counted since.
    pub fn now(&self) -> SimTime {
        BEGIN + self.inner.created.elapsed()
    }

    /// Describes a world and brings it to rest, before the scenario's first moment.
    pub fn set_up<R>(&self, describe: impl FnOnce(&mut Cloud) -> R) -> R {
        let mut cloud = self.lock();
        let result = describe(&mut cloud);
        cloud.settle();
        result
    }

    /// Acts on the cloud, or looks at it, as it is now.
    pub fn with<R>(&self, act: impl FnOnce(&mut Cloud) -> R) -> R {
        let now = self.now();
        let mut cloud = self.lock();
        cloud.advance(now);
        act(&mut cloud)
    }

    /// Acts on the cloud as it was left, without letting time pass in it: for describing a world before
    /// [`Cloud::settle`], and for threads that have another clock.
    pub fn peek<R>(&self, act: impl FnOnce(&mut Cloud) -> R) -> R {
        act(&mut self.lock())
    }

    /// A client for the program under test: its calls are counted, struck by faults, and judged.
    pub fn http_client(&self, caller: &str) -> SharedHttpClient {
        self.client(caller, true)
    }

    /// A client for anyone else, an operator's CLI for example: logged, but neither counted nor struck nor judged.
    pub fn other_http_client(&self, caller: &str) -> SharedHttpClient {
        self.client(caller, false)
    }

    fn client(&self, caller: &str, controller: bool) -> SharedHttpClient {
        let connector = Connector { simulator: self.clone(), caller: caller.to_owned(), controller };
        let connector = SharedHttpConnector::new(connector);
        http_client_fn(move |_settings, _components| connector.clone())
    }

    /// The clock of the simulated world, for the SDK's configuration, off by so many milliseconds.
    pub fn time_source(&self, skew: i64) -> SharedTimeSource {
        self.time_source_with(Arc::new(AtomicI64::new(skew)))
    }

    /// The same, with a skew in milliseconds that can be changed: a clock that jumps.
    pub fn time_source_with(&self, skew: Arc<AtomicI64>) -> SharedTimeSource {
        SharedTimeSource::new(Clock { simulator: self.clone(), skew })
    }

    /// Is notified when this caller dies of [`Fault::CrashBefore`](crate::Fault) or `CrashAfter`: whoever runs it
    /// must drop it then, and not poll it any more. The call that killed it is never answered.
    pub fn crash_notify(&self, caller: &str) -> Arc<Notify> {
        let mut crashes = self.inner.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(crashes.entry(caller.to_owned()).or_default())
    }

    pub(crate) fn handle(&self, now: SimTime, request: &Request) -> Delivery {
        let delivery = self.lock().handle(now, request);
        if delivery == Delivery::CallerDies {
            self.crash_notify(&request.caller).notify_one();
        }
        delivery
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cloud> {
        self.inner.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Clock {
    simulator: Simulator,
    skew: Arc<AtomicI64>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("skew", &self.skew).finish_non_exhaustive()
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        let elapsed = self.simulator.now().saturating_sub(BEGIN);
        let time = SystemTime::from(self.simulator.inner.start) + elapsed;
        let skew = self.skew.load(Ordering::Relaxed);
        let by = Duration::from_millis(skew.unsigned_abs());
        if skew < 0 { time - by } else { time + by }
    }
}

#[derive(Debug)]
struct Connector {
    simulator: Simulator,
    caller: String,
    controller: bool,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(body) = request.body().bytes() else {
            let error = "the simulator takes no streamed bodies".into();
            return HttpConnectorFuture::ready(Err(ConnectorError::user(error)));
        };
        let header = |name: &str| request.headers().get(name).map(str::to_owned);
        let request = Request {
            caller: self.caller.clone(),
            controller: self.controller,
            target: header("x-amz-target"),
            authorization: header("authorization"),
            body: Bytes::copy_from_slice(body),
        };
        let delivery = self.simulator.handle(self.simulator.now(), &request);
        let latency = self.simulator.inner.latency;
        HttpConnectorFuture::new(async move {
            match delivery {
                Delivery::Answer(reply) => {
                    tokio::time::sleep(latency).await;
                    response(reply)
                }
                Delivery::Lost => {
                    tokio::time::sleep(latency).await;
                    Err(ConnectorError::io("connection reset by the simulated network".into()))
                }
                Delivery::Never | Delivery::CallerDies => std::future::pending().await,
            }
        })
    }
}

fn response(reply: Reply) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(reply.status).map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(reply.body));
    let headers = response.headers_mut();
    headers.insert("content-type", reply.content_type);
    headers.insert("x-amzn-requestid", reply.request_id);
    Ok(response)
}
