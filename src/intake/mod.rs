//! Opens drains: creates records for instances that wait under an ecs-drain hook, and for instances
//! that an operator or an event requests. It does not drain them.

use crate::aws::{Beat, HookView};
use crate::clock::Clock;
use crate::config::Config;
use crate::groups::{GroupsView, Member};
use crate::log;
use crate::quote::chain;
use crate::records::Records;
use crate::scope::{Known, OurHooks, ScopeState, Unread};
use crate::store::{Read, Saved, StoreError};
use ecs_drain_state::decide::leave_to;
use ecs_drain_state::needs::Class;
use ecs_drain_state::record::Opening;
use ecs_drain_state::{
    ContainerInstance, Lifecycle, LifecycleState, Mono, Origin, Phase, Policy, Record, WaitKind,
};
use futures_util::stream::{self, StreamExt};
use jiff::SignedDuration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

mod asked;

pub(crate) use asked::{Asked, Opened, open_asked};

/// Drains that are opened at once.
const AT_ONCE: usize = 32;

/// Start of the history entry for an instance whose ecs-drain action is over while another hook
/// holds it.
const STILL_HELD: &str = "still held by the group's other hooks:";

/// Delay before an instance in a cluster outside of the configuration is searched for again: it may
/// be moved out of that cluster.
const SEARCH_AGAIN: Duration = Duration::from_secs(300);

/// Memory of logged messages, so that each is logged once.
#[derive(Default)]
pub(crate) struct Intake {
    said: RefCell<BTreeSet<Said>>,
}

