//! Reads Auto Scaling groups and their members, for all drains at once.

use crate::aws::calls::{DESCRIBE_LIFECYCLE_HOOKS, DESCRIBE_WARM_POOL};
use crate::aws::{AwsError, Call, GroupView, HookView, MemberView, Session};
use crate::clock::Clock;
use crate::groups::{GroupInfo, GroupsView, Member, is_waiting};
use ecs_drain_state::{
    Balancer, GroupSight, HookSight, LifecycleState, Mono, Obligation, Read, Record, Seen, Target,
};
use futures_util::future::{join, ready};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Time for which the hooks of a group are used.
const HOOKS_LAST: Duration = Duration::from_secs(120);

/// The same while none of its instances waits. They are then known before one does.
const IDLE_HOOKS_LAST: Duration = Duration::from_secs(300);

/// The same while they cannot be read.
const HOOKS_BELIEVED: Duration = Duration::from_secs(600);

/// Groups whose hooks are read again in one pass, at most, the oldest first. While many groups wait
/// at once, heartbeats and completions need the rate.
const AGAIN_AT_ONCE: usize = 20;

/// Groups whose warm pool or hooks are read at once.
const AT_ONCE: usize = 8;

/// Time after which a pass stops reading warm pools and hooks, because the next pass must see waits
/// that begin meanwhile. The groups without an answer come first in the next pass.
const ASKED_FOR: Duration = Duration::from_secs(30);

/// Error of a group that was not read in time.
const LATE: &str = "no answer within half a minute";

/// Cache of groups between two passes.
#[derive(Default)]
pub(crate) struct GroupsCache {
    /// Hooks by group, with the time of the read.
    hooks: BTreeMap<String, (Mono, Seen<Vec<HookView>>)>,
    /// Members of warm pools by group, with the time of the last request.
    pools: BTreeMap<String, (Mono, Vec<MemberView>)>,
}

/// Reads every group, the warm pools, and the hooks of selected groups, more often while an
/// instance waits. `ours` are the names of the ecs-drain hooks.
///
/// If there are warm pools or hooks to read, `early` gets the groups first, with the cached warm
/// pools and hooks. A wait that has begun needs its heartbeat, however long the other reads take.
///
/// # Errors
/// Returns an error if the list of groups could not be read completely; no instance counts as read
/// then. A warm pool that cannot be read affects only its own group.
pub(crate) async fn read_groups(
    session: &Session,
    clock: &Clock,
    cache: &mut GroupsCache,
    ours: &BTreeSet<String>,
    selects: impl Fn(&str, &BTreeMap<String, String>) -> bool,
    early: impl FnOnce(Rc<GroupsView>),
) -> Result<Rc<GroupsView>, AwsError> {
    let began = clock.mono();
    let listed = session.autoscaling.groups(None, true).await?;
    let selected: BTreeSet<&str> = {
        let selected = listed.iter().filter(|group| selects(&group.name, &group.tags));
        selected.map(|group| group.name.as_str()).collect()
    };
    cache.hooks.retain(|name, _| listed.iter().any(|group| group.name == *name));
    // DescribeAutoScalingGroups does not return the members of a warm pool.
    let has_pool =
        |group: &&GroupView| group.has_warm_pool && selected.contains(group.name.as_str());
    let mut pools: Vec<String> =
        listed.iter().filter(has_pool).map(|group| group.name.clone()).collect();
    cache.pools.retain(|name, _| pools.contains(name));
    pools.sort_by_key(|name| cache.pools.get(name).map_or(Mono::START, |(asked, _)| *asked));
    let mut unread: BTreeSet<String> = pools.iter().cloned().collect();
    let (first, others) = unknown_hooks(&listed, &selected, cache, began);
    if !pools.is_empty() || !first.is_empty() || !others.is_empty() {
        let read = Read { began, ended: clock.mono() };
        early(Rc::new(view(&listed, cache, unread.clone(), read)));
    }
    let there = pools.len();
    let pools =
        each(&DESCRIBE_WARM_POOL, pools, async |name| session.autoscaling.warm_pool(name).await);
    let urgent: BTreeSet<String> = first.iter().cloned().collect();
    let names = first.into_iter().chain(others).collect();
    let hooks = each(&DESCRIBE_LIFECYCLE_HOOKS, names, async |name| {
        if !urgent.contains(name) {
            return session.autoscaling.hooks(name).await;
        }
        // Goes before the heartbeats that fall due meanwhile: until the hook's timeout is known, it
        // gets a heartbeat every few seconds.
        let permit = session.permit_by(&DESCRIBE_LIFECYCLE_HOOKS, clock.instant(began)).await;
        session.autoscaling.hooks_in_turn(permit, name).await
    });
    let (pools, hooks) = join(pools, hooks).await;
    if pools.len() < there {
        tracing::debug!(
            of = there,
            read = pools.len(),
            "Some warm pools not read in this pass; the next one starts with them"
        );
    }
    let mut pools_failed = None;
    for (group, answer) in pools {
        match answer {
            Ok(members) => {
                unread.remove(&group);
                cache.pools.insert(group, (began, members));
            }
            Err(error) => {
                tracing::debug!(group, %error, "Warm pool not read");
                pools_failed.get_or_insert(format!("warm pool of group {group}: {error}"));
                cache.pools.entry(group).or_default().0 = began;
            }
        }
    }
    // With thousands of groups, some must wait for the next pass; that is no failure.
    let none_answered = hooks.iter().all(|(_, answer)| answer.is_err());
    let mut hooks_failed = None;
    for (group, answer) in hooks {
        if let Err(error) = &answer
            && (none_answered || error.message != LATE)
        {
            hooks_failed.get_or_insert(format!("hooks of group {group}: {error}"));
        }
        let answer = match answer {
            Ok(all) => (began, Seen::Yes(all)),
            // A known ecs-drain hook stays in use for a while. A known absence of one does not.
            Err(error) => {
                let ours = |hook: &HookView| hook.terminating && ours.contains(&hook.name);
                let holds = |(read, known): &(Mono, Seen<Vec<HookView>>)| {
                    began.since(*read) < HOOKS_BELIEVED
                        && known.known().is_some_and(|all| all.iter().any(ours))
                };
                let before = cache.hooks.remove(&group).filter(holds);
                before.unwrap_or_else(|| (began, Seen::Unknown(error.to_string())))
            }
        };
        cache.hooks.insert(group, answer);
    }
    let hooks_failed = hooks_failed.or_else(|| failed_before(cache, &selected));
    let view = view(&listed, cache, unread, Read { began, ended: clock.mono() });
    Ok(Rc::new(GroupsView { pools_failed, hooks_failed, ..view }))
}

