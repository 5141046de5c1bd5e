//! Derives the least IAM policy for a configuration: the output of `ecs-drain iam`, and the
//! policies of the templates under `deploy/`.
//!
//! The calls come from [`calls`], the list of all calls to AWS. [`SHAPES`] gives for each its
//! statement, its resource, and the feature that needs it. A call without a place here fails a
//! test.
//!
//! Mutating calls are limited to the chosen clusters and groups. Reads are not: an instance is
//! searched for in every cluster, and its group is read before its tags are known. (Source for the
//! possible limits: Service Authorization Reference, the tables of ECS, EC2 Auto Scaling, DynamoDB,
//! SQS and STS.)

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
    /// Partition: `aws`, `aws-cn`, …
    pub partition: String,
    pub region: String,
    /// Id of the account.
    pub account: String,
    /// Names or patterns of the chosen clusters. IAM reads `*` and `?` as the configuration does.
    pub clusters: Vec<String>,
    /// Names or patterns of the chosen groups.
    pub groups: Vec<String>,
    /// Tags that the groups must have; `None` for any value.
    pub tags: BTreeMap<String, Option<String>>,
    /// ARN of the queue.
    pub queue: Option<String>,
}

/// Subject of a policy.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Features that need statements.
    pub needs: BTreeSet<Need>,
    /// Accounts and regions.
    pub places: Vec<Place>,
    /// ARN of the table.
    pub table: String,
    /// Name of the controller.
    pub controller: String,
    /// Requests that people may make.
    pub may: May,
    /// ARNs of the roles to assume.
    pub roles: Vec<String>,
}

/// A policy, in IAM's own JSON. (Source: IAM user guide, "Grammar of the IAM JSON policy
/// language".)
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// Its statements.
    pub statement: Vec<Statement>,
}

impl Document {
    /// Returns whether a resource is in any account, because the account's id is unknown.
    pub(crate) fn is_of_any_account(&self) -> bool {
        let resources = self.statement.iter().flat_map(|statement| &statement.resource);
        resources.filter_map(|arn| arn.split(':').nth(4)).any(|account| account == "*")
    }
}

/// One statement.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Name of the statement, unique in the policy.
    pub sid: String,
    effect: &'static str,
    /// Allowed actions.
    pub action: Vec<&'static str>,
    /// Resources.
    pub resource: Vec<String>,
    /// Conditions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Conditions,
}

type Conditions = BTreeMap<&'static str, BTreeMap<String, Words>>;

/// One word of a condition, or several of which one must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Words {
    /// A single word.
    One(String),
    /// Several words.
    Several(Vec<String>),
}

/// Returns the least policy for a subject.
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
            // An empty list of keys allows nothing; a statement without a condition would allow
            // everything.
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

/// Returns the resources of a place that a statement covers.
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

/// Returns the condition for the tags that a group must have. (Source: Service Authorization
/// Reference, EC2 Auto Scaling: `autoscaling:ResourceTag/${TagKey}`.)
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

/// Returns the keys that items must have; `None` for any.
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

/// Returns the condition that an item has one of these keys. (Source: Amazon DynamoDB developer
/// guide, "Using IAM policy conditions for fine-grained access control".)
fn leading(keys: Vec<String>) -> Conditions {
    let key = BTreeMap::from([("dynamodb:LeadingKeys".to_owned(), Words::Several(keys))]);
    BTreeMap::from([("ForAllValues:StringLike", key)])
}

/// Principal that a policy is printed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The process that runs the controller.
    Controller,
    /// A role of the configuration's scopes, which the process assumes.
    Role(&'a str),
    /// A process that runs with `dry_run`: it needs no table, and no queue.
    DryRun,
    /// People who may make these requests.
    Operator(&'a May),
    /// People who only read.
    Reader,
    /// The person who creates the table.
    Init,
}

/// Orders of operators that the controller may carry out. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Orders {
    /// Drains that keep the instance.
    #[default]
    Keep,
    /// Drains that end with the instance's termination.
    Terminate,
    /// Rollouts.
    RollOut,
}

/// Returns the subject of a principal's policy. `account` is the process's own, `*` if unknown;
/// `table_region` is the table's. `orders` is the most that operators may request.
pub fn subject(
    config: &Config,
    whom: Whom<'_>,
    account: &str,
    table_region: &str,
    orders: Orders,
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
        (Need::Termination, orders >= Orders::Terminate || config.policies.terminate()),
        (Need::Rollouts, orders >= Orders::RollOut),
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

/// Converts a scope to the place that a policy names.
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

/// Returns the ARN of a queue by its URL, whose last two parts are the account and the name.
/// (Source: SQS developer guide, "Queue and message identifiers".)
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
