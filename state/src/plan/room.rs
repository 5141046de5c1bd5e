//! The free resources of the container instances that stay.

use crate::diagnosis::service::rules;
use crate::diagnosis::{Constraint, InstanceFacts, Need, Port, ServiceFacts};
use std::collections::{BTreeMap, BTreeSet};

/// A container instance, with the replacements that were placed on it so far.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    instance: &'a InstanceFacts,
    cpu: i64,
    memory: i64,
    gpus: usize,
    ports: BTreeSet<Port>,
    /// Replacements of each service.
    taken: BTreeMap<&'a str, usize>,
}

impl<'a> Place<'a> {
    /// Takes an instance whose agent is connected and whose free resources are known.
    pub(super) fn new(instance: &'a InstanceFacts) -> Option<Place<'a>> {
        instance.agent_connected.then_some(())?;
        Some(Place {
            instance,
            cpu: instance.cpu?,
            memory: instance.memory?,
            gpus: instance.gpus?,
            ports: instance.ports_taken.clone()?,
            taken: BTreeMap::new(),
        })
    }

    /// Returns the EC2 instance id.
    pub(super) fn id(&self) -> &'a str {
        &self.instance.ec2_instance_id
    }

    /// Returns the ARN of the container instance.
    pub(super) fn arn(&self) -> &'a str {
        &self.instance.arn
    }

    /// Checks whether a replacement of the service was placed here.
    pub(super) fn holds(&self, service: &str) -> bool {
        self.taken.contains_key(service)
    }

    /// Returns the facts of the instance with the resources that are left.
    pub(super) fn facts(&self) -> InstanceFacts {
        InstanceFacts {
            cpu: Some(self.cpu),
            memory: Some(self.memory),
            gpus: Some(self.gpus),
            ports_taken: Some(self.ports.clone()),
            ..self.instance.clone()
        }
    }

    /// Checks that ECS may place a task of the service here, as far as its rules go.
    pub(super) fn allows(&self, service: &ServiceFacts) -> bool {
        rules(service).iter().all(|rule| rule.allows(service, self.instance) == Some(true))
    }

    /// Checks that one more task has room here.
    pub(super) fn fits(&self, name: &str, service: &ServiceFacts, size: &Size<'_>) -> bool {
        let distinct = is_distinct(service) && self.holds(name);
        self.cpu >= size.cpu
            && self.memory >= size.memory
            && self.gpus >= size.need.gpus
            && self.ports.is_disjoint(&size.need.ports)
            && !distinct
    }

    /// Places a task.
    pub(super) fn take(&mut self, name: &'a str, size: &Size<'_>) {
        self.cpu -= size.cpu;
        self.memory -= size.memory;
        self.gpus = self.gpus.saturating_sub(size.need.gpus);
        self.ports.extend(&size.need.ports);
        *self.taken.entry(name).or_default() += 1;
    }
}

/// Needs of a task whose numbers are known.
#[derive(Clone, Copy)]
pub(super) struct Size<'a> {
    pub(super) cpu: i64,
    pub(super) memory: i64,
    pub(super) need: &'a Need,
}

impl<'a> Size<'a> {
    /// Returns the needs, if they are known.
    pub(super) fn of(service: &'a ServiceFacts) -> Option<Size<'a>> {
        let need = service.need.as_ref()?;
        Some(Size { cpu: need.cpu?.into(), memory: need.memory?.into(), need })
    }
}

/// Checks whether no two tasks of the service may share an instance.
pub(super) fn is_distinct(service: &ServiceFacts) -> bool {
    let of_task = service.need.iter().flat_map(|need| &need.constraints);
    service.constraints.iter().chain(of_task).any(|rule| *rule == Constraint::DistinctInstance)
}

/// Replacements of one service that ECS may start.
pub(super) struct Wave<'a> {
    pub(super) size: Size<'a>,
    pub(super) count: usize,
}

/// Weights of CPU against memory that are tried, of this sum.
const WEIGHTS: i128 = 8;

/// Checks that the last replacement of a service finds a place wherever ECS has placed all others.
///
/// The others would have to leave too little CPU or too little memory on every instance that could
/// take it. That is impossible if they are too few or, for some weights of CPU and memory, too
/// small. `rivals` are all of them, `conflicts` is the number of those that can bar an instance
/// alone: by a port, a GPU, or `distinctInstance`.
pub(super) fn is_certain(
    places: &[&Place<'_>],
    size: &Size<'_>,
    rivals: &[Wave<'_>],
    conflicts: usize,
) -> bool {
    let tasks: usize = rivals.iter().map(|wave| wave.count).sum();
    if tasks == 0 {
        return !places.is_empty();
    }
    let total = |of: fn(&Size<'_>) -> i64| -> i128 {
        let sum = |wave: &Wave<'_>| {
            i128::from(of(&wave.size)) * i128::try_from(wave.count).unwrap_or(i128::MAX >> 64)
        };
        rivals.iter().map(sum).sum::<i128>().max(1)
    };
    let largest = |of: fn(&Size<'_>) -> i64| {
        rivals.iter().map(|wave| of(&wave.size)).max().unwrap_or_default().max(1)
    };
    // CPU and memory that the others must take of an instance to bar it.
    let spare: Vec<(i64, i64)> =
        places.iter().map(|p| (p.cpu - size.cpu + 1, p.memory - size.memory + 1)).collect();
    let (most_cpu, most_memory) = (largest(|size| size.cpu), largest(|size| size.memory));
    let fewest = |(cpu, memory): &(i64, i64)| {
        let needed = |spare: i64, most: i64| (spare + most - 1) / most;
        i128::from(needed(*cpu, most_cpu).min(needed(*memory, most_memory)))
    };
    let by_number = rest(spare.iter().map(fewest).collect(), conflicts);
    if by_number > i128::try_from(tasks).unwrap_or(i128::MAX) {
        return true;
    }
    let (cpu_total, memory_total) = (total(|size| size.cpu), total(|size| size.memory));
    (1..WEIGHTS).any(|weight| {
        let cost = |(cpu, memory): &(i64, i64)| {
            let by_cpu = weight * i128::from(*cpu) * memory_total;
            by_cpu.min((WEIGHTS - weight) * i128::from(*memory) * cpu_total)
        };
        let costs = spare.iter().map(cost).collect();
        rest(costs, conflicts) > WEIGHTS * cpu_total * memory_total
    })
}

/// Returns the sum of costs without the highest ones.
fn rest(mut costs: Vec<i128>, without: usize) -> i128 {
    costs.sort_unstable_by_key(|cost| std::cmp::Reverse(*cost));
    costs.iter().skip(without).sum()
}
