//! A whole drain as a table of passes. [`check`] drives one [`Drain`] as the controller does: read,
//! take answers over, decide, save, check with the guard, act.
//!
//! ```text
//! policy deadline=10m at-deadline=continue
//! 0s   ACTIVE tasks=web:RUNNING found=web/60  => Deregistering saved SetDraining(c1) 5s AskedToDrain
//! 5s   DRAINING                               => Waiting saved 5s TasksLeft(1)
//! ```
//!
//! Left of `=>`: the beginning of the pass, then the facts that changed since the line before.
//! Right of it: the phase, `saved` if the record is written, the calls (`(refused: …)` if the guard
//! refuses one), the time from which a search of every cluster is needed, the time until the next
//! decision, and the reason. `; accepted: …` is the record after Auto Scaling answered. The last
//! line counts the writes, the opening of the record included. [`check_needs`] shows the needed
//! reads instead.
//!
//! If a table is not what happens, the test shows the difference. `UPDATE_EXPECT=1` writes the table
//! that is: read it line by line.
//!
//! The row `proof` stands for the passes, each at the time that the one before asked for, in which
//! nothing happens and the drain waits for the proof alone. Its right side is the first pass after them.
//!
//! `Unknown(new)` is something that was found and was not read yet.
//!
//! A pass makes every read, even those that are not needed; only a search is made just when it was
//! needed. Each read begins at the line's time and ends a second later.
//!
//! | fact | meaning | at first |
//! | --- | --- | --- |
//! | `ACTIVE`, `DRAINING,ACTIVE`, `ci=none` | the container instances c1, c2 … that exist; `!`: agent disconnected | `ACTIVE` |
//! | `live=2`, `version=7` | c1's counters and version; else the first counts the tasks, the second grows with every change of these two | |
//! | `tasks=web:RUNNING,standalone:RUNNING` | service and status; `daemon/log:…`: a daemon; `!`: stopping; `~`: protected; `*3`: three; `@2`: on c2. One that is no longer named has stopped | `none` |
//! | `found=web/60` | targets, of the service of that name or its group, with the balancer's delay in seconds; `net-…`: a network one, `group-…`: the group's own | `none` |
//! | `targets=web:draining` | the balancers' answers; a target that is not named is gone; `dead`: `Target.InvalidState` | `none` |
//! | `group=Terminating:Wait` | Auto Scaling's state, or `absent`; `!`: unhealthy | `Terminating:Wait` |
//! | `hook=60` | the heartbeat timeout of the ecs-drain hook, in seconds; `none`, or `?` | `60` |
//! | `retains` | `yes`: the group retains an instance whose termination is abandoned | `no` |
//! | `search=fails` | a search of every cluster; else it finds the container instances that exist, but not in the clusters `unread=dev`; `left-out=dev` has the instance too, and the configuration leaves it out | `works` |
//! | `answer=accepted` | the answer to a completion: `accepted`, `no-active` or `error` | `accepted` |
//! | `clock=+1h` | error of the wall clock | `+0s` |
//! | `turn=2/2+1` | drains that run, limit, drains that come first; `now`: the drain may begin; `read`: once its tasks were read | `now` |
//! | `paused=Ada` | person who paused everything | `none` |
//! | `because=NoRoom` | cause that the diagnosis found | `none` |
//! | `stuck=15m` | time without progress, if it is too long | `none` |
//!
//! Any of the reads can be `?`: it failed. These words happen once: `restart` (this pass begins
//! without memory), `dies-before-save` and `dies-after-save` (it ends there), `same-group` (the
//! groups are not read), `held-again` (Auto Scaling has accepted heartbeats after the completion),
//! `deadline=20m` (an operator moved it, counted from 0s), `pause`, `resume`, `cancel`, `force` and
//! `take-back` (an operator ordered it, or withdrew the order), `adopt` (intake gave the drain a
//! lifecycle action).
//!
//! `policy then=keep` opens a drain that no hook began: `terminate`, `terminate-and-shrink`, `keep`
//! or `leave`; `origin=spot` one of that origin; `ours` one that found the `DRAINING` that an
//! earlier drain of ecs-drain has left. `closed=scale-in/30m` closes a window for this reason, each day
//! from 0s on.

mod cloud;
mod show;
mod words;

