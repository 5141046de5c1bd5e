//! Elastic Load Balancing, both generations: target groups (ALB, NLB) and classic load balancers.
//!
//! The state of a target is never stored: it follows from the moments at which it was registered
//! and deregistered, and from the fate of its instance. So `advance` only removes old entries, and
//! every question names its moment.
//!
//! The answers of the APIs ([`LoadBalancing::handle_v2`], [`LoadBalancing::handle_classic`]) and
//! the truth ([`LoadBalancing::connections`]) are kept apart: a Network Load Balancer, for example,
//! still delivers connections for a while to a target that its API no longer lists.

mod classic;
mod classic_api;
mod health;
mod target_group;
#[cfg(test)]
mod tests;
mod v2_api;

use crate::SimTime;
use classic::Classic;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use target_group::TargetGroup;

pub use health::Health;

/// The kind of the load balancer in front of a target group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetGroupKind {
    /// An Application Load Balancer: HTTP.
    #[default]
    Application,
    /// A Network Load Balancer: TCP.
    Network,
}

/// The kind of identifier that a target group has for its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetType {
    /// By EC2 instance id.
    #[default]
    Instance,
    /// By IP address, as tasks in network mode `awsvpc` are.
    Ip,
}

/// A target group to create, together with the load balancer in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupSpec {
    /// The target group's name.
    pub name: String,
    /// The kind of its load balancer.
    pub kind: TargetGroupKind,
    /// The kind of identifier of its targets.
    pub target_type: TargetType,
    /// The port of targets that are registered without one.
    pub port: u16,
    /// `deregistration_delay.timeout_seconds`: 0 to 3600 s, by default 300 s. Source: ELBv2 API
    /// reference, TargetGroupAttribute.
    pub deregistration_delay: Duration,
    /// The time that a new target is `initial` before its health checks report `healthy`.
    pub initial_time: Duration,
    /// True if a listener forwards to the group. A group without one answers `unused`,
    /// `Target.NotInUse` for targets that are still registered.
    pub attached: bool,
    /// For a Network Load Balancer: the time after a deregistration during which connections may
    /// still arrive, whatever the delay and the displayed state. AWS advises 120 s or more. Source:
    /// Network Load Balancer guide, "Edit target group attributes"; field reports in
    /// aws/containers-roadmap#470.
    pub settle_time: Option<Duration>,
}

impl Default for TargetGroupSpec {
    fn default() -> Self {
        Self {
            name: "targets".to_owned(),
            kind: TargetGroupKind::Application,
            target_type: TargetType::Instance,
            port: 80,
            deregistration_delay: Duration::from_secs(300),
            initial_time: Duration::from_secs(10),
            attached: true,
            settle_time: None,
        }
    }
}

/// A classic load balancer to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicSpec {
    /// The load balancer's name.
    pub name: String,
    /// `ConnectionDraining`: its timeout (1 to 3600 s) if it is enabled. Without it connections are
    /// cut at once. Source: Classic Load Balancer guide, "Configure connection draining".
    pub connection_draining: Option<Duration>,
}

/// One target of a target group: an instance or address, and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// An EC2 instance id or an IP address, as the group's target type says.
    pub id: String,
    /// The port.
    pub port: u16,
}

/// A balancer that sends traffic to a target, or lets earlier connections finish there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// The name of the target group or classic load balancer.
    pub balancer: String,
    /// The target: `i-0abc:80` or `10.0.0.5:80`; for a classic load balancer the instance id.
    pub target: String,
}

/// The fate of an EC2 instance, as load balancers notice it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Running,
    Stopped,
    Terminated,
}

/// A target to check again at a moment; without one, only a moment at which some state changes.
type Appointment = Option<(String, Target)>;

/// All load balancers of one account and region.
#[derive(Clone, Debug)]
pub struct LoadBalancing {
    /// The largest page of a paged answer; AWS's own limit is 400.
    pub page_size: usize,
    /// True if DescribeLoadBalancers of the classic API still lists an instance whose connections
    /// drain. AWS's guide advises to verify a deregistration by its absence there, but does not say
    /// when that begins.
    pub classic_lists_draining: bool,
    region: String,
    start: Timestamp,
    groups: BTreeMap<String, TargetGroup>,
    classics: BTreeMap<String, Classic>,
    fates: BTreeMap<String, Fate>,
    agenda: BTreeMap<SimTime, Vec<Appointment>>,
}

