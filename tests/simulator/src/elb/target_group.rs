//! One target group and its registrations.

use super::{Fate, Health, Target, TargetGroupKind, TargetGroupSpec, TargetType};
use crate::{ACCOUNT, SimTime};
use std::collections::BTreeMap;

/// A target group.
#[derive(Clone, Debug)]
pub(super) struct TargetGroup {
    pub(super) arn: String,
    pub(super) load_balancer_arn: String,
    pub(super) spec: TargetGroupSpec,
    targets: BTreeMap<Target, Registration>,
}

/// A target's time in the group, from which its state at any moment follows.
#[derive(Clone, Debug)]
struct Registration {
    registered_at: SimTime,
    deregistered_at: Option<SimTime>,
    unhealthy: bool,
    reachable: bool,
    fate: Fate,
}

impl TargetGroup {
    pub(super) fn new(region: &str, spec: TargetGroupSpec) -> Self {
        let family = match spec.kind {
            TargetGroupKind::Application => "app",
            TargetGroupKind::Network => "net",
        };
        let prefix = format!("arn:aws:elasticloadbalancing:{region}:{ACCOUNT}");
        let balancer = format!("{}-lb", spec.name);
        Self {
            arn: format!("{prefix}:targetgroup/{}/{:016x}", spec.name, fingerprint(&spec.name)),
            load_balancer_arn: format!(
                "{prefix}:loadbalancer/{family}/{balancer}/{:016x}",
                fingerprint(&balancer)
            ),
            spec,
            targets: BTreeMap::new(),
        }
    }

    /// Returns the name of the load balancer in front of the group.
    pub(super) fn load_balancer_name(&self) -> String {
        format!("{}-lb", self.spec.name)
    }

    /// Registers a target; returns false if it is registered already.
    pub(super) fn register(&mut self, now: SimTime, target: &Target, fate: Fate) -> bool {
        let fate = match self.spec.target_type {
            TargetType::Instance => fate,
            TargetType::Ip => Fate::Running,
        };
        if self
            .targets
            .get(target)
            .is_some_and(|registration| registration.deregistered_at.is_none())
        {
            return false;
        }
        let registration = Registration {
            registered_at: now,
            deregistered_at: None,
            unhealthy: false,
            reachable: true,
            fate,
        };
        self.targets.insert(target.clone(), registration);
        true
    }

    /// Deregisters a target. Returns the moments of the changes that follow.
    pub(super) fn deregister(&mut self, now: SimTime, target: &Target) -> Vec<SimTime> {
        let delay = self.spec.deregistration_delay;
        let settle = self.settle_time();
        match self.targets.get_mut(target) {
            Some(registration) if registration.deregistered_at.is_none() => {
                registration.deregistered_at = Some(now);
                if settle > delay { vec![now + delay, now + settle] } else { vec![now + delay] }
            }
            _ => Vec::new(),
        }
    }

    /// Returns the answer to an explicit query for one target. A target that was never registered
    /// is `NotRegistered`, which is not an error. Source: reports of real answers in
    /// getmoto/moto#7692 and aws/aws-sdk-js#1593.
    pub(super) fn health(&self, now: SimTime, target: &Target) -> Health {
        self.targets
            .get(target)
            .map_or(Health::NotRegistered, |registration| self.health_of(now, registration))
    }

    /// Returns the entries of an unfiltered query: targets that are registered or drain, except
    /// those on terminated instances.
    pub(super) fn listed(&self, now: SimTime) -> impl Iterator<Item = (&Target, Health)> {
        self.targets
            .iter()
            .filter(|(_, registration)| registration.fate != Fate::Terminated)
            .map(move |(target, registration)| (target, self.health_of(now, registration)))
            .filter(|(_, health)| *health != Health::NotRegistered)
    }

    /// Returns true if an unfiltered query lists this target.
    pub(super) fn lists(&self, now: SimTime, target: &Target) -> bool {
        self.targets.get(target).is_some_and(|registration| {
            registration.fate != Fate::Terminated
                && self.health_of(now, registration) != Health::NotRegistered
        })
    }

