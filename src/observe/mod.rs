//! Reads clusters in batches and cuts an [`Observation`] for each drain out of the answers.
//!
//! One read serves every drain that it can: 100 container instances or tasks a call, one look per target group however
//! many instances share it. A read that failed makes *unknown* whatever depended on it, and never an empty list.

mod balancers;
mod diagnosis;
mod groups;
mod lookup;
mod tasks;

pub use balancers::BalancerCache;
pub use diagnosis::{DiagnosisCache, Stuck, diagnose};
pub use groups::{GroupInfo, GroupsView, Member, read_groups};
pub use lookup::{Lookups, search};
pub use tasks::TaskCache;

use crate::aws::{ContainerInstanceView, Described, Session};
use crate::controller::Clock;
use ecs_drain_state::{
    ContainerInstanceSight, ContainerInstanceStatus, GroupSight, HookSight, LifecycleState, Mono, Observation, Phase,
    Policy, Record, Seen, TaskSight,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What one scope keeps between passes. Losing it costs calls, nothing else.
#[derive(Default)]
pub struct Caches {
    /// Tasks and services.
    pub tasks: TaskCache,
    /// Delays of target groups and balancers.
    pub balancers: BalancerCache,
    /// Task definitions.
    pub diagnosis: DiagnosisCache,
}

/// One drain that is to be observed.
pub struct Subject<'a> {
    /// Its record.
    pub record: &'a Record,
    /// Its rules.
    pub policy: &'a Policy,
}

/// What ECS says of the container instances of one cluster, by ARN; or why that is unknown.
type Answers = Seen<BTreeMap<String, Seen<(ContainerInstanceSight, Counters)>>>;

/// ECS's own counters, which leave out every task that is stopping.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Tasks that ECS wants running or that are pending.
    pub(crate) live: u32,
}

