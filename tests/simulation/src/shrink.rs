//! Makes a failing plan smaller, as long as the same kind of complaint remains.

use crate::plan::{Happening, Plan};

/// The largest number of smaller plans that are tried.
const TRIES: usize = 150;

/// Returns the smallest plan found for which `fails` stays true.
pub fn shrink(plan: Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut smallest = plan;
    let mut tries = 0;
    loop {
        let before = size(&smallest);
        for part in PARTS {
            // Big pieces first, then smaller ones, then each item alone.
            let mut piece = part.len(&smallest).max(1);
            while piece > 0 {
                let mut from = 0;
                while from < part.len(&smallest) {
                    tries += 1;
                    if tries > TRIES {
                        return smallest;
                    }
                    let smaller = part.without(&smallest, from, piece);
                    if size(&smaller) < size(&smallest) && fails(&smaller) {
                        smallest = smaller;
                    } else {
                        from += piece;
                    }
                }
                piece /= 2;
            }
        }
        if size(&smallest) == before {
            return smallest;
        }
    }
}

/// A list from which items can be left out.
#[derive(Clone, Copy)]
enum Part {
    Faults,
    Script,
    Replicas,
    Tasks,
    Services,
    Groups,
    Instances,
    Lags,
}

const PARTS: [Part; 8] = [
    Part::Faults,
    Part::Script,
    Part::Replicas,
    Part::Tasks,
    Part::Services,
    Part::Groups,
    Part::Instances,
    Part::Lags,
];

/// Returns the number of things in a plan.
pub fn size(plan: &Plan) -> usize {
    PARTS.iter().map(|part| part.len(plan)).sum()
}

fn cut<T>(items: &mut Vec<T>, from: usize, piece: usize) {
    let until = (from + piece).min(items.len());
    items.drain(from.min(until)..until);
}

impl Part {
    fn len(self, plan: &Plan) -> usize {
        match self {
            Part::Faults => plan.faults.len(),
            Part::Script => plan.script.len(),
            // The first one never retires: one controller must remain.
            Part::Replicas => plan.replicas.len() - 1,
            Part::Tasks => plan.tasks.len(),
            Part::Services => plan.services.len(),
            Part::Groups => plan.groups.len(),
            Part::Instances => plan.groups.iter().map(|group| group.instances.len()).sum(),
            Part::Lags => {
                usize::from(plan.read_lag.is_some())
                    + usize::from(plan.index_lag > 0)
                    + usize::from(plan.queue.is_some())
                    + usize::from(plan.far)
                    + usize::from(!plan.revisions.is_empty())
                    + usize::from(plan.rules.deregister)
            }
        }
    }

    fn without(self, plan: &Plan, from: usize, piece: usize) -> Plan {
        let mut plan = plan.clone();
        match self {
            Part::Faults => cut(&mut plan.faults, from, piece),
            Part::Script => cut(&mut plan.script, from, piece),
            Part::Replicas => cut(&mut plan.replicas, from + 1, piece),
            Part::Tasks => cut(&mut plan.tasks, from, piece),
            Part::Services => cut(&mut plan.services, from, piece),
            Part::Groups => cut(&mut plan.groups, from, piece),
            Part::Instances => {
                let mut number = 0;
                for group in &mut plan.groups {
                    group.instances.retain(|_| {
                        number += 1;
                        !(from + 1..=from + piece).contains(&number)
                    });
                }
                plan.groups.retain(|group| !group.instances.is_empty());
            }
            Part::Lags => {
                // In the order of what makes a story hard to read.
                if plan.read_lag.take().is_none()
                    && std::mem::take(&mut plan.index_lag) == 0
                    && plan.queue.take().is_none()
                    && !std::mem::take(&mut plan.far)
                    && !one_revision(&mut plan)
                {
                    plan.rules.deregister = false;
                }
            }
        }
        plan
    }
}

/// Leaves one revision of the controller; returns false if there were no others.
fn one_revision(plan: &mut Plan) -> bool {
    plan.script.retain(|(_, what)| !matches!(what, Happening::Deployed { .. }));
    plan.replicas.iter_mut().for_each(|replica| replica.revision = 0);
    !std::mem::take(&mut plan.revisions).is_empty()
}
