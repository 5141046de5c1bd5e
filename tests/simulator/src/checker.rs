//! Checkers: they judge whether the program under test kept its promises, by the true world
//! (containers and connections), never by the answers of the APIs.
//!
//! "Its hook" is a hook that a test named with [`Checkers::our_hook`].
//!
//! | checker | a violation is |
//! | --- | --- |
//! | premature completion | its `CompleteLifecycleAction` ended an action while a container that matters ran on the instance, or a balancer still sent or drained traffic there |
//! | foreign hook touched | it completed, or sent a heartbeat to, a hook that is not its own |
//! | foreign instance touched | it drained or deregistered an instance, or stopped a task there, that waits under none of its hooks and that no operator named |
//! | task stopped | it stopped a service's task, or a standalone task without permission, or too early |
//! | foreign termination | it terminated an instance through its group without permission |
//! | terminated twice | it asked a group to terminate an instance with a decrement of the desired capacity, while the group terminated that instance at its request |
//! | premature termination | it asked for a termination while a container that matters ran there, or a balancer still sent or drained traffic there |
//! | DRAINING left behind | at the end, an instance that must be `ACTIVE` is not, or an instance whose `DRAINING` must be undone is still `DRAINING` |
//! | foreign DRAINING undone | it set an instance to `ACTIVE` that someone else had set to `DRAINING` |
//! | hook expired | an action of its hook reached a timeout although a replica was up for a whole heartbeat timeout |
//!
//! Where [`Checkers::records`] describes its records, these judge by the items in its table too:
//!
//! | checker | a violation is |
//! | --- | --- |
//! | illegal phase move | a write moved a record to a phase that may not follow the one before |
//! | version going back | a write did not increase the version by one; a generation decreased, was skipped, or began before the last one had ended |
//! | record deleted | it deleted a record |
//! | unsaved completion | it sent `CompleteLifecycleAction` although the record had no saved intent to do so |
//! | wrong result sent | it sent another result than the saved intent has |
//! | unsaved act | it sent another call that its record must note first, and did not |
//! | paused, and touched | it changed something of an instance whose drain had been paused for more than two minutes |
//! | more than the budget | a drain that has to wait for its turn began while as many instances of its cluster or group drained as may, or tasks of one of its services |
//! | opened again | a drain was opened again for a lifecycle action, although no action of its hook held the instance |

mod draining;
mod drains;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::SimTime;
use crate::autoscaling::How;
use crate::cloud::World;
use crate::ecs::InstanceStatus;
use crate::log::clock;
use crate::wire::json::{text, texts};
use crate::wire::{Call, Service};

pub use drains::Budget;
pub(crate) use records::{RecordKey, Sent};
pub use records::{RecordRules, Written};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The moment.
    pub at: SimTime,
    /// The name of the checker.
    pub checker: &'static str,
    /// The EC2 instance, or the part of its name that is known.
    pub instance: String,
    /// The event, in words.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} {}", clock(self.at), self.checker, self.instance, self.text)
    }
}

/// The checkers and the facts that tests gave them.
#[derive(Clone, Debug)]
pub struct Checkers {
    /// The prefix of the keys of records whose instances are in this account and region.
    place: String,
    /// The hooks that the program under test may complete.
    pub our_hooks: BTreeSet<String>,
    /// True if daemon tasks may still run at a completion.
    pub ignore_daemons: bool,
    premature_allowed: BTreeSet<String>,
    operators: BTreeSet<String>,
    terminations_allowed: BTreeSet<String>,
    /// Groups of rollouts, each with the desired capacity that it must have at the end.
    rollouts: BTreeMap<String, u32>,
    must_be_active: BTreeSet<String>,
    must_be_undone: BTreeSet<String>,
    draining: draining::Draining,
    drains: drains::Drains,
    /// The time that an instance must have been `DRAINING` before its standalone tasks may be
    /// stopped; `None`: never.
    stops_allowed_after: Option<Duration>,
    expiry_allowed: BTreeSet<String>,
    replicas: usize,
    up_since: Option<SimTime>,
    /// The time for which the program under test may still believe that an action of its hook holds
    /// an instance after the hook was deleted, or the action timed out: AWS reports neither. An
    /// instance that leaves, that another hook holds in its termination, or that is made `ACTIVE`
    /// again, may be touched at any time. Zero by default.
    pub ends_unnoticed_for: Duration,
    /// Instances whose action under one of the program's hooks has ended, with the moment if the
    /// program could not know: it ended without a completion of its own, or the answer to the
    /// completion was lost.
    ended: BTreeMap<String, Option<SimTime>>,
    /// True while the answer to the call in progress will be lost.
    pub(crate) answer_is_lost: bool,
    completions_seen: usize,
    heartbeat_timeouts: BTreeMap<(String, String), Duration>,
    record_rules: Option<RecordRules>,
    /// Every write of a record that was applied, if writes are kept.
    writes: Option<Vec<Written>>,
    violations: Vec<Violation>,
}

