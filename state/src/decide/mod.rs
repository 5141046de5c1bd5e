//! The decision: the record to save, the calls to make after that, and the reads that are needed.
//!
//! [`decide`] is total and pure. It walks through the phases (one file each) until one of them has
//! to wait for the world. A record may move through several phases in one decision and is then
//! written once. Everything that changes the world is returned in [`Decision::actions`]. The caller
//! may carry these out only after the record was saved.

pub(crate) mod clear;
mod completing;
mod deregistering;
mod endings;
mod orders;
mod pending;
mod returning;
mod saving;
mod told;
mod verifying;
mod waiting;
mod wants;

#[cfg(test)]
pub(crate) mod tests;

pub use pending::waits_for_window;
pub use told::{CompletionAnswer, after_completion, leave_to};

use crate::budget::Scope;
use crate::facts::{Facts, Kind, matters};
use crate::needs::{Class, Needs};
use crate::phase::{IllegalMove, Outcome, Phase};
use crate::policy::{AtDeadline, Policy};
use crate::record::{ActionResult, Intent, Note, Obligation, Record, SHOWN, Stage, later};
use crate::sight::{GroupSight, LifecycleState, Seen, TargetSight};
use crate::time::{Mono, Now, Watch};
use crate::why::{Left, Why};
use jiff::{SignedDuration, Timestamp};
use saving::must_save;
use std::time::Duration;

/// Longest time between two decisions of a drain when nothing new was read and the moment of the
/// next change is not known.
const AT_LATEST: Duration = Duration::from_secs(30);

/// A call that changes something in AWS. Actions are idempotent: "done now", "already done" and
/// "gone" are all successes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `UpdateContainerInstancesState` to `DRAINING`.
    SetDraining {
        /// Name of the cluster.
        cluster: String,
        /// ARN of the container instance.
        container_instance: String,
    },
    /// `UpdateContainerInstancesState` back to `ACTIVE`.
    SetActive {
        /// Name of the cluster.
        cluster: String,
        /// ARN of the container instance.
        container_instance: String,
    },
    /// `StopTask`, for a standalone task whose grace is over.
    StopTask {
        /// Name of the cluster.
        cluster: String,
        /// ARN of the task.
        task: String,
    },
    /// `DeregisterContainerInstance` with force.
    Deregister {
        /// Name of the cluster.
        cluster: String,
        /// ARN of the container instance.
        container_instance: String,
    },
    /// `CompleteLifecycleAction` by instance id.
    Complete(Intent),
    /// `TerminateInstanceInAutoScalingGroup`.
    Terminate {
        /// Name of the group.
        group: String,
        /// True if its desired capacity is lowered by one.
        shrink: bool,
    },
}

/// Result of deciding one drain.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The record after the decision.
    pub record: Record,
    /// True if the record must be written before anything else is done.
    pub save: bool,
    /// Calls to make once the record is saved.
    pub actions: Vec<Action>,
    /// Longest time from now until the next decision: time alone may change the result.
    pub again: Duration,
    /// Reads that the drain needs.
    pub needs: Needs,
    /// Reason why the drain is where it is.
    pub why: Why,
    /// A move that the table of phases does not allow: a defect of ecs-drain. The drain stays in
    /// its phase, and the caller must report the defect as an error.
    pub fault: Option<IllegalMove>,
}

/// Result of one phase's step.
// Created once for each decision, and never kept.
#[allow(clippy::large_enum_variant)]
enum Step {
    /// Continue in another phase at once.
    Enter(Stage, String),
    /// Save the intent and continue in Completing.
    Intend(Intent),
    /// End the drain: nothing is left to do.
    End(Outcome, String),
    /// Send these calls, and decide again.
    Act(Vec<Action>, Why, Duration),
    /// Decide again later.
    Wait(Why, Duration),
    /// Make these reads in addition to those of the phase, and decide again.
    Read(Needs, Why, Duration),
}

/// A drain's place in the queue of its budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// The drain may begin.
    #[default]
    Now,
    /// The drain comes next, once its tasks were read, or the state of a service.
    Read {
        /// Name of the service. `None`: the tasks.
        service: Option<String>,
    },
    /// The drain waits.
    Wait {
        /// The budget without room.
        scope: Scope,
        /// Number of drains that run under it, or of tasks.
        running: u32,
        /// Number that may run at once.
        limit: u32,
        /// Number of waiting drains that come first.
        ahead: u32,
    },
}

