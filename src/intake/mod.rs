//! Where drains come from: instances that wait under our hooks become records. Nothing is drained here.

use crate::aws::{Beat, HookView};
use crate::config::Config;
use crate::controller::{Clock, OurHooks, Records, ScopeState};
use crate::observe::{GroupsView, Member};
use crate::store::{Read, Saved, StoreError};
use ecs_drain_state::record::Opening;
use ecs_drain_state::{ContainerInstance, Lifecycle, LifecycleState, Mono, Origin, Phase, Record, WaitKind};
use jiff::SignedDuration;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What intake remembers, so that it says each thing once.
#[derive(Default)]
pub struct Intake {
    said: RefCell<BTreeSet<String>>,
}

impl Intake {
    /// Opens a record for every instance that waits under our hook and has none.
    pub async fn pass(&self, config: &Config, scope: &ScopeState, records: &Records, clock: &Clock) {
        let Some(view) = scope.groups.borrow().clone() else { return };
        for (instance, member) in scope.waiting(&view) {
            let known = scope.phases.borrow().get(&instance).copied();
            let key = ecs_drain_state::record::key(&scope.session.account, &scope.session.region, &instance);
            if known.is_some_and(|phase| phase != Phase::Done) || scope.unreadable.borrow().contains_key(&key) {
                continue;
            }
            let LifecycleState::Waiting(kind) = LifecycleState::read(&member.state) else { continue };
            let Some(hook) = self.hook(scope, &view, &member) else { continue };
            if !may_open(scope, &instance, hook, kind, known) {
                continue;
            }
            let Some(container_instances) = self.find(scope, &instance, view.begun) else { continue };
            let opening = opening(config, scope, &instance, &member, hook, kind, container_instances);
            if let Err(error) = open(scope, records, clock, opening).await {
                tracing::error!(instance, %error, "cannot open a drain; the instance is held meanwhile");
            }
        }
    }

    /// Our hook on the group, if there is exactly one.
    fn hook<'a>(&self, scope: &ScopeState, view: &'a GroupsView, member: &Member) -> Option<&'a HookView> {
        match scope.our_hooks(view, &member.group) {
            OurHooks::One(hook) => Some(hook),
            OurHooks::Several(hooks) => {
                let names: Vec<_> = hooks.iter().map(|h| h.name.as_str()).collect();
                let group = &member.group;
                self.once(format!("several {group}"), || {
                    tracing::error!(
                        group,
                        "{} of the configured hooks are on this group ({}): its instances are held and not drained; \
                         leave one of them",
                        names.len(),
                        names.join(", ")
                    );
                });
                None
            }
            OurHooks::None | OurHooks::Unknown => None,
        }
    }

    /// The container instances of an instance, once every cluster has been searched for it; None to leave it alone.
    fn find(&self, scope: &ScopeState, instance: &str, since: Mono) -> Option<Vec<ContainerInstance>> {
        let Some(lookup) = scope.lookups.get(instance) else {
            scope.lookups.want(instance, since);
            scope.bells.lookup.notify_one();
            return None;
        };
        let selected = |c: &ContainerInstance| scope.config.clusters.matches(&c.cluster);
        if !lookup.found.is_empty() && !lookup.found.iter().any(selected) {
            let cluster = &lookup.found[0].cluster;
            self.once(format!("cluster {instance}"), || {
                tracing::info!(
                    instance,
                    cluster,
                    "it waits under our hook, but its cluster is not configured: held, not drained"
                );
            });
            return None;
        }
        Some(lookup.found)
    }

    fn once(&self, what: String, say: impl FnOnce()) {
        if self.said.borrow_mut().insert(what) {
            say();
        }
    }
}

/// Whether a record may be opened now.
///
/// A finished record is opened again only when two heartbeats have shown that our hook holds the instance once more.
/// A state that a launching hook can show too needs one heartbeat that succeeded.
fn may_open(scope: &ScopeState, instance: &str, hook: &HookView, kind: WaitKind, known: Option<Phase>) -> bool {
    if known == Some(Phase::Done) {
        return scope.beats.is_held_again(instance, &hook.name);
    }
    match kind {
        WaitKind::Terminating | WaitKind::WarmedTerminating => true,
        WaitKind::ReturnsToWarmPool | WaitKind::ReplacesRootVolume => {
            scope.beats.last(instance, &hook.name) == Some(Beat::Accepted)
        }
    }
}

fn opening(
    config: &Config,
    scope: &ScopeState,
    instance: &str,
    member: &Member,
    hook: &HookView,
    kind: WaitKind,
    container_instances: Vec<ContainerInstance>,
) -> Opening {
    let cluster = container_instances.first().map(|c| c.cluster.as_str());
    let policy = config.policies.for_drain(cluster, &member.group);
    Opening {
        account: scope.session.account.clone(),
        region: scope.session.region.clone(),
        instance_id: instance.to_owned(),
        controller: config.controller.clone(),
        origin: Origin::LifecycleHook,
        strategy: policy.strategy,
        lifecycle: Lifecycle {
            group: member.group.clone(),
            hook: hook.name.clone(),
            kind,
            heartbeat_timeout_seconds: hook.heartbeat_timeout_seconds,
            global_timeout_seconds: hook.global_timeout_seconds,
            default_result: hook.default_result,
        },
        container_instances,
        deadline: policy.deadline.and_then(|d| SignedDuration::try_from(d).ok()),
    }
}

async fn open(scope: &ScopeState, records: &Records, clock: &Clock, opening: Opening) -> Result<(), StoreError> {
    let key = ecs_drain_state::record::key(&opening.account, &opening.region, &opening.instance_id);
    let now = clock.now();
    let saved = match records.get(&key).await? {
        None => records.create(Record::open(opening, now)).await?,
        Some(Read::Record(old)) if !old.is_done() => {
            scope.learn(*old, clock.mono());
            return Ok(());
        }
        Some(Read::Record(old)) => {
            let known = scope.phases.borrow().get(&old.instance_id).copied();
            if known != Some(Phase::Done) {
                // Finished, as another process knew: only heartbeats can tell whether it is held once more.
                scope.phases.borrow_mut().insert(old.instance_id.clone(), Phase::Done);
                return Ok(());
            }
            records.save(old.reopen(opening, now)).await?
        }
        Some(Read::Newer { schema }) => {
            let what = format!("its record has schema {schema}, which is newer than this program");
            tracing::error!(key, "{what}: the instance is held, and left to the newer program");
            scope.unreadable.borrow_mut().insert(key, what);
            return Ok(());
        }
        Some(Read::Unreadable { why }) => {
            tracing::error!(key, why, "its record cannot be read: the instance is held, and this drain stands still");
            scope.unreadable.borrow_mut().insert(key, why);
            return Ok(());
        }
    };
    match saved {
        Saved::Saved(record) => {
            tracing::info!(
                instance = record.instance_id,
                group = record.lifecycle.group,
                hook = record.lifecycle.hook,
                cluster = record.cluster,
                generation = record.generation,
                "a drain begins"
            );
            scope.learn(*record, clock.mono());
            scope.bells.pass.notify_one();
        }
        // Another replica was faster; its record is read by the next look at the table.
        Saved::LostRace => {}
    }
    Ok(())
}
