//! Closed windows: recurring times in which drains of some reasons do not begin.

#[cfg(test)]
mod tests;

use crate::config::error::{Problems, nearest};
use crate::config::keys;
use crate::config::pattern::Patterns;
use crate::config::reader::{Fields, Node};
use crate::config::scope::patterns;
use ecs_drain_state::windows::{Cron, Reason, Window, are_closed_for};
use jiff::tz::{self, TimeZone};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Start of the year for which a reason may not be closed: a leap year, and none that is special.
const YEAR: Timestamp = Timestamp::constant(1_830_297_600, 0);
/// Length of that year.
const WHOLE: SignedDuration = SignedDuration::from_hours(366 * 24);

/// One `[[closed]]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Closed {
    /// Clusters that it applies to; `None` for all, and for instances in no cluster.
    clusters: Option<Patterns>,
    window: Arc<Window>,
}

impl Closed {
    /// Returns the name of the window.
    pub(super) fn name(&self) -> &str {
        &self.window.name
    }

    /// Returns the window, if it applies to this cluster (`None`: in none).
    pub(super) fn of(&self, cluster: Option<&str>) -> Option<Arc<Window>> {
        let applies = self
            .clusters
            .as_ref()
            .is_none_or(|patterns| cluster.is_some_and(|name| patterns.matches(name)));
        applies.then(|| Arc::clone(&self.window))
    }

    /// Returns whether it surely applies wherever `other` does.
    fn covers(&self, other: &Closed) -> bool {
        self.clusters.as_ref().is_none_or(Patterns::is_all) || self.clusters == other.clusters
    }
}

/// Reads every `[[closed]]`.
pub(super) fn read_all(root: &Fields<'_>, problems: &mut Problems) -> Vec<Closed> {
    let mut all: Vec<Closed> = Vec::new();
    for fields in root.tables("closed", "closed", problems) {
        let Some(closed) = read(&fields, problems) else { continue };
        let name = closed.name();
        if all.iter().any(|other| other.name() == name) {
            let text = format!("{} is a second window with the name {name:?}", fields.path());
            problems.at(fields.place(), text);
        }
        all.push(closed);
        if let Some((reason, names)) = always_closed(&all) {
            let text = format!(
                "{} leaves no time in which a drain of reason {reason:?} may begin: {names} closed \
                 all year",
                fields.path()
            );
            problems.at(fields.place(), text);
            all.pop();
        }
    }
    all
}

fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Closed> {
    let name = fields.require("name", problems).and_then(|node| node.text(name, problems));
    let schedule = fields.require("schedule", problems).and_then(|node| schedule(&node, problems));
    let duration = fields
        .require("duration", problems)
        .and_then(|node| node.span(&keys::CLOSED_DURATION, problems));
    let zone = match fields.get("zone") {
        Some(node) => zone(&node, problems),
        None => Some(TimeZone::UTC),
    };
    let reasons = match fields.get("reasons") {
        Some(node) => reasons(&node, problems),
        None => Some(vec![Reason::Request, Reason::Rebalance]),
    };
    let clusters = match fields.get("clusters") {
        Some(node) => Some(patterns(&node, problems)?),
        None => None,
    };
    let window = Window {
        name: name?,
        schedule: schedule?,
        duration: SignedDuration::try_from(duration?).ok()?,
        zone: zone?,
        reasons: reasons?,
    };
    Some(Closed { clusters, window: Arc::new(window) })
}

fn name(name: &str) -> Result<(), String> {
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("a window's name has 1 to 64 characters, on one line".to_owned())
    }
}

fn schedule(node: &Node<'_>, problems: &mut Problems) -> Option<Cron> {
    match Cron::parse(node.string(problems)?) {
        Ok(schedule) => Some(schedule),
        Err(wrong) => {
            node.refuse(&wrong, problems);
            None
        }
    }
}

fn zone(node: &Node<'_>, problems: &mut Problems) -> Option<TimeZone> {
    let name = node.string(problems)?;
    let zone = TimeZone::get(name);
    if zone.is_err() {
        let known: Vec<String> =
            tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
        let like = match nearest(name, known.iter().map(String::as_str)) {
            Some(like) => format!("no time zone has this name; did you mean {like:?}?"),
            None => "no time zone has this name; it is one of the IANA database, such as \
                     \"Europe/Berlin\""
                .to_owned(),
        };
        node.refuse(&like, problems);
    }
    zone.ok()
}

fn reasons(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Reason>> {
    let nodes = node.strings("name at least one reason", problems)?;
    let reasons: Vec<_> = nodes.iter().map(|node| node.choice(Reason::NAMES, problems)).collect();
    reasons.into_iter().collect()
}

/// Returns a reason that these windows close all year, where that is certain, and the windows.
fn always_closed(all: &[Closed]) -> Option<(&'static str, String)> {
    all.iter().find_map(|one| {
        let covering = all.iter().filter(|other| other.covers(one));
        let windows: Vec<_> = covering.map(|other| Arc::clone(&other.window)).collect();
        let closed = |(_, reason): &&(&str, Reason)| are_closed_for(&windows, *reason, YEAR, WHOLE);
        let (name, reason) = Reason::NAMES.iter().find(closed)?;
        let part = windows.iter().filter(|window| window.reasons.contains(reason));
        let names: Vec<_> = part.map(|window| format!("{:?}", window.name)).collect();
        let is = if names.len() == 1 { "is" } else { "are" };
        Some((*name, format!("{} {is}", names.join(", "))))
    })
}
