//! Arbitrary records, requests and pauses, as far as the types allow: also such as no drain would
//! ever have.

use ecs_drain::store::pauses::place;
use ecs_drain_state::diagnosis::Fix;
use ecs_drain_state::{
    ActionResult, Balancer, ContainerInstance, Event, Intent, LastError, Lifecycle, Note,
    Obligation, Order, Orders, Origin, Outcome, Phase, Record, Request, Shown, Stage,
    Strategy as How, Target, Then, WaitKind, What,
};
use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Returns texts with everything that JSON, a terminal or a table could fail on.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => made_of("abcxyz0189-"),
        1 => Just(String::new()),
        1 => vec(any::<char>(), 0..12).prop_map(String::from_iter),
        1 => Just("\u{0}\u{1b}[31m\"\\\r\n\u{202e}{}[]\u{feff}\u{10ffff}".to_owned()),
    ]
}

/// Returns parts of a key, or of an index's: never empty.
fn name() -> impl Strategy<Value = String> {
    made_of("abcxyzABCXYZ0189._-")
}

fn made_of(characters: &str) -> impl Strategy<Value = String> + use<> {
    vec(proptest::sample::select(characters.chars().collect::<Vec<_>>()), 1..=20)
        .prop_map(String::from_iter)
}

/// Returns any moment that can be written, to the nanosecond.
fn moment() -> impl Strategy<Value = Timestamp> {
    let range = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    prop_oneof![
        4 => (0..4_102_444_800_000_i64).prop_map(|millis| Timestamp::from_millisecond(millis).unwrap()),
        1 => range.prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap()),
        1 => prop_oneof![Just(Timestamp::MIN), Just(Timestamp::UNIX_EPOCH), Just(Timestamp::MAX)],
    ]
}

fn order() -> impl Strategy<Value = Order> {
    (text(), of(text()), moment()).prop_map(|(by, reason, at)| Order { by, reason, at })
}

fn kind() -> impl Strategy<Value = WaitKind> {
    use WaitKind::*;
    prop_oneof![
        Just(Terminating),
        Just(WarmedTerminating),
        Just(ReturnsToWarmPool),
        Just(ReplacesRootVolume)
    ]
}

fn result() -> impl Strategy<Value = ActionResult> {
    prop_oneof![Just(ActionResult::Continue), Just(ActionResult::Abandon)]
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        Just(Then::Terminate),
        Just(Then::TerminateAndShrink),
        Just(Then::Keep),
        Just(Then::Leave)
    ]
}

fn fix() -> impl Strategy<Value = Fix> {
    (text(), text(), 0..4).prop_map(|(cluster, task, which)| match which {
        0 => Fix::StopTask { cluster, task },
        1 => Fix::EndProtection { cluster, task },
        2 => Fix::ContinueDeployment { deployment: cluster, hook: task },
        _ => Fix::StopDeployment { deployment: cluster },
    })
}

fn lifecycle() -> impl Strategy<Value = Lifecycle> {
    (text(), text(), kind(), any::<u32>(), any::<u32>(), result(), vec(text(), 0..3), any::<bool>())
        .prop_map(
            |(
                group,
                hook,
                kind,
                heartbeat,
                global,
                default_result,
                other_hooks,
                retains_abandoned,
            )| Lifecycle {
                group,
                hook,
                kind,
                heartbeat_timeout_seconds: heartbeat,
                global_timeout_seconds: global,
                default_result,
                other_hooks,
                retains_abandoned,
            },
        )
}

fn container_instance() -> impl Strategy<Value = ContainerInstance> {
    let watched = (any::<u32>(), any::<u32>());
    (text(), text(), any::<bool>(), of(moment()), watched).prop_map(
        |(cluster, arn, ours, at, watched)| {
            let (drained_for_seconds, gone_for_seconds) = watched;
            ContainerInstance {
                cluster,
                arn,
                draining_is_ours: ours,
                deregistered_at: at,
                drained_for_seconds,
                gone_for_seconds,
            }
        },
    )
}

fn obligation() -> impl Strategy<Value = Obligation> {
    let balancer = (any::<bool>(), text()).prop_map(|(new, of)| {
        if new { Balancer::TargetGroup(of) } else { Balancer::ClassicLoadBalancer(of) }
    });
    let target = (any::<bool>(), text())
        .prop_map(|(ip, of)| if ip { Target::Ip(of) } else { Target::Instance(of) });
    let watched = (any::<u32>(), any::<bool>());
    (balancer, target, of(any::<u32>()), of(any::<bool>()), of(moment()), watched, moment())
        .prop_map(
            |(balancer, target, delay_seconds, network, draining_since, watched, noted_at)| {
                Obligation {
                    delay_seconds,
                    network,
                    draining_since,
                    left_for_seconds: watched.0,
                    of_group_alone: watched.1,
                    ..Obligation::new(balancer, target, noted_at)
                }
            },
        )
}