    /// Returns the targets with this id to which traffic truly flows.
    pub(super) fn carrying(&self, now: SimTime, id: &str) -> impl Iterator<Item = &Target> {
        let settle = self.settle_time();
        self.with_id(id)
            .filter(move |(_, registration)| {
                let open = registration.deregistered_at.is_none_or(|at| {
                    now < at + self.spec.deregistration_delay || now < at + settle
                });
                self.spec.attached
                    && registration.fate == Fate::Running
                    && registration.reachable
                    && open
            })
            .map(|(target, _)| target)
    }

    pub(super) fn set_unhealthy(&mut self, target: &Target, unhealthy: bool) {
        if let Some(registration) = self.targets.get_mut(target) {
            registration.unhealthy = unhealthy;
        }
    }

    pub(super) fn set_fate(&mut self, now: SimTime, instance_id: &str, fate: Fate) {
        if self.spec.target_type != TargetType::Instance {
            return;
        }
        for registration in self.with_id_mut(instance_id) {
            if registration.fate != Fate::Running
                && fate == Fate::Running
                && registration.deregistered_at.is_none()
            {
                // It must pass its health checks again.
                registration.registered_at = now;
            }
            registration.fate = fate;
        }
    }

    pub(super) fn set_reachable(&mut self, ip: &str, reachable: bool) {
        if self.spec.target_type == TargetType::Ip {
            for registration in self.with_id_mut(ip) {
                registration.reachable = reachable;
            }
        }
    }

    /// Forgets a registration that has ended. One on a terminated instance is kept: an explicit
    /// query still reports it as `draining`.
    pub(super) fn tidy(&mut self, now: SimTime, target: &Target) {
        let longest = self.settle_time().max(self.spec.deregistration_delay);
        let over = self.targets.get(target).is_some_and(|registration| {
            registration.fate != Fate::Terminated
                && registration.deregistered_at.is_some_and(|at| at + longest <= now)
        });
        if over {
            self.targets.remove(target);
        }
    }

    /// Returns a target's health at a moment.
    ///
    /// A target on a *terminated* instance leaves the unfiltered list, but an explicit query
    /// reports it as `draining` for ten minutes and more. Source: moto's test
    /// `test_register_targets`, verified against AWS.
    ///
    /// An Application Load Balancer shows `draining` until the delay is over, even without requests
    /// in progress. Source: Application Load Balancer guide, "Edit target group attributes".
    fn health_of(&self, now: SimTime, registration: &Registration) -> Health {
        if registration.fate == Fate::Terminated {
            return Health::DeregistrationInProgress;
        }
        if let Some(at) = registration.deregistered_at {
            let draining = now < at + self.spec.deregistration_delay;
            return if draining { Health::DeregistrationInProgress } else { Health::NotRegistered };
        }
        let age = now.saturating_sub(registration.registered_at);
        if registration.fate == Fate::Stopped {
            Health::InvalidState
        } else if !self.spec.attached {
            Health::NotInUse
        } else if !registration.reachable {
            Health::Timeout
        } else if registration.unhealthy {
            Health::FailedHealthChecks
        } else if age < self.spec.initial_time / 2 {
            Health::RegistrationInProgress
        } else if age < self.spec.initial_time {
            Health::InitialHealthChecking
        } else {
            Health::Healthy
        }
    }

    fn settle_time(&self) -> SimTime {
        match self.spec.kind {
            TargetGroupKind::Application => SimTime::ZERO,
            TargetGroupKind::Network => self.spec.settle_time.unwrap_or_default(),
        }
    }

    fn with_id(&self, id: &str) -> impl Iterator<Item = (&Target, &Registration)> {
        self.targets.range(ports_of(id))
    }

    fn with_id_mut(&mut self, id: &str) -> impl Iterator<Item = &mut Registration> {
        self.targets.range_mut(ports_of(id)).map(|(_, registration)| registration)
    }
}

/// Returns the range of all targets with this id.
fn ports_of(id: &str) -> std::ops::RangeInclusive<Target> {
    Target { id: id.to_owned(), port: 0 }..=Target { id: id.to_owned(), port: u16::MAX }
}

/// Returns the hexadecimal end of an ARN, always the same for one name (FNV-1a).
fn fingerprint(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
