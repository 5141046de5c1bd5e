//! Rules for the items that the program under test writes into its own table. They judge every
//! write that DynamoDB applies, by the item before and after it, and every call that the program
//! must note in its record first.
//!
//! The simulator knows nothing of that program: a [`RecordRules`] describes its records and the
//! legal moves.

use std::collections::BTreeSet;

use serde_json::Value;

use super::drains::Budget;
use super::{Checkers, last};
use crate::SimTime;
use crate::cloud::World;
use crate::wire::json::text;

/// The layout of the program's table. A record is about one instance, and its key is the account,
/// the region and the instance's id, joined by `/`.
#[derive(Clone, Debug)]
pub struct RecordRules {
    /// The table's name.
    pub table: &'static str,
    /// Its partition key, a text.
    pub key: &'static str,
    /// The key prefixes of items that are no records.
    pub others: &'static [&'static str],
    /// The attribute with the phase.
    pub phase: &'static str,
    /// The attribute that counts writes, one at a time, from 1.
    pub version: &'static str,
    /// The attribute that counts the drains of an instance, one at a time; a generation begins
    /// after the one before has ended.
    pub generation: &'static str,
    /// The attribute with the saved intent towards Auto Scaling, and its field with the result.
    pub intent: (&'static str, &'static str),
    /// The phase in which a generation begins.
    pub first: &'static str,
    /// The phase in which a generation has ended.
    pub last: &'static str,
    /// The phase in which a lifecycle action may be completed.
    pub completing: &'static str,
    /// The phase of an instance whose lifecycle action has ended: it takes no place in a budget.
    pub returning: &'static str,
    /// The legal moves between phases within a generation. Every phase may follow itself.
    pub moves: BTreeSet<(&'static str, &'static str)>,
    /// The phases that one write may skip: facts that are seen together are written once.
    pub through: &'static [&'static str],
    /// Operations of Auto Scaling that name an instance, each with the attribute that its record
    /// must have first.
    pub noted_before: &'static [(&'static str, &'static str)],
    /// The attribute that a record has while its drain is paused by an operator.
    pub paused: &'static str,
    /// The budget, if it is judged.
    pub budget: Option<Budget>,
    /// The list of an instance's registrations with ECS, the field of each with its ARN, and the
    /// field that it must have before it is deregistered.
    pub deregistered: (&'static str, &'static str, &'static str),
}

/// A write of a record that was applied.
#[derive(Clone, Debug)]
pub struct Written {
    /// The moment.
    pub at: SimTime,
    /// The record's key.
    pub key: String,
    /// The record after it, as DynamoDB has it.
    pub item: Value,
}

/// The judged parts of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) phase: &'a str,
    version: Option<u64>,
    pub(super) generation: Option<u64>,
    result: Option<&'a str>,
}

impl RecordRules {
    /// Returns the key of an instance's record.
    fn key_of(account: &str, region: &str, instance: &str) -> String {
        format!("{account}/{region}/{instance}")
    }

