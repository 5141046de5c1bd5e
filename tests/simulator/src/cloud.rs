//! The world of one account and region, as a synchronous state machine: [`Cloud::handle`] takes a
//! request at a moment and returns the delivery of its answer.
//!
//! A request takes these steps:
//!
//! 1. Time advances to `now`: all changes that are due by then are applied.
//! 2. The fault plan decides, for a call of the program under test, if the call fails and how.
//! 3. AWS's rate limits decide if it is throttled.
//! 4. A read is answered from the present world, or from an earlier one if the fault plan lets
//!    reads lag. A change is judged by the checkers, and applied.
//! 5. The call enters the log, with its result.
//!
//! Time is [`SimTime`]. The hour between zero and [`BEGIN`] is for the world to settle: instances
//! launch, tasks start, targets become healthy. The scenario begins at [`BEGIN`], and logs count
//! from there.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::checker::Checkers;
use crate::dynamodb::{DynamoDb, Outage};
use crate::events::Events;
use crate::fault::{CallInfo, Fault, FaultPlan, internal_error, throttled};
use crate::limits::Limits;
use crate::log::{Entry, Log};
use crate::sqs::Sqs;
use crate::wire::{Body, Call, Service};
pub use crate::wire::{Reply, Request};
use crate::{ACCOUNT, REGION, SimTime, sts};

mod part;
mod past;
mod queues;
mod records;
mod reply;
mod scenario;
#[cfg(test)]
mod tests;
mod world;

use past::Past;
use queues::LongPoll;
use reply::describe;
pub use world::{Loss, World};

/// The moment at which the scenario begins.
pub const BEGIN: SimTime = SimTime::from_secs(3600);

/// The delivery of an answer to its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The answer arrives.
    Answer(Reply),
    /// The connection breaks.
    Lost,
    /// No answer ever arrives.
    Never,
    /// A long poll: the answer comes later, to [`Cloud::collect`] with this number.
    Waits(u64),
    /// The caller's process ends at this call.
    CallerDies,
}

/// The simulated cloud.
#[derive(Debug)]
pub struct Cloud {
    /// ECS, load balancing and Auto Scaling. To act on them directly, pass [`Cloud::now`].
    pub world: World,
    /// The tables.
    pub dynamodb: DynamoDb,
    /// Queues.
    pub sqs: Sqs,
    /// Events, and their losses and delays on the way to queues.
    pub events: Events,
    /// The faults that strike calls of the program under test.
    pub faults: FaultPlan,
    /// AWS's request rates; off by default.
    pub limits: Limits,
    /// The record of every call.
    pub log: Log,
    /// The checkers of the program's promises.
    pub checkers: Checkers,
    region: String,
    start: Timestamp,
    now: SimTime,
    rng: fastrand::Rng,
    /// Worlds of other accounts and regions, which stay empty.
    elsewhere: BTreeMap<(String, String), World>,
    /// Requests that reach their service later.
    late: VecDeque<(SimTime, Call)>,
    /// Receives that wait for a message, in the order of their calls.
    polls: Vec<LongPoll>,
    /// Answers of such receives, by number, until their callers collect them.
    answered: BTreeMap<u64, (SimTime, Reply)>,
    /// The moment at which Spot takes back each announced instance.
    reclaims: Vec<(SimTime, String)>,
    past: Past,
    losses: Vec<Loss>,
    terminated: BTreeMap<String, SimTime>,
    calls: u64,
    controller_calls: u64,
}

impl Cloud {
    /// Creates an empty cloud. `start` is the wall time at which the scenario begins ([`BEGIN`]);
    /// all randomness follows from the seed.
    pub fn new(seed: u64, start: Timestamp) -> Result<Self, CloudError> {
        Self::in_region(REGION, seed, start)
    }

    /// Creates an empty cloud in another region. Queues and events exist in [`REGION`] only.
    pub fn in_region(region: &str, seed: u64, start: Timestamp) -> Result<Self, CloudError> {
        Self::with_dynamodb(region, seed, start, DynamoDb::memory()?)
    }

