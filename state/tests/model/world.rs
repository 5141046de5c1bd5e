//! The world as it really is: one container instance, two tasks, one target, the group of the
//! instance, and people who interfere.

use ecs_drain_state::{
    ActionResult, Answer, Balancer, ContainerInstance, ContainerInstanceSight,
    ContainerInstanceStatus, Facts, GroupSight, HookSight, Kind, LifecycleState, Obligation, Seen,
    Target, TargetSight, TaskAnswer, TaskKind, TaskSight, WaitKind, Wanted,
};
use std::fmt;

/// The cluster of every container instance.
pub const CLUSTER: &str = "prod";

/// Returns the name of the n-th thing of a kind.
pub fn name(kind: &str, n: usize) -> String {
    format!("{kind}{}", n + 1)
}

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Never placed.
    Never,
    /// Placed, and in no counter of ECS yet. It lasts for one step.
    Provisioning,
    /// Running, and registered.
    Running,
    /// Stopping; its container may still run.
    Stopping,
    /// Gone.
    Stopped,
}

/// State of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Not registered.
    Gone,
    /// In service.
    InService,
    /// Being drained.
    Draining,
}

/// State of the instance in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Member {
    /// In service.
    InService,
    /// Waiting under the ecs-drain hook.
    Waiting(WaitKind),
    /// Past the wait: it is being terminated.
    LetGo,
    /// Past the wait: it rests in the warm pool, and will be used again.
    Pooled,
    /// Terminated, and forgotten.
    Absent,
}

/// The truth of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Truth {
    /// True if the container instance is `DRAINING`, false if it is `ACTIVE`.
    pub draining: bool,
    /// Version of the container instance.
    pub version: i64,
    /// The tasks.
    pub tasks: [Task; 2],
    /// The target.
    pub route: Route,
    /// State of the instance in its group.
    pub member: Member,
}

/// Act of a person on the container instance in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Makes it `ACTIVE`, or `DRAINING`.
    Flip,
    /// Makes it `ACTIVE` and `DRAINING` again, too quickly for any read.
    Blink,
}

/// Age of a task's placement, in steps, that is not counted (any more).
pub const LONG_AGO: u8 = 15;

/// The truth of now, and the older truths that a read that lags can still see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The newest first.
    pub past: Vec<Truth>,
    /// True if a person made it `ACTIVE` after it was `DRAINING`.
    pub opened: bool,
    /// Number of steps since each task was placed while a person had made it `ACTIVE`; [`LONG_AGO`]
    /// for all others.
    pub placed: [u8; 2],
    /// True if ecs-drain set `DRAINING`, and no person has since.
    pub ours: bool,
    /// True if ecs-drain has ever set it.
    pub ever_ours: bool,
    /// True if a person has ever set it: then `DRAINING` is that person's to decide.
    pub by_hand: bool,
    /// True if ecs-drain has asked the group to terminate the instance.
    pub asked: bool,
}

impl World {
    /// Creates a world in which one task has been there for long.
    pub fn new(first: Task, lag: usize, member: Member, draining: bool) -> World {
        let tasks = [first, Task::Never];
        let route = if first == Task::Running { Route::InService } else { Route::Draining };
        let truth = Truth { draining, version: 0, tasks, route, member };
        let placed = [LONG_AGO; 2];
        World {
            past: vec![truth; lag + 1],
            opened: false,
            placed,
            ours: false,
            ever_ours: false,
            by_hand: draining,
            asked: false,
        }
    }

    /// Returns the truth of now.
    pub fn truth(&self) -> &Truth {
        &self.past[0]
    }

    /// Returns whether nothing is left.
    pub fn is_empty(&self) -> bool {
        let truth = self.truth();
        truth.route == Route::Gone
            && truth.tasks.iter().all(|task| matches!(task, Task::Never | Task::Stopped))
    }

    /// Returns the age in steps of the newest task that a person's `ACTIVE` let in and that is
    /// left, or may have left the target.
    pub fn excused(&self) -> Option<u8> {
        self.placed.into_iter().filter(|age| *age < LONG_AGO).min()
    }

    /// Applies the call that asks ECS to place nothing more.
    pub fn set_draining(&mut self) {
        let truth = &mut self.past[0];
        if !truth.draining && truth.member != Member::Absent {
            truth.draining = true;
            truth.version += 1;
            self.opened = false;
            (self.ours, self.ever_ours) = (true, true);
        }
    }

    /// Applies the call that asks ECS to place tasks again.
    pub fn set_active(&mut self) {
        let truth = &mut self.past[0];
        if truth.draining {
            truth.draining = false;
            truth.version += 1;
        }
    }

    /// Completes the lifecycle action. Returns false if there is none.
    pub fn complete(&mut self) -> bool {
        let Member::Waiting(kind) = self.truth().member else { return false };
        let truth = &mut self.past[0];
        truth.member = if kind.lives_on() { Member::Pooled } else { Member::LetGo };
        // The state at the release is judged when it happens.
        truth.tasks = [Task::Stopped, Task::Stopped];
        truth.route = Route::Gone;
        truth.version += 1;
        (self.opened, self.placed) = (false, [LONG_AGO; 2]);
        true
    }

