//! Every combination of a few sights, in every phase, against the decisions that are never allowed.

mod judge;

use super::fixture::{
    ada, container_instance, container_instance_sight, epoch, group, obligation, opened, ordered,
    stage, task,
};
use crate::decide::{Action, Context};
use crate::drain::Drain;
use crate::facts::{Answer, TaskAnswer, Wanted};
use crate::phase::{Outcome, Phase};
use crate::policy::{AtDeadline, DaemonTasks, Policy, StandaloneTasks};
use crate::record::{Record, Strategy, Then, WaitKind, later};
use crate::sight::{Seen, TargetSight};
use crate::time::{Mono, Now, Read};
use crate::why::Why;
use jiff::SignedDuration;
use judge::judge;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time of the decision, seconds; the drains are older than every span of the policy.
const NOW: u64 = 2001;

/// A drain before the reads.
struct Case {
    drain: Drain,
    policy: Policy,
    /// True if everything was seen gone before, for long and often enough.
    ripe: bool,
}

/// The answers of one pass; `?` is a failed read.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Status of each container instance.
    status: &'static str,
    /// The one task that is there; empty for none.
    task: &'static str,
    /// The target that is found.
    found: &'static str,
    /// The balancer's answer about the target.
    target: &'static str,
    group: &'static str,
    /// True if a search found one container instance more.
    second: bool,
}

#[test]
fn no_combination_breaks_a_rule() {
    let now = Now { mono: second(NOW), wall: epoch() + Duration::from_secs(NOW) };
    let (mut passes, mut refused) = (0, 0);
    let mut decided: BTreeMap<&str, u32> = BTreeMap::new();
    for case in cases() {
        for look in looks(&case.drain.record) {
            let mut drain = case.drain.clone();
            answers(&look, &drain)
                .into_iter()
                .for_each(|answer| drain.heed(&case.policy, at(NOW - 1), answer));
            let decision = drain.decide(&case.policy, &Context::default(), now);
            if let Err(rule) = judge(&case, &look, &drain, &decision) {
                panic!(
                    "{rule}:\nbefore {:#?}\nripe {}, seen {look:#?}\ndecided {decision:#?}",
                    drain.record, case.ripe
                );
            }
            passes += 1;
            for action in &decision.actions {
                *decided.entry(name(action)).or_default() += 1;
            }
            // The guard agrees with a decision of a moment ago. Only calls that can be undone may
            // rest on older facts than the guard allows.
            drain.take(decision.record.clone(), now.mono);
            for action in &decision.actions {
                let sent = drain.may_send(action, &case.policy, now);
                refused += u32::from(sent.is_err());
                let reversible =
                    matches!(action, Action::StopTask { .. } | Action::SetDraining { .. });
                assert!(
                    sent.is_ok() || reversible,
                    "{action:?} is decided and refused: {sent:?}, {look:?}"
                );
            }
        }
    }
    // A rule that no case reaches proves nothing.
    println!("{passes} passes, {refused} refused, {decided:?}");
    assert!(passes > 100_000);
    for action in ["Complete", "Deregister", "SetActive", "SetDraining", "StopTask", "Terminate"] {
        assert!(decided.get(action).is_some_and(|times| *times > 100), "{action}: {decided:?}");
    }
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::SetDraining { .. } => "SetDraining",
        Action::SetActive { .. } => "SetActive",
        Action::StopTask { .. } => "StopTask",
        Action::Deregister { .. } => "Deregister",
        Action::Terminate { .. } => "Terminate",
        Action::Complete(_) => "Complete",
    }
}

fn second(second: u64) -> Mono {
    Mono::at(Duration::from_secs(second))
}

fn at(began: u64) -> Read {
    Read { began: second(began), ended: second(began + 1) }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, policy) in policies().into_iter().enumerate() {
        for record in records() {
            // An order has the same effect under every policy, so one policy is enough.
            for record in if n == 0 { with_orders(record) } else { vec![record] } {
                let deadline =
                    policy.deadline.map(|d| later(epoch(), SignedDuration::try_from(d).unwrap()));
                let record = Record { deadline, strategy: policy.strategy, ..record };
                for ripe in [false, true] {
                    let mut drain = Drain::new(record.clone(), Mono::START);
                    if ripe {
                        ripen(&mut drain, &policy);
                    }
                    cases.push(Case { drain, policy: policy.clone(), ripe });
                }
            }
        }
    }
    cases
}

