//! Reads everything that decides whether drains would end by themselves, before they begin: the
//! facts of [`ecs_drain_state::plan`].
//!
//! A call that fails leaves its fact out; the plan calls that unknown, and names the call.

use super::diagnosis::{DiagnosisCache, Reads, complete, read_definitions, read_deployments};
use super::tasks::{registers, task_sight};
use crate::aws::calls::LIST_CONTAINER_INSTANCES;
use crate::aws::ecs::CapacityView;
use crate::aws::{AwsError, Desired, GroupView, HookView, ServiceView, Session, TaskView};
use crate::config::{GroupTags, Policies};
use ecs_drain_state::budget::DoNotDisrupt;
use ecs_drain_state::diagnosis::{Others, Protection, TargetFacts, TaskFacts};
use ecs_drain_state::plan::{ClusterFacts, GroupFacts, Leaving, Snapshot};
use ecs_drain_state::sight::id;
use ecs_drain_state::{Balancer, ContainerInstanceStatus, Obligation, Target, TaskKind, TaskSight};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A container instance whose drain is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// EC2 instance id.
    pub instance_id: String,
    /// Name of its cluster.
    pub cluster: String,
    /// ARN of the container instance.
    pub arn: String,
}

/// Reads the facts of a plan for these container instances of one account and region. `hooks` are
/// the names of the ecs-drain hooks.
pub async fn survey(
    session: &Session,
    candidates: &[Candidate],
    policies: &Policies,
    hooks: &BTreeSet<String>,
    now: Timestamp,
) -> Snapshot {
    let session = &session.at_leisure();
    let cache = &DiagnosisCache::default();
    let mut snapshot = Snapshot::default();
    let mut balancers = Balancers::default();
    let ids: BTreeSet<&str> = candidates.iter().map(|one| one.instance_id.as_str()).collect();
    let groups = groups(session, &ids, hooks).await;
    let clusters: BTreeSet<&str> = candidates.iter().map(|one| one.cluster.as_str()).collect();
    for cluster in clusters {
        let chosen: Vec<&Candidate> =
            candidates.iter().filter(|one| one.cluster == cluster).collect();
        let mut of = Cluster {
            session,
            cache,
            name: cluster,
            tags: policies.heed_services(),
            reads: Reads::default(),
            now,
            kept: BTreeMap::new(),
            bad_tags: BTreeSet::new(),
        };
        let (facts, leaving) = of.read(&chosen, &mut balancers).await;
        snapshot.clusters.insert(cluster.to_owned(), facts);
        snapshot.leaving.extend(leaving);
    }
    for leaving in &mut snapshot.leaving {
        let group = groups.as_ref().map(|groups| groups.get(&leaving.instance_id));
        let name = group.flatten().map(|(group, ..)| group.name.as_str());
        leaving.policy = policies.for_drain(Some(&leaving.cluster), name);
        if let Some((.., tags)) = group.flatten() {
            let tags = GroupTags::read(tags, policies.tagged(), &BTreeMap::new());
            tags.apply(&mut leaving.policy);
        }
        leaving.group = group.map(|group| group.map(|(group, ..)| group.clone()));
        let own = group.flatten().map(|(_, balancers, _)| balancers.as_slice()).unwrap_or_default();
        let target = || Target::Instance(leaving.instance_id.clone());
        leaving.of_group = own
            .iter()
            .map(|balancer| TargetFacts {
                name: Obligation::new(balancer.clone(), target(), now).to_string(),
                state: "attached to its group".to_owned(),
                draining: false,
                delay_seconds: None,
                draining_since: None,
            })
            .filter(|of_group| leaving.targets.iter().all(|other| other.name != of_group.name))
            .collect();
    }
    snapshot
}

/// Groups by EC2 instance id, each with the load balancers that are attached to it, and its tags.
type Groups = BTreeMap<String, (GroupFacts, Vec<Balancer>, BTreeMap<String, String>)>;

/// Reads the groups of these instances. `None` if one could not be read.
async fn groups(
    session: &Session,
    ids: &BTreeSet<&str>,
    hooks: &BTreeSet<String>,
) -> Option<Groups> {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let read = async {
        let members = session.autoscaling.instances(&ids).await?;
        let names: BTreeSet<String> = members.iter().map(|(_, group)| group.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let views = match names.is_empty() {
            true => Vec::new(),
            false => session.autoscaling.groups(Some(&names), false).await?,
        };
        let mut known = BTreeMap::new();
        for view in views {
            let hooks = session.autoscaling.hooks(&view.name).await?;
            known.insert(view.name.clone(), (view, hooks));
        }
        Ok::<_, AwsError>((members, known))
    };
    let (members, known) = match read.await {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!(%error, "Groups not read");
            return None;
        }
    };
    let member = |(member, name): (crate::aws::MemberView, String)| {
        let (view, of_group) = known.get(&name)?;
        let facts = group(view, of_group, hooks, member.protected);
        let target_groups = view.target_groups.iter().cloned().map(Balancer::TargetGroup);
        let classic = view.classic.iter().cloned().map(Balancer::ClassicLoadBalancer);
        let balancers = target_groups.chain(classic).collect();
        Some((member.instance_id, (facts, balancers, view.tags.clone())))
    };
    Some(members.into_iter().filter_map(member).collect())
}

