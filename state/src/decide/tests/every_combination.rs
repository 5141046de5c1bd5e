//! Every combination of a few sights, in every phase: what must never be decided, whatever is seen.

use super::fixture::{ada, container_instance, container_instance_sight, epoch, group, obligation, opened, task};
use crate::decide::{Action, Context, Decision, decide};
use crate::observation::*;
use crate::phase::{Outcome, Phase};
use crate::policy::{AtDeadline, DaemonTasks, Policy, StandaloneTasks};
use crate::record::{ActionResult, Intent, Record, Strategy, Then, WaitKind, later};
use crate::sightings::{AgentLost, Sightings};
use crate::why::Why;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// When the look begins and ends; the drains are older than every span of the policy.
const BEGUN: Duration = Duration::from_secs(2000);
const ENDED: Duration = Duration::from_secs(2001);

/// A drain as it stands before the look.
struct Case {
    record: Record,
    policy: Policy,
    sightings: Sightings,
}

#[test]
fn no_combination_breaks_a_rule() {
    let now = epoch() + ENDED;
    let (mut cases, mut passes, mut completed) = (Vec::new(), 0, 0);
    for record in records().into_iter().flat_map(with_orders) {
        for policy in policies() {
            let deadline = policy.deadline.map(|d| later(epoch(), SignedDuration::try_from(d).unwrap()));
            let record = Record { deadline, strategy: policy.strategy, ..record.clone() };
            for sightings in [Sightings::default(), ripe()] {
                cases.push(Case { record: record.clone(), policy: policy.clone(), sightings });
            }
        }
    }
    for case in &cases {
        for seen in observations(&case.record) {
            let sightings = case.sightings.fold(&case.record, &seen, &case.policy);
            let decision = decide(&case.record, &seen, &case.policy, &Context::new(&sightings), now);
            if let Err(rule) = judge(case, &seen, &sightings, &decision, now) {
                panic!("{rule}:\nbefore {:#?}\nseen {seen:#?}\ndecided {decision:#?}", case.record);
            }
            passes += 1;
            completed += u32::from(decision.actions.iter().any(|a| matches!(a, Action::Complete(_))));
        }
    }
    // A rule that nothing reaches proves nothing.
    assert!(passes > 100_000 && completed > 1_000, "{passes} passes, {completed} completed");
}

fn judge(
    case: &Case,
    seen: &Observation,
    sightings: &Sightings,
    decision: &Decision,
    now: Timestamp,
) -> Result<(), &'static str> {
    let (before, after) = (&case.record, &decision.record);
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    let moves: Vec<_> = after.history[before.history.len()..].iter().map(|e| e.phase).collect();
    let mut at = before.phase;
    for next in moves {
        rule(next == at || at.may_become(next), "a move must be legal")?;
        at = next;
    }
    rule(at == after.phase, "every move is in the history")?;
    rule(!decision.again.is_zero(), "a pass must not spin")?;
    let kept = before.obligations.iter().zip(&after.obligations).filter(|(b, a)| b.is_same(a)).count();
    rule(kept == before.obligations.len(), "an obligation is never forgotten")?;
    rule(after.container_instances.len() >= before.container_instances.len(), "a registration is never forgotten")?;
    let durable =
        |r: &Record| (r.phase, r.intent.clone(), r.obligations.len(), r.container_instances.clone(), r.cancel.clone());
    let changed = durable(before) != durable(after);
    rule(decision.save || !changed, "what changed is saved")?;
    rule((after.phase == Phase::Done) == after.outcome.is_some(), "only Done has an outcome")?;
    let may_intend = matches!(after.phase, Phase::Completing | Phase::Returning | Phase::Done);
    rule(after.intent.is_none() || may_intend || !changed, "an intent that is dropped is out of the record")?;
    let untouched = after.phase == Phase::Done && decision.actions.is_empty() && !decision.save;
    rule(before.phase != Phase::Done || untouched, "Done is done")?;
    if before.phase != Phase::Done && after.phase == Phase::Done {
        let over = sightings.past_wait_passes >= if after.intent.is_some() { 1 } else { 2 };
        let returned = before.phase == Phase::Returning;
        rule(
            sightings.gone_passes >= 2 || over || returned || ends_without_action(case, seen, after),
            "a drain ends by itself only when the instance is gone or our action over",
        )?;
    }
    if before.held.is_some() && before.phase != Phase::Done {
        rule(decision.actions.is_empty(), "nothing is done while it is held")?;
        rule(after.phase == before.phase || after.phase == Phase::Done, "nor decided")?;
    }
    decision.actions.iter().try_for_each(|action| judge_action(action, case, seen, after, now))
}

