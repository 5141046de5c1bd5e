//! Scopes: accounts and regions, and the clusters, groups and hooks in them that the controller
//! works with.

use crate::config::error::Problems;
use crate::config::names;
use crate::config::pattern::{Patterns, has_wildcard};
use crate::config::reader::{Fields, Node};
use std::collections::{BTreeMap, BTreeSet};

/// Hook that ECS itself installs for managed instance draining. Only ECS completes it. (Source: ECS
/// developer guide, managed instance draining.)
pub const ECS_HOOK: &str = "ecs-managed-draining-termination-hook";

/// Role that gives the credentials for a scope, in this account or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// ARN of the role.
    pub arn: String,
    /// External id that its trust policy requires, if any.
    pub external_id: Option<String>,
}

/// One AWS account and region, and the resources in it that ecs-drain works with.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Region, such as `eu-west-1`.
    pub region: String,
    /// Role to assume; `None` for the credentials of the environment.
    pub role: Option<Role>,
    /// Clusters to work in, by name.
    pub clusters: Patterns,
    /// Auto Scaling groups to read.
    pub(crate) groups: Groups,
    /// URL of the queue with this scope's events, if any.
    pub queue: Option<String>,
    /// Exact names of the ecs-drain hooks, which are terminating lifecycle hooks; at least one,
    /// never [`ECS_HOOK`].
    pub hooks: BTreeSet<String>,
}

/// Selection of Auto Scaling groups. A group must match its names and all its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Names or patterns.
    pub(crate) names: Patterns,
    /// Tags; `None` for any value.
    pub tags: BTreeMap<String, Option<String>>,
}

impl Default for Groups {
    fn default() -> Groups {
        Groups { names: Patterns::all(), tags: BTreeMap::new() }
    }
}

impl Groups {
    /// Returns whether a group with this name and these tags is selected.
    pub(crate) fn selects(&self, name: &str, tags: &BTreeMap<String, String>) -> bool {
        self.names.matches(name)
            && self.tags.iter().all(|(key, wanted)| {
                tags.get(key)
                    .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
    }
}

/// Reads every `[[scope]]`.
pub(super) fn read_all(root: &Fields<'_>, problems: &mut Problems) -> Vec<Scope> {
    const NONE: &str =
        "there is no [[scope]]: name at least one region and the hooks of ecs-drain in it";
    match root.get("scope") {
        None => problems.anywhere(NONE),
        Some(node) if node.is_empty_array() => problems.at(&node.place(), NONE),
        Some(_) => {}
    }
    let mut seen: Vec<(String, Option<String>)> = Vec::new();
    let mut scopes = Vec::new();
    for fields in root.tables("scope", "scope", problems) {
        let Some(scope) = read(&fields, problems) else { continue };
        let place = (scope.region.clone(), scope.role.as_ref().map(|role| role.arn.clone()));
        if seen.contains(&place) {
            let role = place.1.map_or_else(|| "no role".to_owned(), |arn| format!("role {arn}"));
            problems.at(
                fields.place(),
                format!(
                    "{} is a second scope with region {} and {role}: join the two",
                    fields.path(),
                    place.0
                ),
            );
        } else {
            seen.push(place);
        }
        // The scope that receives a message about another account or region deletes it.
        if let Some(queue) = scope
            .queue
            .clone()
            .filter(|_| scopes.iter().any(|other: &Scope| other.queue == scope.queue))
        {
            let text = format!(
                "{} has the queue of another scope, {queue}: each needs one of its own",
                fields.path()
            );
            problems.at(fields.place(), text);
        }
        scopes.push(scope);
    }
    scopes
}

fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Scope> {
    let region =
        fields.require("region", problems).and_then(|node| node.text(names::region, problems));
    let hooks = fields.require("hooks", problems).and_then(|node| hooks(&node, problems));
    let clusters = match fields.get("clusters") {
        Some(node) => patterns(&node, problems),
        None => Some(Patterns::all()),
    };
    let groups = match fields.get("groups") {
        Some(node) => {
            node.fields("scope.groups", problems).and_then(|fields| groups(&fields, problems))
        }
        None => Some(Groups::default()),
    };
    let queue = fields.get("queue").and_then(|node| node.text(queue_url, problems));
    let role = match fields.get("role") {
        Some(node) => {
            Some(node.fields("scope.role", problems).and_then(|fields| role(&fields, problems))?)
        }
        None => None,
    };
    Some(Scope {
        region: region?,
        role,
        clusters: clusters?,
        groups: groups?,
        hooks: hooks?,
        queue,
    })
}

/// Checks for `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, or the form of a private endpoint.
/// (Source: SQS developer guide, "Queue and message identifiers".)
fn queue_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let parts: Vec<&str> = rest.unwrap_or_default().split('/').collect();
    let name_at_end = match parts.as_slice() {
        [host, .., name] => !host.is_empty() && !name.is_empty(),
        _ => false,
    };
    if !name_at_end || !is_plain(url) {
        Err("a queue's URL looks like \"https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain\"".to_owned())
    } else if url.ends_with(".fifo") {
        Err("a FIFO queue cannot take events of Auto Scaling; make it a standard queue".to_owned())
    } else {
        Ok(())
    }
}

/// Reads names or patterns of clusters or groups.
pub(super) fn patterns(node: &Node<'_>, problems: &mut Problems) -> Option<Patterns> {
    let nodes =
        node.strings("an empty list matches nothing; leave the key out for all", problems)?;
    // Every name is checked before a wrong one ends the reading, so that all mistakes are reported.
    let names: Vec<Option<String>> =
        nodes.iter().map(|node| node.text(name_or_pattern, problems)).collect();
    names.into_iter().collect::<Option<Vec<String>>>().map(Patterns::new)
}

fn name_or_pattern(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("an empty name matches nothing".to_owned())
    } else if text.starts_with("arn:") {
        Err("give the name, not the ARN".to_owned())
    } else {
        Ok(())
    }
}

