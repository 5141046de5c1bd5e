//! The least IAM policy for a configuration: what `ecs-drain iam` prints, and what the templates
//! under `deploy/` hold.
//!
//! The calls come from [`calls`], the one list of what is ever asked of AWS; [`SHAPES`] says in
//! which statement each belongs, on what it is allowed, and what needs it. A call without a place
//! here fails a test.
//!
//! What changes something is limited to the chosen clusters and groups. What only reads is not: an
//! instance is looked for in every cluster, and its group is read before its tags are known.
//! (Source for what can be limited at all: Service Authorization Reference, the tables of ECS, EC2
//! Auto Scaling, DynamoDB, SQS and STS.)

mod may;
mod shapes;

pub use may::{May, Verb};
pub use shapes::{FREE, Need, On, SHAPES, Shape};

use crate::aws::calls;
use crate::config::{Config, Scope};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One account and region as a policy names it. The words may be placeholders, such as a template's
/// variables.
#[derive(Clone, Debug)]
pub struct Place {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// The region.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// Names or patterns of the chosen clusters. IAM reads `*` and `?` as the configuration does.
    pub clusters: Vec<String>,
    /// Names or patterns of the chosen groups.
    pub groups: Vec<String>,
    /// Tags that the groups must have; None is any value.
    pub tags: BTreeMap<String, Option<String>>,
    /// The ARN of the queue.
    pub queue: Option<String>,
}

/// What a policy is for.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// What needs statements.
    pub needs: BTreeSet<Need>,
    /// Where.
    pub places: Vec<Place>,
    /// The ARN of the table.
    pub table: String,
    /// The controller's name.
    pub controller: String,
    /// What people may ask for.
    pub may: May,
    /// The ARNs of the roles to assume.
    pub roles: Vec<String>,
}

/// A policy, in IAM's own JSON. (Source: IAM user guide, "Grammar of the IAM JSON policy
/// language".)
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// What it allows.
    pub statement: Vec<Statement>,
}

impl Document {
    /// Whether a resource is one of any account, for want of the account's number.
    pub fn is_of_any_account(&self) -> bool {
        let resources = self.statement.iter().flat_map(|statement| &statement.resource);
        resources.filter_map(|arn| arn.split(':').nth(4)).any(|account| account == "*")
    }
}

/// One statement.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Its name, alone of its kind in the policy.
    pub sid: String,
    effect: &'static str,
    /// What it allows.
    pub action: Vec<&'static str>,
    /// On what.
    pub resource: Vec<String>,
    /// Only where this holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Conditions,
}

type Conditions = BTreeMap<&'static str, BTreeMap<String, Words>>;

/// One word of a condition, or several of which one must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Words {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// The least policy for what is needed.
pub fn policy(subject: &Subject) -> Document {
    let mut statement = Vec::new();
    for shape in SHAPES.iter().filter(|shape| subject.needs.contains(&shape.need)) {
        // Places whose groups are chosen by other tags need statements of their own.
        let mut kinds: Vec<(Conditions, Vec<String>)> = Vec::new();
        for place in &subject.places {
            let condition = conditions(shape.on, place);
            let resources = resources(shape.on, place);
            match kinds.iter_mut().find(|(known, _)| *known == condition) {
                Some((_, all)) => all.extend(resources),
                None => kinds.push((condition, resources)),
            }
        }
        let whole = match shape.on {
            On::Table | On::Lease | On::Asked | On::Paused => Some(vec![subject.table.clone()]),
            On::TableAndIndexes => {
                Some(vec![subject.table.clone(), format!("{}/index/*", subject.table)])
            }
            On::Roles => Some(subject.roles.clone()),
            On::Anything
            | On::Clusters
            | On::ContainerInstances
            | On::Tasks
            | On::Services
            | On::ServiceRevisions
            | On::ServiceDeployments
            | On::ChosenClusters
            | On::ContainerInstancesOfChosen
            | On::TasksOfChosen
            | On::ChosenGroups
            | On::Queue => None,
        };
        if let Some(resources) = whole {
            // No key at all means that nothing is allowed, and no condition would mean everything.
            kinds = match keys(shape.on, subject) {
                None => vec![(Conditions::new(), resources)],
                Some(keys) if keys.is_empty() => Vec::new(),
                Some(keys) => vec![(leading(keys), resources)],
            };
        }
        kinds.retain(|(_, resources)| !resources.is_empty());
        let several = kinds.len() > 1;
        for (number, (condition, mut resource)) in kinds.into_iter().enumerate() {
            resource.sort();
            resource.dedup();
            let sid =
                if several { format!("{}{}", shape.sid, number + 1) } else { shape.sid.to_owned() };
            let mut action: Vec<_> = shape.calls.iter().map(|call| call.iam_action).collect();
            action.sort_unstable();
            statement.push(Statement { sid, effect: "Allow", action, resource, condition });
        }
    }
    Document { version: "2012-10-17", statement }
}