impl LoadBalancing {
    /// Creates a region without load balancers. `start` is the wall time of the world's beginning.
    pub fn new(region: &str, start: Timestamp) -> Self {
        Self {
            page_size: 400,
            classic_lists_draining: true,
            region: region.to_owned(),
            start,
            groups: BTreeMap::new(),
            classics: BTreeMap::new(),
            fates: BTreeMap::new(),
            agenda: BTreeMap::new(),
        }
    }

    /// Creates a target group, with a load balancer of its own where it is attached. Returns the
    /// group's ARN.
    pub fn add_target_group(&mut self, spec: TargetGroupSpec) -> String {
        let group = TargetGroup::new(&self.region, spec);
        let arn = group.arn.clone();
        self.groups.insert(arn.clone(), group);
        arn
    }

    /// Creates a classic load balancer.
    pub fn add_classic(&mut self, spec: ClassicSpec) {
        self.classics.insert(spec.name.clone(), Classic::new(spec));
    }

    /// Returns the ARN of the target group with this name.
    pub fn arn_of(&self, name: &str) -> Option<String> {
        self.groups.values().find(|group| group.spec.name == name).map(|group| group.arn.clone())
    }

    /// Returns the name of the target group with this ARN.
    pub fn name_of(&self, arn: &str) -> Option<&str> {
        self.groups.get(arn).map(|group| group.spec.name.as_str())
    }

    /// Registers a target. A registered target stays as it is; a draining one is registered anew.
    ///
    /// An unknown group is ignored, as ECS ignores a group that was deleted under it.
    pub fn register_target(&mut self, now: SimTime, tg_arn: &str, target: Target) {
        let fate = self.fates.get(&target.id).copied().unwrap_or_default();
        let Some(group) = self.groups.get_mut(tg_arn) else { return };
        if group.register(now, &target, fate) {
            let healthy_at = now + group.spec.initial_time;
            self.note(healthy_at, Some((tg_arn.to_owned(), target)));
        }
    }

    /// Deregisters a target; its connections drain for the group's delay. An unknown target is a
    /// success. Source: ELBv2 API reference, DeregisterTargets.
    pub fn deregister_target(&mut self, now: SimTime, tg_arn: &str, target: &Target) {
        let Some(group) = self.groups.get_mut(tg_arn) else { return };
        for at in group.deregister(now, target) {
            self.note(at, Some((tg_arn.to_owned(), target.clone())));
        }
    }

    /// Returns true if a target is neither registered nor draining, as an unfiltered
    /// DescribeTargetHealth would show. A deleted group has no targets.
    pub fn is_gone(&self, now: SimTime, tg_arn: &str, target: &Target) -> bool {
        self.groups.get(tg_arn).is_none_or(|group| !group.lists(now, target))
    }

    /// Returns true if a target is `healthy`.
    pub fn is_healthy(&self, now: SimTime, tg_arn: &str, target: &Target) -> bool {
        self.groups.get(tg_arn).is_some_and(|group| group.health(now, target) == Health::Healthy)
    }

    /// Returns true if a registered target fails its health checks.
    pub fn fails_health_checks(&self, now: SimTime, tg_arn: &str, target: &Target) -> bool {
        self.groups
            .get(tg_arn)
            .is_some_and(|group| group.health(now, target) == Health::FailedHealthChecks)
    }

    /// Lets the health checks of a registered target fail, or pass again.
    pub fn set_unhealthy(&mut self, tg_arn: &str, target: &Target, unhealthy: bool) {
        if let Some(group) = self.groups.get_mut(tg_arn) {
            group.set_unhealthy(target, unhealthy);
        }
    }

    /// Deletes a target group with its targets. Returns false if there was no such group.
    pub fn delete_target_group(&mut self, tg_arn: &str) -> bool {
        self.groups.remove(tg_arn).is_some()
    }

