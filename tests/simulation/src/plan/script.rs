//! The events of a fleet, and their moments.

use super::dice::Dice;
use super::{Asked, Balancing, Group, Happening, Plan, Service, can_move};
use ecs_drain_state::Then;

/// Events, each with its second.
type Script = Vec<(u64, Happening)>;

/// The place and moment of an event.
struct Scene<'p> {
    plan: &'p Plan,
    group: Group,
    instance: String,
    at: u64,
    /// The moment of the events that follow it.
    later: u64,
}

impl Scene<'_> {
    /// Returns the group's cluster. Without a cluster, nothing of ECS can happen to the group's
    /// instances.
    fn cluster(&self) -> String {
        self.group.cluster.clone().unwrap_or_else(|| self.plan.clusters[0].clone())
    }
}

/// Returns true if this instance can go while ECS does not hear its agent: Spot takes it, EC2 loses
/// it, an operator forces its end, or its group has no hook for a while.
fn is_taken(plan: &Plan, script: &Script, of: &str) -> bool {
    let member = |name: &String| {
        plan.groups.iter().any(|g| g.name == *name && g.instances.iter().any(|i| i == of))
    };
    script.iter().any(|(_, what)| match what {
        Happening::Spot { instance } | Happening::Dies { instance } => instance == of,
        Happening::Order { instance, what: Asked::Complete } => instance == of,
        Happening::HookDeleted { group } => member(group),
        _ => false,
    })
}

/// Leaves out lost agents of instances that die: such an instance stays registered for ever, with
/// tasks and targets.
fn heard(plan: &Plan, script: Script) -> Script {
    let unheard = |what: &Happening| matches!(what, Happening::Agent { instance, .. } if is_taken(plan, &script, instance));
    script.iter().filter(|(_, what)| !unheard(what)).cloned().collect()
}

/// Returns the events of a varied plan, without those that no plan has.
pub(super) fn without_the_unheard(plan: &Plan) -> Script {
    heard(plan, plan.script.clone())
}

impl Dice {
    pub(super) fn script(&mut self, plan: &Plan) -> Script {
        let mut script = Script::new();
        for _ in 0..self.among(2, 14) {
            let group = self.one(&plan.groups);
            let instance = self.one(&group.instances);
            let at = self.among(0, plan.calm_at - 60);
            let later = (at + self.among(5, 150)).min(plan.calm_at - 1);
            script.extend(self.happening(&Scene { plan, group, instance, at, later }));
        }
        let mut script = heard(plan, script);
        script.sort_by_key(|(at, _)| *at);
        script
    }

    /// Draws one event, with the events that follow it.
    fn happening(&mut self, scene: &Scene<'_>) -> Script {
        match self.among(0, 99) {
            0..26 => self.leaves(scene),
            26..36 => self.of_the_group(scene),
            36..40 => {
                let agent =
                    |connected| Happening::Agent { instance: scene.instance.clone(), connected };
                vec![(scene.at, agent(false)), (scene.later, agent(true))]
            }
            40..60 => self.orders(scene),
            60..69 => self.warned(scene),
            69..85 => self.of_tasks(scene),
            _ => self.of_controllers(scene),
        }
    }

    /// Draws the end of an instance in its group, or in service.
    fn leaves(&mut self, scene: &Scene<'_>) -> Script {
        let Scene { at, later, .. } = *scene;
        let instance = scene.instance.clone();
        let terminate = Happening::Terminate { instance: instance.clone(), shrink: self.often(60) };
        match self.among(0, 25) {
            // AWS does not document if a group deregisters such an instance from its own balancers.
            0..2 if scene.group.attached.is_none() => {
                vec![(at, Happening::RootVolume { instance })]
            }
            2..4 => vec![(at, Happening::Dies { instance })],
            4..6 => {
                let active = self.often(70);
                vec![(at, terminate), (later, Happening::ByHand { instance, active })]
            }
            _ => vec![(at, terminate)],
        }
    }

    fn of_the_group(&mut self, scene: &Scene<'_>) -> Script {
        let Scene { at, later, .. } = *scene;
        let group = scene.group.name.clone();
        match (self.among(0, 9), &scene.group.warm_pool) {
            (0..4, Some(pool)) => {
                let instance = scene.instance.clone();
                let other = pool.rest.first().unwrap_or(&instance).clone();
                vec![
                    (at, Happening::ToPool { instance }),
                    (later, Happening::FromPool { instance: other }),
                ]
            }
            (0..2, None) => {
                let (healthy, warmup) = (self.one(&[50, 90, 100]), self.among(5, 60));
                let mut script =
                    vec![(at, Happening::Refresh { group: group.clone(), healthy, warmup })];
                if self.often(30) {
                    script.push((later, Happening::RefreshCancelled { group }));
                }
                script
            }
            (2..4, None) => {
                vec![
                    (at, Happening::CapacityOut { group: group.clone() }),
                    (later, Happening::CapacityBack { group }),
                ]
            }
            (4, _) => {
                vec![
                    (at, Happening::HookDeleted { group: group.clone() }),
                    (later, Happening::HookPut { group }),
                ]
            }
            (5, _) => {
                let active = self.often(70);
                vec![(at, Happening::ByHand { instance: scene.instance.clone(), active })]
            }
            _ => {
                let most = u64::try_from(scene.group.instances.len()).unwrap_or(1);
                let desired = u32::try_from(self.among(1, most)).unwrap_or(1);
                vec![(at, Happening::Capacity { group, desired })]
            }
        }
    }

