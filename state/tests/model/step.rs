//! The states that can follow in one step. The world moves, people interfere, and the controller
//! that leads reads, decides, saves and sends, or stops on the way. The promises are checked here,
//! at each call.

use crate::controller::{JUMP, NOW, WALL, deadline, lifecycle, plain, which};
use crate::search::Model;
use crate::state::{Faults, Late, State};
use crate::world::{Act, LONG_AGO, Member, World};
use ecs_drain_state::budget::{Budgets, Part, ServiceState, Sizes};
use ecs_drain_state::request::{Applied, Circumstances, apply};
use ecs_drain_state::{
    Action, ActionResult, CompletionAnswer, Concurrency, Context, Facts, GroupSight, Kind,
    LifecycleState, Outcome, Phase, Record, Request, Then, What, after_completion,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// No budget of the model is a share, or needs a service's state.
struct NoShares;

impl Sizes for NoShares {
    fn cluster(&self, _: &str) -> Option<u32> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }

    fn service(&self, _: &str, _: &str) -> Option<ServiceState> {
        None
    }
}

/// Results of one step.
#[derive(Default)]
struct Steps {
    states: BTreeMap<u128, State>,
}

impl Steps {
    fn add(&mut self, model: &Model, mut state: State) -> u128 {
        let before = model.remembers.then(|| state.clone());
        state.forget(&model.policy);
        if let Some(before) = before
            && let Some(difference) = model.difference(&before, &state)
        {
            state.breaks("what was forgotten makes a difference");
            state.say(|_| difference);
        }
        // A broken state never equals one that is not.
        let key = if state.broken.is_some() { !state.key() } else { state.key() };
        self.states.entry(key).or_insert(state);
        key
    }
}

/// An act on an instance from outside, in one step.
#[derive(Clone, Copy)]
enum Outside {
    Act(Act),
    Order(What),
    Termination,
    Jump,
}

impl Outside {
    const ALL: [Outside; 9] = [
        Outside::Act(Act::Nothing),
        Outside::Act(Act::Flip),
        Outside::Act(Act::Blink),
        Outside::Order(What::Pause),
        Outside::Order(What::Resume),
        Outside::Order(What::Cancel),
        Outside::Order(What::Force),
        Outside::Termination,
        Outside::Jump,
    ];

    /// Returns the faults that are left after it, if it can happen at all.
    fn of(self, left: Faults) -> Option<Faults> {
        let one = |n: u8| n.checked_sub(1);
        match self {
            Outside::Act(Act::Nothing) => Some(left),
            Outside::Act(Act::Flip | Act::Blink) => {
                one(left.acts).map(|acts| Faults { acts, ..left })
            }
            Outside::Order(What::Pause | What::Resume) => {
                one(left.pauses).map(|pauses| Faults { pauses, ..left })
            }
            Outside::Order(What::Cancel) => {
                one(left.cancels).map(|cancels| Faults { cancels, ..left })
            }
            Outside::Order(What::Force) => one(left.forces).map(|forces| Faults { forces, ..left }),
            Outside::Order(What::Drain { .. } | What::Extend { .. } | What::Retry) => None,
            Outside::Termination => {
                one(left.terminations).map(|terminations| Faults { terminations, ..left })
            }
            Outside::Jump => one(left.jumps).map(|jumps| Faults { jumps, ..left }),
        }
    }
}

impl Model {
    /// Returns every state that can follow in one step of one instance; with `fair`, only those
    /// that follow without a fault.
    pub fn steps(&self, from: &State, fair: bool) -> Vec<(u128, State)> {
        let n = from.turn;
        let mut first = from.clone();
        first.turn = (n + 1) % first.sites.len();
        (first.halted, first.broken, first.let_go) = (false, None, None);
        first.log.iter_mut().for_each(Vec::clear);
        let site = &first.sites[n];
        let can_wait =
            !fair && first.left.terminations > 0 && site.world.truth().member == Member::InService;
        if site.is_settled() && site.world.truth().member != Member::Pooled && !can_wait {
            return vec![(first.key(), first)];
        }
        let mut begun = Steps::default();
        for mut state in self.land(first, n, fair) {
            for mind in state.sites[n].minds.iter_mut().flatten() {
                let mind = Arc::make_mut(mind);
                mind.age(self.step);
                mind.changed = true;
            }
            if fair {
                state.sites[n].world = state.sites[n].world.progress();
                // A person resumes every paused drain sooner or later.
                Arc::make_mut(&mut state.sites[n].table).orders.pause = None;
                self.lead(state, n, fair, &mut begun);
                continue;
            }
            for outside in Outside::ALL {
                let Some(left) = outside.of(state.left) else { continue };
                let act = if let Outside::Act(act) = outside { act } else { Act::Nothing };
                let world = &state.sites[n].world;
                let in_vain = act == Act::Blink && !world.truth().draining;
                if in_vain || (act == Act::Flip && !self.flips) {
                    continue;
                }
                for world in world.next(act, self.ecs_places) {
                    let Some(next) = self.interfered(&state, n, outside, left, world) else {
                        continue;
                    };
                    self.lead(next, n, fair, &mut begun);
                }
            }
        }
        self.rounds(begun, n, fair)
    }

