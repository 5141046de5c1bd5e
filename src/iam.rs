//! The least IAM policy for a configuration: what `ecs-drain iam` prints, and what the templates under `deploy/` hold.
//!
//! The calls come from [`calls`], the one list of what is ever asked of AWS; [`SHAPES`] says in which statement each
//! belongs, on what it is allowed, and what needs it. A call without a place here fails a test.
//!
//! What changes something is limited to the chosen clusters and groups. What only reads is not: an instance is looked
//! for in every cluster, and its group is read before its tags are known. (Source for what can be limited at all: Service
//! Authorization Reference, the tables of ECS, EC2 Auto Scaling, DynamoDB, SQS and STS.)

use crate::aws::calls::{self, Call};
use crate::config::{Config, Scope};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What needs a statement. A policy leaves out those of what is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Every controller, in each of its accounts; it changes nothing, and is all that a dry run needs.
    Look,
    /// Every controller that does more than look.
    Act,
    /// Every controller, in the account of its table.
    Table,
    /// Drains that end with a termination: those that an operator asks for, and rebalance recommendations with `terminate`.
    Termination,
    /// A policy with `standalone_tasks = { stop_after = … }`.
    StopAfter,
    /// A policy with `strategy = "deregister"`.
    Deregister,
    /// A scope with a `queue`.
    Queue,
    /// A scope with a `role`.
    Role,
    /// A person who looks: `get`, `describe`.
    Reader,
    /// A person who asks for something: `drain`, `cancel`, `hold` and their kin. They look too.
    Operator,
    /// Whoever creates the table: `init`.
    Init,
}

/// What a statement allows its calls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// `*`: these calls know no resource.
    Anything,
    /// Every cluster.
    Clusters,
    /// The container instances of every cluster.
    ContainerInstances,
    /// The tasks of every cluster.
    Tasks,
    /// The services of every cluster.
    Services,
    /// The chosen clusters.
    ChosenClusters,
    /// The container instances of the chosen clusters.
    ContainerInstancesOfChosen,
    /// The tasks of the chosen clusters.
    TasksOfChosen,
    /// The chosen groups, by name and by tag.
    ChosenGroups,
    /// The table.
    Table,
    /// The table and its indexes.
    TableAndIndexes,
    /// The scope's queue.
    Queue,
    /// The roles of the scopes.
    Roles,
}

/// A statement before it is known for whom it is.
#[derive(Debug)]
pub struct Shape {
    /// Its name.
    pub sid: &'static str,
    /// What needs it.
    pub need: Need,
    /// What it allows its calls on.
    pub on: On,
    /// What it allows.
    pub calls: &'static [&'static Call],
}

