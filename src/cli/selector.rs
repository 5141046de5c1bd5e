//! `--selector` and `--sort-by` of `get`: conditions on the drains that were read, and their order.

use crate::config::Patterns;
use crate::store::Read;
use clap::ValueEnum;
use ecs_drain_state::{Outcome, Phase, Record};
use jiff::Timestamp;
use std::str::FromStr;

/// Fields that a selector takes.
const FIELDS: [&str; 8] =
    ["cluster", "group", "phase", "stuck", "outcome", "origin", "account", "region"];

/// Conditions that a drain has to meet, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    field: &'static str,
    /// True for `!=`: the value must not match.
    not: bool,
    values: Patterns,
}

impl FromStr for Selector {
    type Err = String;

    /// Parses conditions such as `cluster=web-*,phase!=Waiting,stuck`.
    fn from_str(text: &str) -> Result<Selector, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let conditions: Result<Vec<Condition>, String> = parts.map(condition).collect();
        Ok(Selector(conditions?))
    }
}

fn condition(part: &str) -> Result<Condition, String> {
    let (name, not, value) = match part.split_once('=') {
        Some((name, value)) => (name.trim_end_matches('!'), name.ends_with('!'), value.trim()),
        None => (part, false, "true"),
    };
    let name = name.trim();
    let Some(field) = FIELDS.into_iter().find(|field| *field == name) else {
        return Err(format!("{name:?} is none of {}", FIELDS.join(", ")));
    };
    let names: Vec<&str> = match field {
        "phase" => Phase::ALL.into_iter().map(Phase::name).collect(),
        "outcome" => Outcome::ALL.into_iter().map(Outcome::name).collect(),
        "stuck" => vec!["true", "false"],
        _ if value.is_empty() || !part.contains('=') => {
            return Err(format!("{field} needs a value, such as {field}=NAME"));
        }
        _ => {
            let values = Patterns::new(vec![value.to_owned()]);
            return Ok(Condition { field, not, values });
        }
    };
    let exact = names.iter().find(|name| name.eq_ignore_ascii_case(value));
    let exact = exact.ok_or_else(|| format!("{field} is one of {}", names.join(", ")))?;
    Ok(Condition { field, not, values: Patterns::new(vec![(*exact).to_owned()]) })
}

impl Selector {
    /// Returns true if a drain meets every condition. An unreadable record has only an account and
    /// a region: it meets no condition with `=` on another field, and every one with `!=`.
    pub(crate) fn matches(&self, key: &str, read: &Read) -> bool {
        self.0.iter().all(|condition| {
            let values = values(condition.field, key, read);
            values.iter().any(|value| condition.values.matches(value)) != condition.not
        })
    }
}

/// Returns the values of a field; several if an instance is in several clusters.
fn values(field: &str, key: &str, read: &Read) -> Vec<String> {
    let mut parts = key.split('/').map(str::to_owned);
    let (account, region) = (parts.next(), parts.next());
    match (field, read) {
        ("account", _) => account.into_iter().collect(),
        ("region", _) => region.into_iter().collect(),
        (_, Read::Record(record)) => of_record(field, record),
        (_, Read::Newer { .. } | Read::Unreadable { .. }) => Vec::new(),
    }
}

fn of_record(field: &str, record: &Record) -> Vec<String> {
    match field {
        "cluster" => record.container_instances.iter().map(|one| one.cluster.clone()).collect(),
        "group" => record.group().map(str::to_owned).into_iter().collect(),
        "phase" => vec![record.phase().to_string()],
        "stuck" => vec![is_stuck(record).to_string()],
        "outcome" => record.outcome().map(|outcome| outcome.to_string()).into_iter().collect(),
        _ => vec![record.origin.name().to_owned()],
    }
}

fn is_stuck(record: &Record) -> bool {
    record.shown.stuck_since.is_some() && !record.is_done()
}

/// Order of drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Unreadable records, then stuck drains, then the oldest
    #[default]
    Attention,
    /// The oldest first
    Age,
    /// The next hook expiry or deadline first
    Expires,
    /// By cluster, then instance
    Cluster,
    /// By Auto Scaling group, then instance
    Group,
    /// By instance
    Instance,
    /// By phase, then the oldest
    Phase,
}

