//! The world as it really is: one container instance, two tasks, one target, and a person who interferes.

use ecs_drain_state::{
    Answer, Balancer, ContainerInstance, ContainerInstanceSight, ContainerInstanceStatus, Facts, Kind, Obligation,
    Seen, Target, TargetSight, TaskAnswer, TaskKind, TaskSight, Wanted,
};
use std::fmt;

/// The ARN of the container instance.
pub const C1: &str = "c1";

/// A task, by how much of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Never placed.
    Never,
    /// Placed, and in no counter of ECS yet. It lasts for one step.
    Provisioning,
    /// Running, and registered.
    Running,
    /// Told to stop; its container may still run.
    Stopping,
    /// Gone.
    Stopped,
}

/// The target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Not registered.
    Gone,
    /// It is sent traffic.
    InService,
    /// It is being drained.
    Draining,
}

/// What is so at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Truth {
    /// Whether the container instance is `DRAINING`, or else `ACTIVE`.
    pub draining: bool,
    /// Its version.
    pub version: i64,
    /// The tasks.
    pub tasks: [Task; 2],
    /// The target.
    pub route: Route,
}

/// What a person does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Makes it `ACTIVE`, or `DRAINING`.
    Flip,
    /// Makes it `ACTIVE` and `DRAINING` again, too quickly for any read.
    Blink,
    /// Pauses the drain, or lets it go on.
    Pause,
}

/// How many steps ago a task was placed of which that is not counted (any more).
pub const LONG_AGO: u8 = 15;

/// What is so, and what a read that lags can still see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The newest first.
    pub past: Vec<Truth>,
    /// Whether a person made it `ACTIVE` after it was `DRAINING`.
    pub opened: bool,
    /// How many steps ago each task was placed while it was opened so; [`LONG_AGO`] for all others.
    pub placed: [u8; 2],
}

impl World {
    /// A world in which one task has been there for long.
    pub fn new(first: Task, lag: usize) -> World {
        let tasks = [first, Task::Never];
        let route = if first == Task::Running { Route::InService } else { Route::Draining };
        let truth = Truth { draining: false, version: 0, tasks, route };
        World { past: vec![truth; lag + 1], opened: false, placed: [LONG_AGO; 2] }
    }

    /// What is so now.
    pub fn truth(&self) -> &Truth {
        &self.past[0]
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        let truth = self.truth();
        truth.route == Route::Gone && truth.tasks.iter().all(|task| matches!(task, Task::Never | Task::Stopped))
    }

    /// How many steps ago the newest task was placed that is left, or may have left the target, and that a person's
    /// `ACTIVE` let in.
    pub fn excused(&self) -> Option<u8> {
        self.placed.into_iter().filter(|age| *age < LONG_AGO).min()
    }

    /// ECS is asked to place nothing more.
    pub fn set_draining(&mut self) {
        if !self.past[0].draining {
            self.past[0].draining = true;
            self.past[0].version += 1;
            self.opened = false;
        }
    }

    /// Every world that can follow in one step; `ecs_places` says whether ECS places tasks by itself while it is `ACTIVE`, and
    /// not only what a person's `ACTIVE` lets in.
    pub fn next(&self, act: Act, ecs_places: bool) -> Vec<World> {
        let truth = *self.truth();
        let (opens, draining) = match act {
            Act::Nothing | Act::Pause => (!truth.draining, truth.draining),
            Act::Flip => (true, !truth.draining),
            Act::Blink => (true, true),
        };
        let opened = self.opened || (truth.draining && opens);
        let opens = opens && (ecs_places || opened);
        let mut all = Vec::new();
        for (first, first_ran) in can_become(truth.tasks[0], opens, opened) {
            for (second, second_ran) in can_become(truth.tasks[1], opens, opened) {
                let tasks = [first, second];
                for route in routes(truth.route, tasks, first_ran || second_ran) {
                    let changed = u8::from(draining != truth.draining) + u8::from(tasks != truth.tasks);
                    let version = truth.version + i64::from(changed) + 2 * i64::from(act == Act::Blink);
                    let mut past = vec![Truth { draining, version, tasks, route }];
                    past.extend_from_slice(&self.past[..self.past.len() - 1]);
                    let age = |n: usize| {
                        let new = truth.tasks[n] == Task::Never && tasks[n] != Task::Never;
                        if new && opened { 0 } else { (self.placed[n] + 1).min(LONG_AGO) }
                    };
                    all.push(World { past, opened: opened && !draining, placed: [age(0), age(1)] });
                }
            }
        }
        all
    }

