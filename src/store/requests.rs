//! Requests of operators, in the table: the CLI writes them, the controller answers them.
//!
//! The key of each begins with the verb and names the cluster, so that IAM can grant one verb, or
//! one team's clusters (`dynamodb:LeadingKeys`):
//! `request/CONTROLLER/VERB/ACCOUNT/REGION/CLUSTER/ID`, with `-` for an unknown cluster. The
//! controller compares the cluster with the instance's own.
//!
//! A request is in the index of unfinished records until it is answered, so that the controller's
//! one query finds both. The table's TTL deletes each request a day after it was written or
//! answered.
//!
//! # Guarantee
//!
//! An answer is written once: the first one stays. A record lists the requests that were carried
//! out on it (`requests`). If a controller dies between the change and the answer, the next one
//! sees this, and answers.

use super::item::Attributes;
use super::schema::{EXPIRES_AT, KEY, UNFINISHED, UNFINISHED_OF};
use super::{Store, StoreError, item, lease, rollouts};
use crate::aws::calls::{Call, PUT_ITEM, UPDATE_ITEM};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain_state::Request;
use ecs_drain_state::request::SCHEMA;
use ecs_drain_state::rollout;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Prefix of a request's key. No record's key has it: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "request/";

/// Time for which a request is kept after it was written or answered: long enough to be discussed
/// with a colleague.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

const ANSWER: &str = "answer";

/// Result of reading a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// A request for one instance.
    Request(Box<Request>),
    /// A request about a rollout.
    Rollout(Box<rollout::Request>),
    /// It cannot be parsed: a newer program wrote it, or a person edited it.
    Unreadable {
        /// The attribute and its problem.
        why: String,
    },
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Text for the operator.
    pub text: String,
    /// True if nothing was done.
    pub refused: bool,
    /// Time of the answer.
    pub at: Timestamp,
}

/// Holder of a controller's lease, as the table shows it. Only a renewal that changes shows that
/// the process is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Host, process id and a random part.
    pub holder: String,
    /// Value that differs after each renewal.
    pub renewal: String,
}

/// Returns the key of a request in the table.
pub fn key(request: &Request) -> String {
    let Request { controller, what, account, region, cluster, id, .. } = request;
    let cluster = cluster.as_deref().unwrap_or("-");
    format!("{KEY_PREFIX}{controller}/{}/{account}/{region}/{cluster}/{id}", what.name())
}

/// Converts a request to an item.
///
/// # Errors
/// Returns the reason if the request has no item. This does not happen to requests of this program.
pub fn item_of(request: &Request) -> Result<Attributes, String> {
    item(request, key(request), &request.controller, request.at)
}

/// Adds the attributes of the indexes and the TTL to those of a request.
pub(super) fn item(
    request: &impl Serialize,
    key: String,
    controller: &str,
    at: Timestamp,
) -> Result<Attributes, String> {
    let mut item = item::attributes(request)?;
    item.insert(UNFINISHED_OF.to_owned(), AttributeValue::S(controller.to_owned()));
    item.insert(UNFINISHED.to_owned(), AttributeValue::S(format!("{key}@{:012}", 1)));
    item.insert(EXPIRES_AT.to_owned(), expiry(at));
    item.insert(KEY.to_owned(), AttributeValue::S(key));
    Ok(item)
}

/// Converts an item to a request for this controller.
pub fn read(item: &HashMap<String, AttributeValue>, controller: &str) -> ReadRequest {
    let unreadable = |why: String| ReadRequest::Unreadable { why };
    if let Some(schema) = item::schema(item).filter(|schema| *schema > u64::from(SCHEMA)) {
        return unreadable(format!("a newer ecs-drain wrote it (schema {schema})"));
    }
    let read = if rollouts::is_request(item) {
        rollouts::read_request(item, controller)
    } else {
        request(item, controller)
    };
    read.unwrap_or_else(unreadable)
}

fn request(
    item: &HashMap<String, AttributeValue>,
    controller: &str,
) -> Result<ReadRequest, String> {
    let request: Request = item::parse(item)?;
    if request.schema != SCHEMA {
        return Err(format!("attribute schema: {} is unknown", request.schema));
    }
    // A slash in one of them would form a key of another cluster, for which the operator may have
    // no permission.
    let parts =
        [&request.account, &request.region, &request.id].into_iter().chain(&request.cluster);
    let plain = parts.into_iter().all(|part| !part.is_empty() && !part.contains('/'));
    check(item, &key(&request), plain, &request.controller, controller)?;
    Ok(ReadRequest::Request(Box::new(request)))
}

/// Checks the key of a request against the one that its attributes form. `plain` is false if one of
/// them has a slash or is empty. Checks that the request is for this controller, too.
pub(super) fn check(
    item: &HashMap<String, AttributeValue>,
    says: &str,
    plain: bool,
    whose: &str,
    controller: &str,
) -> Result<(), String> {
    let is = item::key(item).unwrap_or_default();
    if is != says || !plain {
        let (is, says) = (item::shown(is), item::shown(says));
        return Err(format!("its key is {is}, but its attributes say {says}"));
    }
    if whose != controller {
        let whose = item::shown(whose);
        return Err(format!("it is for controller {whose}, not for {controller}"));
    }
    Ok(())
}

impl Store {
    /// Writes a request to the controller that it names. An existing one with the same id is
    /// unchanged.
    ///
    /// # Errors
    /// Returns an error if the call fails. After `Unavailable` the request may be there.
    pub async fn ask(&self, request: &Request) -> Result<(), StoreError> {
        let item = item_of(request).map_err(|why| self.place.other(&PUT_ITEM, why))?;
        self.put_request(item).await
    }