impl Default for Checkers {
    fn default() -> Self {
        Self {
            place: format!("{}/{}/", crate::ACCOUNT, crate::REGION),
            our_hooks: BTreeSet::new(),
            ignore_daemons: true,
            premature_allowed: BTreeSet::new(),
            operators: BTreeSet::new(),
            terminations_allowed: BTreeSet::new(),
            rollouts: BTreeMap::new(),
            must_be_active: BTreeSet::new(),
            must_be_undone: BTreeSet::new(),
            draining: draining::Draining::default(),
            drains: drains::Drains::default(),
            stops_allowed_after: None,
            expiry_allowed: BTreeSet::new(),
            replicas: 0,
            up_since: None,
            ends_unnoticed_for: Duration::ZERO,
            ended: BTreeMap::new(),
            answer_is_lost: false,
            completions_seen: 0,
            heartbeat_timeouts: BTreeMap::new(),
            record_rules: None,
            writes: None,
            violations: Vec::new(),
        }
    }
}

impl Checkers {
    /// Creates the checkers of one region.
    pub(crate) fn of(region: &str) -> Self {
        Self { place: format!("{}/{region}/", crate::ACCOUNT), ..Self::default() }
    }

    /// Names a hook of the program under test.
    pub fn our_hook(&mut self, hook: impl Into<String>) {
        self.our_hooks.insert(hook.into());
    }

    /// Permits an end of this instance's drain that does not wait: an operator ordered or
    /// configured it.
    pub fn may_be_premature(&mut self, instance_id: impl Into<String>) {
        self.premature_allowed.insert(instance_id.into());
    }

    /// Returns true if a drain of this instance may end without waiting.
    pub fn is_premature_allowed(&self, instance_id: &str) -> bool {
        self.premature_allowed.contains(instance_id)
    }

    /// Records that an operator named this instance.
    pub fn allow_operator(&mut self, instance_id: impl Into<String>) {
        self.operators.insert(instance_id.into());
    }

    /// Records that an operator ordered this instance's termination through its group.
    pub fn allow_terminate(&mut self, instance_id: impl Into<String>) {
        self.terminations_allowed.insert(instance_id.into());
    }

    /// Records that an operator ordered a rollout in this group: its desired capacity may change
    /// meanwhile, and its instances may be drained and terminated. At the end its desired capacity
    /// must be this one.
    pub fn allow_rollout(&mut self, group: impl Into<String>, desired_at_end: u32) {
        self.rollouts.insert(group.into(), desired_at_end);
    }

    fn rolls(&self, world: &World, instance: &str) -> bool {
        let group = world.autoscaling.group_of(instance);
        group.is_some_and(|group| self.rollouts.contains_key(group))
    }

    /// Permits stops of standalone tasks once their instance has been `DRAINING` for `after`. Tasks
    /// of services are ECS's to stop, always.
    pub fn allow_stop_tasks(&mut self, after: Duration) {
        self.stops_allowed_after = Some(after);
    }

    /// Requires that this instance is `ACTIVE` wherever it is registered at the end.
    pub fn must_be_active(&mut self, instance_id: impl Into<String>) {
        self.must_be_active.insert(instance_id.into());
    }

    /// Permits the hook timeout of this instance.
    pub fn may_expire(&mut self, instance_id: impl Into<String>) {
        self.expiry_allowed.insert(instance_id.into());
    }

