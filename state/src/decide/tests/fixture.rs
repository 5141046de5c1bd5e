//! A whole drain as a table of passes. [`check`] drives the decision as the controller does: observe, fold, decide,
//! save, act.
//!
//! ```text
//! policy deadline=10m at-deadline=continue
//! 0s   ACTIVE tasks=web:RUNNING found=web/60  => Deregistering saved SetDraining(c1) 5s AskedToDrain
//! 5s   DRAINING                               => Waiting saved 5s TasksLeft(1)
//! ```
//!
//! Left of `=>`: when the pass begins, then the facts that changed since the line before. Right of it: the phase,
//! whether the record is written, what is done, when the next look is due, and why. `; accepted: …` is the record after
//! Auto Scaling answered. The last line counts the writes, the opening of the record included.
//!
//! When a table is not what happens, the test prints the table that is: read it line by line, then paste it.
//!
//! `Unknown(new)` is something that was found in this pass and has not been looked at yet.
//!
//! A pass reads for one second: what it sees began at the line's time and ended a second later.
//!
//! | fact | means | at first |
//! | --- | --- | --- |
//! | `ACTIVE`, `DRAINING,ACTIVE`, `ci=none` | the container instances c1, c2 … that exist; `!`: agent disconnected | `ACTIVE` |
//! | `tasks=web:RUNNING,standalone:RUNNING` | service and status; `daemon/log:…`: a daemon; `!`: told to stop; `~`: protected; `*3`: three | `none` |
//! | `found=web/60` | registrations that the services give it, with the balancer's delay in seconds; `net-…`: a network one, `group-…`: the group's own | `none` |
//! | `targets=web:draining` | what the balancers say; a registration that is not named is gone; `dead`: `Target.InvalidState` | `none` |
//! | `group=Terminating:Wait` | Auto Scaling's word, or `absent`; `!`: unhealthy | `Terminating:Wait` |
//! | `hook=60` | the heartbeat timeout of our hook, in seconds; `none`, or `?` | `60` |
//! | `retains` | `yes`: the group keeps an instance whose termination is abandoned | `no` |
//! | `search=fails` | a search of every cluster; else it finds the container instances that exist | `works` |
//! | `answer=accepted` | what a completion is answered: `accepted`, `no-active` or `error` | `accepted` |
//! | `clock=+1h` | how far the wall clock is off | `+0s` |
//! | `turn=2/2+1` | so many go on, of so many, and so many wait before it; `now`: its turn has come | `now` |
//! | `brake=Ada` | who holds everything | `none` |
//! | `because=NoRoom` | what was found out of why it does not move | `none` |
//!
//! Any of the reads can be `?`: it failed. These words happen once: `restart` (this pass begins without memory),
//! `dies-before-save` and `dies-after-save` (it ends there), `same-group` (Auto Scaling's answer is the one of the pass
//! before), `deadline=20m` (an operator moved it, counted from 0s), `hold`, `resume`, `cancel`, `complete-now` and
//! `take-back` (an operator ordered it, or no longer does), `adopt` (intake gave the drain a lifecycle action).
//!
//! `policy then=keep` opens a drain that no hook began: `terminate`, `terminate-and-shrink`, `keep` or `leave`.

mod show;
mod words;

pub use show::show;
pub use words::{container_instance, container_instance_sight, group, obligation, opened, task};

use crate::decide::{Action, CompletionAnswer, Context, Decision, Turn, after_completion, decide};
use crate::observation::{Lookup, Observation, Seen};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::record::{Note, Order, Origin, Record, Then, WaitKind, later};
use crate::sightings::Sightings;
use jiff::{SignedDuration, Timestamp};
use show::{short, show_phase, show_sightings};
use std::collections::BTreeMap;
use std::time::Duration;
use words::{list, set_policy, span, target};

/// The wall clock at 0s.
pub fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// How long a pass reads.
const READING: Duration = Duration::from_secs(1);

/// Runs a table and compares what is decided with what it says.
#[track_caller]
pub fn check(table: &str) {
    run(table, |_, decision| show(decision));
}

/// The same for what has been seen unbroken.
#[track_caller]
pub fn check_sightings(table: &str) {
    run(table, |drain, _| show_sightings(drain));
}

#[track_caller]
fn run(table: &str, right: fn(&Drain, &Decision) -> String) {
    let mut drain = None;
    let mut rows = Vec::new();
    let mut policy = "";
    for line in table.lines().map(str::trim).filter(|l| !l.is_empty() && !l.ends_with("writes")) {
        let left = line.split("=>").next().unwrap_or(line).trim();
        let words = left.strip_prefix("policy");
        policy = words.unwrap_or(policy);
        if words.is_some() || line.starts_with('#') {
            rows.push((line.to_owned(), None));
            continue;
        }
        let result = drain.get_or_insert_with(|| Drain::open(policy, left)).pass(left, right);
        rows.push((left.to_owned(), Some(result)));
    }
    let writes = drain.expect("a table has passes").writes;
    rows.push((format!("{writes} writes"), None));
    let width = rows.iter().filter(|r| r.1.is_some()).map(|r| r.0.chars().count()).max().unwrap_or(0);
    let actual: Vec<_> = rows
        .into_iter()
        .map(|(left, right)| right.map_or(left.clone(), |right| format!("{left:<width$} => {right}")))
        .collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = table.lines().map(words).filter(|l| !l.is_empty());
    let same = expected.eq(actual.iter().map(|l| words(l)));
    assert!(same, "the table is now:\n{}\n", actual.join("\n"));
}

