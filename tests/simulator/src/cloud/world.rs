//! ECS, load balancing and Auto Scaling together, and their effects on each other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::BEGIN;
use crate::SimTime;
use crate::autoscaling::{AutoScaling, Effect};
use crate::checker::Checkers;
use crate::ecs::Ecs;
use crate::elb::{LoadBalancing, Target, TargetGroupSpec};
use crate::events::Notice;
use crate::wire::{ApiError, Body, Call, Service};

/// One account and region.
#[derive(Clone, Debug)]
pub struct World {
    /// Amazon ECS.
    pub ecs: Ecs,
    /// Elastic Load Balancing.
    pub elb: LoadBalancing,
    /// EC2 Auto Scaling.
    pub autoscaling: AutoScaling,
    /// The default ports of target groups, by ARN: a group's own instances are registered on them.
    ports: BTreeMap<String, u16>,
    /// Instances that the balancers attached to their group are draining.
    leaving: Vec<Leaving>,
    /// Instances whose agents will register, by the moment, with their groups.
    booting: BTreeSet<(SimTime, String, String)>,
}

#[derive(Clone, Debug)]
struct Leaving {
    instance: String,
    targets: Vec<(String, Target)>,
    classics: Vec<String>,
}

/// An instance that was terminated while something that matters ran there or was sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The moment.
    pub at: SimTime,
    /// The EC2 instance.
    pub instance: String,
    /// The containers and connections that were lost.
    pub text: String,
}

/// The events of a step that the cloud counts.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) losses: Vec<Loss>,
    pub(super) terminated: Vec<String>,
}

impl World {
    /// Creates an empty world; `start` is the wall time at [`SimTime`] zero.
    pub fn new(account: &str, region: &str, start: Timestamp, seed: u64) -> Self {
        Self {
            ecs: Ecs::new(account, region, start, BEGIN, seed.wrapping_add(1)),
            elb: LoadBalancing::new(region, start),
            autoscaling: AutoScaling::new(region, start, seed.wrapping_add(2)),
            ports: BTreeMap::new(),
            leaving: Vec::new(),
            booting: BTreeSet::new(),
        }
    }

    pub(super) fn add_target_group(&mut self, spec: TargetGroupSpec) -> String {
        let port = spec.port;
        let arn = self.elb.add_target_group(spec);
        self.ports.insert(arn.clone(), port);
        arn
    }

    pub(super) fn next_event(&self, now: SimTime) -> Option<SimTime> {
        let booted = self.booting.first().map(|(at, ..)| *at);
        let events = [
            self.ecs.next_event(),
            self.elb.next_event(now),
            self.autoscaling.next_event(now),
            booted,
        ];
        events.into_iter().flatten().min()
    }

    /// Applies all changes that are due at this moment.
    pub(super) fn step(&mut self, now: SimTime, checkers: &mut Checkers) -> Happened {
        let mut happened = Happened::default();
        // An effect can cause the next one at the same moment.
        loop {
            let effects = self.autoscaling.advance(now);
            if effects.is_empty() {
                break;
            }
            checkers.completed(now, self, false);
            for effect in effects {
                self.apply(now, effect, checkers, &mut happened);
            }
        }
        while self.booting.first().is_some_and(|(at, ..)| *at <= now)
            && let Some((_, group, instance_id)) = self.booting.pop_first()
        {
            self.register(now, &group, &instance_id);
        }
        self.elb.advance(now);
        self.ecs.advance(now, &mut self.elb);
        self.let_go(now);
        happened
    }

    /// Takes the notices of all services since the last call, in order.
    pub(super) fn take_notices(&mut self, now: SimTime) -> Vec<Notice> {
        let mut notices = self.autoscaling.take_notices();
        notices.extend(self.ecs.take_notices(now));
        notices
    }

    fn apply(
        &mut self,
        now: SimTime,
        effect: Effect,
        checkers: &mut Checkers,
        happened: &mut Happened,
    ) {
        match effect {
            Effect::Launched { group, instance_id } => self.launched(now, &group, &instance_id),
            Effect::Stopped { instance_id, .. } => {
                self.elb.instance_stopped(now, &instance_id, &self.ecs.addresses(&instance_id));
                self.ecs.ec2_stopped(&instance_id);
            }
            Effect::RootVolumeReplaced { instance_id, .. } => {
                // The agent's state was on that volume: the instance comes back as another
                // container instance.
                self.ecs.ec2_gone(now, &instance_id);
            }
            Effect::Terminated { instance_id, .. } => {
                let reasons = checkers.reasons_to_wait(now, self, &instance_id);
                happened.losses.extend(reasons.into_iter().map(|text| Loss {
                    at: now,
                    instance: instance_id.clone(),
                    text,
                }));
                self.elb.instance_gone(now, &instance_id, &self.ecs.addresses(&instance_id));
                self.ecs.ec2_gone(now, &instance_id);
                happened.terminated.push(instance_id);
            }
            Effect::JoinBalancers { instance_id, target_group_arns, classic_names, .. } => {
                for (arn, target) in self.targets(&instance_id, &target_group_arns) {
                    self.elb.register_target(now, &arn, target);
                }
                for name in &classic_names {
                    self.elb.register_classic(now, name, &instance_id);
                }
            }
            Effect::LeaveBalancers { instance_id, target_group_arns, classic_names, .. } => {
                let targets = self.targets(&instance_id, &target_group_arns);
                for (arn, target) in &targets {
                    self.elb.deregister_target(now, arn, target);
                }
                for name in &classic_names {
                    self.elb.deregister_classic(now, name, &instance_id);
                }
                self.leaving.push(Leaving {
                    instance: instance_id,
                    targets,
                    classics: classic_names,
                });
            }
            Effect::HookTimedOut { group, hook, instance_id, .. } => {
                checkers.timed_out(now, &group, &hook, &instance_id);
            }
        }
    }

