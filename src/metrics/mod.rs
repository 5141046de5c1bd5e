//! Metrics of this process, for Prometheus and for CloudWatch.
//!
//! Counters are counted where the event happens. Gauges are a picture of each scope, taken every
//! few seconds ([`Picture`]), so that nothing must be undone when a drain ends or a record is
//! deleted. Labels are bounded: phases, outcomes, calls and error classes are closed sets, and
//! clusters beyond [`CLUSTERS`] share the label [`OTHERS`].

pub mod cloudwatch;
mod denials;

use crate::blind::{Spot, What};
use denials::{Denials, Operation};
use ecs_drain_state::{Outcome, Phase, Record};
use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Clusters of a scope that have a label of their own.
pub(crate) const CLUSTERS: usize = 200;

/// Label of all clusters beyond those.
pub(crate) const OTHERS: &str = "(others)";

/// Label of drains of instances in no cluster.
pub(crate) const NO_CLUSTER: &str = "(none)";

/// Durations of phases and drains, in seconds, up to the 48 hours after which Auto Scaling ends
/// every wait. (Source: Auto Scaling API reference, `PutLifecycleHook`.)
const SPANS: [f64; 12] = [
    10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0, 172_800.0,
];

/// Durations of a round of turns, in seconds.
const PASSES: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Result of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatResult {
    /// Auto Scaling extended the wait.
    Accepted,
    /// No action of the ecs-drain hook holds the instance.
    NoActiveAction,
    /// No answer, or a refusal.
    Failed,
}

impl HeartbeatResult {
    const fn name(self) -> &'static str {
        match self {
            HeartbeatResult::Accepted => "accepted",
            HeartbeatResult::NoActiveAction => "no-active-action",
            HeartbeatResult::Failed => "failed",
        }
    }
}

/// Gauges of one scope at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Number of unfinished drains, by cluster and phase.
    pub drains: BTreeMap<(String, Phase), u32>,
    /// Number of stuck drains, by cluster.
    pub stuck: BTreeMap<String, u32>,
    /// Time at which the oldest unfinished drain was opened.
    pub oldest: Option<Timestamp>,
    /// Number of unfinished rollouts, by the name of their stage.
    pub rollouts: BTreeMap<&'static str, u32>,
    /// Number of records that cannot be read.
    pub unreadable: u32,
    /// Number of instances that wait under ecs-drain hooks.
    pub waiting: u32,
    /// Longest time for which one of them has waited without a drain.
    pub unopened: Duration,
}

impl Picture {
    /// Adds an unfinished drain.
    pub fn add(&mut self, record: &Record, stuck: bool) {
        let cluster = record.cluster.clone().unwrap_or_else(|| NO_CLUSTER.to_owned());
        *self.drains.entry((cluster.clone(), record.phase())).or_default() += 1;
        if stuck {
            *self.stuck.entry(cluster).or_default() += 1;
        }
        self.oldest =
            Some(self.oldest.map_or(record.created_at, |oldest| oldest.min(record.created_at)));
    }

    /// Returns each cluster's label.
    fn labels(&self) -> BTreeMap<&str, &str> {
        let clusters: BTreeSet<&str> =
            self.drains.keys().map(|(cluster, _)| cluster.as_str()).collect();
        let named = |(number, name)| (name, if number < CLUSTERS { name } else { OTHERS });
        clusters.into_iter().enumerate().map(named).collect()
    }
}

/// Totals so far, over all labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    finished: u64,
    waits_lost: u64,
    ended_by_deadline: u64,
    heartbeats: u64,
    heartbeat_failures: u64,
    calls: u64,
    call_errors: u64,
    throttles: u64,
    passes: u64,
}

/// Returns whether a call failed in a way that you should look into. *Not found* and *already over*
/// are answers.
fn is_error(result: &str) -> bool {
    !["ok", "conflict", "not-found", "no-active-action"].contains(&result)
}

