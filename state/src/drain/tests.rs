//! The guard right before a call: each action, and everything that can have changed since the
//! decision.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::Drain;
use crate::decide::tests::fixture::{Played, ada, epoch, show, stage};
use crate::decide::{Action, Context};
use crate::facts::{Answer, Kind};
use crate::needs::{Class, Need};
use crate::phase::{Outcome, Phase};
use crate::policy::Policy;
use crate::proof::{Verdict, judge};
use crate::record::{Stage, Then};
use crate::sight::{
    ContainerInstanceSight, ContainerInstanceStatus, GroupSight, LifecycleState, Seen, TargetSight,
};
use crate::time::{Mono, Now, Read};
use std::time::Duration;

const C1: &str = "c1";

fn cluster() -> String {
    "prod".to_owned()
}

/// Returns a drain after these passes.
fn after(policy: &str, lines: &[&str]) -> Drain {
    let mut played = Played::open(policy, lines[0]);
    for line in lines {
        played.pass(line, show);
    }
    played.drain
}

fn now(second: u64) -> Now {
    let at = Duration::from_secs(second);
    Now { mono: Mono::at(at), wall: epoch() + at }
}

/// Returns the reason why the guard refuses the action at that second; empty if it does not.
fn refused(drain: &Drain, action: &Action, second: u64) -> &'static str {
    drain
        .may_send(action, &Policy::default(), now(second))
        .map_or_else(|refusal| refusal.0, |()| "")
}

fn status(drain: &mut Drain, second: u64, change: impl FnOnce(&mut ContainerInstanceSight)) {
    let mut sight = drain.facts.of(C1).unwrap().sight.clone().unwrap().1;
    change(&mut sight);
    let at = Mono::at(Duration::from_secs(second));
    drain.heed(
        &Policy::default(),
        Read { began: at, ended: at },
        Answer::Status { of: C1.to_owned(), sight },
    );
}

fn searched(drain: &mut Drain, second: u64) {
    let at = Mono::at(Duration::from_secs(second));
    let found = drain.record.container_instances.clone();
    drain.heed(&Policy::default(), Read { began: at, ended: at }, Answer::Own { found });
}

fn paused(drain: &Drain) -> Drain {
    let mut drain = drain.clone();
    drain.record.orders.pause = Some(ada());
    drain
}

#[test]
fn set_draining() {
    let action = Action::SetDraining { cluster: cluster(), container_instance: C1.to_owned() };
    let drain = after("", &["0s ACTIVE"]);
    assert_eq!(refused(&drain, &action, 1), "");
    assert_eq!(refused(&drain, &action, 60), "");
    assert_eq!(refused(&drain, &action, 61), "its status was not read lately");
    assert_eq!(refused(&paused(&drain), &action, 1), "the drain is paused");
    let other = Action::SetDraining { cluster: cluster(), container_instance: "c2".to_owned() };
    assert_eq!(refused(&drain, &other, 1), "its status was not read lately");
    let waiting = after("", &["0s ACTIVE tasks=web:RUNNING", "5s DRAINING"]);
    assert_eq!(refused(&waiting, &action, 6), "the container instance is not ACTIVE");
}

#[test]
fn set_active() {
    let action = Action::SetActive { cluster: cluster(), container_instance: C1.to_owned() };
    let passes = ["0s ACTIVE group=InService", "5s DRAINING", "10s cancel"];
    let drain = after("then=keep", &passes);
    assert_eq!(refused(&drain, &action, 11), "");
    assert_eq!(refused(&paused(&drain), &action, 11), "the drain is paused");
    assert_eq!(
        refused(&after("then=keep", &passes[..2]), &action, 11),
        "its DRAINING is not to be undone"
    );
    let foreign =
        after("then=keep", &["0s DRAINING tasks=web:RUNNING group=InService", "5s cancel"]);
    assert_eq!(refused(&foreign, &action, 6), "its DRAINING is not to be undone");
}

