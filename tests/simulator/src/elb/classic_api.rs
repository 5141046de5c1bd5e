//! The API of classic load balancers, version 2012-06-01.

use super::LoadBalancing;
use super::classic::{Classic, InstanceState};
use crate::SimTime;
use crate::wire::ApiError;
use crate::wire::query::{Params, Xml, timestamp};

impl LoadBalancing {
    /// Answers an operation of the API 2012-06-01 with the content of its result element.
    pub fn handle_classic(
        &mut self,
        now: SimTime,
        action: &str,
        params: &Params,
    ) -> Result<String, ApiError> {
        match action {
            "DescribeLoadBalancers" => self.describe_classics(now, params),
            "DescribeLoadBalancerAttributes" => self.describe_classic_attributes(params),
            "DescribeInstanceHealth" => self.describe_instance_health(now, params),
            "RegisterInstancesWithLoadBalancer" => self.register_instances(now, params),
            "DeregisterInstancesFromLoadBalancer" => self.deregister_instances(now, params),
            other => Err(ApiError::unknown_action(other)),
        }
    }

    /// Describes load balancers. One unknown name fails the whole call.
    fn describe_classics(&self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let names = params.list("LoadBalancerNames");
        if let Some(unknown) = names.iter().find(|name| !self.classics.contains_key(*name)) {
            return Err(load_balancer_not_found(unknown));
        }
        let wanted =
            self.classics.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let page = self.page(params, wanted.map(|(name, classic)| (name.clone(), classic)))?;
        let mut xml = Xml::new();
        xml.list("LoadBalancerDescriptions", page.items, |xml, classic| {
            self.write_classic(xml, now, classic)
        })
        .optional("NextMarker", page.next);
        Ok(xml.finish())
    }

    fn write_classic(&self, xml: &mut Xml, now: SimTime, classic: &Classic) {
        let name = &classic.spec.name;
        xml.element("LoadBalancerName", name)
            .element(
                "DNSName",
                format!("internal-{name}-1234567890.{}.elb.amazonaws.com", self.region),
            )
            .values("AvailabilityZones", ["a", "b"].map(|zone| format!("{}{zone}", self.region)));
        write_instances(xml, classic.registered(now, self.classic_lists_draining));
        xml.nested("HealthCheck", |xml| {
            xml.element("Target", "TCP:80")
                .element("Interval", 30)
                .element("Timeout", 5)
                .element("UnhealthyThreshold", 2)
                .element("HealthyThreshold", 10);
        })
        .element("CreatedTime", timestamp(self.start, SimTime::ZERO))
        .element("Scheme", "internal");
    }

    fn describe_classic_attributes(&self, params: &Params) -> Result<String, ApiError> {
        let classic = self.required_classic(params)?;
        let draining = classic.spec.connection_draining;
        let mut xml = Xml::new();
        xml.nested("LoadBalancerAttributes", |xml| {
            xml.nested("CrossZoneLoadBalancing", |xml| {
                xml.element("Enabled", true);
            })
            .nested("AccessLog", |xml| {
                xml.element("Enabled", false);
            })
            .nested("ConnectionDraining", |xml| {
                xml.element("Enabled", draining.is_some())
                    .element("Timeout", draining.map_or(300, |time| time.as_secs()));
            })
            .nested("ConnectionSettings", |xml| {
                xml.element("IdleTimeout", 60);
            });
        });
        Ok(xml.finish())
    }

    /// Describes the health of instances. Without a list in the request: all that are registered.
    /// With a list: the state of each, even after it left; an error for one that was never here;
    /// and no entry for a terminated one. Source: ELB API reference, DescribeInstanceHealth;
    /// getmoto/moto#1751.
    fn describe_instance_health(&self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let classic = self.required_classic(params)?;
        let named = instances_of(params);
        if let Some(stranger) = named.iter().find(|instance| !classic.knows(instance)) {
            return Err(ApiError::bad_request(
                "InvalidInstance",
                format!("Could not find EC2 instance {stranger}."),
            ));
        }
        let wanted: Vec<String> =
            if named.is_empty() { classic.registered(now, true).cloned().collect() } else { named };
        let states: Vec<(String, InstanceState)> = wanted
            .into_iter()
            .filter(|instance| !classic.is_terminated(instance))
            .filter_map(|instance| classic.state(now, &instance).map(|state| (instance, state)))
            .collect();
        let mut xml = Xml::new();
        xml.list("InstanceStates", states, |xml, (instance, state)| {
            xml.element("InstanceId", instance)
                .element("State", state.state())
                .element("ReasonCode", state.reason_code())
                .element("Description", state.description());
        });
        Ok(xml.finish())
    }

    /// Registers instances. The answer lists all that are registered now.
    fn register_instances(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let name = self.required_classic(params)?.spec.name.clone();
        for instance in instances_of(params) {
            self.register_classic(now, &name, &instance);
        }
        self.remaining(now, params)
    }

    /// Deregisters instances. The answer lists those that remain registered; those that drain are
    /// not among them. Source: ELB API reference, DeregisterInstancesFromLoadBalancer.
    fn deregister_instances(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let name = self.required_classic(params)?.spec.name.clone();
        for instance in instances_of(params) {
            self.deregister_classic(now, &name, &instance);
        }
        self.remaining(now, params)
    }

    fn remaining(&self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let classic = self.required_classic(params)?;
        let mut xml = Xml::new();
        write_instances(&mut xml, classic.registered(now, false));
        Ok(xml.finish())
    }

    fn required_classic(&self, params: &Params) -> Result<&Classic, ApiError> {
        let name = params.require("LoadBalancerName")?;
        self.classics.get(name).ok_or_else(|| load_balancer_not_found(name))
    }
}

fn write_instances<'a>(xml: &mut Xml, instances: impl Iterator<Item = &'a String>) {
    xml.list("Instances", instances, |xml, instance| {
        xml.element("InstanceId", instance);
    });
}

fn instances_of(params: &Params) -> Vec<String> {
    params
        .structs("Instances")
        .into_iter()
        .filter_map(|mut fields| fields.remove("InstanceId"))
        .collect()
}

fn load_balancer_not_found(name: &str) -> ApiError {
    ApiError::bad_request(
        "LoadBalancerNotFound",
        format!("There is no ACTIVE Load Balancer named '{name}'"),
    )
}
