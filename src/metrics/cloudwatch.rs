//! Metrics for CloudWatch: one line of JSON a minute on standard output, in the embedded metric
//! format. If the container's log goes to CloudWatch Logs, CloudWatch creates the metrics from it,
//! without an agent.
//!
//! (Source: CloudWatch user guide, "Specification: Embedded metric format": the `_aws` member, 100
//! metrics and 30 dimensions a line at most.)

use super::{Counted, Metrics, Picture, longest};
use crate::blind::What;
use ecs_drain_state::rollout::STOPPED;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Namespace of every metric.
pub(crate) const NAMESPACE: &str = "ecs-drain";

/// Every metric: its name, its unit, and its meaning.
pub const METRICS: [(&str, &str, &str); 24] = [
    ("Leads", "Count", "1 if this process leads; the sum over all processes should be 1"),
    ("UnfinishedDrains", "Count", "drains that have not ended"),
    ("StuckDrains", "Count", "unfinished drains without progress for `stuck_after`"),
    ("StoppedRollouts", "Count", "rollouts that stopped by themselves, and wait for a person"),
    ("OldestUnfinishedSeconds", "Seconds", "age of the oldest unfinished drain"),
    (
        "UnreadableRecords",
        "Count",
        "records that cannot be read; their drains or rollouts have stopped",
    ),
    ("WaitingInstances", "Count", "instances that wait under an ecs-drain hook"),
    ("UnopenedSeconds", "Seconds", "longest time that an instance has waited without a drain"),
    (
        "ScopesUnreachedSeconds",
        "Seconds",
        "longest time that a scope has not been reached since the start",
    ),
    ("GroupsUnreadSeconds", "Seconds", "longest time that Auto Scaling groups could not be read"),
    ("HooksUnreadSeconds", "Seconds", "longest time that lifecycle hooks could not be read"),
    ("SearchUnreadSeconds", "Seconds", "longest time that a cluster could not be searched"),
    ("QueueUnreadSeconds", "Seconds", "longest time that a queue could not be read"),
    (
        "TableUnreadSeconds",
        "Seconds",
        "longest time that the table, the pauses or the lease could not be read",
    ),
    (
        "DeniedOperations",
        "Count",
        "operations that AWS denied in the last 15 minutes, and at least a minute earlier",
    ),
    ("FinishedDrains", "Count", "drains that ended in this minute"),
    ("WaitsLost", "Count", "drains that ended in this minute as `WaitLost`"),
    ("EndedByDeadline", "Count", "drains that ended in this minute by their deadline"),
    ("Heartbeats", "Count", "heartbeats sent in this minute"),
    ("HeartbeatFailures", "Count", "heartbeats of this minute without an answer, or refused"),
    ("Calls", "Count", "AWS calls of this minute"),
    (
        "CallErrors",
        "Count",
        "AWS calls of this minute that failed; *not found* and *already over* are answers",
    ),
    ("Throttles", "Count", "AWS calls of this minute that were throttled"),
    ("Passes", "Count", "rounds of decisions in this minute"),
];

/// Writer of the lines. Counters count from the line before.
#[derive(Debug, Default)]
pub struct Lines {
    before: Counted,
}

impl Lines {
    /// Returns the next line.
    pub fn next(&mut self, metrics: &Metrics, controller: &str, now: Timestamp) -> String {
        let counted = metrics.counted();
        let before = std::mem::replace(&mut self.before, counted);
        let picture = metrics.all_pictures();
        let age = picture.oldest.map_or(0, |oldest| now.duration_since(oldest).as_secs().max(0));
        let sum = |counts: &mut dyn Iterator<Item = u32>| -> u64 { counts.map(u64::from).sum() };
        let more = |now: u64, then: u64| now.saturating_sub(then);
        let spots = metrics.spots().clone();
        let unread = |what: &[What]| longest(&spots, what);
        let values: [u64; METRICS.len()] = [
            u64::from(metrics.is_leading()),
            sum(&mut picture.drains.values().copied()),
            sum(&mut picture.stuck.values().copied()),
            u64::from(picture.rollouts.get(STOPPED).copied().unwrap_or_default()),
            u64::try_from(age).unwrap_or(0),
            u64::from(picture.unreadable),
            u64::from(picture.waiting),
            picture.unopened.as_secs(),
            unread(&[What::Scope]),
            unread(&[What::Groups]),
            unread(&[What::Hooks]),
            unread(&[What::Search]),
            unread(&[What::Queue]),
            unread(&[What::Table, What::Pauses, What::Lease]),
            metrics.denied().len() as u64,
            more(counted.finished, before.finished),
            more(counted.waits_lost, before.waits_lost),
            more(counted.ended_by_deadline, before.ended_by_deadline),
            more(counted.heartbeats, before.heartbeats),
            more(counted.heartbeat_failures, before.heartbeat_failures),
            more(counted.calls, before.calls),
            more(counted.call_errors, before.call_errors),
            more(counted.throttles, before.throttles),
            more(counted.passes, before.passes),
        ];
        let named = METRICS.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit}));
        let named: Vec<Value> = named.collect();
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Controller"]],
                    "Metrics": named,
                }],
            }),
        );
        line.insert("Controller".to_owned(), json!(controller));
        let names = METRICS.iter().map(|(name, ..)| (*name).to_owned());
        line.extend(names.zip(values.map(Value::from)));
        Value::Object(line).to_string()
    }
}