/// Message about an instance or a group. For an instance it has the generation of its drain, so
/// that the next drain is logged again.
type Said = (&'static str, String, u64);

impl Intake {
    /// Opens a record for every instance that waits under the ecs-drain hook and has none. A drain
    /// under way without a lifecycle action adopts the wait.
    pub(crate) async fn pass(
        &self,
        config: &Config,
        scope: &ScopeState,
        records: &Records,
        clock: &Clock,
    ) {
        let Some(view) = scope.groups.borrow().clone() else { return };
        let mut opening_now = Vec::new();
        let waiting: Vec<_> = scope.waiting(&view).collect();
        self.forget(&view, &waiting);
        for (instance, member) in waiting {
            let known = scope.phases.borrow().get(instance).copied();
            if known.is_some_and(|known| known.phase != Phase::Done && known.has_lifecycle) {
                continue;
            }
            let key = scope.key(instance);
            if scope.unreadable.borrow().contains_key(&key) {
                continue;
            }
            let LifecycleState::Waiting(kind) = LifecycleState::read(&member.state) else {
                continue;
            };
            let Some(hook) = self.hook(scope, &view, member) else { continue };
            if !may_open(scope, instance, hook, kind, known) {
                if let Some(done) = known.filter(|known| known.phase == Phase::Done) {
                    let said = ("held", instance.clone(), done.generation);
                    self.say_still_held(scope, records, clock, &view, said, member, hook).await;
                }
                continue;
            }
            let may_hold = scope.beats.may_hold(instance, &hook.name);
            let lifecycle = lifecycle(&view, member, hook, kind);
            if known.is_some_and(|known| known.phase != Phase::Done) {
                if !may_hold {
                    continue;
                }
                let adopted = adopt(scope, records, clock, &key, lifecycle).await;
                if let Some(error) = scope.health.repeats.reports("adopt", &key, &adopted) {
                    log::instance!(
                        error,
                        scope,
                        instance,
                        error = chain(error),
                        "Lifecycle action not adopted; heartbeats continue"
                    );
                }
                continue;
            }
            // The search continues meanwhile.
            let generation = known.map_or(0, |known| known.generation);
            let found = self.find(scope, instance, generation, view.read.began);
            let Some(container_instances) = found.filter(|_| may_hold) else { continue };
            opening_now.push(opening(config, scope, instance, lifecycle, container_instances));
        }
        stream::iter(opening_now)
            .for_each_concurrent(AT_ONCE, |opening| async move {
                let instance = opening.instance_id.clone();
                let opened = open(self, scope, records, clock, opening).await;
                if let Some(error) = scope.health.repeats.reports("open", &instance, &opened) {
                    log::instance!(
                        error,
                        scope,
                        instance,
                        error = chain(error),
                        "Drain not opened; heartbeats continue"
                    );
                }
            })
            .await;
    }

    /// Writes into a finished record, once, that another hook of the group still holds the instance
    /// after the ecs-drain action is over.
    #[allow(clippy::too_many_arguments)]
    async fn say_still_held(
        &self,
        scope: &ScopeState,
        records: &Records,
        clock: &Clock,
        view: &GroupsView,
        said: Said,
        member: &Member,
        hook: &HookView,
    ) {
        let instance = said.1.as_str();
        let hooks = view.groups.get(&member.group).and_then(|group| group.hooks.known());
        let others = hooks.into_iter().flatten().filter(|h| h.terminating && h.name != hook.name);
        let others: Vec<&str> = others.map(|h| h.name.as_str()).collect();
        let over = scope.beats.last(instance, &hook.name) == Some(Beat::NoActiveAction);
        let key = scope.key(instance);
        if others.is_empty() || !over || self.said.borrow().contains(&said) {
            return;
        }
        let Ok(Some(Read::Record(record))) = records.get(&key).await else { return };
        let note = format!("{STILL_HELD} {}", others.join(", "));
        let known = record.history.iter().any(|event| event.what == note);
        if record.is_done() && !known {
            let mut next = *record;
            next.shown.message = format!("{}; {note}", next.shown.message);
            next.note(clock.now(), note.clone());
            next.updated_at = clock.now();
            match records.save(next).await {
                Ok(_) => log::instance!(
                    info,
                    scope,
                    instance,
                    group = member.group,
                    "Drain finished; {note}"
                ),
                Err(error) => {
                    return log::instance!(
                        error,
                        scope,
                        instance,
                        error = chain(&error),
                        "Record not written: another hook still holds the instance"
                    );
                }
            }
        }
        self.said.borrow_mut().insert(said);
    }

    /// Returns the group's ecs-drain hook, if there is exactly one.
    fn hook<'a>(
        &self,
        scope: &ScopeState,
        view: &'a GroupsView,
        member: &Member,
    ) -> Option<&'a HookView> {
        match scope.our_hooks(view, &member.group) {
            OurHooks::One(hook) => Some(hook),
            OurHooks::Several(hooks) => {
                let names: Vec<_> = hooks.iter().map(|h| h.name.as_str()).collect();
                let group = &member.group;
                self.once(("several", group.clone(), 0), || {
                    log::scope!(error, scope, group, "Group has {} ecs-drain hooks ({}): its instances wait undrained; keep one hook", names.len(), names.join(", "));
                });
                None
            }
            OurHooks::None | OurHooks::Unknown => None,
        }
    }

    /// Returns an instance's container instances, once every cluster was searched for it. Returns
    /// `None` if it must be left alone.
    fn find(
        &self,
        scope: &ScopeState,
        instance: &str,
        generation: u64,
        since: Mono,
    ) -> Option<Vec<ContainerInstance>> {
        // Absence needs complete reads.
        let known = scope
            .searches
            .get(instance)
            .filter(|search| !search.found.is_empty() || search.unread.is_empty());
        let Some(lookup) = known else {
            if !scope.searches.is_wanted(instance) {
                let again = scope.searches.get(instance).map_or(since, |search| search.read.ended);
                scope.searches.want(instance, again, Class::Begin);
            }
            return None;
        };
        // One of several clusters is enough: the drain would set DRAINING there too, which the
        // configuration does not allow.
        if let Some(left_out) =
            lookup.found.iter().find(|c| !scope.config.clusters.matches(&c.cluster))
        {
            let cluster = &left_out.cluster;
            if !scope.searches.is_wanted(instance) {
                scope.searches.want(instance, lookup.read.ended + SEARCH_AGAIN, Class::Show);
            }
            self.once(("cluster", instance.to_owned(), generation), || {
                log::instance!(
                    warn,
                    scope,
                    instance,
                    cluster,
                    "Instance not drained: its cluster is not in `clusters`; heartbeats continue"
                );
            });
            return None;
        }
        Some(lookup.found)
    }

    /// Forgets messages about instances that no longer wait, and about groups that are gone.
    fn forget(&self, view: &GroupsView, waiting: &[(&String, &Member)]) {
        if self.said.borrow().is_empty() {
            return;
        }
        let waits: BTreeSet<&str> = waiting.iter().map(|(instance, _)| instance.as_str()).collect();
        let is_here = |of: &String| waits.contains(of.as_str()) || view.groups.contains_key(of);
        self.said.borrow_mut().retain(|(_, of, _)| is_here(of));
    }

    fn once(&self, what: Said, say: impl FnOnce()) {
        if self.said.borrow_mut().insert(what) {
            say();
        }
    }
}

