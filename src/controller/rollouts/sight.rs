//! The reads that a decision about a rollout needs, and the memory between two of them.

use crate::aws::ContainerInstanceView;
use crate::controller::Shared;
use crate::groups::{GroupInfo, GroupsView, Member};
use crate::log;
use crate::quote::chain;
use crate::reader::rollout as reader;
use crate::scope::ScopeState;
use crate::store::{Read, StoreError};
use ecs_drain_state::rollout::{
    CapacityAnswer, DrainSight, GroupSight, InstanceSight, MemberSight, Rollout, ShortService,
    Sight, Spans, Stage, Traits, Turn,
};
use ecs_drain_state::windows::closed_until;
use ecs_drain_state::{Mono, Read as Moment, Reason};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Attribute of a container instance that names its AMI.
const AMI: &str = "ecs.ami-id";

/// Time for which the services of a cluster, and a group's instance refreshes, are not read again.
const LASTS: Duration = Duration::from_secs(30);

/// Memory of one rollout. All of it can be lost.
#[derive(Default)]
pub(super) struct Memory {
    /// Generation and version of the record that it is about.
    seen: Option<(u64, u64)>,
    /// Last moment at which the record may have been written, or an action may have ended. Reads
    /// that began earlier do not count.
    pub changed: Mono,
    /// Answers to changes of desired capacity since the record was saved, by group.
    pub answers: BTreeMap<String, CapacityAnswer>,
    /// Reasons why ordered drains cannot begin, by EC2 instance id.
    pub refused: BTreeMap<String, String>,
    /// Generations of the drains that were last read, by EC2 instance id.
    pub generations: BTreeMap<String, u64>,
    fit: BTreeMap<String, Spans>,
    short: BTreeMap<String, Spans>,
    services: BTreeMap<String, (Mono, Vec<Service>)>,
    refreshes: BTreeMap<String, (Mono, bool)>,
}

/// State of a service that a rollout watches.
#[derive(Clone, Debug)]
struct Service {
    name: String,
    daemon: bool,
    running: u32,
    desired: u32,
}

impl Service {
    const fn is_short(&self) -> bool {
        self.running < self.desired
    }
}

impl Memory {
    /// Notes the record that was read. One that another process wrote, or a request, makes earlier
    /// reads count no more.
    pub(crate) fn recognize(&mut self, rollout: &Rollout, now: Mono) {
        let seen = (rollout.generation, rollout.version);
        if self.seen != Some(seen) {
            if self.seen.is_some_and(|(generation, _)| generation != rollout.generation) {
                *self = Memory::default();
            }
            (self.seen, self.changed) = (Some(seen), now);
        }
    }

    /// Notes that the record was saved: the answers are in it.
    pub(crate) fn saved(&mut self, rollout: &Rollout, now: Mono) {
        self.seen = Some((rollout.generation, rollout.version));
        self.changed = now;
        self.answers.clear();
    }
}

/// Container instances of the clusters that were read in one pass; several rollouts can share a
/// cluster. `None` for a cluster that could not be read.
#[derive(Default)]
pub(super) struct Clusters(BTreeMap<String, Option<(Moment, Vec<ContainerInstanceView>)>>);

impl Clusters {
    async fn read(
        &mut self,
        shared: &Shared,
        scope: &ScopeState,
        cluster: &str,
    ) -> Option<&(Moment, Vec<ContainerInstanceView>)> {
        if !self.0.contains_key(cluster) {
            let session = scope.session.at_leisure();
            let answer = reader::container_instances(&session, &shared.clock, cluster).await;
            let answer = keep(shared, scope, cluster, "container instances", answer);
            self.0.insert(cluster.to_owned(), answer);
        }
        self.0.get(cluster)?.as_ref()
    }
}