pub use show::show;
pub use words::{
    container_instance, container_instance_sight, group, obligation, opened, span, task,
};

use crate::budget::Scope;
use crate::decide::{Action, CompletionAnswer, Context, Decision, Turn, after_completion};
use crate::drain::Drain;
use crate::facts::{Answer, Kind};
use crate::phase::{Outcome, Phase};
use crate::policy::Policy;
use crate::record::{
    ActionResult, Intent, Note, Order, Orders, Origin, Record, Stage, Then, WaitKind, later,
};
use crate::time::{Mono, Now, Read};
use crate::why::Why;
use cloud::Cloud;
use expect_test::Expect;
use jiff::{SignedDuration, Timestamp};
use show::{show_needs, show_phase};
use std::time::Duration;
use words::set_policy;

/// Returns the wall clock's time at 0s.
pub fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Duration of a read.
const READING: Duration = Duration::from_secs(1);

/// Formats the right side of a line from a decision.
type Right = fn(&Played, &Decision) -> String;

/// Runs a table and compares its right sides with the decisions.
pub fn check(table: Expect) {
    run(&table, show);
}

/// Runs a table and compares its right sides with the needed reads.
pub fn check_needs(table: Expect) {
    run(&table, show_needs);
}

fn run(table: &Expect, right: Right) {
    let mut played = None;
    let mut rows = Vec::new();
    let mut policy = "";
    let lines = table.data().lines().map(str::trim);
    for line in lines.filter(|l| !l.is_empty() && !l.ends_with("writes")) {
        let left = line.split("=>").next().unwrap_or(line).trim();
        let words = left.strip_prefix("policy");
        policy = words.unwrap_or(policy);
        if words.is_some() || line.starts_with('#') {
            rows.push((line.to_owned(), None));
            continue;
        }
        let played = played.get_or_insert_with(|| Played::open(policy, left));
        let result = if left == "proof" { played.proof(right) } else { played.pass(left, right) };
        rows.push((left.to_owned(), Some(result)));
    }
    let writes = played.expect("a table has passes").writes;
    rows.push((format!("{writes} writes"), None));
    let width =
        rows.iter().filter(|r| r.1.is_some()).map(|r| r.0.chars().count()).max().unwrap_or(0);
    let line = |(left, right): (String, Option<String>)| match right {
        Some(right) => format!("{left:<width$} => {right}\n"),
        None => format!("{left}\n"),
    };
    table.assert_eq(&rows.into_iter().map(line).collect::<String>());
}

/// A drain, the world around it, and the process that drains it.
pub struct Played {
    policy: Policy,
    pub drain: Drain,
    cloud: Cloud,
    /// Time from which the last decision needed a search of every cluster.
    search_from: Option<Mono>,
    /// Beginning of the process.
    born: Duration,
    /// Time for which the last decision asked.
    next: Duration,
    writes: u32,
}