/// Input of a decision besides record and facts. Of it only the causes and the bad tags are stored,
/// for display.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    /// The drain's place in the queue.
    pub turn: Turn,
    /// Name of the person who paused the cluster, or everything, if it is paused.
    pub paused: Option<&'a str>,
    /// Causes that the diagnosis found for a drain that does not move.
    pub causes: &'a [Note],
    /// Time without progress, if it is longer than the limit.
    pub stuck: Option<Duration>,
    /// Tags of the group that do not count as settings; `None` if its tags were not read.
    pub bad_tags: Option<&'a [String]>,
}

/// Everything that a phase may read.
struct View<'a> {
    /// The record as it was before this decision.
    record: &'a Record,
    facts: &'a Facts,
    policy: &'a Policy,
    turn: Turn,
    paused: Option<&'a str>,
    causes: &'a [Note],
    now: Now,
}

/// Decides one drain.
pub fn decide(
    record: &Record,
    facts: &Facts,
    policy: &Policy,
    context: &Context<'_>,
    now: Now,
) -> Decision {
    let Context { turn, paused, causes, stuck, bad_tags } = context.clone();
    let view = View { record, facts, policy, turn, paused, causes, now };
    let mut draft = record.clone();
    if !draft.is_done() {
        absorb(&mut draft, &view);
        absorb_spans(&mut draft, &view);
    }
    let Walked { actions, why, again, needs, fault } = walk(&mut draft, &view);
    let again = endings::acts_at(&draft, &view).map_or(again, |left| soon(left, again));
    let needs = needs.and(wants::of(&draft, &view));
    // A finished record shows the tasks and targets that were left when it was finished.
    if !record.is_done() {
        show_what_is_left(&mut draft, &view);
    }
    let over = matches!(draft.phase(), Phase::Completing | Phase::Returning | Phase::Done);
    draft.shown.causes = if over { Vec::new() } else { causes.to_vec() };
    let since = |stuck| record.shown.stuck_since.unwrap_or_else(|| before(now.wall, stuck));
    draft.shown.stuck_since = stuck.filter(|_| !draft.is_done()).map(since);
    if let Some(bad) = bad_tags.filter(|_| !record.is_done()) {
        draft.shown.bad_tags = bad.to_vec();
    }
    draft.explain(&why, view.now.wall);
    // A process that has just started has read nothing. Until it has, the record keeps the reason
    // that the process before it found.
    if why.waits_for_first_read()
        && draft.phase() == record.phase()
        && !record.shown.message.is_empty()
    {
        (draft.shown.why, draft.shown.message) =
            (record.shown.why.clone(), record.shown.message.clone());
    }
    let save = must_save(record, &draft, &why, now.wall);
    Decision { record: draft, save, actions, again, needs, why, fault }
}

/// End of a walk through the phases.
struct Walked {
    actions: Vec<Action>,
    why: Why,
    again: Duration,
    needs: Needs,
    fault: Option<IllegalMove>,
}

impl Walked {
    fn wait(why: Why, again: Duration) -> Walked {
        Walked { actions: Vec::new(), why, again, needs: Needs::default(), fault: None }
    }

    /// Stops after a defect of ecs-drain: no call is made, the drain stays in its phase, and is
    /// decided again.
    fn standstill(fault: IllegalMove) -> Walked {
        let why = Why::Unknown(format!("a mistake in ecs-drain: {fault}"));
        Walked { fault: Some(fault), ..Walked::wait(why, AT_LATEST) }
    }
}

/// Walks through the phases until one waits. Each phase is entered at most once in a decision, so
/// the walk ends.
fn walk(draft: &mut Record, view: &View<'_>) -> Walked {
    let mut met = vec![draft.phase()];
    loop {
        let moved = match step(draft, view) {
            Step::Enter(stage, note) if met.contains(&stage.phase()) => {
                // The drain left that phase in this very decision. The facts are not enough to
                // continue, so read again.
                return Walked::wait(Why::Unknown(note), AT_LATEST);
            }
            Step::Enter(stage, note) => enter(draft, stage, note, view.now.wall),
            // The wait has ended, but not by ecs-drain. A completion now would claim an end that
            // ecs-drain did not bring about.
            Step::Intend(_)
                if view.facts.group.past_wait_reads > 0 && draft.lifecycle.is_some() =>
            {
                return Walked::wait(Why::Unknown(endings::PAST_THE_WAIT.to_owned()), AT_LATEST);
            }
            Step::Intend(intent) => {
                let note = format!(
                    "about to complete the lifecycle action with {}: {}",
                    intent.result, intent.reason
                );
                enter(draft, Stage::Completing { intent, refused_since: None }, note, view.now.wall)
            }
            Step::End(outcome, note) => {
                match end(draft, outcome, note, view.policy.keep_finished, view.now.wall) {
                    Ok(()) => return Walked::wait(Why::Done(outcome), AT_LATEST),
                    Err(fault) => Err(fault),
                }
            }
            Step::Act(actions, why, again) => {
                return Walked { actions, ..Walked::wait(why, again) };
            }
            Step::Wait(why, again) => return Walked::wait(why, again),
            Step::Read(needs, why, again) => return Walked { needs, ..Walked::wait(why, again) },
        };
        if let Err(fault) = moved {
            return Walked::standstill(fault);
        }
        met.push(draft.phase());
    }
}

fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if let Some(end) = endings::check(draft, view) {
        return end;
    }
    if let Some(ordered) = orders::check(draft, view) {
        return ordered;
    }
    let step = match draft.phase() {
        Phase::Pending => pending::step(draft, view),
        Phase::Deregistering => deregistering::step(draft, view),
        Phase::Waiting => waiting::step(draft, view),
        Phase::Verifying => verifying::step(draft, view),
        Phase::Completing => completing::step(draft, view),
        Phase::Returning => returning::step(draft, view),
        Phase::Done => Step::Wait(
            Why::Done(draft.outcome().unwrap_or(Outcome::Drained)),
            Duration::from_secs(3600),
        ),
    };
    endings::deadline(draft, view, step)
}

/// Copies into the record the things that cannot be read again later: targets, and further
/// container instances.
fn absorb(draft: &mut Record, view: &View<'_>) {
    for found in view.facts.targets.iter().map(|target| &target.obligation) {
        match draft.obligations.iter_mut().find(|o| o.is_same(found)) {
            Some(known) => {
                known.delay_seconds = found.delay_seconds.or(known.delay_seconds);
                known.network = found.network.or(known.network);
                known.of_group_alone &= found.of_group_alone;
            }
            None => draft.obligations.push(found.clone()),
        }
    }
    for found in &view.facts.search.found {
        if !draft.container_instances.iter().any(|c| c.arn == found.arn) {
            draft.container_instances.push(found.clone());
            draft.cluster.get_or_insert_with(|| found.cluster.clone());
            let what =
                format!("found container instance {} of cluster {}", found.arn, found.cluster);
            draft.note(view.now.wall, what);
        }
    }
    if let (
        Some(GroupSight::Member {
            hook: Seen::Yes(Some(hook)),
            state: LifecycleState::Waiting(_),
            ..
        }),
        Some(lifecycle),
    ) = (view.facts.group.known(), &mut draft.lifecycle)
    {
        lifecycle.heartbeat_timeout_seconds = hook.heartbeat_timeout_seconds;
        lifecycle.default_result = hook.default_result;
        lifecycle.other_hooks.clone_from(&hook.others);
        lifecycle.retains_abandoned = hook.retains_abandoned;
    }
}

/// Copies into the record the spans that were watched.
fn absorb_spans(draft: &mut Record, view: &View<'_>) {
    for obligation in &mut draft.obligations {
        let Some(target) = view.facts.target(obligation) else { continue };
        match &target.sight {
            Some((_, TargetSight::Gone | TargetSight::Present { draining: true, .. })) => {
                obligation.draining_since.get_or_insert(view.now.wall);
            }
            Some((_, TargetSight::Present { draining: false, .. })) => {
                obligation.draining_since = None;
                obligation.left_for_seconds = 0;
            }
            None => {}
        }
        if let (true, Some(watch)) = (obligation.settles(), target.leaving) {
            obligation.left_for_seconds = watched(&watch, view, view.policy.network_settle);
        }
    }
    let grace = waiting::grace(view.policy).unwrap_or_default();
    let floors: Vec<Duration> = draft
        .container_instances
        .iter()
        .map(|one| waiting::floor(draft, one, view.facts, view.policy))
        .collect();
    for (one, floor) in draft.container_instances.iter_mut().zip(floors) {
        let Some(facts) = view.facts.of(&one.arn).filter(|facts| facts.sight.is_some()) else {
            continue;
        };
        let seconds =
            |watch: Option<Watch>, most| watch.map_or(0, |watch| watched(&watch, view, most));
        one.drained_for_seconds = seconds(facts.draining, grace);
        one.gone_for_seconds = seconds(facts.left, floor);
    }
}

