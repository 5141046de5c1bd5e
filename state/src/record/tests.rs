#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::decide::tests::fixture::{container_instance, epoch, opened, ordered, stage};
use crate::policy::Concurrency;
use crate::why::Left;

fn a_record() -> Record {
    opened(WaitKind::Terminating, vec![container_instance(1)])
}

fn ada() -> Order {
    Order { by: "Ada".to_owned(), reason: None, at: epoch() }
}

#[test]
fn its_key_is_account_region_and_instance() {
    let record = a_record();
    assert_eq!(
        record.key(),
        format!("{}/{}/{}", record.account, record.region, record.instance_id)
    );
    assert_eq!(key("1", "eu-west-1", "i-2"), "1/eu-west-1/i-2");
}

#[test]
fn its_group_is_the_lifecycle_actions_or_else_the_one_it_was_found_in() {
    let mut record = a_record();
    record.group = Some("found".to_owned());
    assert_eq!(record.group(), record.lifecycle.as_ref().map(|l| l.group.as_str()));
    record.lifecycle = None;
    assert_eq!(record.group(), Some("found"));
}

#[test]
fn a_task_that_reason_and_cause_name_is_named_once() {
    let mut record = a_record();
    let mut message = |count, first: &str, cause: &str| {
        record.shown.causes =
            vec![Note { name: "Any".to_owned(), text: cause.to_owned(), fix: None }];
        record.explain(&Why::TasksLeft(Left { count, first: first.to_owned() }), epoch());
        record.shown.message.clone()
    };
    let standalone = "standalone task 0a is RUNNING";
    assert_eq!(
        message(1, standalone, "task 0a is standalone; stop it"),
        "task 0a is standalone; stop it"
    );
    assert_eq!(
        message(3, standalone, "task 0a (and 2 more) is standalone"),
        "3 tasks left; task 0a (and 2 more) is standalone"
    );
    assert_eq!(
        message(1, standalone, "task 0b is standalone"),
        "standalone task 0a is RUNNING; task 0b is standalone"
    );
    assert_eq!(
        message(1, "task 0a of service shop is RUNNING", "no other container instance has room"),
        "task 0a of service shop is RUNNING; no other container instance has room"
    );
}

/// Ten minutes of refused completions end the heartbeats; a drain that is paused, or was not
/// refused, keeps its instance waiting.
#[test]
fn a_completion_that_is_refused_for_good() {
    let mut stage = stage(Phase::Completing, Outcome::Drained);
    let mut completing = |since| {
        if let Stage::Completing { refused_since, .. } = &mut stage {
            *refused_since = since;
        }
        stage.clone()
    };
    let refused = Record {
        stage: completing(Some(epoch())),
        updated_at: epoch() + SignedDuration::from_mins(10),
        ..opened(WaitKind::Terminating, Vec::new())
    };
    assert!(refused.is_refused_for_good());
    assert!(
        !Record { updated_at: epoch() + SignedDuration::from_mins(9), ..refused.clone() }
            .is_refused_for_good()
    );
    assert!(!Record { stage: completing(None), ..refused.clone() }.is_refused_for_good());
    assert!(!Record { stage: Stage::Verifying, ..refused.clone() }.is_refused_for_good());
    assert!(!ordered(&refused, |orders| orders.pause = Some(ada())).is_refused_for_good());
}

/// The first line, the beginning, is kept.
#[test]
fn a_history_that_is_full_loses_its_second_line() {
    let mut record = a_record();
    let began = record.history[0].clone();
    (0..HISTORY + 5).for_each(|n| record.note(epoch(), format!("line {n}")));
    assert_eq!((record.history.len(), &record.history[0]), (HISTORY, &began));
    assert_eq!(
        record.history.last().map(|event| event.what.clone()),
        Some(format!("line {}", HISTORY + 4))
    );
}

#[test]
fn a_budget_is_never_less_than_one() {
    assert_eq!((Concurrency::Count(3).of(100), Concurrency::Count(0).of(100)), (3, 1));
    let share = |percent, size| Concurrency::Percent(percent).of(size);
    assert_eq!(
        (share(67, 3), share(10, 3), share(10, 0), share(50, 101), share(100, 7)),
        (2, 1, 1, 50, 7)
    );
}

fn registration(balancer: Balancer, target: Target) -> Obligation {
    Obligation {
        balancer,
        target,
        delay_seconds: Some(30),
        network: None,
        draining_since: None,
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: epoch(),
    }
}

const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/0a1b";

#[test]
fn a_registration_is_told_in_a_persons_words() {
    let text = |balancer| registration(balancer, Target::Instance("i-1".to_owned())).to_string();
    assert_eq!(text(Balancer::TargetGroup(ARN.to_owned())), "i-1 in target group web");
    assert_eq!(
        text(Balancer::ClassicLoadBalancer("old".to_owned())),
        "i-1 in classic load balancer old"
    );
}

