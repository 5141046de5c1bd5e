//! Faults: a plan of rules that strike calls of the program under test.

pub(crate) mod part;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::SimTime;
use crate::log::Entry;
use crate::wire::{ApiError, Call, Service, is_read};

/// The fault of a call that a rule strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connection error; the request was not applied.
    FailBefore,
    /// Connection error; the request was applied, and its answer was lost.
    FailAfter,
    /// Connection error now; the request is applied this much later.
    LateApply(Duration),
    /// HTTP 500 in the service's own words; not applied.
    Http500,
    /// Throttled in the service's own words; not applied.
    Throttle,
    /// Never answered, not applied.
    Hang,
    /// Applied, never answered.
    HangAfter,
    /// Access denied in the service's own words; not applied.
    AccessDenied,
    /// A read is answered from the world of this long ago: at most two minutes, and not before a
    /// rule of this kind was in the plan. Changes, and DynamoDB, are answered as usual.
    Stale(Duration),
    /// A listing is answered in part, with a token for the rest: its first page is empty, each
    /// later one holds one item. BatchGetItem processes one key and leaves the others unprocessed.
    /// AWS documents for every listing that a page may be short, or empty, with more to come
    /// (sources: ECS API reference, `nextToken`; DynamoDB API reference, Query and BatchGetItem).
    PartialPage,
    /// One of the things in a description is an entry in `failures` instead, for another reason
    /// than `MISSING`. In a change of state, one container instance is refused so and stays as it
    /// is. AWS names no other reason for these calls, and does not say that there is none (source:
    /// ECS developer guide, API failure reasons): `INTERNAL` is the simulator's.
    Failures,
    /// A description leaves out one of the requested things, without an entry in `failures`. No
    /// document of AWS rules that out.
    LeavesOut,
    /// The caller's process ends at this call, which is not applied.
    CrashBefore,
    /// The caller's process ends at this call, which is applied.
    CrashAfter,
}

impl Fault {
    /// Every kind once, with 30 seconds where one has a duration: for matrices of scenario, call
    /// and fault.
    pub const ALL: [Self; 14] = [
        Self::FailBefore,
        Self::FailAfter,
        Self::LateApply(Duration::from_secs(30)),
        Self::Http500,
        Self::Throttle,
        Self::Hang,
        Self::HangAfter,
        Self::AccessDenied,
        Self::Stale(Duration::from_secs(30)),
        Self::PartialPage,
        Self::Failures,
        Self::LeavesOut,
        Self::CrashBefore,
        Self::CrashAfter,
    ];

    /// Returns true if the fault would have changed anything about this call: a listing can only be
    /// answered in part if it has entries. Every call can be lost.
    pub fn applies_to(self, call: &Entry) -> bool {
        self.strikes(call.service, &call.operation)
            && (call.listed
                || !matches!(self, Self::PartialPage | Self::Failures | Self::LeavesOut))
    }

    /// Returns true if the fault can strike calls of this operation at all. A rule ignores all
    /// others.
    pub fn strikes(self, service: Service, operation: &str) -> bool {
        match self {
            Self::Stale(_) => is_read(operation) && service != Service::DynamoDb,
            Self::PartialPage => part::paged(operation).is_some(),
            Self::Failures => service == Service::Ecs && part::failing(operation).is_some(),
            Self::LeavesOut => Self::Failures.strikes(service, operation) && is_read(operation),
            Self::FailBefore
            | Self::FailAfter
            | Self::LateApply(_)
            | Self::Http500
            | Self::Throttle
            | Self::Hang
            | Self::HangAfter
            | Self::AccessDenied
            | Self::CrashBefore
            | Self::CrashAfter => true,
        }
    }

