//! What Auto Scaling says: every group and its members, read for all drains at once.

use crate::aws::{AwsError, GroupView, HookView, Session};
use crate::clock::Clock;
use crate::groups::{GroupInfo, GroupsView, Member, is_waiting};
use ecs_drain_state::{Balancer, GroupSight, HookSight, LifecycleState, Mono, Obligation, Read, Record, Seen, Target};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// How long the hooks of a group are believed.
const HOOKS_LAST: Duration = Duration::from_secs(120);

/// The same while none of its instances waits: they are known before one does.
const IDLE_HOOKS_LAST: Duration = Duration::from_secs(300);

/// The same while they cannot be read.
const HOOKS_BELIEVED: Duration = Duration::from_secs(600);

/// How many groups' hooks are read again in one look, at most, those that were read the longest ago first: where many groups
/// wait at once, heartbeats and completions need the rate.
const AGAIN_AT_ONCE: usize = 20;

/// How many groups are asked for their warm pool, or their hooks, at once.
const AT_ONCE: usize = 8;

/// Hooks that were read, by group, with when.
pub type HooksCache = BTreeMap<String, (Mono, Seen<Vec<HookView>>)>;

/// Reads every group, the warm pools, and the hooks of selected groups: often where an instance waits. `ours` are the names of
/// ecs-drain's hooks.
///
/// # Errors
/// When the list of groups could not be read completely: then nothing is said of any instance. A warm pool that cannot be
/// read concerns its group alone.
pub async fn read_groups(
    session: &Session,
    clock: &Clock,
    hooks: &mut HooksCache,
    ours: &BTreeSet<String>,
    selects: impl Fn(&str, &BTreeMap<String, String>) -> bool,
) -> Result<Rc<GroupsView>, AwsError> {
    let begun = clock.mono();
    let mut view = GroupsView {
        read: Read { began: begun, ended: begun },
        unread: BTreeSet::new(),
        groups: BTreeMap::new(),
        members: BTreeMap::new(),
    };
    let mut groups: Vec<(GroupView, Use)> = Vec::new();
    let listed = session.autoscaling.groups(None, true).await?;
    // DescribeAutoScalingGroups leaves the members of a warm pool out.
    let has_pool = |group: &&GroupView| group.has_warm_pool && selects(&group.name, &group.tags);
    let names = listed.iter().filter(has_pool).map(|group| group.name.clone()).collect();
    let mut pools = each(names, async |name| session.autoscaling.warm_pool(name).await).await;
    for mut group in listed {
        let selected = selects(&group.name, &group.tags);
        let mut waits = false;
        let pool = pools.remove(&group.name).map_or(Ok(Vec::new()), |pool| pool).unwrap_or_else(|error| {
            tracing::error!(group = group.name, %error, "cannot read a warm pool; nothing is said of its instances");
            view.unread.insert(group.name.clone());
            Vec::new()
        });
        for member in std::mem::take(&mut group.members).into_iter().chain(pool) {
            waits |= selected && is_waiting(&member.lifecycle_state);
            let state = Member { group: group.name.clone(), state: member.lifecycle_state, healthy: member.healthy };
            view.members.insert(member.instance_id, state);
        }
        groups.push((group, Use { selected, waits }));
    }
    let again = stale(&groups, hooks, begun);
    let is_asked = |(group, of): &&(GroupView, Use)| {
        // What could not be read is asked again where it matters.
        let known = hooks.get(&group.name).is_some_and(|(_, hooks)| hooks.known().is_some() || !of.waits);
        of.selected && (!known || again.contains(&group.name))
    };
    let names = groups.iter().filter(is_asked).map(|(group, _)| group.name.clone()).collect();
    let mut answers = each(names, async |name| session.autoscaling.hooks(name).await).await;
    for (group, _) in groups {
        if let Some(answer) = answers.remove(&group.name) {
            let answer = match answer {
                Ok(all) => (begun, Seen::Yes(all)),
                // A hook of ours that was there is believed on for a while. That there was none is not.
                Err(error) => {
                    let ours = |hook: &HookView| hook.terminating && ours.contains(&hook.name);
                    let holds = |(read, known): &(Mono, Seen<Vec<HookView>>)| {
                        begun.since(*read) < HOOKS_BELIEVED && known.known().is_some_and(|all| all.iter().any(ours))
                    };
                    let before = hooks.remove(&group.name).filter(holds);
                    before.unwrap_or_else(|| (begun, Seen::Unknown(error.to_string())))
                }
            };
            hooks.insert(group.name.clone(), answer);
        }
        let hooks = match hooks.get(&group.name) {
            Some((_, hooks)) => hooks.clone(),
            None => Seen::Unknown("the group is not selected, so its hooks were not read".to_owned()),
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
    view.read.ended = clock.mono();
    Ok(Rc::new(view))
}

/// Asks something of each group, of some at once: a look must not take minutes where calls wait for their turn.
async fn each<T>(
    names: Vec<String>,
    ask: impl AsyncFn(&str) -> Result<T, AwsError>,
) -> BTreeMap<String, Result<T, AwsError>> {
    let ask = &ask;
    let asked = stream::iter(names).map(async move |name| {
        let answer = ask(&name).await;
        (name, answer)
    });
    asked.buffered(AT_ONCE).collect().await
}

/// How a group matters.
struct Use {
    /// The configuration names it.
    selected: bool,
    /// An instance of it, or of its warm pool, waits.
    waits: bool,
}

/// The groups whose hooks are to be read again.
fn stale(groups: &[(GroupView, Use)], hooks: &HooksCache, now: Mono) -> BTreeSet<String> {
    let mut stale: Vec<(Mono, &str)> = Vec::new();
    for (group, of) in groups {
        let Some((read, _)) = hooks.get(&group.name) else { continue };
        if now >= *read + if of.waits { HOOKS_LAST } else { IDLE_HOOKS_LAST } {
            stale.push((*read, &group.name));
        }
    }
    stale.sort_unstable();
    stale.into_iter().take(AGAIN_AT_ONCE).map(|(_, name)| name.to_owned()).collect()
}

/// Asks `DescribeAutoScalingInstances` for instances that the groups do not show: only if that agrees is one absent. Gives
/// every instance that was found, or why that is unknown.
pub async fn absent(session: &Session, ids: &[String]) -> Seen<BTreeMap<String, Member>> {
    if ids.is_empty() {
        return Seen::Yes(BTreeMap::new());
    }
    match session.autoscaling.instances(ids).await {
        Ok(found) => Seen::Yes(
            found
                .into_iter()
                .map(|(m, group)| (m.instance_id, Member { group, state: m.lifecycle_state, healthy: m.healthy }))
                .collect(),
        ),
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

/// What Auto Scaling says of one drain's instance. `asked` is what [`absent`] answered for those that the groups do not
/// show.
pub fn sight(
    view: &GroupsView,
    asked: &Seen<BTreeMap<String, Member>>,
    record: &Record,
    our_hooks: &BTreeSet<String>,
) -> Seen<GroupSight> {
    let sight = |member: &Member| member_sight(member, view.groups.get(&member.group), record, our_hooks);
    if let Some(member) = view.members.get(&record.instance_id) {
        return if view.unread.contains(&member.group) {
            Seen::Unknown(format!("the warm pool of group {} could not be read", member.group))
        } else {
            Seen::Yes(sight(member))
        };
    }
    match asked {
        Seen::Yes(found) => match found.get(&record.instance_id) {
            Some(member) => Seen::Yes(sight(member)),
            None if view.unread.is_empty() => Seen::Yes(GroupSight::Absent),
            None => Seen::Unknown("a warm pool could not be read".to_owned()),
        },
        Seen::Unknown(why) => Seen::Unknown(why.clone()),
    }
}

/// What a group says, as far as a drain cares. The drain's hook is the one that its lifecycle action is held by, or any of
/// the configured ones while there is none.
fn member_sight(
    member: &Member,
    info: Option<&GroupInfo>,
    record: &Record,
    our_hooks: &BTreeSet<String>,
) -> GroupSight {
    let is_ours = |name: &String| match &record.lifecycle {
        Some(lifecycle) => lifecycle.hook == *name,
        None => our_hooks.contains(name),
    };
    let hook = match info.map(|info| (&info.hooks, info.retains_abandoned)) {
        None => Seen::Unknown(format!("group {} was not read", member.group)),
        Some((Seen::Unknown(why), _)) => Seen::Unknown(why.clone()),
        Some((Seen::Yes(hooks), retains_abandoned)) => {
            let terminating = || hooks.iter().filter(|h| h.terminating);
            Seen::Yes(terminating().find(|h| is_ours(&h.name)).map(|h| HookSight {
                heartbeat_timeout_seconds: h.heartbeat_timeout_seconds,
                global_timeout_seconds: h.global_timeout_seconds,
                default_result: h.default_result,
                others: terminating().filter(|h| !is_ours(&h.name)).map(|h| h.name.clone()).collect(),
                retains_abandoned,
            }))
        }
    };
    GroupSight::Member {
        group: member.group.clone(),
        state: LifecycleState::read(&member.state),
        healthy: member.healthy,
        hook,
    }
}

/// The targets that a group's own attachments give an instance. (Auto Scaling deregisters it from them before the wait
/// begins; that is looked at, not believed.)
pub fn attachments(view: &GroupsView, record: &Record, now: Timestamp) -> Vec<Obligation> {
    let Some(info) = record.group().and_then(|group| view.groups.get(group)) else { return Vec::new() };
    let target_groups = info.target_groups.iter().cloned().map(Balancer::TargetGroup);
    let classic = info.classic.iter().cloned().map(Balancer::ClassicLoadBalancer);
    let target = || Target::Instance(record.instance_id.clone());
    let of_group = |balancer| Obligation { of_group_alone: true, ..Obligation::new(balancer, target(), now) };
    target_groups.chain(classic).map(of_group).collect()
}