    /// Returns the states in which the unfinished work of the other controller happens now, later,
    /// or never.
    fn land(&self, mut state: State, n: usize, fair: bool) -> Vec<State> {
        let mut all = Vec::new();
        match state.sites[n].late.take() {
            None => return vec![state],
            Some(Late::Save(record)) => {
                if !fair {
                    let mut later = state.clone();
                    later.sites[n].late = Some(Late::Save(record.clone()));
                    all.push(later);
                }
                state.say(|_| "the one that led before saves what it had decided".to_owned());
                self.put(&mut state, n, *record);
            }
            Some(Late::Call(action)) => {
                if !fair {
                    all.push(state.clone());
                }
                state.say(|_| format!("the call that was on its way arrives: {}", words(&action)));
                let wall = self.wall(&state, n);
                if let Some(next) = self.carry_out(&mut state, n, &action, wall) {
                    state.sites[n].late = Some(Late::Save(Box::new(next)));
                }
            }
        }
        all.push(state);
        all
    }

    fn interfered(
        &self,
        state: &State,
        n: usize,
        outside: Outside,
        left: Faults,
        world: World,
    ) -> Option<State> {
        let mut next = state.clone();
        next.left = left;
        next.sites[n].world = world;
        match outside {
            Outside::Act(Act::Nothing) => {}
            Outside::Act(Act::Flip) => {
                next.say(|s| {
                    let draining = s.sites[n].world.truth().draining;
                    format!("a person makes it {}", if draining { "DRAINING" } else { "ACTIVE" })
                });
            }
            Outside::Act(Act::Blink) => {
                next.say(|_| "a person makes it ACTIVE and DRAINING again".to_owned())
            }
            Outside::Order(what) => {
                let wall = self.wall(state, n);
                let request = Request {
                    id: "request".to_owned(),
                    controller: String::new(),
                    account: String::new(),
                    region: String::new(),
                    instance_id: next.sites[n].table.instance_id.clone(),
                    cluster: None,
                    generation: next.sites[n].table.generation,
                    what,
                    by: "Ada".to_owned(),
                    reason: Some("because".to_owned()),
                    at: wall,
                    schema: 1,
                };
                let around =
                    Circumstances { margin: SignedDuration::ZERO, paused: None, now: wall };
                let Applied::Changed { record, answer } =
                    apply(&request, Some(&next.sites[n].table), &around)
                else {
                    return None;
                };
                next.say(|_| format!("an operator asks to {}: {answer}", what.name()));
                self.put(&mut next, n, *record);
            }
            Outside::Termination => {
                if next.sites[n].world.truth().member != Member::InService {
                    return None;
                }
                next.say(|_| "the group terminates it; our hook holds it".to_owned());
                next.sites[n].world.terminate();
            }
            Outside::Jump => {
                next.ahead = !next.ahead;
                next.say(|s| {
                    format!("the wall clock jumps {}", if s.ahead { "ahead" } else { "back" })
                });
            }
        }
        Some(next)
    }

    /// Returns the wall clock's time: always the same but for its jumps, and for a second by which
    /// one order to terminate an instance differs from the next.
    fn wall(&self, state: &State, n: usize) -> Timestamp {
        let asked = state.sites[n].table.termination_asked_at == Some(WALL);
        WALL + SignedDuration::from_secs(i64::from(asked))
            + if state.ahead { JUMP } else { SignedDuration::ZERO }
    }