/// Gives the drain a long history in which everything was seen gone, by agents that are
/// disconnected, and the groups once: one more pass decides.
fn ripen(drain: &mut Drain, policy: &Policy) {
    let arns: Vec<_> = drain.record.container_instances.iter().map(|one| one.arn.clone()).collect();
    let status = |of: &String| Answer::Status {
        of: of.clone(),
        sight: container_instance_sight("DRAINING!", 0, 1),
    };
    let list = |of: &String, wanted| Answer::List { of: of.clone(), wanted, tasks: Vec::new() };
    let target = || {
        Answer::Targets(vec![(
            obligation("web").balancer,
            obligation("web").target,
            TargetSight::Gone,
        )])
    };
    let search = |found| Answer::Search { unread: Vec::new(), left_out: Vec::new(), found };
    let found = || drain_of(&arns);
    let mut history = vec![(1, search(found()))];
    history.extend(arns.iter().map(|of| (1, status(of))));
    history.extend(arns.iter().map(|of| (1500, list(of, Wanted::Running))));
    history.push((1500, target()));
    history.extend(arns.iter().map(|of| (1950, list(of, Wanted::Stopped))));
    history.extend([(1980, target()), (1990, search(found()))]);
    let returns = drain.record.phase() == Phase::Returning;
    let groups =
        if returns { ["Warmed:Stopped", "absent"] } else { ["Terminating:Proceed", "absent"] };
    history.extend(
        [1985, 1990]
            .into_iter()
            .zip(groups)
            .map(|(at, word)| (at, Answer::Group(group(word, "60", false)))),
    );
    history.extend(arns.iter().map(|of| (1993, status(of))));
    history.into_iter().for_each(|(began, answer)| drain.heed(policy, at(began), answer));
}

fn drain_of(arns: &[String]) -> Vec<crate::record::ContainerInstance> {
    (1..=arns.len()).map(container_instance).collect()
}

/// Returns the answers of a pass.
fn answers(look: &Look, drain: &Drain) -> Vec<Answer> {
    let registered = drain.record.container_instances.len();
    let mut all = Vec::new();
    let arns: Vec<_> = drain.record.container_instances.iter().map(|one| one.arn.clone()).collect();
    let gone = look.status == "INACTIVE";
    if look.status != "?" {
        let live = u32::from(look.task.ends_with("RUNNING"));
        let version = if look.task.is_empty() || look.task == "?" { 1 } else { 2 };
        let sight = || container_instance_sight(look.status, live, version);
        all.extend(arns.iter().map(|of| Answer::Status { of: of.clone(), sight: sight() }));
    }
    if look.task != "?" && !gone {
        let stops = look.task.ends_with("STOPPING");
        for of in &arns {
            for wanted in [Wanted::Running, Wanted::Stopped] {
                let named =
                    !look.task.is_empty() && stops == (wanted == Wanted::Stopped) && of == "c1";
                let tasks = if named { vec!["t1".to_owned()] } else { Vec::new() };
                all.push(Answer::List { of: of.clone(), wanted, tasks });
            }
        }
        if !look.task.is_empty() && !arns.is_empty() {
            let known = TaskAnswer::Found(task(look.task), Seen::Yes(vec![obligation("web")]));
            all.push(Answer::Tasks(vec![("t1".to_owned(), known)]));
        }
    }
    if look.found != "?" {
        all.push(Answer::Registrations(vec![obligation(look.found)]));
    }
    let state = |state: &str| TargetSight::Present {
        state: state.to_owned(),
        draining: true,
        instance_dead: false,
    };
    match look.target {
        "?" => {}
        word => {
            let sight = if word == "gone" { TargetSight::Gone } else { state(word) };
            all.push(Answer::Targets(vec![(
                obligation("web").balancer,
                obligation("web").target,
                sight,
            )]));
        }
    }
    if look.group != "?" {
        all.push(Answer::Group(group(look.group, "60", false)));
    }
    if look.second {
        let found = (1..=registered + 1).map(container_instance).collect();
        all.push(Answer::Search { unread: Vec::new(), left_out: Vec::new(), found });
    }
    all
}