    /// Returns the service's error, for the faults that are errors.
    pub(crate) fn refusal(self, call: &Call) -> Option<ApiError> {
        match self {
            Self::Http500 => Some(internal_error(call.service)),
            Self::Throttle => Some(throttled(call.service)),
            Self::AccessDenied => Some(access_denied(call)),
            Self::FailBefore
            | Self::FailAfter
            | Self::LateApply(_)
            | Self::Hang
            | Self::HangAfter
            | Self::Stale(_)
            | Self::PartialPage
            | Self::Failures
            | Self::LeavesOut
            | Self::CrashBefore
            | Self::CrashAfter => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailBefore => f.write_str("connection lost, not applied"),
            Self::FailAfter => f.write_str("applied, answer lost"),
            Self::LateApply(by) => write!(f, "connection lost, applied {}s later", by.as_secs()),
            Self::Http500 => f.write_str("HTTP 500"),
            Self::Throttle => f.write_str("throttled"),
            Self::Hang => f.write_str("hangs, not applied"),
            Self::HangAfter => f.write_str("applied, hangs"),
            Self::AccessDenied => f.write_str("access denied"),
            Self::Stale(by) => write!(f, "answered with the truth of {}s ago", by.as_secs()),
            Self::PartialPage => f.write_str("a part of the answer"),
            Self::Failures => f.write_str("one entry failed"),
            Self::LeavesOut => f.write_str("one entry left out"),
            Self::CrashBefore => f.write_str("caller dies, not applied"),
            Self::CrashAfter => f.write_str("applied, caller dies"),
        }
    }
}

/// Returns the code with which each service throttles, HTTP 400 (sources: ECS developer guide,
/// request throttling; keikoproj/upgrade-manager#142; aws-load-balancer-controller#1871; DynamoDB
/// developer guide, error handling; SQS 403 as in botocore's retry table).
pub fn throttled(service: Service) -> ApiError {
    match service {
        Service::AutoScaling | Service::ElbClassic | Service::ElbV2 | Service::Sts => {
            ApiError::bad_request("Throttling", "Rate exceeded")
        }
        Service::Ecs | Service::Unknown => {
            ApiError::bad_request("ThrottlingException", "Rate exceeded")
        }
        Service::Sqs => ApiError::new(403, "RequestThrottled", "Request is throttled."),
        Service::DynamoDb => ApiError::bad_request(
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        ),
    }
}

/// Returns the code with which each service reports a fault of its own, HTTP 500.
pub fn internal_error(service: Service) -> ApiError {
    match service {
        Service::Ecs => {
            ApiError::internal("ServerException", "Service Unavailable. Please try again later.")
        }
        Service::DynamoDb => ApiError::internal("InternalServerError", "Internal server error"),
        Service::AutoScaling
        | Service::ElbClassic
        | Service::ElbV2
        | Service::Sqs
        | Service::Sts
        | Service::Unknown => ApiError::internal(
            "InternalFailure",
            "The request processing has failed because of an unknown error.",
        ),
    }
}

/// Returns `AccessDeniedException` (400) for JSON services, `AccessDenied` (403) for Query
/// services; the message names the action.
pub fn access_denied(call: &Call) -> ApiError {
    let message = format!(
        "User: arn:aws:sts::{}:assumed-role/simulated/session is not authorized to perform: {}:{} because no \
         identity-based policy allows the {}:{} action",
        call.account,
        call.service.iam_prefix(),
        call.operation,
        call.service.iam_prefix(),
        call.operation
    );
    if call.service.is_json() {
        ApiError::bad_request("AccessDeniedException", message)
    } else {
        ApiError::new(403, "AccessDenied", message)
    }
}

/// A call, as rules see it.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Its number among all calls of the program under test, from 1, DynamoDB included.
    pub number: u64,
    /// Its number among those of the same operation, from 1.
    pub of_operation: u64,
    /// The moment.
    pub at: SimTime,
    /// The caller's name.
    pub caller: String,
    /// The service.
    pub service: Service,
    /// The region that it is signed for.
    pub region: String,
    /// The operation.
    pub operation: String,
    /// The ids that it names, as in the log.
    pub summary: String,
}