    /// Lets the leader die, or the other controller take the lease, or neither; then the leader
    /// reads the group.
    fn lead(&self, state: State, n: usize, fair: bool, into: &mut Steps) {
        if !fair && state.left.crashes > 0 {
            let mut crashed = state.clone();
            self.crash(&mut crashed);
            crashed.halted = false;
            self.look(crashed, n, fair, into);
        }
        if !fair && state.left.handovers > 0 {
            let mut other = state.clone();
            hand_over(&mut other);
            other.halted = false;
            self.look(other, n, fair, into);
        }
        self.look(state, n, fair, into);
    }

    /// Gives the leader the record as it is, sends the call that has waited for its permit, and
    /// reads the groups.
    fn look(&self, mut state: State, n: usize, fair: bool, into: &mut Steps) {
        if state.broken.is_some() {
            into.add(self, state);
            return;
        }
        let table = state.sites[n].table.clone();
        let mind = state.mind(n);
        if mind.drain.record != *table {
            mind.drain.take((*table).clone(), NOW);
            // A slot drops its actions when the record is another one.
            mind.queued = None;
        }
        let mut shown: Vec<GroupSight> = Vec::new();
        for truth in &state.sites[n].world.past {
            let sight = truth.group();
            if !shown.contains(&sight) {
                shown.push(sight);
            }
        }
        for sight in shown {
            let mut state = state.clone();
            if let Some(action) = state.mind(n).queued.take() {
                self.send(&mut state, n, &action);
            }
            let waits = match sight.state() {
                Some(LifecycleState::Waiting(kind)) => Some(*kind),
                _ => None,
            };
            state.mind(n).see_group(&self.policy, sight);
            if let Some(kind) = waits {
                self.take_in(&mut state, n, kind);
            }
            for state in self.act(state, n, fair) {
                into.add(self, state);
            }
        }
    }

    /// Gives the drain of an instance that waits under the ecs-drain hook a lifecycle action: the
    /// part of intake that a record needs.
    fn take_in(&self, state: &mut State, n: usize, kind: ecs_drain_state::WaitKind) {
        let site = &state.sites[n];
        let wall = self.wall(state, n);
        let next = match (site.table.is_done(), &site.table.lifecycle) {
            (false, Some(_)) => return,
            (false, None) => site.table.adopt(
                lifecycle(kind),
                deadline(&self.policy),
                SignedDuration::ZERO,
                wall,
            ),
            // Only the answer to a heartbeat shows whether the ecs-drain hook holds it.
            (true, _) if !matches!(site.world.truth().member, Member::Waiting(_)) => return,
            (true, _) => {
                let opening = crate::controller::Begins::Hook(kind).opening(n, &self.policy);
                site.table.reopen(opening, wall)
            }
        };
        state.say(|_| "it waits under our hook, and its drain knows".to_owned());
        self.save(state, n, next);
    }