    /// Lets the agent of a launched instance register, now or later; the agent of an instance that
    /// was only stopped connects again.
    fn launched(&mut self, now: SimTime, group: &str, instance_id: &str) {
        self.elb.instance_started(now, instance_id, &self.ecs.addresses(instance_id));
        let Some(spec) = self.autoscaling.group(group) else { return };
        let Some(cluster) = &spec.cluster else { return };
        let known = self
            .ecs
            .instances_of(instance_id)
            .any(|(name, instance)| name == cluster && instance.stopped);
        let Some(image) = self.autoscaling.image_of(instance_id) else { return };
        if known {
            self.ecs.ec2_started(now, &mut self.elb, instance_id);
        } else if image.registers && image.registration_time.is_zero() {
            self.register(now, group, instance_id);
        } else if image.registers {
            let at = now + image.registration_time;
            self.booting.insert((at, group.to_owned(), instance_id.to_owned()));
        }
    }

    /// Registers the agent of an instance with the cluster of its group, unless the instance has
    /// ended meanwhile.
    fn register(&mut self, now: SimTime, group: &str, instance_id: &str) {
        let Some(spec) = self.autoscaling.group(group) else { return };
        let Some(image) = self.autoscaling.image_of(instance_id) else { return };
        let Some(cluster) = spec.cluster.clone() else { return };
        let (cpu, memory) = (spec.instance_cpu, spec.instance_memory);
        let mut attributes = spec.attributes.clone();
        attributes.insert("ecs.ami-id".to_owned(), image.ami_id.clone());
        let zone = self.autoscaling.zone_of(instance_id).unwrap_or("us-east-1a");
        attributes.insert("ecs.availability-zone".to_owned(), zone.to_owned());
        let (provider, agent) = (spec.capacity_provider.clone(), image.agent_version.clone());
        self.ecs.register_instance(now, &cluster, instance_id, cpu, memory);
        for (name, value) in &attributes {
            self.ecs.set_attribute(instance_id, name, value);
        }
        self.ecs.set_agent_version(instance_id, &agent);
        if let Some(provider) = provider {
            self.ecs.set_capacity_provider(instance_id, &provider);
        }
    }

    /// Reports to Auto Scaling the instances that their group's own balancers have drained.
    fn let_go(&mut self, now: SimTime) {
        let Self { elb, autoscaling, leaving, .. } = self;
        leaving.retain(|left| {
            let gone = left.targets.iter().all(|(arn, target)| elb.is_gone(now, arn, target))
                && left.classics.iter().all(|name| elb.classic_is_gone(now, name, &left.instance));
            if gone {
                autoscaling.balancers_left(now, &left.instance);
            }
            !gone
        });
    }

    /// Returns the names of the balancers that are attached to a group itself.
    pub(crate) fn balancers_of_group(&self, group: &str) -> Vec<String> {
        let Some(spec) = self.autoscaling.group(group) else { return Vec::new() };
        let target_groups = spec.target_group_arns.iter().filter_map(|arn| self.elb.name_of(arn));
        target_groups.map(str::to_owned).chain(spec.classic_names.iter().cloned()).collect()
    }

    fn targets(&self, instance: &str, arns: &[String]) -> Vec<(String, Target)> {
        let target = |arn: &String| {
            let port = self.ports.get(arn).copied().unwrap_or(80);
            (arn.clone(), Target { id: instance.to_owned(), port })
        };
        arns.iter().map(target).collect()
    }

    /// Ends an instance that no one asked to terminate.
    pub(super) fn kill(&mut self, now: SimTime, instance_id: &str) {
        self.elb.instance_gone(now, instance_id, &self.ecs.addresses(instance_id));
        self.ecs.ec2_gone(now, instance_id);
        self.autoscaling.ec2_terminated(now, instance_id);
    }

    /// Returns one call's answer: JSON, or the XML inside the result element.
    pub(super) fn answer(&mut self, now: SimTime, call: &Call) -> Result<String, ApiError> {
        let Some(size) = call.page_size else { return self.dispatch(now, call) };
        let usual = self.swap_page_sizes([size; 3]);
        let answer = self.dispatch(now, call);
        self.swap_page_sizes(usual);
        answer
    }

    /// Sets the page sizes of all services and returns the earlier ones.
    fn swap_page_sizes(&mut self, sizes: [usize; 3]) -> [usize; 3] {
        let [ecs, elb, autoscaling] = sizes;
        [
            std::mem::replace(&mut self.ecs.page_size, ecs),
            std::mem::replace(&mut self.elb.page_size, elb),
            std::mem::replace(&mut self.autoscaling.page_size, autoscaling),
        ]
    }

    fn dispatch(&mut self, now: SimTime, call: &Call) -> Result<String, ApiError> {
        match (&call.body, call.service) {
            (Body::Json(body), Service::Ecs) => self
                .ecs
                .handle(now, &mut self.elb, &call.operation, body)
                .map(|answer| answer.to_string()),
            (Body::Form(params), Service::AutoScaling) => {
                self.autoscaling.handle(now, &call.operation, params)
            }
            (Body::Form(params), Service::ElbV2) => {
                self.elb.handle_v2(now, &call.operation, params)
            }
            (Body::Form(params), Service::ElbClassic) => {
                self.elb.handle_classic(now, &call.operation, params)
            }
            _ => Err(ApiError::unknown_action(&call.operation)),
        }
    }
}