/// Labels, by name.
type Labels = Vec<(&'static str, String)>;

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// The metrics of one process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    calls: Family<Labels, Counter>,
    heartbeats: Family<Labels, Counter>,
    heartbeats_late: Histogram,
    passes: Histogram,
    finished: Family<Labels, Counter>,
    took: Family<Labels, Histogram>,
    in_phase: Family<Labels, Histogram>,
    margin: Histogram,
    leads: Gauge,
    drains: Family<Labels, Gauge>,
    stuck: Family<Labels, Gauge>,
    rollouts: Family<Labels, Gauge>,
    oldest: Family<Labels, Gauge>,
    unreadable: Family<Labels, Gauge>,
    waiting: Family<Labels, Gauge>,
    unopened: Family<Labels, Gauge>,
    unread: Family<Labels, Gauge>,
    denied: Family<Labels, Gauge>,
    /// Failing reads, with their durations.
    blind: Mutex<Vec<(Spot, Duration)>>,
    denials: Mutex<Denials>,
    counted: Mutex<Counted>,
    /// Clusters that counters name.
    named: Mutex<BTreeSet<String>>,
    /// Gauges by account and region.
    pictures: Mutex<BTreeMap<(String, String), Picture>>,
}

impl Default for Inner {
    fn default() -> Inner {
        let spans: fn() -> Histogram = || Histogram::new(SPANS);
        let mut inner = Inner {
            registry: Registry::with_prefix("ecs_drain"),
            calls: Family::default(),
            heartbeats: Family::default(),
            heartbeats_late: Histogram::new(PASSES),
            passes: Histogram::new(PASSES),
            finished: Family::default(),
            took: Family::new_with_constructor(spans),
            in_phase: Family::new_with_constructor(spans),
            margin: spans(),
            leads: Gauge::default(),
            drains: Family::default(),
            stuck: Family::default(),
            rollouts: Family::default(),
            oldest: Family::default(),
            unreadable: Family::default(),
            waiting: Family::default(),
            unopened: Family::default(),
            unread: Family::default(),
            denied: Family::default(),
            blind: Mutex::default(),
            denials: Mutex::default(),
            counted: Mutex::default(),
            named: Mutex::default(),
            pictures: Mutex::default(),
        };
        inner.register();
        inner
    }
}

impl Inner {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("drains", "Unfinished drains, by cluster and phase", self.drains.clone());
        all.register(
            "drains_stuck",
            "Unfinished drains without progress for stuck_after, by cluster",
            self.stuck.clone(),
        );
        all.register("rollouts", "Unfinished rollouts, by stage", self.rollouts.clone());
        let help = "Age of the oldest unfinished drain";
        all.register_with_unit("drains_oldest", help, Unit::Seconds, self.oldest.clone());
        all.register(
            "records_unreadable",
            "Records that cannot be read; their drains or rollouts have stopped",
            self.unreadable.clone(),
        );
        all.register(
            "instances_waiting",
            "Instances that wait under an ecs-drain hook",
            self.waiting.clone(),
        );
        let help =
            "Longest time that an instance has waited under an ecs-drain hook without a drain";
        all.register_with_unit("instances_unopened", help, Unit::Seconds, self.unopened.clone());
        let help = "Time for which a read that the controller needs has failed, while it fails";
        all.register_with_unit("unread", help, Unit::Seconds, self.unread.clone());
        let help =
            "Operations that AWS denied in the last 15 minutes, and at least a minute earlier";
        all.register("operations_denied", help, self.denied.clone());
        all.register("drains_finished", "Finished drains, by outcome", self.finished.clone());
        let help = "Time from the due time of a heartbeat to its sending";
        all.register_with_unit(
            "heartbeat_lateness",
            help,
            Unit::Seconds,
            self.heartbeats_late.clone(),
        );
        let help = "Duration of drains, by outcome";
        all.register_with_unit("drain_duration", help, Unit::Seconds, self.took.clone());
        let help = "Time that drains spent in a phase, by phase";
        all.register_with_unit("phase_duration", help, Unit::Seconds, self.in_phase.clone());
        let help = "Time left until the deadline, or the hook expiry, at the completion of a drain";
        all.register_with_unit("deadline_margin", help, Unit::Seconds, self.margin.clone());
        all.register("heartbeats", "Heartbeats, by result", self.heartbeats.clone());
        all.register(
            "aws_calls",
            "Calls to AWS, each with all its attempts, by result",
            self.calls.clone(),
        );
        let help = "Duration of one round of decisions over all drains that were due";
        all.register_with_unit("pass_duration", help, Unit::Seconds, self.passes.clone());
        all.register("leads", "1 if this process holds the lease and acts", self.leads.clone());
        let build: Family<Labels, Gauge> = Family::default();
        build.get_or_create(&labels([("version", env!("CARGO_PKG_VERSION"))])).set(1);
        all.register("build_info", "Version of the program", build);
    }
}

