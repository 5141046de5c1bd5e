//! Did the program under test keep its promises? Judged by the true world: containers and
//! connections, never by what the APIs say.
//!
//! | checker | a violation is |
//! | --- | --- |
//! | premature completion | its `CompleteLifecycleAction` ended an action while a container that matters ran on the instance, or a balancer still sent or drained traffic there |
//! | foreign hook touched | it completed, or sent a heartbeat to, a hook that is not ours |
//! | foreign instance touched | it drained or deregistered an instance, or stopped a task there, that waits under no hook of ours and that no operator named |
//! | task stopped | it stopped a service's task, or a standalone one that it was not allowed to stop, or too early |
//! | foreign termination | it terminated an instance through its group without having been allowed to |
//! | terminated twice | it asked a group to terminate an instance, and to want one less, while the group did so at its request |
//! | premature termination | it did so while a container that matters ran there, or a balancer still sent or drained traffic there |
//! | DRAINING left behind | at the end, an instance that must be `ACTIVE` is not, or one whose `DRAINING` must be undone is not |
//! | foreign DRAINING undone | it set an instance to `ACTIVE` that someone else had set to `DRAINING` |
//! | hook expired | an action of our hook ran out of time although a replica was up for a whole heartbeat timeout |
//!
//! And, where [`Checkers::records`] says what its records look like, by what stands in its table:
//!
//! | checker | a violation is |
//! | --- | --- |
//! | illegal phase move | a write moved a record to a phase that may not follow the one it had |
//! | version going back | a write did not count the version up by one; a generation went back, was left out, or began before the last one had ended |
//! | record deleted | it deleted a record |
//! | unsaved completion | it sent `CompleteLifecycleAction` while the record did not say that it was about to |
//! | wrong result sent | the record said so, with another result |
//! | unsaved act | it sent another call that its record must have noted first, and had not |
//! | paused, and touched | it changed something of an instance whose drain had been paused for more than two minutes |
//! | more than the budget | a drain began while as many of its kind went on in its cluster as may |
//! | opened again | a drain was opened again for a lifecycle action, and no action of our hook held the instance |

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
    /// When.
    pub at: SimTime,
    /// Which promise.
    pub checker: &'static str,
    /// The EC2 instance, or what is known of it.
    pub instance: String,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} {}", clock(self.at), self.checker, self.instance, self.text)
    }
}

/// The checkers and what they were told.
#[derive(Clone, Debug)]
pub struct Checkers {
    /// What the keys of records begin with whose instances are here, not in another account or
    /// region.
    place: String,
    /// The hooks that the program under test may complete.
    pub our_hooks: BTreeSet<String>,
    /// Whether daemon tasks may still run at a completion.
    pub ignore_daemons: bool,
    premature_allowed: BTreeSet<String>,
    operators: BTreeSet<String>,
    terminations_allowed: BTreeSet<String>,
    must_be_active: BTreeSet<String>,
    must_be_undone: BTreeSet<String>,
    draining: draining::Draining,
    drains: drains::Drains,
    /// Standalone tasks may be stopped once their instance has been `DRAINING` for so long; `None`:
    /// never.
    stops_allowed_after: Option<Duration>,
    expiry_allowed: BTreeSet<String>,
    replicas: usize,
    up_since: Option<SimTime>,
    /// How long the program under test may go on believing that an action of our hook holds an
    /// instance after the hook was deleted, or the action ran out of time: nobody is told of
    /// either. An instance that leaves, that another's hook holds on in its termination, or that is
    /// made `ACTIVE` again, may be touched at any time. None unless said.
    pub ends_unnoticed_for: Duration,
    /// Instances whose action under one of our hooks has ended; and when it did, if the program
    /// under test was not told: without a completion of its own, or with one whose answer was lost.
    ended: BTreeMap<String, Option<SimTime>>,
    /// Whether the answer to the call that is carried out is lost.
    pub(crate) answer_is_lost: bool,
    completions_seen: usize,
    heartbeat_timeouts: BTreeMap<(String, String), Duration>,
    record_rules: Option<RecordRules>,
    /// Every write of a record that was applied, where they are kept.
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
    /// Those of one region.
    pub(crate) fn of(region: &str) -> Self {
        Self { place: format!("{}/{region}/", crate::ACCOUNT), ..Self::default() }
    }

    /// Names a hook as ours.
    pub fn our_hook(&mut self, hook: impl Into<String>) {
        self.our_hooks.insert(hook.into());
    }

    /// An operator ordered or configured an ending that need not wait for this instance.
    pub fn may_be_premature(&mut self, instance_id: impl Into<String>) {
        self.premature_allowed.insert(instance_id.into());
    }

    /// Whether it was said of this instance that its ending need not wait.
    pub fn is_premature_allowed(&self, instance_id: &str) -> bool {
        self.premature_allowed.contains(instance_id)
    }

    /// An operator named this instance.
    pub fn allow_operator(&mut self, instance_id: impl Into<String>) {
        self.operators.insert(instance_id.into());
    }

    /// An operator ordered that this instance be terminated through its group.
    pub fn allow_terminate(&mut self, instance_id: impl Into<String>) {
        self.terminations_allowed.insert(instance_id.into());
    }

