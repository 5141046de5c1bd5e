//! Events: the leader polls the scope's queue, one long poll after another.
//!
//! An event only makes a read happen sooner; ecs-drain never acts on its content. The exceptions
//! are spot interruptions, and rebalance recommendations if they are enabled: they open a drain,
//! because no read shows them. A message is deleted once its subject is in the table, or a read has
//! disproved it. A message that cannot be parsed stays in the queue, and ends in the dead-letter
//! queue.

use super::{Shared, Stop, backoff};
use crate::aws::Message;
use crate::blind::What;
use crate::events::{Event, is_fresh, read};
use crate::intake::{Asked, Opened, open_asked};
use crate::log;
use crate::quote::chain;
use crate::scope::ScopeState;
use ecs_drain_state::needs::Class;
use ecs_drain_state::{ContainerInstance, Kind, Mono, Origin, Phase, Policy, Rebalance, Then};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Wait of one poll: the longest that SQS allows. (Source: SQS API reference, ReceiveMessage.)
const LONG_POLL: Duration = Duration::from_secs(20);
/// Batches of messages that are handled at once.
const AT_ONCE: usize = 64;
/// Shortest time between two empty polls, for a queue that does not wait.
const APART: Duration = Duration::from_secs(1);
/// Time to wait for the records of lifecycle actions. Then their messages are left to return. It is
/// shorter than a queue's default visibility timeout, 30 seconds.
const RECORDS: Duration = Duration::from_secs(15);
/// Age from which a read of the groups can disprove a message.
const LAG: SignedDuration = SignedDuration::from_secs(30);
/// Shortest time between two reads of a drain that events request: an instance with many tasks
/// sends many events.
const NUDGES_APART: Duration = Duration::from_secs(2);
/// Time to wait for the search for instances that warnings name. Then their messages are left to
/// return.
const SEARCHED: Duration = Duration::from_secs(90);
/// Interval at which the records and searches are checked meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// Takes events, if the scope has a queue; never returns. A dry run takes none, because a message
/// that is taken is hidden from others.
pub(super) async fn events(shared: &Shared, scope: &ScopeState, stop: &Stop) {
    let Some(queue) = scope.config.queue.as_deref().filter(|_| !shared.config.dry_run) else {
        return std::future::pending().await;
    };
    // A message that waits must not block those behind it. A message is received only once there is
    // room for it.
    let (send, received) = tokio::sync::mpsc::channel::<Vec<Message>>(1);
    let received =
        stream::unfold(received, |mut received| async { Some((received.recv().await?, received)) });
    let taking = received.for_each_concurrent(AT_ONCE, |messages| async move {
        let taken = take(shared, scope, &messages).await;
        delete(scope, queue, &taken).await;
    });
    tokio::join!(poll(shared, scope, stop, queue, send), taking);
}

/// Receives messages while this replica leads; never returns.
async fn poll(
    shared: &Shared,
    scope: &ScopeState,
    stop: &Stop,
    queue: &str,
    send: Sender<Vec<Message>>,
) {
    let mut pauses = backoff();
    while let Ok(room) = send.reserve().await {
        if !shared.leadership.leads() || stop.is_now() {
            // The leader takes them.
            scope.health.blind.sees(&scope.place(), What::Queue);
            tokio::time::sleep(APART).await;
            continue;
        }
        let begun = shared.clock.mono();
        match scope.session.sqs.receive(queue, LONG_POLL).await {
            Ok(messages) if messages.is_empty() => {
                scope.health.blind.sees(&scope.place(), What::Queue);
                let passed = shared.clock.mono().since(begun);
                tokio::time::sleep(APART.saturating_sub(passed)).await;
            }
            Ok(messages) => {
                scope.health.blind.sees(&scope.place(), What::Queue);
                room.send(messages);
            }
            Err(error) => {
                scope.health.blind.misses(&scope.place(), What::Queue, &error);
                tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(60))).await;
                continue;
            }
        }
        pauses = backoff();
    }
}

async fn delete(scope: &ScopeState, queue: &str, taken: &[&Message]) {
    if taken.is_empty() {
        return;
    }
    match scope.session.sqs.delete(queue, taken).await {
        Ok(failed) => {
            for (message, error) in failed {
                log::scope!(
                    warn,
                    scope,
                    message,
                    error = chain(&error),
                    "Message not deleted; SQS delivers it again, which does no harm"
                );
            }
        }
        Err(error) => {
            log::scope!(
                warn,
                scope,
                error = chain(&error),
                "Messages not deleted; SQS delivers them again, which does no harm"
            )
        }
    }
}

/// Warning that opens a drain.
struct Warning<'m> {
    message: &'m Message,
    instance_id: String,
    origin: Origin,
    at: Timestamp,
}

