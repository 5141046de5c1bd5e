//! Notices of services, before they are written as messages.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{ACCOUNT, REGION, SimTime};

/// A notice of a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An EventBridge event.
    Event {
        /// `detail-type`.
        detail_type: &'static str,
        /// `source`.
        source: &'static str,
        /// `resources`: ARNs.
        resources: Vec<String>,
        /// `detail`.
        detail: Value,
    },
    /// A message to the topic that lifecycle hooks notify.
    Topic {
        /// The subject, which only SNS's envelope shows.
        subject: String,
        /// The message without `Time` and `RequestId`, which every message has.
        message: Value,
    },
}

impl Notice {
    /// Creates the two-minute warning of Spot. The ARN names the zone where others name region and
    /// account (source: EC2 user guide, Spot Instance interruption notices).
    pub(crate) fn spot_interruption(zone: &str, instance_id: &str) -> Self {
        Self::Event {
            detail_type: "EC2 Spot Instance Interruption Warning",
            source: "aws.ec2",
            resources: vec![format!("arn:aws:ec2:{zone}:instance/{instance_id}")],
            detail: json!({ "instance-id": instance_id, "instance-action": "terminate" }),
        }
    }

    /// Creates the notice of a raised risk of interruption (source: EC2 user guide, EC2 instance
    /// rebalance recommendations).
    pub(crate) fn rebalance_recommendation(instance_id: &str) -> Self {
        Self::Event {
            detail_type: "EC2 Instance Rebalance Recommendation",
            source: "aws.ec2",
            resources: vec![format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}")],
            detail: json!({ "instance-id": instance_id }),
        }
    }
}

/// Returns a moment as messages write it, to the millisecond: `2021-01-19T00:36:26.533Z`.
pub(crate) fn millisecond_time(start: Timestamp, at: SimTime) -> String {
    written(start.checked_add(at).unwrap_or(start))
}

fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Turns the API's times, seconds since the epoch, into the texts of events (source: ECS developer
/// guide, task state change events).
pub(crate) fn iso_times(detail: &mut Value) {
    let Some(fields) = detail.as_object_mut() else { return };
    for (name, value) in fields.iter_mut().filter(|(name, _)| name.ends_with("At")) {
        // Exact enough: the API's numbers are whole milliseconds.
        let time = value
            .as_f64()
            .and_then(|seconds| jiff::SignedDuration::try_from_secs_f64(seconds).ok());
        let time = time.and_then(|since| {
            Timestamp::from_duration(since).ok()?.round(jiff::Unit::Millisecond).ok()
        });
        debug_assert!(time.is_some() || value.is_null(), "{name} is not a time: {value}");
        if let Some(time) = time {
            *value = Value::String(written(time));
        }
    }
}
