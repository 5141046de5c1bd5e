//! The figures of a scenario, and the bounds that it misses.

use crate::scenario::{Bounds, Scenario};
use crate::tally::Tally;
use aws_simulator::autoscaling::{Completion, How};
use aws_simulator::{Cloud, SimTime};
use serde::Serialize;
use std::collections::BTreeMap;

/// One drain, as the simulated world recorded it.
#[derive(Clone, Debug)]
pub struct Drain {
    /// The moment at which its wait began, or Spot announced its end.
    pub began: Option<SimTime>,
    /// The moment at which its container instance was set to `DRAINING`.
    pub draining: Option<SimTime>,
    /// The moment at which its last task stopped; ECS stops a task only once its targets are gone.
    pub idle: Option<SimTime>,
    /// The end of its lifecycle action.
    pub end: Option<Completion>,
    /// The first moment at which it could have been completed.
    pub floor: SimTime,
}

impl Drain {
    fn ended(&self, how: How) -> Option<&Completion> {
        self.end.as_ref().filter(|end| end.how == how)
    }

    /// Returns the seconds between the moment at which nothing was left to wait for and the
    /// completion.
    fn lag(&self) -> Option<f64> {
        let end = self.ended(How::Called)?;
        let idle = self.idle.unwrap_or_default().max(end.began_at).max(self.floor);
        Some(end.at.saturating_sub(idle).as_secs_f64())
    }

    fn to_draining(&self) -> Option<f64> {
        Some(self.draining?.saturating_sub(self.began?).as_secs_f64())
    }
}

/// The median, the 99th percentile and the largest of many numbers, all zero for none.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spread {
    /// The number of values.
    pub count: usize,
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Returns the spread of these values.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * values.len() as f64).ceil() as usize;
            values.get(place.max(1) - 1).copied().unwrap_or_default()
        };
        Self { count: values.len(), p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// The cost of the playing itself, in seconds of real time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spent {
    /// The whole time.
    pub wall: f64,
    /// The time of the controller's code.
    pub controller: f64,
}

/// The controller's activity in a minute of trouble, on average.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct During {
    /// Calls, all of them.
    pub calls: f64,
    /// Lines of the log, at the level `info` and above.
    pub lines: f64,
}

/// All figures of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Its name.
    pub scenario: &'static str,
    /// True if it was ended before its end.
    pub gave_up: bool,
    /// The planned drains.
    pub drains: usize,
    /// Lifecycle actions that the controller completed.
    pub completed: usize,
    /// Lifecycle actions that timed out.
    pub ran_out: usize,
    /// Drains that were never set to `DRAINING`.
    pub undrained: usize,
    /// Complaints of the checkers, by checker.
    pub violations: BTreeMap<&'static str, usize>,
    /// Calls of the controller, by service and operation.
    pub calls: BTreeMap<String, u64>,
    /// Calls for each drain, without DynamoDB's and SQS's.
    pub calls_per_drain: f64,
    /// The same calls in a minute, on average.
    pub calls_per_minute: f64,
    /// DynamoDB's reads for each drain.
    pub reads_per_drain: f64,
    /// DynamoDB's writes for each drain, without the lease's.
    pub writes_per_drain: f64,
    /// Throttled calls.
    pub throttled: u64,
    /// The highest use of each rate family in any minute, in percent of AWS's rate.
    pub busiest: BTreeMap<&'static str, f64>,
    /// The time from the last stopped task and the last gone target to the completion, in seconds.
    pub lag: Spread,
    /// The time from the wait's beginning to `DRAINING`, in seconds.
    pub to_draining: Spread,
    /// The time from the first event to the last completion, in seconds.
    pub whole: f64,
    /// The time from the first event to the end of the playing, in seconds.
    pub virtual_seconds: f64,
    /// The largest memory of the controller, in MiB, if it was measured.
    pub memory: Option<f64>,
    /// The activity during the trouble, if the plot has one.
    pub during: Option<During>,
    /// Real time.
    pub spent: Spent,
}

impl Figures {
    /// Reads the figures from the simulated world and its log.
    pub fn of(
        scenario: &Scenario,
        drains: &[Drain],
        tally: &Tally,
        cloud: &Cloud,
        from: SimTime,
    ) -> Self {
        let count = |how| drains.iter().filter(|drain| drain.ended(how).is_some()).count();
        let each = |calls: u64| calls as f64 / drains.len().max(1) as f64;
        let last =
            drains.iter().filter_map(|drain| Some(drain.end.as_ref()?.at)).max().unwrap_or(from);
        let played = cloud.now().saturating_sub(from).as_secs_f64();
        let mut violations: BTreeMap<&'static str, usize> = BTreeMap::new();
        for violation in cloud.violations() {
            *violations.entry(violation.checker).or_default() += 1;
        }
        Self {
            scenario: scenario.name,
            gave_up: false,
            drains: drains.len(),
            completed: count(How::Called),
            ran_out: count(How::TimedOut),
            undrained: drains.iter().filter(|drain| drain.draining.is_none()).count(),
            violations,
            calls: tally.calls.clone(),
            calls_per_drain: each(tally.others),
            calls_per_minute: tally.others as f64 * 60.0 / played.max(1.0),
            reads_per_drain: each(tally.reads),
            writes_per_drain: each(tally.writes),
            throttled: tally.throttled,
            busiest: tally.busiest(),
            lag: Spread::of(drains.iter().filter_map(Drain::lag)),
            to_draining: Spread::of(drains.iter().filter_map(Drain::to_draining)),
            whole: last.saturating_sub(from).as_secs_f64(),
            virtual_seconds: played,
            memory: None,
            during: None,
            spent: Spent::default(),
        }
    }

    /// Returns the bounds that are missed, by name, each with the measured value.
    pub fn misses(&self, scenario: &Scenario) -> Vec<(&'static str, String)> {
        let Bounds {
            throttled,
            calls,
            writes,
            per_minute,
            busiest,
            lag,
            slowest,
            draining,
            whole,
            memory,
        } = scenario.bounds;
        // A rate that AWS does not publish cannot be halved.
        let published = self.busiest.iter().filter(|(family, _)| **family != "autoscaling");
        let highest = published.map(|(_, use_of)| *use_of).fold(0.0, f64::max);
        let unfinished =
            if scenario.plot.ends() { self.drains - self.completed - self.ran_out } else { 0 };
        // A drain that was never set to DRAINING took longer than any bound.
        let to_draining = if self.undrained > 0 { f64::INFINITY } else { self.to_draining.max };
        let none = Some(0.0);
        let measured = [
            ("given up", f64::from(u8::from(self.gave_up)), none),
            ("ran out", self.ran_out as f64, none),
            ("unfinished", unfinished as f64, none),
            ("violations", self.violations.values().sum::<usize>() as f64, none),
            ("throttled", self.throttled as f64, throttled.map(|most| most as f64)),
            ("calls", self.calls_per_drain, calls),
            ("writes", self.writes_per_drain, writes),
            ("per minute", self.calls_per_minute, per_minute),
            ("busiest", highest, busiest),
            ("lag", self.lag.p99, lag),
            ("slowest", self.lag.max, slowest),
            ("draining", to_draining, draining),
            ("whole", self.whole, whole),
            ("memory", self.memory.unwrap_or_default(), memory),
        ];
        let missed = measured.into_iter().filter_map(|(name, value, most)| {
            let most = most.filter(|most| value > *most)?;
            Some((name, format!("{name} {value:.1} > {most}")))
        });
        missed.collect()
    }
}