#[test]
fn stop_a_task() {
    let stop =
        |task: &str| Action::StopTask { cluster: cluster(), task: format!("task/prod/{task}") };
    let drain =
        after("standalone=60s", &["0s DRAINING tasks=standalone:RUNNING,web:RUNNING", "61s"]);
    assert_eq!(refused(&drain, &stop("t1"), 62), "");
    assert_eq!(refused(&drain, &stop("t1"), 122), "its status was not read lately");
    assert_eq!(refused(&paused(&drain), &stop("t1"), 62), "the drain is paused");
    assert_eq!(refused(&drain, &stop("t2"), 62), "the task is not to be stopped");
    assert_eq!(refused(&drain, &stop("t9"), 62), "the task is not known any more");
    let lines = ["0s DRAINING tasks=standalone:RUNNING", "61s tasks=none"];
    assert_eq!(refused(&after("standalone=60s", &lines), &stop("t1"), 62), "the task has stopped");
    let lines = ["0s DRAINING tasks=standalone:RUNNING", "61s tasks=standalone:RUNNING!"];
    assert_eq!(
        refused(&after("standalone=60s", &lines), &stop("t1"), 62),
        "the task is not to be stopped"
    );
    let active = after("standalone=60s", &["0s DRAINING tasks=standalone:RUNNING", "61s ACTIVE"]);
    assert_eq!(refused(&active, &stop("t1"), 62), "its container instance takes tasks");
}

#[test]
fn deregister() {
    let action = Action::Deregister { cluster: cluster(), container_instance: C1.to_owned() };
    let passes = ["0s ACTIVE", "5s DRAINING", "66s", "127s"];
    let mut drain = after("strategy=deregister", &passes);
    assert_eq!(refused(&drain, &action, 128), "");
    assert_eq!(refused(&drain, &action, 188), "its status was not read lately");
    assert_eq!(refused(&paused(&drain), &action, 128), "the drain is paused");
    let early = after("strategy=deregister", &passes[..3]);
    assert_eq!(refused(&early, &action, 67), "its deregistration is not in the record");
    // ACTIVE for a moment: tasks that were placed meanwhile are in no list.
    status(&mut drain, 128, |sight| sight.status = ContainerInstanceStatus::Active);
    assert_eq!(refused(&drain, &action, 128), "its container instance takes tasks");
    status(&mut drain, 129, |sight| sight.status = ContainerInstanceStatus::Draining);
    assert_eq!(refused(&drain, &action, 130), "its tasks have to be listed again");
}

/// Returns a drain whose intent is saved, and the call for it.
fn completing() -> (Drain, Action) {
    let drain = after("", &["0s DRAINING found=web/10", "61s", "122s answer=error"]);
    let action = Action::Complete(drain.record.intent().unwrap().clone());
    assert_eq!(refused(&drain, &action, 123), "");
    (drain, action)
}

#[test]
fn complete_only_while_the_proof_holds() {
    let changed = "the checks are out of date";
    let (drain, action) = completing();
    assert_eq!(refused(&drain, &action, 132), "");
    assert_eq!(refused(&drain, &action, 133), changed, "its status is too old");
    assert_eq!(refused(&paused(&drain), &action, 123), "the drain is paused");

    let (mut drain, action) = completing();
    status(&mut drain, 124, |sight| (sight.live, sight.version) = (1, sight.version + 1));
    assert_eq!(refused(&drain, &action, 124), changed, "the counters name a task");

    let (mut drain, action) = completing();
    status(&mut drain, 124, |sight| sight.status = ContainerInstanceStatus::Active);
    assert_eq!(refused(&drain, &action, 124), changed, "it takes tasks");

    let (mut drain, action) = completing();
    let list = Answer::Discovered { of: C1.to_owned(), tasks: vec!["task/prod/t9".to_owned()] };
    let at = now(124).mono;
    drain.heed(&Policy::default(), Read { began: at, ended: at }, list);
    assert_eq!(refused(&drain, &action, 124), changed, "a task was found");

    let (drain, action) = completing();
    let restarted = Drain::new(drain.record, Mono::START);
    assert_eq!(refused(&restarted, &action, 124), changed, "nothing was read yet");
}