impl Played {
    pub fn open(policy_words: &str, first: &str) -> Played {
        let mut policy = Policy::default();
        let (mut kind, mut then, mut origin, mut ours) = (WaitKind::Terminating, None, None, false);
        let mut opened_with = if first.contains("ci=none") { 0 } else { 1 };
        for word in policy_words.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("kind", "returns-to-warm-pool") => kind = WaitKind::ReturnsToWarmPool,
                ("kind", "replaces-root-volume") => kind = WaitKind::ReplacesRootVolume,
                ("opened", count) => opened_with = count.parse().unwrap(),
                ("ours", "") => ours = true,
                ("origin", "spot") => origin = Some(Origin::SpotInterruption),
                ("then", word) => {
                    then = Some(match word {
                        "terminate" => Then::Terminate,
                        "terminate-and-shrink" => Then::TerminateAndShrink,
                        "keep" => Then::Keep,
                        "leave" => Then::Leave,
                        other => panic!("no ending {other}"),
                    });
                }
                (key, value) => set_policy(&mut policy, key, value),
            }
        }
        let mut record = opened(kind, (1..=opened_with).map(container_instance).collect());
        record.strategy = policy.strategy;
        record.deadline =
            policy.deadline.map(|d| later(epoch(), SignedDuration::try_from(d).unwrap()));
        if then.is_some() {
            record.origin = Origin::Operator;
            (record.then, record.lifecycle) = (then, None);
            (record.global_limit, record.deadline) = (None, None);
        }
        record.origin = origin.unwrap_or(record.origin);
        record.container_instances.iter_mut().for_each(|one| one.draining_is_ours = ours);
        let drain = Drain::new(record, Mono::START);
        Played {
            policy,
            drain,
            cloud: Cloud::default(),
            search_from: None,
            born: Duration::ZERO,
            next: Duration::ZERO,
            writes: 1,
        }
    }

    /// Returns this time after 0s as a moment of the running process.
    fn mono(&self, at: Duration) -> Mono {
        Mono::at(at.saturating_sub(self.born))
    }

    /// Runs the passes of a proof. Returns the time of the first pass after it, and its right side.
    fn proof(&mut self, right: Right) -> String {
        for _ in 0..100 {
            let at = self.next;
            let (decision, text) = self.pass_at(at, "", right);
            let waits = matches!(
                decision.why,
                Why::LongestDelay { .. }
                    | Why::ListsOnceMore { .. }
                    | Why::NetworkSettling { .. }
                    | Why::Settling { .. }
                    | Why::SecondLook { .. }
                    | Why::LookingForRegistrations
            );
            if !waits {
                return format!("{}s {text}", at.as_secs());
            }
        }
        panic!("the proof does not end")
    }

    /// Runs one pass: reads the facts of the line, then decides and acts. Returns the line's right
    /// side.
    pub fn pass(&mut self, line: &str, right: Right) -> String {
        let (time, words) = line.split_once(' ').unwrap_or((line, ""));
        self.pass_at(span(time), words, right).1
    }

    fn pass_at(&mut self, begun: Duration, words: &str, right: Right) -> (Decision, String) {
        let (mut dies, mut asks_group, mut held_again) = ("", true, false);
        let mut record = self.drain.record.clone();
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("deadline", "none")) => record.deadline = None,
                Some(("deadline", at)) => record.deadline = Some(epoch() + span(at)),
                Some((key, value)) => self.cloud.set(key, value),
                None if word == "restart" => self.restart(begun),
                None if word.starts_with("dies-") => dies = word,
                None if word == "same-group" => asks_group = false,
                None if word == "held-again" => held_again = true,
                None if word == "pause" => record.orders.pause = Some(ada()),
                None if word == "resume" => record.orders.pause = None,
                None if word == "cancel" => record.orders.cancel = Some(ada()),
                None if word == "force" => record.orders.force = Some(ada()),
                None if word == "take-back" => record.orders.force = None,
                None if word == "adopt" => {
                    let lifecycle = opened(WaitKind::Terminating, Vec::new()).lifecycle.unwrap();
                    record = record.adopt(lifecycle, None, SignedDuration::ZERO, self.wall(begun));
                }
                None => self.cloud.set("ci", word),
            }
        }
        self.drain.take(record, self.mono(begun));
        let read = Read { began: self.mono(begun), ended: self.mono(begun + READING) };
        let searches = self.search_from.is_some_and(|from| from <= read.began);
        self.cloud.change();
        self.cloud.answer(&mut self.drain, &self.policy, read, asks_group, searches);
        if held_again {
            self.drain.heed(&self.policy, read, Answer::HeldAgain);
        }
        let now = Now { mono: read.ended, wall: self.wall(begun + READING) };
        let paused = self.cloud.fact("paused", "none");
        let causes = self.causes();
        let stuck = self.cloud.fact("stuck", "none");
        let context = Context {
            turn: turn(&self.cloud.fact("turn", "now")),
            paused: Some(paused.as_str()).filter(|b| *b != "none"),
            causes: &causes,
            stuck: Some(stuck.as_str()).filter(|s| *s != "none").map(span),
            bad_tags: None,
        };
        let decision = self.drain.decide(&self.policy, &context, now);
        let mut text = right(self, &decision);
        self.carry_out(&decision, dies, now, &mut text);
        if !dies.is_empty() {
            self.restart(begun + READING);
        }
        self.next = begun + READING + decision.again;
        (decision, text)
    }

    fn restart(&mut self, at: Duration) {
        (self.search_from, self.born) = (None, at);
        self.drain = Drain::new(self.drain.record.clone(), Mono::START);
    }

    fn carry_out(&mut self, decision: &Decision, dies: &str, now: Now, text: &mut String) {
        self.search_from = decision.needs.of(Kind::Sweep).map(|need| need.from);
        if dies == "dies-before-save" {
            return;
        }
        if decision.save {
            self.write(decision.record.clone(), now);
        }
        let mut sent = None;
        for action in &decision.actions {
            match self.drain.may_send(action, &self.policy, now) {
                Err(refusal) => text.push_str(&format!(" (refused: {})", refusal.0)),
                Ok(()) => sent = sent.or(completion(action)),
            }
        }
        let Some(intent) = sent else { return };
        assert_eq!(self.drain.record.phase(), Phase::Completing, "only Completing may complete");
        assert_eq!(
            self.drain.record.intent(),
            Some(intent),
            "the intent must be saved before Auto Scaling is told"
        );
        if dies == "dies-after-save" {
            return;
        }
        let word = self.cloud.fact("answer", "accepted");
        let answer = match word.as_str() {
            "accepted" => CompletionAnswer::Accepted,
            "no-active" => CompletionAnswer::NoActiveAction,
            "error" => CompletionAnswer::Failed("throttled".to_owned()),
            other => panic!("no answer {other}"),
        };
        let after = after_completion(&self.drain.record, &answer, &self.policy, now.wall);
        self.write(after, now);
        text.push_str(&format!("; {word}: {}", show_phase(&self.drain.record)));
    }

    fn write(&mut self, mut record: Record, now: Now) {
        record.version += 1;
        record.updated_at = now.wall;
        let intended = matches!(record.phase(), Phase::Completing | Phase::Returning | Phase::Done);
        assert!(
            record.intent().is_none() || intended,
            "an intent that is dropped is out of the record"
        );
        self.drain.take(record, now.mono);
        self.writes += 1;
    }

    fn causes(&self) -> Vec<Note> {
        let words = self.cloud.fact("because", "none");
        let names = words.split(',').filter(|word| *word != "none");
        names
            .map(|name| Note {
                name: name.to_owned(),
                text: format!("because of {name}"),
                fix: None,
            })
            .collect()
    }

    fn wall(&self, at: Duration) -> Timestamp {
        let off = self.cloud.fact("clock", "+0s");
        let (sign, off) = off.split_at(1);
        if sign == "-" { epoch() + at - span(off) } else { epoch() + at + span(off) }
    }
}

