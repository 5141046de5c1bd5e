//! The answer to "would these instances end by themselves if they were drained now?", before
//! anything is changed.
//!
//! Facts that were read once ([`Snapshot`]) are judged in one of two ways. [`by_turns`] takes at
//! most `max_concurrent` of a cluster at a time, each replaced by its group. [`at_once`] takes all
//! chosen instances as `DRAINING` together, and none as replaced: instances that are not replaced
//! need no more room one after the other than together.
//!
//! The verdict is conservative. [`Verdict::Ends`] needs every fact, and room for every replacement
//! that must start first, in whatever order and on whichever instances ECS places the tasks. A
//! fact that is missing is a [`Doubt`], and so is room that suffices only if ECS places well.
//! A service whose new tasks would fail is unknown to ECS as well, until it starts one.
//!
//! | file | content |
//! | --- | --- |
//! | `facts.rs` | the facts of a plan |
//! | `moves.rs` | each service: percentages, deployments, places for its replacements |
//! | `room.rs` | free resources of the instances that stay |
//! | `turns.rs` | drains by turns, with new instances |
//! | `waits.rs` | each instance: its own tasks and targets, and the time they take |
//! | `words.rs` | doubts, waits and notes in words |

mod facts;
mod moves;
mod room;
mod turns;
mod waits;
mod words;

#[cfg(test)]
mod tests;

pub use facts::{ClusterFacts, GroupFacts, Leaving, Snapshot};
pub use moves::Move;
pub use turns::{Pace, by_turns};
pub use waits::Wait;

use crate::diagnosis::{Cause, Tasks};
use crate::record::Then;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time of the proof beside `read_lag`: reads that are made before the end.
const PROOF: Duration = Duration::from_secs(120);

/// The answer for all chosen instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Each chosen EC2 instance, by account-wide id.
    pub instances: BTreeMap<String, InstancePlan>,
    /// Services whose tasks leave, by cluster and name.
    pub moves: Vec<Move>,
    /// Limits of the Auto Scaling groups. They change no verdict.
    pub notes: Vec<Note>,
    /// Time that all drains take at least, without the time in which replacements start.
    pub takes: Duration,
}

/// The answer for one EC2 instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstancePlan {
    /// Names of its clusters.
    pub clusters: BTreeSet<String>,
    /// Number of its tasks that the drain waits for. `None` if they could not be read.
    pub tasks: Option<usize>,
    /// Causes for which it would get stuck, the most decisive first.
    pub causes: Vec<Cause>,
    /// Facts that are not known, or not certain.
    pub doubts: Vec<Doubt>,
    /// Obstacles that end by themselves.
    pub waits: Vec<Wait>,
    /// Time that its drain takes at least, without the time in which replacements start.
    pub takes: Duration,
}

/// A verdict, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It would end by itself.
    Ends,
    /// It is not known.
    NotKnown,
    /// It would get stuck.
    Stuck,
}

impl Verdict {
    /// Returns its name, one word, for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Ends => "Ends",
            Verdict::NotKnown => "NotKnown",
            Verdict::Stuck => "Stuck",
        }
    }
}

impl InstancePlan {
    /// Returns the verdict. A cause that only says what could not be read or judged proves nothing.
    pub fn verdict(&self) -> Verdict {
        let is_proof = |cause: &Cause| {
            !matches!(
                cause,
                Cause::ConstraintNotJudged { .. }
                    | Cause::Throttled { .. }
                    | Cause::Unreadable { .. }
            )
        };
        match (self.causes.as_slice(), self.doubts.as_slice()) {
            ([], []) => Verdict::Ends,
            (causes, _) if causes.iter().any(is_proof) => Verdict::Stuck,
            _ => Verdict::NotKnown,
        }
    }
}

impl Plan {
    /// Returns the worst verdict. Without an instance nothing has to end.
    pub fn verdict(&self) -> Verdict {
        self.instances.values().map(InstancePlan::verdict).max().unwrap_or(Verdict::Ends)
    }
}

/// A fact that is missing, or not certain, so that the end of a drain is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// The tasks of the instance could not be read.
    TasksUnread,
    /// The description of a service is missing.
    ServiceUnread {
        /// Name of the service.
        service: String,
    },
    /// The deployment controller is newer than this program.
    NewController {
        /// Name of the service.
        service: String,
        /// The controller.
        controller: String,
    },
    /// A deployment is in progress.
    InDeployment {
        /// Name of the service.
        service: String,
    },
    /// The service does not run its desired count.
    Unsettled {
        /// Name of the service.
        service: String,
        /// Desired count.
        desired: u32,
        /// Running tasks.
        running: u32,
        /// Pending tasks.
        pending: u32,
    },
    /// Targets of the service's target group are not healthy, so ECS may count too few tasks.
    Unhealthy {
        /// Name of the service.
        service: String,
        /// Number of targets.
        targets: usize,
    },
    /// The needs of a new task, or the free resources of the others, are not known.
    RoomUnknown {
        /// Name of the service.
        service: String,
    },
    /// The replacements have places, but other tasks that move may take them first.
    TightRoom {
        /// Name of the service.
        service: String,
        /// Number of replacements that must start before ECS stops the last old task.
        replacements: usize,
    },
    /// The protection of tasks from scale-in could not be read.
    ProtectionUnread {
        /// The tasks.
        tasks: Tasks,
    },
    /// The state of targets could not be read.
    TargetsUnread {
        /// Description of the load balancer.
        balancer: String,
    },
    /// The instance's Auto Scaling group could not be read.
    GroupUnread,
    /// The owner of a service has tagged it `ecs-drain:do-not-disrupt` without an end: the drain does
    /// not begin.
    DoNotDisrupt {
        /// Name of the service.
        service: String,
    },
    /// Its turn comes after a drain that may not end.
    Behind {
        /// EC2 instance id of that drain.
        instance: String,
    },
}