    /// Makes the rounds of reads of one step: a first round can make others necessary, which come
    /// in the same step.
    fn rounds(&self, begun: Steps, n: usize, fair: bool) -> Vec<(u128, State)> {
        let mut now: Vec<(State, Vec<Kind>)> =
            begun.states.into_values().map(|state| (state, Vec::new())).collect();
        let mut done = Steps::default();
        for _ in 0..3 {
            let mut read = Steps::default();
            let mut kinds_of: HashMap<u128, Vec<Kind>> = HashMap::new();
            for (mut state, met) in now {
                let stands =
                    state.halted || state.broken.is_some() || state.sites[n].table.is_done();
                let wanted = if stands { Vec::new() } else { state.mind(n).wants() };
                let wanted: Vec<Kind> =
                    wanted.into_iter().filter(|kind| !met.contains(kind)).collect();
                if wanted.is_empty() {
                    done.add(self, state);
                    continue;
                }
                let kinds: Vec<Kind> = met.iter().chain(&wanted).copied().collect();
                for state in self.read(state, n, &wanted, fair) {
                    for state in self.act(state, n, fair) {
                        let key = read.add(self, state);
                        let fewest = kinds_of
                            .remove(&key)
                            .map_or_else(|| kinds.clone(), |known| known.min(kinds.clone()));
                        kinds_of.insert(key, fewest);
                    }
                }
            }
            now = read
                .states
                .into_iter()
                .map(|(key, state)| (state, kinds_of.remove(&key).unwrap_or_default()))
                .collect();
        }
        for (state, _) in now {
            done.add(self, state);
        }
        // The needs are not kept, because they are decided anew before the next read. The order is
        // that of the keys, so that every run is the same.
        let mut all: Vec<_> = done.states.into_iter().collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Makes the needed reads, each as of any moment that it can see.
    fn read(&self, state: State, n: usize, wanted: &[Kind], fair: bool) -> Vec<State> {
        let mut all = vec![state];
        for kind in wanted {
            let mut next = Vec::with_capacity(all.len());
            for mut state in all {
                let past = state.sites[n].world.past.clone();
                let answers = state.mind(n).answers(n, *kind, &past);
                if !fair && state.left.slow > 0 {
                    let mut slow = state.clone();
                    slow.left.slow -= 1;
                    next.push(slow);
                }
                let mut answers = answers.into_iter().peekable();
                let mut state = Some(state);
                while let Some(answer) = answers.next() {
                    let of = if answers.peek().is_some() { state.clone() } else { state.take() };
                    let Some(mut read) = of else { break };
                    read.mind(n).heed(&self.policy, answer);
                    next.push(read);
                }
            }
            all = next;
        }
        all
    }

    /// Decides, saves and sends, or dies, is suspended or waits in between.
    fn act(&self, mut state: State, n: usize, fair: bool) -> Vec<State> {
        if state.broken.is_some() || state.sites[n].table.is_done() {
            return vec![state];
        }
        let (wall, leader) = (self.wall(&state, n), state.leader);
        let unread = Facts::default();
        let parts = state.sites.iter().map(|site| {
            let facts = site.minds[leader].as_ref().map_or(&unread, |mind| &mind.drain.facts);
            Part { record: &site.table, facts, policy: &self.policy, begins: false }
        });
        let turn = Budgets::of(parts, &NoShares, NOW).turn(&state.sites[n].table.key());
        let context = Context { turn, ..Context::default() };
        let Some(mind) = &state.sites[n].minds[leader] else { return vec![state] };
        let decision = mind.decide(&self.policy, &context, wall);
        if decision.fault.is_some() {
            state.breaks("a move that the table of phases does not allow");
            return vec![state];
        }
        state.mind(n).needs = decision.needs;
        let before = state.sites[n].table.phase();
        state.say(|_| {
            format!(
                "controller {}: {before} → {}: {}",
                leader + 1,
                decision.record.phase(),
                decision.why
            )
        });
        let mut all = Vec::new();
        if decision.save {
            if !fair && state.left.handovers > 0 && state.sites[n].late.is_none() {
                let mut still = state.clone();
                still.sites[n].late = Some(Late::Save(Box::new(plain(decision.record.clone()))));
                hand_over(&mut still);
                still.say(|_| "it stands still before it saves that".to_owned());
                all.push(still);
            }
            self.save(&mut state, n, decision.record.clone());
        }
        let Some(action) = decision.actions.into_iter().next() else {
            all.push(state);
            return all;
        };
        let action = &match (action, state.sites[n].table.intent()) {
            // As it is in the table, without the display.
            (Action::Complete(intent), Some(noted)) if noted.outcome == intent.outcome => {
                Action::Complete(noted.clone())
            }
            (action, _) => action,
        };
        if !fair && state.left.slow > 0 {
            let mut slow = state.clone();
            slow.left.slow -= 1;
            slow.mind(n).queued = Some(action.clone());
            all.push(slow);
        }
        if !fair && state.left.crashes > 0 && decision.save {
            let mut crashed = state.clone();
            self.crash(&mut crashed);
            all.push(crashed);
        }
        if !self.may_send(&mut state, n, action) {
            if state.sites[n].table.phase() == Phase::Completing && which(action) == 3 {
                state.breaks("decided, and refused by the guard");
            }
            all.push(state);
            return all;
        }
        if !fair && state.left.lost > 0 {
            let mut lost = state.clone();
            lost.left.lost -= 1;
            lost.say(|_| format!("it gets lost: {}", words(action)));
            all.push(lost);
        }
        if !fair && state.left.crashes > 0 {
            let mut crashed = state.clone();
            crashed.say(|_| words(action));
            self.carry_out(&mut crashed, n, action, wall);
            self.crash(&mut crashed);
            all.push(crashed);
        }
        if !fair && state.left.handovers > 0 && state.sites[n].late.is_none() {
            let mut still = state.clone();
            still.sites[n].late = Some(Late::Call(action.clone()));
            hand_over(&mut still);
            still.say(|_| format!("it stands still with a call on its way: {}", words(action)));
            all.push(still);
        }
        self.sent(&mut state, n, action);
        all.push(state);
        all
    }

    /// Sends a call that has waited for its permit: the guard checks it now.
    fn send(&self, state: &mut State, n: usize, action: &Action) {
        if self.may_send(state, n, action) {
            self.sent(state, n, action);
        }
    }

    /// Carries a call out, and takes over its result.
    fn sent(&self, state: &mut State, n: usize, action: &Action) {
        state.say(|s| format!("controller {} calls: {}", s.leader + 1, words(action)));
        let wall = self.wall(state, n);
        if let Some(next) = self.carry_out(state, n, action, wall) {
            self.save(state, n, next);
        }
    }

    /// Checks with the guard, and checks that the record in the table announces the call.
    fn may_send(&self, state: &mut State, n: usize, action: &Action) -> bool {
        let now = ecs_drain_state::Now { mono: NOW, wall: self.wall(state, n) };
        if state.mind(n).drain.may_send(action, &self.policy, now).is_err() {
            return false;
        }
        let table = &state.sites[n].table;
        let noted = match action {
            Action::SetDraining { .. } => {
                table.container_instances.iter().all(|one| one.draining_is_ours)
            }
            Action::SetActive { .. } => table.phase() == Phase::Returning,
            Action::Complete(intent) => {
                table.phase() == Phase::Completing
                    && table.intent().is_some_and(|noted| {
                        noted.outcome == intent.outcome && noted.result == intent.result
                    })
            }
            Action::Terminate { .. } => {
                table.phase() == Phase::Completing && table.termination_asked_at.is_some()
            }
            Action::StopTask { .. } | Action::Deregister { .. } => false,
        };
        if table.orders.pause.is_some() {
            state.breaks("a call for a drain that is paused");
        } else if !noted {
            state.breaks("a call that the record did not announce");
        }
        true
    }

    /// Changes the world by a call. Returns the record after the answer, if it counts.
    fn carry_out(
        &self,
        state: &mut State,
        n: usize,
        action: &Action,
        wall: Timestamp,
    ) -> Option<Record> {
        match action {
            Action::SetDraining { .. } => state.sites[n].world.set_draining(),
            Action::SetActive { .. } => {
                // The call was lost, so nothing is undone.
                let world = &state.sites[n].world;
                if world.truth().draining && !world.ever_ours {
                    state.breaks("the DRAINING of another is undone");
                }
                state.sites[n].world.set_active();
            }
            Action::Terminate { .. } => {
                if state.sites[n].world.asked {
                    state.breaks("the group is asked twice to terminate the instance");
                }
                state.sites[n].world.asked = true;
                let outcome = state.sites[n].table.intent().map(|intent| intent.outcome);
                self.judge(state, n, outcome);
                state.sites[n].world.terminate();
            }
            Action::Complete(intent) => {
                if intent.outcome == Outcome::Drained && intent.result != ActionResult::Continue {
                    state.breaks("what is drained is abandoned");
                }
                let answer = if matches!(state.sites[n].world.truth().member, Member::Waiting(_)) {
                    self.judge(state, n, Some(intent.outcome));
                    state.sites[n].world.complete();
                    CompletionAnswer::Accepted
                } else {
                    CompletionAnswer::NoActiveAction
                };
                return Some(after_completion(&state.sites[n].table, &answer, &self.policy, wall));
            }
            Action::StopTask { .. } | Action::Deregister { .. } => {
                state.breaks("nothing is to be stopped or deregistered here");
            }
        }
        None
    }

    /// Checks promise 1: a released instance has nothing left, except for a task that a person let
    /// in just before.
    fn judge(&self, state: &mut State, n: usize, outcome: Option<Outcome>) {
        let world = &state.sites[n].world;
        let (empty, excused) = (world.is_empty(), world.excused());
        match outcome {
            Some(Outcome::Forced) if state.sites[n].table.orders.force.is_some() => return,
            Some(Outcome::TimedOut) => return,
            _ => {}
        }
        state.let_go = Some(None);
        if empty {
            return;
        }
        match excused {
            Some(age) if age <= self.excuse => state.let_go = Some(Some(age.min(LONG_AGO))),
            _ => state.breaks("let go although something is left"),
        }
    }

    fn save(&self, state: &mut State, n: usize, record: Record) {
        let stays = record.lifecycle.is_none() && record.then == Some(Then::Keep);
        if stays && record.outcome() == Some(Outcome::Drained) && !state.sites[n].table.is_done() {
            self.judge(state, n, Some(Outcome::Drained));
        }
        self.put(state, n, record);
        let table = state.sites[n].table.clone();
        state.mind(n).drain.take((*table).clone(), NOW);
    }

    /// Writes a record. A save that another controller decided by the record before fails from then
    /// on.
    fn put(&self, state: &mut State, n: usize, record: Record) {
        let held = match state.sites[n].world.truth().member {
            Member::Waiting(kind) => {
                record.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.kind == kind)
            }
            Member::InService | Member::LetGo | Member::Pooled | Member::Absent => false,
        };
        // A cancelled drain is followed by one that intake opens, which is not part of this crate.
        if held && record.is_done() && record.outcome() != Some(Outcome::Cancelled) {
            state.breaks("its drain ends while our hook holds the instance");
        }
        if held && record.is_refused_for_good() {
            state.breaks(
                "its heartbeats end while our hook holds the instance, although nobody has refused its completion",
            );
        }
        let site = &mut state.sites[n];
        site.table = Arc::new(plain(record));
        if let Some(Late::Save(_)) = site.late {
            site.late = None;
        }
        let goes_on = |record: &Record| {
            let begun = matches!(
                record.phase(),
                Phase::Deregistering
                    | Phase::Waiting
                    | Phase::Verifying
                    | Phase::Completing
                    | Phase::Returning
            );
            begun && record.lifecycle.is_none()
        };
        let running = state.sites.iter().filter(|site| goes_on(&site.table)).count();
        if let Concurrency::Count(limit) = self.policy.max_concurrent
            && running > limit as usize
        {
            state.breaks("more drains go on than the budget allows");
        }
    }

