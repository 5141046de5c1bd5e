//! What the checkers of records are shown: the table before and after a write, and at the moment of a call.

use serde_json::Value;

use super::Cloud;
use crate::checker::{RecordKey, Sent};
use crate::wire::json::text;
use crate::wire::{Body, Call, Service};

/// A record that is about to be written, and how it is.
pub(super) struct Written {
    key: RecordKey,
    before: Option<Value>,
}

impl Cloud {
    /// The records that a call of the program under test is about to write.
    pub(super) fn about_to_write(&self, call: &Call, body: &str) -> Vec<Written> {
        if !call.controller {
            return Vec::new();
        }
        let keys = self.checkers.records_named(&call.operation, body).into_iter();
        keys.map(|key| Written { before: self.record(&key), key }).collect()
    }

    /// They were written.
    pub(super) fn has_written(&mut self, written: Vec<Written>) {
        for Written { key, before } in written {
            let after = self.record(&key);
            self.checkers.written(self.now, &key, before.as_ref(), after.as_ref());
        }
    }

    /// The program under test sends a call, whether or not it arrives.
    pub(super) fn sent(&mut self, call: &Call) {
        if !call.controller || !self.checkers.wants_noted(&call.operation) {
            return;
        }
        let (instance, what) = match (&call.body, call.service) {
            (Body::Form(form), Service::AutoScaling) => {
                let by_token = || self.world.autoscaling.held_by_token(form.get("LifecycleActionToken")?);
                (form.get("InstanceId").or_else(by_token), form.get("LifecycleActionResult"))
            }
            (Body::Json(body), Service::Ecs) => {
                let named = text(body, "containerInstance");
                let cluster = text(body, "cluster").unwrap_or("default");
                let cluster = cluster.rsplit('/').next().unwrap_or(cluster);
                (named.and_then(|named| self.world.ecs.ec2_of_instance(cluster, named)), named)
            }
            _ => (None, None),
        };
        let Some(instance) = instance else { return };
        let Some(key) = self.checkers.record_of(&call.account, &call.region, instance) else { return };
        let sent = Sent { operation: &call.operation, instance, what };
        let record = self.record(&key);
        self.checkers.sends(self.now, &sent, record.as_ref());
    }

    fn record(&self, key: &RecordKey) -> Option<Value> {
        self.dynamodb.item(key.table, key.attribute, &key.value)
    }
}
