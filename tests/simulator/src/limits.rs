//! AWS's token buckets: one for each category of actions, per account and region.
//!
//! ECS's rates are published (source: ECS API reference, request throttling), and Elastic Load
//! Balancing's: its two generations have buckets of their own, and every call also draws from an
//! account-wide one (source: Elastic Load Balancing user guide, API throttling). Auto Scaling's
//! bucket is not published: 20 at once and 10 a second are an assumption of this simulator.
//! DynamoDB, SQS and STS are not limited here: standard queues take a nearly unlimited number of
//! calls (source: SQS developer guide, quotas).

use std::collections::BTreeMap;

use crate::SimTime;
use crate::wire::Service;

/// A bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Its name.
    pub family: &'static str,
    /// The number of calls at once, after a pause.
    pub burst: f64,
    /// The number of calls a second, in the long run.
    pub per_second: f64,
}

impl Rate {
    const fn new(family: &'static str, burst: f64, per_second: f64) -> Rate {
        Rate { family, burst, per_second }
    }

    /// Returns the number of calls that pass in a minute that begins with a full bucket.
    pub fn in_a_minute(self) -> f64 {
        self.burst + 60.0 * self.per_second
    }
}

/// The buckets and the tokens left in them.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// True if calls are limited at all.
    pub enabled: bool,
    buckets: BTreeMap<(String, &'static str), (SimTime, f64)>,
    throttled: u64,
}

impl Limits {
    /// Takes a token from every bucket that an operation draws from; returns false if the call is
    /// throttled.
    pub(crate) fn admit(
        &mut self,
        now: SimTime,
        scope: &str,
        service: Service,
        operation: &str,
    ) -> bool {
        if !self.enabled {
            return true;
        }
        let rates = families(service, operation);
        let admitted = rates.iter().all(|rate| self.level(now, scope, rate) >= 1.0);
        if admitted {
            for rate in rates {
                let level = self.level(now, scope, rate);
                self.buckets.insert((scope.to_owned(), rate.family), (now, level - 1.0));
            }
        } else {
            self.throttled += 1;
        }
        admitted
    }

    /// Returns the number of throttled calls.
    pub fn throttled(&self) -> u64 {
        self.throttled
    }

    fn level(&self, now: SimTime, scope: &str, rate: &Rate) -> f64 {
        match self.buckets.get(&(scope.to_owned(), rate.family)) {
            None => rate.burst,
            Some((at, level)) => {
                (level + now.saturating_sub(*at).as_secs_f64() * rate.per_second).min(rate.burst)
            }
        }
    }
}

/// Returns the buckets that a call of an operation draws from.
pub fn families(service: Service, operation: &str) -> &'static [Rate] {
    match service {
        Service::Ecs => match operation {
            "DescribeClusters" | "ListClusters" => {
                const { &[Rate::new("ecs cluster read", 50.0, 20.0)] }
            }
            "DescribeContainerInstances"
            | "DescribeTasks"
            | "ListAttributes"
            | "ListContainerInstances"
            | "ListTasks" => const { &[Rate::new("ecs cluster resource read", 100.0, 20.0)] },
            "DescribeServices" | "ListServices" => {
                const { &[Rate::new("ecs service read", 100.0, 20.0)] }
            }
            "DescribeServiceDeployments" => {
                const { &[Rate::new("ecs service deployment read", 50.0, 20.0)] }
            }
            "DescribeServiceRevisions" => {
                const { &[Rate::new("ecs service revision read", 50.0, 20.0)] }
            }
            "DescribeTaskDefinition" => {
                const { &[Rate::new("ecs task definition read", 50.0, 20.0)] }
            }
            "GetTaskProtection" | "UpdateTaskProtection" => {
                const { &[Rate::new("ecs task protection", 200.0, 80.0)] }
            }
            _ => const { &[Rate::new("ecs cluster resource modify", 100.0, 40.0)] },
        },
        Service::ElbV2 => match operation {
            "RegisterTargets" | "DeregisterTargets" => {
                const {
                    &[
                        Rate::new("elbv2 account", 40.0, 10.0),
                        Rate::new("elbv2 registration", 20.0, 4.0),
                    ]
                }
            }
            _ if operation.starts_with("Describe") => {
                const { &[Rate::new("elbv2 account", 40.0, 10.0), Rate::new("elbv2 read", 40.0, 10.0)] }
            }
            _ => {
                const { &[Rate::new("elbv2 account", 40.0, 10.0), Rate::new("elbv2 modify", 20.0, 3.0)] }
            }
        },
        Service::ElbClassic => match operation {
            "RegisterInstancesWithLoadBalancer" | "DeregisterInstancesFromLoadBalancer" => {
                const {
                    &[
                        Rate::new("elb account", 40.0, 10.0),
                        Rate::new("elb registration", 20.0, 4.0),
                    ]
                }
            }
            _ if operation.starts_with("Describe") => {
                const { &[Rate::new("elb account", 40.0, 10.0), Rate::new("elb read", 40.0, 10.0)] }
            }
            _ => {
                const { &[Rate::new("elb account", 40.0, 10.0), Rate::new("elb modify", 20.0, 3.0)] }
            }
        },
        Service::AutoScaling => const { &[Rate::new("autoscaling", 20.0, 10.0)] },
        Service::DynamoDb | Service::Sqs | Service::Sts | Service::Unknown => &[],
    }
}