impl Sort {
    /// Sorts drains, with their keys.
    pub(crate) fn sort(self, records: &mut [(String, Read)]) {
        records.sort_by_cached_key(|(key, read)| self.rank(key, read));
    }

    fn rank(self, key: &str, read: &Read) -> (usize, Timestamp, String, String) {
        let instance = key.rsplit('/').next().unwrap_or(key).to_owned();
        let Read::Record(record) = read else {
            return (0, Timestamp::MIN, String::new(), instance);
        };
        let created = record.created_at;
        match self {
            Sort::Attention => {
                let urgent = match record {
                    done if done.is_done() => 3,
                    stuck if is_stuck(stuck) => 1,
                    _ => 2,
                };
                (urgent, created, String::new(), instance)
            }
            Sort::Age => (1, created, String::new(), instance),
            Sort::Expires => {
                let expires = record.deadline.into_iter().chain(record.global_limit).min();
                let expires = expires.filter(|_| !record.is_done());
                (1, expires.unwrap_or(Timestamp::MAX), String::new(), instance)
            }
            Sort::Cluster => {
                (1, Timestamp::MIN, record.cluster.clone().unwrap_or_default(), instance)
            }
            Sort::Group => {
                (1, Timestamp::MIN, record.group().unwrap_or_default().to_owned(), instance)
            }
            Sort::Instance => (1, Timestamp::MIN, String::new(), instance),
            Sort::Phase => {
                let phase = record.phase();
                let at = Phase::ALL.into_iter().position(|one| one == phase).unwrap_or_default();
                (1 + at, created, String::new(), instance)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::samples::{asked, done, stuck, unread, waiting};

    fn all() -> Vec<(String, Read)> {
        let mut all = vec![waiting(), stuck(), done(), asked()];
        all.extend(unread());
        all
    }

    fn selected(text: &str) -> String {
        let selector: Selector = text.parse().unwrap();
        let mut all = all();
        all.retain(|(key, read)| selector.matches(key, read));
        names(&all)
    }

    fn names(records: &[(String, Read)]) -> String {
        let names: Vec<&str> =
            records.iter().map(|(key, _)| key.rsplit("i-0").next().unwrap_or(key)).collect();
        names.join(" ")
    }

    #[test]
    fn conditions_choose_drains() {
        for (selector, expected) in [
            ("", "waiting stuck done asked new bad"),
            ("stuck", "stuck"),
            ("stuck=false", "waiting done asked"),
            ("phase=waiting, stuck!=true", "waiting asked"),
            ("phase=Done", "done"),
            ("outcome=timedout", "done"),
            ("cluster=w*", "waiting stuck done asked"),
            ("cluster!=web", "new bad"),
            ("group=web-asg,origin=operator", "asked"),
            ("account=123456789012,region=eu-west-1", "waiting stuck done asked new bad"),
            ("region=us-*", ""),
        ] {
            assert_eq!(selected(selector), expected, "{selector}");
        }
    }

    #[test]
    fn a_condition_that_can_match_nothing_is_refused() {
        for (selector, why) in [
            ("color=red", "\"color\" is none of cluster, group, phase"),
            ("phase=Wating", "phase is one of Pending, Deregistering"),
            ("stuck=maybe", "stuck is one of true, false"),
            ("cluster", "cluster needs a value, such as cluster=NAME"),
            ("cluster=", "cluster needs a value"),
        ] {
            let error = selector.parse::<Selector>().unwrap_err();
            assert!(error.starts_with(why), "{selector}: {error}");
        }
    }

    #[test]
    fn drains_are_sorted() {
        let sorted = |sort: Sort| {
            let mut all = all();
            sort.sort(&mut all);
            names(&all)
        };
        assert_eq!(sorted(Sort::Attention), "bad new stuck asked waiting done");
        assert_eq!(sorted(Sort::Age), "bad new done stuck asked waiting");
        assert_eq!(sorted(Sort::Expires), "bad new stuck waiting asked done");
        assert_eq!(sorted(Sort::Instance), "bad new asked done stuck waiting");
        assert_eq!(sorted(Sort::Phase), "bad new stuck asked waiting done");
    }
}
