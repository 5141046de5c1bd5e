//! The shell for tests: a simulated cloud behind the AWS SDK's HTTP connector, on tokio's clock.
//!
//! Under a paused clock everything runs in virtual time. A request is applied at the moment it is
//! sent, and only the answer takes time: a dropped future loses the answer, never the effect.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
use crate::wire::{Call, Service};

/// The settings of a new simulator.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// The seed of all randomness.
    pub seed: u64,
    /// The wall time at which the scenario begins.
    pub start: Timestamp,
    /// The time that an answer takes.
    pub latency: Duration,
    /// The file of the tables; without one they are in memory.
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
    crashes: Arc<Mutex<BTreeMap<String, Arc<Notify>>>>,
    /// Other regions with a world of their own.
    regions: Mutex<BTreeMap<String, Simulator>>,
    created: Instant,
    start: Timestamp,
    /// The time that an answer takes, in milliseconds.
    latency: AtomicU64,
    /// Wakes calls that wait inside the cloud, after each action on it.
    acted: Notify,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// Creates an empty cloud whose scenario begins now, on tokio's clock.
    pub fn new(config: SimulatorConfig) -> Result<Self, CloudError> {
        let cloud = match &config.dynamodb_file {
            None => Cloud::new(config.seed, config.start)?,
            Some(path) => Cloud::with_file(config.seed, config.start, path)?,
        };
        let inner = Inner {
            cloud: Mutex::new(cloud),
            crashes: Arc::default(),
            regions: Mutex::default(),
            created: Instant::now(),
            start: config.start,
            latency: AtomicU64::default(),
            acted: Notify::new(),
        };
        let simulator = Self { inner: Arc::new(inner) };
        simulator.set_latency(config.latency);
        Ok(simulator)
    }

    /// Creates a world for another region, on the same clock. From now on requests signed for that
    /// region reach it, except those to DynamoDB, whose tables are here. Other regions stay empty.
    pub fn add_region(&self, region: &str, seed: u64) -> Result<Self, CloudError> {
        let inner = Inner {
            cloud: Mutex::new(Cloud::in_region(region, seed, self.inner.start)?),
            crashes: Arc::clone(&self.inner.crashes),
            regions: Mutex::default(),
            created: self.inner.created,
            start: self.inner.start,
            latency: AtomicU64::new(self.inner.latency.load(Ordering::Relaxed)),
            acted: Notify::new(),
        };
        let other = Self { inner: Arc::new(inner) };
        self.regions().insert(region.to_owned(), other.clone());
        Ok(other)
    }

    fn regions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Simulator>> {
        self.inner.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the region that answers a request.
    fn of(&self, request: &Request) -> Self {
        let regions = self.regions();
        if regions.is_empty() {
            return self.clone();
        }
        let call = Call::parse(request);
        let other = regions.get(&call.region).filter(|_| call.service != Service::DynamoDb);
        other.unwrap_or(self).clone()
    }

    /// Sets the time that an answer takes, in whole milliseconds.
    pub fn set_latency(&self, latency: Duration) {
        let milliseconds = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.inner.latency.store(milliseconds, Ordering::Relaxed);
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(self.inner.latency.load(Ordering::Relaxed))
    }

    /// Returns the present moment: [`BEGIN`] and the time that tokio's clock has counted since.
    pub fn now(&self) -> SimTime {
        BEGIN + self.inner.created.elapsed()
    }

    /// Describes a world and settles it, before the scenario's first moment.
    pub fn set_up<R>(&self, describe: impl FnOnce(&mut Cloud) -> R) -> R {
        self.act(|cloud| {
            let result = describe(cloud);
            cloud.settle();
            result
        })
    }

    /// Acts on the cloud, or reads it, at the present moment.
    pub fn with<R>(&self, act: impl FnOnce(&mut Cloud) -> R) -> R {
        let now = self.now();
        self.act(|cloud| {
            cloud.advance(now);
            act(cloud)
        })
    }

    /// Acts on the cloud at the moment it has reached, without advancing time: for describing a
    /// world before [`Cloud::settle`], and for threads that have another clock.
    pub fn peek<R>(&self, act: impl FnOnce(&mut Cloud) -> R) -> R {
        self.act(act)
    }

    /// Returns the moment that the world has reached.
    pub(crate) fn reached(&self) -> SimTime {
        self.lock().now()
    }

    /// Acts on the cloud, and wakes the calls that wait in it.
    fn act<R>(&self, act: impl FnOnce(&mut Cloud) -> R) -> R {
        let result = act(&mut self.lock());
        self.inner.acted.notify_waiters();
        result
    }

    /// Creates a client for the program under test: its calls are counted, struck by faults, and
    /// judged.
    pub fn http_client(&self, caller: &str) -> SharedHttpClient {
        self.client(caller, true)
    }

    /// Creates a client for all others, an operator's CLI for example: its calls are logged, but
    /// not counted, struck by faults or judged.
    pub fn other_http_client(&self, caller: &str) -> SharedHttpClient {
        self.client(caller, false)
    }

    fn client(&self, caller: &str, controller: bool) -> SharedHttpClient {
        let connector =
            Connector { simulator: self.clone(), caller: caller.to_owned(), controller };
        let connector = SharedHttpConnector::new(connector);
        http_client_fn(move |_settings, _components| connector.clone())
    }

    /// Returns the clock of the simulated world for the SDK's configuration, shifted by `skew`
    /// milliseconds.
    pub fn time_source(&self, skew: i64) -> SharedTimeSource {
        self.time_source_with(Arc::new(AtomicI64::new(skew)))
    }

    /// Returns such a clock with a skew in milliseconds that can change: a clock that jumps.
    pub fn time_source_with(&self, skew: Arc<AtomicI64>) -> SharedTimeSource {
        SharedTimeSource::new(Clock { simulator: self.clone(), skew })
    }

    /// Returns the notification of this caller's death by [`Fault::CrashBefore`](crate::Fault) or
    /// `CrashAfter`. Its owner must drop it then, and never poll it again. The call that killed it
    /// is never answered.
    pub fn crash_notify(&self, caller: &str) -> Arc<Notify> {
        let mut crashes = self.inner.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(crashes.entry(caller.to_owned()).or_default())
    }

    pub(crate) fn handle(&self, now: SimTime, request: &Request) -> Delivery {
        let delivery = self.act(|cloud| cloud.handle(now, request));
        if delivery == Delivery::CallerDies {
            self.crash_notify(&request.caller).notify_one();
        }
        delivery
    }

    /// Returns the answer to a call that waits inside the cloud. `now` gives the time, and `pause`
    /// the longest sleep between two moments; any action on the cloud ends the sleep.
    pub(crate) async fn collect(
        &self,
        number: u64,
        now: impl Fn() -> SimTime,
        pause: impl Fn(SimTime, SimTime) -> Duration,
    ) -> Delivery {
        loop {
            // Created before the question, so that no later action is missed.
            let acted = self.inner.acted.notified();
            let asked_at = now();
            let answer = self.lock().collect(asked_at, number);
            match answer {
                Ok(delivery) => return delivery,
                Err(at) => {
                    let _ = tokio::time::timeout(pause(asked_at, at), acted).await;
                }
            }
        }
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
        let time = SystemTime::try_from(self.simulator.inner.start).unwrap_or(UNIX_EPOCH) + elapsed;
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
        let simulator = self.simulator.of(&request);
        let delivery = simulator.handle(simulator.now(), &request);
        let latency = simulator.latency();
        HttpConnectorFuture::new(async move {
            let delivery = match delivery {
                Delivery::Waits(number) => {
                    simulator
                        .collect(number, || simulator.now(), |now, at| at.saturating_sub(now))
                        .await
                }
                Delivery::Answer(_) | Delivery::Lost | Delivery::Never | Delivery::CallerDies => {
                    delivery
                }
            };
            match delivery {
                Delivery::Answer(reply) => {
                    tokio::time::sleep(latency).await;
                    response(reply)
                }
                Delivery::Lost => {
                    tokio::time::sleep(latency).await;
                    Err(ConnectorError::io("connection reset by the simulated network".into()))
                }
                Delivery::Waits(_) | Delivery::Never | Delivery::CallerDies => {
                    std::future::pending().await
                }
            }
        })
    }
}

