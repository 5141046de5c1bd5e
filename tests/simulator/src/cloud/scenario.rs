//! The actions of scenarios on the world, at the moment it has reached, and the questions of tests
//! about its truth.

use std::time::Duration;

use super::{Cloud, CloudError, Loss, World};
use crate::SimTime;
use crate::autoscaling::{Completion, GroupSpec, HookSpec, RefreshSpec, RefreshStatus};
use crate::checker::Violation;
use crate::dynamodb::Outage;
use crate::ecs::{InstanceStatus, RunningContainer, Trouble};
use crate::elb::{ClassicSpec, TargetGroupSpec};
use crate::spec::{Balancer, ClusterSpec, ServiceSpec, StandaloneSpec};
use crate::wire::ApiError;

impl Cloud {
    /// Creates a cluster.
    pub fn add_cluster(&mut self, spec: &ClusterSpec) {
        self.world.ecs.add_cluster(&spec.name);
    }

    /// Creates an Auto Scaling group with its hooks; its instances join the cluster that it names.
    pub fn add_group(&mut self, spec: GroupSpec) {
        for hook in &spec.hooks {
            self.checkers.know_hook(&spec.name, &hook.name, hook.heartbeat_timeout);
        }
        self.world.autoscaling.add_group(spec);
        self.change();
    }

    /// Adds or changes a tag of a group; `None` deletes it.
    pub fn put_tag(&mut self, group: &str, key: &str, value: Option<&str>) {
        self.world.autoscaling.put_tag(group, key, value);
        self.change();
    }

    /// Adds or changes a hook.
    pub fn put_hook(&mut self, group: &str, hook: HookSpec) {
        self.checkers.know_hook(group, &hook.name, hook.heartbeat_timeout);
        self.world.autoscaling.put_hook(group, hook);
        self.change();
    }

    /// Creates a target group and returns its ARN.
    pub fn add_target_group(&mut self, spec: TargetGroupSpec) -> String {
        self.world.add_target_group(spec)
    }

    /// Creates a classic load balancer.
    pub fn add_classic(&mut self, spec: ClassicSpec) {
        self.world.elb.add_classic(spec);
    }

    /// Creates a service. Its target groups must exist already.
    pub fn add_service(&mut self, spec: &ServiceSpec) {
        self.world.ecs.add_service(self.now, &self.world.elb, spec);
        self.change();
    }

    /// Starts a standalone task and returns its ARN; `None` if no instance has room for it.
    pub fn run_task(&mut self, spec: &StandaloneSpec) -> Option<String> {
        // Instances of a group that was just described have not registered yet.
        self.advance(self.now);
        let task = self.world.ecs.run_standalone(self.now, spec);
        self.change();
        task
    }

    /// Stops every standalone task on an instance, as a person does with StopTask.
    pub fn stop_standalone_tasks(&mut self, instance_id: &str) {
        let running = self.world.ecs.containers_running(instance_id);
        for container in running.iter().filter(|container| container.service.is_none()) {
            self.world.ecs.stop_by_hand(self.now, &container.cluster, &container.task);
        }
        self.change();
    }

    /// Changes a service's desired count.
    pub fn set_service_desired(&mut self, cluster: &str, service: &str, desired: u32) {
        self.world.ecs.set_desired(self.now, cluster, service, desired);
        self.change();
    }

    /// Sets a tag of a service, or removes it.
    pub fn tag_service(&mut self, cluster: &str, service: &str, key: &str, value: Option<&str>) {
        self.world.ecs.tag_service(cluster, service, key, value);
        self.change();
    }

    /// Lets new tasks of a service fail to start with this `stoppedReason`, for example
    /// `CannotPullContainerError: …`. Running tasks are unchanged.
    pub fn fail_new_tasks(&mut self, cluster: &str, service: &str, reason: &str) {
        self.trouble(cluster, service, Some(Trouble::NeverStart(reason.to_owned())));
    }

    /// Lets the targets of a service's new tasks fail their health checks: the tasks run, and ECS
    /// stops them again.
    pub fn fail_health_checks(&mut self, cluster: &str, service: &str) {
        self.trouble(cluster, service, Some(Trouble::FailHealthChecks));
    }

