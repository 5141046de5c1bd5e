//! The controller as the model sees it: the real [`Drain`], its memory measured from now.

use crate::memory;
use crate::world::{Truth, World, container_instance};
use ecs_drain_state::{
    Action, ActionResult, Answer, Context, Decision, Drain, GroupSight, HookSight, Kind, Lifecycle, LifecycleState,
    Mono, Needs, Now, Origin, Outcome, Phase, Policy, Read, Record, Seen, Strategy, WaitKind,
};
use jiff::{SignedDuration, Timestamp};
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// The moment at which every step is.
pub const NOW: Mono = Mono::at(Duration::from_secs(600));

/// The controller.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its drain.
    pub drain: Drain,
    /// A call that was decided and waits for its permit.
    pub queued: Option<Action>,
    /// What the last decision of this step wants read.
    pub needs: Needs,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The guard refused it.
    Refused,
    /// ECS was asked to drain the container instance.
    Draining,
    /// Auto Scaling was told to go on.
    Completed,
}

impl Process {
    /// A controller that has just opened the record.
    pub fn new() -> Process {
        let opening = ecs_drain_state::record::Opening {
            account: String::new(),
            region: String::new(),
            instance_id: String::new(),
            controller: String::new(),
            origin: Origin::LifecycleHook,
            strategy: Strategy::Drain,
            lifecycle: Some(Lifecycle {
                group: String::new(),
                hook: String::new(),
                kind: WaitKind::Terminating,
                heartbeat_timeout_seconds: 60,
                global_timeout_seconds: 6000,
                default_result: ActionResult::Abandon,
                other_hooks: Vec::new(),
                retains_abandoned: false,
            }),
            group: None,
            then: None,
            requested: None,
            container_instances: vec![container_instance()],
            deadline: None,
            margin: SignedDuration::ZERO,
        };
        let record = Record::open(opening, Timestamp::UNIX_EPOCH);
        let mut process = Process { drain: Drain::new(record.clone(), NOW), queued: None, needs: Needs::default() };
        process.write(record);
        process
    }

    /// The memory is lost; the record is read again.
    pub fn crash(&mut self) {
        self.drain = Drain::new(self.drain.record.clone(), NOW);
        self.queued = None;
    }

    /// A step passes.
    pub fn age(&mut self, step: Duration) {
        memory::age(&mut self.drain.facts, step);
    }

    /// Forgets every age that can make no difference any more.
    pub fn forget(&mut self, policy: &Policy) {
        memory::forget(&mut self.drain.facts, policy);
    }

    /// Takes over an answer of this moment.
    pub fn heed(&mut self, policy: &Policy, answer: Answer) {
        self.drain.heed(policy, Read { began: NOW, ended: NOW }, answer);
    }

    /// Reads the group, which shows the instance waiting all the time.
    pub fn read_group(&mut self, policy: &Policy) {
        let hook = HookSight {
            heartbeat_timeout_seconds: 60,
            global_timeout_seconds: 6000,
            default_result: ActionResult::Abandon,
            others: Vec::new(),
            retains_abandoned: false,
        };
        let state = LifecycleState::Waiting(WaitKind::Terminating);
        let hook = Seen::Yes(Some(hook));
        let sight = GroupSight::Member { group: String::new(), state, healthy: true, hook };
        self.heed(policy, Answer::Group(Seen::Yes(sight)));
    }

    /// Decides.
    pub fn decide(&self, policy: &Policy) -> Decision {
        let decision = self.drain.decide(policy, &Context::default(), now());
        assert_eq!(decision.fault, None, "{:?}", self.drain.record.phase());
        decision
    }

    /// The kinds of read that the last decision wants by now.
    pub fn wants(&self) -> Vec<Kind> {
        self.needs.iter().filter(|(_, need)| need.from <= NOW).map(|(kind, _)| kind).collect()
    }

    /// What a read of this kind can answer, each once.
    pub fn answers(&self, kind: Kind, past: &[Truth]) -> Vec<Answer> {
        let mut all: Vec<Answer> = Vec::new();
        for truth in past {
            let answer = truth.answer(kind, &self.drain.facts);
            if !all.contains(&answer) {
                all.push(answer);
            }
        }
        all
    }

    /// Saves a record. What is only for people is left out, and every moment of the wall clock is the same.
    pub fn write(&mut self, mut record: Record) {
        record.history = Vec::new();
        record.shown.message = String::new();
        record.shown.why = String::new();
        (record.shown.tasks_left, record.shown.tasks_left_count) = (Vec::new(), 0);
        (record.shown.targets_left, record.shown.targets_left_count) = (Vec::new(), 0);
        self.drain.take(record, NOW);
    }

    /// Asks the guard, and sends.
    pub fn send(&self, action: &Action, policy: &Policy, world: &mut World) -> Sent {
        if self.drain.may_send(action, policy, now()).is_err() {
            return Sent::Refused;
        }
        match action {
            Action::SetDraining { .. } => {
                world.set_draining();
                Sent::Draining
            }
            Action::Complete(intent) => {
                assert_eq!((self.drain.record.phase(), intent.outcome), (Phase::Completing, Outcome::Drained));
                Sent::Completed
            }
            Action::SetActive { .. }
            | Action::StopTask { .. }
            | Action::Deregister { .. }
            | Action::Terminate { .. } => unreachable!("nothing else is decided here: {action:?}"),
        }
    }

    /// Everything that can make a difference to what follows.
    pub fn hash(&self, hasher: &mut impl Hasher) {
        let record = &self.drain.record;
        (record.phase(), record.orders.pause.is_some(), record.intent().is_some(), &record.container_instances)
            .hash(hasher);
        record.obligations.len().hash(hasher);
        self.drain.facts.hash(hasher);
        match &self.queued {
            None => 0.hash(hasher),
            Some(Action::Complete(_)) => 1.hash(hasher),
            Some(_) => 2.hash(hasher),
        }
    }
}

fn now() -> Now {
    Now { mono: NOW, wall: Timestamp::UNIX_EPOCH }
}
