//! The table's key, its two indexes and its TTL: creates the table, and checks an existing one.
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `key` | partition key: `account/region/instance` of a record, `lease/controller` of a lease; others in [`super::requests`], [`super::rollouts`] and [`super::pauses`] |
//! | `unfinished_of`, `unfinished` | index `unfinished`: the controller's name, and the key with the record's version; only on unfinished records and rollouts, requests without an answer, and pauses |
//! | `cluster` | index `by_cluster`, with `key` |
//! | `expires_at` | TTL, seconds since 1970; only on finished records and rollouts, and on requests |

use super::{Store, StoreError};
use crate::aws::calls::{
    CREATE_TABLE, Call, DESCRIBE_TABLE, DESCRIBE_TIME_TO_LIVE, UPDATE_TIME_TO_LIVE,
};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use std::time::Duration;

/// Partition key.
pub const KEY: &str = "key";

/// Hash key of the index of unfinished records and requests: the controller's name.
pub const UNFINISHED_OF: &str = "unfinished_of";

/// Sort key of the index of unfinished records and requests: the key, `@` and the version in 12
/// digits.
pub const UNFINISHED: &str = "unfinished";

/// Attribute of DynamoDB's TTL.
pub const EXPIRES_AT: &str = "expires_at";

/// Hash key of the index by cluster.
pub const CLUSTER: &str = "cluster";

/// Name of the sparse index of unfinished records.
pub const UNFINISHED_INDEX: &str = "unfinished";

/// Name of the index by cluster.
pub const CLUSTER_INDEX: &str = "by_cluster";

/// Name, hash key and sort key of each index.
const INDEXES: [(&str, &str, &str); 2] =
    [(UNFINISHED_INDEX, UNFINISHED_OF, UNFINISHED), (CLUSTER_INDEX, CLUSTER, KEY)];

/// Interval between two checks of a new table.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Checks of a new table, at most: two minutes in all. DynamoDB creates an empty table in seconds.
const LOOKS: usize = 120;

/// Operator's options for a new table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Protects the table from deletion until this is turned off.
    pub deletion_protection: bool,
}

