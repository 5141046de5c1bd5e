//! The verdict at the end of a fleet: broken promises, losses, and drains that have not ended.

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

/// The longest lag of any single read, in any fleet.
const LAG: Duration = Duration::from_secs(60);

/// The longest duration of a pass, from its first read of the container instance to the completion.
const PASS: Duration = Duration::from_secs(15);

/// The greatest age, at a completion, of the search that shows no further registration of the
/// instance: in its own cluster, and in others.
const SEARCHED: Duration = Duration::from_secs(60);
const SEARCHED_ELSEWHERE: Duration = Duration::from_secs(300);

/// The greatest age of the list of stopping tasks then.
const LISTED: Duration = Duration::from_secs(60);

/// The time for which a record that was written or read is valid for a call.
const RECORDED: Duration = Duration::from_secs(10);

/// The time in seconds for which the hooks of a group without waiting instances are cached.
const HOOKS_LAST: u64 = 300;

/// A finding of the verdict.
#[derive(Clone, Debug)]
pub struct Complaint {
    /// The broken promise: it stays the same while a plan is made smaller.
    pub kind: String,
    /// The instance, if the complaint is about one.
    pub instance: String,
    pub text: String,
}

impl Complaint {
    /// Creates a complaint about no instance in particular.
    pub fn new(kind: &str, text: String) -> Complaint {
        Complaint { kind: kind.to_owned(), instance: String::new(), text }
    }

    /// Creates a complaint about one instance.
    pub fn of(kind: &str, instance: &str, text: String) -> Complaint {
        Complaint { instance: instance.to_owned(), ..Complaint::new(kind, text) }
    }

