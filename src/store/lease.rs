//! The lease: decides which replica of a controller acts.
//!
//! There is one item per controller, in the manner of a record-version number. Each renewal writes
//! a fresh `lease_version`. An observer takes the lease over, by a conditional write, only after it
//! has seen the same version for a full duration of its own monotonic clock. No wall clock is
//! trusted, not even its own; `acquired_at` is for people. (Source: the Amazon DynamoDB Lock
//! Client's README and code.)
//!
//! # Guarantee
//!
//! A holder counts its time from the *start* of its last successful renewal, less a margin; an
//! observer counts from the *end* of the read that showed it a new version. The holder's time
//! therefore ends before the observer's, by the margin at least, unless one of the two processes is
//! suspended between checking its lease and acting. That overlap is harmless by design (records are
//! saved on their version, actions are idempotent); the lease makes it rare.
//!
//! # Rely
//!
//! The holder's name is different for every [`Lease`]. This is how a holder recognizes its own
//! write after it lost the answer.

use super::schema::KEY;
use super::{Store, StoreError, item};
use crate::aws::calls::{DELETE_ITEM, GET_ITEM, PUT_ITEM, UPDATE_ITEM};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain_state::Mono;
use jiff::Timestamp;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Time for which a lease lasts without a renewal.
pub(crate) const DURATION: Duration = Duration::from_secs(10);

/// Interval at which the holder renews, and the others read.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);

/// Time before the end of its lease at which a holder stops acting. It allows for clocks that run
/// at different speeds, and for a call under way.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// Prefix of a lease's key. No record's key has it: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "lease/";

/// Longest duration that is accepted from a stored lease; a longer one was entered by hand.
const LONGEST: Duration = Duration::from_secs(300);

const HOLDER: &str = "holder";
pub(super) const VERSION: &str = "lease_version";
const DURATION_SECONDS: &str = "duration_seconds";
const ACQUIRED_AT: &str = "acquired_at";

/// The lease as one replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// True if this replica may act, until `until`.
    pub held: bool,
    /// Time until which this replica may act, if it holds the lease. A renewal extends it.
    pub until: Option<Mono>,
    /// Holder of the lease at the last read; `None` if it is free.
    pub holder: Option<String>,
}

/// Access of one replica to a controller's lease.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    state: LeaseState,
}

/// Returns a readable name of this process: host and process id.
fn process_name() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
    let host = host.or_else(|| {
        std::fs::read_to_string("/etc/hostname").ok().map(|host| host.trim().to_owned())
    });
    format!("{}/{}", host.as_deref().unwrap_or("unknown-host"), std::process::id())
}

impl Lease {
    /// Creates this process's access to the lease of the store's controller. Makes no call.
    pub(crate) fn new(store: &Store) -> Lease {
        Lease::named(store, &process_name())
    }

    /// Creates it as [`Lease::new`] does, with a name that people will read. A random part is added
    /// to the name.
    pub fn named(store: &Store, name: &str) -> Lease {
        let holder = format!("{name}/{}", store.ids.next());
        Lease { store: store.clone(), state: LeaseState::new(holder) }
    }

    /// Renews the lease if this replica holds it. Otherwise reads it, and takes it if it is free or
    /// was not renewed for its duration. Call this every [`RENEW_EVERY`], with the time of the
    /// call.
    ///
    /// # Errors
    /// Returns an error if the call fails. The lease is then unchanged; [`Lease::is_held`] still
    /// returns whether its time is over.
    pub async fn renew_or_take(&mut self, now: Mono) -> Result<LeaseView, StoreError> {
        let begun = Instant::now();
        if self.state.is_ours() && self.renew(now).await? {
            return Ok(self.view(now + begun.elapsed()));
        }
        let seen = self.look().await?;
        let looked = now + begun.elapsed();
        match self.state.observe(seen, looked) {
            Step::Renew => {
                self.renew(looked).await?;
            }
            Step::Take { over } => self.take(over, looked).await?,
            Step::Wait => {}
        }
        Ok(self.view(now + begun.elapsed()))
    }

    /// Returns whether this replica may act at this time. Check it immediately before each action.
    pub fn is_held(&self, now: Mono) -> bool {
        self.state.is_held(now)
    }

    /// Returns the name under which this replica holds the lease.
    pub fn holder(&self) -> &str {
        &self.state.me
    }

