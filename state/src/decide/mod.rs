//! The decision: what to save, what then to do, and when to look again.
//!
//! [`decide`] is total and pure. It is one walk over the phases (a file each) until one of them has to wait for the
//! world: a record may pass through several phases in one pass and is then written once. Whatever cannot be undone is
//! returned in [`Decision::actions`], which the caller may carry out only after the record was saved.

pub(crate) mod clear;
mod completing;
mod deregistering;
mod endings;
mod orders;
mod pending;
mod returning;
mod verifying;
mod waiting;

#[cfg(test)]
pub(crate) mod tests;

pub use clear::matters;

use crate::Mono;
use crate::observation::{GroupSight, LifecycleState, Observation, Seen, TargetSight};
use crate::phase::{Outcome, Phase};
use crate::policy::{AtDeadline, Policy};
use crate::record::{ActionResult, Intent, LastError, Lifecycle, Note, Obligation, Record, SHOWN, later};
use crate::sightings::{Sightings, Watch};
use crate::why::{Left, Why};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How old the lists for display in a stored record may become while nothing else changes.
const REFRESH: SignedDuration = SignedDuration::from_mins(5);

/// How much of what a process has watched may be lost when it is killed, seconds: a span that must be watched is
/// written as often as that.
const WATCHED: u32 = 30;

/// Something to do to the world. Each may be asked for twice: done now, already done and gone are all successes.
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
        /// Whether its desired capacity is lowered by one.
        shrink: bool,
    },
}

/// What a pass has to do for one drain.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The record as it should be.
    pub record: Record,
    /// Whether it must be written before anything else is done.
    pub save: bool,
    /// What to do then.
    pub actions: Vec<Action>,
    /// When to look again, from now.
    pub again: Duration,
    /// A search of every cluster for this instance is needed, begun at this moment or later.
    pub lookup: Option<Mono>,
    /// Why it is where it is.
    pub why: Why,
}

/// What came back from a `CompleteLifecycleAction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionAnswer {
    /// It succeeded.
    Accepted,
    /// `No active Lifecycle Action found with instance ID …`: our action is over already.
    NoActiveAction,
    /// Anything else; the text says what.
    Failed(String),
}

/// What one phase makes of what was seen.
enum Step {
    /// Go on in another phase, at once.
    Enter(Phase, String),
    /// Save the intent and go on in Completing.
    Intend(Intent),
    /// Nothing is left to do.
    End(Outcome, String),
    /// Do this and look again.
    Act(Vec<Action>, Why, Duration),
    /// Look again.
    Wait(Why, Duration),
    /// Search every cluster, from this moment on, then look again.
    Search(Mono, Why, Duration),
}

/// Whether a drain's turn has come, by its cluster's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// It may begin.
    #[default]
    Now,
    /// It waits.
    Wait {
        /// How many drains of its kind go on in the cluster.
        running: u32,
        /// How many may.
        limit: u32,
        /// How many that wait come before it.
        ahead: u32,
    },
}

/// What is known of a drain beside its record and what was just seen of it. None of it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What has been seen unbroken; it must already hold this observation (see [`Sightings::fold`]).
    pub sightings: &'a Sightings,
    /// Whether its turn has come.
    pub turn: Turn,
    /// Who holds its whole cluster, or everything, if someone does.
    pub brake: Option<&'a str>,
    /// Why it does not move, as far as was found out.
    pub causes: &'a [Note],
}

impl<'a> Context<'a> {
    /// Its turn has come, nobody holds it, and nothing is known of why it would not move.
    pub fn new(sightings: &'a Sightings) -> Context<'a> {
        Context { sightings, turn: Turn::Now, brake: None, causes: &[] }
    }
}

/// Everything that a phase may look at.
struct View<'a> {
    /// The record as it was read.
    record: &'a Record,
    seen: &'a Observation,
    policy: &'a Policy,
    sightings: &'a Sightings,
    turn: Turn,
    brake: Option<&'a str>,
    causes: &'a [Note],
    now: Timestamp,
}