    /// Renames a drain that has not ended in a wide fleet: it was too slow at AWS's rates, whatever
    /// else may be wrong with it.
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

/// Returns a complaint for each instance that waits while an action of an ecs-drain hook holds it.
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

/// Returns every record, as it is in the table.
async fn records(store: &Store) -> Vec<Record> {
    let all = store.all().await.expect("the table can be read");
    let read = all.into_iter().map(|(key, read)| match read {
        Read::Record(record) => *record,
        other => panic!("{key} has an unreadable record: {other:?}"),
    });
    read.collect()
}

/// Returns the drains that have not ended.
pub async fn unfinished(store: &Store) -> Vec<Record> {
    records(store).await.into_iter().filter(|record| !record.is_done()).collect()
}

/// Returns everything that is wrong at the end of a fleet.
pub async fn judge(fleet: &Fleet<'_>, mut complaints: Vec<Complaint>) -> Vec<Complaint> {
    let records = records(&fleet.store).await;
    if let Some(far) = &fleet.far {
        // Nothing interferes there, so nothing is excused.
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
                // A call that was saved before the restore is sent a moment after it.
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

/// Returns true if a drain may end early there, by an order or a configured deadline, and lose
/// something.
fn may_lose(plan: &Plan, cloud: &Cloud, of: &str, when: SimTime) -> bool {
    let ordered = plan.script.iter().any(|(at, what)| match what {
        Happening::Order { instance, what: Asked::Complete } => {
            instance == of && when >= BEGIN + seconds(*at)
        }
        _ => false,
    });
    ordered || (plan.policies().any(|rules| rules.deadline.is_some()) && was_late(cloud, of, when))
}

/// Returns true if a deadline had decided by then to end a drain of the instance. The record of its
/// last drain may not show it: another hook, or the group, can have kept the instance for a next
/// drain, under another policy.
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

/// Returns true if an instance can wait under another hook alone, in a group that has the ecs-drain
/// hook again, while heartbeats fail: only the answer to a heartbeat shows under which hook it
/// waits, and without it the ecs-drain hook is assumed.
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

/// Returns true if its group was without the ecs-drain hook for so short a time that no read of its
/// hooks need have shown that. A wait that began meanwhile is taken for one under the ecs-drain
/// hook, because that hook was there before it and after it.
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

/// Returns true if for a moment of its wait no replica had the instance's hook or group in its
/// configuration, and no drain of it was in progress, which would have held it all the same.
fn was_left_out(plan: &Plan, cloud: &Cloud, of: &str, when: SimTime) -> bool {
    // An instance that its group launched later is in no plan: the ended action names its group.
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

/// Returns true if an instance was released because someone deleted its group's hook.
fn hook_was_deleted(plan: &Plan, cloud: &Cloud, instance: &str) -> bool {
    plan.script.iter().any(|(_, what)| matches!(what, Happening::HookDeleted { .. }))
        && our_completions(cloud, instance).last().is_none_or(|last| last.how != How::Called)
}

/// Returns true if someone made the instance `ACTIVE` after ecs-drain had released it, while
/// another hook held it; or so shortly before the release that ecs-drain could not see it.
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

/// Returns true if the instance was made `ACTIVE` again, or registered again, less than a hook's
/// time before. No heartbeats were sent while its drain was Completing, so that little time may be
/// left; and heartbeats may fail just then.
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

/// Returns true if something may run on the instance that no read can show at that moment, or could
/// show when it was deregistered: its containers run on after that, and ECS reports nothing more of
/// them.
fn cannot_be_seen(plan: &Plan, cloud: &Cloud, of: &str, when: SimTime) -> bool {
    let deregistered = cloud.world.ecs.truth(of).deregistered_at;
    was_just_made_active(plan, of, when, LAG + LISTED)
        || was_just_registered_again(plan, of, when)
        || deregistered.is_some_and(|at| was_just_made_active(plan, of, at, LAG + LISTED))
}

/// Returns true if someone had just made the instance `ACTIVE`: a task can be placed there before
/// any read shows it.
fn was_just_made_active(plan: &Plan, of: &str, when: SimTime, span: Duration) -> bool {
    let by_hand = |what: &Happening| matches!(what, Happening::ByHand { instance, active: true } if instance == of);
    happened_within(plan, when, span, by_hand)
}

/// Returns true if the table was restored so shortly before that the record's content before the
/// restore counts.
fn was_just_restored(plan: &Plan, when: SimTime) -> bool {
    happened_within(plan, when, RECORDED, |what| matches!(what, Happening::TableRestored { .. }))
}

/// Returns true if someone made the instance `ACTIVE` and then `DRAINING` again. If no read was in
/// between, the grace of the tasks that began there counts from the first `DRAINING`.
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

/// Returns true if the instance had just been registered a second time: no search can show that
/// registration or its tasks yet. An instance that was in no cluster before is searched for in
/// another way, and is found.
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
    // While its first registration keeps its agent, the other clusters are not searched again.
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

/// Returns true if something happened within this span before.
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

/// Counts the outcomes of a fleet's drains.
pub async fn outcomes(store: &Store) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::new();
    for outcome in records(store).await.iter().filter_map(|record| record.outcome()) {
        *outcomes.entry(outcome.name()).or_default() += 1;
    }
    outcomes
}

/// Returns true if no `DRAINING` set by ecs-drain may be left: the instance lives on because its
/// drain was cancelled, it was in a warm pool, or it has a new root volume. A drain that found it
/// `DRAINING`, as an earlier one was to leave it, leaves it so as well.
fn must_be_undone(plan: &Plan, cloud: &Cloud, record: &Record) -> bool {
    let lives_on = record.outcome() == Some(Outcome::Cancelled) || record.lives_on();
    let kept = record.generation > 1 && may_be_kept(plan, &record.instance_id);
    lives_on
        && !kept
        && record.is_done()
        && cloud.lifecycle_state(&record.instance_id).as_deref() == Some("InService")
}

/// Returns true if a requested drain leaves its instance `DRAINING`.
fn may_be_kept(plan: &Plan, of: &str) -> bool {
    plan.script.iter().any(|(_, what)| match what {
        Happening::Order { instance, what: Asked::Drain(Then::Keep) } => instance == of,
        Happening::Rebalance { instance } => {
            instance == of && plan.policies().any(|rules| rules.rebalance == "keep")
        }
        _ => false,
    })
}

/// Returns a complaint for each `ABANDON` that no deadline with that policy has sent.
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
