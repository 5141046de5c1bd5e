//! Requests of operators, as whole stories: drains that end in a termination or keep the instance,
//! budgets, and requests that change a drain in progress.

use crate::harness::{
    CONFIG, Run, Scenario, config, our_completions, our_hook, record, request, run, seconds,
    set_up, virtual_time, wall,
};
use crate::scenarios::{A, B, C, PLAIN, cluster, cluster_under};
use crate::story::{
    BUSY, beside, busy, held, no_violation, pause_nothing_known, run_for, until, until_phase,
    while_running,
};
use aws_simulator::spec::{ServiceSpec, StandaloneSpec};
use aws_simulator::{Cloud, Simulator};
use ecs_drain::config::{Config, Given};
use ecs_drain::store::requests::key as request_key;
use ecs_drain::store::{Answer, Store};
use ecs_drain_state::request::{Request, What};
use ecs_drain_state::{Order, Outcome, Phase, Record, Then};
use futures_util::future::LocalBoxFuture;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;

const D: &str = "i-0000000000000000d";

/// Adds three instances and a service that can move, without a waiting instance. Every instance may
/// be drained by order.
fn three(cloud: &mut Cloud) {
    cluster(cloud, &[A, B, C]);
    cloud.add_service(&ServiceSpec::replica("web", "api", 3).times(seconds(5), seconds(5)));
    for instance in [A, B, C] {
        cloud.checkers.allow_operator(instance);
    }
}

/// Writes a request, and waits for its answer as the CLI does.
pub async fn ask(simulator: &Simulator, store: &Store, instance: &str, what: What) -> Answer {
    let request = request(simulator, store, instance, what).await;
    send(store, &request).await
}

async fn send(store: &Store, request: &Request) -> Answer {
    store.ask(request).await.unwrap();
    for _ in 0..3600 {
        if let Some(answer) = store.answer_of(&request_key(request)).await.unwrap() {
            return answer;
        }
        tokio::time::sleep(seconds(1)).await;
    }
    panic!("no answer came within an hour: {request:?}");
}

pub fn drain(then: Then) -> What {
    What::Drain { then }
}

/// Drained by order; the instance stays.
pub const KEEP: Scenario = Scenario {
    name: "operator-keep",
    config: "[policy]\npoll = \"15s\"\n",
    world: three,
    begin: |_| {},
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: keep_a,
};

fn keep_a<'a>(simulator: &'a Simulator, store: &'a Store) -> LocalBoxFuture<'a, ()> {
    Box::pin(order_once(simulator, store, drain(Then::Keep)))
}

/// Writes the request once, and does not wait for its answer.
pub async fn order_once(simulator: &Simulator, store: &Store, what: What) {
    let request = request(simulator, store, A, what).await;
    store.ask(&request).await.unwrap();
}

/// Drained by order, then terminated by its group, where the ecs-drain hook holds it: the drain
/// takes the lifecycle action over.
pub const TERMINATE: Scenario = Scenario {
    name: "operator-terminate",
    config: "[policy]\npoll = \"15s\"\n",
    world: |cloud| {
        three(cloud);
        cloud.checkers.allow_terminate(A);
    },
    begin: |_| {},
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: terminate_a_by_order,
};

fn terminate_a_by_order<'a>(simulator: &'a Simulator, store: &'a Store) -> LocalBoxFuture<'a, ()> {
    Box::pin(order_once(simulator, store, drain(Then::TerminateAndShrink)))
}

/// Requested, and cancelled once ecs-drain has set `DRAINING`.
pub const CANCEL: Scenario = Scenario {
    name: "operator-cancel",
    config: "[policy]\npoll = \"15s\"\n",
    world: |cloud| {
        three(cloud);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A)).unwrap();
        cloud.checkers.must_be_active(A);
    },
    begin: |_| {},
    ends: &[(A, Outcome::Cancelled)],
    or: None,
    within: seconds(900),
    meanwhile: |simulator, store| Box::pin(drain_and_cancel(simulator, store)),
};

async fn drain_and_cancel(simulator: &Simulator, store: &Store) {
    order_once(simulator, store, drain(Then::Keep)).await;
    let waits = |record: Record| matches!(record.phase(), Phase::Waiting | Phase::Deregistering);
    while !record(store, A).await.is_some_and(waits) {
        tokio::time::sleep(seconds(2)).await;
    }
    order_once(simulator, store, What::Cancel).await;
}

