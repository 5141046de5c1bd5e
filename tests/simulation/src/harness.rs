//! Shared parts of simulated runs: the configuration, the clocks, clients of the simulated AWS, and
//! the table.

use aws_simulator::autoscaling::{Completion, LifecycleResult, Transition};
use aws_simulator::spec::{GroupSpec, HookSpec, QueueSpec};
use aws_simulator::{Cloud, Feed, Simulator};
use ecs_drain::aws::Environment;
use ecs_drain::store::{Read, Store};
use ecs_drain_state::Record;
use ecs_drain_state::request::{Request, SCHEMA, What};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// The hook of every run.
pub const HOOK: &str = "ecs-drain";

/// The hooks of a fleet's groups; each group has one of them.
pub const HOOKS: [&str; 2] = [HOOK, "ecs-drain-2"];

/// The region of every run, and a second one.
pub const NEAR: &str = "us-east-1";
pub const FAR: &str = "eu-west-1";

/// The controller of every run, and a second one.
pub const CONTROLLER: &str = "test";
pub const OTHER_CONTROLLER: &str = "other";

/// A configuration that suits every scenario.
pub const CONFIG: &str = r#"
controller = "test"
[table]
name = "drains"
region = "us-east-1"
[[scope]]
region = "us-east-1"
hooks = ["ecs-drain"]
"#;

/// The queue of the runs that have one.
pub const QUEUE: &str = "ecs-drain";
/// Its dead-letter queue, for messages that cannot be read.
pub const DEAD: &str = "ecs-drain-dead";

pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Creates a group of instances with these ids, in this cluster, under the ecs-drain hook.
pub fn group(name: &str, cluster: &str, ids: &[&str]) -> GroupSpec {
    GroupSpec {
        name: name.to_owned(),
        cluster: Some(cluster.to_owned()),
        desired: u32::try_from(ids.len()).unwrap(),
        hooks: vec![our_hook(seconds(3600))],
        instance_ids: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        launch_time: seconds(30),
        ..GroupSpec::default()
    }
}

pub fn our_hook(heartbeat_timeout: Duration) -> HookSpec {
    hook(HOOK, heartbeat_timeout)
}

pub fn hook(name: &str, heartbeat_timeout: Duration) -> HookSpec {
    HookSpec {
        name: name.to_owned(),
        transition: Transition::Terminating,
        heartbeat_timeout,
        default_result: LifecycleResult::Continue,
    }
}

/// Runs a future in virtual time; the same seed gives the same run.
pub fn virtual_time<F: Future>(seed: u64, future: impl FnOnce() -> F) -> F::Output {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { future().await })
}

/// Creates a store of the test's own (with its own ids), whose calls are neither counted nor struck
/// by faults.
pub async fn store(simulator: &Simulator, table: &str, controller: &str) -> Store {
    Store::connect(&somebody(simulator).load(Some("us-east-1")).await, table, controller)
}

/// Returns the environment of all others: the test itself, a person, another tool.
pub fn somebody(simulator: &Simulator) -> Environment {
    Environment {
        http_client: Some(simulator.other_http_client("somebody")),
        time_source: Some(simulator.time_source(0)),
        isolated: true,
        ..Environment::default()
    }
}

/// Returns the environment of a replica.
pub fn environment(simulator: &Simulator, name: &str, skew: &Arc<AtomicI64>) -> Environment {
    Environment {
        http_client: Some(simulator.http_client(name)),
        time_source: Some(simulator.time_source_with(Arc::clone(skew))),
        isolated: true,
        ..Environment::default()
    }
}

/// Returns the key of an instance's record.
pub fn key(instance: &str) -> String {
    format!("123456789012/us-east-1/{instance}")
}

/// Returns an instance's record as it is in the table.
pub async fn record(store: &Store, instance: &str) -> Option<Record> {
    match store.get(&key(instance)).await {
        Ok(Some(Read::Record(record))) => Some(*record),
        Ok(Some(other)) => panic!("an unreadable record: {other:?}"),
        Ok(None) => None,
        Err(error) => panic!("the test cannot read the table: {error}"),
    }
}

/// Returns the ends of an instance's actions under the ecs-drain hooks.
pub fn our_completions(cloud: &Cloud, instance: &str) -> Vec<Completion> {
    cloud.completed(instance).into_iter().filter(|c| HOOKS.contains(&c.hook.as_str())).collect()
}

/// Returns the wall clock.
pub fn wall(simulator: &Simulator) -> Timestamp {
    simulator.with(|cloud| cloud.start() + cloud.now())
}

/// Creates a request by Ada, now, for the drain as it is now.
pub async fn request(simulator: &Simulator, store: &Store, instance: &str, what: What) -> Request {
    let known = record(store, instance).await;
    let now = wall(simulator);
    Request {
        id: store.request_id(now),
        controller: store.controller().to_owned(),
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        instance_id: instance.to_owned(),
        cluster: None,
        generation: known.map_or(0, |record| record.generation),
        what,
        by: "Ada".to_owned(),
        reason: Some("kernel update".to_owned()),
        at: now,
        schema: SCHEMA,
    }
}

/// Adds the queue and its dead-letter queue.
pub fn add_queue(cloud: &mut Cloud, feed: Feed) {
    cloud.add_queue(QueueSpec::new(DEAD));
    cloud.add_queue(QueueSpec::new(QUEUE).feed(feed).redrive(3, DEAD));
}

/// Adds the queue, fed by EventBridge, as most installations have it.
pub fn add_bus(cloud: &mut Cloud) {
    add_queue(cloud, Feed::EventBridge);
}
