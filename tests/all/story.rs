//! Stories: one replica runs during events of its own, of its instance, or of its record.

use crate::harness::{
    Scenario, environment, our_completions, record, seconds, set_up, somebody, virtual_time,
};
use crate::scenarios::{A, B, PLAIN, cluster};
use aws_simulator::spec::StandaloneSpec;
use aws_simulator::{Cloud, Simulator};
use ecs_drain::aws::Environment;
use ecs_drain::config::Config;
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::{Ids, Store};
use ecs_drain_state::{Phase, Record};
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// Adds a standalone task that keeps the instance busy for so long that a test can act meanwhile.
pub fn busy(cloud: &mut Cloud, busy_for: Duration) {
    cluster(cloud, &[A, B]);
    cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(busy_for)).unwrap();
}

pub const BUSY: Scenario = Scenario {
    name: "busy",
    world: |cloud| busy(cloud, seconds(300)),
    within: seconds(1800),
    ..PLAIN
};

/// Runs one replica until `story` has ended.
pub fn while_running<F: Future>(
    scenario: &Scenario,
    story: impl FnOnce(Simulator, Store) -> F,
) -> (F::Output, Simulator) {
    virtual_time(1, || async {
        let (simulator, store) = set_up(scenario, 1).await;
        simulator.with(scenario.begin);
        simulator.with(|cloud| cloud.set_replicas_up(1));
        let config = crate::harness::config(scenario);
        let output = beside(&simulator, config, story(simulator.clone(), store)).await;
        (output, simulator)
    })
}

/// Runs one replica with this configuration until a story has ended.
pub async fn beside<T>(simulator: &Simulator, config: Config, story: impl Future<Output = T>) -> T {
    let life =
        run_with_ids(config, only_replica(simulator), Ids::seeded(7), std::future::pending());
    match select(pin!(story), pin!(life)).await {
        Either::Left((output, _)) => output,
        Either::Right((ended, _)) => panic!("the controller has ended: {ended:?}"),
    }
}

/// Runs one replica with this configuration for this long.
pub async fn run_for(simulator: &Simulator, config: Config, span: Duration) {
    beside(simulator, config, tokio::time::sleep(span)).await;
}

/// Returns the environment of a story's only replica, whose clock is right.
pub fn only_replica(simulator: &Simulator) -> Environment {
    environment(simulator, "replica-0", &Arc::new(AtomicI64::new(0)))
}

pub async fn until(simulator: &Simulator, what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let begun = simulator.now();
    while !is_true().await {
        assert!(simulator.now() - begun < seconds(3 * 3600), "waited for three hours: {what}");
        tokio::time::sleep(seconds(1)).await;
    }
}

pub async fn until_phase(simulator: &Simulator, store: &Store, phase: Phase) -> Record {
    let mut found = None;
    until(simulator, phase.name(), async || {
        found = record(store, A).await;
        found.as_ref().is_some_and(|r| r.phase() == phase)
    })
    .await;
    found.unwrap()
}

#[track_caller]
pub fn no_violation(simulator: &Simulator) {
    simulator.peek(|cloud| assert!(cloud.violations().is_empty(), "{:?}", cloud.violations()));
}

pub fn held(simulator: &Simulator) -> bool {
    simulator.with(|cloud| {
        cloud.lifecycle_state(A).as_deref() == Some("Terminating:Wait")
            && our_completions(cloud, A).is_empty()
    })
}

/// Returns a person's client of the table.
async fn dynamodb(simulator: &Simulator) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&somebody(simulator).load(Some("us-east-1")).await)
}

/// Writes a phase as a person would in the console, counting the version up so that the change is
/// noticed.
pub async fn break_phase(simulator: &Simulator, phase: &str) {
    edit(simulator, "phase", aws_sdk_dynamodb::types::AttributeValue::S(phase.to_owned())).await;
}

/// Writes a schema, as a newer program does.
pub async fn write_schema(simulator: &Simulator, schema: u32) {
    edit(simulator, "schema", aws_sdk_dynamodb::types::AttributeValue::N(schema.to_string())).await;
}

async fn edit(simulator: &Simulator, name: &str, value: aws_sdk_dynamodb::types::AttributeValue) {
    use aws_sdk_dynamodb::types::AttributeValue;
    let dynamodb = dynamodb(simulator).await;
    let update = dynamodb.update_item().table_name("drains");
    let update = update.key("key", AttributeValue::S(format!("123456789012/us-east-1/{A}")));
    let update = update
        .update_expression("SET #n = :v ADD version :one")
        .expression_attribute_names("#n", name);
    let one = AttributeValue::N("1".to_owned());
    update
        .expression_attribute_values(":v", value)
        .expression_attribute_values(":one", one)
        .send()
        .await
        .unwrap();
}

pub async fn delete_record(simulator: &Simulator) {
    let dynamodb = dynamodb(simulator).await;
    let key = aws_sdk_dynamodb::types::AttributeValue::S(format!("123456789012/us-east-1/{A}"));
    dynamodb.delete_item().table_name("drains").key("key", key).send().await.unwrap();
}

/// Writes a pause of no place, as a person could in the console.
pub async fn pause_nothing_known(simulator: &Simulator) {
    use aws_sdk_dynamodb::types::AttributeValue;
    let dynamodb = dynamodb(simulator).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = dynamodb.put_item().table_name("drains").item("key", text("pause/test/web"));
    item.item("unfinished_of", text("test"))
        .item("unfinished", text("pause/test/web"))
        .send()
        .await
        .unwrap();
}
