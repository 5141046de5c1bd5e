//! Rollouts, as whole stories: new instances come first, then the old ones drain together.

mod large;

use crate::harness::{Scenario, group, record, seconds, wall};
use crate::scenarios::{A, B, C, PLAIN};
use crate::story::{until, while_running};
use aws_simulator::autoscaling::RefreshSpec;
use aws_simulator::spec::{ClusterSpec, GroupSpec, ServiceSpec, StandaloneSpec};
use aws_simulator::{Cloud, Simulator};
use ecs_drain::store::rollouts::request_key;
use ecs_drain::store::{Answer, ReadRollout, Store};
use ecs_drain_state::rollout::{
    Options, Outcome as RolloutOutcome, Request, Rollout, Selection, Stage, Start, Turn, What,
};
use ecs_drain_state::{Order, Outcome, Phase, Then, request};
use large::Fleet;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

const GROUP: &str = "web-group";
const NAME: &str = "image";

/// Adds cluster `web` with three instances, room in their group for as many again, and a service
/// with two tasks on each.
fn three(cloud: &mut Cloud) {
    old(cloud, &[A, B, C], 6);
}

fn old(cloud: &mut Cloud, ids: &[&str], max: u32) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(GroupSpec { max, ..group(GROUP, "web", ids) });
    let tasks = u32::try_from(ids.len()).unwrap() * 2;
    cloud.add_service(&ServiceSpec::replica("web", "api", tasks).times(seconds(5), seconds(5)));
    cloud.checkers.allow_rollout(GROUP, u32::try_from(ids.len()).unwrap());
}

const ROLLOUT: Scenario = Scenario {
    name: "rollout",
    config: "[policy]\nmax_concurrent = \"100%\"\n",
    world: three,
    begin: |_| {},
    ends: &[],
    within: seconds(7200),
    ..PLAIN
};

fn start(ids: &[&str]) -> What {
    let old: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    What::Start(Box::new(Start {
        selection: Selection::All,
        options: Options { soak_seconds: 20, ..Options::default() },
        groups: [(GROUP.to_owned(), ("web".to_owned(), old))].into(),
    }))
}

/// Writes a request, and does not wait for its answer.
async fn order(simulator: &Simulator, store: &Store, what: What) -> Request {
    let now = wall(simulator);
    let request = Request {
        id: store.request_id(now),
        controller: "test".to_owned(),
        account: aws_simulator::ACCOUNT.to_owned(),
        region: aws_simulator::REGION.to_owned(),
        rollout: NAME.to_owned(),
        what,
        by: "Ada".to_owned(),
        reason: None,
        at: now,
        schema: ecs_drain_state::request::SCHEMA,
    };
    store.ask_rollout(&request).await.unwrap();
    request
}

/// Writes a request, and waits for its answer as the CLI does.
async fn ask(simulator: &Simulator, store: &Store, what: What) -> Answer {
    let request = order(simulator, store, what).await;
    for _ in 0..3600 {
        if let Some(answer) = store.answer_of(&request_key(&request)).await.unwrap() {
            return answer;
        }
        tokio::time::sleep(seconds(1)).await;
    }
    panic!("no answer came within an hour: {request:?}");
}

async fn find(store: &Store) -> Option<Rollout> {
    let (account, region) = (aws_simulator::ACCOUNT, aws_simulator::REGION);
    let key = ecs_drain_state::rollout::key("test", account, region, NAME);
    match store.rollouts(&[key]).await.unwrap().pop()?.1 {
        ReadRollout::Rollout(rollout) => Some(*rollout),
        other @ (ReadRollout::Newer { .. } | ReadRollout::Unreadable { .. }) => {
            panic!("{other:?}")
        }
    }
}

async fn rollout(store: &Store) -> Rollout {
    find(store).await.unwrap()
}

/// Waits until the rollout meets a condition, and returns it.
async fn until_rollout(
    simulator: &Simulator,
    store: &Store,
    what: &str,
    is_so: impl Fn(&Rollout) -> bool,
) -> Rollout {
    let begun = simulator.now();
    loop {
        let now = rollout(store).await;
        if is_so(&now) {
            return now;
        }
        let waited = simulator.now() - begun;
        assert!(waited < seconds(2 * 3600), "waited for two hours: {what}: {now:#?}");
        tokio::time::sleep(seconds(2)).await;
    }
}

async fn until_done(simulator: &Simulator, store: &Store) -> Rollout {
    until_rollout(simulator, store, "done", Rollout::is_done).await
}

