//! The words for targets and spans, and notes that are written once only.

use super::fixture::{
    check, container_instance, container_instance_sight, epoch, obligation, opened, stage,
};
use crate::decide::clear::describe_target;
use crate::decide::{CompletionAnswer, Context, after_completion, show_target};
use crate::drain::Drain;
use crate::facts::Answer;
use crate::phase::{Outcome, Phase};
use crate::policy::Policy;
use crate::record::{Obligation, Target, WaitKind, later};
use crate::sight::TargetSight;
use crate::time::{Mono, Now, Read};
use crate::why::Span;
use expect_test::expect;
use jiff::SignedDuration;
use std::time::Duration;

/// A remaining time is never shown shorter than it is.
#[test]
fn a_span() {
    for (milliseconds, said) in [
        (0, "0 s"),
        (1, "1 s"),
        (45_000, "45 s"),
        (45_001, "46 s"),
        (600_000, "10 min"),
        (659_001, "11 min"),
        (661_000, "11 min 1 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
    ] {
        assert_eq!(Span(Duration::from_millis(milliseconds)).to_string(), said);
    }
}

/// A draining target is shown with its remaining delay, or with the end of it, if they are known.
#[test]
fn a_registration_that_drains() {
    let at = |seconds| later(epoch(), SignedDuration::from_secs(seconds));
    let leaving = Obligation { draining_since: Some(epoch()), ..obligation("web/60") };
    let said =
        |of: &Obligation, draining, seconds| describe_target(of, "draining", draining, at(seconds));
    assert_eq!(
        said(&leaving, true, 59),
        "i-1 in target group web is draining, until 2026-01-01T00:01:00Z at most"
    );
    assert_eq!(
        said(&leaving, true, 60),
        "i-1 in target group web is draining, past its delay since 2026-01-01T00:01:00Z"
    );
    assert_eq!(said(&leaving, false, 59), "i-1 in target group web is draining");
    assert_eq!(said(&obligation("web/60"), true, 59), "i-1 in target group web is draining");
    // In the table a remaining time would be stale when it is read.
    assert_eq!(
        show_target(&leaving, "draining", true),
        "i-1 in target group web: draining, until 2026-01-01T00:01:00Z at most"
    );
    assert_eq!(show_target(&leaving, "healthy", false), "i-1 in target group web: healthy");
}

/// Only a target that is the instance itself can show that the instance does not run, and only
/// while its agent is disconnected.
#[test]
fn a_stopped_instance_is_said_by_its_own_target() {
    let stopped = |target: Target, status: &str, instance_dead| {
        let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
        record.obligations.push(Obligation { target: target.clone(), ..obligation("web") });
        let mut drain = Drain::new(record, Mono::START);
        let sight = container_instance_sight(status, 0, 1);
        drain.heed(&Policy::default(), read(1), Answer::Status { of: "c1".to_owned(), sight });
        let sight =
            TargetSight::Present { state: "unused".to_owned(), draining: false, instance_dead };
        let targets = vec![(obligation("web").balancer, target, sight)];
        drain.heed(&Policy::default(), read(2), Answer::Targets(targets));
        drain.facts.stopped
    };
    let (instance, address) =
        (|| Target::Instance("i-1".to_owned()), || Target::Ip("10.0.0.1".to_owned()));
    assert!(stopped(instance(), "DRAINING!", true));
    assert!(!stopped(instance(), "DRAINING", true));
    assert!(!stopped(instance(), "DRAINING!", false));
    assert!(!stopped(address(), "DRAINING!", true));
}

fn read(second: u64) -> Read {
    let began = Mono::at(Duration::from_secs(second));
    Read { began, ended: began }
}

/// The result for a group that retains abandoned instances may be sent many times.
#[test]
fn the_same_answer_is_noted_once() {
    let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
    record.stage = stage(Phase::Completing, Outcome::Abandoned);
    record.lifecycle.as_mut().unwrap().retains_abandoned = true;
    let told = |record, answer| after_completion(record, answer, &Policy::default(), epoch());
    let once = told(&record, &CompletionAnswer::Accepted);
    assert_eq!(once.history.len(), record.history.len() + 1);
    assert_eq!(told(&once, &CompletionAnswer::Accepted), once);
    assert_eq!(
        told(&once, &CompletionAnswer::NoActiveAction).history.len(),
        once.history.len() + 1
    );
}

/// A target that a service registers too is waited for, in whatever order the two are found.
#[test]
fn a_registration_of_a_service_too_is_not_the_groups_alone() {
    let absorbed = |known, found| {
        let with = |of_group_alone| Obligation { of_group_alone, ..obligation("web") };
        let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
        record.obligations.push(with(known));
        let mut drain = Drain::new(record, Mono::START);
        drain.heed(&Policy::default(), read(1), Answer::Registrations(vec![with(found)]));
        let now = Now { mono: read(1).ended, wall: epoch() };
        let decision = drain.decide(&Policy::default(), &Context::default(), now);
        decision.record.obligations[0].of_group_alone
    };
    assert!(absorbed(true, true));
    assert!(!absorbed(true, false));
    assert!(!absorbed(false, true));
}

/// The watched time of a target is written every half minute, and not at each read.
#[test]
fn what_is_watched_is_written_now_and_then() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING found=net-web/30 targets=net-web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                                                           => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s                                                                    => Waiting search≥1m6s 30s TasksLeft(1)
        20s                                                                    => Waiting search≥1m6s 30s TasksLeft(1)
        36s                                                                    => Waiting saved search≥1m6s 30s TasksLeft(1)
        41s                                                                    => Waiting search≥1m6s 30s TasksLeft(1)
        4 writes
    "#]]);
}

/// A drain that has ended meanwhile, or has left Completing, is not changed.
#[test]
fn an_answer_that_comes_too_late_moves_nothing() {
    for phase in [Phase::Waiting, Phase::Returning, Phase::Done] {
        let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
        record.stage = stage(phase, Outcome::Drained);
        assert_eq!(
            after_completion(&record, &CompletionAnswer::Accepted, &Policy::default(), epoch()),
            record
        );
    }
}