    /// Draws a Spot warning or a rebalance recommendation. With `keep`, an instance remains a
    /// target of its group's own balancer: such a drain never ends by itself and is not drawn.
    fn warned(&mut self, scene: &Scene<'_>) -> Script {
        let instance = scene.instance.clone();
        let ends = scene.group.attached.is_none() || scene.plan.rules.rebalance != "keep";
        match self.among(0, 8) {
            0..4 if ends => vec![(scene.at, Happening::Rebalance { instance })],
            _ => vec![(scene.at, Happening::Spot { instance })],
        }
    }

    fn of_tasks(&mut self, scene: &Scene<'_>) -> Script {
        let Scene { at, later, plan, .. } = *scene;
        let (cluster, instance) = (scene.cluster(), scene.instance.clone());
        let of_cluster: Vec<&Service> =
            plan.services.iter().filter(|s| s.cluster == cluster && !s.daemon).collect();
        let of = self.one(&of_cluster);
        let service = of.name.clone();
        match self.among(0, 15) {
            0..4 => {
                let desired = self.desired();
                let changes = of.balancing != Balancing::Classic && can_move(desired, of.percents);
                let change = changes.then_some(Happening::Desired { cluster, service, desired });
                change.into_iter().map(|change| (at, change)).collect()
            }
            4..7 => {
                let trouble =
                    Happening::Trouble { cluster: cluster.clone(), service: service.clone() };
                vec![(at, trouble), (later, Happening::Heal { cluster, service })]
            }
            7..10 => {
                let span = self.among(10, 300);
                vec![(at, Happening::Protect { cluster, service, instance, span })]
            }
            10..13 if scene.group.cluster.is_some() => {
                vec![(at, Happening::RegistersAgain { cluster, instance })]
            }
            _ => self.task(plan).into_iter().map(|task| (at, Happening::RunTask(task))).collect(),
        }
    }

    /// Draws events of controllers: deaths, freezes, jumps of the clock, a table that is
    /// unavailable, a pause of all drains.
    fn of_controllers(&mut self, scene: &Scene<'_>) -> Script {
        let Scene { at, later, .. } = *scene;
        let replica = self.0.usize(..scene.plan.replicas.len());
        match self.among(0, 14) {
            0..5 => vec![(at, Happening::Kill { replica })],
            5..8 => vec![(at, Happening::Stop { replica, span: self.among(5, 120), amid: None })],
            8..10 => {
                vec![(at, Happening::ClockJumps { replica, by: self.0.i64(-600_000..=600_000) })]
            }
            10..13 => {
                // Sometimes for longer than a heartbeat timeout.
                let span = self.among(5, 200) * self.one(&[1, 1, 2]);
                vec![(at, Happening::TableAway { span, hangs: self.often(40) })]
            }
            _ => vec![(at, Happening::Pause { on: true }), (later, Happening::Pause { on: false })],
        }
    }

    /// Draws requests of operators, who may change their minds.
    fn orders(&mut self, scene: &Scene<'_>) -> Script {
        let Scene { at, later, .. } = *scene;
        let order = |at: u64, what: Asked| {
            (at, Happening::Order { instance: scene.instance.clone(), what })
        };
        let thens = match scene.group.attached {
            None => vec![Then::Keep, Then::Keep, Then::Terminate, Then::TerminateAndShrink],
            // With `Keep`, an instance remains a target of its group's own balancer, and its drain
            // never ends by itself.
            Some(_) => vec![Then::Terminate, Then::TerminateAndShrink],
        };
        let drain = Asked::Drain(self.one(&thens));
        match self.among(0, 10) {
            0..4 => vec![order(at, drain)],
            4..7 => {
                let between = self.among(at, later);
                let mut script = vec![order(at, drain), order(between, Asked::Cancel)];
                if self.often(30) {
                    // Set by someone else long enough before: ecs-drain must not undo it.
                    let by_hand =
                        Happening::ByHand { instance: scene.instance.clone(), active: false };
                    script.push((at.saturating_sub(130), by_hand));
                }
                if self.often(50) {
                    script.push(order(later, drain));
                }
                script
            }
            7 => vec![order(at, Asked::Hold), order(later, Asked::Resume)],
            8 => vec![order(at, Asked::Retry)],
            9 => vec![order(at, Asked::Extend(self.among(60, 1200)))],
            _ => vec![order(at, drain), order(later, Asked::Complete)],
        }
    }
}
