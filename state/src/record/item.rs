//! The attributes of a record as they are in the table: flat, so that they can be read, sorted and
//! searched in its console.

use super::{
    ContainerInstance, Event, Intent, LastError, Lifecycle, Note, Obligation, Order, Orders,
    Origin, Record, SCHEMA, Shown, Stage, Strategy, Then,
};
use crate::phase::{Outcome, Phase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A record's attributes. [`Record`], [`Stage`], [`Orders`] and [`Shown`] explain each.
#[derive(Serialize, Deserialize)]
pub(super) struct Item {
    account: String,
    region: String,
    instance_id: String,
    controller: String,
    generation: u64,
    version: u64,
    write_id: String,
    schema: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requested: Option<Order>,
    strategy: Strategy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    then: Option<Then>,
    phase: Phase,
    phase_since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    global_limit: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    termination_asked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retained_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    force: Option<Order>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    container_instances: Vec<ContainerInstance>,
    obligations: Vec<Obligation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    services: Option<BTreeMap<String, u32>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stopped_tasks: Vec<String>,
    #[serde(default)]
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
    history: Vec<Event>,
    why: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stuck_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bad_tags: Vec<String>,
    tasks_left: Vec<String>,
    tasks_left_count: u32,
    targets_left: Vec<String>,
    targets_left_count: u32,
}

impl From<Record> for Item {
    fn from(record: Record) -> Item {
        let phase = record.phase();
        let (intent, refused_since, outcome, expires_at) = match record.stage {
            Stage::Pending | Stage::Deregistering | Stage::Waiting | Stage::Verifying => {
                (None, None, None, None)
            }
            Stage::Completing { intent, refused_since } => {
                (Some(intent), refused_since, None, None)
            }
            Stage::Returning { intent } => (intent, None, None, None),
            Stage::Done { outcome, intent, expires_at } => {
                (intent, None, Some(outcome), Some(expires_at))
            }
        };
        let Orders { pause, cancel, force, requests } = record.orders;
        let Shown {
            why,
            message,
            causes,
            stuck_since,
            bad_tags,
            tasks_left,
            tasks_left_count,
            targets_left,
            targets_left_count,
        } = record.shown;
        Item {
            account: record.account,
            region: record.region,
            instance_id: record.instance_id,
            controller: record.controller,
            generation: record.generation,
            version: record.version,
            write_id: record.write_id,
            schema: SCHEMA,
            created_at: record.created_at,
            updated_at: record.updated_at,
            origin: record.origin,
            requested: record.requested,
            strategy: record.strategy,
            lifecycle: record.lifecycle,
            group: record.group,
            then: record.then,
            phase,
            phase_since: record.phase_since,
            intent,
            refused_since,
            outcome,
            expires_at,
            deadline: record.deadline,
            global_limit: record.global_limit,
            termination_asked_at: record.termination_asked_at,
            retained_at: record.retained_at,
            pause,
            cancel,
            force,
            requests,
            cluster: record.cluster,
            container_instances: record.container_instances,
            obligations: record.obligations,
            services: record.services,
            stopped_tasks: record.stopped_tasks,
            attempts: record.attempts,
            last_error: record.last_error,
            history: record.history,
            why,
            message,
            causes,
            stuck_since,
            bad_tags,
            tasks_left,
            tasks_left_count,
            targets_left,
            targets_left_count,
        }
    }
}

/// Returns the stage, after a check that the attributes fit each other.
fn stage(item: &Item) -> Result<Stage, &'static str> {
    let intent = item.intent.clone();
    if item.outcome.is_some() && item.phase != Phase::Done {
        return Err("attribute outcome: present, but phase is not Done");
    }
    if item.refused_since.is_some() && item.phase != Phase::Completing {
        return Err("attribute refused_since: present, but phase is not Completing");
    }
    Ok(match item.phase {
        Phase::Completing => {
            let intent = intent.ok_or("attribute intent: missing, but phase is Completing")?;
            Stage::Completing { intent, refused_since: item.refused_since }
        }
        Phase::Returning => Stage::Returning { intent },
        Phase::Done => Stage::Done {
            outcome: item.outcome.ok_or("attribute outcome: missing, but phase is Done")?,
            intent,
            expires_at: item
                .expires_at
                .ok_or("attribute expires_at: missing, but phase is Done")?,
        },
        Phase::Pending | Phase::Deregistering | Phase::Waiting | Phase::Verifying
            if intent.is_some() =>
        {
            return Err("attribute intent: present, but the phase has none");
        }
        Phase::Pending => Stage::Pending,
        Phase::Deregistering => Stage::Deregistering,
        Phase::Waiting => Stage::Waiting,
        Phase::Verifying => Stage::Verifying,
    })
}

impl TryFrom<Item> for Record {
    type Error = String;

    fn try_from(item: Item) -> Result<Record, String> {
        if item.schema != SCHEMA {
            return Err(format!("attribute schema: {} is unknown", item.schema));
        }
        let stage = stage(&item)?;
        Ok(Record {
            account: item.account,
            region: item.region,
            instance_id: item.instance_id,
            controller: item.controller,
            generation: item.generation,
            version: item.version,
            write_id: item.write_id,
            created_at: item.created_at,
            updated_at: item.updated_at,
            origin: item.origin,
            requested: item.requested,
            strategy: item.strategy,
            lifecycle: item.lifecycle,
            group: item.group,
            then: item.then,
            stage,
            phase_since: item.phase_since,
            deadline: item.deadline,
            global_limit: item.global_limit,
            termination_asked_at: item.termination_asked_at,
            retained_at: item.retained_at,
            cluster: item.cluster,
            container_instances: item.container_instances,
            obligations: item.obligations,
            services: item.services,
            stopped_tasks: item.stopped_tasks,
            attempts: item.attempts,
            last_error: item.last_error,
            history: item.history,
            orders: Orders {
                pause: item.pause,
                cancel: item.cancel,
                force: item.force,
                requests: item.requests,
            },
            shown: Shown {
                why: item.why,
                message: item.message,
                causes: item.causes,
                stuck_since: item.stuck_since,
                bad_tags: item.bad_tags,
                tasks_left: item.tasks_left,
                tasks_left_count: item.tasks_left_count,
                targets_left: item.targets_left,
                targets_left_count: item.targets_left_count,
            },
        })
    }
}