/// Checks whether a record may be opened now.
///
/// A finished record is opened again only after two heartbeats have shown that the ecs-drain hook
/// holds the instance again. A state that a launching hook can show too needs one accepted
/// heartbeat. An instance that has waited since before its group got the ecs-drain hook is held by
/// another hook: a heartbeat for it finds no action.
fn may_open(
    scope: &ScopeState,
    instance: &str,
    hook: &HookView,
    kind: WaitKind,
    known: Option<Known>,
) -> bool {
    if known.is_some_and(|known| known.phase == Phase::Done) {
        return scope.beats.is_held_again(instance, &hook.name);
    }
    match kind {
        WaitKind::Terminating | WaitKind::WarmedTerminating => {
            scope.beats.last(instance, &hook.name) != Some(Beat::NoActiveAction)
        }
        WaitKind::ReturnsToWarmPool | WaitKind::ReplacesRootVolume => {
            scope.beats.last(instance, &hook.name) == Some(Beat::Accepted)
        }
    }
}

/// Describes the lifecycle action that holds an instance under the ecs-drain hook.
fn lifecycle(view: &GroupsView, member: &Member, hook: &HookView, kind: WaitKind) -> Lifecycle {
    let info = view.groups.get(&member.group);
    let hooks = info.and_then(|info| info.hooks.known()).into_iter().flatten();
    let others = hooks.filter(|h| h.terminating && h.name != hook.name).map(|h| h.name.clone());
    Lifecycle {
        group: member.group.clone(),
        hook: hook.name.clone(),
        kind,
        heartbeat_timeout_seconds: hook.heartbeat_timeout_seconds,
        global_timeout_seconds: hook.global_timeout_seconds,
        default_result: hook.default_result,
        other_hooks: others.collect(),
        retains_abandoned: info.is_some_and(|info| info.retains_abandoned),
    }
}

fn opening(
    config: &Config,
    scope: &ScopeState,
    instance: &str,
    lifecycle: Lifecycle,
    container_instances: Vec<ContainerInstance>,
) -> Opening {
    let cluster = container_instances.first().map(|c| c.cluster.as_str());
    let policy = scope.fleet.policy(cluster, Some(&lifecycle.group));
    Opening {
        account: scope.session.account.clone(),
        region: scope.session.region.clone(),
        instance_id: instance.to_owned(),
        controller: config.controller.clone(),
        origin: Origin::LifecycleHook,
        strategy: policy.strategy,
        group: Some(lifecycle.group.clone()),
        lifecycle: Some(lifecycle),
        then: None,
        requested: None,
        container_instances,
        deadline: deadline(&policy),
        margin: margin(&policy),
    }
}

/// Returns the policy's time limit for the drain of a lifecycle action.
pub(crate) fn deadline(policy: &Policy) -> Option<SignedDuration> {
    policy.deadline.and_then(|d| SignedDuration::try_from(d).ok())
}

/// Returns the time by which a deadline must come before the hook's own limit.
pub(crate) fn margin(policy: &Policy) -> SignedDuration {
    SignedDuration::try_from(policy.blind_margin).unwrap_or(SignedDuration::ZERO)
}

/// Adds a lifecycle action to a drain that began without one. Hook, deadline and ending become
/// those of the action.
async fn adopt(
    scope: &ScopeState,
    records: &Records,
    clock: &Clock,
    key: &str,
    lifecycle: Lifecycle,
) -> Result<(), StoreError> {
    let known = scope.fleet.record(key);
    // A cancelled drain ends first. Then the wait opens a drain of its own.
    let Some(record) = known.filter(|r| r.lifecycle.is_none() && r.phase() != Phase::Returning)
    else {
        return Ok(());
    };
    let policy = scope.fleet.policy(record.cluster.as_deref(), Some(&lifecycle.group));
    let mut next = record.adopt(lifecycle, deadline(&policy), margin(&policy), clock.now());
    next.updated_at = clock.now();
    // After a lost race the next read of the table shows the record.
    if let Saved::Saved(saved) = records.save(next).await? {
        log::drain!(info, saved, "Lifecycle action adopted");
        scope.learn(*saved, clock.mono());
    }
    Ok(())
}