#[track_caller]
fn nothing_broken(simulator: &Simulator) {
    simulator.peek(|cloud| {
        assert!(cloud.violations_at_end().is_empty(), "{:?}", cloud.violations_at_end());
        assert!(cloud.losses().is_empty(), "{:?}", cloud.losses());
    });
}

fn outcome(rollout: &Rollout) -> Option<RolloutOutcome> {
    if let Stage::Done { outcome } = rollout.stage { Some(outcome) } else { None }
}

#[test]
fn three_instances_are_replaced_by_new_ones_that_came_first() {
    let (most, simulator) = while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        let answer = ask(&simulator, &store, start(&[A, B, C])).await;
        assert!(!answer.refused, "{answer:?}");
        assert_eq!(answer.text, "rollout image begins; old instances: 3, groups: 1");
        let mut most = 0;
        until(&simulator, "done", async || {
            most = most.max(simulator.with(|cloud| in_service(cloud).len()));
            rollout(&store).await.is_done()
        })
        .await;
        let done = rollout(&store).await;
        assert_eq!(outcome(&done), Some(RolloutOutcome::Replaced), "{done:#?}");
        let group = &done.groups[GROUP];
        assert_eq!((group.before, group.raised(), group.given_back()), (Some(3), 3, 3));
        for id in [A, B, C] {
            let drain = record(&store, id).await.unwrap();
            assert_eq!(drain.outcome(), Some(Outcome::Drained));
        }
        most
    });
    assert_eq!(most, 6);
    nothing_broken(&simulator);
    let left = simulator.with(|cloud| in_service(cloud));
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|id| ![A, B, C].contains(&id.as_str())), "{left:?}");
}

fn in_service(cloud: &Cloud) -> Vec<String> {
    let serves = |id: &String| cloud.lifecycle_state(id).as_deref() == Some("InService");
    cloud.instance_ids(GROUP).into_iter().filter(serves).collect()
}

fn desired(simulator: &Simulator) -> u32 {
    simulator.with(|cloud| cloud.group_desired(GROUP))
}

async fn until_waits(simulator: &Simulator, store: &Store, why: &str) -> Rollout {
    until_rollout(simulator, store, why, |rollout| rollout.why == why).await
}

#[test]
fn replacements_that_do_not_come_stop_it_and_a_resume_ends_it() {
    let (_, simulator) = while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        simulator.with(|cloud| cloud.capacity_runs_out(GROUP));
        ask(&simulator, &store, start(&[A, B, C])).await;
        let stopped = until_waits(&simulator, &store, "stopped").await;
        assert!(
            stopped.message.starts_with("stopped: replacements of group web-group are missing"),
            "{}",
            stopped.message
        );
        assert_eq!(stopped.progress().waiting, 3, "no drain began");
        assert!(record(&store, A).await.is_none());
        simulator.with(|cloud| cloud.capacity_comes_back(GROUP));
        let answer = ask(&simulator, &store, What::Resume).await;
        assert_eq!((answer.refused, answer.text.as_str()), (false, "resumed"));
        let done = until_done(&simulator, &store).await;
        assert_eq!(outcome(&done), Some(RolloutOutcome::Replaced));
    });
    nothing_broken(&simulator);
}

#[test]
fn an_undo_makes_its_instances_active_again_and_gives_capacity_back() {
    let scenario = Scenario {
        world: |cloud| {
            three(cloud);
            // The drain of A does not end by itself.
            cloud.run_task(&StandaloneSpec::new("web", "job").on(A)).unwrap();
            cloud.checkers.must_be_active(A);
        },
        ..ROLLOUT
    };
    let (_, simulator) = while_running(&scenario, async |simulator: Simulator, store: Store| {
        ask(&simulator, &store, start(&[A])).await;
        until_waits(&simulator, &store, "drains").await;
        assert_eq!(desired(&simulator), 4);
        until(&simulator, "DRAINING", async || {
            record(&store, A).await.is_some_and(|record| record.phase() == Phase::Waiting)
        })
        .await;
        ask(&simulator, &store, What::Undo).await;
        let done = until_done(&simulator, &store).await;
        assert_eq!(outcome(&done), Some(RolloutOutcome::Undone), "{done:#?}");
        assert_eq!(record(&store, A).await.unwrap().outcome(), Some(Outcome::Cancelled));
    });
    nothing_broken(&simulator);
    assert!(simulator.with(|cloud| in_service(cloud)).contains(&A.to_owned()));
}