    /// The world in which nobody interferes and everything goes on: what ECS drains goes.
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
        let version = truth.version + i64::from(tasks != truth.tasks);
        let mut past = vec![Truth { version, tasks, route, ..truth }];
        past.extend_from_slice(&self.past[..self.past.len() - 1]);
        World { past, opened: self.opened, placed: self.placed.map(|age| (age + 1).min(LONG_AGO)) }
    }
}

/// What a task can be a step later, and whether it has run meanwhile. What a person's `ACTIVE` lets in can come and go in one
/// step.
fn can_become(task: Task, opens: bool, opened: bool) -> Vec<(Task, bool)> {
    use Task::*;
    match task {
        Never if opens && !opened => vec![(Never, false), (Provisioning, false), (Running, true)],
        Never if opens => {
            vec![(Never, false), (Provisioning, false), (Running, true), (Stopping, true), (Stopped, true)]
        }
        Never => vec![(Never, false)],
        Provisioning | Running => vec![(Running, true), (Stopping, true), (Stopped, true)],
        Stopping => vec![(Stopping, false), (Stopped, false)],
        Stopped => vec![(Stopped, false)],
    }
}

/// What the target can be a step later. It drains for a step at least.
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
    /// What a read of this kind answers while it sees this.
    pub fn answer(&self, kind: Kind, facts: &Facts) -> Answer {
        let named = |wanted: &[Task]| {
            let these = self.tasks.iter().zip(["t1", "t2"]).filter(|(task, _)| wanted.contains(task));
            these.map(|(_, arn)| arn.to_owned()).collect::<Vec<_>>()
        };
        let list = |wanted, tasks| Answer::List { of: C1.to_owned(), wanted, tasks };
        match kind {
            Kind::Status => Answer::Status { of: C1.to_owned(), sight: self.sight() },
            Kind::Running => list(Wanted::Running, named(&[Task::Provisioning, Task::Running])),
            Kind::Stopped => list(Wanted::Stopped, named(&[Task::Stopping, Task::Stopped])),
            Kind::Tasks => {
                let asked = facts.tasks.iter().filter(|(_, task)| task.stopped.is_none() || !task.registrations_known);
                let answer = |arn: &String| (arn.clone(), self.task(if arn == "t1" { 0 } else { 1 }));
                Answer::Tasks(asked.map(|(arn, _)| answer(arn)).collect())
            }
            Kind::Targets => Answer::Targets(vec![(web().balancer, web().target, self.target())]),
            Kind::Own => Answer::Own { found: vec![container_instance()] },
            Kind::Sweep => {
                Answer::Search { unread: Vec::new(), left_out: Vec::new(), found: vec![container_instance()] }
            }
        }
    }

    fn sight(&self) -> ContainerInstanceSight {
        let live = self.tasks.iter().filter(|task| **task == Task::Running).count();
        ContainerInstanceSight {
            status: if self.draining { ContainerInstanceStatus::Draining } else { ContainerInstanceStatus::Active },
            agent_connected: true,
            live: live as u32,
            version: self.version,
        }
    }

    fn task(&self, n: usize) -> TaskAnswer {
        let word = match self.tasks[n] {
            Task::Never => return TaskAnswer::Missing,
            Task::Provisioning => "PROVISIONING",
            Task::Running => "RUNNING",
            Task::Stopping => "DEACTIVATING",
            Task::Stopped => "STOPPED",
        };
        let sight = TaskSight {
            last_status: word.to_owned(),
            stopping: matches!(self.tasks[n], Task::Stopping | Task::Stopped),
            kind: TaskKind::Replica("web".to_owned()),
            protected_until: None,
        };
        TaskAnswer::Found(sight, Seen::Yes(vec![web()]))
    }

    fn target(&self) -> TargetSight {
        let present =
            |state: &str, draining| TargetSight::Present { state: state.to_owned(), draining, instance_dead: false };
        match self.route {
            Route::Gone => TargetSight::Gone,
            Route::InService => present("healthy", false),
            Route::Draining => present("draining", true),
        }
    }
}

/// The registration that both tasks make: one target, whichever of them runs.
pub fn web() -> Obligation {
    Obligation {
        balancer: Balancer::TargetGroup("web".to_owned()),
        target: Target::Instance("i-1".to_owned()),
        delay_seconds: Some(30),
        network: Some(false),
        draining_since: None,
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// The container instance as a search finds it.
pub fn container_instance() -> ContainerInstance {
    ContainerInstance {
        cluster: "prod".to_owned(),
        arn: C1.to_owned(),
        draining_is_ours: false,
        deregistered_at: None,
        drained_for_seconds: 0,
        gone_for_seconds: 0,
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Truth { draining, version, tasks: [first, second], route } = self.truth();
        let status = if *draining { "DRAINING" } else { "ACTIVE" };
        write!(f, "{status} v{version} t1 {first:?} t2 {second:?} target {route:?}")
    }
}