/// Decides one drain. `now` is the wall clock at the end of the observation.
pub fn decide(record: &Record, seen: &Observation, policy: &Policy, context: &Context<'_>, now: Timestamp) -> Decision {
    let Context { sightings, turn, brake, causes } = *context;
    let view = View { record, seen, policy, sightings, turn, brake, causes, now };
    let mut draft = record.clone();
    if !draft.is_done() {
        absorb(&mut draft, &view);
        absorb_spans(&mut draft, &view);
    }
    let mut decision = walk(&mut draft, &view);
    // A finished record shows what was left when it was finished.
    if !record.is_done() {
        show_what_is_left(&mut draft, &view);
    }
    let over = matches!(draft.phase, Phase::Completing | Phase::Returning | Phase::Done);
    draft.causes = if over { Vec::new() } else { causes.to_vec() };
    draft.explain(&decision.why);
    decision.save = must_save(record, &draft, now);
    decision.record = draft;
    decision
}

/// Walks through the phases until one waits. Each phase is entered at most once a pass, so the walk ends.
fn walk(draft: &mut Record, view: &View<'_>) -> Decision {
    let mut met = vec![draft.phase];
    loop {
        let (actions, why, again, lookup) = match step(draft, view) {
            Step::Enter(phase, note) if met.contains(&phase) => {
                // It came from there in this very pass: what was seen is not enough to go on, so look again.
                (Vec::new(), Why::Unknown(note), view.policy.poll, None)
            }
            Step::Enter(phase, note) => {
                met.push(phase);
                enter(draft, phase, note, view.now);
                continue;
            }
            // The wait is over without us: there is nothing left to tell, and it would claim what we did not do.
            Step::Intend(_) if view.sightings.past_wait_passes > 0 && draft.lifecycle.is_some() => {
                (Vec::new(), Why::Unknown(endings::PAST_THE_WAIT.to_owned()), view.policy.poll, None)
            }
            Step::Intend(intent) => {
                met.push(Phase::Completing);
                let note = format!("will tell Auto Scaling {}: {}", intent.result, intent.reason);
                draft.intent = Some(intent);
                enter(draft, Phase::Completing, note, view.now);
                continue;
            }
            Step::End(outcome, note) => {
                finish(draft, outcome, note, view);
                (Vec::new(), Why::Done(outcome), view.policy.poll, None)
            }
            Step::Act(actions, why, again) => (actions, why, again, None),
            Step::Wait(why, again) => (Vec::new(), why, again, None),
            Step::Search(since, why, again) => (Vec::new(), why, again, Some(since)),
        };
        return Decision { record: draft.clone(), save: false, actions, again, lookup, why };
    }
}

fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if let Some(end) = endings::check(draft, view) {
        return end;
    }
    if let Some(ordered) = orders::check(draft, view) {
        return ordered;
    }
    let step = match draft.phase {
        Phase::Pending => pending::step(draft, view),
        Phase::Deregistering => deregistering::step(draft, view),
        Phase::Waiting => waiting::step(draft, view),
        Phase::Verifying => verifying::step(draft, view),
        Phase::Completing => completing::step(draft, view),
        Phase::Returning => returning::step(draft, view),
        Phase::Done => Step::Wait(Why::Done(draft.outcome.unwrap_or(Outcome::Drained)), Duration::from_secs(3600)),
    };
    endings::deadline(draft, view, step)
}

/// Takes over what was seen and cannot be seen again: registrations, and further container instances.
fn absorb(draft: &mut Record, view: &View<'_>) {
    for found in view.seen.obligations.known().into_iter().flatten() {
        match draft.obligations.iter_mut().find(|o| o.is_same(found)) {
            Some(known) => {
                known.delay_seconds = found.delay_seconds.or(known.delay_seconds);
                known.network = found.network.or(known.network);
                known.of_group_alone &= found.of_group_alone;
            }
            None => draft.obligations.push(found.clone()),
        }
    }
    for found in view.seen.lookup.iter().flat_map(|l| &l.found) {
        if !draft.container_instances.iter().any(|c| c.arn == found.arn) {
            draft.container_instances.push(found.clone());
            draft.cluster.get_or_insert_with(|| found.cluster.clone());
            draft.note(view.now, format!("found container instance {} of cluster {}", found.arn, found.cluster));
        }
    }
    if let (
        Some(GroupSight::Member { hook: Seen::Yes(Some(hook)), state: LifecycleState::Waiting(_), .. }),
        Some(lifecycle),
    ) = (view.seen.group.known(), &mut draft.lifecycle)
    {
        lifecycle.heartbeat_timeout_seconds = hook.heartbeat_timeout_seconds;
        lifecycle.default_result = hook.default_result;
        lifecycle.other_hooks.clone_from(&hook.others);
        lifecycle.retains_abandoned = hook.retains_abandoned;
    }
}

