//! What is wrong at the end of a fleet: broken promises, losses, and what has not ended.

use crate::harness::{FAR, HOOKS, our_completions, seconds};
use crate::plan::{Asked, Happening, On, Plan, Strike};
use crate::play::Fleet;
use aws_simulator::autoscaling::{Completion, How, LifecycleResult};
use aws_simulator::{BEGIN, Cloud, SimTime, Written};
use ecs_drain::store::{Read, Store};
use ecs_drain_state::{Outcome, Record, Then};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How far any single read may lag, in any fleet.
const LAG: Duration = Duration::from_secs(60);

/// How long a pass takes, at most, from its first look at the container instance to the completion.
const PASS: Duration = Duration::from_secs(15);

/// How old the search may be that shows no further registration of an instance, when its completion
/// is sent: in its own cluster, and in others.
const SEARCHED: Duration = Duration::from_secs(60);
const SEARCHED_ELSEWHERE: Duration = Duration::from_secs(300);

/// How old the list of the tasks that stop may be then.
const LISTED: Duration = Duration::from_secs(60);

/// For how long a record that was written or read may be believed when a call is sent.
const RECORDED: Duration = Duration::from_secs(10);

/// For how long the hooks of a group in which nothing waits are believed, seconds.
const HOOKS_LAST: u64 = 300;

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

    /// What has not ended in a wide fleet was too slow at AWS's rates, whatever else may be wrong
    /// with it.
    pub fn in_a_fleet(self, plan: &Plan) -> Complaint {
        if plan.is_wide() { Complaint { kind: "too slow".to_owned(), ..self } } else { self }
    }

    pub fn unfinished(record: &Record) -> Complaint {
        let Record { instance_id, region, .. } = record;
        let (phase, message) = (record.phase(), &record.shown.message);
        Complaint::of(
            "unfinished",
            instance_id,
            format!("{instance_id} of {region} is {phase}: {message} ({:?})", record.last_error),
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
        let held =
            |id: &String| HOOKS.iter().any(|hook| groups.active_action(now, group, hook, id));
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
    if let Some(far) = &fleet.far {
        // Nobody interferes there, so nothing is excused.
        far.with(|cloud| {
            let broken = cloud.violations_at_end().into_iter();
            let broken =
                broken.map(|it| Complaint::of(it.checker, &it.instance, format!("in {FAR}: {it}")));
            complaints.extend(broken);
            let lost = cloud.losses().iter();
            complaints.extend(
                lost.map(|it| Complaint::of("lost", &it.instance, format!("in {FAR}: {it:?}"))),
            );
        });
    }
    fleet.simulator.with(|cloud| {
        for record in records.iter().filter(|record| record.region != FAR) {
            if must_be_undone(fleet.plan, cloud, record) {
                cloud.checkers.must_be_undone(&record.instance_id);
            }
        }
        for broken in cloud.violations_at_end() {
            let is_excused = match broken.checker {
                "foreign instance touched" => {
                    nobody_says_whose(fleet.plan, &broken.instance)
                        || was_without_unseen(fleet.plan, &broken.instance)
                }
                "hook expired" => {
                    works_again_while_told_late(fleet.plan, &broken.instance, broken.at)
                        || was_left_out(fleet.plan, cloud, &broken.instance, broken.at)
                }
                // What was saved before it was restored is sent a moment later.
                "unsaved completion" | "unsaved act" => was_just_restored(fleet.plan, broken.at),
                checker if checker.starts_with("premature") => {
                    may_lose(fleet.plan, cloud, &broken.instance, broken.at)
                        || cannot_be_seen(fleet.plan, cloud, &broken.instance, broken.at)
                }
                "task stopped" => {
                    was_just_made_active(fleet.plan, &broken.instance, broken.at, LAG + PASS)
                        || was_active_in_between(fleet.plan, &broken.instance, broken.at)
                }
                _ => false,
            };
            if !is_excused {
                complaints.push(Complaint::of(
                    broken.checker,
                    &broken.instance,
                    broken.to_string(),
                ));
            }
        }
        complaints.extend(abandoned(fleet.plan, cloud));
        let losses = cloud
            .losses()
            .iter()
            .filter(|loss| !may_lose(fleet.plan, cloud, &loss.instance, loss.at));
        let losses = losses.filter(|loss| !hook_was_deleted(fleet.plan, cloud, &loss.instance));
        let losses =
            losses.filter(|loss| !was_left_out(fleet.plan, cloud, &loss.instance, loss.at));
        let losses = losses.filter(|loss| !came_after_us(fleet.plan, cloud, &loss.instance));
        complaints
            .extend(losses.map(|loss| Complaint::of("lost", &loss.instance, format!("{loss:?}"))));
    });
    complaints
}

/// What was let go by order, or by a deadline that was configured, may lose something.
fn may_lose(plan: &Plan, cloud: &Cloud, of: &str, when: SimTime) -> bool {
    let ordered = plan.script.iter().any(|(at, what)| match what {
        Happening::Order { instance, what: Asked::Complete } => {
            instance == of && when >= BEGIN + seconds(*at)
        }
        _ => false,
    });
    ordered || (plan.policies().any(|rules| rules.deadline.is_some()) && was_late(cloud, of, when))
}

/// Whether a deadline had decided by then to end a drain of the instance. Its last one need not say
/// so: another's hook, or its group, can have kept the instance for a next one, under another
/// policy.
fn was_late(cloud: &Cloud, of: &str, when: SimTime) -> bool {
    let late = [Outcome::TimedOut, Outcome::Abandoned].map(Outcome::name);
    let decided = |written: &Written| {
        let intent = written.item["intent"]["M"]["outcome"]["S"].as_str();
        intent.is_some_and(|outcome| late.contains(&outcome))
    };
    let of_it = cloud
        .checkers
        .writes()
        .iter()
        .filter(|written| written.at <= when && written.key.ends_with(of));
    of_it.into_iter().any(decided)
}

/// Whether an instance can wait under another's hook alone, in a group that has ours again, while
/// heartbeats fail: only their answer tells whose wait it is, and until there is one it is taken
/// for ours.
fn nobody_says_whose(plan: &Plan, of: &str) -> bool {
    let member = |name: &String| {
        plan.groups.iter().any(|g| g.name == *name && g.instances.iter().any(|i| i == of))
    };
    let fails =
        |strike: &Strike| matches!(strike.on, On::Every("RecordLifecycleActionHeartbeat", ..));
    let without =
        |what: &Happening| matches!(what, Happening::HookDeleted { group } if member(group));
    plan.faults.iter().any(fails) && plan.script.iter().any(|(_, what)| without(what))
}

/// Whether its group was without our hook for so short a time that no read of its hooks need have
/// shown that: a wait that began meanwhile is taken for ours, because our hook was there before it
/// and after it.
fn was_without_unseen(plan: &Plan, of: &str) -> bool {
    let member = |name: &String| {
        plan.groups.iter().any(|g| g.name == *name && g.instances.iter().any(|i| i == of))
    };
    let deleted = plan
        .script
        .iter()
        .filter(|(_, what)| matches!(what, Happening::HookDeleted { group } if member(group)));
    let put = |from: u64, to: u64, what: &Happening| {
        matches!(what, Happening::HookPut { group } if member(group))
            && from < to
            && to - from <= HOOKS_LAST
    };
    deleted.into_iter().any(|(from, _)| plan.script.iter().any(|(to, what)| put(*from, *to, what)))
}

/// Whether no replica had the instance's hook or group in its configuration for a moment of the
/// time that its hook waits, and no drain of it was under way, which would hold it all the same.
fn was_left_out(plan: &Plan, cloud: &Cloud, of: &str, when: SimTime) -> bool {
    // One that its group has launched is in no plan: its group is known from the action that ended.
    let launched = || plan.group(&our_completions(cloud, of).last()?.group);
    let planned = plan.groups.iter().find(|group| group.instances.iter().any(|id| id == of));
    let Some(group) = planned.or_else(launched) else { return false };
    let until = when.saturating_sub(BEGIN).as_secs();
    let from = until.saturating_sub(group.heartbeat_timeout);
    let deployed =
        plan.script.iter().filter(|(_, what)| matches!(what, Happening::Deployed { .. }));
    let moments =
        deployed.map(|(at, _)| *at).filter(|at| (from..=until).contains(at)).chain([from, until]);
    let left_out = |at: u64| {
        let up = plan.replicas.iter().enumerate().filter(|(_, replica)| {
            replica.starts <= at && replica.retires.is_none_or(|retires| at < retires)
        });
        up.into_iter().all(|(number, _)| !plan.revision_at(number, at).selects(group))
    };
    let is_of = |written: &&Written| written.at <= when && written.key.ends_with(of);
    let last = cloud.checkers.writes().iter().rfind(is_of);
    let held = last.is_some_and(|last| {
        last.item["phase"]["S"] != "Done" && last.item.get("lifecycle").is_some()
    });
    !held && moments.into_iter().any(left_out)
}

/// Whether an instance was let go because someone deleted its group's hook.
fn hook_was_deleted(plan: &Plan, cloud: &Cloud, instance: &str) -> bool {
    plan.script.iter().any(|(_, what)| matches!(what, Happening::HookDeleted { .. }))
        && our_completions(cloud, instance).last().is_none_or(|last| last.how != How::Called)
}

/// Whether someone made the instance `ACTIVE` when we had let it go, and another's hook held it on;
/// or so shortly before that we could not see it.
fn came_after_us(plan: &Plan, cloud: &Cloud, of: &str) -> bool {
    let completions = our_completions(cloud, of);
    let Some((let_go, how)) = completions.last().map(|last| (last.at, last.how)) else {
        return false;
    };
    let made_active = plan.script.iter().any(|(at, what)| {
        matches!(what, Happening::ByHand { instance, active: true } if instance == of)
            && BEGIN + seconds(*at) > let_go
    });
    let ran_out = how == How::TimedOut && works_again_while_told_late(plan, of, let_go);
    made_active || ran_out || cannot_be_seen(plan, cloud, of, let_go)
}

/// Whether the instance was made `ACTIVE` again, or registered again, less than a hook's time
/// before. While its drain was Completing nobody sent heartbeats, so that little time may be left;
/// and heartbeats may fail just then.
fn works_again_while_told_late(plan: &Plan, of: &str, when: SimTime) -> bool {
    let group = plan.groups.iter().find(|group| group.instances.iter().any(|id| id == of));
    let timeout = group.map_or(Duration::ZERO, |group| seconds(group.heartbeat_timeout));
    let fails = |strike: &Strike| matches!(strike.on, On::Every("CompleteLifecycleAction", ..));
    plan.faults.iter().any(fails)
        && happened_within(plan, when, timeout, |what| match what {
            Happening::ByHand { instance, active: true }
            | Happening::RegistersAgain { instance, .. } => instance == of,
            _ => false,
        })
}

/// Whether something may run on the instance that no read can show at that moment, or could when it
/// was deregistered: its containers run on after that, and ECS says nothing more of them.
fn cannot_be_seen(plan: &Plan, cloud: &Cloud, of: &str, when: SimTime) -> bool {
    let deregistered = cloud.world.ecs.truth(of).deregistered_at;
    was_just_made_active(plan, of, when, LAG + LISTED)
        || was_just_registered_again(plan, of, when)
        || deregistered.is_some_and(|at| was_just_made_active(plan, of, at, LAG + LISTED))
}

/// Whether someone had just made the instance `ACTIVE`: what lands on it then can be there before
/// any read shows it.
fn was_just_made_active(plan: &Plan, of: &str, when: SimTime, span: Duration) -> bool {
    let by_hand = |what: &Happening| matches!(what, Happening::ByHand { instance, active: true } if instance == of);
    happened_within(plan, when, span, by_hand)
}

/// Whether the table was restored so shortly before that what the record said until then counts.
fn was_just_restored(plan: &Plan, when: SimTime) -> bool {
    happened_within(plan, when, RECORDED, |what| matches!(what, Happening::TableRestored { .. }))
}

/// Whether someone made the instance `ACTIVE` and then `DRAINING` again: where nobody looked in
/// between, the grace of what was begun there counts from the `DRAINING` before.
fn was_active_in_between(plan: &Plan, of: &str, when: SimTime) -> bool {
    let by_hand = |to: bool| {
        let mut times = plan.script.iter().filter_map(move |(at, what)| match what {
            Happening::ByHand { instance, active } if instance == of && *active == to => {
                Some(BEGIN + seconds(*at))
            }
            _ => None,
        });
        times.find(|at| *at <= when)
    };
    by_hand(true).zip(by_hand(false)).is_some_and(|(active, draining)| active < draining)
}

/// Whether the instance had just been registered a second time: no search can show that yet, nor
/// what lands there. One that was in no cluster before is searched for in another way, and is
/// found.
fn was_just_registered_again(plan: &Plan, of: &str, when: SimTime) -> bool {
    let Some(home) = plan.groups.iter().find(|group| group.instances.iter().any(|id| id == of))
    else {
        return false;
    };
    let registered = |here: bool, searched: Duration| {
        happened_within(plan, when, searched.saturating_add(LAG + PASS), |what| match what {
            Happening::RegistersAgain { instance, cluster } => {
                instance == of && (home.cluster.as_ref() == Some(cluster)) == here
            }
            _ => false,
        })
    };
    // While its first registration keeps its agent, no other cluster is searched once more.
    let keeps_its_agent = || {
        let lost = |what: &Happening| matches!(what, Happening::Agent { instance, connected: false } if instance == of);
        !happened_within(plan, when, Duration::MAX, lost)
    };
    let elsewhere = || {
        let span = if keeps_its_agent() { Duration::MAX } else { SEARCHED_ELSEWHERE };
        registered(false, span)
    };
    home.cluster.is_some() && (registered(true, SEARCHED) || elsewhere())
}

/// Whether something happened at most so long before.
fn happened_within(
    plan: &Plan,
    when: SimTime,
    span: Duration,
    what: impl Fn(&Happening) -> bool,
) -> bool {
    plan.script.iter().any(|(at, happening)| {
        let begun = BEGIN + seconds(*at);
        what(happening) && (begun..begun.saturating_add(span)).contains(&when)
    })
}

/// How the drains of a fleet have ended.
pub async fn outcomes(store: &Store) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::new();
    for outcome in records(store).await.iter().filter_map(|record| record.outcome()) {
        *outcomes.entry(outcome.name()).or_default() += 1;
    }
    outcomes
}