    /// Lets new tasks of a service start again.
    pub fn heal(&mut self, cluster: &str, service: &str) {
        self.trouble(cluster, service, None);
    }

    fn trouble(&mut self, cluster: &str, service: &str, trouble: Option<Trouble>) {
        self.world.ecs.set_trouble(self.now, cluster, service, trouble);
        self.change();
    }

    /// Takes all free CPU of a cluster's `ACTIVE` instances, except on these instances, with
    /// standalone tasks.
    pub fn fill_cluster(&mut self, cluster: &str, except: &[&str]) {
        self.advance(self.now);
        self.world.ecs.fill(self.now, cluster, except);
        self.change();
    }

    /// Sets an attribute of an instance, for placement constraints or as another `ecs.ami-id`.
    pub fn set_attribute(&mut self, instance_id: &str, name: &str, value: &str) {
        self.advance(self.now);
        self.world.ecs.set_attribute(instance_id, name, value);
        self.change();
    }

    /// Changes the load balancers of a service. Running tasks keep their registrations until they
    /// stop. Returns false if there is no such service.
    pub fn change_balancers(
        &mut self,
        cluster: &str,
        service: &str,
        balancers: &[Balancer],
    ) -> bool {
        let World { ecs, elb, .. } = &mut self.world;
        let changed = ecs.change_balancers(self.now, elb, cluster, service, balancers);
        self.change();
        changed
    }

    /// Pauses a deployment of a service at a pause hook for this long, or continues it (`None`).
    /// Its tasks stay in place meanwhile. Returns false if there is no such service.
    pub fn pause_deployment(
        &mut self,
        cluster: &str,
        service: &str,
        span: Option<Duration>,
    ) -> bool {
        let until = span.map(|span| self.now + span);
        let paused = self.world.ecs.pause_deployment(self.now, cluster, service, until);
        self.change();
        paused
    }

    /// Protects a service's task, given by id or ARN, from scale-in for this long. Returns false if
    /// it cannot be protected.
    pub fn protect_task(&mut self, cluster: &str, task: &str, span: Duration) -> bool {
        let protected = self.world.ecs.protect_task(cluster, task, self.now + span);
        self.change();
        protected
    }

    /// Protects every task of a service on an instance, and returns their number.
    pub fn protect_service_on(
        &mut self,
        cluster: &str,
        service: &str,
        instance_id: &str,
        span: Duration,
    ) -> usize {
        let running = self.world.ecs.containers_running(instance_id);
        let here = running
            .iter()
            .filter(|c| c.cluster == cluster && c.service.as_deref() == Some(service));
        here.filter(|container| self.protect_task(cluster, &container.task, span)).count()
    }

    /// Sends an instance in service back to its group's warm pool, as a scale-in does where the group
    /// reuses instances: it waits as `Warmed:Pending:Wait` under the terminating hooks.
    pub fn return_to_warm_pool(&mut self, instance_id: &str) -> bool {
        let began = self.world.autoscaling.return_to_pool(self.now, instance_id);
        self.change();
        began
    }

    /// Moves an instance from the warm pool into service: the desired capacity grows by one, the
    /// instance starts, and its agent connects again.
    pub fn return_from_warm_pool(&mut self, instance_id: &str) -> bool {
        let began = self.world.autoscaling.start_from_pool(self.now, instance_id);
        self.change();
        began
    }

    /// Replaces the root volume of an instance, as an instance refresh does: it waits as
    /// `ReplacingRootVolume:Wait`, and comes back under its own id as a new container instance.
    pub fn replace_root_volume(&mut self, instance_id: &str) -> bool {
        let began = self.world.autoscaling.replace_root_volume(self.now, instance_id);
        self.change();
        began
    }

    /// Terminates an instance through its group, as a scale-in does.
    pub fn terminate(&mut self, instance_id: &str, decrement: bool) -> Result<(), ApiError> {
        let result = self.world.autoscaling.terminate(self.now, instance_id, decrement);
        self.change();
        result
    }

    /// Sets a group's desired capacity.
    pub fn set_group_desired(&mut self, group: &str, desired: u32) -> Result<(), ApiError> {
        let result = self.world.autoscaling.set_desired(self.now, group, desired);
        self.change();
        result
    }