fn group(
    view: &GroupView,
    of_group: &[HookView],
    ours: &BTreeSet<String>,
    protected: bool,
) -> GroupFacts {
    let others = of_group.iter().filter(|hook| hook.terminating && !ours.contains(&hook.name));
    GroupFacts {
        name: view.name.clone(),
        minimum: view.minimum,
        maximum: view.maximum,
        desired: view.desired,
        suspended: view.suspended.clone(),
        other_hooks: others.map(|hook| hook.name.clone()).collect(),
        protected,
    }
}

/// The reads of one cluster.
struct Cluster<'a> {
    session: &'a Session,
    cache: &'a DiagnosisCache,
    name: &'a str,
    /// True if tags of services are read.
    tags: bool,
    reads: Reads,
    now: Timestamp,
    kept: BTreeMap<String, DoNotDisrupt>,
    bad_tags: BTreeSet<String>,
}

/// Tasks of a container instance. `None` if they could not be read.
type Tasks = Option<Vec<TaskView>>;

impl Cluster<'_> {
    async fn read(
        &mut self,
        chosen: &[&Candidate],
        balancers: &mut Balancers,
    ) -> (ClusterFacts, Vec<Leaving>) {
        let (others, views) = match self.instances(chosen).await {
            Some((others, leaving)) => (Some(others), leaving),
            None => (None, Vec::new()),
        };
        let mut leaving: Vec<(Leaving, Tasks)> = Vec::new();
        for view in views {
            let arn = &view.facts.arn;
            let is_chosen = chosen.iter().any(|one| id(&one.arn) == id(arn));
            let tasks = self.tasks(arn).await;
            let one = Leaving {
                instance_id: view.facts.ec2_instance_id.clone(),
                cluster: self.name.to_owned(),
                chosen: is_chosen,
                agent_connected: view.facts.agent_connected,
                capacity: (view.status == ContainerInstanceStatus::Active).then_some(view.facts),
                ..Leaving::default()
            };
            leaving.push((one, tasks));
        }
        // An instance that was chosen and not read: nothing of it is known.
        for one in chosen {
            if leaving.iter().all(|(known, _)| known.instance_id != one.instance_id) {
                let unread = Leaving {
                    instance_id: one.instance_id.clone(),
                    cluster: self.name.to_owned(),
                    chosen: true,
                    agent_connected: true,
                    ..Leaving::default()
                };
                leaving.push((unread, None));
            }
        }
        let services = self.services(&leaving).await;
        let mut unhealthy = BTreeMap::new();
        for service in services.values() {
            for balancer in of_service(service) {
                balancers.read(self.session, &mut self.reads, &balancer).await;
            }
            let groups = service.target_groups.iter().cloned().map(Balancer::TargetGroup);
            let targets: usize = groups.map(|group| balancers.unhealthy(&group)).sum();
            unhealthy.insert(service.name.clone(), targets);
        }
        for (one, tasks) in &mut leaving {
            let Some(tasks) = tasks else { continue };
            one.tasks = Some(tasks.iter().map(|task| self.task(task, &services)).collect());
            self.targets(one, tasks, &services, balancers);
        }
        let facts = ClusterFacts {
            others,
            services: std::mem::take(&mut self.reads.services),
            unhealthy,
            kept: std::mem::take(&mut self.kept),
            bad_tags: std::mem::take(&mut self.bad_tags),
            throttled: std::mem::take(&mut self.reads.throttled),
            unreadable: std::mem::take(&mut self.reads.unreadable),
        };
        (facts, leaving.into_iter().map(|(one, _)| one).collect())
    }

    /// Reads all container instances of the cluster: the `ACTIVE` ones that stay, and those that
    /// leave.
    async fn instances(&mut self, chosen: &[&Candidate]) -> Option<(Others, Vec<CapacityView>)> {
        let permit = self.session.permit(&LIST_CONTAINER_INSTANCES).await;
        let answer = self.session.ecs.registered(permit, self.name, &[]).await;
        let arns = self.reads.keep(answer)?;
        let answer = self.session.ecs.capacity(self.name, &arns).await;
        let views = self.reads.keep_found("ecs:DescribeContainerInstances", answer)?;
        let is_chosen =
            |view: &CapacityView| chosen.iter().any(|one| id(&one.arn) == id(&view.facts.arn));
        let (leaving, staying): (Vec<CapacityView>, Vec<CapacityView>) = views
            .into_iter()
            .partition(|view| is_chosen(view) || view.status == ContainerInstanceStatus::Draining);
        // ECS Anywhere registers machines (mi-…), which take no tasks of launch type EC2.
        let open = |view: &CapacityView| {
            view.status == ContainerInstanceStatus::Active
                && view.facts.ec2_instance_id.starts_with("i-")
        };
        let instances = staying.into_iter().filter(open).map(|view| view.facts).collect();
        Some((Others { instances, more: false }, leaving))
    }

    /// Reads the tasks of a container instance, with those that are stopping.
    async fn tasks(&mut self, arn: &str) -> Tasks {
        let mut arns = BTreeSet::new();
        for desired in [Desired::Running, Desired::Stopped] {
            let answer = self.session.ecs.list_tasks(self.name, Some(arn), desired).await;
            arns.extend(self.reads.keep(answer)?);
        }
        let arns: Vec<String> = arns.into_iter().collect();
        let answer = self.session.ecs.describe_tasks(self.name, &arns).await;
        let described = self.reads.keep(answer)?;
        if !described.failed.is_empty() {
            return None;
        }
        let left = described.found.into_iter().filter(|task| task.last_status != "STOPPED");
        Some(left.collect())
    }

    /// Reads the services of these tasks: into the facts, and as far as targets depend on them.
    async fn services(&mut self, leaving: &[(Leaving, Tasks)]) -> BTreeMap<String, ServiceView> {
        let tasks = || leaving.iter().flat_map(|(_, tasks)| tasks.iter().flatten());
        let names: BTreeSet<String> =
            tasks().filter_map(|task| service_of(task).map(str::to_owned)).collect();
        let names: Vec<String> = names.into_iter().collect();
        let mut definitions: BTreeSet<String> =
            tasks().filter_map(|task| task.task_definition.clone()).collect();
        let mut states = Vec::new();
        let mut views = Vec::new();
        if !names.is_empty() {
            let answer = self.session.ecs.service_states(self.name, &names, self.tags).await;
            let found = self.reads.keep_found("ecs:DescribeServices", answer);
            states = found.unwrap_or_default();
            let answer = self.session.ecs.describe_services(self.name, &names).await;
            let found = self.reads.keep_found("ecs:DescribeServices", answer);
            views = found.unwrap_or_default();
            read_deployments(self.session, &mut self.reads, &mut states).await;
            let replicas: Vec<String> =
                tasks().filter(|t| service_of(t).is_some()).map(|t| t.arn.clone()).collect();
            let answer = self.session.ecs.task_protection(self.name, &replicas).await;
            self.reads.protection = self.reads.keep(answer).unwrap_or_default();
        }
        definitions.extend(states.iter().filter_map(|state| state.task_definition.clone()));
        read_definitions(self.session, self.cache, &mut self.reads, definitions).await;
        for state in states {
            self.kept.extend(state.kept.map(|kept| (state.name.clone(), kept)));
            self.bad_tags.extend(state.bad_tag.clone());
            let facts =
                complete(self.session, self.cache, self.name, &mut self.reads, &state).await;
            self.reads.services.insert(state.name, facts);
        }
        views.into_iter().map(|view| (view.name.clone(), view)).collect()
    }

    fn task(&self, view: &TaskView, services: &BTreeMap<String, ServiceView>) -> TaskFacts {
        let name = service_of(view);
        let sight = task_sight(view, name.and_then(|name| services.get(name)));
        let definition = self.cache.definition(view.task_definition.as_deref());
        TaskFacts {
            id: id(&view.arn).to_owned(),
            cluster: self.name.to_owned(),
            last_status: view.last_status.clone(),
            stopping: sight.stopping,
            kind: kind(view, sight),
            protection: self
                .reads
                .protection
                .get(&view.arn)
                .copied()
                .unwrap_or(Protection::Unknown),
            stopping_at: view.stopping_at,
            stop_timeout_seconds: definition.and_then(|one| one.stop_timeout_seconds),
        }
    }

    /// Adds the targets of an instance that ECS will deregister, and those that it will not.
    fn targets(
        &self,
        one: &mut Leaving,
        tasks: &[TaskView],
        services: &BTreeMap<String, ServiceView>,
        balancers: &Balancers,
    ) {
        let named = |balancer: &Balancer, target: &Target, state: String, draining| TargetFacts {
            name: Obligation::new(balancer.clone(), target.clone(), self.now).to_string(),
            state,
            draining,
            delay_seconds: balancers.delay(balancer),
            draining_since: None,
        };
        let mut known = BTreeMap::new();
        for task in tasks {
            let Some(service) = service_of(task).and_then(|name| services.get(name)) else {
                continue;
            };
            for (balancer, ip) in registers(task, service) {
                let target =
                    ip.map_or_else(|| Target::Instance(one.instance_id.clone()), Target::Ip);
                let facts = named(&balancer, &target, "registered".to_owned(), false);
                known.insert((balancer, facts.name.clone()), facts);
            }
        }
        let used: BTreeSet<u16> = tasks.iter().flat_map(|task| self.ports(task)).collect();
        let of_tasks: BTreeSet<&Balancer> = known.keys().map(|(balancer, _)| balancer).collect();
        for balancer in of_tasks {
            let Some(targets) = balancers.targets(balancer) else {
                one.unread_balancers.insert(balancer.to_string());
                continue;
            };
            let stray = targets.iter().filter(|target| {
                target.id == one.instance_id
                    && target.state != "draining"
                    && target.port.is_some_and(|port| !used.contains(&port))
            });
            one.strays.extend(stray.map(|target| {
                let id = Target::Instance(target.id.clone());
                named(balancer, &id, target.state.clone(), false)
            }));
        }
        one.targets = known.into_values().collect();
    }

    /// Returns the ports of the instance that lead to a task, by its status and its definition.
    fn ports(&self, task: &TaskView) -> Vec<u16> {
        use ecs_drain_state::diagnosis::Port;
        let definition = self.cache.definition(task.task_definition.as_deref());
        let fixed = definition.into_iter().flat_map(|view| view.need.ports);
        let fixed = fixed.map(|port| match port {
            Port::Tcp(port) | Port::Udp(port) => port,
        });
        task.host_ports.iter().copied().chain(fixed).collect()
    }
}