#[test]
fn an_abort_keeps_what_has_not_begun_and_gives_capacity_back() {
    let (_, simulator) = while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        ask(&simulator, &store, start(&[A, B, C])).await;
        until_waits(&simulator, &store, "replacements").await;
        ask(&simulator, &store, What::Abort).await;
        let done = until_done(&simulator, &store).await;
        assert_eq!(outcome(&done), Some(RolloutOutcome::Aborted), "{done:#?}");
        assert!(record(&store, A).await.is_none());
    });
    nothing_broken(&simulator);
    let left = simulator.with(|cloud| in_service(cloud));
    assert_eq!(left.len(), 3);
    assert!([A, B, C].iter().all(|id| left.contains(&(*id).to_owned())), "{left:?}");
}

#[test]
fn a_pause_of_the_cluster_holds_it_and_says_who() {
    let (_, simulator) = while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        let place = format!("{}/{}/web", aws_simulator::ACCOUNT, aws_simulator::REGION);
        let order = Order { by: "Ada".to_owned(), reason: None, at: wall(&simulator) };
        store.set_pause(&place, Some(&order)).await.unwrap();
        tokio::time::sleep(seconds(10)).await;
        ask(&simulator, &store, start(&[A, B, C])).await;
        let paused = until_waits(&simulator, &store, "paused").await;
        assert!(paused.message.starts_with("paused by Ada"), "{}", paused.message);
        tokio::time::sleep(seconds(600)).await;
        assert_eq!((desired(&simulator), record(&store, A).await.is_none()), (3, true));
        store.set_pause(&place, None).await.unwrap();
        until_done(&simulator, &store).await;
    });
    nothing_broken(&simulator);
}

/// The window is closed from nine to ten; the story begins at nine.
#[test]
fn a_closed_window_holds_it_before_anything_is_changed() {
    let scenario = Scenario {
        config: "[policy]\nmax_concurrent = \"100%\"\n[[closed]]\nname = \"morning\"\n\
                 schedule = \"0 9 * * MON\"\nduration = \"1h\"\n",
        ..ROLLOUT
    };
    let (_, simulator) = while_running(&scenario, async |simulator: Simulator, store: Store| {
        ask(&simulator, &store, start(&[A, B, C])).await;
        let paused = until_waits(&simulator, &store, "paused").await;
        let why = "paused by closed window \"morning\" until 2026-01-05T10:00:00Z";
        assert_eq!(paused.message, why);
        tokio::time::sleep(seconds(3500) - (simulator.now() - aws_simulator::BEGIN)).await;
        assert_eq!(desired(&simulator), 3);
        let done = until_done(&simulator, &store).await;
        assert_eq!(outcome(&done), Some(RolloutOutcome::Replaced));
    });
    nothing_broken(&simulator);
}

#[test]
fn an_instance_refresh_of_the_group_stops_it_before_anything_is_changed() {
    let (_, simulator) = while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        simulator.with(|cloud| cloud.start_instance_refresh(GROUP, RefreshSpec::default()));
        ask(&simulator, &store, start(&[A, B, C])).await;
        let stopped = until_waits(&simulator, &store, "stopped").await;
        assert!(stopped.message.contains("an instance refresh of group web-group runs"));
        assert_eq!(stopped.progress().waiting, 3);
    });
    assert_eq!(simulator.peek(|cloud| cloud.log.count("SetDesiredCapacity")), 0);
}

#[test]
fn what_the_controller_may_not_touch_is_refused() {
    while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        let of = |group: &str, cluster: &str, id: &str| {
            let old = (cluster.to_owned(), BTreeSet::from([id.to_owned()]));
            What::Start(Box::new(Start {
                selection: Selection::Listed,
                options: Options::default(),
                groups: [(group.to_owned(), old)].into(),
            }))
        };
        for (what, why) in [
            (of("payroll", "web", A), "there is no group payroll in"),
            (of(GROUP, "web", "i-0000000000000ffff"), "is not an instance of group web-group"),
            (What::Pause, "there is no rollout image"),
        ] {
            let answer = ask(&simulator, &store, what).await;
            assert!(answer.refused && answer.text.contains(why), "{answer:?}");
        }
    });
}

/// The old instance is replaced, whatever dies or fails meanwhile, and the desired capacity is as
/// before.
pub const REPLACED: Scenario = Scenario {
    name: "rollout",
    config: "[poll]\ngroups = \"25s\"\n[policy]\npoll = \"15s\"\nmax_concurrent = \"100%\"\n",
    world: |cloud| old(cloud, &[A, B], 3),
    begin: |_| {},
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(7200),
    meanwhile: |simulator, store| Box::pin(roll_to_the_end(simulator, store, &[A])),
};

/// The same in two waves.
pub const IN_WAVES: Scenario = Scenario {
    name: "rollout-in-waves",
    ends: &[(A, Outcome::Drained), (B, Outcome::Drained)],
    meanwhile: |simulator, store| Box::pin(roll_to_the_end(simulator, store, &[A, B])),
    ..REPLACED
};

