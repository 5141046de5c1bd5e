//! The knowledge of one controller about one drain: the real [`Drain`], its memory measured from
//! now.

use crate::memory;
use crate::world::{Member, Truth, container_instance};
use ecs_drain_state::record::Opening;
use ecs_drain_state::{
    Action, ActionResult, Answer, Context, Decision, Drain, GroupSight, Kind, Lifecycle, Mono,
    Needs, Now, Order, Origin, Policy, Read, Record, Seen, Stage, Strategy, Then, WaitKind,
};
use jiff::{SignedDuration, Timestamp};
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// The moment at which every step happens.
pub const NOW: Mono = Mono::at(Duration::from_secs(600));

/// Time of a right wall clock, and of every event in a record.
pub const WALL: Timestamp = Timestamp::UNIX_EPOCH;

/// Jump of a wall clock: past every deadline.
pub const JUMP: SignedDuration = SignedDuration::from_hours(2);

/// Beginning of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Its instance waits under the ecs-drain hook.
    Hook(WaitKind),
    /// An operator requests it.
    Asked(Then),
}

impl Begins {
    /// Returns the state of its instance in its group.
    pub fn member(self) -> Member {
        match self {
            Begins::Hook(kind) => Member::Waiting(kind),
            Begins::Asked(_) => Member::InService,
        }
    }

    /// Returns the opening of the drain.
    pub fn opening(self, n: usize, policy: &Policy) -> Opening {
        let (origin, lifecycle, then, requested) = match self {
            Begins::Hook(kind) => (Origin::LifecycleHook, Some(lifecycle(kind)), None, None),
            Begins::Asked(then) => (Origin::Operator, None, Some(then), Some(order())),
        };
        Opening {
            account: String::new(),
            region: String::new(),
            // The order in the queue depends on the key.
            instance_id: ["a", "b"][n].to_owned(),
            controller: String::new(),
            origin,
            strategy: Strategy::Drain,
            lifecycle,
            group: None,
            then,
            requested,
            container_instances: vec![container_instance(n)],
            deadline: deadline(policy),
            margin: SignedDuration::ZERO,
        }
    }
}

/// Returns the lifecycle action of a wait.
pub fn lifecycle(kind: WaitKind) -> Lifecycle {
    Lifecycle {
        group: String::new(),
        hook: String::new(),
        kind,
        heartbeat_timeout_seconds: 60,
        // The wall clock never jumps so far.
        global_timeout_seconds: 100_000,
        default_result: ActionResult::Abandon,
        other_hooks: Vec::new(),
        retains_abandoned: false,
    }
}

/// Returns the time after which the policy ends a wait.
pub fn deadline(policy: &Policy) -> Option<SignedDuration> {
    policy.deadline.and_then(|after| SignedDuration::try_from(after).ok())
}

/// Returns a person's order.
pub fn order() -> Order {
    Order { by: "Ada".to_owned(), reason: None, at: WALL }
}

/// The knowledge of one controller about one drain.
#[derive(Clone, Debug)]
pub struct Mind {
    /// The drain.
    pub drain: Drain,
    /// A call that was decided and waits for its permit.
    pub queued: Option<Action>,
    /// Reads that the last decision of this step needs.
    pub needs: Needs,
    /// True if anything has changed since it last forgot.
    pub changed: bool,
}

impl Mind {
    /// Creates the knowledge of a controller that has just read the record.
    pub fn new(record: &Record) -> Mind {
        Mind {
            drain: Drain::new(record.clone(), NOW),
            queued: None,
            needs: Needs::default(),
            changed: true,
        }
    }

    /// Makes everything older by a step.
    pub fn age(&mut self, step: Duration) {
        memory::age(&mut self.drain.facts, step);
    }

    /// Forgets every age that can make no difference any more.
    pub fn forget(&mut self, policy: &Policy) {
        memory::forget(&mut self.drain.facts, policy);
        self.changed = false;
    }