/// Result of a call that was throttled.
pub(crate) const THROTTLED: &str = "throttled";

/// Result of a call that IAM denied.
const DENIED: &str = "denied";

impl Metrics {
    /// Counts a call. `result` is `ok`, `conflict` for a condition of DynamoDB that did not hold,
    /// or an error class.
    pub fn call(&self, service: &str, operation: &str, result: &str) {
        let of = labels([("service", service), ("operation", operation), ("result", result)]);
        self.0.calls.get_or_create(&of).inc();
        self.count(|counted| {
            counted.calls += 1;
            counted.call_errors += u64::from(is_error(result));
            counted.throttles += u64::from(result == THROTTLED);
        });
        if result == DENIED {
            let mut denials = self.0.denials.lock().unwrap_or_else(PoisonError::into_inner);
            denials.note((service.to_owned(), operation.to_owned()), Instant::now());
        }
    }

    /// Returns the operations that have been denied repeatedly.
    fn denied(&self) -> Vec<Operation> {
        self.0.denials.lock().unwrap_or_else(PoisonError::into_inner).lasting(Instant::now())
    }

    /// Takes over the failing reads, with their durations.
    pub fn blind(&self, spots: Vec<(Spot, Duration)>) {
        *self.spots() = spots;
    }

    fn spots(&self) -> MutexGuard<'_, Vec<(Spot, Duration)>> {
        self.0.blind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a heartbeat.
    pub fn heartbeat(&self, result: HeartbeatResult) {
        self.0.heartbeats.get_or_create(&labels([("result", result.name())])).inc();
        self.count(|counted| {
            counted.heartbeats += 1;
            counted.heartbeat_failures += u64::from(result == HeartbeatResult::Failed);
        });
    }

    /// Records the time from a heartbeat's due time to its sending.
    pub fn heartbeat_late(&self, late: Duration) {
        self.0.heartbeats_late.observe(late.as_secs_f64());
    }

    /// Records the duration of a round of turns.
    pub fn pass(&self, took: Duration) {
        self.0.passes.observe(took.as_secs_f64());
        self.count(|counted| counted.passes += 1);
    }

    /// Records whether this process leads now.
    pub fn leads(&self, leads: bool) {
        self.0.leads.set(i64::from(leads));
    }

    /// Records that a record was written: the time in the phase that it left, and its outcome if it
    /// ended.
    pub fn moved(&self, before: Option<(Phase, Timestamp)>, record: &Record) {
        if let Some((phase, since)) = before.filter(|(phase, _)| *phase != record.phase()) {
            let spent = seconds_between(since, record.phase_since);
            self.0.in_phase.get_or_create(&labels([("phase", phase.name())])).observe(spent);
        }
        let Some(outcome) =
            record.outcome().filter(|_| before.is_some_and(|(phase, _)| phase != Phase::Done))
        else {
            return;
        };
        let cluster = record.cluster.as_deref().unwrap_or(NO_CLUSTER);
        self.0
            .finished
            .get_or_create(&labels([
                ("cluster", &self.label_of(cluster)),
                ("outcome", outcome.name()),
            ]))
            .inc();
        self.count(|counted| {
            counted.finished += 1;
            counted.waits_lost += u64::from(outcome == Outcome::WaitLost);
            counted.ended_by_deadline +=
                u64::from(matches!(outcome, Outcome::TimedOut | Outcome::Abandoned));
        });
        let took = seconds_between(record.created_at, record.phase_since);
        self.0.took.get_or_create(&labels([("outcome", outcome.name())])).observe(took);
        let end = [record.deadline, record.global_limit].into_iter().flatten().min();
        if let (Outcome::Drained, Some(end)) = (outcome, end) {
            self.0.margin.observe(seconds_between(record.phase_since, end));
        }
    }

