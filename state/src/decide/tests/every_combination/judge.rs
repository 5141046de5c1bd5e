//! The decisions that are never allowed, in other terms than those of the decision itself.

use super::{Case, Look, NOW};
use crate::decide::tests::fixture::epoch;
use crate::decide::{Action, Decision};
use crate::drain::Drain;
use crate::phase::{Outcome, Phase};
use crate::policy::{DaemonTasks, StandaloneTasks};
use crate::record::{Record, Strategy, Then};
use std::time::Duration;

/// Returns the known status of a container instance after the pass.
fn known_status(case: &Case, look: &Look) -> Option<&'static str> {
    match look.status {
        "?" => case.ripe.then_some("DRAINING!"),
        word => Some(word),
    }
}

pub fn judge(
    case: &Case,
    look: &Look,
    drain: &Drain,
    decision: &Decision,
) -> Result<(), &'static str> {
    let (before, after) = (&case.drain.record, &decision.record);
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    rule(decision.fault.is_none(), "no move is refused")?;
    let moves: Vec<_> = after.history[before.history.len()..].iter().map(|e| e.phase).collect();
    let mut at = before.phase();
    for next in moves {
        rule(next == at || at.may_become(next), "a move must be legal")?;
        at = next;
    }
    rule(at == after.phase(), "every move is in the history")?;
    rule(!decision.again.is_zero(), "a pass must not spin")?;
    let kept =
        before.obligations.iter().zip(&after.obligations).filter(|(b, a)| b.is_same(a)).count();
    rule(kept == before.obligations.len(), "an obligation is never forgotten")?;
    rule(
        after.container_instances.len() >= before.container_instances.len(),
        "a registration is never forgotten",
    )?;
    let durable = |r: &Record| {
        (
            r.stage.clone(),
            r.obligations.len(),
            r.container_instances.clone(),
            r.orders.cancel.clone(),
        )
    };
    let changed = durable(before) != durable(after);
    rule(decision.save || !changed, "what changed is saved")?;
    rule((after.phase() == Phase::Done) == after.outcome().is_some(), "only Done has an outcome")?;
    let may_intend = matches!(after.phase(), Phase::Completing | Phase::Returning | Phase::Done);
    rule(
        after.intent().is_none() || may_intend || !changed,
        "an intent that is dropped is out of the record",
    )?;
    let untouched = after.phase() == Phase::Done && decision.actions.is_empty() && !decision.save;
    rule(before.phase() != Phase::Done || untouched, "Done is done")?;
    rule(
        before.phase() != Phase::Done || decision.needs.iter().next().is_none(),
        "and wants nothing",
    )?;
    if before.phase() != Phase::Done && after.phase() == Phase::Done {
        let group = &drain.facts.group;
        let over = group.past_wait_reads >= if after.intent().is_some() { 1 } else { 2 };
        let returned = before.phase() == Phase::Returning;
        rule(
            group.gone_reads >= 2 || over || returned || ends_without_action(case, look, after),
            "a drain ends by itself only when the instance is gone or its action over",
        )?;
    }
    if before.orders.pause.is_some() && before.phase() != Phase::Done {
        rule(decision.actions.is_empty(), "nothing is done while it is paused")?;
        rule(after.phase() == before.phase() || after.phase() == Phase::Done, "nor decided")?;
    }
    decision.actions.iter().try_for_each(|action| judge_action(action, case, look, after))
}