    /// Releases the lease, so that the next replica takes it at once. Does nothing if another
    /// replica holds it.
    ///
    /// # Errors
    /// Returns an error if the call fails. This replica no longer holds the lease even then, and
    /// the others wait for its duration.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.state.lost();
        let answer = self
            .store
            .urgent
            .delete_item()
            .table_name(self.store.table())
            .key(KEY, self.key())
            .condition_expression("#holder = :me")
            .expression_attribute_names("#holder", HOLDER)
            .expression_attribute_values(":me", self.me())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(self.store.place.failed(&DELETE_ITEM, &error)),
            },
        }
    }

    /// Renews the lease under this replica's name. Returns false if another replica has taken it. A
    /// repeated renewal does no harm, so a lost answer needs no handling.
    async fn renew(&mut self, start: Mono) -> Result<bool, StoreError> {
        let answer = self
            .store
            .urgent
            .update_item()
            .table_name(self.store.table())
            .key(KEY, self.key())
            .update_expression("SET #version = :version, #duration = :duration")
            .condition_expression("#holder = :me")
            .expression_attribute_names("#holder", HOLDER)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#duration", DURATION_SECONDS)
            .expression_attribute_values(":me", self.me())
            .expression_attribute_values(":version", AttributeValue::S(self.store.ids.next()))
            .expression_attribute_values(":duration", duration_seconds())
            .send()
            .await;
        match answer {
            Ok(_) => {
                self.state.won(start);
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => {
                    self.state.lost();
                    Ok(false)
                }
                _ => Err(self.store.place.failed(&UPDATE_ITEM, &error)),
            },
        }
    }

    async fn look(&self) -> Result<Option<Seen>, StoreError> {
        let request =
            self.store.urgent.get_item().table_name(self.store.table()).key(KEY, self.key());
        let answer = request.consistent_read(true).send().await;
        let answer = answer.map_err(|error| self.store.place.failed(&GET_ITEM, &error))?;
        Ok(answer.item.as_ref().map(Seen::read))
    }

    /// Takes the lease, if it is unchanged since it was read. If the condition is refused and the
    /// stored holder is this replica, an earlier attempt succeeded and its answer was lost.
    async fn take(&mut self, over: Option<String>, start: Mono) -> Result<(), StoreError> {
        let time = Timestamp::try_from(self.store.time.now()).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut request = self
            .store
            .urgent
            .put_item()
            .table_name(self.store.table())
            .item(KEY, self.key())
            .item(HOLDER, self.me())
            .item(VERSION, AttributeValue::S(self.store.ids.next()))
            .item(DURATION_SECONDS, duration_seconds())
            .item(ACQUIRED_AT, AttributeValue::S(time.to_string()))
            .expression_attribute_names("#version", VERSION)
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            );
        request = match over {
            Some(version) => request
                .condition_expression("#version = :seen")
                .expression_attribute_values(":seen", AttributeValue::S(version)),
            // There is no item, or one whose version cannot change.
            None => request
                .condition_expression(
                    "attribute_not_exists(#version) OR NOT attribute_type(#version, :text)",
                )
                .expression_attribute_values(":text", AttributeValue::S("S".to_owned())),
        };
        match request.send().await {
            Ok(_) => self.state.won(start),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    match refusal.item().map(Seen::read) {
                        Some(seen) if seen.holder == self.state.me => self.state.won(start),
                        // Another replica was faster. The next read shows which.
                        Some(_) | None => {}
                    }
                }
                _ => return Err(self.store.place.failed(&PUT_ITEM, &error)),
            },
        }
        Ok(())
    }

    fn view(&self, now: Mono) -> LeaseView {
        let held = self.state.is_held(now);
        let holder = if held { Some(self.state.me.clone()) } else { self.state.holder() };
        LeaseView { held, until: self.state.until.filter(|_| held), holder }
    }

    fn key(&self) -> AttributeValue {
        AttributeValue::S(format!("{KEY_PREFIX}{}", self.store.controller))
    }

    fn me(&self) -> AttributeValue {
        AttributeValue::S(self.state.me.clone())
    }
}

fn duration_seconds() -> AttributeValue {
    AttributeValue::N(DURATION.as_secs().to_string())
}

/// A stored lease, which may have been edited by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    holder: String,
    version: Option<String>,
    duration: Duration,
}

impl Seen {
    fn read(stored: &HashMap<String, AttributeValue>) -> Seen {
        let seconds =
            stored.get(DURATION_SECONDS).and_then(|n| n.as_n().ok()).and_then(|n| n.parse().ok());
        Seen {
            holder: item::string(stored, HOLDER).unwrap_or("unreadable").to_owned(),
            version: item::string(stored, VERSION).map(str::to_owned),
            duration: seconds.map_or(DURATION, Duration::from_secs).clamp(DURATION, LONGEST),
        }
    }
}

