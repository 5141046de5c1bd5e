//! The API of Application and Network Load Balancers, version 2015-12-01.

use super::target_group::TargetGroup;
use super::{Fate, Health, LoadBalancing, Target, TargetGroupKind, TargetType};
use crate::SimTime;
use crate::wire::ApiError;
use crate::wire::query::{Page, Params, Xml, timestamp};
use std::time::Duration;

/// The largest number of ARNs in DescribeLoadBalancers. Source: ELBv2 API reference.
const MAX_LOAD_BALANCER_ARNS: usize = 20;
/// The largest page. Source: ELBv2 API reference, PageSize 1 to 400.
const MAX_PAGE_SIZE: u32 = 400;

impl LoadBalancing {
    /// Answers an operation of the API 2015-12-01 with the content of its result element.
    pub fn handle_v2(
        &mut self,
        now: SimTime,
        action: &str,
        params: &Params,
    ) -> Result<String, ApiError> {
        match action {
            "DescribeTargetHealth" => self.describe_target_health(now, params),
            "DescribeTargetGroups" => self.describe_target_groups(params),
            "DescribeTargetGroupAttributes" => self.describe_target_group_attributes(params),
            "DescribeLoadBalancers" => self.describe_load_balancers(params),
            "RegisterTargets" => self.register_targets(now, params),
            "DeregisterTargets" => self.deregister_targets(now, params),
            other => Err(ApiError::unknown_action(other)),
        }
    }

    /// Describes targets: the whole group in one answer, without pages. Named targets have an entry
    /// even if they are not registered.
    fn describe_target_health(&self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let group = self.required_group(params)?;
        let named = targets_of(group, params)?;
        let states: Vec<(Target, Health)> = if named.is_empty() {
            group.listed(now).map(|(target, health)| (target.clone(), health)).collect()
        } else {
            named
                .into_iter()
                .map(|target| {
                    let health = group.health(now, &target);
                    (target, health)
                })
                .collect()
        };
        let mut xml = Xml::new();
        xml.list("TargetHealthDescriptions", states, |xml, (target, health)| {
            xml.element("HealthCheckPort", target.port);
            xml.nested("Target", |xml| {
                xml.element("Id", &target.id).element("Port", target.port);
            });
            xml.nested("TargetHealth", |xml| {
                xml.element("State", health.state())
                    .optional("Reason", health.reason())
                    .optional("Description", health.description());
            });
        });
        Ok(xml.finish())
    }

    /// Describes target groups. One unknown ARN or name fails the whole call.
    fn describe_target_groups(&self, params: &Params) -> Result<String, ApiError> {
        let arns = params.list("TargetGroupArns");
        let names = params.list("Names");
        let balancer = params.get("LoadBalancerArn");
        let unknown = arns.iter().any(|arn| !self.groups.contains_key(arn))
            || names.iter().any(|name| self.arn_of(name).is_none());
        if unknown {
            return Err(target_group_not_found());
        }
        if let Some(arn) = balancer {
            self.require_balancers(&[arn.to_owned()])?;
        }
        let wanted = self.groups.values().filter(|group| {
            (arns.is_empty() || arns.contains(&group.arn))
                && (names.is_empty() || names.contains(&group.spec.name))
                && balancer.is_none_or(|arn| group.spec.attached && group.load_balancer_arn == arn)
        });
        let page = self.page(params, wanted.map(|group| (group.arn.clone(), group)))?;
        let mut xml = Xml::new();
        xml.list("TargetGroups", page.items, write_target_group).optional("NextMarker", page.next);
        Ok(xml.finish())
    }

    fn describe_target_group_attributes(&self, params: &Params) -> Result<String, ApiError> {
        let group = self.required_group(params)?;
        let delay = group.spec.deregistration_delay.as_secs().to_string();
        let mut attributes = vec![
            ("deregistration_delay.timeout_seconds", delay.as_str()),
            ("stickiness.enabled", "false"),
        ];
        if group.spec.kind == TargetGroupKind::Network {
            attributes.push(("deregistration_delay.connection_termination.enabled", "false"));
        }
        let mut xml = Xml::new();
        xml.list("Attributes", attributes, |xml, (key, value)| {
            xml.element("Key", key).element("Value", value);
        });
        Ok(xml.finish())
    }

