//! One classic load balancer.

use super::{ClassicSpec, Fate};
use crate::SimTime;
use std::collections::BTreeMap;
use std::time::Duration;

/// The time that a new instance is `OutOfService` before its health checks pass. The simulator's
/// choice: the API's defaults would allow minutes, the guide names no time.
const REGISTRATION_TIME: Duration = Duration::from_secs(10);

/// A classic load balancer.
#[derive(Clone, Debug)]
pub(super) struct Classic {
    pub(super) spec: ClassicSpec,
    /// Every instance that was ever registered: the API answers differently for those and for
    /// unknown ones.
    instances: BTreeMap<String, Registration>,
}

#[derive(Clone, Debug)]
struct Registration {
    registered_at: SimTime,
    deregistered_at: Option<SimTime>,
    fate: Fate,
}

/// The state of an instance in DescribeInstanceHealth. Source: ELB API reference 2012-06-01,
/// InstanceState; Classic Load Balancer guide, "Configure connection draining".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstanceState {
    InService,
    /// Still `InService`: only the description shows that it drains.
    DeregistrationInProgress,
    RegistrationInProgress,
    Stopped,
    NotRegistered,
}

impl InstanceState {
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::InService | Self::DeregistrationInProgress => "InService",
            Self::RegistrationInProgress | Self::Stopped | Self::NotRegistered => "OutOfService",
        }
    }

    pub(super) fn reason_code(self) -> &'static str {
        match self {
            Self::InService | Self::DeregistrationInProgress => "N/A",
            Self::RegistrationInProgress => "ELB",
            Self::Stopped | Self::NotRegistered => "Instance",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::InService => "N/A",
            Self::DeregistrationInProgress => "Instance deregistration currently in progress.",
            Self::RegistrationInProgress => "Instance registration is still in progress.",
            Self::Stopped => "Instance is in stopped state.",
            Self::NotRegistered => "Instance is not currently registered with the LoadBalancer.",
        }
    }
}

impl Classic {
    pub(super) fn new(spec: ClassicSpec) -> Self {
        Self { spec, instances: BTreeMap::new() }
    }

    /// Registers an instance. Returns the moment at which it comes into service; `None` if it is
    /// registered already.
    pub(super) fn register(&mut self, now: SimTime, instance: &str, fate: Fate) -> Option<SimTime> {
        if self
            .instances
            .get(instance)
            .is_some_and(|registration| registration.deregistered_at.is_none())
        {
            return None;
        }
        let registration = Registration { registered_at: now, deregistered_at: None, fate };
        self.instances.insert(instance.to_owned(), registration);
        Some(now + REGISTRATION_TIME)
    }

    /// Deregisters an instance. Returns the moment at which its connections end; `None` if it was
    /// not registered.
    pub(super) fn deregister(&mut self, now: SimTime, instance: &str) -> Option<SimTime> {
        let over = now + self.spec.connection_draining.unwrap_or_default();
        let registration = self.instances.get_mut(instance)?;
        if registration.deregistered_at.is_some() {
            return None;
        }
        registration.deregistered_at = Some(now);
        Some(over)
    }

    /// Returns the answer to an explicit query: `None` for an unknown instance (the API calls it
    /// invalid), and for a terminated one, whose state is not returned.
    pub(super) fn state(&self, now: SimTime, instance: &str) -> Option<InstanceState> {
        let registration = self.instances.get(instance)?;
        Some(match registration.deregistered_at {
            Some(_) if self.over(now, registration) => InstanceState::NotRegistered,
            Some(_) => InstanceState::DeregistrationInProgress,
            None if registration.fate == Fate::Stopped => InstanceState::Stopped,
            None if now < registration.registered_at + REGISTRATION_TIME => {
                InstanceState::RegistrationInProgress
            }
            None => InstanceState::InService,
        })
    }

    /// Returns true if the instance was ever registered here.
    pub(super) fn knows(&self, instance: &str) -> bool {
        self.instances.contains_key(instance)
    }

    /// Returns true if the instance is terminated: then its state is not returned. Source: ELB API
    /// reference, DescribeInstanceHealth.
    pub(super) fn is_terminated(&self, instance: &str) -> bool {
        self.instances
            .get(instance)
            .is_some_and(|registration| registration.fate == Fate::Terminated)
    }

    /// Returns the instances that are registered and, if asked for, those that drain.
    pub(super) fn registered(
        &self,
        now: SimTime,
        with_draining: bool,
    ) -> impl Iterator<Item = &String> {
        self.instances
            .iter()
            .filter(move |(_, registration)| {
                registration.fate != Fate::Terminated
                    && (registration.deregistered_at.is_none()
                        || (with_draining && !self.over(now, registration)))
            })
            .map(|(instance, _)| instance)
    }

    /// Returns true if the instance is registered or drains.
    pub(super) fn holds(&self, now: SimTime, instance: &str) -> bool {
        self.instances.get(instance).is_some_and(|registration| {
            registration.fate != Fate::Terminated && !self.over(now, registration)
        })
    }

    /// Returns true if traffic truly flows to the instance.
    pub(super) fn carries(&self, now: SimTime, instance: &str) -> bool {
        self.instances.get(instance).is_some_and(|registration| {
            registration.fate == Fate::Running && !self.over(now, registration)
        })
    }

    pub(super) fn set_fate(&mut self, instance: &str, fate: Fate) {
        if let Some(registration) = self.instances.get_mut(instance) {
            registration.fate = fate;
        }
    }

    fn over(&self, now: SimTime, registration: &Registration) -> bool {
        let timeout = self.spec.connection_draining.unwrap_or_default();
        registration.deregistered_at.is_some_and(|at| now >= at + timeout)
    }
}