/// A drain that no hook began ends without telling anybody: what is kept once it is proved drained, what is cancelled
/// before anything was done, what an operator ends, and what its group terminates.
fn ends_without_action(case: &Case, seen: &Observation, after: &Record) -> bool {
    let keeps = matches!(after.then, Some(Then::Keep));
    let ended = match after.outcome {
        Some(Outcome::Drained) => keeps && all_is_gone(case, seen, after).is_ok(),
        Some(Outcome::Released) => after.release.is_some() && keeps,
        Some(Outcome::Cancelled) => {
            let nothing_done = case.record.phase == Phase::Pending;
            after.cancel.is_some() && (nothing_done || !after.container_instances.iter().any(|c| c.draining_is_ours))
        }
        Some(Outcome::NotInCluster) => after.container_instances.is_empty(),
        Some(Outcome::TimedOut | Outcome::Abandoned) => after.deadline.is_some(),
        Some(Outcome::InstanceGone | Outcome::WaitLost) | None => false,
    };
    after.lifecycle.is_none() && ended
}

fn judge_action(
    action: &Action,
    case: &Case,
    seen: &Observation,
    after: &Record,
    now: Timestamp,
) -> Result<(), &'static str> {
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    let status = |arn: &str| seen.container_instances.known().and_then(|all| all.iter().find(|c| c.arn == arn));
    let ours = |arn: &str| after.container_instances.iter().find(|c| c.arn == arn);
    match action {
        Action::SetDraining { container_instance: arn, .. } => {
            rule(status(arn).is_some_and(|c| c.status == ContainerInstanceStatus::Active), "only ACTIVE is drained")?;
            rule(ours(arn).is_some_and(|c| c.draining_is_ours), "a DRAINING that we ask for is ours")?;
            rule(seen.obligations.known().is_some(), "the obligations are known before anything goes")
        }
        Action::SetActive { container_instance: arn, .. } => {
            rule(after.phase == Phase::Returning, "only Returning undoes a DRAINING")?;
            let cancelled = after.cancel.is_some();
            let state = seen.group.known().and_then(|group| group.state());
            rule(cancelled || state == Some(&LifecycleState::InService), "once it is in service")?;
            rule(status(arn).is_some_and(|c| !c.status.is_gone()), "of what is there")?;
            rule(ours(arn).is_some_and(|c| c.draining_is_ours), "and only ours")
        }
        Action::StopTask { task, .. } => {
            rule(case.policy.standalone_tasks != StandaloneTasks::Wait, "only if the policy says so")?;
            let mut tasks = seen.tasks.known().into_iter().flatten();
            let stoppable = |t: &TaskSight| t.arn == *task && t.kind == TaskKind::Standalone && !t.stopping;
            rule(tasks.any(stoppable), "only a running task of no service is stopped")
        }
        Action::Deregister { container_instance: arn, .. } => {
            rule(case.record.strategy == Strategy::Deregister, "only by that strategy")?;
            rule(ours(arn).is_some_and(|c| c.deregistered_at.is_some()), "its moment is in the record")?;
            rule(seen.obligations.known().is_some(), "the obligations are known")?;
            let tasks = seen.tasks.known().ok_or("the tasks are known")?;
            rule(tasks.iter().all(|t| t.kind != TaskKind::Standalone), "no task of no service is hidden")
        }
        Action::Terminate { .. } => {
            rule(after.lifecycle.is_none(), "what a hook of ours holds is completed, not terminated")?;
            rule(after.then == Some(Then::Terminate), "only where that was asked for")?;
            rule(after.phase == Phase::Completing && after.termination_asked_at.is_some(), "it is in the record")?;
            let in_group = matches!(&seen.group, Seen::Yes(GroupSight::Member { .. }));
            rule(in_group, "it is in a group")?;
            match after.intent.as_ref().map(|i| i.outcome) {
                Some(Outcome::Drained) => all_is_gone(case, seen, after),
                Some(Outcome::Released) => rule(after.release.is_some(), "it was ordered"),
                _ => rule(after.deadline.is_some() || after.container_instances.is_empty(), "there is evidence"),
            }
        }
        Action::Complete(intent) => {
            rule(after.lifecycle.is_some(), "a lifecycle action is completed")?;
            rule(after.phase == Phase::Completing, "only Completing completes")?;
            rule(after.intent.as_ref() == Some(intent), "the intent is in the record")?;
            match intent.outcome {
                Outcome::Drained => all_is_gone(case, seen, after),
                Outcome::TimedOut | Outcome::Abandoned => {
                    rule(after.deadline.is_some_and(|d| d <= now), "the deadline has passed")
                }
                Outcome::NotInCluster => rule(after.container_instances.is_empty(), "it is in no cluster"),
                Outcome::Released => rule(after.release.is_some(), "it was ordered"),
                Outcome::Cancelled | Outcome::InstanceGone | Outcome::WaitLost => Err("nothing is told then"),
            }
        }
    }
}

