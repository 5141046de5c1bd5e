//! An operator's requests, and their effect on a drain.
//!
//! A person's command writes a request to the table, and the controller carries it out. Only the
//! controller writes records, so that an order and a decision cannot overwrite each other. A
//! request is for one generation of one instance's drain, and is carried out within
//! [`EXPIRES_AFTER`] or not at all: an order for one situation must not act on another.
//!
//! [`apply`] contains all of the rules, and is pure. The person, reason and time in a request are
//! not proved, and are foreign text.

use crate::phase::{Outcome, Phase};
use crate::record::{ContainerInstance, Order, Record, Then};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The schema that this program writes. A request with a higher one is not carried out.
pub const SCHEMA: u32 = 1;

/// Longest distance of a request's time from now, in either direction. An older request has
/// expired; one from the future was written by a wrong clock.
pub const EXPIRES_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// Longest name or reason that is copied into a record, in characters: the record must fit into an
/// item of the table.
const LONGEST: usize = 500;

/// An operator's request for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Id of this request; ids of later requests sort after those of earlier ones.
    pub id: String,
    /// Name of the controller that is to carry it out.
    pub controller: String,
    /// AWS account, 12 digits.
    pub account: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// EC2 instance id, such as `i-0123456789abcdef0`.
    pub instance_id: String,
    /// Name of the cluster of its container instance, as the operator saw it. The operator's
    /// permission may be limited to this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Generation of the record that the operator saw; 0 if there was no record.
    pub generation: u64,
    /// The action that is requested.
    pub what: What,
    /// The operator, as the CLI determined it: an IAM identity, or a user of a machine. It is not
    /// proof.
    pub by: String,
    /// The operator's reason, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time of the request.
    pub at: Timestamp,
    /// Schema of this request, see [`SCHEMA`].
    pub schema: u32,
}

/// The actions that an operator can request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Drain the instance, although the ecs-drain hook does not hold it.
    Drain {
        /// Action after the drain.
        then: Then,
    },
    /// End the drain, and undo the `DRAINING` that ecs-drain set.
    Cancel,
    /// Stop all steps of this drain but heartbeats.
    Pause,
    /// Continue a drain that is paused.
    Resume,
    /// Move the deadline to a later moment.
    Extend {
        /// The new deadline.
        until: Timestamp,
    },
    /// Forget the last failure, and check the drain at once.
    Retry,
    /// End the wait now, even if tasks or targets are left.
    Force,
}

impl What {
    /// Returns the name of the request in the table, the CLI and the docs.
    pub const fn name(&self) -> &'static str {
        match self {
            What::Drain { .. } => "drain",
            What::Cancel => "cancel",
            What::Pause => "pause",
            What::Resume => "resume",
            What::Extend { .. } => "extend",
            What::Retry => "retry",
            What::Force => "force",
        }
    }
}

/// Result of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// It changes the record: save it, then answer.
    Changed {
        /// The record after the request.
        record: Box<Record>,
        /// Answer to the operator.
        answer: String,
    },
    /// Its effect is there already: answer, and save nothing.
    Already {
        /// Answer to the operator.
        answer: String,
    },
    /// It cannot be done: answer, and save nothing.
    Refused {
        /// Answer to the operator: the reason, and what can be done instead.
        answer: String,
    },
    /// A drain is requested and none is unfinished: open one.
    Open,
}

impl Request {
    /// Returns the key of the instance's record in the table.
    pub fn record_key(&self) -> String {
        crate::record::key(&self.account, &self.region, &self.instance_id)
    }

    /// Returns whether the request is too old to be carried out, or its clock too wrong.
    pub fn expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.at).abs() > EXPIRES_AFTER
    }

    /// Returns the order for the record: person, reason and time. The texts are cut and have no
    /// control characters, because they are shown on terminals.
    pub fn order(&self) -> Order {
        Order {
            by: plain(&self.by),
            reason: self.reason.as_deref().map(plain).filter(|r| !r.is_empty()),
            at: self.at,
        }
    }
}

/// Returns a cut text on one line that cannot steer a terminal.
fn plain(text: &str) -> String {
    let text: String = text.chars().take(LONGEST).collect();
    crate::text::plain(&text).trim().to_owned()
}

/// Input of a request besides its record.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The policy's blind margin: see [`crate::record::latest_deadline`].
    pub margin: SignedDuration,
    /// Person who paused the drain's clusters, or everything.
    pub paused: Option<&'a str>,
    /// The current time.
    pub now: Timestamp,
}