/// Looks at every subject once.
pub async fn observe(
    session: &Session,
    clock: &Clock,
    groups: Option<Rc<GroupsView>>,
    lookups: &Lookups,
    caches: &Caches,
    our_hooks: &BTreeSet<String>,
    subjects: &[Subject<'_>],
) -> Vec<Observation> {
    let begun = clock.mono();
    let begun_at = clock.now();
    let absent = groups::confirm_absent(session, groups.as_deref(), subjects).await;
    let instances = container_instances(session, subjects).await;
    let cuts: Vec<_> = subjects.iter().map(|s| cut_container_instances(s.record, &instances)).collect();
    let looked = tasks::look(session, clock, caches, subjects, &cuts).await;
    let mut observations = Vec::with_capacity(subjects.len());
    for ((subject, cut), looked) in subjects.iter().zip(cuts).zip(looked) {
        let mut obligations = looked.obligations;
        groups::add_balancers_of_group(&mut obligations, groups.as_deref(), subject.record, begun_at);
        let (group, group_begun) = groups::sight(groups.as_deref(), &absent, subject.record, our_hooks, begun);
        observations.push(Observation {
            begun,
            begun_at,
            ended: begun,
            group,
            group_begun,
            container_instances: match cut {
                Seen::Yes(all) => Seen::Yes(all.into_iter().map(|(sight, _)| sight).collect()),
                Seen::Unknown(why) => Seen::Unknown(why),
            },
            tasks_listed: looked.listed,
            tasks: looked.tasks,
            obligations,
            targets: Seen::Unknown(balancers::NOT_NEEDED.to_owned()),
            lookup: lookups.get(&subject.record.instance_id),
        });
    }
    balancers::look(session, clock, caches, subjects, &mut observations).await;
    let ended = clock.mono();
    for observation in &mut observations {
        observation.ended = ended;
    }
    observations
}

/// Describes every container instance of every subject, 100 a call, cluster by cluster.
async fn container_instances(session: &Session, subjects: &[Subject<'_>]) -> BTreeMap<String, Answers> {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mine in subjects.iter().flat_map(|s| &s.record.container_instances) {
        wanted.entry(&mine.cluster).or_default().insert(&mine.arn);
    }
    let mut answers = BTreeMap::new();
    for (cluster, arns) in wanted {
        let arns: Vec<String> = arns.into_iter().map(str::to_owned).collect();
        let answer = match session.ecs.describe_container_instances(cluster, &arns).await {
            Ok(described) => Seen::Yes(by_arn(described)),
            Err(error) => Seen::Unknown(error.to_string()),
        };
        answers.insert(cluster.to_owned(), answer);
    }
    answers
}

fn by_arn(described: Described<ContainerInstanceView>) -> BTreeMap<String, Seen<(ContainerInstanceSight, Counters)>> {
    let found = described.found.into_iter().map(|view| {
        let counters = Counters { live: view.running.saturating_add(view.pending) };
        let sight = ContainerInstanceSight {
            arn: view.arn.clone(),
            status: view.status,
            agent_connected: view.agent_connected,
        };
        (view.arn, Seen::Yes((sight, counters)))
    });
    let missing = described.missing.into_iter().map(|arn| {
        let sight = ContainerInstanceSight {
            arn: arn.clone(),
            status: ContainerInstanceStatus::Missing,
            agent_connected: false,
        };
        (arn, Seen::Yes((sight, Counters::default())))
    });
    let failed = described.failed.into_iter().map(|(arn, reason)| {
        let why = format!("ecs:DescribeContainerInstances said of {arn}: {reason}");
        (arn, Seen::Unknown(why))
    });
    found.chain(missing).chain(failed).collect()
}

/// The sights of one record's container instances, in its order; unknown as soon as one of them is.
fn cut_container_instances(
    record: &Record,
    answers: &BTreeMap<String, Answers>,
) -> Seen<Vec<(ContainerInstanceSight, Counters)>> {
    let mut all = Vec::with_capacity(record.container_instances.len());
    for mine in &record.container_instances {
        match answers.get(&mine.cluster) {
            Some(Seen::Yes(found)) => match found.get(&mine.arn) {
                Some(Seen::Yes(sight)) => all.push(sight.clone()),
                Some(Seen::Unknown(why)) => return Seen::Unknown(why.clone()),
                None => return Seen::Unknown(format!("ECS did not answer for {}", mine.arn)),
            },
            Some(Seen::Unknown(why)) => return Seen::Unknown(why.clone()),
            None => return Seen::Unknown(format!("cluster {} was not read", mine.cluster)),
        }
    }
    Seen::Yes(all)
}

/// How often network load balancers are looked at while tasks are left: only when a target was first seen to leave
/// counts then.
const NETWORK_LOOKS_APART: Mono = Mono::from_secs(30);

/// Whether this look must include the balancers: when nothing else is left, for only then can they decide anything; and
/// now and then while tasks are left, where a network load balancer's settle time runs from what is seen.
fn needs_targets(record: &Record, policy: &Policy, seen: &Observation, caches: &Caches) -> bool {
    let no_task_left = seen.tasks.known().is_some_and(|tasks| !tasks.iter().any(|t| matters(t, policy)));
    let takes_no_work =
        seen.container_instances.known().is_some_and(|all| all.iter().all(|c| c.status.takes_no_work()));
    let agent_lost = seen.container_instances.known().is_some_and(|all| all.iter().any(|c| !c.agent_connected));
    let past_deadline = record.deadline.is_some_and(|deadline| deadline <= seen.begun_at);
    matches!(record.phase, Phase::Verifying | Phase::Completing)
        || past_deadline
        || (takes_no_work && (no_task_left || agent_lost))
        || (takes_no_work && has_network(record, policy) && caches.balancers.is_due(&record.key(), seen.begun))
}

/// Whether a settle time can run that has not begun.
fn has_network(record: &Record, policy: &Policy) -> bool {
    let mut settling = record.obligations.iter().filter(|o| o.settles());
    !policy.network_settle.is_zero() && settling.any(|o| o.draining_since.is_none())
}

fn matters(task: &TaskSight, policy: &Policy) -> bool {
    ecs_drain_state::decide::matters(task, policy)
}

/// Whether a group's word is a wait that a terminating hook holds.
pub fn is_waiting(state: &str) -> bool {
    matches!(LifecycleState::read(state), LifecycleState::Waiting(_))
}

/// What a group says, as far as a drain cares. Our hook is the one that the drain's lifecycle action is held by, or any
/// of ours while there is none.
fn member_sight(
    member: &Member,
    info: Option<&GroupInfo>,
    record: &Record,
    our_hooks: &BTreeSet<String>,
) -> GroupSight {
    let is_ours = |name: &String| match &record.lifecycle {
        Some(lifecycle) => lifecycle.hook == *name,
        None => our_hooks.contains(name),
    };
    let hook = match info.map(|info| (&info.hooks, info.retains_abandoned)) {
        None => Seen::Unknown(format!("group {} was not read", member.group)),
        Some((Seen::Unknown(why), _)) => Seen::Unknown(why.clone()),
        Some((Seen::Yes(hooks), retains_abandoned)) => {
            let terminating = || hooks.iter().filter(|h| h.terminating);
            Seen::Yes(terminating().find(|h| is_ours(&h.name)).map(|h| HookSight {
                heartbeat_timeout_seconds: h.heartbeat_timeout_seconds,
                global_timeout_seconds: h.global_timeout_seconds,
                default_result: h.default_result,
                others: terminating().filter(|h| !is_ours(&h.name)).map(|h| h.name.clone()).collect(),
                retains_abandoned,
            }))
        }
    };
    GroupSight::Member {
        group: member.group.clone(),
        state: LifecycleState::read(&member.state),
        healthy: member.healthy,
        hook,
    }
}