/// Every statement there is.
pub const SHAPES: &[Shape] = &[
    Shape {
        sid: "ReadWhatHasNoArnOfItsOwn",
        need: Need::Look,
        on: On::Anything,
        calls: &[
            &calls::DESCRIBE_AUTO_SCALING_GROUPS,
            &calls::DESCRIBE_AUTO_SCALING_INSTANCES,
            &calls::DESCRIBE_LIFECYCLE_HOOKS,
            &calls::DESCRIBE_WARM_POOL,
            &calls::LIST_CLUSTERS,
            &calls::DESCRIBE_TASK_DEFINITION,
            &calls::DESCRIBE_TARGET_GROUPS,
            &calls::DESCRIBE_TARGET_GROUP_ATTRIBUTES,
            &calls::DESCRIBE_TARGET_HEALTH,
            &calls::DESCRIBE_LOAD_BALANCERS,
            &calls::DESCRIBE_LOAD_BALANCER_ATTRIBUTES,
            &calls::DESCRIBE_INSTANCE_HEALTH,
        ],
    },
    Shape {
        sid: "FindContainerInstances",
        need: Need::Look,
        on: On::Clusters,
        calls: &[&calls::LIST_CONTAINER_INSTANCES, &calls::DESCRIBE_CLUSTERS],
    },
    Shape {
        sid: "ReadContainerInstances",
        need: Need::Look,
        on: On::ContainerInstances,
        calls: &[&calls::DESCRIBE_CONTAINER_INSTANCES, &calls::LIST_TASKS],
    },
    Shape {
        sid: "ReadTasks",
        need: Need::Look,
        on: On::Tasks,
        calls: &[&calls::DESCRIBE_TASKS, &calls::GET_TASK_PROTECTION],
    },
    Shape { sid: "ReadServices", need: Need::Look, on: On::Services, calls: &[&calls::DESCRIBE_SERVICES] },
    Shape {
        sid: "SetDraining",
        need: Need::Act,
        on: On::ContainerInstancesOfChosen,
        calls: &[&calls::UPDATE_CONTAINER_INSTANCES_STATE],
    },
    Shape {
        sid: "HoldAndCompleteLifecycleActions",
        need: Need::Act,
        on: On::ChosenGroups,
        calls: &[&calls::RECORD_LIFECYCLE_ACTION_HEARTBEAT, &calls::COMPLETE_LIFECYCLE_ACTION],
    },
    Shape {
        sid: "OnlyForOperatorsDrainsThatTerminate",
        need: Need::Termination,
        on: On::ChosenGroups,
        calls: &[&calls::TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP],
    },
    Shape {
        sid: "OnlyForStandaloneTasksStopAfter",
        need: Need::StopAfter,
        on: On::TasksOfChosen,
        calls: &[&calls::STOP_TASK],
    },
    Shape {
        sid: "OnlyForStrategyDeregister",
        need: Need::Deregister,
        on: On::ChosenClusters,
        calls: &[&calls::DEREGISTER_CONTAINER_INSTANCE],
    },
    Shape {
        sid: "OnlyForScopesWithAQueue",
        need: Need::Queue,
        on: On::Queue,
        calls: &[&calls::RECEIVE_MESSAGE, &calls::DELETE_MESSAGE],
    },
    Shape { sid: "OnlyForScopesWithARole", need: Need::Role, on: On::Roles, calls: &[&calls::ASSUME_ROLE] },
    Shape {
        sid: "KeepRecordsAndLease",
        need: Need::Table,
        on: On::Table,
        calls: &[
            &calls::DESCRIBE_TABLE,
            &calls::DESCRIBE_TIME_TO_LIVE,
            &calls::GET_ITEM,
            &calls::BATCH_GET_ITEM,
            &calls::PUT_ITEM,
            &calls::UPDATE_ITEM,
            &calls::DELETE_ITEM,
        ],
    },
    Shape { sid: "FindRecordsThroughIndexes", need: Need::Table, on: On::TableAndIndexes, calls: &[&calls::QUERY] },
    Shape {
        sid: "LookAtDrains",
        need: Need::Reader,
        on: On::TableAndIndexes,
        calls: &[&calls::BATCH_GET_ITEM, &calls::QUERY],
    },
    Shape { sid: "OnlyForGetAll", need: Need::Reader, on: On::Table, calls: &[&calls::SCAN] },
    Shape { sid: "AskForDrains", need: Need::Operator, on: On::Table, calls: &[&calls::PUT_ITEM, &calls::UPDATE_ITEM] },
    Shape { sid: "FindClusters", need: Need::Operator, on: On::Anything, calls: &[&calls::LIST_CLUSTERS] },
    Shape { sid: "FindInstances", need: Need::Operator, on: On::Clusters, calls: &[&calls::LIST_CONTAINER_INSTANCES] },
    Shape {
        sid: "ReadInstances",
        need: Need::Operator,
        on: On::ContainerInstances,
        calls: &[&calls::DESCRIBE_CONTAINER_INSTANCES],
    },
    Shape {
        sid: "CreateAndCheckTheTable",
        need: Need::Init,
        on: On::Table,
        calls: &[
            &calls::CREATE_TABLE,
            &calls::UPDATE_TIME_TO_LIVE,
            &calls::DESCRIBE_TABLE,
            &calls::DESCRIBE_TIME_TO_LIVE,
        ],
    },
];

/// Calls that need no permission. (Source: STS API reference, GetCallerIdentity.)
pub const FREE: &[&Call] = &[&calls::GET_CALLER_IDENTITY];

/// One account and region as a policy names it. The words may be placeholders, such as a template's variables.
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
    /// The ARNs of the roles to assume.
    pub roles: Vec<String>,
}

