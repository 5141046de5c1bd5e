//! Tags of Auto Scaling groups that change the policy of the group's drains: `ecs-drain:deadline`
//! is the key `deadline`, and so on.
//!
//! A tag's value is read as the value of its key in the file is, with the same limits. Only keys
//! that `[tags]` lists count. A tag that does not count changes nothing and is reported.

use crate::config::error::{Problems, nearest};
use crate::config::keys;
use crate::config::policies::{Rules, read};
use crate::config::reader::{Fields, Node};
use crate::quote::shown;
use ecs_drain_state::Policy;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Prefix of the keys of tags that are settings.
pub(crate) const PREFIX: &str = "ecs-drain:";

/// Length to which the key of a tag is cut in a message.
const KEY: usize = 60;

/// Length to which a message is cut. It begins with the tag, and its cause follows.
const MESSAGE: usize = 400;

/// The section that the value of each key belongs to.
const POLICY: &str = "policy";

/// Settings in the tags of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupTags {
    /// Rules of each tag that counts. No two set the same key.
    rules: Vec<Rules>,
    /// Tags that do not count, in the order of their keys.
    pub bad: Vec<BadTag>,
}

/// A tag that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadTag {
    /// Key of the tag and its mistake, on one line that controls no terminal.
    pub text: String,
    /// True if the tag itself is right, and the configuration does not let tags set its key.
    pub unlisted: bool,
}

impl fmt::Display for BadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl GroupTags {
    /// Reads a group's tags. `listed` are the keys that tags may set. Tags in `selection` choose
    /// groups, and are no settings.
    pub(crate) fn read(
        tags: &BTreeMap<String, String>,
        listed: &BTreeSet<&'static str>,
        selection: &BTreeMap<String, Option<String>>,
    ) -> GroupTags {
        let mut read = GroupTags::default();
        for (tag, value) in tags.iter().filter(|(tag, _)| !selection.contains_key(*tag)) {
            let Some(name) = tag.strip_prefix(PREFIX) else { continue };
            match setting(name, value, listed) {
                Ok(rules) => read.rules.push(rules),
                Err(bad) => read.bad.push(bad),
            }
        }
        read
    }

    /// Returns whether the group has no tag of ecs-drain.
    pub(crate) fn is_empty(&self) -> bool {
        *self == GroupTags::default()
    }

    /// Returns the number of tags that count.
    pub(crate) fn count(&self) -> usize {
        self.rules.len()
    }

    /// Changes a policy as the tags say.
    pub(crate) fn apply(&self, policy: &mut Policy) {
        self.rules.iter().for_each(|rules| rules.apply(policy));
    }
}

/// Returns the tag of a policy's key.
pub(crate) fn tag_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('_', "-"))
}

/// Reads one tag. `name` is its key without the prefix.
fn setting(name: &str, value: &str, listed: &BTreeSet<&'static str>) -> Result<Rules, BadTag> {
    let bad = |text: &str, unlisted| BadTag { text: shown(text, MESSAGE), unlisted };
    let Some(key) = keys::names(POLICY).find(|key| tag_of(key).strip_prefix(PREFIX) == Some(name))
    else {
        let like = match nearest(name, keys::names(POLICY)) {
            Some(key) => format!("did you mean {}?", tag_of(key)),
            None => "it is the key of no setting".to_owned(),
        };
        return Err(bad(&format!("{PREFIX}{}: {like}", shown(name, KEY)), false));
    };
    let mut problems = Problems::new("", "");
    let table = Fields::table_of_tag(key, value);
    let rules = read(&Fields::of_tag(&table, PREFIX), &mut problems);
    if let Some(error) = problems.finish() {
        return Err(bad(&error.to_string(), false));
    }
    if !listed.contains(key) {
        let tag = tag_of(key);
        let text = format!("{tag}: the configuration lets no tag set {key} (groups of [tags])");
        return Err(bad(&text, true));
    }
    Ok(rules)
}

/// Reads the keys that tags of groups may set: names of a policy's keys, or `*` for all.
pub(super) fn read_listed(root: &Fields<'_>, problems: &mut Problems) -> BTreeSet<&'static str> {
    let Some(fields) = root.table("tags", "tags", problems) else { return BTreeSet::new() };
    let Some(node) = fields.get("groups") else { return BTreeSet::new() };
    if node.is_empty_array() {
        return BTreeSet::new();
    }
    let mut listed = BTreeSet::new();
    for node in node.strings("", problems).unwrap_or_default() {
        match one(&node, problems) {
            Some("*") => listed.extend(keys::names(POLICY)),
            Some(key) => {
                listed.insert(key);
            }
            None => {}
        }
    }
    listed
}

fn one(node: &Node<'_>, problems: &mut Problems) -> Option<&'static str> {
    let name = node.string(problems)?;
    if name == "*" {
        return Some("*");
    }
    let key = keys::names(POLICY).find(|key| *key == name);
    if key.is_none() {
        let like = nearest(name, keys::names(POLICY));
        let like = like.map_or_else(String::new, |key| format!("; did you mean {key:?}?"));
        node.refuse(&format!("it must be a key of [policy], or \"*\" for all{like}"), problems);
    }
    key
}

#[cfg(test)]
mod tests;