/// The calls that a rule strikes.
#[derive(Clone)]
pub enum Matcher {
    /// Every call.
    Any,
    /// The call with this number, from 1.
    Number(u64),
    /// Every call of this operation.
    Operation(String),
    /// The n-th call of this operation, from 1.
    NthOf(String, u64),
    /// Every call of this service.
    Service(Service),
    /// Every call of this caller.
    Caller(String),
    /// Every call for which this returns true.
    Predicate(Arc<dyn Fn(&CallInfo) -> bool + Send + Sync>),
}

impl Matcher {
    fn matches(&self, info: &CallInfo) -> bool {
        match self {
            Self::Any => true,
            Self::Number(number) => info.number == *number,
            Self::Operation(operation) => info.operation == *operation,
            Self::NthOf(operation, n) => info.operation == *operation && info.of_operation == *n,
            Self::Service(service) => info.service == *service,
            Self::Caller(caller) => info.caller == *caller,
            Self::Predicate(predicate) => predicate(info),
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Number(number) => write!(f, "Number({number})"),
            Self::Operation(operation) => write!(f, "Operation({operation})"),
            Self::NthOf(operation, n) => write!(f, "NthOf({operation}, {n})"),
            Self::Service(service) => write!(f, "Service({service:?})"),
            Self::Caller(caller) => write!(f, "Caller({caller})"),
            Self::Predicate(_) => f.write_str("Predicate"),
        }
    }
}

/// One rule of a plan.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The calls that it strikes.
    pub matcher: Matcher,
    /// The span in which it strikes: from, until.
    pub between: Option<(SimTime, SimTime)>,
    /// The number of strikes left; `None`: no limit.
    pub remaining: Option<u32>,
    /// The fault.
    pub fault: Fault,
}

impl Rule {
    /// Creates a rule that strikes always.
    pub fn new(matcher: Matcher, fault: Fault) -> Self {
        Self { matcher, between: None, remaining: None, fault }
    }

    /// Creates a rule that strikes the call with this number.
    pub fn at_call(number: u64, fault: Fault) -> Self {
        Self::new(Matcher::Number(number), fault)
    }

    /// Creates a rule that strikes every call of this operation.
    pub fn on(operation: impl Into<String>, fault: Fault) -> Self {
        Self::new(Matcher::Operation(operation.into()), fault)
    }

    /// Limits the rule to this number of strikes.
    pub fn times(mut self, times: u32) -> Self {
        self.remaining = Some(times);
        self
    }

    /// Limits the rule to this span.
    pub fn between(mut self, from: SimTime, until: SimTime) -> Self {
        self.between = Some((from, until));
        self
    }
}

/// All rules. The first rule that matches a call strikes it.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<Rule>,
    read_lag: Option<Duration>,
    numbers: std::collections::BTreeMap<String, u64>,
}

impl FaultPlan {
    /// Adds a rule.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Removes every rule and the lag of reads; the counts remain.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.read_lag = None;
    }

    /// Lets every read (except DynamoDB's) lag by a random time up to `at_most`.
    pub fn set_read_lag(&mut self, at_most: Option<Duration>) {
        self.read_lag = at_most;
    }

    /// Returns the longest lag of a read.
    pub fn read_lag(&self) -> Option<Duration> {
        self.read_lag
    }

    /// Returns true if a read may be answered from the past.
    pub(crate) fn needs_past(&self) -> bool {
        self.read_lag.is_some()
            || self.rules.iter().any(|rule| matches!(rule.fault, Fault::Stale(_)))
    }

    /// Counts one more call of an operation.
    pub(crate) fn count(&mut self, operation: &str) -> u64 {
        let count = self.numbers.entry(operation.to_owned()).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn strike(&mut self, info: &CallInfo) -> Option<Fault> {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.remaining != Some(0)
                && rule.between.is_none_or(|(from, until)| (from..until).contains(&info.at))
                && rule.fault.strikes(info.service, &info.operation)
                && rule.matcher.matches(info)
        })?;
        rule.remaining = rule.remaining.map(|n| n - 1);
        Some(rule.fault)
    }
}
