//! The list of all keys: the form, default and meaning of each.

use super::limits::*;
use super::{Key, Kind, POLICY};

/// Every key, in the order of a file. A policy's keys may be in `[policy]` and in each
/// `[[override]]`.
pub(crate) const KEYS: &[Key] = &[
    Key {
        section: "",
        name: "controller",
        kind: Kind::Text("name"),
        default: "\"default\"",
        meaning: "Name of this controller. Several controllers can share one table; each has \
                  its own records and its own lease. Flag `--controller`, variable \
                  `ECS_DRAIN_CONTROLLER`.",
    },
    Key {
        section: "",
        name: "dry_run",
        kind: Kind::Flag,
        default: "false",
        meaning: "Dry run: change nothing in AWS or the table; follow each drain to its end \
                  and log what would be done. Flag `--dry-run`, variable `ECS_DRAIN_DRY_RUN` \
                  (`true` or `false`), or `DRYRUN` with any value.",
    },
    Key {
        section: "",
        name: "shutdown",
        kind: Kind::Span(&SHUTDOWN),
        default: "\"20s\"",
        meaning: "Time for the work in hand after SIGTERM. Keep it below the ECS task's \
                  `stopTimeout` (30 s by default).",
    },
    Key {
        section: "",
        name: "listen",
        kind: Kind::Text("address and port"),
        default: "",
        meaning: "Address of `/healthz`, `/readyz` and `/metrics`, such as `127.0.0.1:8080`; \
                  without it nothing listens. Flag `--listen`, variable `ECS_DRAIN_LISTEN`.",
    },
    Key {
        section: "",
        name: "cloudwatch_metrics",
        kind: Kind::Flag,
        default: "false",
        meaning: "Write one line of metrics a minute to standard output, in CloudWatch's \
                  embedded metric format. CloudWatch Logs turns these lines into metrics. Flag \
                  `--cloudwatch-metrics`, variable `ECS_DRAIN_CLOUDWATCH_METRICS` (`true` or \
                  `false`).",
    },
    Key {
        section: "",
        name: "table",
        kind: Kind::Table("`[table]`"),
        default: "",
        meaning: "The DynamoDB table with the drain records.",
    },
    Key {
        section: "",
        name: "poll",
        kind: Kind::Table("`[poll]`"),
        default: "",
        meaning: "Intervals of polling.",
    },
    Key {
        section: "",
        name: "scope",
        kind: Kind::Table("`[[scope]]`, once for each"),
        default: "required",
        meaning: "An AWS account and region to work in. At least one.",
    },
    Key {
        section: "",
        name: "policy",
        kind: Kind::Table("`[policy]`"),
        default: "",
        meaning: "The rules for every drain.",
    },
    Key {
        section: "",
        name: "tags",
        kind: Kind::Table("`[tags]`"),
        default: "",
        meaning: "Settings that tags of AWS resources may change.",
    },
    Key {
        section: "",
        name: "override",
        kind: Kind::Table("`[[override]]`, once for each"),
        default: "",
        meaning: "Other rules for some clusters or groups. They apply in the order of the \
                  file; a later one wins.",
    },
    Key {
        section: "",
        name: "closed",
        kind: Kind::Table("`[[closed]]`, once for each"),
        default: "",
        meaning: "Recurring times in which drains of some reasons do not begin.",
    },
    Key {
        section: "table",
        name: "name",
        kind: Kind::Text("table name"),
        default: "\"ecs-drain\"",
        meaning: "Name of the table; `ecs-drain init` creates it. Flag `--table`, variable \
                  `ECS_DRAIN_TABLE`.",
    },
    Key {
        section: "table",
        name: "region",
        kind: Kind::Text("region"),
        default: "",
        meaning: "Region of the table; without it, the region of the environment \
                  (`AWS_REGION`, the profile). Flag `--table-region`, variable \
                  `ECS_DRAIN_TABLE_REGION`.",
    },
    Key {
        section: "poll",
        name: "groups",
        kind: Kind::Span(&POLL_GROUPS),
        default: "\"15s\"",
        meaning: "Time between two reads of a scope's Auto Scaling groups.",
    },
    Key {
        section: "scope",
        name: "region",
        kind: Kind::Text("region"),
        default: "required",
        meaning: "The AWS region, such as `eu-west-1`.",
    },
    Key {
        section: "scope",
        name: "hooks",
        kind: Kind::Names("lifecycle hook names, exact"),
        default: "required",
        meaning: "Names of the terminating lifecycle hooks that ecs-drain works under. It \
                  touches only instances that wait under one of them, and completes only these \
                  hooks. A hook with one of these names that is not for terminations is \
                  ignored. `ecs-managed-draining-termination-hook` is ECS's own and is \
                  refused.",
    },
    Key {
        section: "scope",
        name: "clusters",
        kind: Kind::Names("cluster names or patterns"),
        default: "[\"*\"]",
        meaning: "The clusters to work in. `*` stands for any characters, `?` for one.",
    },
    Key {
        section: "scope",
        name: "groups",
        kind: Kind::Table("`[scope.groups]` or `groups = { … }`"),
        default: "",
        meaning: "The Auto Scaling groups to work in. A group must match its names and all its \
                  tags.",
    },
    Key {
        section: "scope",
        name: "queue",
        kind: Kind::Text("queue URL"),
        default: "",
        meaning: "An SQS queue in this account and region with events from EventBridge: \
                  lifecycle notifications, Spot interruption warnings, rebalance \
                  recommendations, state changes of ECS tasks and container instances. SNS may \
                  deliver lifecycle notifications. Events make ecs-drain act sooner than \
                  polling. Spot and rebalance events need the queue.",
    },
    Key {
        section: "scope",
        name: "role",
        kind: Kind::Table("`[scope.role]` or `role = { … }`"),
        default: "",
        meaning: "An IAM role to assume for this scope, for another account.",
    },
    Key {
        section: "scope.groups",
        name: "names",
        kind: Kind::Names("group names or patterns"),
        default: "[\"*\"]",
        meaning: "Names of the Auto Scaling groups.",
    },
    Key {
        section: "scope.groups",
        name: "tags",
        kind: Kind::Table("`tags = { KEY = \"VALUE\" }`"),
        default: "{}",
        meaning: "Tags that a group must have. The value is exact; `\"*\"` means any value.",
    },
    Key {
        section: "scope.role",
        name: "arn",
        kind: Kind::Text("role ARN"),
        default: "required",
        meaning: "ARN of the role, such as `arn:aws:iam::123456789012:role/ecs-drain`.",
    },
    Key {
        section: "scope.role",
        name: "external_id",
        kind: Kind::Text("external id"),
        default: "",
        meaning: "The external id that the role's trust policy requires.",
    },
    Key {
        section: "tags",
        name: "groups",
        kind: Kind::Names("keys of `[policy]`, or `\"*\"` for all"),
        default: "[]",
        meaning: "Keys that the tags of an Auto Scaling group may set for its drains, such as \
                  `[\"deadline\", \"stuck_after\"]`. Everyone who may tag a group may then set them.",
    },
    Key {
        section: "override",
        name: "clusters",
        kind: Kind::Names("cluster names or patterns"),
        default: "",
        meaning: "The clusters of the override; without it, all. An instance in no cluster \
                  matches only overrides without it.",
    },
    Key {
        section: "override",
        name: "groups",
        kind: Kind::Names("group names or patterns"),
        default: "",
        meaning: "The Auto Scaling groups of the override; without it, all. With both, both \
                  must match.",
    },
    Key {
        section: POLICY,
        name: "strategy",
        kind: Kind::OneOf(&["drain", "deregister"]),
        default: "\"drain\"",
        meaning: "`drain` sets the container instance to `DRAINING` and lets ECS move its \
                  service tasks. `deregister` does that, too, and then deregisters the \
                  container instance with force once its standalone tasks are gone, at the \
                  earliest twice `read_lag` after ECS showed `DRAINING`.",
    },
    Key {
        section: POLICY,
        name: "daemon_tasks",
        kind: Kind::OneOf(&["ignore", "wait"]),
        default: "\"ignore\"",
        meaning: "`ignore`: tasks of daemon services run until the instance ends. `wait`: the \
                  drain waits for them.",
    },
    Key {
        section: POLICY,
        name: "standalone_tasks",
        kind: Kind::Text("`\"wait\"`, or `{ stop_after = \"10m\" }`"),
        default: "\"wait\"",
        meaning: "Treatment of standalone tasks, which `DRAINING` does not stop: wait for \
                  them, or stop them after the drain has waited this long.",
    },
    Key {
        section: POLICY,
        name: "not_in_cluster",
        kind: Kind::OneOf(&["complete", "hold"]),
        default: "\"complete\"",
        meaning: "Treatment of an instance that waits under an ecs-drain hook and is in no \
                  cluster: its lifecycle action is completed, or it is held until the hook \
                  expires.",
    },
    Key {
        section: POLICY,
        name: "not_in_cluster_after",
        kind: Kind::Span(&NOT_IN_CLUSTER_AFTER),
        default: "\"10m\"",
        meaning: "Time for which consecutive searches must find an instance in no cluster \
                  before `not_in_cluster` applies.",
    },
    Key {
        section: POLICY,
        name: "deadline",
        kind: Kind::SpanOr(&DEADLINE, "none"),
        default: "\"none\"",
        meaning: "Longest duration of a drain. `none`: as long as the hook allows, which is 48 \
                  hours or 100 heartbeat timeouts, the smaller.",
    },
    Key {
        section: POLICY,
        name: "at_deadline",
        kind: Kind::OneOf(&["continue", "abandon", "hold"]),
        default: "\"hold\"",
        meaning: "Action at the deadline: complete the lifecycle action (`continue`), abandon \
                  it (`abandon`, which also ends the waits under other hooks), or keep holding \
                  and report it (`hold`).",
    },
    Key {
        section: POLICY,
        name: "stuck_after",
        kind: Kind::Span(&STUCK_AFTER),
        default: "\"15m\"",
        meaning: "Time without progress after which a drain is reported as stuck.",
    },
    Key {
        section: POLICY,
        name: "agent_grace",
        kind: Kind::Span(&AGENT_GRACE),
        default: "\"10m\"",
        meaning: "Time for which the ECS agent must be disconnected before the instance can \
                  count as dead. The tasks of a dead instance are not waited for; its load \
                  balancer targets are.",
    },
    Key {
        section: POLICY,
        name: "disconnected_agent",
        kind: Kind::OneOf(&["wait", "excuse-dead", "excuse"]),
        default: "\"excuse-dead\"",
        meaning: "Waiting for the tasks of an instance whose ECS agent has been disconnected \
                  for `agent_grace`; nothing reports their state any more. `excuse-dead`: stop \
                  waiting if the Auto Scaling group calls the instance unhealthy, or a load \
                  balancer reports that it does not run. `wait`: keep waiting. `excuse`: stop \
                  waiting, although containers may still run.",
    },
    Key {
        section: POLICY,
        name: "network_settle",
        kind: Kind::Span(&NETWORK_SETTLE),
        default: "\"2m\"",
        meaning: "Time that a network load balancer gets after its target was first seen \
                  leaving, because it can still send new connections. `0s` gives it none.",
    },
    Key {
        section: POLICY,
        name: "max_concurrent",
        kind: Kind::Text(
            "a number, or a share of the cluster's container instances such as `\"10%\"`",
        ),
        default: "1",
        meaning: "Largest number of drains that run at once in a cluster. Every drain counts, \
                  whatever began it; requested and rebalance drains without room wait in \
                  `Pending`. A share is rounded down, to at least one.",
    },
    Key {
        section: POLICY,
        name: "max_concurrent_group",
        kind: Kind::Text("as `max_concurrent`, a share of the group's instances; or `\"none\"`"),
        default: "\"none\"",
        meaning: "The same for each Auto Scaling group.",
    },
    Key {
        section: POLICY,
        name: "max_concurrent_service",
        kind: Kind::Text("as `max_concurrent`, a share of the desired count; or `\"none\"`"),
        default: "\"none\"",
        meaning: "The same for the tasks of each replica service that run on draining \
                  instances. An instance with more of them drains while no other has any.",
    },
    Key {
        section: POLICY,
        name: "require_steady",
        kind: Kind::Flag,
        default: "false",
        meaning: "A drain also waits while a replica service with tasks on the instance runs \
                  fewer tasks than its desired count, or while a deployment of it is in \
                  progress.",
    },
    Key {
        section: POLICY,
        name: "service_tags",
        kind: Kind::Flag,
        default: "false",
        meaning: "A drain also waits while a replica service with tasks on the instance has the \
                  tag `ecs-drain:do-not-disrupt`, with `true`, a date, or a moment until which \
                  it holds.",
    },
    Key {
        section: POLICY,
        name: "hold_lifecycle",
        kind: Kind::Flag,
        default: "false",
        meaning: "Instances that wait under a lifecycle hook wait for the budgets, \
                  `require_steady` and `service_tags`, too. Such a drain always starts in the last half hour of \
                  its wait, or in the last half of a shorter one. Drains of spot interruptions \
                  and of instances that their group calls unhealthy never wait.",
    },
    Key {
        section: POLICY,
        name: "rebalance",
        kind: Kind::OneOf(&["ignore", "terminate", "keep"]),
        default: "\"ignore\"",
        meaning: "Action on an EC2 rebalance recommendation: none; drain the instance and have \
                  its Auto Scaling group replace it; or drain it and keep it. It needs a \
                  `queue`.",
    },
    Key {
        section: POLICY,
        name: "read_lag",
        kind: Kind::Span(&READ_LAG),
        default: "\"60s\"",
        meaning: "Longest time that a read of AWS may lag behind the truth. The check that \
                  everything is gone waits this long after ECS stopped placing tasks, and \
                  again between its two lists of tasks.",
    },
    Key {
        section: POLICY,
        name: "looks_apart",
        kind: Kind::Span(&LOOKS_APART),
        default: "\"10s\"",
        meaning: "Least time between the two reads that show a target gone.",
    },
    Key {
        section: POLICY,
        name: "blind_margin",
        kind: Kind::Span(&BLIND_MARGIN),
        default: "\"5m\"",
        meaning: "If the deadline has passed and AWS cannot be read, `at_deadline` is applied \
                  this long before the hook expires.",
    },
    Key {
        section: POLICY,
        name: "poll",
        kind: Kind::Span(&POLL),
        default: "\"5s\"",
        meaning: "Time between two reads while something is left.",
    },
    Key {
        section: POLICY,
        name: "keep_finished",
        kind: Kind::Span(&KEEP_FINISHED),
        default: "\"7d\"",
        meaning: "Time for which a finished drain's record is kept (DynamoDB's TTL deletes \
                  it).",
    },
    Key {
        section: "policy.standalone_tasks",
        name: "stop_after",
        kind: Kind::Span(&STOP_AFTER),
        default: "required",
        meaning: "Time for which a drain waits for standalone tasks before it stops them.",
    },
    Key {
        section: "closed",
        name: "name",
        kind: Kind::Text("name"),
        default: "required",
        meaning: "Name of the window. Each drain that waits for its end shows it.",
    },
    Key {
        section: "closed",
        name: "schedule",
        kind: Kind::Text("five fields of cron"),
        default: "required",
        meaning: "When the window begins: minute, hour, day of the month, month, day of the week, \
                  such as `0 8 * * MON-FRI`. Each field is `*`, a value, a range, or a list of \
                  these; a step such as `/15` follows `*` or a range. If neither kind of day \
                  begins with `*`, a day of either kind counts.",
    },
    Key {
        section: "closed",
        name: "duration",
        kind: Kind::Span(&CLOSED_DURATION),
        default: "required",
        meaning: "Time from each beginning to its end. It is real time: a window of `24h` ends an \
                  hour early on a day of 25 hours.",
    },
    Key {
        section: "closed",
        name: "zone",
        kind: Kind::Text("IANA time zone"),
        default: "\"UTC\"",
        meaning: "Time zone of the schedule, such as `Europe/Berlin`. A time that its clocks skip \
                  is the end of the gap; of a time that they show twice, the first counts. The \
                  zones are part of ecs-drain; the machine needs none.",
    },
    Key {
        section: "closed",
        name: "reasons",
        kind: Kind::Names("`\"request\"`, `\"rebalance\"`, `\"scale-in\"`"),
        default: "[\"request\", \"rebalance\"]",
        meaning: "The drains that do not begin in the window: those that an operator requested; \
                  those of a rebalance recommendation; and those of instances that wait under a \
                  lifecycle hook. The last begin all the same in the last half hour of their \
                  wait, or in the last half of a shorter one. Spot interruptions and unhealthy \
                  instances never wait. A drain that has begun continues.",
    },
    Key {
        section: "closed",
        name: "clusters",
        kind: Kind::Names("cluster names or patterns"),
        default: "[\"*\"]",
        meaning: "The clusters of the window.",
    },
];
