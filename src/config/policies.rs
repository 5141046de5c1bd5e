//! Policies: a default, and overrides by cluster and group, in the order of the file.

use crate::config::closed::{self, Closed};
use crate::config::error::Problems;
use crate::config::keys;
use crate::config::pattern::Patterns;
use crate::config::reader::{Fields, Node};
use crate::config::scope::patterns;
use crate::config::tags;
use ecs_drain_state::{
    AtDeadline, Concurrency, DaemonTasks, DisconnectedAgent, NotInCluster, Policy, Rebalance,
    StandaloneTasks, Strategy,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// Policies for all drains.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    default: Policy,
    overrides: Vec<Override>,
    closed: Vec<Closed>,
    /// Keys that tags of groups may set.
    tagged: BTreeSet<&'static str>,
}

/// Policy for some clusters or groups.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    /// Clusters that it applies to; `None` for all, and for instances in no cluster.
    pub clusters: Option<Patterns>,
    /// Auto Scaling groups that it applies to; `None` for all.
    pub groups: Option<Patterns>,
    rules: Rules,
}

/// Keys that one section gives. The others keep the values of the sections before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rules {
    strategy: Option<Strategy>,
    daemon_tasks: Option<DaemonTasks>,
    standalone_tasks: Option<StandaloneTasks>,
    not_in_cluster: Option<NotInCluster>,
    not_in_cluster_after: Option<Duration>,
    deadline: Option<Option<Duration>>,
    at_deadline: Option<AtDeadline>,
    read_lag: Option<Duration>,
    looks_apart: Option<Duration>,
    stuck_after: Option<Duration>,
    agent_grace: Option<Duration>,
    disconnected_agent: Option<DisconnectedAgent>,
    network_settle: Option<Duration>,
    max_concurrent: Option<Concurrency>,
    max_concurrent_group: Option<Option<Concurrency>>,
    max_concurrent_service: Option<Option<Concurrency>>,
    require_steady: Option<bool>,
    service_tags: Option<bool>,
    hold_lifecycle: Option<bool>,
    rebalance: Option<Rebalance>,
    blind_margin: Option<Duration>,
    poll: Option<Duration>,
    keep_finished: Option<Duration>,
}

impl Policies {
    /// Returns the policy without overrides.
    pub fn default_policy(&self) -> &Policy {
        &self.default
    }

    /// Returns the overrides, in the order of the file.
    pub(crate) fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Returns the names of the closed windows, in the order of the file.
    pub(crate) fn closed_windows(&self) -> impl Iterator<Item = &str> {
        self.closed.iter().map(Closed::name)
    }

    /// Returns the keys that tags of groups may set.
    pub(crate) fn tagged(&self) -> &BTreeSet<&'static str> {
        &self.tagged
    }

    /// Returns whether any policy acts on rebalance recommendations.
    pub(crate) fn act_on_rebalance(&self) -> bool {
        self.anywhere(
            "rebalance",
            self.default.rebalance,
            |rules| rules.rebalance,
            |rebalance| *rebalance != Rebalance::Ignore,
        )
    }

    /// Returns whether any policy ends a rebalance recommendation with a termination.
    pub(crate) fn terminate(&self) -> bool {
        self.anywhere(
            "rebalance",
            self.default.rebalance,
            |rules| rules.rebalance,
            |rebalance| *rebalance == Rebalance::Terminate,
        )
    }

    /// Returns whether any policy heeds the tags of services.
    pub(crate) fn heed_services(&self) -> bool {
        self.anywhere(
            "service_tags",
            self.default.service_tags,
            |rules| rules.service_tags,
            |heeds| *heeds,
        )
    }

    /// Returns whether any policy deregisters container instances.
    pub fn deregister(&self) -> bool {
        self.anywhere(
            "strategy",
            self.default.strategy,
            |rules| rules.strategy,
            |strategy| *strategy == Strategy::Deregister,
        )
    }

    /// Returns whether any policy stops standalone tasks.
    pub fn stop_standalone_tasks(&self) -> bool {
        let default = self.default.standalone_tasks;
        self.anywhere(
            "standalone_tasks",
            default,
            |rules| rules.standalone_tasks,
            |tasks| *tasks != StandaloneTasks::Wait,
        )
    }

    /// Returns whether a value of the key holds in the default or in any override, or may hold
    /// because tags may set the key.
    fn anywhere<T>(
        &self,
        key: &str,
        default: T,
        given: fn(&Rules) -> Option<T>,
        is_so: fn(&T) -> bool,
    ) -> bool {
        let tagged = self.tagged.contains(key);
        let mut rules = self.overrides.iter().filter_map(|other| given(&other.rules));
        tagged || rules.any(|rule| is_so(&rule)) || is_so(&default)
    }

    /// Returns the policy for a drain of an instance in this cluster and this Auto Scaling group
    /// (`None`: in none), without the tags of the group.
    pub fn for_drain(&self, cluster: Option<&str>, group: Option<&str>) -> Policy {
        let mut policy = self.default.clone();
        for other in self.overrides.iter().filter(|other| other.is_for(cluster, group)) {
            other.rules.apply(&mut policy);
        }
        policy.closed = self.closed.iter().filter_map(|closed| closed.of(cluster)).collect();
        policy
    }
}

