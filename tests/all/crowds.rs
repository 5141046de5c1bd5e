//! Faults that show only where hundreds of instances wait for their turn at AWS's request rates.

use crate::harness::{group, our_completions, our_hook, seconds, virtual_time};
use crate::story::{no_violation, only_replica, until};
use aws_simulator::ecs::InstanceStatus;
use aws_simulator::spec::{GroupSpec, StandaloneSpec};
use aws_simulator::{Cloud, Simulator};
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::Ids;
use ecs_drain_bench::scenario::{Layout, Scenario};
use ecs_drain_bench::table::scenarios;
use ecs_drain_bench::world::{self, LEAD, drains};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// Returns the world of the bench's scenario of this name.
fn scenario(name: &str) -> Scenario {
    scenarios().into_iter().find(|scenario| scenario.name == name).expect("a scenario of this name")
}

/// Polls the controller until `story` has ended: in between it is frozen, like a process that was
/// stopped.
async fn meanwhile<T>(
    life: &mut (impl Future<Output: std::fmt::Debug> + Unpin),
    story: impl Future<Output = T>,
) -> T {
    match select(pin!(story), life).await {
        Either::Left((end, _)) => end,
        Either::Right((ended, _)) => panic!("the controller has ended: {ended:?}"),
    }
}

/// Returns the instances without an ended lifecycle action of the ecs-drain hook.
fn held(simulator: &Simulator, ids: &[String]) -> Vec<String> {
    let holds = |id: &&String| simulator.peek(|cloud| our_completions(cloud, id).is_empty());
    ids.iter().filter(holds).cloned().collect()
}

/// Completions queue for Auto Scaling's rate, each decided on evidence that was true then. The
/// process is frozen meanwhile; the instances become `ACTIVE` and get work.
#[test]
fn a_completion_that_waits_for_its_turn_is_not_sent_on_what_was_true_before() {
    virtual_time(1, || async {
        let wave = scenario("wave-100");
        let (simulator, _store) = world::set_up(&wave).await;
        let environment = only_replica(&simulator);
        let mut life = Box::pin(run_with_ids(
            world::config(&wave),
            environment,
            Ids::seeded(7),
            std::future::pending(),
        ));
        let all = drains(&wave.layout);
        meanwhile(&mut life, async {
            tokio::time::sleep(LEAD).await;
            simulator.with(|cloud| all.iter().for_each(|id| cloud.terminate(id, true).unwrap()));
            while held(&simulator, &all).len() > 40 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;

        let left = held(&simulator, &all);
        assert!(left.len() > 20, "so few wait for their turn: {}", left.len());
        let each = |change: &dyn Fn(&mut Cloud, &str)| {
            simulator.with(|cloud| left.iter().for_each(|id| change(cloud, id)))
        };
        each(&|cloud, id| {
            assert_eq!(cloud.set_container_instance_state(id, InstanceStatus::Active), 1)
        });
        // A read that lags by a minute, and the checkers' tolerance for a person's ACTIVE, are over
        // by then.
        tokio::time::sleep(seconds(140)).await;
        each(&|cloud, id| {
            cloud
                .run_task(&StandaloneSpec::new("c0", "job").on(id).duration(seconds(300)))
                .unwrap();
        });
        tokio::time::sleep(seconds(5)).await;

        let ended =
            until(&simulator, "all are let go", async || held(&simulator, &left).is_empty());
        meanwhile(&mut life, ended).await;
        no_violation(&simulator);
    });
}

/// 700 instances under hooks of five minutes need their heartbeat at the same moment, which is more
/// than a minute of Auto Scaling's rate. Ten under a hook of a minute, whose names come last, need
/// theirs in the middle of it.
#[test]
fn an_instance_whose_time_runs_out_first_is_held_before_a_crowd_that_has_time() {
    virtual_time(1, || async {
        let crowd = scenario("heartbeats-200");
        let layout = Layout { instances: 700, drains: 700, heartbeat_timeout: 300, ..crowd.layout };
        let crowd = Scenario { layout, ..crowd };
        let (simulator, _store) = world::set_up(&crowd).await;
        let few: Vec<String> = (0..10).map(|n| format!("i-f{n:016x}")).collect();
        simulator.with(|cloud| {
            let ids: Vec<&str> = few.iter().map(String::as_str).collect();
            let hooks = vec![our_hook(seconds(60))];
            cloud.add_group(GroupSpec { max: 10, hooks, ..group("few", "c0", &ids) });
            for id in ids {
                cloud.run_task(&StandaloneSpec::new("c0", "job").on(id)).unwrap();
            }
        });
        let environment = only_replica(&simulator);
        let mut life = Box::pin(run_with_ids(
            world::config(&crowd),
            environment,
            Ids::seeded(7),
            std::future::pending(),
        ));
        let all = drains(&crowd.layout);
        meanwhile(&mut life, async {
            tokio::time::sleep(LEAD).await;
            simulator.with(|cloud| all.iter().for_each(|id| cloud.terminate(id, true).unwrap()));
            tokio::time::sleep(seconds(95)).await;
            simulator.with(|cloud| few.iter().for_each(|id| cloud.terminate(id, true).unwrap()));
            tokio::time::sleep(seconds(150)).await;
        })
        .await;
        assert_eq!(held(&simulator, &few).len(), few.len(), "hooks ran out of time");
        assert_eq!(held(&simulator, &all).len(), all.len(), "hooks ran out of time");
        no_violation(&simulator);
    });
}