    /// Lets the group terminate it: the ecs-drain hook holds it.
    pub fn terminate(&mut self) {
        if self.truth().member == Member::InService {
            self.past[0].member = Member::Waiting(WaitKind::Terminating);
        }
    }

    fn passed(&self, truth: Truth) -> Vec<Truth> {
        let mut past = Vec::with_capacity(self.past.len());
        past.push(truth);
        past.extend_from_slice(&self.past[..self.past.len() - 1]);
        past
    }

    /// Returns every world that can follow in one step. With `ecs_places`, ECS places tasks by
    /// itself while it is `ACTIVE`; otherwise only a person's `ACTIVE` lets them in.
    pub fn next(&self, act: Act, ecs_places: bool) -> Vec<World> {
        let truth = *self.truth();
        if let Member::LetGo | Member::Pooled | Member::Absent = truth.member {
            let then: &[Member] = match truth.member {
                Member::LetGo => &[Member::LetGo, Member::Absent],
                Member::Pooled => &[Member::Pooled, Member::InService],
                Member::InService | Member::Waiting(_) | Member::Absent => &[truth.member],
            };
            let world = |member: &Member| World {
                past: self.passed(Truth { member: *member, ..truth }),
                ..self.clone()
            };
            return then.iter().map(world).collect();
        }
        let (opens, draining) = match act {
            Act::Nothing => (!truth.draining, truth.draining),
            Act::Flip => (true, !truth.draining),
            Act::Blink => (true, true),
        };
        let by_person = act != Act::Nothing;
        let opened = self.opened || (truth.draining && opens && by_person);
        let opens = opens && (ecs_places || opened);
        let mut all = Vec::new();
        for (first, first_ran) in can_become(truth.tasks[0], opens, opened) {
            for (second, second_ran) in can_become(truth.tasks[1], opens, opened) {
                let tasks = [first, second];
                for route in routes(truth.route, tasks, first_ran || second_ran) {
                    let changed =
                        u8::from(draining != truth.draining) + u8::from(tasks != truth.tasks);
                    let version =
                        truth.version + i64::from(changed) + 2 * i64::from(act == Act::Blink);
                    let past = self.passed(Truth { draining, version, tasks, route, ..truth });
                    let age = |n: usize| {
                        let new = truth.tasks[n] == Task::Never && tasks[n] != Task::Never;
                        if new && opened { 0 } else { (self.placed[n] + 1).min(LONG_AGO) }
                    };
                    all.push(World {
                        past,
                        opened: opened && !draining,
                        placed: [age(0), age(1)],
                        ours: self.ours && !by_person,
                        ever_ours: self.ever_ours,
                        by_hand: self.by_hand || by_person,
                        asked: self.asked,
                    });
                }
            }
        }
        all
    }

    /// Returns the world a step later if no person interferes: targets and tasks that ECS drains
    /// go, and a released instance moves on.
    pub fn progress(&self) -> World {
        let truth = *self.truth();
        let on = |task| match task {
            Task::Provisioning => Task::Running,
            Task::Running if truth.draining => Task::Stopping,
            Task::Stopping => Task::Stopped,
            Task::Never | Task::Running | Task::Stopped => task,
        };
        let tasks = truth.tasks.map(on);
        let route = match truth.route {
            _ if tasks.contains(&Task::Running) => Route::InService,
            Route::InService => Route::Draining,
            Route::Draining | Route::Gone => Route::Gone,
        };
        let member = match truth.member {
            Member::LetGo => Member::Absent,
            Member::Pooled => Member::InService,
            member @ (Member::InService | Member::Waiting(_) | Member::Absent) => member,
        };
        let version = truth.version + i64::from(tasks != truth.tasks);
        let past = self.passed(Truth { version, tasks, route, member, ..truth });
        World { past, placed: self.placed.map(|age| (age + 1).min(LONG_AGO)), ..self.clone() }
    }
}

/// Returns the states that a task can have a step later, each with whether it has run meanwhile. A
/// task that a person's `ACTIVE` lets in can come and go in one step.
fn can_become(task: Task, opens: bool, opened: bool) -> Vec<(Task, bool)> {
    use Task::*;
    match task {
        Never if opens && !opened => vec![(Never, false), (Provisioning, false), (Running, true)],
        Never if opens => {
            vec![
                (Never, false),
                (Provisioning, false),
                (Running, true),
                (Stopping, true),
                (Stopped, true),
            ]
        }
        Never => vec![(Never, false)],
        Provisioning | Running => vec![(Running, true), (Stopping, true), (Stopped, true)],
        Stopping => vec![(Stopping, false), (Stopped, false)],
        Stopped => vec![(Stopped, false)],
    }
}

/// Returns the states that the target can have a step later. It drains for a step at least.
fn routes(before: Route, tasks: [Task; 2], ran: bool) -> Vec<Route> {
    match before {
        _ if tasks.contains(&Task::Running) => vec![Route::InService],
        Route::InService => vec![Route::Draining],
        Route::Gone | Route::Draining if ran => vec![Route::Draining],
        Route::Draining => vec![Route::Draining, Route::Gone],
        Route::Gone => vec![Route::Gone],
    }
}