/// Takes over for how long what must be watched was watched.
fn absorb_spans(draft: &mut Record, view: &View<'_>) {
    for (obligation, target) in draft.obligations.iter_mut().zip(view.seen.targets.known().into_iter().flatten()) {
        match target {
            TargetSight::Gone | TargetSight::Present { draining: true, .. } => {
                obligation.draining_since.get_or_insert(view.now);
            }
            TargetSight::Present { draining: false, .. } => {
                obligation.draining_since = None;
                obligation.left_for_seconds = 0;
            }
        }
    }
    for obligation in draft.obligations.iter_mut().filter(|obligation| obligation.settles()) {
        if let Some(watch) = view.sightings.leaving.get(&obligation.to_string()) {
            obligation.left_for_seconds = watched(watch, view, view.policy.network_settle);
        }
    }
    if view.seen.container_instances.known().is_some() {
        let (longest, grace) = (waiting::longest_delay(draft), waiting::grace(view.policy).unwrap_or_default());
        let seconds = |watch: Option<&Watch>, most| watch.map_or(0, |watch| watched(watch, view, most));
        for one in &mut draft.container_instances {
            one.drained_for_seconds = seconds(view.sightings.drained.get(&one.arn), grace);
            if one.deregistered_at.is_some() {
                one.gone_for_seconds = seconds(view.sightings.gone.get(&one.arn), longest);
            }
        }
    }
}

/// For how many seconds something has been watched, as far as it is asked for.
fn watched(watch: &Watch, view: &View<'_>, most: Duration) -> u32 {
    u32::try_from(watch.span(view.seen.begun).min(most).as_secs()).unwrap_or(u32::MAX)
}

fn enter(draft: &mut Record, phase: Phase, note: String, now: Timestamp) {
    debug_assert!(draft.phase.may_become(phase), "a drain cannot go from {} to {phase}", draft.phase);
    draft.phase = phase;
    draft.phase_since = now;
    draft.attempts = 0;
    if phase != Phase::Completing && phase != Phase::Returning && phase != Phase::Done {
        draft.intent = None;
    }
    draft.note(now, note);
}

fn finish(draft: &mut Record, outcome: Outcome, note: String, view: &View<'_>) {
    end(draft, outcome, note, view.policy.keep_finished, view.now);
}

fn end(draft: &mut Record, outcome: Outcome, note: String, keep: Duration, now: Timestamp) {
    enter(draft, Phase::Done, note, now);
    draft.outcome = Some(outcome);
    draft.causes = Vec::new();
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    draft.expires_at = Some(later(now, keep).as_second());
}

/// The record after Auto Scaling was told. It must be saved.
pub fn after_completion(record: &Record, answer: &CompletionAnswer, policy: &Policy, now: Timestamp) -> Record {
    let mut next = record.clone();
    let Some(intent) = next.intent.clone() else { return next };
    let note = match answer {
        CompletionAnswer::Accepted => format!("Auto Scaling accepted {}", intent.result),
        CompletionAnswer::NoActiveAction => "our lifecycle action is over already".to_owned(),
        CompletionAnswer::Failed(what) => {
            next.attempts = next.attempts.saturating_add(1);
            next.last_error = Some(LastError { at: now, what: what.clone() });
            return next;
        }
    };
    let lifecycle = next.lifecycle.as_ref();
    if intent.result == ActionResult::Abandon && lifecycle.is_some_and(Lifecycle::may_be_retained) {
        // What becomes of it is the group's to show: it keeps the instance, or another hook's result was quicker.
        if next.history.last().is_none_or(|event| event.what != note) {
            next.note(now, note);
        }
        return next;
    }
    if next.lives_on() && next.container_instances.iter().any(|c| c.draining_is_ours) {
        enter(&mut next, Phase::Returning, note, now);
        next.explain(&Why::WaitingForReturn("completed".to_owned()));
    } else {
        end(&mut next, intent.outcome, note, policy.keep_finished, now);
        next.explain(&Why::Done(intent.outcome));
    }
    next
}