    /// Returns the versions of container instances that it has seen.
    pub fn versions(&self) -> impl Iterator<Item = i64> + '_ {
        self.drain.facts.instances.iter().filter_map(|one| Some(one.sight.as_ref()?.1.version))
    }

    /// Replaces versions: only their order counts.
    pub fn rank(&mut self, rank: impl Fn(&mut i64)) {
        let seen = self.drain.facts.instances.iter_mut().filter_map(|one| one.sight.as_mut());
        seen.for_each(|(_, sight)| rank(&mut sight.version));
    }

    /// Takes over an answer of this moment.
    pub fn heed(&mut self, policy: &Policy, answer: Answer) {
        self.drain.heed(policy, Read { began: NOW, ended: NOW }, answer);
    }

    /// Takes over the group's state.
    pub fn see_group(&mut self, policy: &Policy, sight: GroupSight) {
        self.heed(policy, Answer::Group(Seen::Yes(sight)));
    }

    /// Decides the drain.
    pub fn decide(&self, policy: &Policy, context: &Context<'_>, wall: Timestamp) -> Decision {
        self.drain.decide(policy, context, Now { mono: NOW, wall })
    }

    /// Returns the kinds of read that the last decision needs by now.
    pub fn wants(&self) -> Vec<Kind> {
        self.needs.iter().filter(|(_, need)| need.from <= NOW).map(|(kind, _)| kind).collect()
    }

    /// Returns the possible answers of a read of this kind about the n-th instance, each once.
    pub fn answers(&self, n: usize, kind: Kind, past: &[Truth]) -> Vec<Answer> {
        let mut all: Vec<Answer> = Vec::new();
        for truth in past {
            let answer = truth.answer(n, kind, &self.drain.facts);
            if !all.contains(&answer) {
                all.push(answer);
            }
        }
        all
    }

    /// Hashes everything that can make a difference later.
    pub fn hash(&self, hasher: &mut impl Hasher) {
        self.drain.record.generation.hash(hasher);
        self.drain.facts.hash(hasher);
        self.queued.as_ref().map(which).hash(hasher);
    }
}

/// Returns a number for an action.
pub fn which(action: &Action) -> u8 {
    match action {
        Action::SetDraining { .. } => 1,
        Action::SetActive { .. } => 2,
        Action::Complete(_) => 3,
        Action::Terminate { .. } => 4,
        Action::StopTask { .. } => 5,
        Action::Deregister { .. } => 6,
    }
}

/// Returns a record without its display, and with one moment for all of the wall clock's, so that
/// records with the same content are equal.
pub fn plain(mut record: Record) -> Record {
    record.history = Vec::new();
    record.shown = Default::default();
    (record.attempts, record.last_error) = (0, None);
    record.orders.requests = Vec::new();
    record.services = None;
    (record.created_at, record.updated_at, record.phase_since) = (WALL, WALL, WALL);
    // Another order to terminate it is known by its time.
    let odd = |at: Timestamp| WALL + SignedDuration::from_secs(at.as_second() % 2);
    record.termination_asked_at = record.termination_asked_at.map(odd);
    for obligation in &mut record.obligations {
        obligation.draining_since = obligation.draining_since.map(|_| WALL);
        obligation.noted_at = WALL;
    }
    let intent = match &mut record.stage {
        Stage::Completing { intent, refused_since } => {
            *refused_since = None;
            Some(intent)
        }
        Stage::Returning { intent } => intent.as_mut(),
        Stage::Done { intent, expires_at, .. } => {
            *expires_at = 0;
            intent.as_mut()
        }
        Stage::Pending | Stage::Deregistering | Stage::Waiting | Stage::Verifying => None,
    };
    if let Some(intent) = intent {
        (intent.reason, intent.at) = (String::new(), WALL);
    }
    record
}

/// Hashes everything in a record that can make a difference.
pub fn hash_record(record: &Record, hasher: &mut impl Hasher) {
    record.phase().hash(hasher);
    record.outcome().hash(hasher);
    record.intent().map(|intent| intent.outcome).hash(hasher);
    let orders = &record.orders;
    (record.generation, orders.pause.is_some(), orders.cancel.is_some(), orders.force.is_some())
        .hash(hasher);
    record.lifecycle.as_ref().map(|lifecycle| lifecycle.kind).hash(hasher);
    (record.deadline, record.global_limit.is_some(), record.termination_asked_at).hash(hasher);
    record.container_instances.hash(hasher);
    for obligation in &record.obligations {
        (obligation.draining_since.is_some(), obligation.left_for_seconds).hash(hasher);
    }
}