/// Returns whether a drain that no hook began may end without a call: an instance that stays once
/// it is proved drained, one that was cancelled before anything was done, one that an operator
/// ends, and one that its group terminates.
fn ends_without_action(case: &Case, look: &Look, after: &Record) -> bool {
    let keeps = matches!(after.then, Some(Then::Keep));
    let ended = match after.outcome() {
        Some(Outcome::Drained) => keeps && all_is_gone(case, look, after).is_ok(),
        Some(Outcome::Forced) => after.orders.force.is_some() && keeps,
        Some(Outcome::Cancelled) => {
            let nothing_done = case.drain.record.phase() == Phase::Pending;
            after.orders.cancel.is_some()
                && (nothing_done || !after.container_instances.iter().any(|c| c.draining_is_ours))
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
    look: &Look,
    after: &Record,
) -> Result<(), &'static str> {
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    let status = known_status(case, look);
    let ours = |arn: &str| after.container_instances.iter().find(|c| c.arn == arn);
    let listed = look.task != "?" && look.group != "?" || case.ripe;
    match action {
        Action::SetDraining { container_instance: arn, .. } => {
            rule(status == Some("ACTIVE"), "only ACTIVE is drained")?;
            rule(
                ours(arn).is_some_and(|c| c.draining_is_ours),
                "a DRAINING that we ask for is ours",
            )?;
            rule(listed, "the obligations are known before anything goes")
        }
        Action::SetActive { container_instance: arn, .. } => {
            rule(after.phase() == Phase::Returning, "only Returning undoes a DRAINING")?;
            let in_service = look.group == "InService";
            rule(after.orders.cancel.is_some() || in_service, "once it is in service")?;
            rule(status.is_some_and(|word| word != "INACTIVE"), "of what is there")?;
            rule(ours(arn).is_some_and(|c| c.draining_is_ours), "and only ours")
        }
        Action::StopTask { .. } => {
            rule(
                case.policy.standalone_tasks != StandaloneTasks::Wait,
                "only if the policy says so",
            )?;
            rule(look.task == "standalone:RUNNING", "only a running standalone task is stopped")
        }
        Action::Deregister { container_instance: arn, .. } => {
            rule(after.strategy == Strategy::Deregister, "only by that strategy")?;
            rule(
                ours(arn).is_some_and(|c| c.deregistered_at.is_some()),
                "its moment is in the record",
            )?;
            rule(case.ripe, "its tasks were listed twice, late enough")?;
            rule(
                look.task != "standalone:RUNNING" || is_dead(case, look),
                "no standalone task is hidden",
            )
        }
        Action::Terminate { .. } => {
            rule(
                after.lifecycle.is_none(),
                "what a hook of ours holds is completed, not terminated",
            )?;
            rule(after.then == Some(Then::Terminate), "only where that was asked for")?;
            rule(
                after.phase() == Phase::Completing && after.termination_asked_at.is_some(),
                "it is in the record",
            )?;
            rule(look.group != "absent" && (look.group != "?" || case.ripe), "it is in a group")?;
            match after.intent().map(|i| i.outcome) {
                Some(Outcome::Drained) => all_is_gone(case, look, after),
                Some(Outcome::Forced) => {
                    rule(after.orders.force.is_some(), "an operator ordered it")
                }
                Some(Outcome::TimedOut | Outcome::Abandoned) => {
                    rule(after.deadline.is_some(), "its deadline passed")
                }
                Some(Outcome::NotInCluster) => {
                    rule(after.container_instances.is_empty(), "it is in no cluster")
                }
                _ => Err("no other outcome terminates"),
            }
        }
        Action::Complete(intent) => {
            rule(after.lifecycle.is_some(), "only what a hook of ours holds is completed")?;
            rule(after.phase() == Phase::Completing, "only Completing completes")?;
            rule(after.intent() == Some(intent), "the intent is in the record")?;
            let passed = after
                .deadline
                .is_some_and(|deadline| deadline <= epoch() + Duration::from_secs(NOW));
            match intent.outcome {
                Outcome::Drained => all_is_gone(case, look, after),
                Outcome::TimedOut | Outcome::Abandoned => rule(passed, "its deadline has passed"),
                Outcome::Forced => rule(after.orders.force.is_some(), "an operator ordered it"),
                Outcome::NotInCluster => {
                    rule(after.container_instances.is_empty(), "it is in no cluster")
                }
                Outcome::Cancelled | Outcome::InstanceGone | Outcome::WaitLost => {
                    Err("nobody is told that")
                }
            }
        }
    }
}

/// Checks that everything is gone. One pass is no proof. After a long history of nothing, it must
/// show nothing left.
fn all_is_gone(case: &Case, look: &Look, after: &Record) -> Result<(), &'static str> {
    if !case.ripe {
        return Err("one look is no proof");
    }
    if look.second || after.container_instances.len() != case.drain.record.container_instances.len()
    {
        return Err("every registration was looked at");
    }
    let closed = ["DRAINING", "DRAINING!"];
    if !known_status(case, look).is_some_and(|word| closed.contains(&word)) {
        return Err("nothing new can land, and that was so before");
    }
    let harmless = ["?", "", "daemon/log:RUNNING"];
    let counts = look.task == "daemon/log:RUNNING" && case.policy.daemon_tasks == DaemonTasks::Wait;
    if (!harmless.contains(&look.task) || counts) && !is_dead(case, look) {
        return Err("no task is left");
    }
    if look.target == "draining" || look.found == "late/60" {
        return Err("every target was seen gone");
    }
    Ok(())
}

/// Returns whether the instance is dead: its agent is disconnected, and its group calls it
/// unhealthy, so its task states are frozen.
fn is_dead(case: &Case, look: &Look) -> bool {
    known_status(case, look) == Some("DRAINING!") && look.group.ends_with('!')
}