/// A policy, in IAM's own JSON. (Source: IAM user guide, "Grammar of the IAM JSON policy language".)
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// What it allows.
    pub statement: Vec<Statement>,
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
    pub condition: BTreeMap<&'static str, BTreeMap<String, String>>,
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
            On::Table => Some(vec![subject.table.clone()]),
            On::TableAndIndexes => Some(vec![subject.table.clone(), format!("{}/index/*", subject.table)]),
            On::Roles => Some(subject.roles.clone()),
            On::Anything
            | On::Clusters
            | On::ContainerInstances
            | On::Tasks
            | On::Services
            | On::ChosenClusters
            | On::ContainerInstancesOfChosen
            | On::TasksOfChosen
            | On::ChosenGroups
            | On::Queue => None,
        };
        if let Some(resources) = whole {
            kinds = vec![(Conditions::new(), resources)];
        }
        kinds.retain(|(_, resources)| !resources.is_empty());
        let several = kinds.len() > 1;
        for (number, (condition, mut resource)) in kinds.into_iter().enumerate() {
            resource.sort();
            resource.dedup();
            let sid = if several { format!("{}{}", shape.sid, number + 1) } else { shape.sid.to_owned() };
            let mut action: Vec<_> = shape.calls.iter().map(|call| call.iam_action).collect();
            action.sort_unstable();
            statement.push(Statement { sid, effect: "Allow", action, resource, condition });
        }
    }
    Document { version: "2012-10-17", statement }
}

type Conditions = BTreeMap<&'static str, BTreeMap<String, String>>;

/// What of a place a statement is allowed on.
fn resources(on: On, place: &Place) -> Vec<String> {
    let Place { partition, region, account, .. } = place;
    let ecs = |kind: &str, cluster: &str| format!("arn:{partition}:ecs:{region}:{account}:{kind}/{cluster}");
    let of_chosen = |kind: &str| place.clusters.iter().map(|name| ecs(kind, &format!("{name}/*"))).collect();
    match on {
        On::Anything => vec!["*".to_owned()],
        On::Clusters => vec![ecs("cluster", "*")],
        On::ContainerInstances => vec![ecs("container-instance", "*")],
        On::Tasks => vec![ecs("task", "*")],
        On::Services => vec![ecs("service", "*")],
        On::ChosenClusters => place.clusters.iter().map(|name| ecs("cluster", name)).collect(),
        On::ContainerInstancesOfChosen => of_chosen("container-instance"),
        On::TasksOfChosen => of_chosen("task"),
        On::ChosenGroups => {
            let group = |name: &String| {
                format!("arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{name}")
            };
            place.groups.iter().map(group).collect()
        }
        On::Queue => place.queue.iter().cloned().collect(),
        On::Table | On::TableAndIndexes | On::Roles => Vec::new(),
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
                Some(value) => conditions.entry("StringEquals").or_default().insert(key, value.clone()),
                None => conditions.entry("Null").or_default().insert(key, "false".to_owned()),
            };
        }
    }
    conditions
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
    /// People who ask for something.
    Operator,
    /// People who look.
    Reader,
    /// Whoever creates the table.
    Init,
}

/// What somebody needs for a configuration. `account` is the process's own, `*` where it is not known; `table_region` is
/// the table's.
pub fn subject(config: &Config, whom: Whom<'_>, account: &str, table_region: &str) -> Subject {
    let role = |scope: &Scope| scope.role.as_ref().map(|role| role.arn.clone());
    let chosen = |scope: &&Scope| match whom {
        Whom::Role(arn) => role(scope).as_deref() == Some(arn),
        Whom::Controller | Whom::DryRun | Whom::Operator | Whom::Reader | Whom::Init => scope.role.is_none(),
    };
    let places: Vec<Place> = config.scopes.iter().filter(chosen).map(|scope| place(scope, account)).collect();
    let roles: BTreeSet<String> = config.scopes.iter().filter_map(role).collect();
    let mut needs = BTreeSet::new();
    let works = [
        (Need::Look, true),
        (Need::Act, true),
        (Need::Termination, true),
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
        Whom::Operator => needs.extend([Need::Reader, Need::Operator, Need::Role]),
        Whom::Reader => needs.extend([Need::Reader]),
        Whom::Init => needs.extend([Need::Init]),
    }
    let table =
        format!("arn:{}:dynamodb:{table_region}:{account}:table/{}", calls::partition(table_region), config.table.name);
    Subject { needs, places, table, roles: roles.into_iter().collect() }
}

/// A scope as a policy names it.
fn place(scope: &Scope, account: &str) -> Place {
    // In another account it is the role's.
    let account = scope.role.as_ref().and_then(|role| role.arn.split(':').nth(4)).unwrap_or(account);
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

/// The ARN of a queue by its URL, whose last two parts are the account and the name. (Source: SQS developer guide, "Queue
/// and message identifiers".)
fn queue_arn(url: &str, partition: &str, region: &str, account: &str) -> String {
    let mut parts = url.rsplit('/');
    let name = parts.next().unwrap_or("*");
    let owner = parts.next().filter(|owner| owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit()));
    format!("arn:{partition}:sqs:{region}:{}:{name}", owner.unwrap_or(account))
}

#[cfg(test)]
mod tests;