fn draining(simulator: &Simulator, instance: &str) -> bool {
    simulator.with(|cloud| {
        cloud.container_instance_status(instance).iter().any(|(_, status)| *status == "DRAINING")
    })
}

/// A finished record says nothing about the next wait: that is probed at once, not when the next
/// heartbeat would be due.
#[test]
fn an_instance_that_stayed_drained_and_is_terminated_later_is_drained_anew_at_once() {
    let (begins_after, simulator) = while_running(&KEEP, async |simulator: Simulator, store| {
        let until = async |what: &str, is: fn(&Record) -> bool| {
            until(&simulator, what, async || {
                record(&store, A).await.is_some_and(|record| is(&record))
            })
            .await;
        };
        order_once(&simulator, &store, drain(Then::Keep)).await;
        until("it is drained", Record::is_done).await;
        simulator.with(|cloud| cloud.terminate(A, true).unwrap());
        let terminated = tokio::time::Instant::now();
        until("a drain begins", |record| record.generation == 2).await;
        terminated.elapsed()
    });
    assert!(
        begins_after < seconds(120),
        "the hook's timeout is an hour, and its rhythm half of that: {begins_after:?}"
    );
    no_violation(&simulator);
}

#[test]
fn an_instance_is_drained_by_order_and_stays_drained() {
    let ended = run(&KEEP, &Run::default(), |_| {});
    ended.expect_good();
    let record = ended.record(A).unwrap();
    assert_eq!(
        (record.requested.as_ref().map(|o| o.by.as_str()), record.then),
        (Some("Ada"), Some(Then::Keep))
    );
    assert!(draining(&ended.simulator, A), "it stays DRAINING");
    assert_eq!(
        ended.simulator.peek(|cloud| cloud.lifecycle_state(A)).as_deref(),
        Some("InService")
    );
    assert_eq!(
        ended.count("TerminateInstanceInAutoScalingGroup") + ended.count("CompleteLifecycleAction"),
        0
    );
}

#[test]
fn an_instance_is_drained_by_order_and_terminated_through_its_group_once() {
    let ended = run(&TERMINATE, &Run::default(), |_| {});
    ended.expect_good();
    assert_eq!(ended.count("TerminateInstanceInAutoScalingGroup"), 1);
    let record = ended.record(A).unwrap();
    assert!(record.lifecycle.is_some(), "the lifecycle action was taken over");
    ended.simulator.peek(|cloud| {
        assert_eq!(our_completions(cloud, A).len(), 1);
        assert_eq!(
            cloud.instance_ids("web-group").iter().filter(|id| *id != A).count(),
            2,
            "the group is smaller"
        );
    });
}

#[test]
fn a_cancelled_drain_leaves_the_instance_active() {
    let ended = run(&CANCEL, &Run::default(), |_| {});
    ended.expect_good();
    assert!(!draining(&ended.simulator, A));
}

/// The cancelled drain can no longer be undone; the instance is held meanwhile, and released once
/// it is drained.
#[test]
fn an_instance_whose_drain_was_cancelled_a_moment_before_its_group_terminates_it_is_drained_under_the_hook()
 {
    let ((cancelled, drained), simulator) =
        while_running(&KEEP, async |simulator: Simulator, store| {
            let until = async |what: &str, is: fn(&Record) -> bool| {
                until(&simulator, what, async || {
                    record(&store, A).await.is_some_and(|record| is(&record))
                })
                .await;
                record(&store, A).await.unwrap()
            };
            drain_and_cancel(&simulator, &store).await;
            until("its DRAINING is being undone", |record| record.phase() == Phase::Returning)
                .await;
            simulator.with(|cloud| cloud.terminate(A, true).unwrap());
            let cancelled = until("the cancelled drain has ended", Record::is_done).await;
            (
                cancelled,
                until("it is drained under the hook", |record| {
                    record.generation == 2 && record.is_done()
                })
                .await,
            )
        });
    let note = cancelled.history.last().map(|event| event.what.as_str());
    assert_eq!(
        (cancelled.outcome(), note),
        (Some(Outcome::Cancelled), Some("its group is terminating it"))
    );
    assert_eq!((drained.outcome(), drained.lifecycle.is_some()), (Some(Outcome::Drained), true));
    assert_eq!(simulator.peek(|cloud| our_completions(cloud, A).len()), 1);
    no_violation(&simulator);
}