fn response(reply: Reply) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(reply.status)
        .map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(reply.body));
    let headers = response.headers_mut();
    headers.insert("content-type", reply.content_type);
    headers.insert("x-amzn-requestid", reply.request_id);
    if let Some(code) = reply.query_error {
        headers.insert("x-amzn-query-error", code);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use super::*;
    use crate::sqs::QueueSpec;

    fn simulator() -> (Simulator, String) {
        let simulator = Simulator::new(SimulatorConfig::default()).unwrap();
        let url = simulator.set_up(|cloud| cloud.add_queue(QueueSpec::new("events")));
        (simulator, url)
    }

    /// Receives messages as the SDK does, and returns their bodies.
    async fn receive(simulator: &Simulator, url: &str, wait: u64) -> Vec<String> {
        let connector =
            Connector { simulator: simulator.clone(), caller: "a".to_owned(), controller: true };
        let body = json!({ "QueueUrl": url, "WaitTimeSeconds": wait }).to_string();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.headers_mut().insert("x-amz-target", "AmazonSQS.ReceiveMessage");
        let response = connector.call(request).await.unwrap();
        let answer: Value = serde_json::from_slice(response.body().bytes().unwrap()).unwrap();
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|message| message["Body"].as_str().unwrap().to_owned()).collect()
    }

    fn elapsed(simulator: &Simulator) -> Duration {
        simulator.now() - BEGIN
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_ends_with_its_time_when_nothing_comes() {
        let (simulator, url) = simulator();
        assert!(receive(&simulator, &url, 20).await.is_empty());
        assert_eq!(elapsed(&simulator), Duration::from_millis(20_020));
        let log = simulator.with(|cloud| cloud.log.entries().to_vec());
        assert_eq!(log.iter().map(|entry| entry.outcome.as_str()).collect::<Vec<_>>(), ["200"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_ends_at_once_when_something_comes() {
        let (simulator, url) = simulator();
        let (received, ()) = tokio::join!(receive(&simulator, &url, 20), async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            simulator.with(|cloud| cloud.send_message("events", "one")).unwrap();
        });
        assert_eq!(received, ["one"]);
        assert_eq!(elapsed(&simulator), Duration::from_millis(7_020));
        // Hidden until the visibility timeout ends, and no longer.
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(receive(&simulator, &url, 20).await, ["one"]);
        assert_eq!(elapsed(&simulator), Duration::from_millis(37_020));
    }

    #[tokio::test(start_paused = true)]
    async fn each_message_goes_to_one_of_two_waiting_receives() {
        let (simulator, url) = simulator();
        let (first, second, ()) =
            tokio::join!(receive(&simulator, &url, 20), receive(&simulator, &url, 20), async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                simulator.with(|cloud| cloud.send_message("events", "one"));
            });
        assert_eq!((first.len(), second.len()), (1, 0));
        assert_eq!(elapsed(&simulator), Duration::from_millis(20_020));
    }

    /// The request is on the server when its sender dies: the message is received by a dead caller,
    /// and becomes visible again.
    #[tokio::test(start_paused = true)]
    async fn a_poll_whose_caller_is_gone_still_takes_the_message() {
        let (simulator, url) = simulator();
        let gone =
            tokio::time::timeout(Duration::from_secs(2), receive(&simulator, &url, 20)).await;
        assert!(gone.is_err());
        simulator.with(|cloud| cloud.send_message("events", "one"));
        assert!(receive(&simulator, &url, 20).await.is_empty());
        assert_eq!(receive(&simulator, &url, 20).await, ["one"]);
        assert_eq!(simulator.with(|cloud| cloud.messages("events")[0].receive_count), 2);
    }
}