    /// Creates an empty cloud whose tables are stored in a file.
    pub fn with_file(seed: u64, start: Timestamp, path: &Path) -> Result<Self, CloudError> {
        Self::with_dynamodb(REGION, seed, start, DynamoDb::file(path)?)
    }

    fn with_dynamodb(
        region: &str,
        seed: u64,
        start: Timestamp,
        dynamodb: DynamoDb,
    ) -> Result<Self, CloudError> {
        let start = start.checked_sub(BEGIN)?;
        Ok(Self {
            world: World::new(ACCOUNT, region, start, seed),
            dynamodb,
            sqs: Sqs::new(start, seed ^ 0x0050_0e0e),
            events: Events::new(start, seed ^ 0x00e7_e475),
            faults: FaultPlan::default(),
            limits: Limits::default(),
            log: Log::default(),
            checkers: Checkers::of(region),
            region: region.to_owned(),
            start,
            now: SimTime::ZERO,
            rng: fastrand::Rng::with_seed(seed ^ 0x0c10_0d5e_ed00),
            elsewhere: BTreeMap::new(),
            late: VecDeque::new(),
            polls: Vec::new(),
            answered: BTreeMap::new(),
            reclaims: Vec::new(),
            past: Past::default(),
            losses: Vec::new(),
            terminated: BTreeMap::new(),
            calls: 0,
            controller_calls: 0,
        })
    }

    /// Returns the wall time at [`SimTime`] zero, an hour before the scenario begins.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Returns the moment that the world has reached.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Returns the moment of the next change that happens by itself.
    pub fn next_event(&self) -> Option<SimTime> {
        let late = self.late.iter().map(|(at, _)| *at).min();
        [self.world.next_event(self.now), late, self.next_message()].into_iter().flatten().min()
    }