/// At most one drains at a time; the others wait, and their records show the reason.
#[test]
fn operators_drains_keep_to_the_budget_and_say_so() {
    while_running(&KEEP, |simulator, store| async move {
        for instance in [A, B, C] {
            let request = request(&simulator, &store, instance, drain(Then::Keep)).await;
            store.ask(&request).await.unwrap();
        }
        let mut most = 0;
        let mut said = Vec::new();
        until(&simulator, "two are drained", async || {
            let now = simulator.with(|cloud| {
                [A, B, C]
                    .iter()
                    .filter(|id| cloud.container_instance_status(id)[0].1 == "DRAINING")
                    .count()
            });
            let mut done = 0;
            for instance in [A, B, C] {
                let Some(record) = record(&store, instance).await else { continue };
                done += usize::from(record.is_done());
                if record.shown.why == "WaitsForTurn" {
                    said.push(record.shown.message);
                }
            }
            most = most.max(now.saturating_sub(done));
            // The tasks of the last one have no other place.
            done == 2
        })
        .await;
        assert!(most <= 1, "{most} went on at once");
        assert!(
            said.iter()
                .any(|m| m.contains("queued for cluster web: 1 of 1 allowed drains are running")),
            "{:?}",
            said.last()
        );
    });
}

/// An instance that its group terminates does not wait for an operator's drains.
#[test]
fn a_lifecycle_action_does_not_wait_for_an_operators_drain() {
    let scenario = Scenario {
        world: |cloud| {
            three(cloud);
            cloud.run_task(&StandaloneSpec::new("web", "job").on(B)).unwrap();
        },
        ..KEEP
    };
    while_running(&scenario, |simulator, store| async move {
        ask(&simulator, &store, B, drain(Then::Keep)).await;
        simulator.with(|cloud| cloud.terminate(A, true).unwrap());
        let done = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(done.outcome(), Some(Outcome::Drained));
        assert_ne!(record(&store, B).await.unwrap().phase(), Phase::Done);
    });
}

#[test]
fn a_budget_can_be_a_share_of_the_cluster() {
    let scenario =
        Scenario { config: "[policy]\nmax_concurrent = \"67%\"\npoll = \"15s\"\n", ..KEEP };
    while_running(&scenario, |simulator, store| async move {
        for instance in [A, B, C] {
            simulator.with(|cloud| {
                cloud.run_task(&StandaloneSpec::new("web", "job").on(instance)).unwrap()
            });
            let request = request(&simulator, &store, instance, drain(Then::Keep)).await;
            store.ask(&request).await.unwrap();
        }
        tokio::time::sleep(seconds(120)).await;
        let mut waiting = 0;
        for instance in [A, B, C] {
            waiting +=
                usize::from(record(&store, instance).await.unwrap().phase() == Phase::Pending);
        }
        assert_eq!(waiting, 1, "67 % of three is two");
    });
}

/// While a drain is paused ecs-drain sends heartbeats and nothing else: it does not complete even
/// what is drained.
#[test]
fn a_drain_that_is_paused_is_kept_waiting_and_goes_on_when_it_is_resumed() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(60))]);
            cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(60))).unwrap();
        },
        ..PLAIN
    };
    let ((), simulator) = while_running(&scenario, |simulator, store| async move {
        until_phase(&simulator, &store, Phase::Waiting).await;
        let answer = ask(&simulator, &store, A, What::Pause).await;
        assert!(!answer.refused, "{}", answer.text);
        tokio::time::sleep(seconds(1800)).await;
        assert!(held(&simulator), "held far beyond its hook's timeout");
        let record = record(&store, A).await.unwrap();
        assert_eq!(
            record.orders.pause.map(|o| o.to_string()).as_deref(),
            Some("Ada (kernel update)")
        );
        assert_eq!(record.shown.why, "Paused");
        ask(&simulator, &store, A, What::Resume).await;
        let done = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(done.outcome(), Some(Outcome::Drained));
    });
    no_violation(&simulator);
}

/// A plain scenario whose hook waits for a minute at a time, so that only heartbeats hold the
/// instance for longer.
const BRIEF: Scenario = Scenario {
    name: "brief",
    world: |cloud| {
        (PLAIN.world)(cloud);
        cloud.put_hook("web-group", our_hook(seconds(60)));
    },
    ..PLAIN
};