/// A list (b) lasts a minute, or five while the version is the one of a lag before the list began.
#[test]
fn an_unchanged_version_vouches_for_a_list() {
    let changed = "the checks are out of date";
    let (mut drain, action) = completing();
    status(&mut drain, 182, |_| {});
    assert_eq!(refused(&drain, &action, 183), changed, "its clusters were searched too long ago");
    searched(&mut drain, 182);
    assert_eq!(refused(&drain, &action, 183), "");
    status(&mut drain, 415, |_| {});
    searched(&mut drain, 415);
    assert_eq!(refused(&drain, &action, 422), "");
    assert_eq!(refused(&drain, &action, 423), changed);

    let (mut drain, action) = completing();
    status(&mut drain, 182, |sight| sight.version += 1);
    searched(&mut drain, 182);
    assert_eq!(refused(&drain, &action, 182), "");
    assert_eq!(refused(&drain, &action, 183), changed);
}

/// If there are more balancers than can be read in five minutes, reads become too old while others
/// are made. They are needed since nothing was left, and before all reads that can wait: each drain
/// in turn gets all of its reads.
#[test]
fn a_look_that_grew_old_is_wanted_since_nothing_was_left() {
    let (mut drain, _) = completing();
    let emptied = drain.facts.emptied.unwrap();
    let wanted = |drain: &Drain, second| match judge(
        &drain.record,
        &drain.facts,
        &Policy::default(),
        now(second),
    ) {
        Verdict::Missing(_, _, needs) => needs.of(Kind::Targets),
        Verdict::Proved | Verdict::Remains(_) => None,
    };
    status(&mut drain, 415, |_| {});
    assert_eq!(wanted(&drain, 422), None);
    assert_eq!(wanted(&drain, 423), Some(Need { from: emptied, class: Class::Last, due: emptied }));
    let target = drain.facts.targets[0].obligation.clone();
    let gone = Answer::Targets(vec![(target.balancer, target.target, TargetSight::Gone)]);
    let at = now(430).mono;
    drain.heed(&Policy::default(), Read { began: at, ended: at }, gone);
    status(&mut drain, 430, |_| {});
    assert_eq!(wanted(&drain, 431), None);
}

#[test]
fn complete_only_what_is_in_the_record() {
    let (drain, action) = completing();
    let mut other = drain.clone();
    other.record.stage = Stage::Returning { intent: drain.record.intent().cloned() };
    assert_eq!(refused(&other, &action, 123), "the drain is not being completed");
    other.record.stage = Stage::Waiting;
    assert_eq!(refused(&other, &action, 123), "another intent is in the record");
    let with = |outcome| {
        let mut drain = drain.clone();
        drain.record.stage = stage(Phase::Completing, outcome);
        let action = Action::Complete(drain.record.intent().unwrap().clone());
        (drain, action)
    };
    let (mut late, action) = with(Outcome::TimedOut);
    assert_eq!(refused(&late, &action, 123), "its deadline has not passed");
    late.record.deadline = Some(epoch() + Duration::from_secs(123));
    assert_eq!(refused(&late, &action, 122), "its deadline has not passed");
    assert_eq!(refused(&late, &action, 123), "");
    let (mut ordered, action) = with(Outcome::Forced);
    assert_eq!(refused(&ordered, &action, 123), "the order to force it was withdrawn");
    ordered.record.orders.force = Some(ada());
    assert_eq!(refused(&ordered, &action, 999), "");
    let (mut nowhere, action) = with(Outcome::NotInCluster);
    assert_eq!(refused(&nowhere, &action, 123), "it registered with a cluster after all");
    nowhere.record.container_instances.clear();
    assert_eq!(refused(&nowhere, &action, 123), "no recent search found it in no cluster");
    let search =
        |began: u64, ended: u64| crate::Read { began: now(began).mono, ended: now(ended).mono };
    nowhere.facts.search.nowhere = Some(crate::Run { first: search(2, 3), last: search(10, 100) });
    assert_eq!(refused(&nowhere, &action, 123), "");
    assert_eq!(refused(&nowhere, &action, 221), "no recent search found it in no cluster");
    for outcome in [Outcome::Cancelled, Outcome::InstanceGone, Outcome::WaitLost] {
        let (drain, action) = with(outcome);
        assert_eq!(refused(&drain, &action, 123), "no call ends a drain so");
    }
}