fn intent() -> impl Strategy<Value = Intent> {
    (result(), outcome(), text(), moment()).prop_map(|(result, outcome, reason, at)| Intent {
        result,
        outcome,
        reason,
        at,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    proptest::sample::select(Outcome::ALL.to_vec())
}

fn phase() -> impl Strategy<Value = Phase> {
    proptest::sample::select(Phase::ALL.to_vec())
}

fn event() -> impl Strategy<Value = Event> {
    (moment(), phase(), text()).prop_map(|(at, phase, what)| Event { at, phase, what })
}

fn origin() -> impl Strategy<Value = Origin> {
    use Origin::*;
    prop_oneof![Just(LifecycleHook), Just(Operator), Just(SpotInterruption), Just(Rebalance)]
}

/// Returns records with an instance, an origin and a cause.
fn identity() -> impl Strategy<Value = Record> {
    let how = prop_oneof![Just(How::Drain), Just(How::Deregister)];
    let counts = (any::<u64>(), any::<u64>());
    let whose = (name(), name(), name(), name(), name());
    (whose, counts, origin(), how, of(text()), of(then()), of(order()), of(name())).prop_map(
        |(
            (account, region, instance_id, controller, write_id),
            (generation, version),
            origin,
            strategy,
            group,
            then,
            requested,
            cluster,
        )| {
            Record {
                account,
                region,
                instance_id,
                controller,
                generation,
                version,
                write_id,
                origin,
                strategy,
                group,
                then,
                requested,
                cluster,
                ..super::record("i-arbitrary")
            }
        },
    )
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Pending),
        Just(Stage::Deregistering),
        Just(Stage::Waiting),
        Just(Stage::Verifying),
        (intent(), of(moment()))
            .prop_map(|(intent, refused_since)| Stage::Completing { intent, refused_since }),
        of(intent()).prop_map(|intent| Stage::Returning { intent }),
        (outcome(), of(intent()), any::<i64>())
            .prop_map(|(outcome, intent, expires_at)| Stage::Done { outcome, intent, expires_at }),
    ]
}

/// Returns a record of this schema.
pub fn record() -> impl Strategy<Value = Record> {
    let stands =
        (moment(), moment(), moment(), of(moment()), of(moment()), of(moment()), of(moment()));
    let lists = (
        vec(container_instance(), 0..3),
        vec(obligation(), 0..4),
        vec(event(), 0..4),
        vec(text(), 0..3),
    );
    let orders = (of(order()), of(order()), of(order()), vec(name(), 0..3));
    let services = vec((name(), any::<u32>()), 0..3).prop_map(|all| all.into_iter().collect());
    let ends = (stage(), vec(name(), 0..3), of(services));
    let left = (vec(text(), 0..3), any::<u32>(), any::<u32>(), any::<u32>());
    let note = (text(), text(), of(fix())).prop_map(|(name, text, fix)| Note { name, text, fix });
    let error = (moment(), text()).prop_map(|(at, what)| LastError { at, what });
    let said = (text(), text(), vec(note, 0..3), of(error));
    (identity(), of(lifecycle()), stands, lists, orders, ends, left, said).prop_map(
        |(record, lifecycle, stands, lists, orders, ends, left, said)| Record {
            lifecycle,
            phase_since: stands.0,
            created_at: stands.1,
            updated_at: stands.2,
            deadline: stands.3,
            global_limit: stands.4,
            termination_asked_at: stands.5,
            retained_at: stands.6,
            container_instances: lists.0,
            obligations: lists.1,
            history: lists.2,
            orders: Orders {
                pause: orders.0,
                cancel: orders.1,
                force: orders.2,
                requests: orders.3,
            },
            stage: ends.0,
            stopped_tasks: ends.1,
            services: ends.2,
            shown: Shown {
                tasks_left: lists.3,
                targets_left: left.0,
                tasks_left_count: left.1,
                targets_left_count: left.2,
                why: said.0,
                message: said.1,
                causes: said.2,
                stuck_since: None,
                bad_tags: Vec::new(),
            },
            attempts: left.3,
            last_error: said.3,
            ..record
        },
    )
}

/// Returns requests of operators.
pub fn request() -> impl Strategy<Value = Request> {
    let what = prop_oneof![
        then().prop_map(|then| What::Drain { then }),
        moment().prop_map(|until| What::Extend { until }),
        proptest::sample::select(vec![
            What::Cancel,
            What::Pause,
            What::Resume,
            What::Retry,
            What::Force
        ]),
    ];
    let whose = (name(), name(), name(), text(), of(name()));
    (name(), whose, any::<u64>(), what, text(), of(text()), moment()).prop_map(
        |(
            id,
            (controller, account, region, instance_id, cluster),
            generation,
            what,
            by,
            reason,
            at,
        )| Request {
            id,
            controller,
            account,
            region,
            instance_id,
            cluster,
            generation,
            what,
            by,
            reason,
            at,
            schema: ecs_drain_state::request::SCHEMA,
        },
    )
}

/// Returns pauses of whole places.
pub fn paused() -> impl Strategy<Value = BTreeMap<String, Order>> {
    let cluster = (name(), name(), name())
        .prop_map(|(account, region, cluster)| place(&account, &region, &cluster));
    btree_map(prop_oneof![Just("*".to_owned()), cluster], order(), 0..4)
}