/// Logs a failed read when it begins and when it ends.
fn keep<T, E: std::error::Error + 'static>(
    shared: &Shared,
    scope: &ScopeState,
    on: &str,
    what: &'static str,
    answer: Result<T, E>,
) -> Option<T> {
    let repeats = &shared.health.repeats;
    match answer {
        Ok(answer) => {
            if repeats.works(what, on) {
                log::scope!(info, scope, on, what, "Facts of a rollout read again");
            }
            Some(answer)
        }
        Err(error) => {
            if repeats.fails(what, on) {
                let error = chain(&error);
                log::scope!(
                    error,
                    scope,
                    on,
                    what,
                    error,
                    "Facts of a rollout not read; it waits for them"
                );
            }
            None
        }
    }
}

/// Reads everything that a decision about this rollout needs.
///
/// # Errors
/// Returns an error if the records of its drains cannot be read. A failed read of AWS leaves its
/// facts out, and the rollout waits.
pub(super) async fn read(
    shared: &Shared,
    scope: &ScopeState,
    view: &GroupsView,
    rollout: &Rollout,
    memory: &mut Memory,
    clusters: &mut Clusters,
) -> Result<Sight, StoreError> {
    let mut sight = Sight { answers: memory.answers.clone(), ..Sight::default() };
    sight.members = members(view, rollout);
    sight.drains = drains(shared, scope, rollout, &sight, memory).await?;
    sight.refused = memory.refused.clone();
    sight.paused = held(scope, rollout, shared.clock.now());
    let runs = matches!(rollout.stage, Stage::Counting | Stage::Running);
    let ends = matches!(rollout.stage, Stage::Aborting | Stage::Undoing);
    let mut is_read = true;
    for name in rollout.groups.keys() {
        let Some(group) = view.groups.get(name) else { continue };
        let refreshes = match runs {
            true => refreshes(shared, scope, name, memory).await,
            false => Some(false),
        };
        is_read &= refreshes.is_some();
        let refreshes = refreshes.unwrap_or_default();
        let GroupInfo { desired, minimum: min, maximum: max, .. } = *group;
        sight.groups.insert(name.clone(), GroupSight { desired, max, min, refreshes });
    }
    if !(runs || ends) {
        return Ok(sight);
    }
    let names: BTreeSet<&str> =
        rollout.groups.values().map(|group| group.cluster.as_str()).collect();
    let mut short = is_read.then(Vec::new);
    for cluster in names {
        let services = services(shared, scope, cluster, memory).await;
        if let Some((read, views)) = clusters.read(shared, scope, cluster).await {
            let daemons: Vec<String> = services
                .iter()
                .flatten()
                .filter(|one| one.daemon && one.is_short())
                .map(|one| one.name.clone())
                .collect();
            let of = Judging { shared, scope, view, cluster, daemons: &daemons };
            let judged = of.judge(rollout, &sight, views).await;
            let spans = memory.fit.entry(cluster.to_owned()).or_default();
            // Without the services it is not known which daemon tasks are missing.
            if services.is_some() {
                let fit = judged.iter().filter(|(_, one)| one.unfit.is_none());
                spans.note(*read, &fit.map(|(id, _)| id.clone()).collect());
            }
            let since = |(id, one): (String, InstanceSight)| {
                let span = spans.of(&id);
                (id, one.since(span))
            };
            sight.instances.extend(judged.into_iter().map(since));
        }
        let of_cluster = services.map(|services| short_services(memory, cluster, services));
        short = short.zip(of_cluster).map(|(mut short, more)| {
            short.extend(more);
            short
        });
    }
    sight.short = short;
    Ok(sight)
}

/// Returns every instance of the rollout's groups.
fn members(view: &GroupsView, rollout: &Rollout) -> BTreeMap<String, MemberSight> {
    let here = view.members.iter().filter(|(_, member)| {
        rollout.groups.contains_key(&member.group) && !member.state.starts_with("Warmed")
    });
    let sight = |member: &Member| MemberSight {
        group: member.group.clone(),
        in_service: member.state == "InService",
        leaves: ["Terminat", "Detach", "Standby", "EnteringStandby"]
            .iter()
            .any(|word| member.state.starts_with(word)),
    };
    here.map(|(id, member)| (id.clone(), sight(member))).collect()
}