/// Whether no `DRAINING` of ours may be left behind: the instance lives on because its drain was
/// cancelled, it was in a warm pool, or it has a new root volume. A drain that found it `DRAINING`,
/// as an earlier one was to leave it, leaves it so as well.
fn must_be_undone(plan: &Plan, cloud: &Cloud, record: &Record) -> bool {
    let lives_on = record.outcome() == Some(Outcome::Cancelled) || record.lives_on();
    let kept = record.generation > 1 && may_be_kept(plan, &record.instance_id);
    lives_on
        && !kept
        && record.is_done()
        && cloud.lifecycle_state(&record.instance_id).as_deref() == Some("InService")
}

/// Whether a drain that was asked for leaves its instance `DRAINING`.
fn may_be_kept(plan: &Plan, of: &str) -> bool {
    plan.script.iter().any(|(_, what)| match what {
        Happening::Order { instance, what: Asked::Drain(Then::Keep) } => instance == of,
        Happening::Rebalance { instance } => {
            instance == of && plan.policies().any(|rules| rules.rebalance == "keep")
        }
        _ => false,
    })
}

/// Nothing but a deadline, where the policy says so, ends with `ABANDON`.
fn abandoned(plan: &Plan, cloud: &Cloud) -> Vec<Complaint> {
    let may_be =
        plan.policies().filter_map(|rules| rules.deadline).any(|(_, then)| then == "abandon");
    let completions = cloud.world.autoscaling.completions().iter();
    let ours =
        completions.filter(|one| one.how == How::Called && HOOKS.contains(&one.hook.as_str()));
    let wrong = ours.filter(|one| one.result == LifecycleResult::Abandon && !may_be);
    let complaint = |one: &Completion| {
        Complaint::of(
            "wrong result sent",
            &one.instance_id,
            format!("{one:?}, and no policy says so"),
        )
    };
    wrong.map(complaint).collect()
}