/// A pause in an incident: the drain stops, heartbeats hold its instance, and it continues when
/// resumed.
#[test]
fn everything_is_paused_and_goes_on() {
    let ((), simulator) = while_running(&BRIEF, |simulator, store| async move {
        let at = wall(&simulator);
        let order = Order { by: "Ada".to_owned(), reason: Some("incident 7".to_owned()), at };
        store.set_pause("*", Some(&order)).await.unwrap();
        tokio::time::sleep(seconds(600)).await;
        assert!(held(&simulator));
        let record = record(&store, A).await.unwrap();
        assert!(
            record.shown.message.contains("paused by Ada (incident 7)"),
            "{}",
            record.shown.message
        );
        store.set_pause("*", None).await.unwrap();
        let done = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(done.outcome(), Some(Outcome::Drained));
    });
    no_violation(&simulator);
}

/// A cluster that is paused does not pause the others.
#[test]
fn another_clusters_pause_pauses_nothing_here() {
    while_running(&PLAIN, |simulator, store| async move {
        let at = wall(&simulator);
        let order = Order { by: "Ada".to_owned(), reason: None, at };
        store.set_pause("123456789012/us-east-1/other", Some(&order)).await.unwrap();
        until_phase(&simulator, &store, Phase::Done).await;
    });
}

/// Fails safe: its target is unknown.
#[test]
fn a_pause_of_no_place_pauses_everything() {
    let ((), simulator) = while_running(&BRIEF, |simulator, store| async move {
        pause_nothing_known(&simulator).await;
        tokio::time::sleep(seconds(600)).await;
        assert!(held(&simulator));
        assert_eq!(record(&store, A).await.unwrap().shown.why, "Paused");
    });
    no_violation(&simulator);
}

#[test]
fn a_drain_under_a_lifecycle_action_is_not_cancelled_and_the_answer_says_what_can_be_done() {
    while_running(&BUSY, |simulator, store| async move {
        until_phase(&simulator, &store, Phase::Waiting).await;
        let answer = ask(&simulator, &store, A, What::Cancel).await;
        assert!(answer.refused);
        assert!(answer.text.contains("which no API can stop"), "{}", answer.text);
        assert_eq!(record(&store, A).await.unwrap().phase(), Phase::Waiting, "it goes on");
    });
}

#[test]
fn a_deadline_is_extended_and_cut_to_the_hooks_own_limit() {
    let scenario =
        Scenario { config: "[policy]\ndeadline = \"5m\"\nat_deadline = \"continue\"\n", ..BUSY };
    let ((), simulator) = while_running(&scenario, |simulator, store| async move {
        let waiting = until_phase(&simulator, &store, Phase::Waiting).await;
        let until = waiting.deadline.unwrap() + SignedDuration::from_mins(10);
        let answer = ask(&simulator, &store, A, What::Extend { until }).await;
        assert!(!answer.refused, "{}", answer.text);
        let far = waiting.created_at + SignedDuration::from_hours(100);
        let answer = ask(&simulator, &store, A, What::Extend { until: far }).await;
        assert!(answer.text.contains("because its hook expires at"), "{}", answer.text);
        let cut = record(&store, A).await.unwrap().deadline.unwrap();
        assert!(until < cut && cut < far, "{cut}");
        let done = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(done.outcome(), Some(Outcome::Drained), "the first deadline did not end it");
    });
    no_violation(&simulator);
}

/// The reason is required, and is in the record.
#[test]
fn a_drain_is_forced_whatever_is_left() {
    let scenario = Scenario {
        world: |cloud| {
            busy(cloud, seconds(20_000));
            cloud.checkers.may_be_premature(A);
        },
        ..BUSY
    };
    let ((), simulator) = while_running(&scenario, |simulator, store| async move {
        until_phase(&simulator, &store, Phase::Waiting).await;
        let without = Request { reason: None, ..request(&simulator, &store, A, What::Force).await };
        assert!(send(&store, &without).await.refused, "a reason is required");
        ask(&simulator, &store, A, What::Force).await;
        let done = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(done.outcome(), Some(Outcome::Forced));
        assert!(done.intent().unwrap().reason.contains("Ada (kernel update)"));
    });
    simulator.peek(|cloud| assert_eq!(our_completions(cloud, A).len(), 1));
}