/// Returns a drain in every phase, with every intent, with one, two and no container instances.
fn records() -> Vec<Record> {
    let with = |phase: Phase, outcome: Option<Outcome>, registered: usize| {
        let kind = if phase == Phase::Returning {
            WaitKind::ReturnsToWarmPool
        } else {
            WaitKind::Terminating
        };
        let mut record = opened(kind, (1..=registered).map(container_instance).collect());
        record.stage = stage(phase, outcome.unwrap_or(Outcome::TimedOut));
        record.obligations = vec![obligation("web/60")];
        if let Some(first) = record.container_instances.first_mut() {
            first.draining_is_ours = phase != Phase::Pending;
        }
        if let Some(outcome) = record.outcome() {
            record.explain(&Why::Done(outcome), epoch());
        }
        record
    };
    let mut records = vec![
        with(Phase::Pending, None, 0),
        with(Phase::Pending, None, 1),
        with(Phase::Deregistering, None, 1),
        with(Phase::Waiting, None, 0),
        with(Phase::Waiting, None, 1),
        with(Phase::Verifying, None, 1),
        with(Phase::Verifying, None, 2),
        with(Phase::Completing, Some(Outcome::NotInCluster), 0),
        with(Phase::Completing, Some(Outcome::TimedOut), 0),
        with(Phase::Returning, Some(Outcome::Drained), 1),
        with(Phase::Done, Some(Outcome::Drained), 1),
    ];
    use Outcome::*;
    let intents = [Drained, TimedOut, Abandoned, Forced, NotInCluster, WaitLost];
    records.extend(intents.map(|outcome| with(Phase::Completing, Some(outcome), 1)));
    records
}

/// Returns the drain as it is, paused, forced, and as an operator's: to terminate, to keep,
/// cancelled.
fn with_orders(record: Record) -> Vec<Record> {
    let operators = Record { lifecycle: None, global_limit: None, ..record.clone() };
    let then = |then| Record { then: Some(then), ..operators.clone() };
    let mut all = vec![
        ordered(&record, |orders| orders.pause = Some(ada())),
        ordered(&record, |orders| orders.force = Some(ada())),
        then(Then::Keep),
        ordered(&then(Then::Keep), |orders| orders.force = Some(ada())),
        then(Then::Terminate),
        ordered(&then(Then::Terminate), |orders| orders.cancel = Some(ada())),
    ];
    all.insert(0, record);
    all
}

fn policies() -> Vec<Policy> {
    let deadline = Some(Duration::from_secs(1000));
    vec![
        Policy::default(),
        Policy { deadline, at_deadline: AtDeadline::Continue, ..Policy::default() },
        Policy {
            strategy: Strategy::Deregister,
            standalone_tasks: StandaloneTasks::StopAfter(Duration::from_secs(60)),
            daemon_tasks: DaemonTasks::Wait,
            deadline,
            at_deadline: AtDeadline::Hold,
            ..Policy::default()
        },
    ]
}

/// Returns all combinations of the sights that make a difference to such a drain.
fn looks(record: &Record) -> Vec<Look> {
    let statuses: &[&str] = match record.container_instances.len() {
        0 => &["?"],
        _ => &["?", "ACTIVE", "DRAINING", "DRAINING!", "INACTIVE", "REGISTERING"],
    };
    let tasks = ["?", "", "web:STOPPING", "standalone:RUNNING", "daemon/log:RUNNING"];
    let groups = match (record.phase(), &record.lifecycle) {
        (Phase::Returning, _) => ["?", "InService", "Warmed:Stopped", "Terminating:Wait", "absent"],
        (_, Some(_)) => {
            ["?", "Terminating:Wait", "Terminating:Wait!", "Terminating:Proceed", "absent"]
        }
        // An instance that an operator drains is in service.
        (_, None) => ["?", "InService", "InService!", "Terminating:Wait", "absent"],
    };
    let mut all = Vec::new();
    for status in statuses {
        for task in tasks {
            for found in ["?", "late/60"] {
                for target in ["?", "gone", "draining"] {
                    for group in groups {
                        let look = |second| Look { status, task, found, target, group, second };
                        all.extend([false, true].map(look));
                    }
                }
            }
        }
    }
    all
}