/// Handles messages. Returns those that may be deleted.
async fn take<'m>(
    shared: &Shared,
    scope: &ScopeState,
    messages: &'m [Message],
) -> Vec<&'m Message> {
    let received = shared.clock.mono();
    let (account, region) = (&scope.session.account, &scope.session.region);
    let mut taken = Vec::new();
    let mut waits: Vec<(&Message, String)> = Vec::new();
    let mut warnings: Vec<Warning<'_>> = Vec::new();
    for message in messages {
        let event = match read(&message.body, account, region) {
            Ok(event) => event,
            Err(broken) => {
                let (id, received) = (&message.id, message.receive_count);
                log::scope!(warn, scope, message = id, received, why = %broken, "Message not understood; it stays in the queue");
                continue;
            }
        };
        match event {
            Event::LifecycleAction { instance_id, group, hook, .. }
                if is_ours(scope, &group, &hook) =>
            {
                waits.push((message, instance_id));
            }
            Event::SpotInterruption { instance_id, at, .. } if is_fresh(at, shared.clock.now()) => {
                warnings.push(Warning {
                    message,
                    instance_id,
                    origin: Origin::SpotInterruption,
                    at,
                });
            }
            // If no policy acts on them, no cluster is searched for the instance.
            Event::RebalanceRecommendation { .. } if !shared.config.policies.act_on_rebalance() => {
                taken.push(message)
            }
            Event::RebalanceRecommendation { instance_id, at }
                if is_fresh(at, shared.clock.now()) =>
            {
                warnings.push(Warning { message, instance_id, origin: Origin::Rebalance, at });
            }
            event @ (Event::LifecycleAction { .. }
            | Event::TestNotification { .. }
            | Event::SpotInterruption { .. }
            | Event::RebalanceRecommendation { .. }
            | Event::TaskChanged { .. }
            | Event::ContainerInstanceChanged { .. }
            | Event::NotForUs { .. }) => {
                nudge(shared, scope, &event);
                taken.push(message);
            }
        }
    }
    taken.extend(open(shared, scope, &warnings).await);
    taken.extend(wait_for_records(shared, scope, waits, received).await);
    taken
}

/// Checks whether a lifecycle action can belong to ecs-drain. One of a group that was not read yet
/// can.
fn is_ours(scope: &ScopeState, group: &str, hook: &str) -> bool {
    let groups = scope.groups.borrow();
    let info = groups.as_ref().and_then(|view| view.groups.get(group));
    scope.config.hooks.contains(hook)
        && info.is_none_or(|info| scope.config.groups.selects(group, &info.tags))
}

/// Makes the next read of the event's subject happen at once, or soon after the last one.
fn nudge(shared: &Shared, scope: &ScopeState, event: &Event) {
    let about = match event {
        Event::TaskChanged { container_instance: Some(arn), .. } => {
            scope.fleet.of_container_instance(arn)
        }
        Event::ContainerInstanceChanged { container_instance, instance_id, .. } => {
            let known = scope.fleet.of_container_instance(container_instance);
            known.or_else(|| Some(scope.key(instance_id.as_deref()?).into()))
        }
        Event::TaskChanged { .. }
        | Event::LifecycleAction { .. }
        | Event::TestNotification { .. }
        | Event::SpotInterruption { .. }
        | Event::RebalanceRecommendation { .. }
        | Event::NotForUs { .. } => None,
    };
    if let Some(key) = about {
        let now = shared.clock.mono();
        scope.fleet.nudge(&key, Kind::Status, now, NUDGES_APART);
        if matches!(event, Event::TaskChanged { .. }) {
            scope.fleet.nudge(&key, Kind::Tasks, now, NUDGES_APART);
        }
    }
    match event {
        Event::TestNotification { group } => {
            log::scope!(info, scope, group, "Test notification received")
        }
        Event::NotForUs { what } => log::scope!(debug, scope, what, "Event ignored"),
        Event::LifecycleAction { instance_id, hook, .. } => {
            log::instance!(
                debug,
                scope,
                instance_id,
                hook,
                "Lifecycle action ignored: its hook is not in `hooks`"
            );
        }
        Event::SpotInterruption { instance_id, at, .. }
        | Event::RebalanceRecommendation { instance_id, at } => {
            log::instance!(info, scope, instance_id, %at, "Warning ignored: too old, or in the future");
            scope.bells.groups.notify_one();
        }
        Event::TaskChanged { .. } | Event::ContainerInstanceChanged { .. } => {}
    }
}

/// Waits until each instance has a record, or a read shows that it does not wait. Returns the
/// messages that may be deleted; the others return to the queue.
async fn wait_for_records<'m>(
    shared: &Shared,
    scope: &ScopeState,
    mut waits: Vec<(&'m Message, String)>,
    received: Mono,
) -> Vec<&'m Message> {
    let mut taken = Vec::new();
    let until = shared.clock.mono() + RECORDS;
    while !waits.is_empty() && shared.clock.mono() < until {
        waits.retain(|(message, instance)| match standing(scope, instance, received) {
            Standing::Recorded => {
                taken.push(*message);
                false
            }
            Standing::NotWaiting => {
                // A young message may be ahead of the read. It is left, and returns.
                if message
                    .sent_at
                    .is_some_and(|sent| shared.clock.now().duration_since(sent) >= LAG)
                {
                    taken.push(*message);
                }
                false
            }
            Standing::NotYet => true,
        });
        if !waits.is_empty() {
            scope.bells.groups.notify_one();
            tokio::time::sleep(LOOK).await;
        }
    }
    taken
}