/// What of a place a statement is allowed on.
fn resources(on: On, place: &Place) -> Vec<String> {
    let Place { partition, region, account, .. } = place;
    let ecs = |kind: &str, cluster: &str| {
        format!("arn:{partition}:ecs:{region}:{account}:{kind}/{cluster}")
    };
    let of_chosen =
        |kind: &str| place.clusters.iter().map(|name| ecs(kind, &format!("{name}/*"))).collect();
    match on {
        On::Anything => vec!["*".to_owned()],
        On::Clusters => vec![ecs("cluster", "*")],
        On::ContainerInstances => vec![ecs("container-instance", "*")],
        On::Tasks => vec![ecs("task", "*")],
        On::Services => vec![ecs("service", "*")],
        On::ServiceRevisions => vec![ecs("service-revision", "*")],
        On::ServiceDeployments => vec![ecs("service-deployment", "*")],
        On::ChosenClusters => place.clusters.iter().map(|name| ecs("cluster", name)).collect(),
        On::ContainerInstancesOfChosen => of_chosen("container-instance"),
        On::TasksOfChosen => of_chosen("task"),
        On::ChosenGroups => {
            let group = |name: &String| {
                format!(
                    "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{name}"
                )
            };
            place.groups.iter().map(group).collect()
        }
        On::Queue => place.queue.iter().cloned().collect(),
        On::Table | On::Lease | On::Asked | On::Paused | On::TableAndIndexes | On::Roles => {
            Vec::new()
        }
    }
}

/// The tags that a group must have. (Source: Service Authorization Reference, EC2 Auto Scaling:
/// `autoscaling:ResourceTag/${TagKey}`.)
fn conditions(on: On, place: &Place) -> Conditions {
    let mut conditions = Conditions::new();
    if on == On::ChosenGroups {
        for (key, value) in &place.tags {
            let key = format!("autoscaling:ResourceTag/{key}");
            match value {
                Some(value) => conditions
                    .entry("StringEquals")
                    .or_default()
                    .insert(key, Words::One(value.clone())),
                None => conditions
                    .entry("Null")
                    .or_default()
                    .insert(key, Words::One("false".to_owned())),
            };
        }
    }
    conditions
}

/// The keys that items must have. None: any.
fn keys(on: On, subject: &Subject) -> Option<Vec<String>> {
    let Subject { controller, may, .. } = subject;
    match on {
        On::Lease => Some(vec![format!("lease/{controller}")]),
        On::Asked => Some(may.asked(controller)),
        On::Paused => Some(may.resumed(controller)),
        On::Anything
        | On::Clusters
        | On::ContainerInstances
        | On::Tasks
        | On::Services
        | On::ServiceRevisions
        | On::ServiceDeployments
        | On::ChosenClusters
        | On::ContainerInstancesOfChosen
        | On::TasksOfChosen
        | On::ChosenGroups
        | On::Table
        | On::TableAndIndexes
        | On::Queue
        | On::Roles => None,
    }
}

/// The condition that an item has one of these keys. (Source: Amazon DynamoDB developer guide,
/// "Using IAM policy conditions for fine-grained access control".)
fn leading(keys: Vec<String>) -> Conditions {
    let key = BTreeMap::from([("dynamodb:LeadingKeys".to_owned(), Words::Several(keys))]);
    BTreeMap::from([("ForAllValues:StringLike", key)])
}

