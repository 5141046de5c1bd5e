//! Obstacles to the replacement of a service's tasks: its percentages first, then a place for a
//! replacement, then ECS's own events.

use super::cause::{Cause, Lack, Looked};
use super::events::{self, Complaint};
use super::facts::{Constraint, Controller, InstanceFacts, Need, Others, Port, ServiceFacts};
use super::{expression, rollout};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Returns the causes that keep tasks of this service, which ECS has not begun to stop, on the
/// instance.
pub(super) fn causes(
    name: &str,
    cluster: &str,
    service: &ServiceFacts,
    others: Option<&Others>,
    now: Timestamp,
) -> Vec<Cause> {
    let mut causes = Vec::new();
    let percents = percents(service);
    causes.extend(percents.and_then(|percents| cannot_replace(name, service, percents)));
    let percentages_explain = !causes.is_empty();
    causes.extend(rollout::cause(name, service));
    if service.pending > 0 || service.running > service.desired {
        // More tasks than the desired count: the replacements are there, or pending.
        let (desired, running, pending) = (service.desired, service.running, service.pending);
        causes.push(Cause::ReplacementNotReady {
            service: name.to_owned(),
            desired,
            running,
            pending,
        });
    } else if percents.is_some_and(|percents| must_start_first(service, percents)) {
        causes.extend(others.and_then(|others| place(name, cluster, service, others)));
        causes.extend(not_judged(name, service, others));
    }
    let place_explains = causes.iter().any(|cause| {
        matches!(
            cause,
            Cause::NoOtherInstance { .. } | Cause::ConstraintUnmet { .. } | Cause::NoRoom { .. }
        )
    });
    match events::complaint(&service.events, now) {
        Some((Complaint::Percentages, _)) if percentages_explain => {}
        Some((Complaint::Placement, _)) if place_explains => {}
        Some((complaint, event)) => causes.push(events::cause(name, complaint, event)),
        None => {}
    }
    causes
}

/// `minimumHealthyPercent` and `maximumPercent`.
#[derive(Clone, Copy)]
pub(crate) struct Percents {
    pub(crate) minimum: u32,
    pub(crate) maximum: u32,
}

/// Percentages of a replica service that sets none. (Source: ECS API reference,
/// DeploymentConfiguration.)
const DEFAULT: Percents = Percents { minimum: 100, maximum: 200 };

/// Returns the percentages that apply while an instance drains.
pub(crate) fn percents(service: &ServiceFacts) -> Option<Percents> {
    match service.controller {
        Controller::Ecs => Some(Percents {
            minimum: service.minimum_percent.unwrap_or(DEFAULT.minimum),
            maximum: service.maximum_percent.unwrap_or(DEFAULT.maximum),
        }),
        Controller::Outside => Some(DEFAULT),
        Controller::Other(_) => None,
    }
}

/// Returns the number of tasks that must stay healthy: rounded up. (Source: ECS API reference,
/// DeploymentConfiguration.)
pub(crate) fn at_least(service: &ServiceFacts, percents: Percents) -> u64 {
    (u64::from(service.desired) * u64::from(percents.minimum)).div_ceil(100)
}

/// Returns the number of tasks that may run or be pending: rounded down. (Source: the same.)
pub(crate) fn at_most(service: &ServiceFacts, percents: Percents) -> u64 {
    u64::from(service.desired) * u64::from(percents.maximum) / 100
}

/// Returns the cause if no drain of an instance with a task of this service can ever end, however
/// much room there is elsewhere.
pub fn can_never_replace(name: &str, service: &ServiceFacts) -> Option<Cause> {
    percents(service).and_then(|percents| cannot_replace(name, service, percents))
}

/// Returns the cause if the percentages leave no room for one step: to stop a task first, or to
/// start one first.
fn cannot_replace(name: &str, service: &ServiceFacts, percents: Percents) -> Option<Cause> {
    let desired = u64::from(service.desired);
    let all_there = u64::from(service.running) + u64::from(service.pending) <= desired;
    let stuck = desired > 0
        && at_least(service, percents) >= desired
        && at_most(service, percents) <= desired;
    (stuck && all_there).then(|| Cause::ServiceCannotReplace {
        service: name.to_owned(),
        desired: service.desired,
        minimum_percent: percents.minimum,
        maximum_percent: percents.maximum,
    })
}

