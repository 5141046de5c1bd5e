//! Checks one scope: credentials, permissions, clusters, groups, queue.

use super::{Finding, Section, hooks, permission, tags};
use crate::aws::ecs::State;
use crate::aws::{self, Desired, Environment, GroupView, Session};
use crate::config::{Config, Groups, Scope};
use ecs_drain_state::ActionResult;
use ecs_drain_state::diagnosis::can_never_replace;
use std::collections::BTreeSet;

/// Id of an instance that does not exist.
const INSTANCE: &str = "i-00000000000000000";

/// Id of a task, or of a container instance, that does not exist.
const ID: &str = "00000000000000000000000000000000";

/// Action for drains that end with the instance's termination.
const TERMINATE: &str = "autoscaling:TerminateInstanceInAutoScalingGroup";

/// Desired capacity that every group refuses: no maximum is that large. It is sent to a group that
/// does not exist.
const NO_CAPACITY: u32 = i32::MAX.cast_unsigned();

/// Action for rollouts.
const CAPACITY: &str = "autoscaling:SetDesiredCapacity";

/// Condition under which a permission that a dry run does not need is needed.
const NOT_DRY: &str = "once the dry run ends";

/// Container instances of a cluster whose services are checked, at most.
const SAMPLE: usize = 20;

/// Checks one account and region.
pub(crate) async fn examine(config: &Config, scope: &Scope, environment: &Environment) -> Section {
    let role = scope.role.as_ref().map_or_else(String::new, |role| format!(", role {}", role.arn));
    let session = match aws::connect(environment, &scope.region, scope.role.as_ref()).await {
        Ok(session) => session,
        Err(error) => {
            let place = format!("scope {}{role}", scope.region);
            return Section { place, findings: vec![Finding::broken(format!("{error:#}"))] };
        }
    };
    let place = format!("scope {}, account {}{role}", session.region, session.account);
    let mut look = Look { config, scope, session: &session, findings: Vec::new() };
    look.say(Finding::fine("credentials are accepted"));
    let clusters = look.clusters().await;
    let groups = look.groups().await;
    look.balancers(&groups).await;
    look.changes(&clusters, &groups).await;
    look.queue().await;
    Section { place, findings: look.findings }
}

struct Look<'a> {
    config: &'a Config,
    scope: &'a Scope,
    session: &'a Session,
    findings: Vec<Finding>,
}

/// A selected group, with its ecs-drain hook.
struct Chosen {
    group: GroupView,
    hook: Option<String>,
}