/// A drain, the world around it, and the process that drains it.
pub struct Drain {
    policy: Policy,
    pub record: Record,
    facts: BTreeMap<String, String>,
    /// What the process remembers, and when it began.
    sightings: Sightings,
    lookup: Option<Lookup>,
    group_begun: Duration,
    search_from: Option<Duration>,
    born: Duration,
    writes: u32,
}

impl Drain {
    pub fn open(policy_words: &str, first: &str) -> Drain {
        let mut drain = Drain {
            policy: Policy::default(),
            record: opened(WaitKind::Terminating, Vec::new()),
            facts: BTreeMap::new(),
            sightings: Sightings::default(),
            lookup: None,
            group_begun: Duration::ZERO,
            search_from: None,
            born: Duration::ZERO,
            writes: 1,
        };
        let mut kind = WaitKind::Terminating;
        let mut then = None;
        let mut opened_with = if first.contains("ci=none") { 0 } else { 1 };
        for word in policy_words.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("kind", "returns-to-warm-pool") => kind = WaitKind::ReturnsToWarmPool,
                ("kind", "replaces-root-volume") => kind = WaitKind::ReplacesRootVolume,
                ("opened", count) => opened_with = count.parse().unwrap(),
                ("then", word) => {
                    then = Some(match word {
                        "terminate" => Then::Terminate,
                        "terminate-and-shrink" => Then::TerminateAndShrink,
                        "keep" => Then::Keep,
                        "leave" => Then::Leave,
                        other => panic!("no ending {other}"),
                    });
                }
                (key, value) => set_policy(&mut drain.policy, key, value),
            }
        }
        drain.record = opened(kind, (1..=opened_with).map(container_instance).collect());
        drain.record.strategy = drain.policy.strategy;
        drain.record.deadline = drain.policy.deadline.map(|d| later(epoch(), SignedDuration::try_from(d).unwrap()));
        if then.is_some() {
            drain.record.origin = Origin::Operator;
            (drain.record.then, drain.record.lifecycle) = (then, None);
            (drain.record.global_limit, drain.record.deadline) = (None, None);
        }
        drain
    }

    /// One pass: what the line says is seen, then decided and done. Gives the line's right side.
    pub fn pass(&mut self, line: &str, right: fn(&Drain, &Decision) -> String) -> String {
        let (time, words) = line.split_once(' ').unwrap_or((line, ""));
        let begun = span(time);
        let mut dies = "";
        if !words.contains("same-group") {
            self.group_begun = begun;
        }
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("deadline", "none")) => self.record.deadline = None,
                Some(("deadline", at)) => self.record.deadline = Some(epoch() + span(at)),
                Some((key, value)) => drop(self.facts.insert(key.to_owned(), value.to_owned())),
                None if word == "restart" => self.restart(begun),
                None if word.starts_with("dies-") => dies = word,
                None if word == "same-group" => {}
                None if word == "hold" => self.record.held = Some(ada()),
                None if word == "resume" => self.record.held = None,
                None if word == "cancel" => self.record.cancel = Some(ada()),
                None if word == "complete-now" => self.record.release = Some(ada()),
                None if word == "take-back" => self.record.release = None,
                None if word == "adopt" => {
                    let lifecycle = opened(WaitKind::Terminating, Vec::new()).lifecycle.unwrap();
                    self.record = self.record.adopt(lifecycle, None, SignedDuration::ZERO, self.wall(begun));
                }
                None => drop(self.facts.insert("ci".to_owned(), word.to_owned())),
            }
        }
        let seen = self.observe(begun);
        let now = self.wall(begun + READING);
        self.sightings = self.sightings.fold(&self.record, &seen, &self.policy);
        let brake = self.fact("brake", "none");
        let causes = self.causes();
        let context = Context {
            sightings: &self.sightings,
            turn: turn(&self.fact("turn", "now")),
            brake: Some(brake.as_str()).filter(|b| *b != "none"),
            causes: &causes,
        };
        let decision = decide(&self.record, &seen, &self.policy, &context, now);
        let mut text = right(self, &decision);
        if let Some(since) = decision.lookup {
            text = text.replace("search≥", &format!("search≥{}", short(self.born + since)));
        }
        self.carry_out(&decision, dies, now, &mut text);
        if !dies.is_empty() {
            self.restart(begun + READING);
        }
        text
    }

    fn restart(&mut self, at: Duration) {
        (self.sightings, self.lookup, self.search_from, self.born) = (Sightings::default(), None, None, at);
    }

    fn carry_out(&mut self, decision: &Decision, dies: &str, now: Timestamp, text: &mut String) {
        self.search_from = decision.lookup;
        if dies == "dies-before-save" {
            return;
        }
        if decision.save {
            self.write(decision.record.clone(), now);
        }
        let Some(intent) = decision.actions.iter().find_map(completion) else { return };
        assert_eq!(self.record.phase, Phase::Completing, "only Completing may complete");
        assert_eq!(self.record.intent.as_ref(), Some(intent), "the intent must be saved before Auto Scaling is told");
        if dies == "dies-after-save" {
            return;
        }
        let word = self.fact("answer", "accepted");
        let answer = match word.as_str() {
            "accepted" => CompletionAnswer::Accepted,
            "no-active" => CompletionAnswer::NoActiveAction,
            "error" => CompletionAnswer::Failed("throttled".to_owned()),
            other => panic!("no answer {other}"),
        };
        let after = after_completion(&self.record, &answer, &self.policy, now);
        self.write(after, now);
        text.push_str(&format!("; {word}: {}", show_phase(&self.record)));
    }

    fn write(&mut self, mut record: Record, now: Timestamp) {
        record.version += 1;
        record.updated_at = now;
        let intended = matches!(record.phase, Phase::Completing | Phase::Returning | Phase::Done);
        assert!(record.intent.is_none() || intended, "an intent that is dropped is out of the record");
        self.record = record;
        self.writes += 1;
    }

    fn causes(&self) -> Vec<Note> {
        let words = self.fact("because", "none");
        let names = words.split(',').filter(|word| *word != "none");
        names.map(|name| Note { name: name.to_owned(), text: format!("because of {name}") }).collect()
    }

    fn fact(&self, key: &str, otherwise: &str) -> String {
        self.facts.get(key).map_or(otherwise, String::as_str).to_owned()
    }

    fn wall(&self, at: Duration) -> Timestamp {
        let off = self.fact("clock", "+0s");
        let (sign, off) = off.split_at(1);
        if sign == "-" { epoch() + at - span(off) } else { epoch() + at + span(off) }
    }

    fn observe(&mut self, begun: Duration) -> Observation {
        let (mono, ci) = (begun - self.born, self.fact("ci", "ACTIVE"));
        if self.search_from.is_some_and(|from| from <= mono) && self.fact("search", "works") == "works" {
            let found = match list("ci", &ci) {
                Seen::Yes(words) => {
                    (1..).zip(&words).filter(|(_, w)| exists(w)).map(|(n, _)| container_instance(n)).collect()
                }
                Seen::Unknown(_) => self.record.container_instances.clone(),
            };
            self.lookup = Some(Lookup { begun: mono, found });
        }
        Observation {
            begun: mono,
            begun_at: self.wall(begun),
            ended: mono + READING,
            group: group(
                &self.fact("group", "Terminating:Wait"),
                &self.fact("hook", "60"),
                self.fact("retains", "no") == "yes",
            ),
            group_begun: self.group_begun.saturating_sub(self.born),
            tasks_listed: mono,
            container_instances: map(list("ci", &ci), |words| {
                // Only those that are in the record are looked at.
                let asked = self.record.container_instances.len();
                assert!(words.len() >= asked, "the table must say what each of {asked} container instances is");
                (1..=asked).zip(words).map(|(n, word)| container_instance_sight(n, &word)).collect()
            }),
            tasks: map(list("tasks", &self.fact("tasks", "none")), |words| {
                (1..).zip(words).map(|(n, word)| task(n, &word)).collect()
            }),
            obligations: map(list("found", &self.fact("found", "none")), |words| {
                words.iter().map(|w| obligation(w)).collect()
            }),
            targets: map(list("targets", &self.fact("targets", "none")), |words| {
                self.record.obligations.iter().map(|o| target(o, &words)).collect()
            }),
            lookup: self.lookup.clone(),
        }
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

/// An operator's order.
pub fn ada() -> Order {
    Order { by: "Ada".to_owned(), reason: Some("kernel".to_owned()), at: epoch() }
}

/// Reads `2/2+1`, or `now`.
fn turn(word: &str) -> Turn {
    let Some((running, rest)) = word.split_once('/') else { return Turn::Now };
    let (limit, ahead) = rest.split_once('+').unwrap();
    Turn::Wait { running: running.parse().unwrap(), limit: limit.parse().unwrap(), ahead: ahead.parse().unwrap() }
}

fn exists(word: &str) -> bool {
    !word.starts_with("INACTIVE") && !word.starts_with("MISSING")
}

fn map<A, B>(seen: Seen<A>, f: impl FnOnce(A) -> B) -> Seen<B> {
    match seen {
        Seen::Yes(fact) => Seen::Yes(f(fact)),
        Seen::Unknown(why) => Seen::Unknown(why),
    }
}