/// Returns why the last read of some selected group's hooks failed.
fn failed_before(cache: &GroupsCache, selected: &BTreeSet<&str>) -> Option<String> {
    let mut known = cache.hooks.iter().filter(|(group, _)| selected.contains(group.as_str()));
    known.find_map(|(group, (_, hooks))| match hooks {
        Seen::Unknown(why) if !why.contains(LATE) => Some(format!("hooks of group {group}: {why}")),
        Seen::Unknown(_) | Seen::Yes(_) => None,
    })
}

/// Builds the view from the groups, and from the last reads of their warm pools and hooks.
fn view(
    listed: &[GroupView],
    cache: &GroupsCache,
    unread: BTreeSet<String>,
    read: Read,
) -> GroupsView {
    let mut view = GroupsView {
        read,
        unread,
        pools_failed: None,
        hooks_failed: None,
        groups: BTreeMap::new(),
        members: BTreeMap::new(),
    };
    for group in listed {
        let (newer, older) = match view.unread.contains(&group.name) {
            true => (group.members.as_slice(), pool(group, cache)),
            false => (pool(group, cache), group.members.as_slice()),
        };
        // An instance that moved from the group to the pool or back may be in both.
        for member in older.iter().chain(newer) {
            let state = member.lifecycle_state.clone();
            let member_of = Member {
                group: group.name.clone(),
                state,
                healthy: member.healthy,
                template: member.template.clone(),
            };
            view.members.insert(member.instance_id.clone(), member_of);
        }
        let hooks = match cache.hooks.get(&group.name) {
            Some((_, hooks)) => hooks.clone(),
            None => Seen::Unknown("the hooks of the group were not read".to_owned()),
        };
        let info = GroupInfo {
            tags: group.tags.clone(),
            target_groups: group.target_groups.clone(),
            classic: group.classic.clone(),
            desired: group.desired,
            minimum: group.minimum,
            maximum: group.maximum,
            template: group.template.clone(),
            retains_abandoned: group.retains_abandoned,
            hooks,
        };
        view.groups.insert(group.name.clone(), info);
    }
    view
}

/// Returns the known members of a group's warm pool.
fn pool<'a>(group: &GroupView, cache: &'a GroupsCache) -> &'a [MemberView] {
    cache.pools.get(&group.name).map_or(&[], |(_, members)| members)
}