    /// Changes the AMI and the version of the launch template of the instances that a group launches
    /// from now on, as a new version of the template does. Its present instances become old ones.
    pub fn change_image(&mut self, group: &str, ami_id: &str, template_version: u32) -> bool {
        let known = self.world.autoscaling.change_image(group, ami_id, template_version);
        self.change();
        known
    }

    /// Changes the version of the ECS agent on the instances that a group launches from now on.
    pub fn change_agent(&mut self, group: &str, version: &str) -> bool {
        let known = self.world.autoscaling.change_agent(group, version);
        self.change();
        known
    }

    /// Lets the agents of the instances that a group launches from now on register with its cluster
    /// this long after their start.
    pub fn registrations_take(&mut self, group: &str, span: Duration) -> bool {
        self.set_registration(group, Some(span))
    }

    /// Keeps the agents of the instances that a group launches from now on from registering: the
    /// instances come into service and never become container instances.
    pub fn registrations_fail(&mut self, group: &str) -> bool {
        self.set_registration(group, None)
    }

    fn set_registration(&mut self, group: &str, after: Option<Duration>) -> bool {
        let known = self.world.autoscaling.set_registration(group, after);
        self.change();
        known
    }

    /// Returns the ids of the tasks of a service that ECS has not forgotten yet, each with true if
    /// its containers run.
    pub fn tasks_of_service(&self, cluster: &str, service: &str) -> Vec<(String, bool)> {
        let cluster = self.world.ecs.cluster(cluster);
        let tasks = cluster.into_iter().flat_map(|cluster| cluster.tasks.values());
        let of_service = tasks.filter(|task| task.service.as_deref() == Some(service));
        of_service
            .map(|task| (task.id.clone(), task.started_at.is_some() && task.containers_running))
            .collect()
    }

    /// Returns the desired capacity of a group; zero if it does not exist.
    pub fn group_desired(&self, group: &str) -> u32 {
        self.world.autoscaling.group(group).map_or(0, |group| group.desired)
    }

    /// Takes away EC2's capacity for a group's launches: the group stays below its desired capacity
    /// and tries again every minute.
    pub fn capacity_runs_out(&mut self, group: &str) -> bool {
        self.set_capacity(group, true)
    }

    /// Restores EC2's capacity for the group; its next attempt succeeds.
    pub fn capacity_comes_back(&mut self, group: &str) -> bool {
        self.set_capacity(group, false)
    }

    fn set_capacity(&mut self, group: &str, out: bool) -> bool {
        let known = self.world.autoscaling.set_out_of_capacity(self.now, group, out);
        self.change();
        known
    }

    /// Starts to replace all instances of a group, a few at a time. Returns false if it did not
    /// start.
    pub fn start_instance_refresh(&mut self, group: &str, spec: RefreshSpec) -> bool {
        let began = self.world.autoscaling.start_instance_refresh(self.now, group, spec);
        self.change();
        began
    }

    /// Cancels a group's instance refresh: no further replacement starts. Returns false if there
    /// was none.
    pub fn cancel_instance_refresh(&mut self, group: &str) -> bool {
        let cancelled = self.world.autoscaling.cancel_instance_refresh(self.now, group);
        self.change();
        cancelled
    }

    /// Returns the status of a group's last instance refresh.
    pub fn instance_refresh(&self, group: &str) -> Option<RefreshStatus> {
        self.world.autoscaling.instance_refresh(group)
    }

    /// Sets an instance `ACTIVE` or `DRAINING` by hand, wherever it is registered. Returns the
    /// number of its container instances.
    pub fn set_container_instance_state(
        &mut self,
        instance_id: &str,
        status: InstanceStatus,
    ) -> usize {
        self.checkers.set_by_hand(self.now, instance_id, status, &self.world);
        let registered = self.world.ecs.set_instance_state(self.now, instance_id, status);
        self.change();
        registered
    }

    /// Ends the EC2 instance without Auto Scaling and ECS: by EC2, Spot, or a power cut. Its group
    /// and ECS notice later.
    pub fn kill_instance(&mut self, instance_id: &str) {
        self.world.kill(self.now, instance_id);
        self.change();
    }