    /// Applies all changes that are due by `until`. Time never goes back: a moment before
    /// [`Cloud::now`] changes nothing.
    pub fn advance(&mut self, until: SimTime) {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            let at = at.max(self.now);
            self.remember(at);
            self.now = at;
            let happened = self.world.step(at, &mut self.checkers);
            self.losses.extend(happened.losses);
            self.terminated.extend(happened.terminated.into_iter().map(|instance| (instance, at)));
            self.past.changed(at);
            self.reclaim();
            self.apply_late(at);
            self.tell();
        }
        self.remember(until);
        self.now = self.now.max(until);
    }

    /// Advances a new world to the beginning of the scenario: everything has launched, started and
    /// become healthy.
    pub fn settle(&mut self) {
        self.advance(BEGIN);
    }

    /// Takes a request at a moment. Its changes are complete when this returns, even if no caller
    /// receives the answer.
    pub fn handle(&mut self, now: SimTime, request: &Request) -> Delivery {
        self.advance(now);
        let call = Call::parse(request);
        self.calls += 1;
        let summary = call.summary();
        let (number, fault) = self.strike(&call, &summary);
        self.sent(&call);
        let (delivery, lost, outcome) = self.deliver(&call, fault);
        let answer = match &delivery {
            Delivery::Answer(reply) => Some(reply),
            Delivery::Lost | Delivery::Never | Delivery::Waits(_) | Delivery::CallerDies => {
                lost.as_ref()
            }
        };
        self.enter(number, call, summary, outcome, answer);
        self.tell();
        delivery
    }

    /// Writes a call into the log; `answer` is its service's answer, even if that does not arrive.
    fn enter(
        &mut self,
        number: Option<u64>,
        call: Call,
        summary: String,
        outcome: String,
        answer: Option<&Reply>,
    ) {
        let (listed, contents) = self.log.look(&call, answer);
        self.log.push(Entry {
            n: self.calls,
            number,
            at: self.now,
            caller: call.caller,
            service: call.service,
            operation: call.operation,
            summary,
            outcome,
            listed,
            contents,
        });
    }

    /// Counts a call of the program under test, and returns the fault that strikes it.
    fn strike(&mut self, call: &Call, summary: &str) -> (Option<u64>, Option<Fault>) {
        if !call.controller {
            return (None, None);
        }
        self.controller_calls += 1;
        let of_operation = self.faults.count(&call.operation);
        if self.faults.is_empty() {
            return (Some(self.controller_calls), None);
        }
        let fault = self.faults.strike(&CallInfo {
            number: self.controller_calls,
            of_operation,
            at: self.now,
            caller: call.caller.clone(),
            service: call.service,
            region: call.region.clone(),
            operation: call.operation.clone(),
            summary: summary.to_owned(),
        });
        (Some(self.controller_calls), fault)
    }

    /// Returns the delivery, an answer that was made and lost, and the outcome for the log.
    fn deliver(&mut self, call: &Call, fault: Option<Fault>) -> (Delivery, Option<Reply>, String) {
        self.checkers.asks_for_draining(self.now, call);
        if let Some(refusal) = fault.and_then(|fault| fault.refusal(call)) {
            let reply = self.refuse(call, &refusal);
            let outcome = describe(&reply);
            return (Delivery::Answer(reply), None, outcome);
        }
        let outcome = fault.map(|fault| fault.to_string()).unwrap_or_default();
        match fault {
            None
            | Some(
                Fault::Stale(_)
                | Fault::PartialPage
                | Fault::Failures
                | Fault::LeavesOut
                | Fault::Http500
                | Fault::Throttle
                | Fault::AccessDenied,
            ) => self.deliver_answer(call, fault, &outcome),
            Some(Fault::FailBefore) => (Delivery::Lost, None, outcome),
            Some(Fault::Hang) => (Delivery::Never, None, outcome),
            Some(Fault::CrashBefore) => (Delivery::CallerDies, None, outcome),
            Some(Fault::LateApply(by)) => {
                self.late.push_back((self.now + by, call.clone()));
                (Delivery::Lost, None, outcome)
            }
            Some(Fault::FailAfter | Fault::HangAfter | Fault::CrashAfter) => {
                let reply = self.answer_in_vain(call);
                let told = format!("{} ({outcome})", describe(&reply));
                let delivery = match fault {
                    Some(Fault::FailAfter) => Delivery::Lost,
                    Some(Fault::HangAfter) => Delivery::Never,
                    _ => Delivery::CallerDies,
                };
                (delivery, Some(reply), told)
            }
        }
    }

    /// Delivers an answer, which a fault may have changed.
    fn deliver_answer(
        &mut self,
        call: &Call,
        fault: Option<Fault>,
        told: &str,
    ) -> (Delivery, Option<Reply>, String) {
        let lag = match fault {
            Some(Fault::Stale(lag)) => Some(lag),
            _ => self.faults.read_lag().filter(|_| call.controller).map(|most| self.some_of(most)),
        };
        if call.service == Service::DynamoDb && self.dynamodb.outage(self.now) == Some(Outage::Hang)
        {
            return (Delivery::Never, None, "hangs: the table is away".to_owned());
        }
        if let Some(waits) = self.begin_poll(call) {
            return (waits, None, "waits for a message".to_owned());
        }
        let reply = match fault {
            Some(Fault::PartialPage) => self.partial_page(call, lag),
            Some(Fault::Failures) => self.with_failure(call, lag),
            Some(Fault::LeavesOut) => self.with_one_left_out(call, lag),
            _ => self.answer(call, lag),
        };
        let told = if told.is_empty() {
            describe(&reply)
        } else {
            format!("{} ({told})", describe(&reply))
        };
        (Delivery::Answer(reply), None, told)
    }

    fn some_of(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.rng.u64(0..=u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the service's answer, after limits, checkers and lag.
    fn answer(&mut self, call: &Call, lag: Option<Duration>) -> Reply {
        let scope = format!("{}/{}", call.account, call.region);
        if !self.limits.admit(self.now, &scope, call.service, &call.operation) {
            return self.refuse(call, &throttled(call.service));
        }
        if let Body::Text(body) = &call.body {
            return self.answer_dynamodb(call, &String::from_utf8_lossy(body));
        }
        if call.service == Service::Sts {
            let result = sts::handle(self.start, self.now, call);
            return self.reply(call, result);
        }
        let (now, start) = (self.now, self.start);
        if let (Service::Sqs, Body::Json(body), true) =
            (call.service, &call.body, self.is_here(call))
        {
            let result =
                self.sqs.handle(now, &call.operation, body).map(|answer| answer.to_string());
            return self.reply(call, result);
        }
        if !self.is_here(call) {
            let key = (call.account.clone(), call.region.clone());
            let empty = || World::new(&call.account, &call.region, start, 0);
            let result = self.elsewhere.entry(key).or_insert_with(empty).answer(now, call);
            return self.reply(call, result);
        }
        if call.is_read() {
            let then = lag.map(|lag| now.saturating_sub(lag));
            let result = match then.and_then(|then| self.past.at(then).map(|world| (then, world))) {
                Some((then, world)) => world.answer(then, call),
                None => self.world.answer(now, call),
            };
            return self.reply(call, result);
        }
        self.remember(now);
        if call.controller {
            self.checkers.before(now, call, &self.world);
        }
        let result = self.world.answer(now, call);
        self.checkers.completed(now, &self.world, call.controller);
        if call.controller && call.operation == "CompleteLifecycleAction" && result.is_err() {
            self.checkers.told_it_is_over(call);
        }
        self.past.changed(now);
        self.reply(call, result)
    }

    fn answer_dynamodb(&mut self, call: &Call, body: &str) -> Reply {
        if self.dynamodb.outage(self.now).is_some() {
            return self.refuse(call, &internal_error(Service::DynamoDb));
        }
        let written = self.about_to_write(call, body);
        let answer = match call.page_size {
            None => self.dynamodb.handle(self.now, &call.operation, body),
            Some(_) => self.dynamodb.handle_in_part(self.now, &call.operation, body),
        };
        if answer.is_ok() {
            self.has_written(written);
        }
        let (status, error, body) = match answer {
            Ok(body) => (200, None, body),
            Err(refusal) => (refusal.status, Some(refusal.code), refusal.body),
        };
        let content_type = "application/x-amz-json-1.0";
        Reply {
            status,
            content_type,
            request_id: self.request_id(),
            error,
            query_error: None,
            body,
        }
    }

    /// Carries a call out whose answer is lost.
    fn answer_in_vain(&mut self, call: &Call) -> Reply {
        self.checkers.answer_is_lost = true;
        let reply = self.answer(call, None);
        self.checkers.answer_is_lost = false;
        reply
    }

    fn apply_late(&mut self, now: SimTime) {
        while let Some(at) = self.late.iter().position(|(at, _)| *at <= now) {
            let Some((_, call)) = self.late.remove(at) else { return };
            let reply = self.answer_in_vain(&call);
            let (summary, outcome) =
                (call.summary(), format!("{} (applied late)", describe(&reply)));
            self.enter(None, call, summary, outcome, Some(&reply));
        }
    }

    fn remember(&mut self, now: SimTime) {
        if self.faults.needs_past() {
            self.past.remember(now, &self.world);
        } else {
            self.past.forget();
        }
    }
}

/// The reason why a cloud could not be created.
#[derive(Debug)]
pub struct CloudError(String);

impl std::fmt::Display for CloudError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the simulated cloud could not be made: {}", self.0)
    }
}

impl std::error::Error for CloudError {}

impl From<dynoxide::DynoxideError> for CloudError {
    fn from(error: dynoxide::DynoxideError) -> Self {
        Self(error.to_string())
    }
}

impl From<jiff::Error> for CloudError {
    fn from(error: jiff::Error) -> Self {
        Self(error.to_string())
    }
}