    /// Describes load balancers, by at most 20 ARNs; one unknown ARN or name fails the whole call.
    fn describe_load_balancers(&self, params: &Params) -> Result<String, ApiError> {
        let arns = params.list("LoadBalancerArns");
        let names = params.list("Names");
        if arns.len() > MAX_LOAD_BALANCER_ARNS {
            return Err(ApiError::validation_error(format!(
                "Up to {MAX_LOAD_BALANCER_ARNS} load balancer ARNs may be specified"
            )));
        }
        self.require_balancers(&arns)?;
        let name_of: Vec<(String, &TargetGroup)> = self
            .groups
            .values()
            .filter(|group| group.spec.attached)
            .map(|group| (group.load_balancer_name(), group))
            .collect();
        let missing: Vec<&String> =
            names.iter().filter(|name| !name_of.iter().any(|(known, _)| known == *name)).collect();
        if !missing.is_empty() {
            return Err(load_balancer_not_found(&missing));
        }
        let wanted = name_of.into_iter().filter(|(name, group)| {
            (arns.is_empty() || arns.contains(&group.load_balancer_arn))
                && (names.is_empty() || names.contains(name))
        });
        let page = self.page(params, wanted.map(|(name, group)| (name.clone(), (name, group))))?;
        let mut xml = Xml::new();
        xml.list("LoadBalancers", page.items, |xml, (name, group)| {
            self.write_load_balancer(xml, &name, group)
        })
        .optional("NextMarker", page.next);
        Ok(xml.finish())
    }

    fn write_load_balancer(&self, xml: &mut Xml, name: &str, group: &TargetGroup) {
        let kind = match group.spec.kind {
            TargetGroupKind::Application => "application",
            TargetGroupKind::Network => "network",
        };
        xml.element("LoadBalancerArn", &group.load_balancer_arn)
            .element("DNSName", format!("{name}-1234567890.{}.elb.amazonaws.com", self.region))
            .element("CreatedTime", timestamp(self.start, SimTime::ZERO))
            .element("LoadBalancerName", name)
            .element("Scheme", "internal")
            .element("VpcId", "vpc-0a1b2c3d4e5f60718")
            .nested("State", |xml| {
                xml.element("Code", "active");
            })
            .element("Type", kind)
            .element("IpAddressType", "ipv4");
    }

    /// Registers targets. A target without a port is registered on the group's port. A stopped
    /// instance is refused. Source: moto's test `test_register_targets`, verified against AWS.
    fn register_targets(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let group = self.required_group(params)?;
        let arn = group.arn.clone();
        let instances = group.spec.target_type == TargetType::Instance;
        let targets = required_targets(group, params)?;
        let refused: Vec<&str> = targets
            .iter()
            .map(|target| target.id.as_str())
            .filter(|id| {
                instances && self.fates.get(*id).is_some_and(|fate| *fate != Fate::Running)
            })
            .collect();
        if !refused.is_empty() {
            return Err(ApiError::bad_request(
                "InvalidTarget",
                format!(
                    "The following targets are not in a running state and cannot be registered: '{}'",
                    refused.join("', '")
                ),
            ));
        }
        for target in targets {
            self.register_target(now, &arn, target);
        }
        Ok(String::new())
    }

    /// Deregisters targets. An unknown target is a success. A target on a port of its own is only
    /// found with that port; without it the answer is 200, and nothing changes. Source: ELBv2 API
    /// reference, DeregisterTargets; chaostoolkit/chaostoolkit-aws#60.
    fn deregister_targets(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let group = self.required_group(params)?;
        let arn = group.arn.clone();
        for target in required_targets(group, params)? {
            self.deregister_target(now, &arn, &target);
        }
        Ok(String::new())
    }

