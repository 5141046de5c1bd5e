//! Every possible statement: its calls, its resource, and the feature that needs it.

use crate::aws::calls::{self, Call};

/// Feature that needs a statement. A policy omits the statements of unused features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Every controller, in each of its accounts. These calls change nothing, and a dry run needs
    /// no others.
    Look,
    /// Every controller that is no dry run.
    Act,
    /// Every controller, in the account of its table.
    Table,
    /// Drains that end with a termination: an operator's with `--then terminate`, those of a rollout,
    /// and a policy with `rebalance = "terminate"`.
    Termination,
    /// Rollouts, which an operator starts.
    Rollouts,
    /// A policy with `standalone_tasks = { stop_after = … }`.
    StopAfter,
    /// A policy with `strategy = "deregister"`.
    Deregister,
    /// A scope with a `queue`.
    Queue,
    /// A scope with a `role`.
    Role,
    /// A person who reads: `get`, `describe`.
    Reader,
    /// A person who makes requests: `drain`, `cancel`, `pause` and others. They read too.
    Operator,
    /// A person who names clusters by name or pattern: `drain`, `rollout start`, and
    /// `pause --cluster`.
    Clusters,
    /// A person who requests drains, and so reads instances by their image or age: `drain`,
    /// `rollout start`.
    Instances,
    /// A person who requests rollouts, and so reads the groups of instances: `rollout start`.
    Groups,
    /// The person who creates the table: `init`.
    Init,
}

/// Resource of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// `*`: these calls have no resource.
    Anything,
    /// Every cluster.
    Clusters,
    /// The container instances of every cluster.
    ContainerInstances,
    /// The tasks of every cluster.
    Tasks,
    /// The services of every cluster.
    Services,
    /// The revisions of every cluster's services.
    ServiceRevisions,
    /// The deployments of every cluster's services.
    ServiceDeployments,
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
    /// The item of the controller's lease.
    Lease,
    /// The items that a person may write: requests and pauses.
    Asked,
    /// The items of the pauses that a person may end.
    Paused,
    /// The table and its indexes.
    TableAndIndexes,
    /// The scope's queue.
    Queue,
    /// The roles of the scopes.
    Roles,
}

/// Statement without its subject.
#[derive(Debug)]
pub struct Shape {
    /// Name of the statement.
    pub sid: &'static str,
    /// Feature that needs it.
    pub need: Need,
    /// Resource of its calls.
    pub on: On,
    /// Allowed calls.
    pub calls: &'static [&'static Call],
}

/// Every statement.
pub const SHAPES: &[Shape] = &[
    Shape {
        sid: "ReadWhatHasNoArnOfItsOwn",
        need: Need::Look,
        on: On::Anything,
        calls: &[
            &calls::DESCRIBE_AUTO_SCALING_GROUPS,
            &calls::DESCRIBE_AUTO_SCALING_INSTANCES,
            &calls::DESCRIBE_LIFECYCLE_HOOKS,
            &calls::DESCRIBE_INSTANCE_REFRESHES,
            &calls::DESCRIBE_WARM_POOL,
            &calls::LIST_CLUSTERS,
            &calls::LIST_SERVICES,
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
    Shape {
        sid: "ReadServices",
        need: Need::Look,
        on: On::Services,
        calls: &[&calls::DESCRIBE_SERVICES],
    },
    Shape {
        sid: "ReadServiceRevisions",
        need: Need::Look,
        on: On::ServiceRevisions,
        calls: &[&calls::DESCRIBE_SERVICE_REVISIONS],
    },
    Shape {
        sid: "ReadServiceDeployments",
        need: Need::Look,
        on: On::ServiceDeployments,
        calls: &[&calls::DESCRIBE_SERVICE_DEPLOYMENTS],
    },
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
        sid: "OnlyForRollouts",
        need: Need::Rollouts,
        on: On::ChosenGroups,
        calls: &[&calls::SET_DESIRED_CAPACITY],
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
    Shape {
        sid: "OnlyForScopesWithARole",
        need: Need::Role,
        on: On::Roles,
        calls: &[&calls::ASSUME_ROLE],
    },
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
        ],
    },
    Shape { sid: "ReleaseLease", need: Need::Table, on: On::Lease, calls: &[&calls::DELETE_ITEM] },
    Shape {
        sid: "FindRecordsThroughIndexes",
        need: Need::Table,
        on: On::TableAndIndexes,
        calls: &[&calls::QUERY],
    },
    Shape {
        sid: "LookAtDrains",
        need: Need::Reader,
        on: On::TableAndIndexes,
        calls: &[&calls::BATCH_GET_ITEM, &calls::QUERY],
    },
    Shape { sid: "OnlyForGetAll", need: Need::Reader, on: On::Table, calls: &[&calls::SCAN] },
    Shape { sid: "AskForDrains", need: Need::Operator, on: On::Asked, calls: &[&calls::PUT_ITEM] },
    Shape { sid: "Resume", need: Need::Operator, on: On::Paused, calls: &[&calls::DELETE_ITEM] },
    Shape {
        sid: "FindClusters",
        need: Need::Clusters,
        on: On::Anything,
        calls: &[&calls::LIST_CLUSTERS],
    },
    Shape {
        sid: "FindInstances",
        need: Need::Instances,
        on: On::Clusters,
        calls: &[&calls::LIST_CONTAINER_INSTANCES],
    },
    Shape {
        sid: "ReadInstances",
        need: Need::Instances,
        on: On::ContainerInstances,
        calls: &[&calls::DESCRIBE_CONTAINER_INSTANCES],
    },
    Shape {
        sid: "FindGroupsOfInstances",
        need: Need::Groups,
        on: On::Anything,
        calls: &[&calls::DESCRIBE_AUTO_SCALING_GROUPS, &calls::DESCRIBE_AUTO_SCALING_INSTANCES],
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