/// Applies a request to an instance that has this record, or none.
pub fn apply(request: &Request, record: Option<&Record>, around: &Circumstances<'_>) -> Applied {
    let now = around.now;
    if let Some(record) = record.filter(|record| record.orders.requests.contains(&request.id)) {
        return already(format!("this request was carried out before; {}", standing(record)));
    }
    if request.expired(now) {
        return refused(format!(
            "the request of {:.0} is more than {} minutes old, or a clock is wrong; run the command again",
            request.at,
            EXPIRES_AFTER.as_mins()
        ));
    }
    if let What::Drain { then } = request.what {
        return drain(request, then, record);
    }
    let Some(record) = record else {
        return refused(
            "it is not draining; `ecs-drain get --all` shows finished drains".to_owned(),
        );
    };
    if let Some(answer) = other_generation(request, record) {
        return refused(answer);
    }
    if record.is_done() {
        return refused(is_done(record, request.what));
    }
    if let Some(answer) = other_cluster(request, &record.container_instances) {
        return refused(answer);
    }
    let (mut next, order) = (record.clone(), request.order());
    let done = match request.what {
        What::Drain { .. } | What::Cancel => cancel(&mut next, order, around),
        What::Pause => pause(&mut next, order, now),
        What::Resume => resume(&mut next, &order, around),
        What::Extend { until } => extend(&mut next, &order, until, around.margin, now),
        What::Retry => retry(&mut next, &order, around),
        What::Force => force(&mut next, order, around),
    };
    match done {
        Ok(answer) => {
            carried_out(&mut next, request);
            Applied::Changed { record: Box::new(next), answer }
        }
        Err(refusal) => refusal,
    }
}

/// Returns the refusal of a request that names a cluster which the instance is not in: its author
/// may have permission for that cluster alone. A request that names none needed permission for all.
pub fn other_cluster(request: &Request, registered: &[ContainerInstance]) -> Option<String> {
    let named = request.cluster.as_deref()?;
    if registered.iter().any(|one| one.cluster == named) {
        return None;
    }
    let clusters: Vec<&str> = registered.iter().map(|one| one.cluster.as_str()).collect();
    let is = if clusters.is_empty() {
        "no cluster".to_owned()
    } else {
        format!("cluster {}", clusters.join(" and "))
    };
    Some(format!(
        "the request is for cluster {named}, and the instance is in {is}; run the command again"
    ))
}

/// Notes in a record that a request was carried out on it, so that it does nothing when it is read
/// again. This also applies to a drain that a request opens.
pub fn carried_out(record: &mut Record, request: &Request) {
    record.remember_request(request.id.clone());
}

fn already(answer: String) -> Applied {
    Applied::Already { answer }
}

fn refused(answer: String) -> Applied {
    Applied::Refused { answer }
}

/// Describes the state of a drain, in a clause.
fn standing(record: &Record) -> String {
    match record.outcome() {
        Some(outcome) if record.is_done() => format!("its drain has ended ({outcome})"),
        Some(_) | None => {
            format!(
                "its drain has been {} since {:.0}: {}",
                record.phase(),
                record.phase_since,
                record.shown.message
            )
        }
    }
}

fn other_generation(request: &Request, record: &Record) -> Option<String> {
    (request.generation != record.generation).then(|| match request.generation {
        0 => format!(
            "a drain of it has started since; run the command again: {}",
            standing(record)
        ),
        meant => format!(
            "a new drain of it has started since (generation {}, not {meant}); run the command again: {}",
            record.generation,
            standing(record)
        ),
    })
}

fn drain(request: &Request, then: Then, record: Option<&Record>) -> Applied {
    let Some(record) = record else { return Applied::Open };
    if record.is_done() {
        return other_generation(request, record).map_or(Applied::Open, refused);
    }
    if record.orders.cancel.is_some() || record.phase() == Phase::Returning {
        return refused(format!(
            "its last drain has not ended; run the command again when it has: {}",
            standing(record)
        ));
    }
    let same = match (&record.lifecycle, record.then) {
        // Its group terminates it and replaces it, which is the effect of this request.
        (Some(_), _) => then == Then::Terminate && !record.lives_on(),
        (None, Some(now)) => now == then,
        (None, None) => false,
    };
    match (same, &record.lifecycle, record.then) {
        (true, ..) => already(format!("it is draining already; {}", standing(record))),
        (false, Some(lifecycle), _) => refused(format!(
            "its group {} is terminating it; {}",
            lifecycle.group,
            standing(record)
        )),
        (false, None, Some(now)) => refused(format!(
            "it is draining to {}, not to {}; cancel that drain first: {}",
            now.name(),
            then.name(),
            standing(record)
        )),
        (false, None, None) => refused(format!("it is draining already; {}", standing(record))),
    }
}