/// A limit of an Auto Scaling group, for the operator to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The group cannot shrink by the number of chosen instances.
    AtMinimum {
        /// Name of the group.
        group: String,
        /// Number of its instances that were chosen.
        chosen: usize,
        /// Desired capacity.
        desired: u32,
        /// Minimum size.
        minimum: u32,
    },
    /// Processes of the group are suspended that a drain or its replacement needs.
    Suspended {
        /// Name of the group.
        group: String,
        /// Names of the processes.
        processes: Vec<String>,
    },
    /// Other hooks hold a terminating instance too.
    OtherHooks {
        /// Name of the group.
        group: String,
        /// Names of the hooks.
        hooks: Vec<String>,
    },
    /// Tags of services that do not count.
    BadTag {
        /// The tag and its mistake.
        text: String,
    },
    /// Chosen instances are protected from scale-in.
    ScaleInProtection {
        /// Name of the group.
        group: String,
        /// EC2 instance ids.
        instances: Vec<String>,
    },
}

/// Judges the drains of the chosen instances together, with this future of a drained instance.
pub fn at_once(snapshot: &Snapshot, then: Then, now: Timestamp) -> Plan {
    let mut plan = judge(snapshot, then, now);
    plan.takes = takes(snapshot, &plan);
    plan.notes = notes(snapshot);
    plan
}

/// Judges the chosen instances that leave together. Time and notes are left out.
fn judge(snapshot: &Snapshot, then: Then, now: Timestamp) -> Plan {
    let services = moves::judge(snapshot, now);
    let mut plan = Plan::default();
    for leaving in snapshot.leaving.iter().filter(|leaving| leaving.chosen) {
        let one = plan.instances.entry(leaving.instance_id.clone()).or_default();
        one.clusters.insert(leaving.cluster.clone());
        waits::judge(snapshot, leaving, &services, then, now, one);
    }
    for one in plan.instances.values_mut() {
        one.causes.sort_by_key(|cause| Cause::NAMES.iter().position(|name| *name == cause.name()));
        one.causes.dedup();
        one.doubts.sort();
        one.doubts.dedup();
    }
    let shown = services.into_values().map(|service| service.shown);
    plan.moves = shown.filter(|service| service.tasks > 0).collect();
    plan
}

/// Returns the time of all drains: rounds of `max_concurrent`, each as long as the longest drain
/// of the cluster. Clusters drain beside each other.
fn takes(snapshot: &Snapshot, plan: &Plan) -> Duration {
    let mut clusters: BTreeMap<&str, (u32, u32, Duration)> = BTreeMap::new();
    for leaving in snapshot.leaving.iter().filter(|leaving| leaving.chosen) {
        let Some(one) = plan.instances.get(&leaving.instance_id) else { continue };
        let size = snapshot.size(&leaving.cluster);
        let (count, at_once, longest) = clusters.entry(&leaving.cluster).or_default();
        *count += 1;
        *at_once = leaving.policy.max_concurrent.of(size);
        *longest = (*longest).max(one.takes);
    }
    let times = clusters.into_values();
    times
        .map(|(count, at_once, longest)| longest * count.div_ceil(at_once.max(1)))
        .max()
        .unwrap_or_default()
}

/// Processes whose suspension matters: without `Launch` no replacement is launched, without
/// `Terminate` the group itself ends no instance. (Source: EC2 Auto Scaling user guide, "Suspend
/// and resume processes".)
const PROCESSES: [&str; 2] = ["Launch", "Terminate"];

fn notes(snapshot: &Snapshot) -> Vec<Note> {
    let mut chosen: BTreeMap<&str, (&GroupFacts, BTreeSet<&str>, Vec<String>)> = BTreeMap::new();
    for leaving in snapshot.leaving.iter().filter(|leaving| leaving.chosen) {
        let Some(group) = leaving.group.as_ref().and_then(Option::as_ref) else { continue };
        let (_, ids, protected) =
            chosen.entry(&group.name).or_insert((group, BTreeSet::new(), Vec::new()));
        if ids.insert(&leaving.instance_id) && group.protected {
            protected.push(leaving.instance_id.clone());
        }
    }
    let mut notes = Vec::new();
    for (group, ids, instances) in chosen.into_values() {
        let name = || group.name.clone();
        let (count, room) = (ids.len(), group.desired.saturating_sub(group.minimum));
        if u32::try_from(count).unwrap_or(u32::MAX) > room {
            let (desired, minimum) = (group.desired, group.minimum);
            notes.push(Note::AtMinimum { group: name(), chosen: count, desired, minimum });
        }
        let processes: Vec<String> = PROCESSES
            .iter()
            .filter(|process| group.suspended.contains(**process))
            .map(|process| (*process).to_owned())
            .collect();
        if !processes.is_empty() {
            notes.push(Note::Suspended { group: name(), processes });
        }
        if !group.other_hooks.is_empty() {
            notes.push(Note::OtherHooks { group: name(), hooks: group.other_hooks.clone() });
        }
        if !instances.is_empty() {
            notes.push(Note::ScaleInProtection { group: name(), instances });
        }
    }
    let bad = snapshot.clusters.values().flat_map(|facts| &facts.bad_tags);
    notes.extend(bad.map(|text| Note::BadTag { text: text.clone() }));
    notes.sort();
    notes
}