    /// Deletes a classic load balancer. Returns false if there was none.
    pub fn delete_classic(&mut self, name: &str) -> bool {
        self.classics.remove(name).is_some()
    }

    /// Registers an instance with a classic load balancer. An unknown one is ignored.
    pub fn register_classic(&mut self, now: SimTime, name: &str, instance: &str) {
        let fate = self.fates.get(instance).copied().unwrap_or_default();
        let Some(classic) = self.classics.get_mut(name) else { return };
        if let Some(at) = classic.register(now, instance, fate) {
            self.note(at, None);
        }
    }

    /// Deregisters an instance from a classic load balancer; its connections drain if draining is
    /// enabled.
    pub fn deregister_classic(&mut self, now: SimTime, name: &str, instance: &str) {
        let Some(classic) = self.classics.get_mut(name) else { return };
        if let Some(at) = classic.deregister(now, instance) {
            self.note(at, None);
        }
    }

    /// Returns true if a classic load balancer neither has nor drains an instance.
    pub fn classic_is_gone(&self, now: SimTime, name: &str, instance: &str) -> bool {
        self.classics.get(name).is_none_or(|classic| !classic.holds(now, instance))
    }

    /// Forgets entries that have ended. States follow from the time alone, so nothing else happens
    /// here.
    pub fn advance(&mut self, now: SimTime) {
        while let Some(entry) = self.agenda.first_entry()
            && *entry.key() <= now
        {
            for appointment in entry.remove() {
                if let Some((arn, target)) = appointment
                    && let Some(group) = self.groups.get_mut(&arn)
                {
                    group.tidy(now, &target);
                }
            }
        }
    }

    /// Returns the next moment after `now` at which some state changes by itself.
    pub fn next_event(&self, now: SimTime) -> Option<SimTime> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.agenda.range((Excluded(now), Unbounded)).next().map(|(at, _)| *at)
    }

    /// Returns every balancer that truly still sends traffic to this instance or one of these
    /// addresses, or lets connections finish there.
    ///
    /// A registered target counts whatever its health: groups fail open when too few targets are
    /// healthy. A group that no listener uses, and a stopped or terminated instance, get no
    /// traffic.
    pub fn connections(&self, now: SimTime, instance_id: &str, ips: &[String]) -> Vec<Connection> {
        let mut connections = Vec::new();
        for group in self.groups.values() {
            for id in std::iter::once(instance_id).chain(ips.iter().map(String::as_str)) {
                connections.extend(group.carrying(now, id).map(|target| Connection {
                    balancer: group.spec.name.clone(),
                    target: format!("{}:{}", target.id, target.port),
                }));
            }
        }
        for (name, classic) in &self.classics {
            if classic.carries(now, instance_id) {
                connections
                    .push(Connection { balancer: name.clone(), target: instance_id.to_owned() });
            }
        }
        connections
    }

    /// Notes that the instance was stopped; its targets stay registered.
    pub fn instance_stopped(&mut self, now: SimTime, instance_id: &str, ips: &[String]) {
        self.set_fate(now, instance_id, ips, Fate::Stopped);
    }

    /// Notes that the instance was terminated, with its network interfaces.
    pub fn instance_gone(&mut self, now: SimTime, instance_id: &str, ips: &[String]) {
        self.set_fate(now, instance_id, ips, Fate::Terminated);
    }

    /// Notes that the instance runs again after a stop, as one that leaves a warm pool does.
    pub fn instance_started(&mut self, now: SimTime, instance_id: &str, ips: &[String]) {
        self.set_fate(now, instance_id, ips, Fate::Running);
    }

    fn set_fate(&mut self, now: SimTime, instance_id: &str, ips: &[String], fate: Fate) {
        self.fates.insert(instance_id.to_owned(), fate);
        for group in self.groups.values_mut() {
            group.set_fate(now, instance_id, fate);
            for ip in ips {
                group.set_reachable(ip, fate == Fate::Running);
            }
        }
        for classic in self.classics.values_mut() {
            classic.set_fate(instance_id, fate);
        }
    }

    fn note(&mut self, at: SimTime, appointment: Appointment) {
        self.agenda.entry(at).or_default().push(appointment);
    }
}
