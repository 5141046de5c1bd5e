//! What Auto Scaling says: every group and its members, read for all drains at once.

use super::{Subject, member_sight};
use crate::aws::{HookView, Session};
use crate::controller::Clock;
use ecs_drain_state::{Balancer, GroupSight, Mono, Obligation, Record, Seen, Target};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// One complete read of every Auto Scaling group of a scope.
#[derive(Debug)]
pub struct GroupsView {
    /// When it began.
    pub begun: Mono,
    /// Every group, by name.
    pub groups: BTreeMap<String, GroupInfo>,
    /// Every instance of a group or of its warm pool, by EC2 instance id.
    pub members: BTreeMap<String, Member>,
}

/// What is known of one group.
#[derive(Clone, Debug)]
pub struct GroupInfo {
    /// The group's tags.
    pub tags: BTreeMap<String, String>,
    /// Target groups that are attached to the group itself, by ARN.
    pub target_groups: Vec<String>,
    /// Classic load balancers that are attached to the group itself, by name.
    pub classic: Vec<String>,
    /// Whether it keeps an instance whose termination is abandoned.
    pub retains_abandoned: bool,
    /// Its lifecycle hooks; unknown until an instance of it waits, so that idle groups cost no call.
    pub hooks: Seen<Vec<HookView>>,
}

/// An instance as its group shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the group.
    pub group: String,
    /// Auto Scaling's `LifecycleState`.
    pub state: String,
    /// Whether the group calls it healthy.
    pub healthy: bool,
}

/// How long the hooks of a group are believed.
const HOOKS_LAST: Mono = Mono::from_secs(120);

/// Hooks that were read, by group, with when.
pub type HooksCache = BTreeMap<String, (Mono, Seen<Vec<HookView>>)>;

/// Reads every group, the warm pools, and the hooks of those groups in which an instance waits.
///
/// # Errors
/// When the list of groups or a warm pool could not be read completely: then nothing is said of any instance.
pub async fn read_groups(
    session: &Session,
    clock: &Clock,
    hooks: &mut HooksCache,
) -> Result<Rc<GroupsView>, crate::aws::AwsError> {
    let begun = clock.mono();
    let mut view = GroupsView { begun, groups: BTreeMap::new(), members: BTreeMap::new() };
    for group in session.autoscaling.groups(None, true).await? {
        // DescribeAutoScalingGroups leaves the members of a warm pool out.
        let pool = if group.has_warm_pool { session.autoscaling.warm_pool(&group.name).await? } else { Vec::new() };
        let mut waits = false;
        for member in group.members.into_iter().chain(pool) {
            waits |= super::is_waiting(&member.lifecycle_state);
            let state = Member { group: group.name.clone(), state: member.lifecycle_state, healthy: member.healthy };
            view.members.insert(member.instance_id, state);
        }
        let known = hooks.get(&group.name);
        let fresh = known.is_some_and(|(read, hooks)| begun < *read + HOOKS_LAST && hooks.known().is_some());
        if waits && !fresh {
            let answer = match session.autoscaling.hooks(&group.name).await {
                Ok(all) => Seen::Yes(all),
                Err(error) => Seen::Unknown(error.to_string()),
            };
            hooks.insert(group.name.clone(), (begun, answer));
        }
        let hooks = match hooks.get(&group.name) {
            Some((_, hooks)) => hooks.clone(),
            None => Seen::Unknown("no instance of the group waits, so its hooks were not read".to_owned()),
        };
        let info = GroupInfo {
            tags: group.tags,
            target_groups: group.target_groups,
            classic: group.classic,
            retains_abandoned: group.retains_abandoned,
            hooks,
        };
        view.groups.insert(group.name, info);
    }
    hooks.retain(|name, _| view.groups.contains_key(name));
    Ok(Rc::new(view))
}

/// Asks `DescribeAutoScalingInstances` for the subjects that the groups do not show: only if that agrees is an instance
/// absent. The answer holds every instance that was asked for and found, or why it is unknown.
pub(super) async fn confirm_absent(
    session: &Session,
    view: Option<&GroupsView>,
    subjects: &[Subject<'_>],
) -> Seen<BTreeMap<String, Member>> {
    let Some(view) = view else { return Seen::Unknown("the groups have not been read yet".to_owned()) };
    let ids: BTreeSet<&str> =
        subjects.iter().map(|s| s.record.instance_id.as_str()).filter(|id| !view.members.contains_key(*id)).collect();
    if ids.is_empty() {
        return Seen::Yes(BTreeMap::new());
    }
    let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
    match session.autoscaling.instances(&ids).await {
        Ok(found) => Seen::Yes(
            found
                .into_iter()
                .map(|(m, group)| (m.instance_id, Member { group, state: m.lifecycle_state, healthy: m.healthy }))
                .collect(),
        ),
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

/// What Auto Scaling says of one drain's instance, and when that read began.
pub(super) fn sight(
    view: Option<&GroupsView>,
    asked: &Seen<BTreeMap<String, Member>>,
    record: &Record,
    our_hooks: &BTreeSet<String>,
    now: Mono,
) -> (Seen<GroupSight>, Mono) {
    let Some(view) = view else { return (Seen::Unknown("the groups have not been read yet".to_owned()), now) };
    let sight = |member: &Member| member_sight(member, view.groups.get(&member.group), record, our_hooks);
    if let Some(member) = view.members.get(&record.instance_id) {
        return (Seen::Yes(sight(member)), view.begun);
    }
    match asked {
        Seen::Yes(found) => match found.get(&record.instance_id) {
            Some(member) => (Seen::Yes(sight(member)), now),
            None => (Seen::Yes(GroupSight::Absent), view.begun),
        },
        Seen::Unknown(why) => (Seen::Unknown(why.clone()), view.begun),
    }
}

/// Balancers that are attached to the group itself know the instance too. (Auto Scaling deregisters it from them
/// before the wait begins; that is looked at, not believed.)
pub(super) fn add_balancers_of_group(
    obligations: &mut Seen<Vec<Obligation>>,
    view: Option<&GroupsView>,
    record: &Record,
    now: Timestamp,
) {
    let Seen::Yes(all) = obligations else { return };
    let Some(view) = view else {
        *obligations = Seen::Unknown("the groups have not been read yet".to_owned());
        return;
    };
    let Some(info) = record.group().and_then(|group| view.groups.get(group)) else { return };
    let target_groups = info.target_groups.iter().cloned().map(Balancer::TargetGroup);
    let classic = info.classic.iter().cloned().map(Balancer::ClassicLoadBalancer);
    let target = || Target::Instance(record.instance_id.clone());
    let of_group = |balancer| Obligation { of_group_alone: true, ..Obligation::new(balancer, target(), now) };
    all.extend(target_groups.chain(classic).map(of_group));
}
