//! The situations that a fleet met: which phase met which reason, fault or event. A fleet that
//! never meets a situation proves nothing about it, however many are played.
//!
//! They follow from the plan, the records that were written, and the log of calls.

use crate::many::KINDS;
use crate::plan::{Asked, Feature, Happening, Plan};
use crate::play::Played;
use aws_simulator::limits::families;
use aws_simulator::{BEGIN, Cloud, SimTime, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// The kinds of situations.
const KINDS_OF_SITUATIONS: [&str; 9] =
    ["reason", "move", "end", "fault", "struck", "happens", "size", "rate", "fleet"];

/// A situation: its kind and its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Situation {
    /// One of these kinds.
    pub kind: &'static str,
    /// The content, in words.
    pub which: String,
}

/// Returns each situation that fleets must meet, with the lowest number of 10,000 fleets that meet
/// it: `situations.txt`.
pub fn list() -> BTreeMap<Situation, u64> {
    let lines = include_str!("../situations.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| parse(line).unwrap_or_else(|| panic!("situations.txt: cannot read {line:?}")))
        .collect()
}

fn parse(line: &str) -> Option<(Situation, u64)> {
    let (least, rest) = line.trim_start().split_once(' ')?;
    let (kind, which) = rest.split_once(' ')?;
    let kind = KINDS_OF_SITUATIONS.into_iter().find(|known| *known == kind)?;
    Some((Situation { kind, which: which.trim_start().to_owned() }, least.parse().ok()?))
}

/// Returns the situations of the list that were not met, although this many fleets meet them five
/// times at least.
pub fn dried_up(met: &BTreeMap<Situation, u64>, fleets: u64) -> Vec<Situation> {
    let due = |least: u64| least * fleets >= 5 * 10_000;
    list()
        .into_iter()
        .filter(|(which, least)| due(*least) && !met.contains_key(which))
        .map(|(which, _)| which)
        .collect()
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {}", self.kind, self.which)
    }
}

/// A change at one moment.
enum Event<'f> {
    Written(&'f Written),
    Struck { kind: &'static str, service: &'static str },
    Happens(&'f Happening),
}

/// Returns every situation that this fleet met.
pub fn situations(plan: &Plan, played: &Played) -> BTreeSet<Situation> {
    played.simulator.peek(|cloud| {
        let mut met = Met::default();
        met.add("size", size(plan));
        if plan.limits {
            for family in at_their_limits(cloud) {
                met.add("rate", format!("{family}: {}", clusters(plan)));
            }
        }
        for (_, event) in events(plan, cloud) {
            match event {
                Event::Written(written) => met.written(written),
                Event::Struck { kind, service } => met.struck(kind, service),
                Event::Happens(what) => met.happens(what),
            }
        }
        let features = Feature::ALL.into_iter().filter(|feature| plan.has(*feature));
        for feature in features {
            for outcome in played.outcomes.keys() {
                met.add("fleet", format!("{}: {outcome}", feature.name()));
            }
        }
        met.situations
    })
}

/// Returns all events, in the order of time.
fn events<'f>(plan: &'f Plan, cloud: &'f Cloud) -> Vec<(SimTime, Event<'f>)> {
    let written =
        cloud.checkers.writes().iter().map(|written| (written.at, Event::Written(written)));
    let struck =
        cloud.log.entries().iter().filter(|entry| entry.number.is_some()).filter_map(|entry| {
            let kind = KINDS.iter().find(|kind| entry.outcome.contains(**kind))?;
            Some((entry.at, Event::Struck { kind: kind.trim(), service: entry.service.as_str() }))
        });
    let happens = plan
        .script
        .iter()
        .map(|(at, what)| (BEGIN + Duration::from_secs(*at), Event::Happens(what)));
    let mut all: Vec<_> = written.chain(struck).chain(happens).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

/// The situations until now.
#[derive(Default)]
struct Met {
    situations: BTreeSet<Situation>,
    /// Each drain's phase, by its record's key.
    phases: BTreeMap<String, String>,
    /// The faults that have struck calls since a drain began, by its record's key.
    strikes: BTreeMap<String, BTreeSet<String>>,
}

impl Met {
    fn add(&mut self, kind: &'static str, which: String) {
        self.situations.insert(Situation { kind, which });
    }

    fn written(&mut self, written: &Written) {
        let text = |name: &str| written.item.get(name)?.get("S")?.as_str().map(str::to_owned);
        let (Some(phase), Some(why)) = (text("phase"), text("why")) else { return };
        self.add("reason", format!("{phase}: {why}"));
        let before = self.phases.insert(written.key.clone(), phase.clone());
        if let Some(before) = before.filter(|before| *before != phase) {
            self.add("move", format!("{before} → {phase}"));
        }
        if let (Some(outcome), Some(origin), Some(strategy)) =
            (text("outcome"), text("origin"), text("strategy"))
        {
            self.add("end", format!("{origin}, {strategy}: {outcome}"));
            for kind in self.strikes.remove(&written.key).unwrap_or_default() {
                self.add("struck", format!("{outcome}: {kind}"));
            }
        }
    }

    fn struck(&mut self, kind: &str, service: &str) {
        self.add("fault", format!("{service}: {kind}"));
        for (key, _) in self.phases.iter().filter(|(_, phase)| *phase != "Done") {
            self.strikes.entry(key.clone()).or_default().insert(kind.to_owned());
        }
        for phase in self.unfinished() {
            self.add("fault", format!("{phase}: {kind}"));
        }
    }

    fn happens(&mut self, what: &Happening) {
        let name = name(what);
        let phases: BTreeSet<String> = match what.instance() {
            Some(instance) => {
                let of_it = self.phases.iter().find(|(key, _)| key.ends_with(instance));
                std::iter::once(
                    of_it.map_or_else(|| "no drain".to_owned(), |(_, phase)| phase.clone()),
                )
                .collect()
            }
            None => self.unfinished(),
        };
        for phase in phases {
            self.add("happens", format!("{phase}: {name}"));
        }
    }

    /// Returns the phases of drains that have not ended.
    fn unfinished(&self) -> BTreeSet<String> {
        self.phases.values().filter(|phase| *phase != "Done").cloned().collect()
    }
}

fn clusters(plan: &Plan) -> &'static str {
    match plan.clusters.len() {
        0..5 => "few clusters",
        5..20 => "some clusters",
        _ => "many clusters",
    }
}

