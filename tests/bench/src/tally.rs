//! Figures from the call log.

use aws_simulator::log::Entry;
use aws_simulator::wire::Service;
use aws_simulator::{BEGIN, Cloud, limits};
use std::collections::BTreeMap;

/// The controller's calls, counted as they leave the log.
#[derive(Debug, Default)]
pub struct Tally {
    /// All calls, by service and operation.
    pub calls: BTreeMap<String, u64>,
    /// DynamoDB's reads.
    pub reads: u64,
    /// DynamoDB's writes, without those of the lease.
    pub writes: u64,
    /// Calls of other services, without SQS.
    pub others: u64,
    /// Calls that AWS throttled.
    pub throttled: u64,
    /// Calls by rate family, and by minute.
    minutes: BTreeMap<&'static str, (limits::Rate, BTreeMap<u64, u64>)>,
}

impl Tally {
    /// Counts the calls in the log, calls `each` with each of them, and empties the log.
    pub fn take(&mut self, cloud: &mut Cloud, each: &mut dyn FnMut(&Entry)) {
        for entry in cloud.log.entries().iter().filter(|entry| entry.number.is_some()) {
            self.count(entry);
            each(entry);
        }
        cloud.log.clear();
    }

    /// Returns the number of all calls so far.
    pub fn all(&self) -> u64 {
        self.calls.values().sum()
    }

    fn count(&mut self, entry: &Entry) {
        *self
            .calls
            .entry(format!("{}.{}", entry.service.as_str(), entry.operation))
            .or_default() += 1;
        self.throttled += u64::from(entry.outcome.contains("Throttl"));
        let reads = aws_simulator::wire::is_read(&entry.operation);
        match entry.service {
            Service::DynamoDb if reads => self.reads += 1,
            Service::DynamoDb
                if entry.summary.contains("lease/") || entry.operation.contains("Table") => {}
            Service::DynamoDb => self.writes += 1,
            Service::Sqs => {}
            Service::Ecs
            | Service::AutoScaling
            | Service::ElbClassic
            | Service::ElbV2
            | Service::Sts
            | Service::Unknown => self.others += 1,
        }
        let minute = entry.at.saturating_sub(BEGIN).as_secs() / 60;
        for rate in limits::families(entry.service, &entry.operation) {
            let (_, minutes) =
                self.minutes.entry(rate.family).or_insert_with(|| (*rate, BTreeMap::new()));
            *minutes.entry(minute).or_default() += 1;
        }
    }

    /// Returns the highest use of each rate family in any minute, in percent of AWS's limit for a
    /// minute: a full bucket, and the tokens that are added meanwhile.
    pub fn busiest(&self) -> BTreeMap<&'static str, f64> {
        let highest = |(rate, minutes): &(limits::Rate, BTreeMap<u64, u64>)| {
            let most = minutes.values().max().copied().unwrap_or_default();
            100.0 * most as f64 / rate.in_a_minute()
        };
        self.minutes.iter().map(|(family, use_of)| (*family, highest(use_of))).collect()
    }
}
