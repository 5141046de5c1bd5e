//! Several accounts and regions under one process: one that does not answer takes nothing from the others.

use crate::harness::{CONFIG, Ended, Run, Scenario, environment, run, seconds, set_up, virtual_time};
use crate::scenarios::{A, PLAIN};
use crate::story::until_phase;
use aws_simulator::{Cloud, Fault, Matcher, Rule};
use ecs_drain::config::{Config, Given};
use ecs_drain::controller::{RunError, run_with_ids};
use ecs_drain::store::Ids;
use ecs_drain_state::Phase;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// A second scope, in a region of which nothing is heard.
const SILENT: &str = "[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n";

/// No call to that region is ever answered.
fn silence() -> Rule {
    Rule::new(Matcher::Predicate(Arc::new(|call| call.region == "eu-west-1")), Fault::Hang)
}

#[test]
fn a_region_that_does_not_answer_slows_no_other() {
    let drained_at = |config, silent: bool| {
        let scenario = Scenario { config, ..PLAIN };
        let ended: Ended = run(&scenario, &Run::default(), |cloud| {
            if silent {
                cloud.faults.add(silence());
            }
        });
        ended.expect_good();
        ended.at(A).expect("it is let go")
    };
    let (alone, beside) = (drained_at("", false), drained_at(SILENT, true));
    // At the start all are asked together, five seconds at most.
    assert!(beside <= alone + seconds(10), "{beside:?} and not {alone:?}");
}

/// Asked to stop in the middle of a drain whose calls hang, beside a region that does not answer, it ends when `shutdown` is
/// over, and gives its lease back.
#[test]
fn it_stops_in_time_whatever_hangs() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&PLAIN, 1).await;
        simulator.with(PLAIN.begin);
        simulator.with(|cloud| cloud.faults.add(silence()));
        let text = format!("shutdown = \"20s\"\n{CONFIG}{SILENT}");
        let config = Config::parse(&text, "test.toml", &Given::default()).expect("a valid configuration");
        let asked = async {
            until_phase(&simulator, &store, Phase::Waiting).await;
            let hang = |operation| Rule::on(operation, Fault::Hang);
            simulator.with(|cloud| {
                ["DescribeTasks", "DescribeContainerInstances", "ListTasks"].map(|it| cloud.faults.add(hang(it)))
            });
            tokio::time::sleep(seconds(20)).await;
        };
        let environment = environment(&simulator, "replica-0", &Arc::new(AtomicI64::new(0)));
        let (ends, told) = tokio::sync::oneshot::channel();
        let life = ecs_drain::controller::run_with_ids(config, environment, Ids::seeded(7), async {
            told.await.expect("it is told to stop");
        });
        let stopped = async {
            asked.await;
            let at = simulator.now();
            ends.send(()).expect("it runs");
            at
        };
        let mut life = pin!(life);
        let at = match select(pin!(stopped), life.as_mut()).await {
            Either::Left((at, _)) => at,
            Either::Right((ended, _)) => panic!("it ended unasked: {ended:?}"),
        };
        life.await.expect("it ends well");
        let took = simulator.now() - at;
        assert!(took <= seconds(20) + Duration::from_secs(3), "{took:?}");
        assert!(store.leader().await.expect("the table answers").is_none(), "its lease is given back");
    });
}

/// How a run with this configuration ends by itself; None if it still goes on after ten minutes.
fn ends(text: &str, plan: impl FnOnce(&mut Cloud)) -> Option<Result<(), RunError>> {
    virtual_time(1, || async {
        let (simulator, _) = set_up(&PLAIN, 1).await;
        simulator.with(plan);
        let config = Config::parse(text, "test.toml", &Given::default()).expect("a valid configuration");
        let environment = environment(&simulator, "replica-0", &Arc::new(AtomicI64::new(0)));
        let life = run_with_ids(config, environment, Ids::seeded(7), std::future::pending());
        tokio::time::timeout(seconds(600), life).await.ok()
    })
}

/// Who this process is cannot be asked.
fn nobody() -> Rule {
    Rule::on("GetCallerIdentity", Fault::AccessDenied)
}

/// Each would take the other's drains for its own.
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

/// It can do nothing, and no waiting would help: whoever starts it should see that.
#[test]
fn scopes_that_are_all_denied_end_the_process_at_the_start() {
    let ended = ends(&format!("{CONFIG}{SILENT}"), |cloud| cloud.faults.add(nobody()));
    match ended {
        Some(Err(RunError::Scope { region, .. })) => assert_eq!(region, "us-east-1", "the first one"),
        other => panic!("{other:?}"),
    }
}

/// One is denied, and the other may answer yet.
#[test]
fn a_scope_that_may_answer_later_keeps_the_process_running() {
    let ended = ends(&format!("{CONFIG}{SILENT}"), |cloud| {
        cloud.faults.add(silence());
        cloud.faults.add(nobody());
    });
    assert!(ended.is_none(), "{ended:?}");
}