    fn count(&self, add: impl FnOnce(&mut Counted)) {
        add(&mut self.0.counted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn counted(&self) -> Counted {
        *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_leading(&self) -> bool {
        self.0.leads.get() == 1
    }

    /// Returns the label of a cluster in a counter, which outlives the cluster's drains.
    fn label_of(&self, cluster: &str) -> String {
        // Counters cannot be taken back, so the first clusters keep their labels.
        let mut named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < CLUSTERS {
            named.insert(cluster.to_owned());
        }
        if named.contains(cluster) { cluster.to_owned() } else { OTHERS.to_owned() }
    }

    /// Takes over the gauges of a scope.
    pub fn picture(&self, account: &str, region: &str, picture: Picture) {
        self.pictures().insert((account.to_owned(), region.to_owned()), picture);
    }

    fn pictures(&self) -> MutexGuard<'_, BTreeMap<(String, String), Picture>> {
        // A picture that a panicking thread left incomplete is acceptable; the next one replaces
        // it.
        self.0.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything in the OpenMetrics format, which Prometheus reads. (Source: OpenMetrics
    /// 1.0, "Text format".)
    ///
    /// # Errors
    /// Returns an error if formatting fails; writing to a string does not.
    pub fn text(&self, now: Timestamp) -> Result<String, std::fmt::Error> {
        // Held to the end, so that two readers do not clear each other's gauges.
        let pictures = self.pictures();
        let gauges =
            [&self.0.drains, &self.0.stuck, &self.0.oldest, &self.0.unreadable, &self.0.waiting];
        let more = [&self.0.unopened, &self.0.unread, &self.0.denied, &self.0.rollouts];
        for gauge in gauges.into_iter().chain(more) {
            gauge.clear();
        }
        for (spot, lasts) in self.spots().iter() {
            let of = labels([("place", &spot.place), ("what", spot.what.name())]);
            self.0.unread.get_or_create(&of).set(whole(*lasts));
        }
        for (service, operation) in self.denied() {
            self.0
                .denied
                .get_or_create(&labels([("service", &service), ("operation", &operation)]))
                .set(1);
        }
        for ((account, region), picture) in pictures.iter() {
            self.draw(account, region, picture, now);
        }
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    fn draw(&self, account: &str, region: &str, picture: &Picture, now: Timestamp) {
        let place = labels([("account", account), ("region", region)]);
        let of = |more: &[(&'static str, &str)]| -> Labels {
            place
                .iter()
                .cloned()
                .chain(more.iter().map(|(name, value)| (*name, (*value).to_owned())))
                .collect()
        };
        let names = picture.labels();
        let name = |cluster: &str| names.get(cluster).copied().unwrap_or(OTHERS);
        for ((cluster, phase), count) in &picture.drains {
            let labels = of(&[("cluster", name(cluster)), ("phase", phase.name())]);
            self.0.drains.get_or_create(&labels).inc_by(i64::from(*count));
        }
        for (cluster, count) in &picture.stuck {
            self.0
                .stuck
                .get_or_create(&of(&[("cluster", name(cluster))]))
                .inc_by(i64::from(*count));
        }
        for (stage, count) in &picture.rollouts {
            self.0.rollouts.get_or_create(&of(&[("stage", stage)])).set(i64::from(*count));
        }
        let age = picture.oldest.map_or(0, |oldest| now.duration_since(oldest).as_secs().max(0));
        self.0.oldest.get_or_create(&place).set(age);
        self.0.unreadable.get_or_create(&place).set(i64::from(picture.unreadable));
        self.0.waiting.get_or_create(&place).set(i64::from(picture.waiting));
        self.0.unopened.get_or_create(&place).set(whole(picture.unopened));
    }
}

fn whole(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// Returns the longest duration for which one of these has failed.
fn longest(spots: &[(Spot, Duration)], what: &[What]) -> u64 {
    spots
        .iter()
        .filter(|(spot, _)| what.contains(&spot.what))
        .map(|(_, lasts)| lasts.as_secs())
        .max()
        .unwrap_or(0)
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests;