    /// Sets the number of replicas of the program under test that are up from now on.
    pub fn set_replicas_up(&mut self, now: SimTime, replicas: usize) {
        match (self.replicas, replicas) {
            (0, 1..) => self.up_since = Some(now),
            (_, 0) => self.up_since = None,
            (1.., 1..) => {}
        }
        self.replicas = replicas;
    }

    /// Returns the violations so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn know_hook(&mut self, group: &str, hook: &str, heartbeat_timeout: Duration) {
        self.heartbeat_timeouts.insert((group.to_owned(), hook.to_owned()), heartbeat_timeout);
    }

    fn violated(&mut self, at: SimTime, checker: &'static str, instance: &str, text: String) {
        self.violations.push(Violation { at, checker, instance: instance.to_owned(), text });
    }

    /// Judges a call by the state before it.
    pub(crate) fn before(&mut self, now: SimTime, call: &Call, world: &World) {
        match (call.service, call.operation.as_str()) {
            (
                Service::AutoScaling,
                "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat",
            ) => {
                let Some(form) = call.form() else { return };
                let hook = form.get("LifecycleHookName").unwrap_or_default();
                if !self.our_hooks.contains(hook) {
                    let instance = form.get("InstanceId").unwrap_or("?").to_owned();
                    self.violated(
                        now,
                        "foreign hook touched",
                        &instance,
                        format!("{} for {hook}", call.operation),
                    );
                }
            }
            (Service::AutoScaling, "TerminateInstanceInAutoScalingGroup") => {
                let instance = call
                    .form()
                    .and_then(|form| form.get("InstanceId"))
                    .unwrap_or_default()
                    .to_owned();
                self.terminates(now, call, world, &instance);
            }
            (Service::AutoScaling, "SetDesiredCapacity") => {
                let form = call.form();
                let group = form.and_then(|form| form.get("AutoScalingGroupName"));
                let group = group.unwrap_or("?").to_owned();
                if !self.rollouts.contains_key(&group) {
                    let text = format!("{} of group {group}", call.operation);
                    self.violated(now, "foreign group resized", "-", text);
                }
            }
            (
                Service::Ecs,
                "UpdateContainerInstancesState" | "DeregisterContainerInstance" | "StopTask",
            ) => {
                let Some(body) = call.json() else { return };
                let undo = text(body, "status") == Some("ACTIVE");
                for instance in instances_named(body, world) {
                    self.touches(now, call, world, &instance, undo);
                }
                if call.operation == "StopTask" {
                    self.stops(now, body, world);
                } else if call.operation == "UpdateContainerInstancesState" {
                    self.sets_states(now, body, world);
                }
            }
            _ => {}
        }
    }

    fn touches(&mut self, now: SimTime, call: &Call, world: &World, instance: &str, undo: bool) {
        let group = world.autoscaling.group_of(instance);
        let ours = group.is_some_and(|group| {
            self.our_hooks
                .iter()
                .any(|hook| world.autoscaling.active_action(now, group, hook, instance))
        });
        // A request that was on its way when the wait ended: the instance is leaving, or has left.
        let leaving = world
            .autoscaling
            .lifecycle_state(instance)
            .is_none_or(|state| state.ends_with(":Proceed") || state.ends_with("Terminated"));
        let unnoticed =
            |at: &Option<SimTime>| at.is_some_and(|at| now < at + self.ends_unnoticed_for);
        // The wait under the program's hook ended by itself, and another hook still holds the
        // instance. No API cancels a termination: a drain that has begun may continue to its end.
        let held_on = |at: &Option<SimTime>| {
            at.is_some()
                && world.autoscaling.lifecycle_state(instance).as_deref()
                    == Some("Terminating:Wait")
        };
        let was_ours = self
            .ended
            .get(instance)
            .is_some_and(|at| undo || leaving || unnoticed(at) || held_on(at));
        let ordered = self.operators.contains(instance) || self.rolls(world, instance);
        if !ours && !was_ours && !ordered {
            let state = world
                .autoscaling
                .lifecycle_state(instance)
                .unwrap_or_else(|| "in no group".to_owned());
            let text = format!("{} while it is {state}", call.operation);
            self.violated(now, "foreign instance touched", instance, text);
        }
    }

    /// Judges a termination through the group, which only an operator can order. A repeated request
    /// for a termination in progress, or for a retained instance, is harmless.
    fn terminates(&mut self, now: SimTime, call: &Call, world: &World, instance: &str) {
        let state = world.autoscaling.lifecycle_state(instance);
        if !self.terminations_allowed.contains(instance) && !self.rolls(world, instance) {
            let state = state.as_deref().unwrap_or("in no group");
            let text = format!("{} while it is {state}", call.operation);
            self.violated(now, "foreign termination", instance, text);
        }
        let begins =
            |state: &String| !state.starts_with("Terminating") || state == "Terminating:Retained";
        let (begins, under_way) =
            (state.as_ref().is_some_and(begins), state.as_ref().is_some_and(|s| !begins(s)));
        let shrinks =
            call.form().and_then(|form| form.get("ShouldDecrementDesiredCapacity")) == Some("true");
        self.shrinks_once(now, instance, begins, under_way && shrinks);
        if begins && !self.premature_allowed.contains(instance) {
            // The group deregisters the instance from its own balancers and waits until they have
            // drained it, before hooks start. (Source: Auto Scaling user guide, "How Elastic Load
            // Balancing works with Auto Scaling".)
            let own =
                world.autoscaling.group_of(instance).map(|group| world.balancers_of_group(group));
            let own = own.unwrap_or_default();
            for reason in self.reasons(now, world, instance, |balancer| !own.contains(balancer)) {
                self.violated(now, "premature termination", instance, reason);
            }
        }
    }

    fn stops(&mut self, now: SimTime, body: &Value, world: &World) {
        let cluster = last(text(body, "cluster").unwrap_or("default"));
        let task = text(body, "task").unwrap_or_default();
        // A stop of a task that is unknown, or is stopping already, is harmless.
        let Some(service) = world.ecs.service_of_task(cluster, task) else { return };
        let drained_for =
            world.ecs.draining_since(cluster, task).map(|since| now.saturating_sub(since));
        let why = match (service, self.stops_allowed_after, drained_for) {
            (Some(service), _, _) => format!("a task of service {service}"),
            (None, None, _) => "a standalone task, never to be stopped".to_owned(),
            (None, Some(_), None) => {
                "a standalone task of an instance that is not DRAINING".to_owned()
            }
            (None, Some(after), Some(span)) if span < after => {
                format!("a standalone task, {span:?} into the draining instead of {after:?}")
            }
            (None, Some(_), Some(_)) => return,
        };
        let instance = world.ecs.ec2_of_task(cluster, task).unwrap_or("?").to_owned();
        self.violated(now, "task stopped", &instance, format!("{}: {why}", last(task)));
    }

    /// Returns the violations that only the end shows.
    pub(crate) fn left_behind(&self, now: SimTime, world: &World) -> Vec<Violation> {
        let mut left = self.not_undone(now, world);
        for (group, wanted) in &self.rollouts {
            let desired = world.autoscaling.group(group).map(|group| group.desired);
            if desired != Some(*wanted) {
                left.push(Violation {
                    at: now,
                    checker: "capacity not given back",
                    instance: "-".to_owned(),
                    text: format!("desired capacity of group {group}: {desired:?}, not {wanted}"),
                });
            }
        }
        for instance in &self.must_be_active {
            let registered = world
                .ecs
                .instances_of(instance)
                .filter(|(_, i)| i.status != InstanceStatus::Inactive);
            let registered: Vec<(&str, &'static str)> =
                registered.map(|(c, i)| (c, i.status.as_str())).collect();
            let wrong = registered.iter().filter(|(_, status)| *status != "ACTIVE");
            let mut texts: Vec<String> =
                wrong.map(|(cluster, status)| format!("{status} in {cluster}")).collect();
            if registered.is_empty() {
                texts.push("registered nowhere".to_owned());
            }
            left.extend(texts.into_iter().map(|text| Violation {
                at: now,
                checker: "DRAINING left behind",
                instance: instance.clone(),
                text,
            }));
        }
        left
    }

    /// Notes lifecycle actions that ended; `by_us`: through a call of the program under test.
    pub(crate) fn completed(&mut self, now: SimTime, world: &World, by_us: bool) {
        let completions = world.autoscaling.completions();
        let new = completions.iter().skip(self.completions_seen);
        let new: Vec<_> =
            new.filter(|completion| self.our_hooks.contains(&completion.hook)).cloned().collect();
        self.completions_seen = completions.len();
        for completion in new {
            let instance = completion.instance_id;
            if by_us && completion.how == How::Called && !self.premature_allowed.contains(&instance)
            {
                for reason in self.reasons_to_wait(now, world, &instance) {
                    self.violated(now, "premature completion", &instance, reason);
                }
            }
            let told = by_us && completion.how == How::Called && !self.answer_is_lost;
            self.ended.insert(instance, (!told).then_some(completion.at));
        }
    }

    /// Notes that a completion was answered with `No active Lifecycle Action`: from now on the
    /// program under test knows that the action has ended.
    pub(crate) fn told_it_is_over(&mut self, call: &Call) {
        let instance = call.form().and_then(|form| form.get("InstanceId")).unwrap_or_default();
        if let Some(at) = self.ended.get_mut(instance).filter(|_| !self.answer_is_lost) {
            *at = None;
        }
    }

    /// Returns the reasons to keep the instance: the containers that truly run there, and the
    /// connections that truly lead there.
    ///
    /// Orphaned containers of services do not count by themselves: after a forced deregistration
    /// they run for ever, and only the traffic that they still get matters.
    pub(crate) fn reasons_to_wait(
        &self,
        now: SimTime,
        world: &World,
        instance: &str,
    ) -> Vec<String> {
        self.reasons(now, world, instance, |_| true)
    }

    /// Returns the reasons to keep the instance, for the balancers that count.
    fn reasons(
        &self,
        now: SimTime,
        world: &World,
        instance: &str,
        counts: impl Fn(&String) -> bool,
    ) -> Vec<String> {
        let containers = world.ecs.containers_running(instance);
        let mut reasons: Vec<String> = containers
            .iter()
            .filter(|container| !(self.ignore_daemons && container.daemon))
            .filter(|container| !(container.orphaned && container.service.is_some()))
            .map(|container| {
                let owner = container
                    .service
                    .as_deref()
                    .map_or("standalone".to_owned(), |s| format!("service {s}"));
                format!(
                    "task {} ({owner}) runs, ECS says {}",
                    container.task, container.last_status
                )
            })
            .collect();
        let connections = world.elb.connections(now, instance, &world.ecs.addresses(instance));
        // Traffic to a daemon that may be ignored is still a connection: the promise has no
        // exception for it.
        let connections = connections.iter().filter(|c| counts(&c.balancer));
        reasons.extend(connections.map(|c| format!("{} still serves {}", c.balancer, c.target)));
        reasons
    }

    /// Judges an action that timed out. An action that is being completed may time out: nothing is
    /// left to hold the instance for.
    pub(crate) fn timed_out(&mut self, now: SimTime, group: &str, hook: &str, instance: &str) {
        let timeout = self.heartbeat_timeouts.get(&(group.to_owned(), hook.to_owned())).copied();
        let timeout = timeout.unwrap_or(Duration::from_secs(3600));
        let up = self.up_since.is_some_and(|since| now.saturating_sub(since) >= timeout);
        if up
            && self.our_hooks.contains(hook)
            && !(self.expiry_allowed.contains(instance) || self.is_being_completed(instance))
        {
            let text = format!("{hook} of {group} ran out of time while a replica was up");
            self.violated(now, "hook expired", instance, text);
        }
    }
}

/// Returns the last part of an ARN, or the id or name itself.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Returns the EC2 instances that an ECS call changes.
pub(crate) fn instances_named(body: &Value, world: &World) -> BTreeSet<String> {
    let cluster = last(text(body, "cluster").unwrap_or("default"));
    let mut container_instances = texts(body, "containerInstances");
    container_instances.extend(text(body, "containerInstance"));
    let named =
        container_instances.into_iter().filter_map(|id| world.ecs.ec2_of_instance(cluster, id));
    let by_task = text(body, "task").and_then(|task| world.ecs.ec2_of_task(cluster, task));
    named.chain(by_task).map(str::to_owned).collect()
}
