//! The metrics of a run agree with its events.

use crate::harness::{Scenario, config, environment, record, seconds, set_up, virtual_time, wall};
use crate::queue::queued;
use crate::scenarios::{A, PLAIN};
use crate::story::until;
use aws_simulator::{Fault, Rule, Simulator};
use ecs_drain::metrics::Metrics;
use ecs_drain::metrics::cloudwatch::Lines;
use ecs_drain::store::Ids;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Runs one replica until `is_over`, then for twenty seconds more; returns its metrics.
fn numbers(
    scenario: &Scenario,
    plan: impl FnOnce(&mut aws_simulator::Cloud),
    is_over: impl AsyncFn(&Simulator, &ecs_drain::store::Store) -> bool,
) -> (Metrics, String, Simulator) {
    virtual_time(1, || async {
        let (simulator, store) = set_up(scenario, 1).await;
        simulator.with(|cloud| {
            plan(cloud);
            (scenario.begin)(cloud);
        });
        let environment = environment(&simulator, "replica-0", &Arc::new(AtomicI64::new(0)));
        let metrics = environment.metrics.clone();
        let life = ecs_drain::controller::run_with_ids(
            config(scenario),
            environment,
            Ids::seeded(7),
            std::future::pending(),
        );
        let story = async {
            until(&simulator, "the end of the story", async || is_over(&simulator, &store).await)
                .await;
            tokio::time::sleep(seconds(20)).await;
        };
        if let Either::Right((ended, _)) = select(pin!(story), pin!(life)).await {
            panic!("the controller has ended: {ended:?}");
        }
        let text = metrics.text(wall(&simulator)).unwrap();
        (metrics, text, simulator)
    })
}

async fn is_done(_: &Simulator, store: &ecs_drain::store::Store) -> bool {
    record(store, A).await.is_some_and(|record| record.is_done())
}

/// Returns the value of the sample that begins so.
#[track_caller]
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).trim().parse().unwrap()
}

#[test]
fn a_drain_is_counted_from_its_beginning_to_its_end() {
    let (metrics, text, simulator) = numbers(&PLAIN, |_| {}, is_done);
    assert_eq!(
        value(&text, "ecs_drain_drains_finished_total{cluster=\"web\",outcome=\"Drained\"}"),
        1.0
    );
    assert_eq!(value(&text, "ecs_drain_drain_duration_seconds_count{outcome=\"Drained\"}"), 1.0);
    for phase in ["Pending", "Deregistering", "Waiting", "Verifying", "Completing"] {
        assert_eq!(
            value(&text, &format!("ecs_drain_phase_duration_seconds_count{{phase=\"{phase}\"}}")),
            1.0
        );
    }
    assert_eq!(value(&text, "ecs_drain_deadline_margin_seconds_count"), 1.0);
    assert!(value(&text, "ecs_drain_deadline_margin_seconds_sum") > 0.0);
    assert_eq!(value(&text, "ecs_drain_leads"), 1.0);
    assert!(value(&text, "ecs_drain_pass_duration_seconds_count") > 3.0);
    assert!(!text.contains("ecs_drain_drains{"), "none is unfinished:\n{text}");
    // Every call that the cloud has received is counted, whichever client made it.
    let counted: f64 = text
        .lines()
        .filter(|line| line.starts_with("ecs_drain_aws_calls_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    let made = simulator.peek(|cloud| cloud.controller_calls());
    // One or two can be in progress at the end.
    assert!((made as f64 - counted).abs() <= 3.0, "{made} made, {counted} counted");
    let line = Lines::default().next(&metrics, "test", wall(&simulator));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["FinishedDrains"], &line["StuckDrains"]), (&1.into(), &0.into()), "{line}");
}

#[test]
fn a_drain_without_progress_is_counted_as_stuck_and_old() {
    let scenario = Scenario {
        config: "[policy]\nstuck_after = \"3m\"\n",
        world: |cloud| {
            crate::scenarios::cluster(cloud, &[A, crate::scenarios::B]);
            let api = aws_simulator::spec::ServiceSpec::replica("web", "api", 2);
            cloud.add_service(&api.times(seconds(5), seconds(5)).percents(100, 100));
        },
        ..PLAIN
    };
    let (_, text, _) = numbers(
        &scenario,
        |_| {},
        async |simulator, _| simulator.now() > aws_simulator::BEGIN + seconds(2000),
    );
    let of = "account=\"123456789012\",region=\"us-east-1\"";
    assert_eq!(
        value(&text, &format!("ecs_drain_drains{{{of},cluster=\"web\",phase=\"Waiting\"}}")),
        1.0
    );
    assert_eq!(value(&text, &format!("ecs_drain_drains_stuck{{{of},cluster=\"web\"}}")), 1.0);
    assert_eq!(value(&text, &format!("ecs_drain_instances_waiting{{{of}}}")), 1.0);
    assert!(value(&text, &format!("ecs_drain_drains_oldest_seconds{{{of}}}")) > 300.0);
    assert!(value(&text, "ecs_drain_heartbeats_total{result=\"accepted\"}") >= 1.0);
}

#[test]
fn calls_that_fail_are_counted_by_what_was_wrong() {
    let scenario = Scenario { config: queued!(), ..PLAIN };
    let plan = |cloud: &mut aws_simulator::Cloud| {
        // Heartbeats are due every twenty seconds.
        cloud.put_hook("web-group", crate::harness::our_hook(seconds(60)));
        cloud.faults.add(Rule::on("RecordLifecycleActionHeartbeat", Fault::AccessDenied));
    };
    let (metrics, text, simulator) = numbers(&scenario, plan, async |simulator, _| {
        simulator.now() > aws_simulator::BEGIN + seconds(50)
    });
    let denied =
        "service=\"autoscaling\",operation=\"RecordLifecycleActionHeartbeat\",result=\"denied\"";
    assert!(value(&text, &format!("ecs_drain_aws_calls_total{{{denied}}}")) >= 1.0);
    assert!(value(&text, "ecs_drain_heartbeats_total{result=\"failed\"}") >= 1.0);
    // The queue does not exist.
    assert!(text.contains("service=\"sqs\",operation=\"ReceiveMessage\",result=\""), "{text}");
    let line = Lines::default().next(&metrics, "test", wall(&simulator));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(line["HeartbeatFailures"].as_u64() >= Some(1), "{line}");
    assert!(line["CallErrors"].as_u64() >= Some(1), "{line}");
}