/// State of the lifecycle action that a message reports.
enum Standing {
    /// Its drain is in the table.
    Recorded,
    /// A read of the groups that began after the message was received does not show its instance
    /// waiting.
    NotWaiting,
    /// Neither, so far.
    NotYet,
}

fn standing(scope: &ScopeState, instance: &str, received: Mono) -> Standing {
    let known = scope.phases.borrow().get(instance).copied();
    if known.is_some_and(|known| known.phase != Phase::Done && known.has_lifecycle) {
        return Standing::Recorded;
    }
    let groups = scope.groups.borrow();
    match groups
        .as_ref()
        .filter(|view| view.read.began > received)
        .map(|view| view.members.get(instance))
    {
        None => Standing::NotYet,
        Some(Some(member)) if crate::groups::is_waiting(&member.state) => Standing::NotYet,
        // Its drain ended before the message arrived.
        Some(_) if known.is_some_and(|known| known.has_lifecycle) => Standing::Recorded,
        Some(_) => Standing::NotWaiting,
    }
}

/// Opens the drains that warnings request. Returns the messages that may be deleted.
async fn open<'m>(
    shared: &Shared,
    scope: &ScopeState,
    warnings: &[Warning<'m>],
) -> Vec<&'m Message> {
    if warnings.is_empty() || scope.groups.borrow().is_none() {
        return Vec::new();
    }
    let since = shared.clock.mono();
    for warning in warnings {
        // A recommendation leaves time, and many can come at once.
        let class = if warning.origin == Origin::Rebalance { Class::Begin } else { Class::Spot };
        scope.searches.want(&warning.instance_id, since, class);
    }
    let mut left: Vec<&Warning<'m>> = warnings.iter().collect();
    let mut taken = Vec::new();
    while !left.is_empty() && shared.clock.mono() < since + SEARCHED {
        let (mut later, mut found) = (Vec::new(), Vec::new());
        for warning in left {
            let search = scope.searches.get(&warning.instance_id);
            match search.filter(|search| search.tells_since(since)) {
                None => later.push(warning),
                Some(search) => found.push((warning, search.found)),
            }
        }
        let opened =
            join_all(found.into_iter().map(|(warning, found)| one(shared, scope, warning, found)))
                .await;
        taken.extend(opened.into_iter().flatten());
        left = later;
        if !left.is_empty() {
            let answered = scope.searches.answered.notified();
            let _ = tokio::time::timeout(LOOK, answered).await;
        }
    }
    taken
}

/// Opens the drain that one warning requests. Returns its message if it may be deleted.
async fn one<'m>(
    shared: &Shared,
    scope: &ScopeState,
    warning: &Warning<'m>,
    container_instances: Vec<ContainerInstance>,
) -> Option<&'m Message> {
    let (instance, origin) = (&warning.instance_id, warning.origin.name());
    let policy = policy(scope, instance, &container_instances)?;
    let then = match (warning.origin, policy.rebalance) {
        (Origin::Rebalance, Rebalance::Ignore) => return Some(warning.message),
        (Origin::Rebalance, Rebalance::Terminate) => Then::Terminate,
        (Origin::Rebalance, Rebalance::Keep) => Then::Keep,
        (Origin::SpotInterruption | Origin::Operator | Origin::LifecycleHook, _) => Then::Leave,
    };
    let asked = Asked {
        instance_id: instance.clone(),
        origin: warning.origin,
        then,
        requested: None,
        request: Some(format!("{origin} {}", warning.at)),
        container_instances,
    };
    match open_asked(&shared.config, scope, &shared.records, &shared.clock, asked).await {
        Ok(Opened::Begins(_) | Opened::UnderWay(_) | Opened::Already(_)) => Some(warning.message),
        Ok(Opened::Refused(why)) => {
            log::instance!(info, scope, instance, origin, why, "Warning ignored");
            Some(warning.message)
        }
        Ok(Opened::NotNow) => None,
        Err(error) => {
            log::instance!(
                error,
                scope,
                instance,
                origin,
                error = chain(&error),
                "Drain not opened; SQS delivers its message again"
            );
            None
        }
    }
}

/// Returns the policy for a drain of the instance; `None` if tags may change it that were not read
/// yet.
fn policy(scope: &ScopeState, instance: &str, found: &[ContainerInstance]) -> Option<Policy> {
    if !scope.fleet.knows_policies() {
        return None;
    }
    let groups = scope.groups.borrow();
    let group = groups.as_ref().and_then(|view| Some(view.members.get(instance)?.group.clone()));
    Some(scope.fleet.policy(found.first().map(|c| c.cluster.as_str()), group.as_deref()))
}