/// The evidence for `Drained`, said once more in other words than the code's.
fn all_is_gone(case: &Case, seen: &Observation, after: &Record) -> Result<(), &'static str> {
    let instances = seen.container_instances.known().ok_or("the container instances are known")?;
    let tasks = seen.tasks.known();
    let found = seen.obligations.known().ok_or("the obligations are known")?;
    let targets = seen.targets.known().ok_or("the targets are known")?;
    if instances.is_empty() || instances.len() != after.container_instances.len() {
        return Err("every container instance was looked at");
    }
    use ContainerInstanceStatus::*;
    if !instances.iter().all(|c| matches!(c.status, Draining | Inactive | Missing)) {
        return Err("nothing new can land");
    }
    let unhealthy = matches!(&seen.group, Seen::Yes(GroupSight::Member { healthy: false, .. }));
    let away = case.sightings.agent_lost.is_some() && instances.iter().all(|c| !c.agent_connected);
    let daemons_hold = case.policy.daemon_tasks == DaemonTasks::Wait;
    let holds = |t: &TaskSight| daemons_hold || !matches!(t.kind, TaskKind::Daemon(_));
    if tasks.is_none_or(|all| all.iter().any(holds)) && !(unhealthy && away) {
        return Err("no task that matters is left");
    }
    if targets.len() != after.obligations.len() || !targets.iter().all(|t| *t == TargetSight::Gone) {
        return Err("every target was seen gone");
    }
    if found.iter().any(|f| !case.record.obligations.iter().any(|o| o.is_same(f))) {
        return Err("every obligation was looked at");
    }
    Ok(())
}