/// Returns whether no task may stop before another one has started.
fn must_start_first(service: &ServiceFacts, percents: Percents) -> bool {
    service.desired > 0 && u64::from(service.running) <= at_least(service, percents)
}

/// Returns the cause if there is no place for one more task of the service.
pub(crate) fn place(
    name: &str,
    cluster: &str,
    service: &ServiceFacts,
    others: &Others,
) -> Option<Cause> {
    let open: Vec<&InstanceFacts> = others.instances.iter().filter(|i| i.agent_connected).collect();
    if open.is_empty() {
        let disconnected = others.instances.len();
        return (!others.more)
            .then(|| Cause::NoOtherInstance { cluster: cluster.to_owned(), disconnected });
    }
    let looked = Looked { count: open.len(), more: others.more };
    let rules = rules(service);
    let allowed: Vec<&InstanceFacts> = open
        .iter()
        .copied()
        .filter(|i| rules.iter().all(|rule| rule.allows(service, i) != Some(false)))
        .collect();
    if allowed.is_empty() {
        // If one rule alone excludes every instance, name only that one.
        let alone =
            rules.iter().find(|rule| open.iter().all(|i| rule.allows(service, i) == Some(false)));
        let meant: Vec<&Rule<'_>> = match alone {
            Some(rule) => vec![rule],
            None => rules
                .iter()
                .filter(|rule| open.iter().any(|i| rule.allows(service, i) == Some(false)))
                .collect(),
        };
        let constraint = meant.into_iter().map(Rule::words).collect::<Vec<_>>().join(" and ");
        return Some(Cause::ConstraintUnmet { service: name.to_owned(), constraint, looked });
    }
    let need = service.need.as_ref()?;
    let mut lacking: Vec<(Vec<Lack>, &InstanceFacts)> =
        allowed.into_iter().map(|instance| (lacks(need, instance), instance)).collect();
    if lacking.iter().any(|(lacks, _)| lacks.is_empty()) {
        return None;
    }
    lacking.sort_by_key(|(lacks, instance)| {
        (lacks.len(), missing(lacks), instance.ec2_instance_id.clone())
    });
    let (lacks, closest) = lacking.into_iter().next()?;
    Some(Cause::NoRoom {
        service: name.to_owned(),
        closest: closest.ec2_instance_id.clone(),
        lacks,
        looked,
    })
}

/// Returns the rules that cannot be judged for some of the other instances, while none is seen to
/// meet them.
pub(crate) fn not_judged(
    name: &str,
    service: &ServiceFacts,
    others: Option<&Others>,
) -> Vec<Cause> {
    let open: Vec<&InstanceFacts> = others
        .into_iter()
        .flat_map(|others| &others.instances)
        .filter(|i| i.agent_connected)
        .collect();
    let open_question = |rule: &Rule<'_>| {
        let allowed: Vec<Option<bool>> = open.iter().map(|i| rule.allows(service, i)).collect();
        allowed.contains(&None) && !allowed.contains(&Some(true))
    };
    let rules = rules(service).into_iter().filter(open_question);
    rules
        .map(|rule| Cause::ConstraintNotJudged {
            service: name.to_owned(),
            constraint: rule.words(),
        })
        .collect()
}

/// A rule for the placement of a task.
pub(crate) enum Rule<'a> {
    /// The container instance belongs to one of these capacity providers.
    Provider(&'a BTreeSet<String>),
    /// The container instance has this attribute, with this value or with any.
    Attribute(&'a str, Option<&'a str>),
    /// A constraint of the service or of its task definition.
    Constraint(&'a Constraint),
}

/// Returns the rules for the placement of a service's tasks.
pub(crate) fn rules(service: &ServiceFacts) -> Vec<Rule<'_>> {
    let need = service.need.as_ref();
    let attributes = need.into_iter().flat_map(|need| &need.attributes);
    let attributes = attributes.map(|(name, value)| Rule::Attribute(name, value.as_deref()));
    let constraints =
        service.constraints.iter().chain(need.into_iter().flat_map(|need| &need.constraints));
    let providers = &service.capacity_providers;
    let provider = (!providers.is_empty()).then_some(Rule::Provider(providers));
    provider.into_iter().chain(attributes).chain(constraints.map(Rule::Constraint)).collect()
}

