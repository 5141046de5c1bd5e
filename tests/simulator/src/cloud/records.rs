//! The bridge to the checkers of records: the table before and after a write, and at the moment of
//! a call.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Cloud;
use crate::checker::{RecordKey, Sent, instances_named};
use crate::wire::json::text;
use crate::wire::{Body, Call, Service};

/// A record that is about to be written, with its present item.
pub(super) struct Written {
    key: RecordKey,
    before: Option<Value>,
}

impl Cloud {
    /// Returns the records that a call of the program under test is about to write.
    pub(super) fn about_to_write(&self, call: &Call, body: &str) -> Vec<Written> {
        if !call.controller {
            return Vec::new();
        }
        let keys = self.checkers.records_named(&call.operation, body).into_iter();
        keys.map(|key| Written { before: self.record(&key), key }).collect()
    }

    /// Gives the written records to the checkers.
    pub(super) fn has_written(&mut self, written: Vec<Written>) {
        for Written { key, before } in written {
            let after = self.record(&key);
            self.checkers.written(self.now, &key, before.as_ref(), after.as_ref(), &self.world);
        }
    }

    /// Gives the restored table to the checkers: from now on they know records from its items
    /// alone.
    pub(super) fn restored(&mut self) {
        let Some(table) = self.checkers.judged_table() else { return };
        let items = self.dynamodb.items(table);
        self.checkers.restored(self.now, &items);
    }

    /// Gives a call of the program under test to the checkers, even if it does not arrive.
    pub(super) fn sent(&mut self, call: &Call) {
        if !call.controller || !self.checkers.judges_sent(&call.operation) {
            return;
        }
        let (instances, what) = match (&call.body, call.service) {
            (Body::Form(form), Service::AutoScaling) => {
                let by_token =
                    || self.world.autoscaling.held_by_token(form.get("LifecycleActionToken")?);
                let instance = form.get("InstanceId").or_else(by_token).map(str::to_owned);
                (instance.into_iter().collect(), form.get("LifecycleActionResult"))
            }
            (Body::Json(body), Service::Ecs) => {
                (instances_named(body, &self.world), text(body, "containerInstance"))
            }
            _ => (BTreeSet::new(), None),
        };
        for instance in instances {
            let Some(key) = self.checkers.record_of(&call.account, &call.region, &instance) else {
                return;
            };
            let sent = Sent { operation: &call.operation, instance: &instance, what };
            let record = self.record(&key);
            self.checkers.sends(self.now, &sent, &key, record.as_ref());
        }
    }

    fn record(&self, key: &RecordKey) -> Option<Value> {
        self.dynamodb.item(key.table, key.attribute, &key.value)
    }
}