/// Returns the seconds for which something has been watched, up to `most`.
fn watched(watch: &Watch, view: &View<'_>, most: Duration) -> u32 {
    u32::try_from(watch.span(view.now.mono).min(most).as_secs()).unwrap_or(u32::MAX)
}

fn enter(
    draft: &mut Record,
    stage: Stage,
    note: String,
    now: Timestamp,
) -> Result<(), IllegalMove> {
    draft.phase().step(stage.phase())?;
    draft.stage = stage;
    draft.phase_since = now;
    draft.attempts = 0;
    draft.note(now, note);
    Ok(())
}

fn end(
    draft: &mut Record,
    outcome: Outcome,
    note: String,
    keep: Duration,
    now: Timestamp,
) -> Result<(), IllegalMove> {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    let (intent, expires_at) = (draft.intent().cloned(), later(now, keep).as_second());
    enter(draft, Stage::Done { outcome, intent, expires_at }, note, now)
}

fn show_what_is_left(draft: &mut Record, view: &View<'_>) {
    let facts = view.facts;
    let listed = facts.instances.iter().all(|one| one.discovered.is_some() || one.is_gone());
    if listed && !facts.instances.is_empty() {
        let there =
            facts.tasks_there().filter_map(|(arn, task)| Some((arn, &task.sight.as_ref()?.1)));
        let mut left: Vec<_> = there.filter(|(_, task)| matters(task, view.policy)).collect();
        left.sort_by_key(|(_, task)| task.rank());
        draft.shown.tasks_left_count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        draft.shown.tasks_left =
            left.iter().take(SHOWN).map(|(arn, task)| clear::describe_task(arn, task)).collect();
    }
    let sights: Vec<_> = draft
        .obligations
        .iter()
        .map(|o| facts.target(o).and_then(|target| target.sight.as_ref()))
        .collect();
    if sights.iter().all(Option::is_some) {
        let left = draft.obligations.iter().zip(sights.iter().flatten());
        let left = left.filter_map(|(obligation, (_, sight))| match sight {
            TargetSight::Present { state, draining, .. } => {
                Some(show_target(obligation, state, *draining))
            }
            TargetSight::Gone => None,
        });
        let left: Vec<_> = left.collect();
        draft.shown.targets_left_count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        draft.shown.targets_left = left.into_iter().take(SHOWN).collect();
    }
}

/// Formats a target for the stored record. Uses the moment by which it will be drained, because a
/// remaining time would be stale when it is read.
fn show_target(obligation: &Obligation, state: &str, draining: bool) -> String {
    match obligation.drained_by().filter(|_| draining) {
        Some(by) => format!("{obligation}: {state}, until {by:.0} at most"),
        None => format!("{obligation}: {state}"),
    }
}

/// Returns `at` less `span`.
fn before(at: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| at.checked_sub(span).ok()).unwrap_or(at)
}

/// Returns the result that the policy wants once the deadline has passed. An instance that its
/// group has retained once is not abandoned a second time.
fn at_deadline(draft: &Record, policy: &Policy) -> Option<(ActionResult, Outcome)> {
    match policy.at_deadline {
        AtDeadline::Abandon if draft.retained_at.is_some() => {
            Some((ActionResult::Continue, Outcome::TimedOut))
        }
        AtDeadline::Continue => Some((ActionResult::Continue, Outcome::TimedOut)),
        AtDeadline::Abandon => Some((ActionResult::Abandon, Outcome::Abandoned)),
        AtDeadline::Hold => None,
    }
}

/// Returns the span, but at least one second and at most `most`. If the span is over already, the
/// drain waits for something else.
fn soon(left: Duration, most: Duration) -> Duration {
    if left.is_zero() {
        most
    } else {
        left.clamp(Duration::from_secs(1), most.max(Duration::from_secs(1)))
    }
}

/// Returns the need of one read from this moment.
fn need(kind: Kind, from: Mono, class: Class) -> Needs {
    let mut needs = Needs::default();
    needs.want(kind, from, class);
    needs
}

fn unknown(what: &str) -> Step {
    Step::Wait(Why::Unknown(what.to_owned()), AT_LATEST)
}

fn left_of(mut items: Vec<String>) -> Left {
    let count = items.len();
    Left { count, first: if items.is_empty() { String::new() } else { items.swap_remove(0) } }
}