    /// Returns the first difference between the leader's decisions with and without the forgotten
    /// ages: now, or in one of the next steps in which nothing is read. (Its next reads can differ,
    /// because the patience of its reads is forgotten.)
    fn difference(&self, before: &State, after: &State) -> Option<String> {
        for n in 0..before.sites.len() {
            let mind = |state: &State| state.sites[n].minds[state.leader].as_deref().cloned();
            let (Some(mut one), Some(mut other)) = (mind(before), mind(after)) else { continue };
            for step in 0..6 {
                let wall = self.wall(before, n);
                let [one, other] = [&mut one, &mut other].map(|mind| {
                    let decision = mind.decide(&self.policy, &Context::default(), wall);
                    let actions: Vec<u8> = decision.actions.iter().map(which).collect();
                    let decided = format!("{:?} {actions:?}", plain(decision.record).stage);
                    mind.age(self.step);
                    decided
                });
                if one != other {
                    return Some(format!("after {step} steps: {one}, but then {other}"));
                }
            }
        }
        None
    }

    /// Kills the leader: its knowledge is lost, and another leads, or it starts anew.
    fn crash(&self, state: &mut State) {
        state.left.crashes -= 1;
        state.say(|s| format!("controller {} dies", s.leader + 1));
        for site in &mut state.sites {
            site.minds[state.leader] = None;
        }
        if self.controllers == 2 {
            state.leader = 1 - state.leader;
        }
        state.halted = true;
    }
}

/// Gives the lease to the other controller.
fn hand_over(state: &mut State) {
    state.left.handovers -= 1;
    state.leader = 1 - state.leader;
    state.halted = true;
    state.say(|s| format!("controller {} leads", s.leader + 1));
}

fn words(action: &Action) -> String {
    match action {
        Action::SetDraining { .. } => "set it to DRAINING".to_owned(),
        Action::SetActive { .. } => "set it to ACTIVE".to_owned(),
        Action::Complete(intent) => {
            format!("complete its lifecycle action with {} ({})", intent.result, intent.outcome)
        }
        Action::Terminate { .. } => "ask its group to terminate it".to_owned(),
        Action::StopTask { .. } => "stop a task".to_owned(),
        Action::Deregister { .. } => "deregister it".to_owned(),
    }
}