/// Returns the rates that the controllers used up for some time: in a span of this many seconds,
/// nine tenths of the half of AWS's rate that a controller allows itself.
fn at_their_limits(cloud: &Cloud) -> BTreeSet<&'static str> {
    const SPAN: u64 = 15;
    let mut calls: BTreeMap<(&str, u64), (f64, f64)> = BTreeMap::new();
    for entry in cloud.log.entries().iter().filter(|entry| entry.number.is_some()) {
        for rate in families(entry.service, &entry.operation) {
            let counted = calls.entry((rate.family, entry.at.as_secs() / SPAN)).or_default();
            *counted = (counted.0 + 1.0, rate.per_second / 2.0 * SPAN as f64);
        }
    }
    calls
        .into_iter()
        .filter(|(_, (calls, most))| *calls >= most * 0.9)
        .map(|((family, _), _)| family)
        .collect()
}

/// Returns the number of clusters, and the word for AWS's rates or none.
fn size(plan: &Plan) -> String {
    let clusters = clusters(plan);
    format!("{clusters}, {}", if plan.limits { "AWS's rates" } else { "no rates" })
}

/// Returns an event's name, in a word or two.
fn name(what: &Happening) -> String {
    match what {
        Happening::ByHand { active: true, .. } => "made ACTIVE by hand".to_owned(),
        Happening::ByHand { active: false, .. } => "made DRAINING by hand".to_owned(),
        Happening::Agent { connected, .. } => {
            format!("agent {}", if *connected { "connects" } else { "disconnects" })
        }
        Happening::Order { what: Asked::Drain(then), .. } => format!("order to drain, {then:?}"),
        Happening::Order { what: Asked::Extend(_), .. } => "order to extend".to_owned(),
        Happening::Order { what, .. } => format!("order to {what:?}"),
        Happening::Pause { on } => {
            format!("everything is {}", if *on { "paused" } else { "resumed" })
        }
        Happening::TableAway { hangs: true, .. } => "the table hangs".to_owned(),
        other => {
            let text = format!("{other:?}");
            let end = text.find([' ', '(', '{']).unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}