    pub(super) fn read<'a>(&self, item: &'a Value) -> Stored<'a> {
        let number = |name: &str| item.get(name)?.get("N")?.as_str()?.parse().ok();
        let (intent, result) = self.intent;
        let result =
            item.get(intent).and_then(|intent| intent.get("M")?.get(result)?.get("S")?.as_str());
        let phase =
            item.get(self.phase).and_then(|phase| phase.get("S")?.as_str()).unwrap_or("no phase");
        Stored { phase, version: number(self.version), generation: number(self.generation), result }
    }

    /// Returns the keys of the records that a write of DynamoDB names.
    fn named(&self, operation: &str, body: &str) -> Vec<String> {
        let wanted =
            ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"];
        if !wanted.contains(&operation) {
            return Vec::new();
        }
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let entries = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let writes: Vec<Value> = match operation {
            "TransactWriteItems" => {
                let items = entries(&body["TransactItems"]).into_iter();
                let one = |item: Value| {
                    ["Put", "Update", "Delete"].iter().find_map(|kind| item.get(*kind).cloned())
                };
                items.filter_map(one).filter(|write| self.is_of_table(write)).collect()
            }
            "BatchWriteItem" => {
                let items = entries(&body["RequestItems"][self.table]).into_iter();
                items
                    .flat_map(|item| [item["PutRequest"].clone(), item["DeleteRequest"].clone()])
                    .collect()
            }
            _ if self.is_of_table(&body) => vec![body],
            _ => Vec::new(),
        };
        let key = |write: &Value| {
            let key = ["Key", "Item"]
                .iter()
                .find_map(|place| write.get(*place)?.get(self.key)?.get("S")?.as_str())?;
            (!self.others.iter().any(|other| key.starts_with(other))).then(|| key.to_owned())
        };
        writes.iter().filter_map(key).collect()
    }

    /// Returns the key of an item, if it is a record.
    pub(super) fn record_key<'i>(&self, item: &'i Value) -> Option<&'i str> {
        let key = item.get(self.key)?.get("S")?.as_str()?;
        (!self.others.iter().any(|other| key.starts_with(other))).then_some(key)
    }

    /// Returns true if a write names the table, by its name or its ARN.
    fn is_of_table(&self, write: &Value) -> bool {
        text(write, "TableName").map(last) == Some(self.table)
    }

    /// Returns the violations of an applied write: checker and text.
    fn wrong(&self, before: Option<&Value>, after: Option<&Value>) -> Vec<(&'static str, String)> {
        let (before, after) = match (before, after) {
            (None, None) => return Vec::new(),
            (Some(before), Some(after)) if before == after => return Vec::new(),
            (Some(_), None) => return vec![("record deleted", "by the program itself".to_owned())],
            (before, Some(after)) => (before.map(|item| self.read(item)), self.read(after)),
        };
        let mut wrong = Vec::new();
        let (was, versions) = match &before {
            None => ("nothing", (Some(0), after.version)),
            Some(before) => (before.phase, (before.version, after.version)),
        };
        if !grows(versions.0, versions.1) {
            wrong.push((
                "version going back",
                format!("version {} → {}", shown(versions.0), shown(versions.1)),
            ));
        }
        let same = before.as_ref().is_some_and(|before| before.generation == after.generation);
        if let Some(before) = before.as_ref().filter(|_| !same) {
            let (one, other) = (before.generation, after.generation);
            if !grows(one, other) || before.phase != self.last {
                let text =
                    format!("generation {} → {} of one that is {was}", shown(one), shown(other));
                wrong.push(("version going back", text));
            }
        }
        let legal = match same {
            true => was == after.phase || self.may_become(was, after.phase),
            false => after.phase == self.first,
        };
        if !legal {
            wrong.push(("illegal phase move", format!("{was} → {}", after.phase)));
        }
        wrong
    }

    /// Returns true if a record can move from one phase to the other in one write.
    fn may_become(&self, from: &str, to: &str) -> bool {
        let (mut met, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(phase) = next.pop() {
            let follows = |other: &str| {
                self.moves.iter().any(|(one, after)| *one == phase && *after == other)
            };
            if follows(to) {
                return true;
            }
            next.extend(
                self.through.iter().filter(|through| follows(through) && met.insert(**through)),
            );
        }
        false
    }

    /// Returns the violation of a call for this instance, given its record at the moment of the
    /// call.
    fn unnoted(&self, sent: &Sent<'_>, record: Option<&Value>) -> Option<(&'static str, String)> {
        let Sent { operation, what: result, .. } = *sent;
        let stored = record.map(|item| self.read(item));
        let phase = stored.as_ref().map_or("no record", |stored| stored.phase);
        if operation == "CompleteLifecycleAction" {
            let sent = result.unwrap_or("no result");
            let saved = stored.as_ref().and_then(|stored| stored.result);
            // Another replica that has not read the first one's write may send the same call once
            // more.
            let is_saved = [self.completing, self.last].contains(&phase);
            return match saved {
                Some(saved) if is_saved && saved == sent => None,
                Some(saved) if is_saved => {
                    Some(("wrong result sent", format!("{sent}, and the record says {saved}")))
                }
                _ => Some(("unsaved completion", format!("{sent} while the record says {phase}"))),
            };
        }
        if operation == "DeregisterContainerInstance" {
            let named = result.unwrap_or("no container instance");
            let noted = record.is_some_and(|item| self.notes_deregistration(item, named));
            return (!noted).then(|| {
                ("unsaved act", format!("{operation} of {named} that no record notes ({phase})"))
            });
        }
        let (_, attribute) = self.noted_before.iter().find(|(noted, _)| *noted == operation)?;
        let noted = record.is_some_and(|item| item.get(*attribute).is_some());
        (!noted).then(|| {
            ("unsaved act", format!("{operation} without {attribute} in a record ({phase})"))
        })
    }
}

