//! AWS's token buckets: one for each category of actions, per account and region.
//!
//! ECS's rates are published (source: ECS API reference, request throttling), and Elastic Load Balancing's, where the
//! two generations have buckets of their own and every call also draws from an account-wide one (source: Elastic Load
//! Balancing user guide, API throttling). Auto Scaling's bucket is not published: 20 at once and 10 a second are an
//! assumption of this simulator. DynamoDB, SQS and STS are not limited here: standard
//! queues take a nearly unlimited number of calls (source: SQS developer guide, quotas).

use std::collections::BTreeMap;

use crate::SimTime;
use crate::wire::Service;

/// A bucket's name, size, and refill per second.
type Rate = (&'static str, f64, f64);

/// The buckets and what is left in them.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Whether calls are limited at all.
    pub enabled: bool,
    buckets: BTreeMap<(String, &'static str), (SimTime, f64)>,
    throttled: u64,
}

impl Limits {
    /// Takes a token from every bucket that an operation draws from; `false`: throttled.
    pub(crate) fn admit(&mut self, now: SimTime, scope: &str, service: Service, operation: &str) -> bool {
        if !self.enabled {
            return true;
        }
        let rates = rates(service, operation);
        let admitted = rates.iter().all(|rate| self.level(now, scope, rate) >= 1.0);
        if admitted {
            for rate in rates {
                let level = self.level(now, scope, rate);
                self.buckets.insert((scope.to_owned(), rate.0), (now, level - 1.0));
            }
        } else {
            self.throttled += 1;
        }
        admitted
    }

    /// How many calls have been throttled.
    pub fn throttled(&self) -> u64 {
        self.throttled
    }

    fn level(&self, now: SimTime, scope: &str, &(name, size, refill): &Rate) -> f64 {
        match self.buckets.get(&(scope.to_owned(), name)) {
            None => size,
            Some((at, level)) => (level + now.saturating_sub(*at).as_secs_f64() * refill).min(size),
        }
    }
}

/// The buckets that a call of an operation draws from: the name of each, and its refill in calls per second.
pub fn families(service: Service, operation: &str) -> impl Iterator<Item = (&'static str, f64)> {
    rates(service, operation).iter().map(|&(name, _, refill)| (name, refill))
}

fn rates(service: Service, operation: &str) -> &'static [Rate] {
    match service {
        Service::Ecs => match operation {
            "DescribeClusters" | "ListClusters" => &[("ecs cluster read", 50.0, 20.0)],
            "DescribeContainerInstances"
            | "DescribeTasks"
            | "ListAttributes"
            | "ListContainerInstances"
            | "ListTasks" => &[("ecs cluster resource read", 100.0, 20.0)],
            "DescribeServices" | "ListServices" => &[("ecs service read", 100.0, 20.0)],
            "DescribeServiceDeployments" => &[("ecs service deployment read", 50.0, 20.0)],
            "DescribeServiceRevisions" => &[("ecs service revision read", 50.0, 20.0)],
            "DescribeTaskDefinition" => &[("ecs task definition read", 50.0, 20.0)],
            "GetTaskProtection" | "UpdateTaskProtection" => &[("ecs task protection", 200.0, 80.0)],
            _ => &[("ecs cluster resource modify", 100.0, 40.0)],
        },
        Service::ElbV2 => match operation {
            "RegisterTargets" | "DeregisterTargets" => {
                &[("elbv2 account", 40.0, 10.0), ("elbv2 registration", 20.0, 4.0)]
            }
            _ if operation.starts_with("Describe") => &[("elbv2 account", 40.0, 10.0), ("elbv2 read", 40.0, 10.0)],
            _ => &[("elbv2 account", 40.0, 10.0), ("elbv2 modify", 20.0, 3.0)],
        },
        Service::ElbClassic => match operation {
            "RegisterInstancesWithLoadBalancer" | "DeregisterInstancesFromLoadBalancer" => {
                &[("elb account", 40.0, 10.0), ("elb registration", 20.0, 4.0)]
            }
            _ if operation.starts_with("Describe") => &[("elb account", 40.0, 10.0), ("elb read", 40.0, 10.0)],
            _ => &[("elb account", 40.0, 10.0), ("elb modify", 20.0, 3.0)],
        },
        Service::AutoScaling => &[("autoscaling", 20.0, 10.0)],
        Service::DynamoDb | Service::Sqs | Service::Sts | Service::Unknown => &[],
    }
}
