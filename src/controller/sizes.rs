//! Sizes of clusters, groups and services for the budgets, read when a drain in the queue needs
//! them.

use super::Shared;
use crate::groups::GroupsView;
use crate::log;
use crate::quote::chain;
use crate::scope::ScopeState;
use ecs_drain_state::Now;
use ecs_drain_state::budget::{ServiceState, Sizes};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The numbers that are known at this moment.
pub(super) struct Known<'a> {
    scope: &'a ScopeState,
    now: Now,
    view: Option<Rc<GroupsView>>,
    groups: OnceCell<BTreeMap<String, u32>>,
}

/// Returns the numbers that a scope knows. One that is missing or old is requested; the caller then
/// has it read with [`ScopeState::read_sizes`].
pub(super) fn of(scope: &ScopeState, now: Now) -> Known<'_> {
    Known { scope, now, view: scope.groups.borrow().clone(), groups: OnceCell::new() }
}

impl Sizes for Known<'_> {
    fn cluster(&self, cluster: &str) -> Option<u32> {
        self.scope.sizes.cluster(cluster, self.now.mono)
    }

    fn group(&self, group: &str) -> Option<u32> {
        let view = self.view.as_ref()?;
        let groups = self.groups.get_or_init(|| {
            let mut groups = BTreeMap::new();
            for member in view.members.values().filter(|member| !member.state.starts_with("Warmed"))
            {
                *groups.entry(member.group.clone()).or_default() += 1;
            }
            groups
        });
        groups.get(group).copied()
    }

    fn service(&self, cluster: &str, service: &str) -> Option<ServiceState> {
        let mut state = self.scope.sizes.service(cluster, service, self.now.mono)?;
        state.kept = state.kept.filter(|kept| kept.holds(self.now.wall));
        Some(state)
    }
}

/// Reads the numbers that budgets have requested; never returns.
pub(super) async fn read_sizes(shared: &Shared, scope: &ScopeState) {
    loop {
        scope.bells.sizes.notified().await;
        let (clusters, services) = scope.sizes.take_wanted();
        for cluster in clusters {
            read_cluster(shared, scope, &cluster).await;
        }
        for (cluster, names) in services {
            read_services(shared, scope, &cluster, &names).await;
        }
        scope.fleet.freshen_all();
    }
}

async fn read_cluster(shared: &Shared, scope: &ScopeState, cluster: &str) {
    let read = scope.session.ecs.registered_container_instances(cluster).await;
    match &read {
        Ok(_) => {
            if shared.health.repeats.works("size", cluster) {
                log::scope!(info, scope, cluster, "Cluster size read again");
            }
        }
        Err(error) => {
            if shared.health.repeats.fails("size", cluster) {
                log::scope!(
                    error,
                    scope,
                    cluster,
                    error = chain(error),
                    "Cluster size not read; one drain runs at once"
                );
            }
        }
    }
    scope.sizes.learn_cluster(cluster, shared.clock.mono(), read.ok());
}

/// Reads services. One that does not exist has no tasks to wait for.
async fn read_services(shared: &Shared, scope: &ScopeState, cluster: &str, names: &[String]) {
    let began = shared.clock.mono();
    let tags = shared.config.policies.heed_services();
    let described = match scope.session.ecs.service_states(cluster, names, tags).await {
        Ok(described) => {
            if shared.health.repeats.works("services", cluster) {
                log::scope!(info, scope, cluster, "Services read again");
            }
            described
        }
        Err(error) => {
            if shared.health.repeats.fails("services", cluster) {
                log::scope!(
                    error,
                    scope,
                    cluster,
                    error = chain(&error),
                    "Services not read; drains that depend on their state wait"
                );
            }
            let now = shared.clock.mono();
            names.iter().for_each(|name| scope.sizes.learn_service(cluster, name, now, None));
            return;
        }
    };
    for name in names {
        let found = described.found.iter().find(|view| view.name == *name).map(|view| {
            let facts = &view.facts;
            let deploys = facts.rollout.in_progress;
            let (desired, running) = (facts.desired, facts.running);
            (ServiceState { desired, running, deploys, kept: view.kept }, view.bad_tag.as_deref())
        });
        let gone = ServiceState { desired: 0, running: 0, deploys: false, kept: None };
        let missing = described.missing.contains(name).then_some((gone, None));
        let (state, bad) = found.or(missing).unzip();
        if let Some(bad) = bad
            && scope.sizes.learn_bad_tag(cluster, name, bad)
            && let Some(tag) = bad
        {
            log::scope!(warn, scope, cluster, tag, "Tag of the service does not count");
        }
        scope.sizes.learn_service(cluster, name, began, state);
    }
}
