//! Drains without an ecs-drain hook: those of operators, spot interruptions and rebalance
//! recommendations.

use super::{deadline, margin};
use crate::clock::Clock;
use crate::config::Config;
use crate::log;
use crate::records::Records;
use crate::scope::ScopeState;
use crate::store::{Read, Saved, StoreError};
use ecs_drain_state::record::Opening;
use ecs_drain_state::{ContainerInstance, Order, Origin, Phase, Record, Then};

/// A requested drain.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub instance_id: String,
    /// Origin of the drain.
    pub origin: Origin,
    /// Action after the drain.
    pub then: Then,
    /// The operator's order, if a person requested it.
    pub requested: Option<Order>,
    /// Id of the request or event. It is kept in the record, so that the request is carried out
    /// once.
    pub request: Option<String>,
    /// Container instances that a complete search found.
    pub container_instances: Vec<ContainerInstance>,
}

/// Result of opening a drain.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    /// A drain begins.
    Begins(Box<Record>),
    /// A drain of this instance is under way already.
    UnderWay(Box<Record>),
    /// The same request was carried out before, and its drain is done.
    Already(Box<Record>),
    /// The instance cannot be drained; the reason.
    Refused(String),
    /// Another process wrote its record meanwhile, or it cannot be read: try again later.
    NotNow,
}

/// Opens a drain, unless one is under way. Refuses an instance outside of the configured clusters.
///
/// # Errors
/// Returns an error if the table did not answer, or refused.
pub(crate) async fn open_asked(
    config: &Config,
    scope: &ScopeState,
    records: &Records,
    clock: &Clock,
    asked: Asked,
) -> Result<Opened, StoreError> {
    let instance = asked.instance_id.clone();
    if asked.container_instances.is_empty() {
        return Ok(Opened::Refused(format!("{instance} is in no cluster of {}", scope.place())));
    }
    if let Some(foreign) =
        asked.container_instances.iter().find(|c| !scope.config.clusters.matches(&c.cluster))
    {
        let cluster = &foreign.cluster;
        return Ok(Opened::Refused(format!(
            "{instance} is in cluster {cluster}, which the configuration leaves out"
        )));
    }
    let group = scope
        .groups
        .borrow()
        .as_ref()
        .and_then(|view| Some(view.members.get(&instance)?.group.clone()));
    if !scope.fleet.knows_policies() {
        return Ok(Opened::NotNow);
    }
    let needs_group = matches!(asked.then, Then::Terminate | Then::TerminateAndShrink);
    if needs_group && group.is_none() {
        // It may be in a warm pool that could not be read.
        if scope.groups.borrow().as_ref().is_some_and(|view| !view.unread.is_empty()) {
            return Ok(Opened::NotNow);
        }
        return Ok(Opened::Refused(format!(
            "{instance} is in no Auto Scaling group, so none can terminate it: drain it with --then keep"
        )));
    }
    let key = scope.key(&instance);
    let before = records.get(&key).await?;
    let cluster = asked.container_instances.first().map(|c| c.cluster.as_str());
    let policy = scope.fleet.policy(cluster, group.as_deref());
    let opening = Opening {
        account: scope.session.account.clone(),
        region: scope.session.region.clone(),
        instance_id: instance,
        controller: config.controller.clone(),
        origin: asked.origin,
        strategy: policy.strategy,
        lifecycle: None,
        group,
        then: Some(asked.then),
        requested: asked.requested,
        container_instances: asked.container_instances,
        deadline: deadline(&policy),
        margin: margin(&policy),
    };
    let now = clock.now();
    let with_request = |mut record: Record| {
        if let Some(id) = asked.request.clone() {
            record.remember_request(id);
        }
        record
    };
    let is_known =
        |old: &Record| asked.request.as_ref().is_some_and(|id| old.orders.requests.contains(id));
    let saved = match before {
        None => records.create(with_request(Record::open(opening, now))).await?,
        Some(Read::Record(old)) if !old.is_done() => {
            let ours =
                old.controller == config.controller && old.origin != Origin::SpotInterruption;
            if asked.origin != Origin::SpotInterruption || !ours || is_known(&old) {
                return Ok(Opened::UnderWay(old));
            }
            // Once that drain has undone its DRAINING, another one can begin.
            if old.phase() == Phase::Returning {
                return Ok(Opened::NotNow);
            }
            // It may still wait for its turn, but the instance terminates in two minutes.
            let mut next = with_request(old.interrupted(now));
            next.updated_at = now;
            let Saved::Saved(record) = records.save(next).await? else { return Ok(Opened::NotNow) };
            log::drain!(info, record, "Drain became one of a Spot interruption");
            scope.learn((*record).clone(), clock.mono());
            return Ok(Opened::UnderWay(record));
        }
        Some(Read::Record(old)) if is_known(&old) => return Ok(Opened::Already(old)),
        Some(Read::Record(old)) => records.save(with_request(old.reopen(opening, now))).await?,
        Some(Read::Newer { .. } | Read::Unreadable { .. }) => return Ok(Opened::NotNow),
    };
    let Saved::Saved(record) = saved else { return Ok(Opened::NotNow) };
    log::drain!(
        info,
        record,
        origin = record.origin.name(),
        generation = record.generation,
        "Drain started"
    );
    scope.learn((*record).clone(), clock.mono());
    Ok(Opened::Begins(record))
}
