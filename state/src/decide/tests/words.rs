//! What is said of registrations and spans, and what is written once only.

use super::fixture::{check, container_instance, epoch, obligation, opened};
use crate::decide::clear::{describe_target, is_stopped};
use crate::decide::{CompletionAnswer, Context, after_completion, decide, show_target};
use crate::observation::{Observation, Seen, TargetSight};
use crate::phase::{Outcome, Phase};
use crate::policy::Policy;
use crate::record::{ActionResult, Intent, Obligation, Target, WaitKind, later};
use crate::sightings::Sightings;
use crate::why::Span;
use jiff::SignedDuration;
use std::time::Duration;

/// What is left is never said to be less than it is.
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

/// With how long its balancer drains it yet, or since when that time is over, where that is known.
#[test]
fn a_registration_that_drains() {
    let at = |seconds| later(epoch(), SignedDuration::from_secs(seconds));
    let leaving = Obligation { draining_since: Some(epoch()), ..obligation("web/60") };
    let said = |of: &Obligation, draining, seconds| describe_target(of, "draining", draining, at(seconds));
    assert_eq!(said(&leaving, true, 59), "i-1 in target group web is draining, at most 1 s left");
    assert_eq!(
        said(&leaving, true, 60),
        "i-1 in target group web is draining, past its delay since 2026-01-01T00:01:00Z"
    );
    assert_eq!(said(&leaving, false, 59), "i-1 in target group web is draining");
    assert_eq!(said(&obligation("web/60"), true, 59), "i-1 in target group web is draining");
    // In the table a span would grow old.
    assert_eq!(
        show_target(&leaving, "draining", true),
        "i-1 in target group web: draining, until 2026-01-01T00:01:00Z at most"
    );
    assert_eq!(show_target(&leaving, "healthy", false), "i-1 in target group web: healthy");
}

/// Only a target that is the instance itself can say that the instance does not run.
#[test]
fn a_stopped_instance_is_said_by_its_own_target() {
    let dead = |target: Target, instance_dead| {
        let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
        record.obligations.push(Obligation { target, ..obligation("web") });
        let target = TargetSight::Present { state: "unused".to_owned(), draining: false, instance_dead };
        is_stopped(&record, &seen(Seen::Yes(vec![target])))
    };
    let (instance, address) = (|| Target::Instance("i-1".to_owned()), || Target::Ip("10.0.0.1".to_owned()));
    assert!(dead(instance(), true));
    assert!(!dead(instance(), false));
    assert!(!dead(address(), true));
}

fn seen(targets: Seen<Vec<TargetSight>>) -> Observation {
    let unknown = || "not read".to_owned();
    Observation {
        begun: Duration::ZERO,
        begun_at: epoch(),
        ended: Duration::ZERO,
        group: Seen::Unknown(unknown()),
        group_begun: Duration::ZERO,
        container_instances: Seen::Unknown(unknown()),
        tasks_listed: Duration::ZERO,
        tasks: Seen::Unknown(unknown()),
        obligations: Seen::Unknown(unknown()),
        targets,
        lookup: None,
    }
}

/// A group that keeps what is abandoned may be told many times.
#[test]
fn the_same_answer_is_noted_once() {
    let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
    record.phase = Phase::Completing;
    record.lifecycle.as_mut().unwrap().retains_abandoned = true;
    let (result, outcome) = (ActionResult::Abandon, Outcome::Abandoned);
    record.intent = Some(Intent { result, outcome, reason: "its deadline has passed".to_owned(), at: epoch() });
    let told = |record, answer| after_completion(record, answer, &Policy::default(), epoch());
    let once = told(&record, &CompletionAnswer::Accepted);
    assert_eq!(once.history.len(), record.history.len() + 1);
    assert_eq!(told(&once, &CompletionAnswer::Accepted), once);
    assert_eq!(told(&once, &CompletionAnswer::NoActiveAction).history.len(), once.history.len() + 1);
}

/// What a service accounts for too is waited for, in whatever order the two are seen.
#[test]
fn a_registration_of_a_service_too_is_not_the_groups_alone() {
    let absorbed = |known, found| {
        let with = |of_group_alone| Obligation { of_group_alone, ..obligation("web") };
        let mut record = opened(WaitKind::Terminating, vec![container_instance(1)]);
        record.obligations.push(with(known));
        let seen =
            Observation { obligations: Seen::Yes(vec![with(found)]), ..seen(Seen::Unknown("not read".to_owned())) };
        let sightings = Sightings::default();
        let decision = decide(&record, &seen, &Policy::default(), &Context::new(&sightings), epoch());
        decision.record.obligations[0].of_group_alone
    };
    assert!(absorbed(true, true));
    assert!(!absorbed(true, false));
    assert!(!absorbed(false, true));
}

/// For how long a registration was watched is written every half minute, and not at each look.
#[test]
fn what_is_watched_is_written_now_and_then() {
    check(
        "
        0s  ACTIVE tasks=web:RUNNING found=net-web/30 targets=net-web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                                                           => Waiting saved 5s TasksLeft(1)
        10s                                                                    => Waiting 5s TasksLeft(1)
        20s                                                                    => Waiting 5s TasksLeft(1)
        36s                                                                    => Waiting saved 5s TasksLeft(1)
        41s                                                                    => Waiting 5s TasksLeft(1)
        4 writes
        ",
    );
}