/// A drain that has failed again and again, and waits for its next attempt, is retried at once.
#[test]
fn retry_forgets_what_failed() {
    while_running(&PLAIN, |simulator, store| async move {
        use aws_simulator::{Fault, Rule};
        simulator.with(|cloud| {
            cloud.faults.add(Rule::on("UpdateContainerInstancesState", Fault::AccessDenied))
        });
        until(&simulator, "it has failed", async || {
            record(&store, A).await.is_some_and(|record| record.last_error.is_some())
        })
        .await;
        tokio::time::sleep(seconds(600)).await;
        simulator.with(|cloud| cloud.faults.clear());
        ask(&simulator, &store, A, What::Retry).await;
        tokio::time::sleep(seconds(10)).await;
        let record = record(&store, A).await.unwrap();
        assert!(
            record.phase() > Phase::Deregistering,
            "{} {:?}",
            record.phase(),
            record.last_error
        );
        assert_eq!(record.last_error, None);
    });
}

/// A request that is older than fifteen minutes, is about an unknown drain, or names no instance of
/// a cluster.
#[test]
fn requests_that_must_not_be_carried_out_are_refused() {
    let ((), simulator) = while_running(&KEEP, |simulator, store| async move {
        let old = request(&simulator, &store, A, drain(Then::Keep)).await;
        let old = Request { at: old.at - SignedDuration::from_mins(16), ..old };
        let of_no_drain =
            Request { generation: 7, ..request(&simulator, &store, B, What::Pause).await };
        let of_no_cluster = request(&simulator, &store, D, drain(Then::Keep)).await;
        let another = request(&simulator, &store, D, drain(Then::Keep)).await;
        let of_no_instance = Request { instance_id: "*".to_owned(), ..another };
        for (request, why) in [
            (old, "more than 15 minutes old"),
            (of_no_drain, "it is not draining; `ecs-drain get --all` shows finished drains"),
            (of_no_cluster, "is in no cluster of"),
            (of_no_instance, ""),
        ] {
            let answer = send(&store, &request).await;
            assert!(
                answer.refused && answer.text.contains(why),
                "{:?}: {}",
                request.what,
                answer.text
            );
        }
        assert!(store.all().await.unwrap().is_empty(), "no drain was opened");
    });
    no_violation(&simulator);
    simulator.peek(|cloud| assert_eq!(cloud.log.count("UpdateContainerInstancesState"), 0));
}

/// Its termination puts it under the ecs-drain hook: it is held from the first moment, also while
/// the table is unavailable.
#[test]
fn an_instance_that_is_terminated_by_order_is_held_although_the_table_is_away() {
    let scenario = Scenario {
        world: |cloud| {
            (TERMINATE.world)(cloud);
            cloud.put_hook("web-group", our_hook(seconds(60)));
        },
        meanwhile: |simulator, store| Box::pin(terminate_and_lose_the_table(simulator, store)),
        within: seconds(1800),
        ..TERMINATE
    };
    run(&scenario, &Run::default(), |_| {}).expect_good();
}

async fn terminate_and_lose_the_table(simulator: &Simulator, store: &Store) {
    order_once(simulator, store, drain(Then::Terminate)).await;
    while simulator.with(|cloud| cloud.lifecycle_state(A)).as_deref() == Some("InService") {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    simulator
        .with(|cloud| cloud.take_table_away(seconds(600), aws_simulator::dynamodb::Outage::Error));
}

/// A request's author and reason are cut, and lose their control characters: anyone with write
/// access to the table can put any text there.
#[test]
fn what_a_request_says_of_itself_is_plain_in_the_record() {
    while_running(&KEEP, |simulator, store| async move {
        let request = request(&simulator, &store, A, drain(Then::Keep)).await;
        let loud = format!("\u{1b}[31mAda\n{}", "a".repeat(100_000));
        let answer =
            send(&store, &Request { by: loud.clone(), reason: Some(loud), ..request }).await;
        assert!(!answer.refused, "{}", answer.text);
        let record = record(&store, A).await.unwrap();
        let texts = record.history.iter().map(|event| &event.what).chain([&record
            .requested
            .as_ref()
            .unwrap()
            .by]);
        for text in texts {
            assert!(text.len() < 2000 && !text.contains(|c: char| c.is_control()), "{text:?}");
        }
    });
}

/// ecs-drain does not touch an instance of a cluster that the configuration leaves out, even by an
/// operator's request.
#[test]
fn a_cluster_that_is_not_configured_is_not_touched() {
    let scenario = Scenario { config: "clusters = [\"jobs\"]\n", ..KEEP };
    assert_eq!(config(&scenario).scopes.len(), 1);
    let ((), simulator) = while_running(&scenario, |simulator, store| async move {
        let answer = ask(&simulator, &store, A, drain(Then::Keep)).await;
        assert!(
            answer.refused && answer.text.contains("which the configuration leaves out"),
            "{}",
            answer.text
        );
        tokio::time::sleep(seconds(60)).await;
        assert!(store.all().await.unwrap().is_empty());
    });
    simulator.peek(|cloud| assert_eq!(cloud.log.count("UpdateContainerInstancesState"), 0));
}

/// A group that terminates the instance during an operator's drain: one drain, ended as a lifecycle
/// action's.
#[test]
fn a_scale_in_in_the_middle_of_an_operators_drain_is_taken_over() {
    let scenario = Scenario {
        world: |cloud| {
            three(cloud);
            cloud
                .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(240)))
                .unwrap();
        },
        ..KEEP
    };
    let (done, simulator) = while_running(&scenario, |simulator, store| async move {
        ask(&simulator, &store, A, drain(Then::Keep)).await;
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| cloud.terminate(A, true).unwrap());
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!((done.generation, done.outcome()), (1, Some(Outcome::Drained)));
    assert_eq!(done.origin, ecs_drain_state::Origin::Operator, "why it began stays");
    simulator.peek(|cloud| assert_eq!(our_completions(cloud, A).len(), 1));
    no_violation(&simulator);
}