/// Reads the drains of the rollout's instances.
async fn drains(
    shared: &Shared,
    scope: &ScopeState,
    rollout: &Rollout,
    sight: &Sight,
    memory: &mut Memory,
) -> Result<BTreeMap<String, DrainSight>, StoreError> {
    let mut ids = BTreeSet::new();
    for group in rollout.groups.values() {
        let open =
            |turn: &Turn| turn.ordered().is_some() || matches!(turn, Turn::Waiting | Turn::Kept);
        let all = group.old.iter().chain(&group.returned);
        ids.extend(all.filter(|(_, turn)| open(turn)).map(|(id, _)| id.clone()));
    }
    // Others of the group may drain too; those with a record are known.
    let known = |id: &&String| scope.phases.borrow().contains_key(*id);
    ids.extend(sight.members.keys().filter(known).cloned());
    let keys: Vec<String> = ids.iter().map(|id| scope.key(id)).collect();
    let request = rollout.request_id();
    let mut drains = BTreeMap::new();
    memory.generations.clear();
    for (_, read) in shared.records.get_many(&keys).await? {
        // An unreadable record stops its drain, and is reported there.
        let Read::Record(record) = read else { continue };
        memory.generations.insert(record.instance_id.clone(), record.generation);
        drains.insert(record.instance_id.clone(), DrainSight::of(&record, &request));
    }
    Ok(drains)
}

/// Returns what keeps the rollout from acting: the person who paused one of its clusters, or
/// everything, or a closed window for requests in one of its groups.
pub(super) fn held(scope: &ScopeState, rollout: &Rollout, now: Timestamp) -> Option<String> {
    let clusters: Vec<&str> = rollout.groups.values().map(|group| group.cluster.as_str()).collect();
    let session = &scope.session;
    let Some(pauses) = scope.paused.borrow().clone() else {
        return Some("this process, until it has read the pauses".to_owned());
    };
    if let Some(order) = pauses.on(&session.account, &session.region, &clusters) {
        return Some(order.to_string());
    }
    if !scope.fleet.knows_policies() {
        return Some("this process, until it has read the tags of groups".to_owned());
    }
    rollout.groups.iter().find_map(|(name, group)| {
        let policy = scope.fleet.policy(Some(&group.cluster), Some(name));
        let (window, until) = closed_until(&policy.closed, Reason::Request, now)?;
        Some(format!("closed window {:?} until {until:.0}", window.name))
    })
}

/// Returns whether an instance refresh of a group runs, as it was last read. `None` if it was never
/// read: nothing may begin, because both would replace instances at the same time.
async fn refreshes(
    shared: &Shared,
    scope: &ScopeState,
    group: &str,
    memory: &mut Memory,
) -> Option<bool> {
    let now = shared.clock.mono();
    let known = memory.refreshes.get(group).filter(|(read, _)| now < *read + LASTS);
    if let Some((_, refreshes)) = known {
        return Some(*refreshes);
    }
    let answer = scope.session.at_leisure().autoscaling.refreshes(group).await;
    let before = memory.refreshes.get(group).map(|(_, refreshes)| *refreshes);
    let Some(refreshes) = keep(shared, scope, group, "instance refreshes", answer) else {
        return before;
    };
    memory.refreshes.insert(group.to_owned(), (now, refreshes));
    Some(refreshes)
}