impl Override {
    fn is_for(&self, cluster: Option<&str>, group: Option<&str>) -> bool {
        self.clusters
            .as_ref()
            .is_none_or(|patterns| cluster.is_some_and(|name| patterns.matches(name)))
            && self
                .groups
                .as_ref()
                .is_none_or(|patterns| group.is_some_and(|name| patterns.matches(name)))
    }
}

impl Rules {
    pub(super) fn apply(&self, policy: &mut Policy) {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        set(&mut policy.strategy, &self.strategy);
        set(&mut policy.daemon_tasks, &self.daemon_tasks);
        set(&mut policy.standalone_tasks, &self.standalone_tasks);
        set(&mut policy.not_in_cluster, &self.not_in_cluster);
        set(&mut policy.not_in_cluster_after, &self.not_in_cluster_after);
        set(&mut policy.deadline, &self.deadline);
        set(&mut policy.at_deadline, &self.at_deadline);
        set(&mut policy.read_lag, &self.read_lag);
        set(&mut policy.looks_apart, &self.looks_apart);
        set(&mut policy.stuck_after, &self.stuck_after);
        set(&mut policy.agent_grace, &self.agent_grace);
        set(&mut policy.disconnected_agent, &self.disconnected_agent);
        set(&mut policy.network_settle, &self.network_settle);
        set(&mut policy.max_concurrent, &self.max_concurrent);
        set(&mut policy.max_concurrent_group, &self.max_concurrent_group);
        set(&mut policy.max_concurrent_service, &self.max_concurrent_service);
        set(&mut policy.require_steady, &self.require_steady);
        set(&mut policy.service_tags, &self.service_tags);
        set(&mut policy.hold_lifecycle, &self.hold_lifecycle);
        set(&mut policy.rebalance, &self.rebalance);
        set(&mut policy.blind_margin, &self.blind_margin);
        set(&mut policy.poll, &self.poll);
        set(&mut policy.keep_finished, &self.keep_finished);
    }
}

/// Reads `[policy]`, every `[[override]]` and every `[[closed]]`.
pub(super) fn read_all(root: &Fields<'_>, problems: &mut Problems) -> Policies {
    let mut sections: Vec<(Fields<'_>, Rules)> = Vec::new();
    let mut default = Policy::default();
    if let Some(fields) = root.table("policy", "policy", problems) {
        let rules = read(&fields, problems);
        rules.apply(&mut default);
        sections.push((fields, rules));
    }
    let mut overrides = Vec::new();
    for fields in root.tables("override", "override", problems) {
        let clusters = fields.get("clusters").and_then(|node| patterns(&node, problems));
        let groups = fields.get("groups").and_then(|node| patterns(&node, problems));
        if fields.get("clusters").is_none() && fields.get("groups").is_none() {
            problems.at(
                fields.place(),
                format!(
                    "{} names neither clusters nor groups; rules for all belong in [policy]",
                    fields.path()
                ),
            );
        }
        let rules = read(&fields, problems);
        overrides.push(Override { clusters, groups, rules: rules.clone() });
        sections.push((fields, rules));
    }
    let tagged = tags::read_listed(root, problems);
    check_deadlines(&sections, tagged.contains("deadline"), problems);
    Policies { default, overrides, closed: closed::read_all(root, problems), tagged }
}

/// Reads the keys of one section, or of a tag.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Rules {
    let mut span =
        |name: &str, limits| fields.get(name).and_then(|node| node.span(limits, problems));
    let rules = Rules {
        not_in_cluster_after: span("not_in_cluster_after", &keys::NOT_IN_CLUSTER_AFTER),
        read_lag: span("read_lag", &keys::READ_LAG),
        looks_apart: span("looks_apart", &keys::LOOKS_APART),
        stuck_after: span("stuck_after", &keys::STUCK_AFTER),
        agent_grace: span("agent_grace", &keys::AGENT_GRACE),
        network_settle: span("network_settle", &keys::NETWORK_SETTLE),
        blind_margin: span("blind_margin", &keys::BLIND_MARGIN),
        poll: span("poll", &keys::POLL),
        keep_finished: span("keep_finished", &keys::KEEP_FINISHED),
        ..Rules::default()
    };
    let get = |name: &str| fields.get(name);
    Rules {
        strategy: get("strategy").and_then(|node| {
            node.choice(
                &[("drain", Strategy::Drain), ("deregister", Strategy::Deregister)],
                problems,
            )
        }),
        daemon_tasks: get("daemon_tasks").and_then(|node| {
            node.choice(&[("ignore", DaemonTasks::Ignore), ("wait", DaemonTasks::Wait)], problems)
        }),
        standalone_tasks: get("standalone_tasks")
            .and_then(|node| standalone_tasks(&node, problems)),
        not_in_cluster: get("not_in_cluster").and_then(|node| {
            node.choice(
                &[("complete", NotInCluster::Complete), ("hold", NotInCluster::Hold)],
                problems,
            )
        }),
        deadline: get("deadline").and_then(|node| deadline(&node, problems)),
        disconnected_agent: get("disconnected_agent")
            .and_then(|node| node.choice(DISCONNECTED_AGENT, problems)),
        max_concurrent: get("max_concurrent").and_then(|node| concurrency(&node, problems)),
        max_concurrent_group: get("max_concurrent_group")
            .and_then(|node| concurrency_or_none(&node, problems)),
        max_concurrent_service: get("max_concurrent_service")
            .and_then(|node| concurrency_or_none(&node, problems)),
        require_steady: get("require_steady").and_then(|node| node.flag(problems)),
        service_tags: get("service_tags").and_then(|node| node.flag(problems)),
        hold_lifecycle: get("hold_lifecycle").and_then(|node| node.flag(problems)),
        rebalance: get("rebalance").and_then(|node| node.choice(REBALANCE, problems)),
        at_deadline: get("at_deadline").and_then(|node| node.choice(AT_DEADLINE, problems)),
        ..rules
    }
}

