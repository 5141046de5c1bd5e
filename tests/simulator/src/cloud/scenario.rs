//! What scenarios do to the world, at the moment it has reached, and what tests ask of its truth.

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
    /// Makes a cluster.
    pub fn add_cluster(&mut self, spec: &ClusterSpec) {
        self.world.ecs.add_cluster(&spec.name);
    }

    /// Makes an Auto Scaling group with its hooks; its instances join the cluster that it names.
    pub fn add_group(&mut self, spec: GroupSpec) {
        for hook in &spec.hooks {
            self.checkers.know_hook(&spec.name, &hook.name, hook.heartbeat_timeout);
        }
        self.world.autoscaling.add_group(spec);
        self.change();
    }

    /// Adds or changes a hook.
    pub fn put_hook(&mut self, group: &str, hook: HookSpec) {
        self.checkers.know_hook(group, &hook.name, hook.heartbeat_timeout);
        self.world.autoscaling.put_hook(group, hook);
        self.change();
    }

    /// Makes a target group and answers its ARN.
    pub fn add_target_group(&mut self, spec: TargetGroupSpec) -> String {
        self.world.add_target_group(spec)
    }

    /// Makes a classic load balancer.
    pub fn add_classic(&mut self, spec: ClassicSpec) {
        self.world.elb.add_classic(spec);
    }

    /// Makes a service. Its target groups must be there already.
    pub fn add_service(&mut self, spec: &ServiceSpec) {
        self.world.ecs.add_service(self.now, &self.world.elb, spec);
        self.change();
    }

    /// Starts a standalone task and answers its ARN; `None` if no instance takes it.
    pub fn run_task(&mut self, spec: &StandaloneSpec) -> Option<String> {
        // Instances of a group described just now have not registered yet.
        self.advance(self.now);
        let task = self.world.ecs.run_standalone(self.now, spec);
        self.change();
        task
    }

    /// Someone stops every standalone task on an instance, as with StopTask.
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

    /// Lets new tasks of a service fail to start with this `stoppedReason`, for example
    /// `CannotPullContainerError: …`; what runs is left alone.
    pub fn fail_new_tasks(&mut self, cluster: &str, service: &str, reason: &str) {
        self.trouble(cluster, service, Some(Trouble::NeverStart(reason.to_owned())));
    }

    /// Lets the targets of a service's new tasks fail their health checks: they run, and ECS stops
    /// them again.
    pub fn fail_health_checks(&mut self, cluster: &str, service: &str) {
        self.trouble(cluster, service, Some(Trouble::FailHealthChecks));
    }

    /// Lets new tasks of a service come up again.
    pub fn heal(&mut self, cluster: &str, service: &str) {
        self.trouble(cluster, service, None);
    }

    fn trouble(&mut self, cluster: &str, service: &str, trouble: Option<Trouble>) {
        self.world.ecs.set_trouble(self.now, cluster, service, trouble);
        self.change();
    }

    /// Takes all CPU that is left on a cluster's `ACTIVE` instances, but for these, with standalone
    /// tasks.
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

    /// Changes the load balancers of a service; tasks that run stay registered where they are,
    /// until something stops them. Answers whether there is such a service.
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

    /// A deployment of a service waits at a pause hook for so long, or goes on (`None`). Its tasks
    /// stay where they are meanwhile. Answers whether there is such a service.
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

    /// Protects a service's task, given by id or ARN, from scale-in for so long. Answers whether it
    /// can be protected.
    pub fn protect_task(&mut self, cluster: &str, task: &str, span: Duration) -> bool {
        let protected = self.world.ecs.protect_task(cluster, task, self.now + span);
        self.change();
        protected
    }

    /// Protects every task of a service on an instance, and answers how many those are.
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

    /// Sends an instance in service back to its group's warm pool, as a scale-in by one does where
    /// the group reuses instances: it waits as `Warmed:Pending:Wait` under the terminating hooks.
    pub fn return_to_warm_pool(&mut self, instance_id: &str) -> bool {
        let began = self.world.autoscaling.return_to_pool(self.now, instance_id);
        self.change();
        began
    }

    /// Takes an instance that rests in the warm pool back into service: desired capacity grows by
    /// one, the instance starts, and its agent connects again.
    pub fn return_from_warm_pool(&mut self, instance_id: &str) -> bool {
        let began = self.world.autoscaling.start_from_pool(self.now, instance_id);
        self.change();
        began
    }

    /// Sends an instance to have its root volume replaced, as an instance refresh does: it waits as
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

    /// EC2 has no capacity for what a group launches: it stays below its desired capacity and tries
    /// again every minute.
    pub fn capacity_runs_out(&mut self, group: &str) -> bool {
        self.set_capacity(group, true)
    }

    /// EC2 has capacity for the group again; its next try succeeds.
    pub fn capacity_comes_back(&mut self, group: &str) -> bool {
        self.set_capacity(group, false)
    }

    fn set_capacity(&mut self, group: &str, out: bool) -> bool {
        let known = self.world.autoscaling.set_out_of_capacity(self.now, group, out);
        self.change();
        known
    }

    /// Begins to replace all instances of a group, some at a time. Answers whether it began.
    pub fn start_instance_refresh(&mut self, group: &str, spec: RefreshSpec) -> bool {
        let began = self.world.autoscaling.start_instance_refresh(self.now, group, spec);
        self.change();
        began
    }

    /// Cancels a group's instance refresh: no other instance is replaced. Answers whether there was
    /// one.
    pub fn cancel_instance_refresh(&mut self, group: &str) -> bool {
        let cancelled = self.world.autoscaling.cancel_instance_refresh(self.now, group);
        self.change();
        cancelled
    }

    /// How far a group's last instance refresh is.
    pub fn instance_refresh(&self, group: &str) -> Option<RefreshStatus> {
        self.world.autoscaling.instance_refresh(group)
    }

    /// Someone sets an instance `ACTIVE` or `DRAINING` by hand, wherever it is registered. Answers
    /// in how many places.
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

    /// The instance dies behind everyone's back: EC2, Spot, a power cut. Its group and ECS notice
    /// later.
    pub fn kill_instance(&mut self, instance_id: &str) {
        self.world.kill(self.now, instance_id);
        self.change();
    }

    /// Connects or disconnects the ECS agents of an instance.
    pub fn set_agent_connected(&mut self, instance_id: &str, connected: bool) {
        self.world.ecs.set_agent_connected(instance_id, connected);
        self.change();
    }

    /// Deletes a hook; actions that it holds end with `CONTINUE`.
    pub fn delete_hook(&mut self, group: &str, hook: &str) {
        self.world.autoscaling.delete_hook(self.now, group, hook);
        self.change();
    }

    /// Deletes a group by force.
    pub fn delete_group(&mut self, group: &str) {
        self.world.autoscaling.delete_group(self.now, group);
        self.change();
    }

    /// Takes DynamoDB away for this long.
    pub fn take_table_away(&mut self, span: Duration, outage: Outage) {
        self.dynamodb.set_outage(self.now + span, outage);
    }

    /// DynamoDB's tables are again as they were then, if
    /// [`DynamoDb::back_up`](crate::dynamodb::DynamoDb::back_up) was called before.
    pub fn restore_tables(&mut self, then: SimTime) -> Result<(), CloudError> {
        self.dynamodb.restore(then)?;
        self.restored();
        Ok(())
    }

    /// Says how many replicas of the program under test are up from now on.
    pub fn set_replicas_up(&mut self, replicas: usize) {
        self.checkers.set_replicas_up(self.now, replicas);
    }

    /// Something was done to the world.
    pub(super) fn change(&mut self) {
        // Not at the next call: what that one touches is judged before it is carried out.
        self.checkers.completed(self.now, &self.world, false);
        self.remember(self.now);
        self.past.changed(self.now);
        self.tell();
    }

    /// The promises broken so far.
    pub fn violations(&self) -> &[Violation] {
        self.checkers.violations()
    }

    /// The promises broken so far, and those that only the end shows: a `DRAINING` that was left
    /// behind.
    pub fn violations_at_end(&self) -> Vec<Violation> {
        let left = self.checkers.left_behind(self.now, &self.world);
        self.violations().iter().cloned().chain(left).collect()
    }

    /// The truth: containers that run on an instance.
    pub fn containers_running(&self, instance_id: &str) -> Vec<RunningContainer> {
        self.world.ecs.containers_running(instance_id)
    }

    /// The truth: why the instance must not go yet, in words; empty when nothing is left there.
    pub fn reasons_to_wait(&self, instance_id: &str) -> Vec<String> {
        self.checkers.reasons_to_wait(self.now, &self.world, instance_id)
    }

    /// The instance's lifecycle state; `None` once it left its group.
    pub fn lifecycle_state(&self, instance_id: &str) -> Option<String> {
        self.world.autoscaling.lifecycle_state(instance_id)
    }

    /// The instance's status in each cluster that knows it.
    pub fn container_instance_status(&self, instance_id: &str) -> Vec<(String, &'static str)> {
        let instances = self.world.ecs.instances_of(instance_id);
        instances
            .map(|(cluster, instance)| (cluster.to_owned(), instance.status.as_str()))
            .collect()
    }

    /// The ids of a group's instances, its warm pool included.
    pub fn instance_ids(&self, group: &str) -> Vec<String> {
        self.world
            .autoscaling
            .instances(group)
            .into_iter()
            .map(|instance| instance.instance_id)
            .collect()
    }

    /// When the instance was terminated.
    pub fn terminated_at(&self, instance_id: &str) -> Option<SimTime> {
        self.terminated.get(instance_id).copied()
    }

    /// How the instance's lifecycle actions ended.
    pub fn completed(&self, instance_id: &str) -> Vec<Completion> {
        let completions = self.world.autoscaling.completions().iter();
        completions.filter(|completion| completion.instance_id == instance_id).cloned().collect()
    }

    /// Instances that were terminated while something that matters ran there or was sent there,
    /// whoever is to blame.
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// How many calls the program under test has made.
    pub fn controller_calls(&self) -> u64 {
        self.controller_calls
    }
}