/// For whom a policy is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The process that runs the controller.
    Controller,
    /// A role of the configuration's scopes, which the process assumes.
    Role(&'a str),
    /// A process that runs with `dry_run`: it needs no table, and no queue.
    DryRun,
    /// People who may ask for this.
    Operator(&'a May),
    /// People who look.
    Reader,
    /// Whoever creates the table.
    Init,
}

/// What somebody needs for a configuration. `account` is the process's own, `*` where it is not
/// known; `table_region` is the table's. `terminate`: operators may ask for drains that end with a
/// termination.
pub fn subject(
    config: &Config,
    whom: Whom<'_>,
    account: &str,
    table_region: &str,
    terminate: bool,
) -> Subject {
    let role = |scope: &Scope| scope.role.as_ref().map(|role| role.arn.clone());
    let chosen = |scope: &&Scope| match whom {
        Whom::Role(arn) => role(scope).as_deref() == Some(arn),
        Whom::Controller | Whom::DryRun | Whom::Operator(_) | Whom::Reader | Whom::Init => {
            scope.role.is_none()
        }
    };
    let places: Vec<Place> =
        config.scopes.iter().filter(chosen).map(|scope| place(scope, account)).collect();
    let roles: BTreeSet<String> = config.scopes.iter().filter_map(role).collect();
    let mut needs = BTreeSet::new();
    let works = [
        (Need::Look, true),
        (Need::Act, true),
        (Need::Termination, terminate || config.policies.terminate()),
        (Need::StopAfter, config.policies.stop_standalone_tasks()),
        (Need::Deregister, config.policies.deregister()),
        (Need::Queue, places.iter().any(|place| place.queue.is_some())),
    ];
    let works = works.into_iter().filter(|(_, used)| *used).map(|(need, _)| need);
    match whom {
        Whom::Controller => {
            needs.extend(works.chain([Need::Table, Need::Role]));
        }
        Whom::Role(_) => needs.extend(works),
        Whom::DryRun => needs.extend([Need::Look, Need::Role]),
        Whom::Operator(may) => {
            needs.extend([Need::Reader, Need::Operator]);
            needs.extend(may.needs());
        }
        Whom::Reader => needs.extend([Need::Reader]),
        Whom::Init => needs.extend([Need::Init]),
    }
    let table = format!(
        "arn:{}:dynamodb:{table_region}:{account}:table/{}",
        calls::partition(table_region),
        config.table.name
    );
    let may = match whom {
        Whom::Operator(may) => may.clone(),
        Whom::Controller | Whom::Role(_) | Whom::DryRun | Whom::Reader | Whom::Init => {
            May::default()
        }
    };
    let (controller, roles) = (config.controller.clone(), roles.into_iter().collect());
    Subject { needs, places, table, controller, may, roles }
}

/// A scope as a policy names it.
fn place(scope: &Scope, account: &str) -> Place {
    // In another account it is the role's.
    let account =
        scope.role.as_ref().and_then(|role| role.arn.split(':').nth(4)).unwrap_or(account);
    let partition = calls::partition(&scope.region);
    let queue = scope.queue.as_deref().map(|url| queue_arn(url, partition, &scope.region, account));
    Place {
        partition: partition.to_owned(),
        region: scope.region.clone(),
        account: account.to_owned(),
        clusters: scope.clusters.names().to_vec(),
        groups: scope.groups.names.names().to_vec(),
        tags: scope.groups.tags.clone(),
        queue,
    }
}

/// The ARN of a queue by its URL, whose last two parts are the account and the name. (Source: SQS
/// developer guide, "Queue and message identifiers".)
fn queue_arn(url: &str, partition: &str, region: &str, account: &str) -> String {
    let mut parts = url.rsplit('/');
    let name = parts.next().unwrap_or("*");
    let owner = parts
        .next()
        .filter(|owner| owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit()));
    format!("arn:{partition}:sqs:{region}:{}:{name}", owner.unwrap_or(account))
}

#[cfg(test)]
mod tests;