impl Rule<'_> {
    /// Returns whether the rule allows the instance, or `None` if that cannot be judged.
    pub(crate) fn allows(&self, service: &ServiceFacts, instance: &InstanceFacts) -> Option<bool> {
        match self {
            Rule::Provider(providers) => {
                Some(instance.capacity_provider.as_ref().is_some_and(|one| providers.contains(one)))
            }
            Rule::Attribute(name, wanted) => Some(match instance.attributes.get(*name) {
                Some(value) => wanted.is_none() || value.as_deref() == *wanted,
                None => false,
            }),
            Rule::Constraint(Constraint::DistinctInstance) => {
                service.placed_on.as_ref().map(|placed| !placed.contains(&instance.arn))
            }
            Rule::Constraint(Constraint::MemberOf(expression)) => {
                expression::meets(expression, instance)
            }
            Rule::Constraint(Constraint::Other(_)) => None,
        }
    }

    /// Returns the words after "only where".
    fn words(&self) -> String {
        match self {
            Rule::Provider(providers) => {
                let names: Vec<String> = providers.iter().map(|name| cut(name)).collect();
                format!("the capacity provider is {}", names.join(" or "))
            }
            Rule::Attribute(name, None) => {
                format!("attribute {} exists (required by its task definition)", cut(name))
            }
            Rule::Attribute(name, Some(value)) => {
                format!(
                    "attribute {} is {} (required by its task definition)",
                    cut(name),
                    cut(value)
                )
            }
            Rule::Constraint(Constraint::DistinctInstance) => {
                "no other task of the service runs (placement constraint distinctInstance)"
                    .to_owned()
            }
            Rule::Constraint(Constraint::MemberOf(expression)) => {
                format!("\"{}\" is true (placement constraint memberOf)", cut(expression))
            }
            Rule::Constraint(Constraint::Other(kind)) => {
                format!("placement constraint {} is met", cut(kind))
            }
        }
    }
}

fn cut(text: &str) -> String {
    events::foreign(text)
}

/// Returns the resources that the instance is known to lack.
pub(crate) fn lacks(need: &Need, instance: &InstanceFacts) -> Vec<Lack> {
    let short = |needed: Option<u32>, left: Option<i64>| match (needed, left) {
        (Some(needed), Some(left)) if left < i64::from(needed) => Some((needed, left)),
        _ => None,
    };
    let cpu = short(need.cpu, instance.cpu).map(|(needed, left)| Lack::Cpu { needed, left });
    let memory =
        short(need.memory, instance.memory).map(|(needed, left)| Lack::Memory { needed, left });
    let taken =
        |port: &&Port| instance.ports_taken.as_ref().is_some_and(|taken| taken.contains(port));
    let ports = need.ports.iter().filter(taken).map(|port| Lack::Port(*port));
    let gpus = instance.gpus.filter(|left| *left < need.gpus);
    let gpus = gpus.map(|left| Lack::Gpus { needed: need.gpus, left });
    cpu.into_iter().chain(memory).chain(gpus).chain(ports).collect()
}

/// Returns the sum of missing units and MiB, only to find the closest of several instances.
fn missing(lacks: &[Lack]) -> i64 {
    let one = |lack: &Lack| match lack {
        Lack::Cpu { needed, left } | Lack::Memory { needed, left } => {
            i64::from(*needed).saturating_sub(*left)
        }
        Lack::Gpus { .. } | Lack::Port(_) => 0,
    };
    lacks.iter().map(one).fold(0, i64::saturating_add)
}