#[test]
fn terminate() {
    let action = Action::Terminate { group: "workers".to_owned(), shrink: false };
    let drain = after("then=terminate", &["0s DRAINING group=InService", "61s", "122s"]);
    assert_eq!(drain.record.then, Some(Then::Terminate));
    assert_eq!(refused(&drain, &action, 123), "");
    assert_eq!(refused(&drain, &action, 133), "the checks are out of date");
    assert_eq!(refused(&paused(&drain), &action, 123), "the drain is paused");
    let mut late = drain.clone();
    late.facts.group.termination_asked = late
        .facts
        .group
        .termination_asked
        .map(|(since, at)| (since, at.before(Duration::from_secs(31))));
    assert_eq!(refused(&late, &action, 123), "the termination request is too old");
    let mut adopted = drain.clone();
    adopted.record.lifecycle = after("", &["0s ACTIVE"]).record.lifecycle;
    assert_eq!(refused(&adopted, &action, 123), "a lifecycle hook keeps it waiting by now");
    let mut unsaved = drain.clone();
    unsaved.record.termination_asked_at = None;
    assert_eq!(refused(&unsaved, &action, 123), "the termination request is not in the record");
    let mut unmeant = drain;
    unmeant.record.stage = Stage::Verifying;
    assert_eq!(refused(&unmeant, &action, 123), "there is no intent in the record");
}

/// Another generation is another drain and starts without facts; the same one keeps them.
#[test]
fn a_new_generation_knows_nothing() {
    let mut drain = after("", &["0s DRAINING", "61s"]);
    let mut next = drain.record.clone();
    next.version += 1;
    drain.take(next.clone(), now(62).mono);
    assert!(drain.facts.of(C1).unwrap().running.is_some());
    next.generation += 1;
    drain.take(next, now(63).mono);
    assert!(drain.facts.of(C1).unwrap().sight.is_none());
}

/// A process that leads again after another has drained the instance may have read `ACTIVE` long
/// ago. That does not show that the DRAINING, which came after it, is undone.
#[test]
fn what_was_read_before_another_led_does_not_show_the_way_back() {
    let mut drain = after("kind=returns-to-warm-pool", &["0s ACTIVE group=Warmed:Pending:Wait"]);
    let mut record = drain.record.clone();
    record.version += 5;
    record.stage = stage(Phase::Returning, Outcome::Drained);
    drain.take(record, now(600).mono);
    let member = |state: &str| {
        let hook = Seen::Unknown("not asked".to_owned());
        let state = LifecycleState::read(state);
        GroupSight::Member { group: "workers".to_owned(), state, healthy: true, hook }
    };
    let read = Read { began: now(601).mono, ended: now(601).mono };
    drain.heed(&Policy::default(), read, Answer::Group(Seen::Yes(member("InService"))));
    let decided =
        |drain: &Drain, second| drain.decide(&Policy::default(), &Context::default(), now(second));
    let early = decided(&drain, 601);
    assert_eq!(early.record.phase(), Phase::Returning);
    assert!(
        early.needs.of(Kind::Status).is_some_and(|need| need.from <= now(601).mono),
        "{:?}",
        early.needs
    );
    status(&mut drain, 602, |sight| sight.status = ContainerInstanceStatus::Active);
    assert_eq!(decided(&drain, 602).record.outcome(), Some(Outcome::Drained));
}