impl Truth {
    /// Returns the answer of a read of this kind about the n-th instance that sees this truth.
    pub fn answer(&self, n: usize, kind: Kind, facts: &Facts) -> Answer {
        let tasks = [name("t", 2 * n), name("t", 2 * n + 1)];
        let named = |wanted: &[Task]| {
            let these = self.tasks.iter().zip(&tasks).filter(|(task, _)| wanted.contains(task));
            these.map(|(_, arn)| arn.clone()).collect::<Vec<_>>()
        };
        let list = |wanted, tasks| Answer::List { of: name("c", n), wanted, tasks };
        match kind {
            Kind::Status => Answer::Status { of: name("c", n), sight: self.sight() },
            Kind::Running => list(Wanted::Running, named(&[Task::Provisioning, Task::Running])),
            Kind::Stopped => list(Wanted::Stopped, named(&[Task::Stopping, Task::Stopped])),
            Kind::Tasks => {
                let asked = facts
                    .tasks
                    .iter()
                    .filter(|(_, task)| task.stopped.is_none() || !task.registrations_known);
                let answer =
                    |arn: &String| (arn.clone(), self.task(n, usize::from(*arn == tasks[1])));
                Answer::Tasks(asked.map(|(arn, _)| answer(arn)).collect())
            }
            Kind::Targets => Answer::Targets(vec![(web(n).balancer, web(n).target, self.target())]),
            Kind::Own => Answer::Own { found: self.found(n) },
            Kind::Sweep => {
                Answer::Search { unread: Vec::new(), left_out: Vec::new(), found: self.found(n) }
            }
        }
    }

    fn found(&self, n: usize) -> Vec<ContainerInstance> {
        if self.member == Member::Absent { Vec::new() } else { vec![container_instance(n)] }
    }

    /// Returns the groups' answer about it.
    pub fn group(&self) -> GroupSight {
        let state = match self.member {
            Member::Absent => return GroupSight::Absent,
            Member::InService => LifecycleState::InService,
            Member::Waiting(kind) => LifecycleState::Waiting(kind),
            Member::LetGo => LifecycleState::PastWait("Terminating:Proceed".to_owned()),
            Member::Pooled => LifecycleState::PastWait("Warmed:Stopped".to_owned()),
        };
        let hook = HookSight {
            heartbeat_timeout_seconds: 60,
            global_timeout_seconds: 100_000,
            default_result: ActionResult::Abandon,
            others: Vec::new(),
            retains_abandoned: false,
        };
        GroupSight::Member {
            group: String::new(),
            state,
            healthy: true,
            hook: Seen::Yes(Some(hook)),
        }
    }

    fn sight(&self) -> ContainerInstanceSight {
        if self.member == Member::Absent {
            return ContainerInstanceSight::MISSING;
        }
        let live = self.tasks.iter().filter(|task| **task == Task::Running).count();
        ContainerInstanceSight {
            status: if self.draining {
                ContainerInstanceStatus::Draining
            } else {
                ContainerInstanceStatus::Active
            },
            agent_connected: true,
            live: live as u32,
            version: self.version,
        }
    }

    fn task(&self, n: usize, which: usize) -> TaskAnswer {
        let word = match self.tasks[which] {
            Task::Never => return TaskAnswer::Missing,
            Task::Provisioning => "PROVISIONING",
            Task::Running => "RUNNING",
            Task::Stopping => "DEACTIVATING",
            Task::Stopped => "STOPPED",
        };
        let sight = TaskSight {
            last_status: word.to_owned(),
            stopping: matches!(self.tasks[which], Task::Stopping | Task::Stopped),
            kind: TaskKind::Replica("web".to_owned()),
            protected_until: None,
        };
        TaskAnswer::Found(sight, Seen::Yes(vec![web(n)]))
    }

    fn target(&self) -> TargetSight {
        let present = |state: &str, draining| TargetSight::Present {
            state: state.to_owned(),
            draining,
            instance_dead: false,
        };
        match self.route {
            Route::Gone => TargetSight::Gone,
            Route::InService => present("healthy", false),
            Route::Draining => present("draining", true),
        }
    }
}

/// Returns the obligation that both tasks make: one target, whichever of them runs.
pub fn web(n: usize) -> Obligation {
    Obligation {
        balancer: Balancer::TargetGroup("web".to_owned()),
        target: Target::Instance(name("i-", n)),
        delay_seconds: Some(30),
        network: Some(false),
        draining_since: None,
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Returns the container instance as a search finds it.
pub fn container_instance(n: usize) -> ContainerInstance {
    ContainerInstance {
        cluster: CLUSTER.to_owned(),
        arn: name("c", n),
        draining_is_ours: false,
        deregistered_at: None,
        drained_for_seconds: 0,
        gone_for_seconds: 0,
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Truth { draining, tasks: [first, second], route, member, .. } = self.truth();
        let status = if *draining { "DRAINING" } else { "ACTIVE" };
        write!(f, "{status}, tasks {first:?} and {second:?}, target {route:?}, {member:?}")
    }
}