/// A drain in every phase, with every intent, registered once, twice or nowhere.
fn records() -> Vec<Record> {
    let with = |phase: Phase, outcome: Option<Outcome>, registered: usize| {
        let kind = if phase == Phase::Returning { WaitKind::ReturnsToWarmPool } else { WaitKind::Terminating };
        let mut record = opened(kind, (1..=registered).map(container_instance).collect());
        record.phase = phase;
        record.obligations = vec![obligation("web/60")];
        if let Some(first) = record.container_instances.first_mut() {
            first.draining_is_ours = phase != Phase::Pending;
        }
        match (phase, outcome) {
            (Phase::Done, outcome) => {
                record.outcome = outcome;
                record.explain(&Why::Done(outcome.unwrap()));
            }
            (_, outcome) => record.intent = outcome.map(intent),
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
        with(Phase::Completing, None, 1),
        with(Phase::Completing, Some(Outcome::NotInCluster), 0),
        with(Phase::Completing, Some(Outcome::TimedOut), 0),
        with(Phase::Returning, Some(Outcome::Drained), 1),
        with(Phase::Done, Some(Outcome::Drained), 1),
    ];
    use Outcome::*;
    let intents = [Drained, TimedOut, Abandoned, Released, NotInCluster, WaitLost];
    records.extend(intents.map(|outcome| with(Phase::Completing, Some(outcome), 1)));
    records
}

/// The drain as it is, held, ordered to end, and as one that an operator asked for: to terminate, to keep, cancelled.
fn with_orders(record: Record) -> Vec<Record> {
    let operators = Record { lifecycle: None, global_limit: None, ..record.clone() };
    let mut all = vec![
        Record { held: Some(ada()), ..record.clone() },
        Record { release: Some(ada()), ..record.clone() },
        Record { then: Some(Then::Keep), ..operators.clone() },
        Record { then: Some(Then::Keep), release: Some(ada()), ..operators.clone() },
        Record { then: Some(Then::Terminate), ..operators.clone() },
        Record { then: Some(Then::Terminate), cancel: Some(ada()), ..operators },
    ];
    all.insert(0, record);
    all
}

fn intent(outcome: Outcome) -> Intent {
    let result = if outcome == Outcome::Abandoned { ActionResult::Abandon } else { ActionResult::Continue };
    Intent { result, outcome, reason: "it was decided".to_owned(), at: epoch() }
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

/// Everything was seen for long, and once: one more look decides.
fn ripe() -> Sightings {
    let at = |seconds| Some(Duration::from_secs(seconds));
    Sightings {
        takes_no_work: at(1),
        clear: at(1500),
        group_begun: at(1990),
        gone_passes: 1,
        past_wait_passes: 1,
        nowhere: at(1),
        nowhere_last: at(1990),
        agent_lost: at(1).map(|since| AgentLost { since, stopped: false }),
        ..Sightings::default()
    }
}

/// All combinations of the sights that make a difference to such a drain.
fn observations(record: &Record) -> Vec<Observation> {
    let registered = record.container_instances.len();
    let statuses: &[&str] = match registered {
        0 => &["?", ""],
        _ => &["?", "ACTIVE", "DRAINING", "DRAINING!", "INACTIVE", "REGISTERING"],
    };
    let tasks = ["?", "", "web:STOPPING", "standalone:RUNNING", "daemon/log:RUNNING"];
    let found = ["?", "web/60", "late/60"];
    let targets = [
        Seen::Unknown("not read".to_owned()),
        Seen::Yes(vec![TargetSight::Gone]),
        Seen::Yes(vec![TargetSight::Present { state: "draining".to_owned(), draining: true, instance_dead: false }]),
    ];
    let groups = if record.phase == Phase::Returning {
        ["?", "InService", "Warmed:Stopped", "Terminating:Wait", "absent"]
    } else {
        ["?", "Terminating:Wait", "Terminating:Wait!", "Terminating:Proceed", "absent"]
    };
    let same = (1..=registered).map(container_instance).collect();
    let more = (1..=registered + 1).map(container_instance).collect();
    let begun = Duration::from_secs(1990);
    let lookups = [None, Some(Lookup { begun, found: same }), Some(Lookup { begun, found: more })];
    let mut all = Vec::new();
    for status in statuses {
        let sights = (1..=registered).map(|n| container_instance_sight(n, status)).collect();
        for task_word in tasks {
            for found_word in found {
                for target in &targets {
                    for group_word in groups {
                        for lookup in &lookups {
                            all.push(Observation {
                                begun: BEGUN,
                                begun_at: epoch() + BEGUN,
                                ended: ENDED,
                                group: group(group_word, "60", false),
                                group_begun: BEGUN,
                                tasks_listed: BEGUN,
                                container_instances: seen(status, Vec::clone(&sights)),
                                tasks: seen(task_word, words(task_word, |w| task(1, w))),
                                obligations: seen(found_word, words(found_word, obligation)),
                                targets: target.clone(),
                                lookup: lookup.clone(),
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

fn seen<T>(word: &str, fact: T) -> Seen<T> {
    if word == "?" { Seen::Unknown("not read".to_owned()) } else { Seen::Yes(fact) }
}

fn words<T>(word: &str, read: fn(&str) -> T) -> Vec<T> {
    if word.is_empty() || word == "?" { Vec::new() } else { vec![read(word)] }
}