/// Returns the service that started the task. A caller of RunTask may give a task the group of a
/// service, which then does not replace it.
fn service_of(task: &TaskView) -> Option<&str> {
    let deployed = task.started_by.as_deref().is_some_and(|by| by.starts_with("ecs-svc/"));
    task.group.as_deref()?.strip_prefix("service:").filter(|_| deployed)
}

fn kind(view: &TaskView, sight: TaskSight) -> TaskKind {
    match service_of(view) {
        Some(_) => sight.kind,
        None => TaskKind::Standalone,
    }
}

fn of_service(service: &ServiceView) -> Vec<Balancer> {
    let groups = service.target_groups.iter().cloned().map(Balancer::TargetGroup);
    let classic = service.classic.iter().cloned().map(Balancer::ClassicLoadBalancer);
    groups.chain(classic).collect()
}

/// A target of a load balancer.
struct Registered {
    id: String,
    port: Option<u16>,
    state: String,
}

/// Load balancers that were read: their targets, and the deregistration delay. `None` for targets
/// that could not be read.
#[derive(Default)]
struct Balancers(BTreeMap<Balancer, (Option<Vec<Registered>>, Option<u32>)>);

impl Balancers {
    async fn read(&mut self, session: &Session, reads: &mut Reads, balancer: &Balancer) {
        if self.0.contains_key(balancer) {
            return;
        }
        let (targets, delay) = match balancer {
            Balancer::TargetGroup(arn) => {
                let health = reads.keep(session.elbv2.target_health(arn).await);
                let targets = health.map(|health| {
                    let all = health.unwrap_or_default().into_iter();
                    all.map(|t| Registered { id: t.id, port: t.port, state: t.state }).collect()
                });
                (targets, reads.keep(session.elbv2.deregistration_delay(arn).await).flatten())
            }
            // A classic load balancer knows instances without ports: ECS deregisters the instance.
            Balancer::ClassicLoadBalancer(name) => {
                let delay = reads.keep(session.elb.draining_timeout(name).await).flatten();
                (Some(Vec::new()), delay)
            }
        };
        self.0.insert(balancer.clone(), (targets, delay));
    }

    fn targets(&self, balancer: &Balancer) -> Option<&[Registered]> {
        self.0.get(balancer)?.0.as_deref()
    }

    fn delay(&self, balancer: &Balancer) -> Option<u32> {
        self.0.get(balancer)?.1
    }

    /// Returns the number of targets that fail their health checks, or have not passed them yet.
    fn unhealthy(&self, balancer: &Balancer) -> usize {
        let targets = self.targets(balancer).unwrap_or_default().iter();
        targets.filter(|one| matches!(one.state.as_str(), "unhealthy" | "initial")).count()
    }
}