/// Starts the rollout, and resumes it when a fault has stopped it, as a person would.
async fn roll_to_the_end(simulator: &Simulator, store: &Store, ids: &[&str]) {
    order(simulator, store, start(ids)).await;
    while simulator.now() - aws_simulator::BEGIN < REPLACED.within {
        tokio::time::sleep(seconds(20)).await;
        match find(store).await {
            Some(rollout) if rollout.is_done() => return,
            Some(Rollout { stage: Stage::Stopped { .. }, .. }) => {
                order(simulator, store, What::Resume).await;
            }
            Some(_) | None => {}
        }
    }
}

const TOGETHER: &str = "[policy]\nmax_concurrent = \"100%\"\n";

const CROWD: Fleet = Fleet { clusters: 1, instances: 200, room: 20 };

/// The instances of the new image never join their cluster: nothing is drained, and with an image
/// that works it goes on.
#[test]
fn two_hundred_instances_stay_while_their_replacements_fail() {
    let scenario = Scenario { config: TOGETHER, world: |cloud| CROWD.build(cloud), ..ROLLOUT };
    let (_, simulator) = while_running(&scenario, async |simulator: Simulator, store: Store| {
        simulator.with(|cloud| cloud.registrations_fail(GROUP));
        let ids = CROWD.ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ask(&simulator, &store, start(&ids)).await;
        let stopped = until_waits(&simulator, &store, "stopped").await;
        let expected = "0 of 20 new instances of group web-group are fit";
        assert!(stopped.message.contains(expected), "{}", stopped.message);
        assert!(stopped.message.contains("has not registered with a cluster"));
        assert_eq!(stopped.progress().waiting, 200);
        assert_eq!((in_old(&simulator), desired(&simulator)), (200, 220));
        // The broken ones are replaced by hand.
        let broken = simulator.with(|cloud| {
            cloud.registrations_take(GROUP, seconds(10));
            let is_old = |id: &String| ids.contains(&id.as_str());
            in_service(cloud).into_iter().filter(|id| !is_old(id)).collect::<Vec<_>>()
        });
        for id in broken {
            simulator.with(|cloud| cloud.terminate(&id, false)).unwrap();
        }
        ask(&simulator, &store, What::Resume).await;
        let done = until_done(&simulator, &store).await;
        assert_eq!(outcome(&done), Some(RolloutOutcome::Replaced));
        assert_eq!(in_old(&simulator), 0);
    });
    nothing_broken(&simulator);
}

/// Returns how many of the first instances are in service.
fn in_old(simulator: &Simulator) -> usize {
    let ids = CROWD.ids();
    simulator.with(|cloud| in_service(cloud).iter().filter(|id| ids.contains(id)).count())
}

/// The new instances have the old image, because nobody changed the launch template.
#[test]
fn replacements_that_are_as_old_stop_it() {
    while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        let What::Start(mut content) = start(&[A]) else { panic!("a start") };
        content.selection = Selection::Ami(GroupSpec::default().ami_id);
        ask(&simulator, &store, What::Start(content)).await;
        let stopped = until_waits(&simulator, &store, "stopped").await;
        let why = "counts as old, too";
        assert!(stopped.message.contains(why), "{}", stopped.message);
        assert!(record(&store, A).await.is_none());
    });
}

/// The largest item that DynamoDB takes has 400 KiB. (Source: DynamoDB developer guide, "Quotas",
/// "Item size".)
#[test]
fn a_rollout_that_cannot_be_saved_does_not_hold_another_up() {
    let (large, simulator) = while_running(&ROLLOUT, async |simulator: Simulator, store: Store| {
        ask(&simulator, &store, start(&[A])).await;
        // Its key comes first, and the least that it gains with a decision does not fit.
        let mut large = rollout(&store).await;
        (large.name, large.version) = ("a-large".to_owned(), 0);
        let group = large.groups.get_mut(GROUP).unwrap();
        group.old = [(B.to_owned(), Turn::Waiting)].into();
        let mut room = 400 * 1024;
        let saved = loop {
            large.requested.reason = Some("x".repeat(room));
            if let Ok(Some(saved)) = store.save_rollout(large.clone()).await {
                break saved;
            }
            room -= 16;
        };
        assert_eq!(outcome(&until_done(&simulator, &store).await), Some(RolloutOutcome::Replaced));
        saved
    });
    nothing_broken(&simulator);
    assert_eq!(large.stage, Stage::Counting);
    assert!(simulator.with(|cloud| in_service(cloud)).contains(&B.to_owned()));
}