/// Warns that the hook's limit cuts the deadline short, a mistake in the configuration.
fn say_cut(record: &Record) {
    for event in record.history.iter().skip(1).filter(|event| event.at == record.created_at) {
        log::drain!(warn, record, "Deadline changed: {}", event.what);
    }
}

async fn open(
    intake: &Intake,
    scope: &ScopeState,
    records: &Records,
    clock: &Clock,
    opening: Opening,
) -> Result<(), StoreError> {
    let key = scope.key(&opening.instance_id);
    let (now, controller) = (clock.now(), opening.controller.clone());
    let opening_instance = opening.instance_id.clone();
    // Most instances have no record, so it is created at once, and read only if it exists.
    let is_known = scope.phases.borrow().contains_key(&opening.instance_id);
    let created = match is_known {
        true => Saved::LostRace,
        false => records.create(Record::open(opening.clone(), now)).await?,
    };
    let began = clock.mono();
    let before = match &created {
        Saved::Saved(_) => None,
        Saved::LostRace => records.get(&key).await?,
    };
    let saved = match before {
        None if matches!(created, Saved::Saved(_)) => created,
        None => records.create(Record::open(opening, now)).await?,
        Some(Read::Record(old))
            if !old.is_done() && old.controller != controller && !old.waits_for_others() =>
        {
            intake.once(("foreign", old.instance_id.clone(), old.generation), || {
                log::drain!(
                    error,
                    old,
                    controller = old.controller,
                    "Drain belongs to another controller; heartbeats continue"
                );
            });
            return Ok(());
        }
        Some(Read::Record(old)) if !old.is_done() && old.controller == controller => {
            scope.learn_read(*old, began, clock.mono());
            return Ok(());
        }
        Some(Read::Record(old)) => {
            let known = scope.phases.borrow().get(&old.instance_id).copied();
            if known.is_none_or(|known| known.phase != Phase::Done) {
                // Another process finished it, or it belongs to another controller. Only heartbeats
                // show whether the hook holds the instance (again).
                scope
                    .phases
                    .borrow_mut()
                    .insert(old.instance_id.clone(), Known::over(&old, clock.mono()));
                scope.bells.phases.borrow_mut().insert(old.instance_id.clone());
                scope.beats.probe(&old.instance_id, clock.mono());
                scope.bells.hold.notify_one();
                return Ok(());
            }
            // The other controller's drain waits for the end of this hook's wait. Without this step
            // each controller would wait for the other.
            let old = match (old.is_done(), &opening.lifecycle) {
                (false, Some(lifecycle)) => {
                    log::drain!(
                        info,
                        old,
                        controller = old.controller,
                        "Drain taken over from another controller"
                    );
                    let keep =
                        scope.fleet.policy(old.cluster.as_deref(), old.group()).keep_finished;
                    let Ok(ended) = leave_to(&old, lifecycle, keep, now) else { return Ok(()) };
                    let Saved::Saved(ended) = records.save(ended).await? else { return Ok(()) };
                    ended
                }
                (true, _) | (false, None) => old,
            };
            records.save(old.reopen(opening, now)).await?
        }
        Some(Read::Newer { schema }) => {
            let unread = Unread::newer(schema);
            log::instance!(
                warn,
                scope,
                opening_instance,
                what = unread.what,
                "Drain left to a newer ecs-drain; heartbeats continue"
            );
            scope.unreadable.borrow_mut().insert(key, unread);
            return Ok(());
        }
        Some(Read::Unreadable { why }) => {
            log::instance!(
                error,
                scope,
                opening_instance,
                what = why,
                "Drain stopped: its record cannot be read; heartbeats continue. Repair or delete the record"
            );
            scope.unreadable.borrow_mut().insert(key, Unread { what: why, newer: false });
            return Ok(());
        }
    };
    match saved {
        Saved::Saved(record) => {
            log::drain!(
                info,
                record,
                origin = record.origin.name(),
                generation = record.generation,
                "Drain started"
            );
            say_cut(&record);
            scope.learn(*record, clock.mono());
        }
        // Another replica was faster. The next read of the table shows its record.
        Saved::LostRace => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