/// Returns the answer to a request for a drain that is done.
fn is_done(record: &Record, what: What) -> String {
    let done = standing(record);
    let kept = record.lifecycle.is_none()
        && matches!(record.then, Some(Then::Keep | Then::Leave))
        && matches!(record.outcome(), Some(Outcome::Drained | Outcome::Forced));
    let commands: Vec<String> = record
        .container_instances
        .iter()
        .filter(|one| one.draining_is_ours && one.deregistered_at.is_none())
        .map(|one| make_active(record, one))
        .collect();
    if what == What::Cancel && kept && !commands.is_empty() {
        format!(
            "{done}, and it stays in DRAINING. To place tasks on it again: {}",
            commands.join("; ")
        )
    } else {
        format!("{done}; nothing to {}", what.name())
    }
}

/// Returns the command that makes a container instance `ACTIVE` again.
fn make_active(record: &Record, one: &ContainerInstance) -> String {
    format!(
        "aws ecs update-container-instances-state --region {} --cluster {} --container-instances {} --status ACTIVE",
        record.region, one.cluster, one.arn
    )
}

/// Returns the end of an answer that takes effect only once a paused drain is resumed; empty if it
/// is not paused.
fn once_resumed(record: &Record, paused: Option<&str>) -> String {
    match (&record.orders.pause, paused) {
        (Some(by), _) => format!(", once it is resumed; it is paused by {by}"),
        (None, Some(by)) => {
            format!(", once its cluster, or everything, is resumed; that is paused by {by}")
        }
        (None, None) => String::new(),
    }
}

fn cancel(next: &mut Record, order: Order, around: &Circumstances<'_>) -> Result<String, Applied> {
    if next.lifecycle.is_some() {
        let why = "its group is terminating it, which no API can stop; pause it, extend its deadline, or force it";
        return Err(refused(why.to_owned()));
    }
    if next.container_instances.iter().any(|one| one.deregistered_at.is_some()) {
        return Err(refused(
            "it was deregistered from its cluster, which cannot be undone".to_owned(),
        ));
    }
    if let Some(by) = &next.orders.cancel {
        return Err(already(format!("it is already cancelled, by {by}")));
    }
    if next.phase() == Phase::Returning {
        return Err(already(format!("it is already returning; {}", standing(next))));
    }
    next.note(around.now, format!("cancellation requested by {order}"));
    next.orders.cancel = Some(order);
    let unless = if next.termination_asked_at.is_some() {
        ", unless its group is terminating it by now"
    } else {
        ""
    };
    Ok(format!(
        "cancelled; the container instance becomes ACTIVE again if ecs-drain set its DRAINING{unless}{}",
        once_resumed(next, around.paused)
    ))
}

fn pause(next: &mut Record, order: Order, now: Timestamp) -> Result<String, Applied> {
    if let Some(by) = &next.orders.pause {
        return Err(already(format!("it is already paused, by {by}, since {:.0}", by.at)));
    }
    next.note(now, format!("paused by {order}"));
    next.orders.pause = Some(order);
    let late = match &next.intent() {
        Some(_) if next.phase() == Phase::Completing && next.retained_at.is_none() => {
            " (it was about to be released; a completion that Auto Scaling accepted stays)"
        }
        Some(_) | None => "",
    };
    let limit = next
        .global_limit
        .map_or_else(String::new, |at| format!("; the hook still expires at {at:.0}"));
    Ok(format!("paused; heartbeats continue{late}{limit}"))
}

fn resume(next: &mut Record, order: &Order, around: &Circumstances<'_>) -> Result<String, Applied> {
    match next.orders.pause.take() {
        None => Err(already("it is not paused".to_owned())),
        Some(by) => {
            next.note(
                around.now,
                format!("resumed by {order}; it had been paused by {by} since {:.0}", by.at),
            );
            let still = once_resumed(next, around.paused);
            Ok(format!("resumed; it was paused by {by}{still}"))
        }
    }
}