impl Store {
    /// Creates the table, waits until it is usable, and turns its TTL on. An existing table is
    /// checked, and only its TTL is changed.
    ///
    /// # Errors
    /// Returns an error if a call fails; `Shape` if an existing table has the wrong shape.
    pub async fn create_table(&self, options: TableOptions) -> Result<(), StoreError> {
        const CALL: &Call = &CREATE_TABLE;
        let bad =
            |error: aws_sdk_dynamodb::error::BuildError| self.place.other(CALL, error.to_string());
        let mut request = self
            .records
            .create_table()
            .table_name(self.table())
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(options.deletion_protection)
            .key_schema(element(KEY, KeyType::Hash).map_err(bad)?);
        for name in [KEY, UNFINISHED_OF, UNFINISHED, CLUSTER] {
            request = request.attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(name)
                    .attribute_type(ScalarAttributeType::S)
                    .build()
                    .map_err(bad)?,
            );
        }
        for (name, hash, range) in INDEXES {
            let index = GlobalSecondaryIndex::builder()
                .index_name(name)
                .key_schema(element(hash, KeyType::Hash).map_err(bad)?)
                .key_schema(element(range, KeyType::Range).map_err(bad)?)
                .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
                .build()
                .map_err(bad)?;
            request = request.global_secondary_indexes(index);
        }
        match request.send().await {
            Ok(_) => {}
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {}
            Err(error) => return Err(self.place.failed(CALL, &error)),
        }
        // A table of the wrong shape belongs to something else, and gets no TTL: it would delete
        // items there.
        self.fit(problems(&self.wait_until_active().await?))?;
        self.turn_ttl_on().await?;
        self.check().await
    }

    /// Checks that the table exists and has the right shape.
    ///
    /// # Errors
    /// Returns `Missing` or `Shape` with what to do, or another error if a call fails.
    pub async fn check(&self) -> Result<(), StoreError> {
        let description = self.describe().await?;
        let mut problems = problems(&description);
        match self.ttl().await? {
            (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(name)) if name == EXPIRES_AT => {}
            (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(name)) => problems.push(format!(
                "its TTL looks at {name} instead of {EXPIRES_AT}: turn it off, then run `ecs-drain init`"
            )),
            _ => problems.push(format!(
                "its TTL is off, so that finished records stay for ever: `ecs-drain init` turns it on (on {EXPIRES_AT})"
            )),
        }
        self.fit(problems)
    }

    fn fit(&self, problems: Vec<String>) -> Result<(), StoreError> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Shape { table: self.table().to_owned(), problems })
        }
    }

    async fn describe(&self) -> Result<TableDescription, StoreError> {
        const CALL: &Call = &DESCRIBE_TABLE;
        let answer = self.records.describe_table().table_name(self.table()).send().await;
        let answer = answer.map_err(|error| self.place.failed(CALL, &error))?;
        answer.table.ok_or_else(|| self.place.other(CALL, "the answer describes no table"))
    }

    async fn wait_until_active(&self) -> Result<TableDescription, StoreError> {
        let mut status = None;
        for _ in 0..LOOKS {
            status = match self.describe().await {
                Ok(description) if description.table_status == Some(TableStatus::Active) => {
                    return Ok(description);
                }
                Ok(description) => description.table_status,
                // DescribeTable is eventually consistent: right after CreateTable the table may not
                // be there yet. (Source: DynamoDB API reference, DescribeTable.)
                Err(StoreError::Missing { .. }) => None,
                Err(error) => return Err(error),
            };
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let status = status.map_or_else(|| "not there".to_owned(), |status| status.to_string());
        let problem =
            format!("it is still {status} after {} s; check it in the AWS console", LOOKS);
        Err(StoreError::Shape { table: self.table().to_owned(), problems: vec![problem] })
    }

    async fn ttl(&self) -> Result<(Option<TimeToLiveStatus>, Option<String>), StoreError> {
        let answer = self.records.describe_time_to_live().table_name(self.table()).send().await;
        let answer = answer.map_err(|error| self.place.failed(&DESCRIBE_TIME_TO_LIVE, &error))?;
        let ttl = answer.time_to_live_description;
        Ok(ttl.map_or((None, None), |ttl| (ttl.time_to_live_status, ttl.attribute_name)))
    }

    async fn turn_ttl_on(&self) -> Result<(), StoreError> {
        const CALL: &Call = &UPDATE_TIME_TO_LIVE;
        // DynamoDB refuses a request for the present state.
        if let (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), _) =
            self.ttl().await?
        {
            return Ok(());
        }
        let ttl =
            TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT).build();
        let ttl = ttl.map_err(|error| self.place.other(CALL, error.to_string()))?;
        let answer = self
            .records
            .update_time_to_live()
            .table_name(self.table())
            .time_to_live_specification(ttl);
        answer.send().await.map_err(|error| self.place.failed(CALL, &error))?;
        Ok(())
    }
}

fn element(
    name: &str,
    kind: KeyType,
) -> Result<KeySchemaElement, aws_sdk_dynamodb::error::BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build()
}

/// Returns the table's problems, with what to do about each.
fn problems(table: &TableDescription) -> Vec<String> {
    let mut problems = Vec::new();
    let types = table.attribute_definitions();
    let is = |keys: &[KeySchemaElement], wanted: &[&str]| {
        keys.iter().map(KeySchemaElement::attribute_name).eq(wanted.iter().copied())
            && wanted.iter().all(|name| {
                types.iter().any(|t| {
                    t.attribute_name() == *name && t.attribute_type() == &ScalarAttributeType::S
                })
            })
    };
    if !is(table.key_schema(), &[KEY]) {
        problems.push(format!(
            "its primary key is not one partition key `{KEY}` (String): create another table with `ecs-drain init`"
        ));
    }
    for (name, hash, range) in INDEXES {
        let index =
            table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
        let how = format!(
            "partition key `{hash}` (String), sort key `{range}` (String), projection KEYS_ONLY"
        );
        match index {
            None => problems.push(format!(
                "it has no index `{name}`: add it ({how}), or create another table with `ecs-drain init`"
            )),
            // Every projection holds the keys, and no other attribute is read from an index.
            Some(index) if !is(index.key_schema(), &[hash, range]) => {
                problems.push(format!("its index `{name}` has other keys: delete it and add it again ({how})"));
            }
            Some(index) => match index.index_status() {
                None | Some(IndexStatus::Active | IndexStatus::Updating) => {}
                Some(status) => problems.push(format!("its index `{name}` is {status}: wait until it is ACTIVE")),
            },
        }
    }
    problems
}
