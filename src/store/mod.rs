//! The DynamoDB table: drain records, rollouts, requests of operators, pauses, and the lease.
//!
//! | file | contents |
//! | --- | --- |
//! | `records` | create, save, read and find drain records |
//! | [`rollouts`] | rollouts, and requests about them |
//! | [`requests`] | requests of operators, and the answers |
//! | [`pauses`] | pauses of everything, of an account and region, or of a cluster |
//! | [`lease`] | decides which replica acts |
//! | [`status`] | failing reads of the leader |
//! | [`schema`] | the table's keys and indexes: create and check them |
//! | [`item`] | conversion of records to items and back, which does not trust items |
//! | `counting` | counts calls |
//! | `probe` | checks that each kind of call is allowed |
//! | `error` | errors, and what to do about them |
//!
//! # Rely and guarantee
//!
//! - Every write of a record is conditional on the version *and* the write id that its writer read,
//!   so a stale copy cannot be written. If the condition is refused and the stored write id is that
//!   of this write, the write succeeded: the SDK repeats a write whose answer was lost.
//! - A save sets the attributes that this program knows and keeps all others: people and newer
//!   programs may add their own.
//! - Reads of records are strongly consistent. Queries of the indexes are not, so they only show
//!   which records to read.
//! - No item can make a read of several fail. An item that cannot be parsed is
//!   [`Read::Unreadable`], which names the attribute.
//!
//! This module interprets a record in one way only: whether it is done, which decides on the sparse
//! index and the TTL. The same holds for rollouts.

mod counting;
mod error;
pub mod item;
pub mod lease;
pub mod pauses;
mod probe;
mod records;
pub mod requests;
pub mod rollouts;
pub mod schema;
pub(crate) mod status;

pub use error::StoreError;
pub use lease::{Lease, LeaseView};
pub use pauses::Pauses;
pub use records::{OpenWork, Saved, UnfinishedKey};
pub use requests::{Answer, Leader, ReadRequest};
pub use rollouts::ReadRollout;
pub use schema::TableOptions;
pub(crate) use status::Status;

use crate::metrics::Metrics;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_smithy_async::time::SharedTimeSource;
use ecs_drain_state::Record;
use ecs_drain_state::record::SCHEMA;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time limit for opening a connection to DynamoDB.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limit for one attempt at a record's call. DynamoDB answers in milliseconds; an answer after
/// seconds is lost.
const RECORD_ATTEMPT: Duration = Duration::from_secs(3);

/// Time limit for a record's call with all its attempts: a loop must not hang on the table.
const RECORD_OPERATION: Duration = Duration::from_secs(10);

/// Time limit for one attempt at the lease.
const LEASE_ATTEMPT: Duration = Duration::from_secs(1);

/// Time limit for a call on the lease with all its attempts, shorter than the interval between two
/// renewals.
const LEASE_OPERATION: Duration = Duration::from_millis(2_500);

/// Drain records and the lease of one controller. Clones share everything.
#[derive(Clone, Debug)]
pub struct Store {
    /// Client for records.
    records: Client,
    /// Client for the lease only: throttled or hanging reads of records must not delay a renewal.
    urgent: Client,
    /// Table and region, for errors.
    place: error::Place,
    /// Name of the controller that owns the unfinished records and the lease.
    controller: String,
    /// Source of ids for writes and renewals.
    ids: Ids,
    /// Schema of the records that it writes, and newest schema that it reads.
    schema: u32,
    /// Clock for the times that people read on the lease.
    time: SharedTimeSource,
}

/// Result of reading a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    Record(Box<Record>),
    /// A newer program wrote it, so this one does not act on it.
    Newer {
        /// Schema of the record.
        schema: u64,
    },
    /// It is no record as this program knows it: edited by hand, or written by something else.
    Unreadable {
        /// The attribute and its problem.
        why: String,
    },
}

impl Store {
    /// Creates a store in this table, for the controller of this name. Makes no call.
    pub fn connect(sdk: &SdkConfig, table: &str, controller: &str) -> Store {
        Store::counted(sdk, table, controller, &Metrics::default())
    }

    /// Creates a store whose calls are counted.
    pub(crate) fn counted(
        sdk: &SdkConfig,
        table: &str,
        controller: &str,
        metrics: &Metrics,
    ) -> Store {
        let client = |partition, attempts, attempt, operation| {
            client(sdk, metrics, partition, attempts, attempt, operation)
        };
        Store {
            records: client("ecs-drain records", 4, RECORD_ATTEMPT, RECORD_OPERATION),
            urgent: client("ecs-drain lease", 3, LEASE_ATTEMPT, LEASE_OPERATION),
            place: error::Place {
                table: table.to_owned(),
                region: sdk
                    .region()
                    .map_or_else(|| "no region".to_owned(), |region| region.to_string()),
            },
            controller: controller.to_owned(),
            ids: Ids::random(),
            schema: SCHEMA,
            time: sdk.time_source().unwrap_or_default(),
        }
    }

    /// Returns the store with this source of ids, so that a run can be repeated exactly.
    #[must_use]
    pub fn with_ids(mut self, ids: Ids) -> Store {
        self.ids = ids;
        self
    }

    /// Returns the store of a newer program, which writes records of this schema.
    #[must_use]
    pub fn with_schema(mut self, schema: u32) -> Store {
        self.schema = schema;
        self
    }

    /// Returns the table's name.
    pub fn table(&self) -> &str {
        &self.place.table
    }

    /// Returns the controller's name.
    pub fn controller(&self) -> &str {
        &self.controller
    }
}

/// Creates a client with its own connect, attempt and operation timeouts (the SDK's default does
/// not limit a call) and its own retry quota (the SDK's default is one for the whole process).
fn client(
    sdk: &SdkConfig,
    metrics: &Metrics,
    partition: &'static str,
    attempts: u32,
    attempt: Duration,
    operation: Duration,
) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build();
    // DynamoDB recovers in milliseconds. The SDK's first pause of up to a second would use up a
    // renewal's time.
    let retries = sdk
        .retry_config()
        .cloned()
        .unwrap_or_else(RetryConfig::standard)
        .with_max_attempts(attempts)
        .with_initial_backoff(Duration::from_millis(100));
    let config = aws_sdk_dynamodb::config::Builder::from(sdk)
        .timeout_config(timeouts)
        .retry_config(retries)
        .retry_partition(RetryPartition::custom(partition).build())
        .interceptor(counting::Counting(metrics.clone()))
        // This protection measures wall time, which does not pass in a simulation. The attempt's
        // timeout replaces it.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// Source of ids: 16 hexadecimal digits, different each time. Clones draw from the same source.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<fastrand::Rng>>);

impl Ids {
    /// Creates a source that is seeded from the thread's generator: repeatable after
    /// `fastrand::seed`, unpredictable otherwise.
    pub(crate) fn random() -> Ids {
        Ids(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    /// Creates a source with the same ids for the same seed. Two writers of one table must never
    /// share a seed, nor two lives of one writer: each would take the other's writes for its own.
    pub fn seeded(seed: u64) -> Ids {
        Ids(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// Returns the next id.
    pub(crate) fn next(&self) -> String {
        // A generator that a panicking thread left is still usable.
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}", rng.u64(..))
    }
}