    fn required_group(&self, params: &Params) -> Result<&TargetGroup, ApiError> {
        let arn = params.require("TargetGroupArn")?;
        self.groups.get(arn).ok_or_else(target_group_not_found)
    }

    fn require_balancers(&self, arns: &[String]) -> Result<(), ApiError> {
        let missing: Vec<&String> = arns
            .iter()
            .filter(|arn| {
                !self
                    .groups
                    .values()
                    .any(|group| group.spec.attached && group.load_balancer_arn == **arn)
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(load_balancer_not_found(&missing)) }
    }

    pub(super) fn page<T>(
        &self,
        params: &Params,
        items: impl IntoIterator<Item = (String, T)>,
    ) -> Result<Page<T>, ApiError> {
        let asked = params.number("PageSize")?.unwrap_or(MAX_PAGE_SIZE);
        if !(1..=MAX_PAGE_SIZE).contains(&asked) {
            return Err(ApiError::validation_error(format!(
                "Page size must be between 1 and {MAX_PAGE_SIZE}"
            )));
        }
        let size = usize::try_from(asked).map_or(self.page_size, |asked| asked.min(self.page_size));
        Page::cut(items, size, params.get("Marker"))
            .ok_or_else(|| ApiError::validation_error("Invalid marker"))
    }
}

fn write_target_group(xml: &mut Xml, group: &TargetGroup) {
    let (protocol, health_check_timeout) = match group.spec.kind {
        TargetGroupKind::Application => ("HTTP", Duration::from_secs(5)),
        TargetGroupKind::Network => ("TCP", Duration::from_secs(10)),
    };
    let target_type = match group.spec.target_type {
        TargetType::Instance => "instance",
        TargetType::Ip => "ip",
    };
    xml.element("TargetGroupArn", &group.arn)
        .element("TargetGroupName", &group.spec.name)
        .element("Protocol", protocol)
        .element("Port", group.spec.port)
        .element("VpcId", "vpc-0a1b2c3d4e5f60718")
        .element("HealthCheckProtocol", protocol)
        .element("HealthCheckPort", "traffic-port")
        .element("HealthCheckEnabled", true)
        .element("HealthCheckIntervalSeconds", 30)
        .element("HealthCheckTimeoutSeconds", health_check_timeout.as_secs())
        .element("HealthyThresholdCount", 5)
        .element("UnhealthyThresholdCount", 2)
        .values("LoadBalancerArns", group.spec.attached.then_some(&group.load_balancer_arn))
        .element("TargetType", target_type)
        .element("IpAddressType", "ipv4");
}

/// Returns the targets that a request names; without a port, the group's own is meant. For a query
/// this is the simulator's choice where the target is registered on another port: AWS does not
/// document that case.
fn targets_of(group: &TargetGroup, params: &Params) -> Result<Vec<Target>, ApiError> {
    params
        .structs("Targets")
        .into_iter()
        .map(|fields| {
            let id = fields
                .get("Id")
                .cloned()
                .ok_or_else(|| ApiError::validation_error("A target ID must be specified"))?;
            let port = match fields.get("Port") {
                Some(text) => text.parse().map_err(|_| {
                    ApiError::validation_error(format!("Port '{text}' must be between 1 and 65535"))
                })?,
                None => group.spec.port,
            };
            Ok(Target { id, port })
        })
        .collect()
}

fn required_targets(group: &TargetGroup, params: &Params) -> Result<Vec<Target>, ApiError> {
    let targets = targets_of(group, params)?;
    if targets.is_empty() {
        Err(ApiError::validation_error("At least one target must be specified"))
    } else {
        Ok(targets)
    }
}

fn target_group_not_found() -> ApiError {
    ApiError::bad_request("TargetGroupNotFound", "One or more target groups not found")
}

fn load_balancer_not_found(missing: &[&String]) -> ApiError {
    let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
    ApiError::bad_request(
        "LoadBalancerNotFound",
        format!("Load balancers '[{}]' not found", names.join(", ")),
    )
}
