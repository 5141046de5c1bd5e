//! What is wrong at the end of a fleet: broken promises, losses, and what has not ended.

use crate::harness::{HOOKS, our_completions, seconds};
use crate::plan::{Asked, Happening, Plan};
use crate::play::Fleet;
use aws_simulator::autoscaling::{Completion, How, LifecycleResult};
use aws_simulator::{BEGIN, Cloud, SimTime};
use ecs_drain::store::{Read, Store};
use ecs_drain_state::{Outcome, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a pass takes, at most, from its first look at the container instance to the completion.
const MADE_ACTIVE: Duration = Duration::from_secs(15);

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Complaint {
    /// Which promise: what stays the same while a plan is made smaller.
    pub kind: String,
    /// Whose, where it is one instance's.
    pub instance: String,
    pub text: String,
}

impl Complaint {
    /// About no instance in particular.
    pub fn new(kind: &str, text: String) -> Complaint {
        Complaint { kind: kind.to_owned(), instance: String::new(), text }
    }

    /// About one instance.
    pub fn of(kind: &str, instance: &str, text: String) -> Complaint {
        Complaint { instance: instance.to_owned(), ..Complaint::new(kind, text) }
    }

    pub fn unfinished(record: &Record) -> Complaint {
        let Record { instance_id, phase, message, .. } = record;
        Complaint::of(
            "unfinished",
            instance_id,
            format!("{instance_id} is {phase}: {message} ({:?})", record.last_error),
        )
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

/// Instances that wait while an action of our hook holds them.
pub fn waiting_under_our_hook(cloud: &Cloud) -> Vec<Complaint> {
    let (now, groups) = (cloud.now(), &cloud.world.autoscaling);
    let mut waiting = Vec::new();
    for group in groups.groups() {
        let ids = cloud.instance_ids(group).into_iter();
        let held = |id: &String| HOOKS.iter().any(|hook| groups.active_action(now, group, hook, id));
        for id in ids.filter(held) {
            let state = cloud.lifecycle_state(&id).unwrap_or_default();
            waiting.push(Complaint::of("waits", &id, format!("{id} is {state} under our hook")));
        }
    }
    waiting
}

/// Every record, as it is in the table.
async fn records(store: &Store) -> Vec<Record> {
    let all = store.all().await.expect("the table can be read");
    let read = all.into_iter().map(|(key, read)| match read {
        Read::Record(record) => *record,
        other => panic!("{key} has an unreadable record: {other:?}"),
    });
    read.collect()
}

/// The drains that have not ended.
pub async fn unfinished(store: &Store) -> Vec<Record> {
    records(store).await.into_iter().filter(|record| !record.is_done()).collect()
}

/// Everything that is wrong.
pub async fn judge(fleet: &Fleet<'_>, mut complaints: Vec<Complaint>) -> Vec<Complaint> {
    let records = records(&fleet.store).await;
    let excused = |instance: &str, at: SimTime| may_lose(fleet.plan, &records, instance, at);
    fleet.simulator.with(|cloud| {
        for record in &records {
            if must_be_undone(cloud, record) {
                cloud.checkers.must_be_undone(&record.instance_id);
            }
        }
        for broken in cloud.violations_at_end() {
            let is_excused = match broken.checker {
                checker if checker.starts_with("premature") => {
                    excused(&broken.instance, broken.at)
                        || was_just_made_active(fleet.plan, &broken.instance, broken.at)
                }
                "task stopped" => was_just_made_active(fleet.plan, &broken.instance, broken.at),
                _ => false,
            };
            if !is_excused {
                complaints.push(Complaint::of(broken.checker, &broken.instance, broken.to_string()));
            }
        }
        complaints.extend(abandoned(fleet.plan, cloud));
        let losses = cloud.losses().iter().filter(|loss| !excused(&loss.instance, loss.at));
        let losses = losses.filter(|loss| !hook_was_deleted(fleet.plan, cloud, &loss.instance));
        let losses = losses.filter(|loss| !was_made_active_after_us(fleet.plan, cloud, &loss.instance));
        complaints.extend(losses.map(|loss| Complaint::of("lost", &loss.instance, format!("{loss:?}"))));
    });
    complaints
}

/// What was let go by order, or by a deadline that was configured, may lose something.
fn may_lose(plan: &Plan, records: &[Record], of: &str, when: SimTime) -> bool {
    let ordered = plan.script.iter().any(|(at, what)| match what {
        Happening::Order { instance, what: Asked::Complete } => instance == of && when >= BEGIN + seconds(*at),
        _ => false,
    });
    // An earlier generation may have ended so, where another's hook held the instance on.
    let late = [Some(Outcome::TimedOut), Some(Outcome::Abandoned)];
    let timed_out = |record: &Record| late.contains(&record.outcome) || record.generation > 1;
    let late = |record: &Record| record.instance_id == of && timed_out(record);
    ordered || (plan.rules.deadline.is_some() && records.iter().any(late))
}

/// Whether an instance was let go because someone deleted its group's hook.
fn hook_was_deleted(plan: &Plan, cloud: &Cloud, instance: &str) -> bool {
    plan.script.iter().any(|(_, what)| matches!(what, Happening::HookDeleted { .. }))
        && our_completions(cloud, instance).last().is_none_or(|last| last.how != How::Called)
}

/// Whether someone made the instance `ACTIVE` when we had let it go, and another's hook held it on.
fn was_made_active_after_us(plan: &Plan, cloud: &Cloud, of: &str) -> bool {
    let Some(let_go) = our_completions(cloud, of).last().map(|last| last.at) else { return false };
    plan.script.iter().any(|(at, what)| {
        matches!(what, Happening::ByHand { instance, active: true } if instance == of) && BEGIN + seconds(*at) > let_go
    })
}

/// Whether someone had just made the instance `ACTIVE`: what lands on it then can be there before any read shows it.
fn was_just_made_active(plan: &Plan, of: &str, when: SimTime) -> bool {
    // A single read may lag by up to a minute in any fleet.
    let unseen = seconds(60) + MADE_ACTIVE;
    plan.script.iter().any(|(at, what)| {
        let begun = BEGIN + seconds(*at);
        matches!(what, Happening::ByHand { instance, active: true } if instance == of)
            && (begun..begun + unseen).contains(&when)
    })
}

/// How the drains of a fleet have ended.
pub async fn outcomes(store: &Store) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::new();
    for outcome in records(store).await.iter().filter_map(|record| record.outcome) {
        *outcomes.entry(outcome.name()).or_default() += 1;
    }
    outcomes
}

/// Whether no `DRAINING` of ours may be left behind: the instance lives on because its drain was cancelled, it was in a
/// warm pool, or it has a new root volume.
fn must_be_undone(cloud: &Cloud, record: &Record) -> bool {
    let lives_on = record.outcome == Some(Outcome::Cancelled) || record.lives_on();
    lives_on && record.is_done() && cloud.lifecycle_state(&record.instance_id).as_deref() == Some("InService")
}

/// Nothing but a deadline, where the policy says so, ends with `ABANDON`.
fn abandoned(plan: &Plan, cloud: &Cloud) -> Vec<Complaint> {
    let may_be = plan.rules.deadline.is_some_and(|(_, then)| then == "abandon");
    let completions = cloud.world.autoscaling.completions().iter();
    let ours = completions.filter(|one| one.how == How::Called && HOOKS.contains(&one.hook.as_str()));
    let wrong = ours.filter(|one| one.result == LifecycleResult::Abandon && !may_be);
    let complaint = |one: &Completion| {
        Complaint::of("wrong result sent", &one.instance_id, format!("{one:?}, and no policy says so"))
    };
    wrong.map(complaint).collect()
}
