//! The table: drain records, what operators ask of them, and the lease, in DynamoDB.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `records` | create, save, read and find drain records |
//! | [`requests`] | what operators ask, and the answers |
//! | [`pauses`] | what is paused as a whole: everything, an account and region, or a cluster |
//! | [`lease`] | which replica acts |
//! | [`status`] | what that one cannot read |
//! | [`schema`] | the table's keys and indexes: create it, check it |
//! | [`item`] | a record as the table's item, and back, distrusting what is read |
//! | `counting` | counts calls |
//! | `probe` | is each kind of call allowed |
//! | `error` | what can go wrong, and what to do about it |
//!
//! # Rely and guarantee
//!
//! - Every write of a record is conditional on the version *and* the write id that its writer read,
//!   so a stale copy cannot be written. A refused condition whose stored write id is the one that
//!   was just tried is a success: the SDK repeats a write whose response was lost.
//! - A save sets the attributes that this program knows and leaves all others alone: people and
//!   newer programs may add their own.
//! - Reads of records are strongly consistent. The indexes are not, so they only ever say where to
//!   look.
//! - Nothing that stands in the table can make a read fail as a whole: what cannot be understood is
//!   [`Read::Unreadable`], and names the attribute.
//!
//! This module interprets a record in one way only: whether it is done, which decides on the sparse
//! index and the TTL.

mod counting;
mod error;
pub mod item;
pub mod lease;
pub mod pauses;
mod probe;
mod records;
pub mod requests;
pub mod schema;
pub mod status;

pub use error::StoreError;
pub use lease::{Lease, LeaseView};
pub use pauses::Pauses;
pub use records::{OpenWork, Saved, UnfinishedKey};
pub use requests::{Answer, Leader, ReadRequest};
pub use schema::TableOptions;
pub use status::Status;

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

/// How long a connection to DynamoDB may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one attempt at a record's call may take. DynamoDB answers in milliseconds; what takes
/// seconds is lost.
const RECORD_ATTEMPT: Duration = Duration::from_secs(3);

/// How long a record's call may take with all its attempts: a pass must not hang on the table.
const RECORD_OPERATION: Duration = Duration::from_secs(10);

/// How long one attempt at the lease may take.
const LEASE_ATTEMPT: Duration = Duration::from_secs(1);

/// How long a call on the lease may take with all its attempts: less than the pause between two
/// renewals.
const LEASE_OPERATION: Duration = Duration::from_millis(2_500);

/// Drain records and the lease of one controller. Clones share everything.
#[derive(Clone, Debug)]
pub struct Store {
    /// For records.
    records: Client,
    /// For the lease alone: throttled or hanging reads of records must not delay a renewal.
    urgent: Client,
    /// Where this is, for errors.
    place: error::Place,
    /// The controller's name: whose unfinished records and whose lease.
    controller: String,
    /// Names writes and renewals.
    ids: Ids,
    /// The schema of the records that it writes, and the newest that it reads.
    schema: u32,
    /// For the times that people read on the lease.
    time: SharedTimeSource,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// It was understood.
    Record(Box<Record>),
    /// A newer program wrote it, so this one leaves it alone.
    Newer {
        /// The schema that the record says it has.
        schema: u64,
    },
    /// It is not a record as this program knows it: edited by hand, or not ours.
    Unreadable {
        /// Which attribute, and what is wrong with it.
        why: String,
    },
}

impl Store {
    /// A store in this table, for the controller of this name. Makes no call.
    pub fn connect(sdk: &SdkConfig, table: &str, controller: &str) -> Store {
        Store::counted(sdk, table, controller, &Metrics::default())
    }

    /// The same, with its calls counted.
    pub fn counted(sdk: &SdkConfig, table: &str, controller: &str, metrics: &Metrics) -> Store {
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

    /// The same store with this source of ids, so that a run can be repeated exactly.
    #[must_use]
    pub fn with_ids(mut self, ids: Ids) -> Store {
        self.ids = ids;
        self
    }

    /// The same store as one of a newer program, which writes records of this schema.
    #[must_use]
    pub fn with_schema(mut self, schema: u32) -> Store {
        self.schema = schema;
        self
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.place.table
    }

    /// The controller's name.
    pub fn controller(&self) -> &str {
        &self.controller
    }
}

/// A client of its own, with its own connect, attempt and operation timeouts (the SDK's default has
/// no limit on a call) and its own retry quota (the SDK's default is one for the whole process).
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
    // DynamoDB recovers in milliseconds; the SDK's first pause of up to a second would eat a
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
        // Measures wall time, which stands still in a simulation; the attempt's timeout takes its
        // place.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// A source of ids: 16 hexadecimal digits, different each time. Clones draw from the same source.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<fastrand::Rng>>);

impl Ids {
    /// Seeded from the thread's generator: repeatable after `fastrand::seed`, unpredictable
    /// otherwise.
    pub fn random() -> Ids {
        Ids(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    /// The same ids for the same seed. Two writers of one table must never share one, nor two lives
    /// of one writer: they would take each other's writes for their own.
    pub fn seeded(seed: u64) -> Ids {
        Ids(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// The next id.
    pub fn next(&self) -> String {
        // A generator that another thread left in mid-draw is still a generator.
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}", rng.u64(..))
    }
}