fn completion(action: &Action) -> Option<&crate::record::Intent> {
    match action {
        Action::Complete(intent) => Some(intent),
        Action::SetDraining { .. }
        | Action::SetActive { .. }
        | Action::StopTask { .. }
        | Action::Deregister { .. }
        | Action::Terminate { .. } => None,
    }
}

/// Returns an operator's order.
pub fn ada() -> Order {
    Order { by: "Ada".to_owned(), reason: Some("kernel".to_owned()), at: epoch() }
}

/// Returns the same drain with other orders.
pub fn ordered(record: &Record, order: impl FnOnce(&mut Orders)) -> Record {
    let mut record = record.clone();
    order(&mut record.orders);
    record
}

/// Returns the stage of a phase, for a drain with this outcome; phases before Completing ignore the
/// outcome.
pub fn stage(phase: Phase, outcome: Outcome) -> Stage {
    let result =
        if outcome == Outcome::Abandoned { ActionResult::Abandon } else { ActionResult::Continue };
    let intent = Intent { result, outcome, reason: "it was decided".to_owned(), at: epoch() };
    match phase {
        Phase::Pending => Stage::Pending,
        Phase::Deregistering => Stage::Deregistering,
        Phase::Waiting => Stage::Waiting,
        Phase::Verifying => Stage::Verifying,
        Phase::Completing => Stage::Completing { intent, refused_since: None },
        Phase::Returning => Stage::Returning { intent: Some(intent) },
        Phase::Done => Stage::Done { outcome, intent: Some(intent), expires_at: 1_800_000_000 },
    }
}

/// Reads `2/2+1`, or `now`.
fn turn(word: &str) -> Turn {
    let Some((running, rest)) = word.split_once('/') else {
        return if word == "read" { Turn::Read { service: None } } else { Turn::Now };
    };
    let (limit, ahead) = rest.split_once('+').unwrap();
    Turn::Wait {
        scope: Scope::Cluster("web".to_owned()),
        running: running.parse().unwrap(),
        limit: limit.parse().unwrap(),
        ahead: ahead.parse().unwrap(),
    }
}