#[test]
fn the_same_registration_has_the_same_balancer_and_the_same_target() {
    let (web, old) =
        (Balancer::TargetGroup(ARN.to_owned()), Balancer::ClassicLoadBalancer("old".to_owned()));
    let one = registration(web.clone(), Target::Instance("i-1".to_owned()));
    assert!(one.is_same(&Obligation {
        delay_seconds: None,
        draining_since: Some(epoch()),
        ..one.clone()
    }));
    assert!(!one.is_same(&registration(web, Target::Ip("10.0.0.1".to_owned()))));
    assert!(!one.is_same(&registration(old, Target::Instance("i-1".to_owned()))));
}

#[test]
fn it_is_drained_after_its_delay_where_both_are_known() {
    let one =
        registration(Balancer::TargetGroup(ARN.to_owned()), Target::Instance("i-1".to_owned()));
    assert_eq!(one.drained_by(), None);
    let leaving = Obligation { draining_since: Some(epoch()), ..one };
    assert_eq!(leaving.drained_by(), Some(later(epoch(), SignedDuration::from_secs(30))));
    assert_eq!(Obligation { delay_seconds: None, ..leaving }.drained_by(), None);
}

fn opening(lifecycle: bool, origin: Origin, container_instances: usize) -> Opening {
    let record = a_record();
    Opening {
        account: record.account,
        region: record.region,
        instance_id: record.instance_id,
        controller: record.controller,
        origin,
        strategy: Strategy::Drain,
        lifecycle: record.lifecycle.filter(|_| lifecycle),
        group: None,
        then: None,
        requested: (origin == Origin::Operator).then(ada),
        container_instances: (1..=container_instances).map(container_instance).collect(),
        deadline: None,
        margin: SignedDuration::ZERO,
    }
}

#[test]
fn its_history_begins_with_why_and_where() {
    let began = |opening| Record::open(opening, epoch()).history[0].what.clone();
    let cases = [
        (
            began(opening(true, Origin::LifecycleHook, 0)),
            "waiting under hook drain of group workers; in no cluster yet",
        ),
        (
            began(opening(false, Origin::Operator, 1)),
            "requested by Ada; container instance of cluster prod",
        ),
        (
            began(opening(false, Origin::SpotInterruption, 2)),
            "Spot interruption announced; 2 container instances",
        ),
        (
            began(opening(false, Origin::Rebalance, 1)),
            "rebalance recommended; container instance of cluster prod",
        ),
    ];
    for (is, should) in cases {
        assert_eq!(is, should);
    }
}

/// A DRAINING set by ecs-drain can be undone until a drain has seen it ACTIVE again, however the
/// last one ended.
#[test]
fn a_new_generation_takes_over_whose_draining_it_is() {
    let ours = |then: Option<Then>, outcome: Outcome, kind: WaitKind, lifecycle: bool| {
        let mut old = opened(kind, vec![container_instance(1), container_instance(2)]);
        old.container_instances[0].draining_is_ours = true;
        (old.then, old.stage) = (then, stage(Phase::Done, outcome));
        old.lifecycle = old.lifecycle.filter(|_| lifecycle);
        let next = old.reopen(opening(true, Origin::LifecycleHook, 2), epoch());
        assert_eq!((next.generation, next.version), (2, old.version));
        next.container_instances.iter().map(|one| one.draining_is_ours).collect::<Vec<_>>()
    };
    let (keep, terminating) = (Some(Then::Keep), WaitKind::Terminating);
    assert_eq!(ours(keep, Outcome::Drained, terminating, false), [true, false]);
    assert_eq!(ours(keep, Outcome::Forced, terminating, false), [true, false]);
    assert_eq!(ours(keep, Outcome::Cancelled, terminating, false), [true, false]);
    assert_eq!(ours(None, Outcome::Drained, WaitKind::ReturnsToWarmPool, true), [true, false]);
}

/// The margin takes at most half of the time that is left.
#[test]
fn a_deadline_leaves_time_for_the_last_call() {
    let at = |minutes| later(epoch(), SignedDuration::from_mins(minutes));
    let latest =
        |limit, margin| latest_deadline(at(limit), SignedDuration::from_mins(margin), epoch());
    assert_eq!((latest(60, 5), latest(6, 5), latest(-1, 5)), (at(55), at(3), at(-1)));

    let mut record = a_record();
    record.global_limit = Some(at(60));
    record.set_deadline(at(55), SignedDuration::from_mins(5), epoch());
    assert_eq!(
        (record.deadline, record.history.len()),
        (Some(at(55)), 1),
        "nothing was cut, and nothing is said"
    );
    record.set_deadline(at(56), SignedDuration::from_mins(5), epoch());
    assert_eq!((record.deadline, record.history.len()), (Some(at(55)), 2));
}

/// The names, as the table has them.
#[test]
fn origins_and_strategies_have_names() {
    let origins =
        [Origin::LifecycleHook, Origin::Operator, Origin::SpotInterruption, Origin::Rebalance];
    assert_eq!(
        origins.map(Origin::name),
        ["lifecycle-hook", "operator", "spot-interruption", "rebalance"]
    );
    assert_eq!(
        [Strategy::Drain, Strategy::Deregister].map(Strategy::name),
        ["drain", "deregister"]
    );
}