impl Look<'_> {
    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Reports whether a call was allowed, and returns its answer.
    fn tried<T>(&mut self, action: &str, answer: Result<T, aws::AwsError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.say(Finding::fine(format!("allowed: {action}")));
                Some(answer)
            }
            Err(error) => {
                self.say(permission::<T>(action, Err(error)));
                None
            }
        }
    }

    /// Returns the selected clusters, and checks that they can be read.
    async fn clusters(&mut self) -> Vec<String> {
        let ecs = &self.session.ecs;
        let Some(arns) = self.tried("ecs:ListClusters", ecs.list_clusters().await) else {
            return Vec::new();
        };
        let names = arns.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn).to_owned());
        let chosen: Vec<String> = names.filter(|name| self.scope.clusters.matches(name)).collect();
        if chosen.is_empty() {
            let text = format!(
                "`clusters` selects none of the {} clusters here ({})",
                arns.len(),
                self.scope.clusters
            );
            self.say(Finding::failure(
                text,
                "correct `clusters` of this scope, or its region or account",
            ));
        } else {
            self.say(Finding::note(format!(
                "{} of {} clusters are selected",
                chosen.len(),
                arns.len()
            )));
        }
        // Without a cluster, the calls name one that does not exist: the answer shows the
        // permission all the same.
        let first = chosen.first().map_or("ecs-drain-doctor", String::as_str);
        self.tried("ecs:DescribeClusters", ecs.registered_container_instances(first).await);
        self.tried(
            "ecs:ListContainerInstances",
            ecs.list_container_instances(first, &[INSTANCE.to_owned()]).await,
        );
        let nobody = [self.arn("container-instance", first)];
        self.tried(
            "ecs:DescribeContainerInstances",
            ecs.describe_container_instances(first, &nobody).await,
        );
        self.tried(
            "ecs:ListTasks",
            ecs.list_tasks(first, Some(&nobody[0]), Desired::Running).await,
        );
        let task = [self.arn("task", first)];
        self.tried("ecs:DescribeTasks", ecs.describe_tasks(first, &task).await);
        self.tried("ecs:GetTaskProtection", ecs.task_protection(first, &task).await);
        let tags = self.config.policies.heed_services();
        self.tried(
            "ecs:DescribeServices",
            ecs.service_states(first, &["ecs-drain-doctor".to_owned()], tags).await,
        );
        self.tried("ecs:ListServices", ecs.list_services(first).await);
        let deployment = [self.arn("service-deployment", &format!("{first}/ecs-drain-doctor"))];
        self.tried("ecs:DescribeServiceDeployments", ecs.service_deployments(&deployment).await);
        let permit = self.session.permit(&aws::calls::DESCRIBE_SERVICE_REVISIONS).await;
        let revision = [self.arn("service-revision", &format!("{first}/ecs-drain-doctor"))];
        self.tried("ecs:DescribeServiceRevisions", ecs.revisions(permit, &revision).await);
        self.tried("ecs:DescribeTaskDefinition", ecs.task_definition("ecs-drain-doctor:1").await);
        for cluster in &chosen {
            if let Err(error) = self.services(cluster).await {
                self.say(Finding::warning(
                    format!("the services of cluster {cluster} were not checked: {error:#}"),
                    "see there",
                ));
            }
        }
        chosen
    }

    /// Reports services on the cluster's instances whose tasks can never be replaced.
    async fn services(&mut self, cluster: &str) -> Result<(), aws::AwsError> {
        let ecs = &self.session.ecs;
        let (arns, more) = ecs.active_container_instances(cluster, SAMPLE).await?;
        let mut tasks = BTreeSet::new();
        for arn in &arns {
            tasks.extend(ecs.list_tasks(cluster, Some(arn), Desired::Running).await?);
        }
        let tasks: Vec<String> = tasks.into_iter().collect();
        let described = ecs.describe_tasks(cluster, &tasks).await?;
        let service = |group: &String| group.strip_prefix("service:").map(str::to_owned);
        let services =
            described.found.iter().filter_map(|task| task.group.as_ref().and_then(service));
        let services: Vec<String> = services.collect::<BTreeSet<String>>().into_iter().collect();
        let states = ecs.service_states(cluster, &services, false).await?;
        let mut stuck = 0;
        for state in &states.found {
            if let Some(cause) = can_never_replace(&state.name, &state.facts) {
                stuck += 1;
                let advice = "raise maximumPercent, lower minimumHealthyPercent, or give its drains a deadline";
                self.say(Finding::warning(format!("cluster {cluster}: {cause}"), advice));
            }
        }
        if stuck == 0 {
            let of =
                if more { format!(", of its first {SAMPLE} instances") } else { String::new() };
            let text = format!(
                "cluster {cluster}: {} instances, {} services{of}: all can be drained",
                arns.len(),
                services.len()
            );
            self.say(Finding::fine(text));
        }
        Ok(())
    }

    /// Returns the selected groups, and checks their hooks.
    async fn groups(&mut self) -> Vec<Chosen> {
        let autoscaling = &self.session.autoscaling;
        self.tried(
            "autoscaling:DescribeAutoScalingInstances",
            autoscaling.instances(&[INSTANCE.to_owned()]).await,
        );
        let Some(all) = self
            .tried("autoscaling:DescribeAutoScalingGroups", autoscaling.groups(None, false).await)
        else {
            return Vec::new();
        };
        let count = all.len();
        let selected: Vec<GroupView> = all
            .into_iter()
            .filter(|group| self.scope.groups.selects(&group.name, &group.tags))
            .collect();
        if selected.is_empty() {
            let text =
                format!("none of the {count} Auto Scaling groups here is selected by `groups`");
            self.say(Finding::failure(
                text,
                "correct `groups` of this scope, or its region or account",
            ));
        }
        let first = selected.first().map_or("ecs-drain-doctor", |group| group.name.as_str());
        self.tried("autoscaling:DescribeWarmPool", autoscaling.warm_pool(first).await);
        self.tried("autoscaling:DescribeInstanceRefreshes", autoscaling.refreshes(first).await);
        if selected.is_empty() {
            self.tried("autoscaling:DescribeLifecycleHooks", autoscaling.hooks(first).await);
        }
        let mut chosen = Vec::new();
        for (number, group) in selected.into_iter().enumerate() {
            let answer = autoscaling.hooks(&group.name).await;
            let answer = match (number, answer) {
                (0, answer) => self.tried("autoscaling:DescribeLifecycleHooks", answer),
                (_, Ok(hooks)) => Some(hooks),
                (_, Err(error)) => {
                    self.say(Finding::warning(format!("{error:#}"), "try again"));
                    None
                }
            };
            let Some(hooks) = answer else { continue };
            for finding in hooks::judge(&group, &hooks, &self.scope.hooks) {
                self.say(finding);
            }
            for finding in tags::judge(&group, self.config.policies.tagged(), self.scope) {
                self.say(finding);
            }
            let ours = hooks
                .into_iter()
                .find(|hook| hook.terminating && self.scope.hooks.contains(&hook.name));
            chosen.push(Chosen { group, hook: ours.map(|hook| hook.name) });
        }
        if !chosen.is_empty() && chosen.iter().all(|chosen| chosen.hook.is_none()) {
            let names: Vec<&str> = self.scope.hooks.iter().map(String::as_str).collect();
            let text = format!(
                "no selected group has a configured hook ({}): nothing would be drained",
                names.join(", ")
            );
            self.say(Finding::failure(text, "`ecs-drain hooks` prints what puts it there"));
        }
        chosen
    }

    async fn balancers(&mut self, groups: &[Chosen]) {
        let (elbv2, elb) = (&self.session.elbv2, &self.session.elb);
        let own = groups.iter().flat_map(|chosen| &chosen.group.target_groups).next();
        let nobody = format!(
            "arn:{}:elasticloadbalancing:{}:{}:targetgroup/ecs-drain-doctor/0000000000000000",
            aws::calls::partition(&self.session.region),
            self.session.region,
            self.session.account
        );
        let target_group = own.map_or(nobody.as_str(), String::as_str);
        self.tried(
            "elasticloadbalancing:DescribeTargetGroups",
            elbv2.is_network(target_group).await,
        );
        self.tried(
            "elasticloadbalancing:DescribeTargetHealth",
            elbv2.target_health(target_group).await,
        );
        self.tried(
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            elbv2.deregistration_delay(target_group).await,
        );
        let own = groups.iter().flat_map(|chosen| &chosen.group.classic).next();
        let classic = own.map_or("ecs-drain-doctor", String::as_str);
        self.tried(
            "elasticloadbalancing:DescribeLoadBalancers",
            elb.members(&[classic.to_owned()]).await,
        );
        self.tried(
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
            elb.draining_timeout(classic).await,
        );
        self.tried(
            "elasticloadbalancing:DescribeInstanceHealth",
            elb.instance_health(classic, &[INSTANCE.to_owned()]).await,
        );
    }

    /// Reports whether a call was allowed that this configuration does not need: a denial is no
    /// mistake.
    fn unneeded<T>(&mut self, action: &str, when: &str, answer: Result<T, aws::AwsError>) {
        match answer {
            Err(error) if error.class == aws::ErrorClass::Denied => {
                self.say(Finding::note(format!("not allowed: {action} (needed {when})")));
            }
            answer => self.say(permission(action, answer)),
        }
    }

    /// Reports whether a mutating call was allowed.
    fn changes_by<T>(&mut self, action: &str, answer: Result<T, aws::AwsError>) {
        if self.config.dry_run {
            self.unneeded(action, NOT_DRY, answer);
        } else {
            self.tried(action, answer);
        }
    }

    /// Checks that mutating calls are allowed, on resources that do not exist.
    async fn changes(&mut self, clusters: &[String], groups: &[Chosen]) {
        let (ecs, urgent) = (&self.session.ecs, &self.session.urgent);
        match groups
            .iter()
            .find_map(|chosen| Some((chosen.group.name.as_str(), chosen.hook.as_deref()?)))
        {
            Some((group, hook)) => {
                let answer = urgent.heartbeat(group, hook, INSTANCE).await;
                self.changes_by("autoscaling:RecordLifecycleActionHeartbeat", answer);
                let answer = urgent.complete(group, hook, INSTANCE, ActionResult::Continue).await;
                self.changes_by("autoscaling:CompleteLifecycleAction", answer);
                let answer = urgent.terminate(group, INSTANCE, false).await;
                if self.config.policies.terminate() {
                    self.changes_by(TERMINATE, answer);
                } else {
                    self.unneeded(
                        TERMINATE,
                        "where operators drain with `--then terminate`",
                        answer,
                    );
                }
            }
            None => self.say(Finding::note(
                "heartbeats and completions were not tested: no group has the ecs-drain hook",
            )),
        }
        match nonexistent(&self.scope.groups) {
            Some(group) => {
                let answer = urgent.set_desired(&group, NO_CAPACITY).await;
                self.unneeded(CAPACITY, "for rollouts", answer);
            }
            None => self.say(Finding::note(format!(
                "{CAPACITY} was not tested (needed for rollouts): `groups` covers no group that does not exist"
            ))),
        }
        let Some(cluster) = clusters.first() else {
            self.say(Finding::note("changes in ECS were not tested: no cluster"));
            return;
        };
        let nobody = [self.arn("container-instance", cluster)];
        let answer = ecs.set_state(cluster, &nobody, State::Draining).await;
        let answer = answer.and_then(|mut each| each.pop().map_or(Ok(()), |(_, answer)| answer));
        self.changes_by("ecs:UpdateContainerInstancesState", answer);
        if self.config.policies.stop_standalone_tasks() {
            let answer =
                ecs.stop_task(cluster, &self.arn("task", cluster), "ecs-drain doctor").await;
            self.changes_by("ecs:StopTask", answer);
        }
        if self.config.policies.deregister() {
            self.changes_by(
                "ecs:DeregisterContainerInstance",
                ecs.deregister(cluster, &nobody[0]).await,
            );
        }
    }

    async fn queue(&mut self) {
        let sqs = &self.session.sqs;
        let Some(url) = &self.scope.queue else {
            self.say(Finding::note(
                "no queue: spot interruptions and rebalance recommendations are not received; polling finds all else",
            ));
            return;
        };
        self.changes_by("sqs:ReceiveMessage", sqs.may_receive(url).await);
        self.changes_by("sqs:DeleteMessage", sqs.may_delete(url).await);
    }

    /// Returns the ARN of a resource that does not exist.
    fn arn(&self, kind: &str, cluster: &str) -> String {
        let Session { account, region, .. } = self.session;
        format!(
            "arn:{}:ecs:{region}:{account}:{kind}/{cluster}/{ID}",
            aws::calls::partition(region)
        )
    }
}

/// Returns the name of a group that does not exist and that a policy for these groups covers.
/// Returns `None` if the groups are named exactly, or chosen by tags.
fn nonexistent(groups: &Groups) -> Option<String> {
    if !groups.tags.is_empty() {
        return None;
    }
    let pattern = groups.names.names().iter().find(|name| name.contains('*'))?;
    Some(pattern.replacen('*', "ecs-drain-doctor", 1).replace(['*', '?'], "x"))
}