/// Makes one read for each group, some of them at once, until the time is over. A read without an
/// answer by then has failed.
async fn each<T>(
    call: &'static Call,
    names: Vec<String>,
    ask: impl AsyncFn(&str) -> Result<T, AwsError>,
) -> Vec<(String, Result<T, AwsError>)> {
    let ask = &ask;
    let until = Instant::now() + ASKED_FOR;
    let in_time = stream::iter(names).take_while(|_| ready(Instant::now() < until));
    let asked = in_time.map(|name| async move {
        let late = |_| Err(AwsError::incomplete(call, &format!("group {name}"), LATE));
        let answer = tokio::time::timeout_at(until, ask(&name)).await.unwrap_or_else(late);
        (name, answer)
    });
    asked.buffer_unordered(AT_ONCE).collect().await
}

/// Returns the selected groups whose hooks must be read. First are the groups with a waiting
/// instance and unknown hooks, then groups that were never read, then the oldest reads.
fn unknown_hooks(
    listed: &[GroupView],
    selected: &BTreeSet<&str>,
    cache: &GroupsCache,
    now: Mono,
) -> (Vec<String>, Vec<String>) {
    let (mut first, mut then, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for group in listed.iter().filter(|group| selected.contains(group.name.as_str())) {
        let name = group.name.clone();
        let waits = group
            .members
            .iter()
            .chain(pool(group, cache))
            .any(|member| is_waiting(&member.lifecycle_state));
        let lasts = if waits { HOOKS_LAST } else { IDLE_HOOKS_LAST };
        match cache.hooks.get(&group.name) {
            None if waits => first.push((Mono::START, name)),
            // A failed read is repeated where an instance waits.
            Some((read, Seen::Unknown(_))) if waits => first.push((*read, name)),
            None => then.push((Mono::START, name)),
            Some((read, _)) if now >= *read + lasts => again.push((*read, name)),
            Some(_) => {}
        }
    }
    first.sort_unstable();
    again.sort_unstable();
    again.truncate(AGAIN_AT_ONCE);
    let names =
        |some: Vec<(Mono, String)>| some.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    (names(first), names(then).into_iter().chain(names(again)).collect())
}

/// Reads instances that the groups do not show with `DescribeAutoScalingInstances`. An instance is
/// absent only if both reads agree. Returns every instance that was found, or the error.
pub(crate) async fn absent(session: &Session, ids: &[String]) -> Seen<BTreeMap<String, Member>> {
    if ids.is_empty() {
        return Seen::Yes(BTreeMap::new());
    }
    match session.autoscaling.instances(ids).await {
        Ok(found) => Seen::Yes(
            found
                .into_iter()
                .map(|(m, group)| {
                    (
                        m.instance_id,
                        Member {
                            group,
                            state: m.lifecycle_state,
                            healthy: m.healthy,
                            template: m.template,
                        },
                    )
                })
                .collect(),
        ),
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

/// Returns the group's facts of one drain's instance. `asked` is the answer of [`absent`] for
/// instances that the groups do not show.
pub(crate) fn sight(
    view: &GroupsView,
    asked: &Seen<BTreeMap<String, Member>>,
    record: &Record,
    our_hooks: &BTreeSet<String>,
) -> Seen<GroupSight> {
    let sight =
        |member: &Member| member_sight(member, view.groups.get(&member.group), record, our_hooks);
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
            // An instance of a known group is in no other group's warm pool.
            None if record
                .group()
                .map_or(view.unread.is_empty(), |group| !view.unread.contains(group)) =>
            {
                Seen::Yes(GroupSight::Absent)
            }
            None => Seen::Unknown("a warm pool could not be read".to_owned()),
        },
        Seen::Unknown(why) => Seen::Unknown(why.clone()),
    }
}

/// Returns a group's facts of its member, as far as a drain needs them. The drain's hook is that of
/// its lifecycle action, or any of the configured ones if it has no action.
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
                others:
                    terminating().filter(|h| !is_ours(&h.name)).map(|h| h.name.clone()).collect(),
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

/// Returns the targets that an instance has through its group's own attachments. (Auto Scaling
/// deregisters it from them before the wait begins; the drain checks that.)
pub(crate) fn attachments(view: &GroupsView, record: &Record, now: Timestamp) -> Vec<Obligation> {
    let Some(info) = record.group().and_then(|group| view.groups.get(group)) else {
        return Vec::new();
    };
    let target_groups = info.target_groups.iter().cloned().map(Balancer::TargetGroup);
    let classic = info.classic.iter().cloned().map(Balancer::ClassicLoadBalancer);
    let target = || Target::Instance(record.instance_id.clone());
    let of_group =
        |balancer| Obligation { of_group_alone: true, ..Obligation::new(balancer, target(), now) };
    target_groups.chain(classic).map(of_group).collect()
}