/// Next step after a read of the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Renew: this replica holds it, and an answer was lost.
    Renew,
    /// Take it: it is free, or was not renewed for its duration. The write replaces this version.
    Take { over: Option<String> },
    /// Wait: another replica may hold it.
    Wait,
}

/// One replica's knowledge of the lease: pure, on its own monotonic clock.
#[derive(Clone, Debug)]
struct LeaseState {
    /// Name under which this replica holds it.
    me: String,
    /// True if this replica took it, and has not learnt that another one has.
    ours: bool,
    /// Time until which this replica may act on it.
    until: Option<Mono>,
    /// Another replica's lease, and the time since which it has not changed.
    seen: Option<(Seen, Mono)>,
}

impl LeaseState {
    fn new(me: String) -> LeaseState {
        LeaseState { me, ours: false, until: None, seen: None }
    }

    fn is_ours(&self) -> bool {
        self.ours
    }

    fn is_held(&self, now: Mono) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn holder(&self) -> Option<String> {
        self.seen.as_ref().map(|(seen, _)| seen.holder.clone())
    }

    /// Records that a write of this replica succeeded, which began at this time.
    fn won(&mut self, start: Mono) {
        self.ours = true;
        self.until = Some(start + DURATION.saturating_sub(MARGIN));
        self.seen = None;
    }

    /// Records that this replica no longer holds it.
    fn lost(&mut self) {
        self.ours = false;
        self.until = None;
    }

    /// Takes over a read that ended at this time. Returns the next step.
    fn observe(&mut self, now_seen: Option<Seen>, now: Mono) -> Step {
        let Some(now_seen) = now_seen else {
            self.seen = None;
            return Step::Take { over: None };
        };
        if now_seen.holder == self.me {
            return Step::Renew;
        }
        match &self.seen {
            Some((before, since)) if *before == now_seen => {
                if now.since(*since) >= now_seen.duration {
                    return Step::Take { over: now_seen.version };
                }
            }
            Some(_) | None => self.seen = Some((now_seen, now)),
        }
        Step::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::at(Duration::from_secs(seconds))
    }

    fn seen(holder: &str, version: &str) -> Option<Seen> {
        Some(Seen { holder: holder.into(), version: Some(version.into()), duration: DURATION })
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        let mut state = LeaseState::new("a".into());
        assert_eq!(state.observe(None, at(0)), Step::Take { over: None });
        assert!(!state.is_held(at(0)));
        state.won(at(0));
        assert!(state.is_held(at(7)));
        assert!(!state.is_held(at(8)), "the margin is not ours");
    }

    #[test]
    fn another_is_taken_over_only_after_a_full_duration_without_a_change() {
        let mut state = LeaseState::new("b".into());
        assert_eq!(state.observe(seen("a", "1"), at(100)), Step::Wait);
        assert_eq!(state.observe(seen("a", "1"), at(109)), Step::Wait);
        assert_eq!(
            state.observe(seen("a", "2"), at(110)),
            Step::Wait,
            "renewed: the wait begins again"
        );
        assert_eq!(state.observe(seen("a", "2"), at(119)), Step::Wait);
        assert_eq!(state.observe(seen("a", "2"), at(120)), Step::Take { over: Some("2".into()) });
    }

    #[test]
    fn a_lease_held_under_the_own_name_is_renewed() {
        let mut state = LeaseState::new("a".into());
        assert_eq!(state.observe(seen("a", "1"), at(0)), Step::Renew);
    }

    #[test]
    fn what_was_lost_is_not_held() {
        let mut state = LeaseState::new("a".into());
        state.won(at(0));
        state.lost();
        assert!(!state.is_held(at(1)) && !state.is_ours());
    }

    #[test]
    fn a_stored_lease_is_not_trusted() {
        let read = |duration: &str| {
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let n = AttributeValue::N(duration.to_owned());
            Seen::read(&HashMap::from([
                (HOLDER.to_owned(), text("a")),
                (DURATION_SECONDS.to_owned(), n),
            ]))
            .duration
        };
        assert_eq!(read("0"), DURATION);
        assert_eq!(read("-5"), DURATION);
        assert_eq!(read("99999999"), LONGEST);
        assert_eq!(read("30"), Duration::from_secs(30));
        let empty = Seen::read(&HashMap::new());
        assert_eq!(
            (empty.holder.as_str(), empty.version, empty.duration),
            ("unreadable", None, DURATION)
        );
    }
}