impl Metrics {
    /// Merges the gauges of every scope.
    fn all_pictures(&self) -> Picture {
        let mut all = Picture::default();
        for picture in self.pictures().values() {
            for (of, count) in &picture.drains {
                *all.drains.entry(of.clone()).or_default() += count;
            }
            for (cluster, count) in &picture.stuck {
                *all.stuck.entry(cluster.clone()).or_default() += count;
            }
            for (stage, count) in &picture.rollouts {
                *all.rollouts.entry(stage).or_default() += count;
            }
            all.oldest = [all.oldest, picture.oldest].into_iter().flatten().min();
            all.unreadable += picture.unreadable;
            all.waiting += picture.waiting;
            all.unopened = all.unopened.max(picture.unopened);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metrics::HeartbeatResult;
    use ecs_drain_state::Phase;
    use std::collections::BTreeMap;

    fn line(lines: &mut Lines, metrics: &Metrics, now: Timestamp) -> Value {
        serde_json::from_str(&lines.next(metrics, "blue", now)).unwrap()
    }

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let metrics = Metrics::default();
        let mut picture = Picture { unreadable: 2, waiting: 3, ..Picture::default() };
        picture.drains.insert(("web".to_owned(), Phase::Waiting), 4);
        picture.stuck.insert("web".to_owned(), 1);
        picture.rollouts = BTreeMap::from([("Running", 6), (STOPPED, 5)]);
        picture.oldest = Some("2026-01-02T03:03:05Z".parse().unwrap());
        metrics.picture("123456789012", "eu-west-1", picture);
        metrics.leads(true);
        let line = line(&mut Lines::default(), &metrics, now);
        assert_eq!(line["_aws"]["Timestamp"], 1_767_323_045_000_i64);
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            (&metrics["Namespace"], &metrics["Dimensions"]),
            (&json!("ecs-drain"), &json!([["Controller"]]))
        );
        // Each announced metric has its value beside it, and so does the dimension.
        for metric in metrics["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_u64(), "{metric}");
        }
        assert_eq!(line["Controller"], "blue");
        let told = [
            "Leads",
            "UnfinishedDrains",
            "StuckDrains",
            "StoppedRollouts",
            "OldestUnfinishedSeconds",
            "UnreadableRecords",
        ];
        assert_eq!(told.map(|name| line[name].as_u64().unwrap()), [1, 4, 1, 5, 60, 2]);
    }

    #[test]
    fn counters_count_from_the_line_before() {
        let now = Timestamp::UNIX_EPOCH;
        let (metrics, mut lines) = (Metrics::default(), Lines::default());
        metrics.heartbeat(HeartbeatResult::Failed);
        metrics.heartbeat(HeartbeatResult::Accepted);
        for result in ["ok", "not-found", "denied", "throttled", "conflict"] {
            metrics.call("ecs", "ListTasks", result);
        }
        let names = ["Heartbeats", "HeartbeatFailures", "Calls", "CallErrors", "Throttles"];
        let told = |line: Value| names.map(|name| line[name].as_u64().unwrap());
        assert_eq!(told(line(&mut lines, &metrics, now)), [2, 1, 5, 2, 1]);
        assert_eq!(told(line(&mut lines, &metrics, now)), [0; 5]);
    }
}