fn hooks(node: &Node<'_>, problems: &mut Problems) -> Option<BTreeSet<String>> {
    let nodes = node
        .strings("name at least one hook; without one nothing would ever be drained", problems)?;
    let names: Vec<Option<String>> =
        nodes.iter().map(|node| node.text(hook_name, problems)).collect();
    names.into_iter().collect()
}

fn hook_name(name: &str) -> Result<(), String> {
    if name == ECS_HOOK {
        Err("this hook is ECS's own (managed instance draining), and only ECS may complete it; add a hook of your own \
             to the group"
            .to_owned())
    } else if has_wildcard(name) {
        Err("hooks are named exactly, without * and ?, so that no other hook is ever completed"
            .to_owned())
    } else if name.is_empty() || name.len() > 255 {
        Err("a hook's name has 1 to 255 characters".to_owned())
    } else {
        Ok(())
    }
}

fn groups(fields: &Fields<'_>, problems: &mut Problems) -> Option<Groups> {
    let names = match fields.get("names") {
        Some(node) => patterns(&node, problems),
        None => Some(Patterns::all()),
    };
    let mut tags = BTreeMap::new();
    for (key, node) in fields.get("tags").map(|node| node.entries(problems)).unwrap_or_default() {
        // A wrong one is reported, and those after it are still checked.
        if let Some(value) = node.text(tag_value, problems) {
            tags.insert(key, (value != "*").then_some(value));
        }
    }
    Some(Groups { names: names?, tags })
}

fn tag_value(value: &str) -> Result<(), String> {
    if value != "*" && value.contains('*') {
        Err("a tag's value is exact, or \"*\" for any; patterns are for names".to_owned())
    } else {
        Ok(())
    }
}

fn role(fields: &Fields<'_>, problems: &mut Problems) -> Option<Role> {
    let arn = fields.require("arn", problems).and_then(|node| node.text(role_arn, problems));
    let external_id = match fields.get("external_id") {
        Some(node) => Some(node.text(external_id, problems)?),
        None => None,
    };
    Some(Role { arn: arn?, external_id })
}

/// Checks for the characters of URLs, and of paths and names of IAM. (Source: IAM API reference,
/// `pathType`, `roleNameType`.)
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Checks for `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`. (Source: IAM user guide, IAM
/// identifiers.)
fn role_arn(arn: &str) -> Result<(), String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let well_formed = match parts.as_slice() {
        ["arn", partition, "iam", "", account, resource] => {
            partition.starts_with("aws")
                && is_plain(partition)
                && account.len() == 12
                && account.chars().all(|c| c.is_ascii_digit())
                && resource
                    .strip_prefix("role/")
                    .is_some_and(|name| !name.is_empty() && is_plain(name))
        }
        _ => false,
    };
    if well_formed {
        Ok(())
    } else {
        Err("a role's ARN looks like \"arn:aws:iam::123456789012:role/NAME\"".to_owned())
    }
}

/// Checks an external id. (Source: STS API reference, `AssumeRole`, `ExternalId`: 2 to 1224
/// characters.)
fn external_id(id: &str) -> Result<(), String> {
    if (2..=1224).contains(&id.len()) {
        Ok(())
    } else {
        Err("an external id has 2 to 1224 characters".to_owned())
    }
}