fn extend(
    next: &mut Record,
    order: &Order,
    until: Timestamp,
    margin: SignedDuration,
    now: Timestamp,
) -> Result<String, Applied> {
    let Some(before) = next.deadline else {
        let limit = next.global_limit.map_or_else(
            || "it takes as long as it needs".to_owned(),
            |at| format!("its hook expires at {at:.0}, which cannot be moved"),
        );
        return Err(refused(format!("it has no deadline: {limit}")));
    };
    if until <= now {
        return Err(refused(format!("{until:.0} is in the past")));
    }
    if until == before {
        return Err(already(format!("its deadline is already {before:.0}")));
    }
    if until < before {
        return Err(refused(format!(
            "its deadline is {before:.0} and can only be moved to a later time"
        )));
    }
    let told = told(next)?;
    next.note(now, format!("deadline moved from {before:.0} to {until:.0} by {order}"));
    next.set_deadline(until, margin, now);
    match (next.deadline, next.global_limit) {
        (Some(after), Some(limit)) if after < until && after <= before => Err(refused(format!(
            "its deadline is {before:.0}, the latest that its hook allows (it expires at {limit:.0})"
        ))),
        (Some(after), Some(limit)) if after < until => Ok(format!(
            "its deadline is now {after:.0} instead of {until:.0}, because its hook expires at {limit:.0}{told}"
        )),
        (Some(_) | None, _) => {
            Ok(format!("its deadline is now {until:.0}; it was {before:.0}{told}"))
        }
    }
}

/// Checks that a later deadline can still change anything. An intent that rests on the deadline is
/// dropped when the deadline is moved; any other is not. Returns the end of the answer.
fn told(record: &Record) -> Result<&'static str, Applied> {
    if record.phase() == Phase::Returning {
        return Err(refused(format!("too late: its wait has ended; {}", standing(record))));
    }
    if record.retained_at.is_some() {
        return Err(refused(
            "too late: it was abandoned at its deadline, and its group retains it".to_owned(),
        ));
    }
    match &record.intent() {
        Some(intent) if record.phase() == Phase::Completing => match intent.outcome {
            Outcome::TimedOut | Outcome::Abandoned => {
                Ok("; the old one had passed, and a completion that Auto Scaling accepted stays")
            }
            Outcome::Drained
            | Outcome::Forced
            | Outcome::NotInCluster
            | Outcome::Cancelled
            | Outcome::InstanceGone
            | Outcome::WaitLost => {
                Err(refused(format!("too late: it is already being released ({})", intent.outcome)))
            }
        },
        Some(_) | None => Ok(""),
    }
}

fn retry(next: &mut Record, order: &Order, around: &Circumstances<'_>) -> Result<String, Applied> {
    let failed = next.last_error.take().filter(|_| next.attempts > 0);
    next.attempts = 0;
    next.note(around.now, format!("retry requested by {order}"));
    let before = failed.map_or_else(String::new, |error| format!("; before: {}", error.what));
    Ok(format!("it is retried now{}{before}", once_resumed(next, around.paused)))
}

fn force(next: &mut Record, order: Order, around: &Circumstances<'_>) -> Result<String, Applied> {
    if order.reason.is_none() {
        return Err(refused(
            "a reason is required; pass --reason, which is saved in the record".to_owned(),
        ));
    }
    if let Some(by) = &next.orders.force {
        return Err(already(format!("it is already forced, by {by}")));
    }
    if next.phase() == Phase::Returning {
        return Err(refused(format!("too late: its wait has already ended; {}", standing(next))));
    }
    next.note(around.now, format!("forced by {order}"));
    next.orders.force = Some(order);
    // Targets are read once no task is left.
    let (tasks, targets) = (next.shown.tasks_left_count, next.shown.targets_left_count);
    let left = match (tasks, targets, next.obligations.len()) {
        (0, 0, _) => String::new(),
        (tasks, 0, known) if known > 0 => {
            format!("; {} left, targets not checked ({known} known)", of(tasks, "task"))
        }
        (tasks, targets, _) => {
            format!("; {} and {} left", of(tasks, "task"), of(targets, "target"))
        }
    };
    Ok(format!("it is released now{}{left}", once_resumed(next, around.paused)))
}

/// Formats a count: `1 task`, `3 tasks`.
fn of(count: u32, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
mod tests;
