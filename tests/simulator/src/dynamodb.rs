//! DynamoDB: the embedded database dynoxide, and three properties of the real service: indexes that
//! lag, outages, and backups.

mod part;

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::SimTime;

/// A refused call: the HTTP status and the JSON body with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error's code.
    pub code: String,
    /// The body.
    pub body: String,
}

/// The behaviour of an unavailable table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// HTTP 500 `InternalServerError`, at once.
    Error,
    /// No answer.
    Hang,
}

/// The database of one account and region.
pub struct DynamoDb {
    database: Database,
    index: Option<LaggingIndex>,
    outage: Option<(SimTime, Outage)>,
    /// Every successful write, if backups are made.
    journal: Option<Vec<Write>>,
}

/// A successful write: its moment, its operation, and its body.
type Write = (SimTime, String, String);

/// A second database that receives the same writes later, and answers the queries of indexes.
struct LaggingIndex {
    database: Database,
    lag: Duration,
    waiting: VecDeque<Write>,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("outage", &self.outage).finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Creates an empty database in memory.
    pub fn memory() -> Result<Self, DynoxideError> {
        Ok(Self { database: Database::memory()?, index: None, outage: None, journal: None })
    }

    /// Creates a database in a file, which survives the process.
    pub fn file(path: &Path) -> Result<Self, DynoxideError> {
        Ok(Self {
            database: Database::new(&path.to_string_lossy())?,
            index: None,
            outage: None,
            journal: None,
        })
    }

    /// Makes queries of indexes read the table of this long ago (source: DynamoDB developer guide,
    /// global secondary indexes: eventually consistent, usually below a second, longer under
    /// failure). Must be called before the first table is created; only later writes are carried
    /// over.
    pub fn set_index_lag(&mut self, lag: Duration) -> Result<(), DynoxideError> {
        match &mut self.index {
            Some(index) => index.lag = lag,
            None => {
                self.index = Some(LaggingIndex {
                    database: Database::memory()?,
                    lag,
                    waiting: VecDeque::new(),
                });
            }
        }
        Ok(())
    }

    /// Starts backups. Must be called before the first table is created.
    pub fn back_up(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// Restores every table to that moment, under its own name, with its indexes (source: DynamoDB
    /// developer guide, point-in-time recovery). Does nothing where no backups are made.
    pub fn restore(&mut self, then: SimTime) -> Result<(), DynoxideError> {
        let Some(mut journal) = self.journal.take() else { return Ok(()) };
        journal.retain(|(at, ..)| *at <= then);
        // The same writes in the same order have the same result.
        let replayed = || {
            let database = Database::memory()?;
            for (_, operation, body) in &journal {
                let _ = dispatch(&database, operation, body);
            }
            Ok::<_, DynoxideError>(database)
        };
        self.database = replayed()?;
        if let Some(index) = &mut self.index {
            index.database = replayed()?;
            index.waiting.clear();
        }
        self.journal = Some(journal);
        Ok(())
    }

    /// Returns every item of a table at this moment, in DynamoDB's JSON.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let request = json!({ "TableName": table, "ConsistentRead": true }).to_string();
        let answer = dispatch(&self.database, "Scan", &request).ok();
        let answer: Option<Value> = answer.and_then(|answer| serde_json::from_str(&answer).ok());
        let items = answer.and_then(|mut answer| answer.get_mut("Items").map(Value::take));
        items.and_then(|items| items.as_array().cloned()).unwrap_or_default()
    }

    /// Makes the service unavailable until that moment.
    pub fn set_outage(&mut self, until: SimTime, outage: Outage) {
        self.outage = Some((until, outage));
    }

    /// Returns the outage that a call meets now.
    pub fn outage(&self, now: SimTime) -> Option<Outage> {
        self.outage.and_then(|(until, outage)| (now < until).then_some(outage))
    }

    /// Returns an item at this moment, in DynamoDB's JSON. `None`: there is no such item, or no
    /// such table.
    pub fn item(&self, table: &str, key: &str, value: &str) -> Option<Value> {
        let request =
            json!({ "TableName": table, "Key": { key: { "S": value } }, "ConsistentRead": true });
        let answer = dispatch(&self.database, "GetItem", &request.to_string()).ok()?;
        let mut answer: Value = serde_json::from_str(&answer).ok()?;
        answer.get_mut("Item").map(Value::take)
    }

    /// Answers one call; `body` is its JSON, and so is the answer.
    pub fn handle(&mut self, now: SimTime, operation: &str, body: &str) -> Result<String, Refusal> {
        let again = if operation == "Query" || operation == "Scan" {
            part::from_the_beginning(body)
        } else {
            None
        };
        let body = again.as_deref().unwrap_or(body);
        let of_index = matches!(operation, "Query" | "Scan") && body.contains("\"IndexName\"");
        let Some(index) = &mut self.index else {
            let answer = dispatch(&self.database, operation, body);
            self.enter(now, operation, body, answer.is_ok());
            return answer;
        };
        while index.waiting.front().is_some_and(|(at, ..)| at.saturating_add(index.lag) <= now) {
            if let Some((_, operation, body)) = index.waiting.pop_front() {
                // The same write on the same state has the same result, so only successful ones are
                // carried over.
                let _ = dispatch(&index.database, &operation, &body);
            }
        }
        if of_index {
            return dispatch(&index.database, operation, body);
        }
        let answer = dispatch(&self.database, operation, body);
        if answer.is_ok() {
            if operation.ends_with("Table") && !operation.starts_with("Describe") {
                let _ = dispatch(&index.database, operation, body);
            } else if is_write(operation) {
                index.waiting.push_back((now, operation.to_owned(), body.to_owned()));
            }
        }
        self.enter(now, operation, body, answer.is_ok());
        answer
    }

