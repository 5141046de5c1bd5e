//! The lease: which replica of a controller acts.
//!
//! One item per controller, in the manner of a record-version number: each renewal writes a fresh
//! `lease_version`, and an observer takes the lease over, by a conditional write, only after it has
//! seen the same one for a full duration of its own monotonic clock. No wall clock is trusted, its
//! own included; `acquired_at` is for people. (Source: the Amazon DynamoDB Lock Client's README and
//! code.)
//!
//! # Guarantee
//!
//! A holder counts its time from the *start* of its last successful renewal, less a margin; an
//! observer from the *end* of the read that showed it a new version. So the holder's time is over
//! before the observer's is, by the margin at least, unless one of the two processes stands still
//! between looking at its lease and acting. That overlap is harmless by design (records are saved
//! on their version, acts are idempotent); the lease makes it rare.
//!
//! # Rely
//!
//! The holder's name is different for every [`Lease`]; that is how a holder whose answer was lost
//! knows its own write.

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

/// How long a lease lasts without a renewal.
pub const DURATION: Duration = Duration::from_secs(10);

/// How often the holder renews, and the others look.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);

/// How long before its lease ends a holder stops acting: room for clocks that run at different
/// speeds, and for a call that is on its way.
pub const MARGIN: Duration = Duration::from_secs(2);

/// What the key of a lease begins with. No record's key does: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "lease/";

/// The longest duration that is believed of a stored lease; a longer one was typed by somebody.
const LONGEST: Duration = Duration::from_secs(300);

const HOLDER: &str = "holder";
pub(super) const VERSION: &str = "lease_version";
const DURATION_SECONDS: &str = "duration_seconds";
const ACQUIRED_AT: &str = "acquired_at";

/// The lease as one replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// This replica may act, until `until`.
    pub held: bool,
    /// Until when this replica may act, if it holds the lease. A renewal moves it.
    pub until: Option<Mono>,
    /// Who holds the lease, or held it when it was last seen. None when nobody does.
    pub holder: Option<String>,
}

/// One replica's part in the lease of a controller.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    state: LeaseState,
}

/// A readable name of this process: host and process id.
fn process_name() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
    let host = host.or_else(|| {
        std::fs::read_to_string("/etc/hostname").ok().map(|host| host.trim().to_owned())
    });
    format!("{}/{}", host.as_deref().unwrap_or("unknown-host"), std::process::id())
}

impl Lease {
    /// This process's part in the lease of the store's controller. Makes no call.
    pub fn new(store: &Store) -> Lease {
        Lease::named(store, &process_name())
    }

    /// As [`Lease::new`], with a name that people will read; a random part is added to it.
    pub fn named(store: &Store, name: &str) -> Lease {
        let holder = format!("{name}/{}", store.ids.next());
        Lease { store: store.clone(), state: LeaseState::new(holder) }
    }

    /// Renews the lease if this replica holds it; else looks at it, and takes it if it is free or
    /// has not been renewed for its duration. To be called every [`RENEW_EVERY`], and with the time
    /// at which the call is made.
    ///
    /// # Errors
    /// As any call. The lease is then what it was: [`Lease::is_held`] goes on telling whether its
    /// time is over.
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

    /// Whether this replica may act at this time. To be asked right before each act.
    pub fn is_held(&self, now: Mono) -> bool {
        self.state.is_held(now)
    }

    /// The name under which this replica holds the lease.
    pub fn holder(&self) -> &str {
        &self.state.me
    }

    /// Gives the lease up, so that the next replica takes it at once. Does nothing when another
    /// holds it.
    ///
    /// # Errors
    /// As any call. The lease is not held any more in any case; the others wait for its duration
    /// then.
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

    /// Renews what is ours by the holder's name; false when it is not ours any more. A repeated
    /// renewal does no harm, so a lost response needs no care.
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

    /// Takes the lease, if it is still as it was seen. A refused condition that shows us as the
    /// holder is our own success, whose response was lost.
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
            // No item, or one in which nobody can ever see a version change.
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
                        // Another was quicker: the next look sees who.
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

/// A stored lease, whatever somebody may have written into it.
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

/// What to do about a lease that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It is ours: an answer was lost.
    Renew,
    /// It is free, or has not been renewed for its duration: write ours over this version.
    Take { over: Option<String> },
    /// Somebody may be holding it.
    Wait,
}

/// What one replica knows of the lease: pure, on its own monotonic clock.
#[derive(Clone, Debug)]
struct LeaseState {
    /// The name under which we hold it.
    me: String,
    /// We took it, and have not learnt that another has.
    ours: bool,
    /// Until when we may act on it.
    until: Option<Mono>,
    /// Another's lease, and since when it has not changed.
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

    /// A write of ours succeeded that was begun at this time.
    fn won(&mut self, start: Mono) {
        self.ours = true;
        self.until = Some(start + DURATION.saturating_sub(MARGIN));
        self.seen = None;
    }

    /// It is not ours any more.
    fn lost(&mut self) {
        self.ours = false;
        self.until = None;
    }

    /// Folds in a look that ended at this time.
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
    fn our_own_lease_is_renewed_and_not_waited_for() {
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