impl RecordRules {
    /// Returns true if a record notes that this container instance is to be deregistered.
    fn notes_deregistration(&self, item: &Value, container_instance: &str) -> bool {
        let (list, arn, noted) = self.deregistered;
        let registrations =
            item.get(list).and_then(|list| list.get("L")?.as_array()).into_iter().flatten();
        registrations.filter_map(|one| one.get("M")).any(|one| {
            let id = one.get(arn).and_then(|arn| arn.get("S")?.as_str()).map(last);
            id == Some(last(container_instance)) && one.get(noted).is_some()
        })
    }
}

fn grows(before: Option<u64>, after: Option<u64>) -> bool {
    before.zip(after).is_some_and(|(before, after)| after == before + 1)
}

fn shown(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

impl Checkers {
    /// Starts to judge the writes into the table.
    pub fn records(&mut self, rules: RecordRules) {
        self.record_rules = Some(rules);
    }

    /// Starts to keep every write of a record.
    pub fn keep_writes(&mut self) {
        self.writes.get_or_insert_default();
    }

    /// Returns the writes of records that were kept, in order.
    pub fn writes(&self) -> &[Written] {
        self.writes.as_deref().unwrap_or_default()
    }

    /// Returns the keys of the records that a call is about to write, and the table and key
    /// attribute to read them with.
    pub(crate) fn records_named(&self, operation: &str, body: &str) -> Vec<RecordKey> {
        let rules = self.record_rules.iter();
        let keys = rules
            .flat_map(|rules| rules.named(operation, body).into_iter().map(|key| rules.place(key)));
        keys.collect()
    }

    /// Returns the table whose records are judged.
    pub(crate) fn judged_table(&self) -> Option<&'static str> {
        self.record_rules.as_ref().map(|rules| rules.table)
    }

    /// Returns the place of an instance's record, if records are judged.
    pub(crate) fn record_of(
        &self,
        account: &str,
        region: &str,
        instance: &str,
    ) -> Option<RecordKey> {
        let key = RecordRules::key_of(account, region, instance);
        self.record_rules.as_ref().map(|rules| rules.place(key))
    }

    /// Judges an applied write.
    pub(crate) fn written(
        &mut self,
        now: SimTime,
        key: &RecordKey,
        before: Option<&Value>,
        after: Option<&Value>,
        world: &World,
    ) {
        let Some(rules) = &self.record_rules else { return };
        for (checker, text) in rules.wrong(before, after) {
            self.violated(now, checker, last(&key.value), text);
        }
        if let Some(after) = after {
            self.among_drains(now, key, before, after, world);
        }
        if let (Some(writes), Some(after)) = (&mut self.writes, after) {
            writes.push(Written { at: now, key: key.value.clone(), item: after.clone() });
        }
    }

    /// Returns true if a call is judged by the record of its instance, as it is when the call is
    /// sent.
    pub(crate) fn judges_sent(&self, operation: &str) -> bool {
        let noted =
            |rules: &RecordRules| rules.noted_before.iter().any(|(noted, _)| *noted == operation);
        let always = [
            "CompleteLifecycleAction",
            "DeregisterContainerInstance",
            "StopTask",
            "UpdateContainerInstancesState",
        ];
        always.contains(&operation) || self.record_rules.as_ref().is_some_and(noted)
    }

    /// Judges a call by the record of its instance.
    pub(crate) fn sends(
        &mut self,
        now: SimTime,
        sent: &Sent<'_>,
        key: &RecordKey,
        record: Option<&Value>,
    ) {
        let Some(rules) = &self.record_rules else { return };
        if let Some((checker, text)) = rules.unnoted(sent, record) {
            self.violated(now, checker, sent.instance, text);
        }
        self.acts_on(now, sent.operation, sent.instance, &key.value);
    }
}

impl RecordRules {
    fn place(&self, value: String) -> RecordKey {
        RecordKey { table: self.table, attribute: self.key, value }
    }
}

/// The place of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordKey {
    pub(crate) table: &'static str,
    pub(crate) attribute: &'static str,
    pub(crate) value: String,
}

/// A call about one instance.
#[derive(Clone, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) operation: &'a str,
    pub(crate) instance: &'a str,
    /// The result of a lifecycle action, or the container instance.
    pub(crate) what: Option<&'a str>,
}

#[cfg(test)]
mod tests;