/// Drained and kept, and then its group terminates it: the next generation finds it drained.
#[test]
fn a_kept_instance_is_let_go_by_the_next_lifecycle_action() {
    let (done, simulator) = while_running(&KEEP, |simulator, store| async move {
        ask(&simulator, &store, A, drain(Then::Keep)).await;
        until_phase(&simulator, &store, Phase::Done).await;
        simulator.with(|cloud| cloud.terminate(A, true).unwrap());
        until(&simulator, "the next generation is done", async || {
            record(&store, A).await.is_some_and(|r| r.generation == 2 && r.is_done())
        })
        .await;
        record(&store, A).await.unwrap()
    });
    assert_eq!(done.outcome(), Some(Outcome::Drained));
    no_violation(&simulator);
}

/// Two controllers share a table. The CLI refuses this itself, but a request can be written without
/// the CLI.
#[test]
fn a_request_for_another_controllers_drain_is_refused_and_its_record_stays() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&BUSY, 1).await;
        simulator.with(BUSY.begin);
        let parse = |text: &str| Config::parse(text, "test.toml", &Given::default()).unwrap();
        let theirs = CONFIG.replace("controller = \"test\"", "controller = \"theirs\"");
        run_for(&simulator, parse(&theirs), seconds(60)).await;
        let before = record(&store, A).await.unwrap();
        assert_eq!((before.controller.as_str(), before.is_done()), ("theirs", false));
        let asked = async {
            for what in [What::Pause, What::Force] {
                let answer = ask(&simulator, &store, A, what).await;
                assert!(
                    answer.refused && answer.text.contains("controller \"theirs\""),
                    "{}",
                    answer.text
                );
            }
            tokio::time::sleep(seconds(60)).await;
        };
        beside(&simulator, parse(CONFIG), asked).await;
        assert_eq!(record(&store, A).await.unwrap(), before);
        assert!(held(&simulator));
    });
}

/// The record of the first one cannot be written for a while.
#[test]
fn a_request_that_fails_does_not_hold_up_those_after_it() {
    use aws_simulator::{Fault, Matcher, Rule};
    while_running(&BUSY, |simulator, store| async move {
        until_phase(&simulator, &store, Phase::Waiting).await;
        let writes = Matcher::Predicate(Arc::new(|call| {
            call.operation == "UpdateItem" && call.summary.contains(A)
        }));
        simulator.with(|cloud| cloud.faults.add(Rule::new(writes, Fault::AccessDenied)));
        order_once(&simulator, &store, What::Pause).await;
        // Requests are carried out in the order of their times.
        tokio::time::sleep(seconds(2)).await;
        let second =
            tokio::time::timeout(seconds(60), ask(&simulator, &store, B, What::Pause)).await;
        assert!(
            second.expect("it is answered").refused,
            "it is not draining; `ecs-drain get --all` shows finished drains"
        );
        assert!(
            record(&store, A).await.unwrap().orders.pause.is_none(),
            "the first is not carried out yet"
        );
        simulator.with(|cloud| cloud.faults.clear());
        until(&simulator, "the first is carried out", async || {
            record(&store, A).await.is_some_and(|record| record.orders.pause.is_some())
        })
        .await;
    });
}
