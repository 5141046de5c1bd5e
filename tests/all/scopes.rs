//! Several accounts and regions in one process: one that does not answer takes nothing from the
//! others.

use crate::harness::{
    CONFIG, HOOK, Run, Scenario, our_completions, run, seconds, set_up, virtual_time,
};
use crate::scenarios::{A, INSTANCE_TARGETS, PLAIN};
use crate::story::{only_replica, until};
use aws_simulator::{Cloud, Fault, Matcher, Rule};
use ecs_drain::config::{Config, Given};
use ecs_drain::controller::{RunError, run_with_ids};
use ecs_drain::store::Ids;
use futures_util::future::{Either, select};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

/// A second scope, in a region that does not answer.
const SILENT: &str = "[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n";

/// Returns a rule that lets every call to that region hang.
fn silence() -> Rule {
    Rule::new(Matcher::Predicate(Arc::new(|call| call.region == "eu-west-1")), Fault::Hang)
}

#[test]
fn a_region_that_does_not_answer_slows_no_other() {
    let drained_at = |config, silent: bool| {
        let scenario = Scenario { config, ..PLAIN };
        let ended = run(&scenario, &Run::default(), |cloud| {
            if silent {
                cloud.faults.add(silence());
            }
        });
        ended.expect_good();
        ended.at(A).expect("its action is completed")
    };
    let (alone, beside) = (drained_at("", false), drained_at(SILENT, true));
    // At the start ecs-drain waits for all scopes together, five seconds at most.
    assert!(beside <= alone + seconds(10), "{beside:?} and not {alone:?}");
}

/// A second region has the same names, from its cluster to the instance itself: its instance serves
/// on while the first one is drained, and is drained by itself.
#[test]
fn namesakes_in_two_regions_are_drained_each_by_itself() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&INSTANCE_TARGETS, 1).await;
        let far = simulator.add_region("eu-west-1", 2).expect("a second region");
        far.set_up(|cloud| {
            cloud.checkers.our_hook(HOOK);
            (INSTANCE_TARGETS.world)(cloud);
        });
        let text = format!("{CONFIG}[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n");
        let config =
            Config::parse(&text, "test.toml", &Given::default()).expect("a valid configuration");
        let life = run_with_ids(config, only_replica(&simulator), Ids::seeded(7), pending());
        let story = async {
            for region in [&simulator, &far] {
                assert_eq!(
                    far.with(|cloud| cloud.container_instance_status(A)[0].1),
                    "ACTIVE",
                    "it serves on"
                );
                region.with(INSTANCE_TARGETS.begin);
                let let_go = async || region.with(|cloud| !our_completions(cloud, A).is_empty());
                until(&simulator, "it is let go", let_go).await;
            }
            for region in [&simulator, &far] {
                let wrong =
                    region.with(|cloud| (cloud.violations_at_end(), cloud.losses().to_vec()));
                assert_eq!(wrong, (Vec::new(), Vec::new()));
            }
            let all = store.all().await.expect("the table answers");
            let keys: Vec<&str> =
                all.iter().map(|(key, _)| key.as_str()).filter(|key| key.ends_with(A)).collect();
            assert_eq!(keys.len(), 2, "{keys:?}");
        };
        match select(pin!(story), pin!(life)).await {
            Either::Left(_) => {}
            Either::Right((ended, _)) => panic!("it ended unasked: {ended:?}"),
        }
    });
}

/// Asked to stop while a call hangs that changes something, and another region does not answer,
/// ecs-drain waits for `shutdown` and no longer, and releases its lease.
#[test]
fn it_stops_in_time_whatever_hangs() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&PLAIN, 1).await;
        simulator.with(PLAIN.begin);
        simulator.with(|cloud| {
            cloud.faults.add(silence());
            cloud.faults.add(Rule::on("UpdateContainerInstancesState", Fault::Hang));
        });
        // Less than the ten seconds after which ecs-drain gives the call up.
        let text = format!("shutdown = \"5s\"\n{CONFIG}{SILENT}");
        let config =
            Config::parse(&text, "test.toml", &Given::default()).expect("a valid configuration");
        let (stop, told) = tokio::sync::oneshot::channel();
        let life = run_with_ids(config, only_replica(&simulator), Ids::seeded(7), async {
            told.await.expect("it is told to stop");
        });
        let stopped = async {
            until(&simulator, "a call hangs that changes something", async || {
                simulator.peek(|cloud| cloud.log.count("UpdateContainerInstancesState") > 0)
            })
            .await;
            let at = simulator.now();
            stop.send(()).expect("it runs");
            at
        };
        let mut life = pin!(life);
        let at = match select(pin!(stopped), life.as_mut()).await {
            Either::Left((at, _)) => at,
            Either::Right((ended, _)) => panic!("it ended unasked: {ended:?}"),
        };
        life.await.expect("it ends well");
        let took = simulator.now() - at;
        assert!((seconds(5)..=seconds(8)).contains(&took), "{took:?}");
        assert!(
            store.leader().await.expect("the table answers").is_none(),
            "its lease is released"
        );
    });
}

/// Runs ecs-drain with this configuration; returns how it ends, or None if it still runs after ten
/// minutes.
fn ends(text: &str, plan: impl FnOnce(&mut Cloud)) -> Option<Result<(), RunError>> {
    virtual_time(1, || async {
        let (simulator, _) = set_up(&PLAIN, 1).await;
        simulator.with(plan);
        let config =
            Config::parse(text, "test.toml", &Given::default()).expect("a valid configuration");
        let life =
            run_with_ids(config, only_replica(&simulator), Ids::seeded(7), std::future::pending());
        tokio::time::timeout(seconds(600), life).await.ok()
    })
}

/// Returns a rule that denies every scope its identity.
fn no_identity() -> Rule {
    Rule::on("GetCallerIdentity", Fault::AccessDenied)
}

/// Each scope would take the other's drains for its own.
#[test]
fn two_scopes_of_one_place_end_the_process_at_the_start() {
    let role = "role = { arn = \"arn:aws:iam::123456789012:role/ecs-drain\" }";
    let twice = format!("{CONFIG}[[scope]]\nregion = \"us-east-1\"\nhooks = [\"other\"]\n{role}\n");
    match ends(&twice, |_| {}) {
        Some(Err(RunError::SameScope { account, region })) => {
            assert_eq!((account.as_str(), region.as_str()), ("123456789012", "us-east-1"));
        }
        other => panic!("{other:?}"),
    }
}

/// ecs-drain could do nothing, however long it waited: it ends with the error.
#[test]
fn scopes_that_are_all_denied_end_the_process_at_the_start() {
    let ended = ends(&format!("{CONFIG}{SILENT}"), |cloud| cloud.faults.add(no_identity()));
    match ended {
        Some(Err(RunError::Scope { region, .. })) => {
            assert_eq!(region, "us-east-1", "the first one")
        }
        other => panic!("{other:?}"),
    }
}

/// One scope is denied, and the other may still answer.
#[test]
fn a_scope_that_may_answer_later_keeps_the_process_running() {
    let ended = ends(&format!("{CONFIG}{SILENT}"), |cloud| {
        cloud.faults.add(silence());
        cloud.faults.add(no_identity());
    });
    assert!(ended.is_none(), "{ended:?}");
}