/// Returns the services of a cluster, read a moment ago. `None` if they could not be read.
async fn services(
    shared: &Shared,
    scope: &ScopeState,
    cluster: &str,
    memory: &mut Memory,
) -> Option<Vec<Service>> {
    let now = shared.clock.mono();
    if let Some((read, services)) = memory.services.get(cluster)
        && now < *read + LASTS
    {
        return Some(services.clone());
    }
    let session = scope.session.at_leisure();
    let answer = reader::services(&session, &shared.clock, cluster).await;
    let (read, views) = keep(shared, scope, cluster, "services", answer)?;
    let services: Vec<Service> = views
        .into_iter()
        .map(|view| Service {
            daemon: view.daemon,
            running: view.facts.running,
            desired: view.facts.desired,
            name: view.name,
        })
        .collect();
    let short = services.iter().filter(|one| one.is_short()).map(|one| one.name.clone()).collect();
    memory.short.entry(cluster.to_owned()).or_default().note(read, &short);
    memory.services.insert(cluster.to_owned(), (read.began, services.clone()));
    Some(services)
}

/// Returns the services that run fewer tasks than they should. Daemon services are not among them:
/// each draining instance loses their tasks.
fn short_services(memory: &Memory, cluster: &str, services: Vec<Service>) -> Vec<ShortService> {
    let spans = memory.short.get(cluster);
    let short = services.into_iter().filter(|one| !one.daemon && one.is_short());
    short
        .map(|one| ShortService {
            short_for: spans.and_then(|spans| spans.of(&one.name)).unwrap_or_default(),
            cluster: cluster.to_owned(),
            service: one.name,
            running: one.running,
            desired: one.desired,
        })
        .collect()
}

/// Judges the container instances of one cluster.
struct Judging<'a> {
    shared: &'a Shared,
    scope: &'a ScopeState,
    view: &'a GroupsView,
    cluster: &'a str,
    /// Daemon services that run fewer tasks than they should.
    daemons: &'a [String],
}

impl Judging<'_> {
    async fn judge(
        &self,
        rollout: &Rollout,
        sight: &Sight,
        views: &[ContainerInstanceView],
    ) -> BTreeMap<String, InstanceSight> {
        let mut judged: BTreeMap<String, InstanceSight> = BTreeMap::new();
        for view in views {
            let Some(id) = view.ec2_instance_id.as_ref() else { continue };
            let Some(member) = sight.members.get(id) else { continue };
            let is_old =
                rollout.groups.get(&member.group).is_some_and(|of| of.old.contains_key(id));
            let missing = if is_old { Vec::new() } else { self.missing(view).await };
            let (status, connected) = (&view.status, view.agent_connected);
            let one = InstanceSight::judge(self.traits(id, view), status, connected, &missing);
            // An EC2 instance can be several container instances: it is fit if all are.
            let worse = judged.get(id).is_none_or(|before| before.unfit.is_none());
            if worse {
                judged.insert(id.clone(), one);
            }
        }
        judged
    }

    /// Returns the daemon services that run no task on a container instance. ECS counts the
    /// instances that a daemon service is meant for, so only a service that is short is missing
    /// anywhere.
    async fn missing(&self, view: &ContainerInstanceView) -> Vec<String> {
        if self.daemons.is_empty() {
            return Vec::new();
        }
        let session = self.scope.session.at_leisure();
        let answer = reader::missing_daemons(&session, self.cluster, &view.arn, self.daemons).await;
        let missing = keep(self.shared, self.scope, self.cluster, "daemon tasks", answer);
        missing.unwrap_or_else(|| self.daemons.to_vec())
    }

    fn traits(&self, id: &str, view: &ContainerInstanceView) -> Traits {
        let member = self.view.members.get(id);
        let group = member.and_then(|member| self.view.groups.get(&member.group));
        let of_group = group.and_then(|group| group.template.as_ref());
        let of_member = member.and_then(|member| member.template.as_ref());
        // A group can name its version `$Latest` or `$Default`: then the number is not known.
        let current = of_group.zip(of_member).and_then(|(group, member)| {
            let known = !group.version.starts_with('$');
            (known || group.id != member.id).then(|| group == member)
        });
        Traits {
            ami: view.attributes.get(AMI).cloned(),
            agent: view.agent_version.clone(),
            current_template: current,
            registered_at: view.registered_at,
        }
    }
}