    /// Writes a call into the journal, if it changed something.
    fn enter(&mut self, now: SimTime, operation: &str, body: &str, done: bool) {
        let changes =
            is_write(operation) || operation == "CreateTable" || operation.starts_with("Update");
        if let Some(journal) = self.journal.as_mut().filter(|_| done && changes) {
            journal.push((now, operation.to_owned(), body.to_owned()));
        }
    }
}

/// Returns true if an operation writes items.
fn is_write(operation: &str) -> bool {
    ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"]
        .contains(&operation)
}

/// One arm of [`dispatch`]: the request's and the answer's types follow from the method.
macro_rules! call {
    ($database:expr, $method:ident, $body:expr) => {
        write(&$database.$method(parse($body)?).map_err(|error| refusal(&error))?)
    };
}

fn dispatch(database: &Database, operation: &str, body: &str) -> Result<String, Refusal> {
    match operation {
        "CreateTable" => call!(database, create_table, body),
        "DeleteTable" => call!(database, delete_table, body),
        "DescribeTable" => call!(database, describe_table, body),
        "UpdateTable" => call!(database, update_table, body),
        "ListTables" => call!(database, list_tables, body),
        "TagResource" => call!(database, tag_resource, body).map(|_| String::new()),
        "UntagResource" => call!(database, untag_resource, body).map(|_| String::new()),
        "ListTagsOfResource" => call!(database, list_tags_of_resource, body),
        "PutItem" => call!(database, put_item, body),
        "GetItem" => call!(database, get_item, body),
        "UpdateItem" => call!(database, update_item, body),
        "DeleteItem" => call!(database, delete_item, body),
        "BatchGetItem" => call!(database, batch_get_item, body),
        "BatchWriteItem" => call!(database, batch_write_item, body),
        "Query" => call!(database, query, body),
        "Scan" => call!(database, scan, body),
        "TransactGetItems" => call!(database, transact_get_items, body),
        "TransactWriteItems" => call!(database, transact_write_items, body),
        "UpdateTimeToLive" => update_time_to_live(database, body),
        "DescribeTimeToLive" => call!(database, describe_time_to_live, body),
        _ => Err(Refusal {
            status: 400,
            code: "UnknownOperationException".to_owned(),
            body: r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#.to_owned(),
        }),
    }
}

/// Updates a time to live. DynamoDB refuses a setting that is already in force, while the database
/// takes it (source: the messages that cloudposse/terraform-aws-dynamodb#94 and go-to-k/cdkd#932
/// quote).
fn update_time_to_live(database: &Database, body: &str) -> Result<String, Refusal> {
    let asked: Value = parse(body)?;
    let on =
        |ttl: &Value| ttl["TimeToLiveStatus"] == "ENABLED" || ttl["TimeToLiveStatus"] == "ENABLING";
    let table = json!({ "TableName": asked["TableName"] }).to_string();
    let described: Value = parse(&call!(database, describe_time_to_live, &table)?)?;
    let (now, asked) = (&described["TimeToLiveDescription"], &asked["TimeToLiveSpecification"]);
    let message = match (on(now), asked["Enabled"].as_bool()) {
        (false, Some(false)) => "TimeToLive is already disabled",
        (true, Some(true)) if now["AttributeName"] == asked["AttributeName"] => {
            "TimeToLive is already enabled"
        }
        (true, Some(true)) => "TimeToLive is active on a different AttributeName",
        (true, Some(false)) | (false, Some(true)) | (_, None) => {
            return call!(database, update_time_to_live, body);
        }
    };
    Err(refusal(&DynoxideError::ValidationException(message.to_owned())))
}

/// Reads a request. The database marks DynamoDB's own validation errors in the parser's message.
fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    serde_json::from_str(body).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        let marked = ["VALIDATION:", "VALIDATION_REQUEST:"]
            .iter()
            .find_map(|mark| message.strip_prefix(mark));
        let error = match marked {
            Some(text) => DynoxideError::ValidationException(text.to_owned()),
            None if message.starts_with("missing field") => {
                DynoxideError::ValidationException(message.to_owned())
            }
            None => DynoxideError::SerializationException(message.to_owned()),
        };
        refusal(&error)
    })
}

fn write<T: Serialize>(answer: &T) -> Result<String, Refusal> {
    serde_json::to_string(answer)
        .map_err(|error| refusal(&DynoxideError::InternalServerError(error.to_string())))
}

fn refusal(error: &DynoxideError) -> Refusal {
    let code = error.error_type().rsplit('#').next().unwrap_or_default();
    Refusal { status: error.status_code(), code: code.to_owned(), body: error.to_json() }
}