    /// Connects or disconnects the ECS agents of an instance.
    pub fn set_agent_connected(&mut self, instance_id: &str, connected: bool) {
        self.world.ecs.set_agent_connected(instance_id, connected);
        self.change();
    }

    /// Deletes a hook; actions that it holds open end with `CONTINUE`.
    pub fn delete_hook(&mut self, group: &str, hook: &str) {
        self.world.autoscaling.delete_hook(self.now, group, hook);
        self.change();
    }

    /// Deletes a group by force.
    pub fn delete_group(&mut self, group: &str) {
        self.world.autoscaling.delete_group(self.now, group);
        self.change();
    }

    /// Makes DynamoDB unavailable for this long.
    pub fn take_table_away(&mut self, span: Duration, outage: Outage) {
        self.dynamodb.set_outage(self.now + span, outage);
    }

    /// Restores DynamoDB's tables to that moment.
    /// [`DynamoDb::back_up`](crate::dynamodb::DynamoDb::back_up) must have been called before.
    pub fn restore_tables(&mut self, then: SimTime) -> Result<(), CloudError> {
        self.dynamodb.restore(then)?;
        self.restored();
        Ok(())
    }

    /// Sets the number of replicas of the program under test that are up from now on.
    pub fn set_replicas_up(&mut self, replicas: usize) {
        self.checkers.set_replicas_up(self.now, replicas);
    }

    /// Applies the consequences of a scenario's action.
    pub(super) fn change(&mut self) {
        // Not at the next call: the checkers judge the objects of that one before it is carried
        // out.
        self.checkers.completed(self.now, &self.world, false);
        self.remember(self.now);
        self.past.changed(self.now);
        self.tell();
    }

    /// Returns the violations so far.
    pub fn violations(&self) -> &[Violation] {
        self.checkers.violations()
    }

    /// Returns the violations so far, and those that only the end shows: a `DRAINING` that was left
    /// behind.
    pub fn violations_at_end(&self) -> Vec<Violation> {
        let left = self.checkers.left_behind(self.now, &self.world);
        self.violations().iter().cloned().chain(left).collect()
    }

    /// Returns the containers that truly run on an instance.
    pub fn containers_running(&self, instance_id: &str) -> Vec<RunningContainer> {
        self.world.ecs.containers_running(instance_id)
    }

    /// Returns the true reasons why the instance must not be terminated yet, in words; empty when
    /// nothing is left there.
    pub fn reasons_to_wait(&self, instance_id: &str) -> Vec<String> {
        self.checkers.reasons_to_wait(self.now, &self.world, instance_id)
    }

    /// Returns the instance's lifecycle state; `None` once it has left its group.
    pub fn lifecycle_state(&self, instance_id: &str) -> Option<String> {
        self.world.autoscaling.lifecycle_state(instance_id)
    }

    /// Returns the instance's status in each cluster that knows it.
    pub fn container_instance_status(&self, instance_id: &str) -> Vec<(String, &'static str)> {
        let instances = self.world.ecs.instances_of(instance_id);
        instances
            .map(|(cluster, instance)| (cluster.to_owned(), instance.status.as_str()))
            .collect()
    }

    /// Returns the ids of a group's instances, its warm pool included.
    pub fn instance_ids(&self, group: &str) -> Vec<String> {
        self.world
            .autoscaling
            .instances(group)
            .into_iter()
            .map(|instance| instance.instance_id)
            .collect()
    }

    /// Returns the moment at which the instance was terminated.
    pub fn terminated_at(&self, instance_id: &str) -> Option<SimTime> {
        self.terminated.get(instance_id).copied()
    }

    /// Returns the ends of the instance's lifecycle actions.
    pub fn completed(&self, instance_id: &str) -> Vec<Completion> {
        let completions = self.world.autoscaling.completions().iter();
        completions.filter(|completion| completion.instance_id == instance_id).cloned().collect()
    }

    /// Returns the instances that were terminated while something that matters ran there or was
    /// sent there, whatever the cause.
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Returns the number of calls of the program under test.
    pub fn controller_calls(&self) -> u64 {
        self.controller_calls
    }
}