    /// Standalone tasks may be stopped once their instance has been `DRAINING` for so long. Tasks
    /// of services are ECS's to stop, always.
    pub fn allow_stop_tasks(&mut self, after: Duration) {
        self.stops_allowed_after = Some(after);
    }

    /// At the end this instance must be `ACTIVE` wherever it is registered.
    pub fn must_be_active(&mut self, instance_id: impl Into<String>) {
        self.must_be_active.insert(instance_id.into());
    }

    /// This instance is left to its hook's timeout on purpose.
    pub fn may_expire(&mut self, instance_id: impl Into<String>) {
        self.expiry_allowed.insert(instance_id.into());
    }

    /// Says how many replicas of the program under test are up from now on.
    pub fn set_replicas_up(&mut self, now: SimTime, replicas: usize) {
        match (self.replicas, replicas) {
            (0, 1..) => self.up_since = Some(now),
            (_, 0) => self.up_since = None,
            (1.., 1..) => {}
        }
        self.replicas = replicas;
    }

    /// What was broken so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn know_hook(&mut self, group: &str, hook: &str, heartbeat_timeout: Duration) {
        self.heartbeat_timeouts.insert((group.to_owned(), hook.to_owned()), heartbeat_timeout);
    }

    fn violated(&mut self, at: SimTime, checker: &'static str, instance: &str, text: String) {
        self.violations.push(Violation { at, checker, instance: instance.to_owned(), text });
    }

    /// Judges what a call is about to touch.
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
        // Our wait ended by itself, and another's hook holds the instance on. No API calls a
        // termination back: a drain that has begun may go on to its end.
        let held_on = |at: &Option<SimTime>| {
            at.is_some()
                && world.autoscaling.lifecycle_state(instance).as_deref()
                    == Some("Terminating:Wait")
        };
        let was_ours = self
            .ended
            .get(instance)
            .is_some_and(|at| undo || leaving || unnoticed(at) || held_on(at));
        if !ours && !was_ours && !self.operators.contains(instance) {
            let state = world
                .autoscaling
                .lifecycle_state(instance)
                .unwrap_or_else(|| "in no group".to_owned());
            let text = format!("{} while it is {state}", call.operation);
            self.violated(now, "foreign instance touched", instance, text);
        }
    }

    /// A termination through the group is an operator's to order. One that is under way already, or
    /// a retained instance's end, is asked for again without harm.
    fn terminates(&mut self, now: SimTime, call: &Call, world: &World, instance: &str) {
        let state = world.autoscaling.lifecycle_state(instance);
        if !self.terminations_allowed.contains(instance) {
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
            // The group leaves its own balancers and waits until they have drained the instance,
            // before it goes on. (Source: Auto Scaling user guide, "How Elastic Load Balancing
            // works with Auto Scaling".)
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
        // One that is unknown, or stops already, is stopped again without harm.
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

    /// What only the end shows.
    pub(crate) fn left_behind(&self, now: SimTime, world: &World) -> Vec<Violation> {
        let mut left = self.not_undone(now, world);
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

    /// Takes note of lifecycle actions that ended; `by_us`: through a call of the program under
    /// test.
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

    /// A completion is answered with `No active Lifecycle Action`: now the program under test knows
    /// that it is over.
    pub(crate) fn told_it_is_over(&mut self, call: &Call) {
        let instance = call.form().and_then(|form| form.get("InstanceId")).unwrap_or_default();
        if let Some(at) = self.ended.get_mut(instance).filter(|_| !self.answer_is_lost) {
            *at = None;
        }
    }

    /// Why the instance must not go: what truly runs there, and what is truly sent there.
    ///
    /// Orphaned containers of services do not count by themselves: a forced deregistration leaves
    /// them running for ever, and what matters is the traffic that they still get.
    pub(crate) fn reasons_to_wait(
        &self,
        now: SimTime,
        world: &World,
        instance: &str,
    ) -> Vec<String> {
        self.reasons(now, world, instance, |_| true)
    }

    /// The same, for the balancers that count.
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
        // Traffic to a daemon that may be ignored is a connection all the same: the promise knows
        // no exception there.
        let connections = connections.iter().filter(|c| counts(&c.balancer));
        reasons.extend(connections.map(|c| format!("{} still serves {}", c.balancer, c.target)));
        reasons
    }

    /// An action ran out of time. One that is being completed may: nothing is left then that it
    /// should hold the instance for.
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

/// The last part of an ARN, or the id or name itself.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The EC2 instances that an ECS call changes.
pub(crate) fn instances_named(body: &Value, world: &World) -> BTreeSet<String> {
    let cluster = last(text(body, "cluster").unwrap_or("default"));
    let mut container_instances = texts(body, "containerInstances");
    container_instances.extend(text(body, "containerInstance"));
    let named =
        container_instances.into_iter().filter_map(|id| world.ecs.ec2_of_instance(cluster, id));
    let by_task = text(body, "task").and_then(|task| world.ecs.ec2_of_task(cluster, task));
    named.chain(by_task).map(str::to_owned).collect()
}