fn show_what_is_left(draft: &mut Record, view: &View<'_>) {
    if let Some(tasks) = view.seen.tasks.known() {
        let left: Vec<_> = tasks.iter().filter(|t| clear::matters(t, view.policy)).map(clear::describe_task).collect();
        draft.tasks_left_count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        draft.tasks_left = left.into_iter().take(SHOWN).collect();
    }
    if let Some(targets) = view.seen.targets.known() {
        let left: Vec<_> = draft
            .obligations
            .iter()
            .zip(targets)
            .filter_map(|(obligation, target)| match target {
                TargetSight::Present { state, draining, .. } => Some(show_target(obligation, state, *draining)),
                TargetSight::Gone => None,
            })
            .collect();
        draft.targets_left_count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        draft.targets_left = left.into_iter().take(SHOWN).collect();
    }
}

/// As it stands in the table, where a span would grow old: with the moment by which it will be drained.
fn show_target(obligation: &Obligation, state: &str, draining: bool) -> String {
    match obligation.drained_by().filter(|_| draining) {
        Some(by) => format!("{obligation}: {state}, until {by:.0} at most"),
        None => format!("{obligation}: {state}"),
    }
}

/// A record is written when something changed that matters; what is only for display waits for that, or for
/// [`REFRESH`].
fn must_save(before: &Record, after: &Record, now: Timestamp) -> bool {
    let durable = |record: &Record| {
        let mut record = record.clone();
        record.tasks_left = Vec::new();
        record.tasks_left_count = 0;
        record.targets_left = Vec::new();
        record.targets_left_count = 0;
        record.why = String::new();
        record.message = String::new();
        record.causes.iter_mut().for_each(|cause| cause.text = String::new());
        record.obligations.iter_mut().for_each(|obligation| {
            obligation.left_for_seconds /= WATCHED;
            // Since when a target leaves is written at once only where a settle time begins with it.
            if !obligation.settles() {
                obligation.draining_since = None;
            }
        });
        record.container_instances.iter_mut().for_each(|one| {
            one.drained_for_seconds /= WATCHED;
            one.gone_for_seconds /= WATCHED;
        });
        record
    };
    // What can last for long, and says that somebody must act or that others come first, is written at once.
    let lasting = |r: &Record| {
        let names = ["Held", "HeldPastDeadline", "WaitsForTurn", "WaitsForItsEnd"];
        names.contains(&r.why.as_str()).then(|| r.why.clone())
    };
    let display = |r: &Record| (r.tasks_left_count, r.targets_left_count, r.why.clone());
    durable(before) != durable(after)
        || lasting(before) != lasting(after)
        || (display(before) != display(after) && later(before.updated_at, REFRESH) <= now)
}

/// What the policy says to tell Auto Scaling once the deadline has passed. An instance that its group has kept once is
/// not abandoned a second time.
fn at_deadline(draft: &Record, policy: &Policy) -> Option<(ActionResult, Outcome)> {
    match policy.at_deadline {
        AtDeadline::Abandon if draft.retained_at.is_some() => Some((ActionResult::Continue, Outcome::TimedOut)),
        AtDeadline::Continue => Some((ActionResult::Continue, Outcome::TimedOut)),
        AtDeadline::Abandon => Some((ActionResult::Abandon, Outcome::Abandoned)),
        AtDeadline::Hold => None,
    }
}

/// Not sooner than in a second: a span of nothing would spin.
fn soon(left: Duration, most: Duration) -> Duration {
    left.clamp(Duration::from_secs(1), most.max(Duration::from_secs(1)))
}

fn unknown(what: &str, policy: &Policy) -> Step {
    Step::Wait(Why::Unknown(what.to_owned()), policy.poll)
}

fn left_of(mut items: Vec<String>) -> Left {
    let count = items.len();
    Left { count, first: if items.is_empty() { String::new() } else { items.swap_remove(0) } }
}