    /// Writes the item of a request, unless there is one.
    pub(super) async fn put_request(&self, item: Attributes) -> Result<(), StoreError> {
        const CALL: &Call = &PUT_ITEM;
        let answer = self
            .records
            .put_item()
            .table_name(self.table())
            .set_item(Some(item.into_iter().collect()))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Ids are not used twice: this is the same write, whose answer was lost.
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(self.place.failed(CALL, &error)),
            },
        }
    }

    /// Reads requests, strongly consistent, in the order of their ids, which is that of their
    /// times. Omits those that are answered or gone, because the index lags.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn requests(
        &self,
        keys: &[String],
    ) -> Result<Vec<(String, ReadRequest)>, StoreError> {
        let items = self.get_items(keys).await?;
        let open = items.into_iter().filter(|(_, item)| !item.contains_key(ANSWER));
        let mut open: Vec<_> =
            open.map(|(key, item)| (key, read(&item, &self.controller))).collect();
        open.sort_by_cached_key(|(key, _)| key.rsplit('/').next().map(str::to_owned));
        Ok(open)
    }

    /// Answers a request and takes it out of the index. One that is answered or gone is unchanged.
    ///
    /// # Errors
    /// Returns an error if the call fails; the request is then found again.
    pub async fn answer(&self, key: &str, answer: &Answer) -> Result<(), StoreError> {
        const CALL: &Call = &UPDATE_ITEM;
        let said = item::attributes(answer).map_err(|why| self.place.other(CALL, why))?;
        let sent = self
            .records
            .update_item()
            .table_name(self.table())
            .key(KEY, AttributeValue::S(key.to_owned()))
            .update_expression("SET #answer = :answer, #expires = :expires REMOVE #of, #unfinished")
            // Without attribute_exists an update would create a deleted request again.
            .condition_expression("attribute_exists(#key) AND attribute_not_exists(#answer)")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#answer", ANSWER)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#of", UNFINISHED_OF)
            .expression_attribute_names("#unfinished", UNFINISHED)
            .expression_attribute_values(":answer", AttributeValue::M(said.into_iter().collect()))
            .expression_attribute_values(":expires", expiry(answer.at))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(self.place.failed(CALL, &error)),
            },
        }
    }

    /// Returns the answer to a request, strongly consistent, or `None` if there is none yet.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn answer_of(&self, key: &str) -> Result<Option<Answer>, StoreError> {
        Ok(self.answers_of(&[key.to_owned()]).await?.remove(key))
    }

    /// Returns the existing answers to requests, by their keys.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub(crate) async fn answers_of(
        &self,
        keys: &[String],
    ) -> Result<BTreeMap<String, Answer>, StoreError> {
        let items = self.get_items(keys).await?;
        let answered = items.into_iter().filter_map(|(key, item)| {
            let said = item.get(ANSWER)?.as_m().ok().map(item::parse::<Answer>);
            // An answer that cannot be read was edited. It only shows that there is one.
            let unread = || Answer {
                text: "its answer cannot be read".to_owned(),
                refused: true,
                at: Timestamp::MIN,
            };
            Some((key, said.and_then(Result::ok).unwrap_or_else(unread)))
        });
        Ok(answered.collect())
    }

    /// Returns the holder of this controller's lease, or `None` if it is free.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn leader(&self) -> Result<Option<Leader>, StoreError> {
        let key = format!("{}{}", lease::KEY_PREFIX, self.controller);
        let items = self.get_items(std::slice::from_ref(&key)).await?;
        let word = |name: &str| {
            items.get(&key).and_then(|item| item::string(item, name)).map(str::to_owned)
        };
        Ok(word("holder")
            .map(|holder| Leader { holder, renewal: word("lease_version").unwrap_or_default() }))
    }

    /// Creates an id for a new request. It sorts after those of earlier moments.
    pub fn request_id(&self, now: Timestamp) -> String {
        format!("{}-{}", now.strftime("%Y%m%dT%H%M%S%3f"), self.ids.next())
    }
}

/// Returns the time at which a request that was written or answered then may be deleted.
fn expiry(at: Timestamp) -> AttributeValue {
    let seconds = ecs_drain_state::record::later(at, KEPT).as_second();
    AttributeValue::N(seconds.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ecs_drain_state::{Request, Then, What};
    use jiff::Timestamp;

    fn request(what: What) -> Request {
        Request {
            id: "20260105T090000000-1".into(),
            controller: "main".into(),
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            instance_id: "i-1".into(),
            cluster: None,
            generation: 1,
            what,
            by: "Ada".into(),
            reason: None,
            at: "2026-01-05T09:00:00Z".parse().unwrap(),
            schema: super::SCHEMA,
        }
    }

    #[test]
    fn what_is_asked_as_it_is_written() {
        let text = |what: What| serde_json::to_value(request(what)).unwrap()["what"].to_string();
        let until: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        assert_eq!(
            text(What::Drain { then: Then::TerminateAndShrink }),
            r#"{"drain":{"then":"terminate-and-shrink"}}"#
        );
        assert_eq!(text(What::Extend { until }), r#"{"extend":{"until":"2026-01-05T10:00:00Z"}}"#);
        for what in [What::Cancel, What::Pause, What::Resume, What::Retry, What::Force] {
            assert_eq!(text(what), format!("{:?}", what.name()));
        }
        for what in [What::Cancel, What::Drain { then: Then::Keep }, What::Extend { until }] {
            let there = serde_json::to_string(&request(what)).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&there).unwrap(), request(what));
        }
    }
}