const AT_DEADLINE: &[(&str, AtDeadline)] = &[
    ("continue", AtDeadline::Continue),
    ("abandon", AtDeadline::Abandon),
    ("hold", AtDeadline::Hold),
];

const DISCONNECTED_AGENT: &[(&str, DisconnectedAgent)] = &[
    ("wait", DisconnectedAgent::Wait),
    ("excuse-dead", DisconnectedAgent::ExcuseDead),
    ("excuse", DisconnectedAgent::Excuse),
];

const REBALANCE: &[(&str, Rebalance)] = &[
    ("ignore", Rebalance::Ignore),
    ("terminate", Rebalance::Terminate),
    ("keep", Rebalance::Keep),
];

/// Reads `3`, or `"10%"`.
fn concurrency(node: &Node<'_>, problems: &mut Problems) -> Option<Concurrency> {
    let count = node.number().filter(|n| *n >= 1).map(Concurrency::Count);
    let percent = node.word().and_then(|text| text.strip_suffix('%')?.parse().ok());
    let percent = percent.filter(|n| (1..=100).contains(n)).map(Concurrency::Percent);
    let read = count.or(percent);
    if read.is_none() {
        node.refuse("it must be a number, 1 or more, or a share such as \"10%\"", problems);
    }
    read
}

/// Reads `3`, `"10%"`, or `"none"`.
fn concurrency_or_none(node: &Node<'_>, problems: &mut Problems) -> Option<Option<Concurrency>> {
    if node.is_word("none") { Some(None) } else { concurrency(node, problems).map(Some) }
}

fn standalone_tasks(node: &Node<'_>, problems: &mut Problems) -> Option<StandaloneTasks> {
    if node.is_table() {
        let fields = node.fields("policy.standalone_tasks", problems)?;
        let after = fields.require("stop_after", problems)?.span(&keys::STOP_AFTER, problems)?;
        return Some(StandaloneTasks::StopAfter(after));
    }
    match (node.string(problems)?, node.is_tag()) {
        ("wait", _) => Some(StandaloneTasks::Wait),
        (_, false) => {
            node.refuse("it must be \"wait\" or { stop_after = \"10m\" }", problems);
            None
        }
        (_, true) => {
            node.refuse("it must be wait, or stop-after=10m with a duration", problems);
            None
        }
    }
}

fn deadline(node: &Node<'_>, problems: &mut Problems) -> Option<Option<Duration>> {
    match node.string(problems)? {
        "none" => Some(None),
        _ => node.span(&keys::DEADLINE, problems).map(Some),
    }
}

/// Refuses `at_deadline` if no deadline can apply to it: it would have no effect.
fn check_deadlines(sections: &[(Fields<'_>, Rules)], tagged: bool, problems: &mut Problems) {
    // An override may give one of the two keys and leave the other to another section, or a tag.
    let somewhere =
        tagged || sections.iter().any(|(_, rules)| matches!(rules.deadline, Some(Some(_))));
    for (fields, rules) in sections {
        let here = match rules.deadline {
            Some(given) => given.is_some(),
            // A deadline that was given and refused is reported only once.
            None => somewhere || fields.get("deadline").is_some(),
        };
        if let (Some(node), Some(_), false) = (fields.get("at_deadline"), rules.at_deadline, here) {
            node.refuse(
                "it has no effect without a deadline; give one, such as deadline = \"2h\"",
                problems,
            );
        }
    }
}
