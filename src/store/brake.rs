//! The brake: what an operator holds as a whole, everything or a cluster, in one item for each controller.
//!
//! It is for an incident, so it fails safe: an item that cannot be read is an error, and whoever reads it then takes
//! everything for held.

use super::schema::KEY;
use super::{Store, StoreError, item};
use crate::aws::calls::{BATCH_GET_ITEM, Call, UPDATE_ITEM};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain_state::Order;
use std::collections::{BTreeMap, HashMap};

/// What the key of a brake begins with. No record's key does: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "brake/";

/// The place that stands for everything.
pub const EVERYTHING: &str = "*";

const HELD: &str = "held";

/// What is held as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    /// Who holds each place: [`EVERYTHING`], or `ACCOUNT/REGION/CLUSTER`.
    pub held: BTreeMap<String, Order>,
}

impl Brake {
    /// Who holds a drain of this account, region and clusters, if somebody does.
    pub fn on(&self, account: &str, region: &str, clusters: &[&str]) -> Option<&Order> {
        let of_cluster = |cluster: &&str| self.held.get(&place(account, region, cluster));
        self.held.get(EVERYTHING).or_else(|| clusters.iter().find_map(of_cluster))
    }
}

/// The place that stands for a cluster.
pub fn place(account: &str, region: &str, cluster: &str) -> String {
    format!("{account}/{region}/{cluster}")
}

impl Store {
    /// What is held as a whole, strongly consistent.
    ///
    /// # Errors
    /// As any call, and when the item cannot be understood: take everything for held then.
    pub async fn brake(&self) -> Result<Brake, StoreError> {
        let key = self.brake_key();
        let items = self.get_items(std::slice::from_ref(&key)).await?;
        match items.get(&key) {
            None => Ok(Brake::default()),
            Some(item) => read(item).map_err(|why| self.place.other(&BATCH_GET_ITEM, format!("item {key}: {why}"))),
        }
    }

    /// Holds a place, or lets go of it. Other places stay as they are, whoever changes them at the same time.
    ///
    /// # Errors
    /// As any call. After `Unavailable` it may have happened all the same; asking again does no harm.
    pub async fn set_brake(&self, place: &str, order: Option<&Order>) -> Result<(), StoreError> {
        const CALL: &Call = &UPDATE_ITEM;
        let update = || {
            let update = self.records.update_item().table_name(self.table());
            update.key(KEY, AttributeValue::S(self.brake_key())).expression_attribute_names("#held", HELD)
        };
        let sent = match order {
            Some(order) => {
                let order = item::attributes(order).map_err(|why| self.place.other(CALL, why))?;
                // An entry can only be set in a map that is there.
                let empty = update()
                    .update_expression("SET #held = if_not_exists(#held, :empty)")
                    .expression_attribute_values(":empty", AttributeValue::M(HashMap::new()));
                empty.send().await.map_err(|error| self.place.failed(CALL, &error))?;
                update()
                    .update_expression("SET #held.#place = :order")
                    .expression_attribute_values(":order", AttributeValue::M(order.into_iter().collect()))
            }
            // Without the condition, nothing to let go of would be a path that is invalid, or a new item.
            None => update().update_expression("REMOVE #held.#place").condition_expression("attribute_exists(#held)"),
        };
        match sent.expression_attribute_names("#place", place).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(self.place.failed(CALL, &error)),
            },
        }
    }

    fn brake_key(&self) -> String {
        format!("{KEY_PREFIX}{}", self.controller)
    }
}

/// The brake of an item. Attributes of others do no harm; a place that is none would hold nothing, although somebody
/// wrote it to hold something.
///
/// # Errors
/// Which attribute cannot be read, and why.
pub fn read(item: &HashMap<String, AttributeValue>) -> Result<Brake, String> {
    let Some(held) = item.get(HELD) else { return Ok(Brake::default()) };
    let entries = held.as_m().map_err(|_| format!("attribute {HELD} is not a map"))?;
    let entries: BTreeMap<_, _> = entries.iter().collect();
    let mut brake = Brake::default();
    for (place, order) in entries {
        let parts: Vec<&str> = place.split('/').collect();
        if place != EVERYTHING && (parts.len() != 3 || parts.iter().any(|part| part.is_empty())) {
            return Err(format!("attribute {HELD}: {place:?} is neither {EVERYTHING:?} nor ACCOUNT/REGION/CLUSTER"));
        }
        let order = order.as_m().map_err(|_| format!("attribute {HELD}, {place:?}: it is not a map"))?;
        let order: Order = item::parse(order).map_err(|why| format!("attribute {HELD}, {place:?}: {why}"))?;
        brake.held.insert(place.clone(), order);
    }
    Ok(brake)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn order(by: &str) -> Order {
        Order { by: by.into(), reason: None, at: "2026-01-05T09:00:00Z".parse().unwrap() }
    }

    #[test]
    fn what_is_held() {
        let mut brake = Brake::default();
        let on = |brake: &Brake, clusters: &[&str]| brake.on("1", "eu", clusters).map(|order| order.by.clone());
        assert_eq!(on(&brake, &["web"]), None);
        brake.held.insert("1/eu/web".into(), order("Ada"));
        assert_eq!(on(&brake, &["web"]).as_deref(), Some("Ada"));
        assert_eq!(on(&brake, &["jobs", "web"]).as_deref(), Some("Ada"));
        assert_eq!(on(&brake, &["webs"]), None);
        assert_eq!(on(&brake, &[]), None);
        assert_eq!(brake.on("2", "eu", &["web"]), None);
        brake.held.insert("*".into(), order("Bob"));
        assert_eq!(on(&brake, &[]).as_deref(), Some("Bob"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_says_what() {
        let with = |held: AttributeValue| read(&HashMap::from([(HELD.to_owned(), held)]));
        let map = |place: &str, order: AttributeValue| AttributeValue::M(HashMap::from([(place.to_owned(), order)]));
        let good = AttributeValue::M(item::attributes(&order("Ada")).unwrap().into_iter().collect());
        assert_eq!(read(&HashMap::new()).unwrap(), Brake::default());
        assert_eq!(with(map("*", good.clone())).unwrap().held["*"], order("Ada"));
        let wrong = [
            with(AttributeValue::Bool(true)),
            with(map("web", good)),
            with(map("*", AttributeValue::S("Ada".into()))),
            with(map("1/eu/web", AttributeValue::M(HashMap::new()))),
        ];
        assert_eq!(
            wrong.map(Result::unwrap_err).join("\n"),
            "\
attribute held is not a map
attribute held: \"web\" is neither \"*\" nor ACCOUNT/REGION/CLUSTER
attribute held, \"*\": it is not a map
attribute held, \"1/eu/web\": missing field `by`"
        );
    }
}
