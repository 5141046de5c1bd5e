//! Plans for small clusters: the verdict, its reasons, and the waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod room;

use super::*;
use crate::budget::DoNotDisrupt;
use crate::diagnosis::{
    Constraint, InstanceFacts, Need, Others, Port, Protection, ServiceFacts, TargetFacts, TaskFacts,
};
use crate::policy::{DaemonTasks, StandaloneTasks};
use crate::rollout::Surge;
use crate::sight::TaskKind;
use jiff::SignedDuration;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// Returns an instance with so much room, `c1` of EC2 instance `i-c1`.
fn instance(name: &str, cpu: i64) -> InstanceFacts {
    InstanceFacts {
        arn: name.to_owned(),
        ec2_instance_id: format!("i-{name}"),
        agent_connected: true,
        cpu: Some(cpu),
        memory: Some(8192),
        ports_taken: Some(BTreeSet::new()),
        gpus: Some(0),
        ..InstanceFacts::default()
    }
}

/// Returns a steady service whose tasks need so much CPU.
fn service(desired: u32, minimum: u32, maximum: u32, cpu: u32) -> ServiceFacts {
    ServiceFacts {
        desired,
        running: desired,
        minimum_percent: Some(minimum),
        maximum_percent: Some(maximum),
        need: Some(Need { cpu: Some(cpu), memory: Some(64), ..Need::default() }),
        ..ServiceFacts::default()
    }
}

fn task(id: &str, kind: TaskKind) -> TaskFacts {
    TaskFacts {
        id: id.to_owned(),
        cluster: "web".to_owned(),
        last_status: "RUNNING".to_owned(),
        stopping: false,
        kind,
        protection: Protection::Off,
        stopping_at: None,
        stop_timeout_seconds: Some(30),
    }
}

/// Returns a cluster in which `i-1` leaves with tasks of these services, and these instances stay.
fn snapshot(others: &[InstanceFacts], services: &[(&str, ServiceFacts, usize)]) -> Snapshot {
    let tasks = services.iter().flat_map(|(name, _, count)| {
        (0..*count)
            .map(move |n| task(&format!("{name}-{n}"), TaskKind::Replica((*name).to_owned())))
    });
    let leaving = Leaving {
        instance_id: "i-1".to_owned(),
        cluster: "web".to_owned(),
        chosen: true,
        agent_connected: true,
        tasks: Some(tasks.collect()),
        group: Some(None),
        ..Leaving::default()
    };
    let named = services.iter().map(|(name, facts, _)| ((*name).to_owned(), facts.clone()));
    let facts = ClusterFacts {
        others: Some(Others { instances: others.to_vec(), more: false }),
        services: named.collect(),
        ..ClusterFacts::default()
    };
    Snapshot {
        clusters: [("web".to_owned(), facts)].into(),
        leaving: vec![leaving],
        ..Snapshot::default()
    }
}

fn planned(snapshot: &Snapshot) -> Plan {
    at_once(snapshot, Then::Terminate, now())
}

/// Checks the verdict, and the names of causes and doubts.
#[track_caller]
fn check(snapshot: &Snapshot, verdict: Verdict, reasons: &str) {
    let plan = planned(snapshot);
    let one = &plan.instances["i-1"];
    let names = one.causes.iter().map(Cause::name).chain(one.doubts.iter().map(Doubt::name));
    assert_eq!(names.collect::<Vec<_>>().join(" "), reasons, "{one:#?}");
    assert_eq!(plan.verdict(), verdict);
}

#[test]
fn tasks_that_find_a_place_in_any_order_leave() {
    let two = [instance("a", 512), instance("b", 512)];
    check(&snapshot(&two, &[("api", service(4, 100, 200, 256), 2)]), Verdict::Ends, "");
    check(&snapshot(&[], &[]), Verdict::Ends, "");
}

#[test]
fn percentages_that_allow_no_step_are_named() {
    let two = [instance("a", 2048), instance("b", 2048)];
    let stuck = |desired, minimum, maximum, verdict, reasons| {
        let service = service(desired, minimum, maximum, 256);
        check(&snapshot(&two, &[("api", service, 1)]), verdict, reasons);
    };
    stuck(2, 100, 100, Verdict::Stuck, "ServiceCannotReplace");
    stuck(2, 100, 149, Verdict::Stuck, "ServiceCannotReplace");
    stuck(2, 100, 150, Verdict::Ends, "");
    stuck(2, 50, 100, Verdict::Ends, "");
    stuck(1, 50, 100, Verdict::Stuck, "ServiceCannotReplace");
}

/// `minimumHealthyPercent` allows them to stop first, so their drain needs no place.
#[test]
fn tasks_that_may_stop_first_need_no_room() {
    let facts = snapshot(&[instance("a", 64)], &[("api", service(4, 50, 100, 256), 2)]);
    check(&facts, Verdict::Ends, "");
    let moved = &planned(&facts).moves[0];
    assert_eq!((moved.tasks, moved.first, moved.without), (2, 0, 2));
}

#[test]
fn the_last_of_several_tasks_needs_room_too() {
    let one = [instance("a", 700)];
    let api = || service(4, 100, 200, 256);
    check(&snapshot(&one, &[("api", api(), 2)]), Verdict::Ends, "");
    check(&snapshot(&one, &[("api", api(), 3)]), Verdict::Stuck, "NoRoom");
    // Two of the three may stop first.
    check(&snapshot(&one, &[("api", service(4, 50, 200, 256), 3)]), Verdict::Ends, "");
}

/// The small tasks can be placed on both instances, each of which then lacks room for a large one.
#[test]
fn room_that_depends_on_the_order_is_no_promise() {
    let two = [instance("a", 1024), instance("b", 1024)];
    let small = ("small", service(2, 100, 200, 64), 2);
    let large = ("large", service(1, 100, 200, 1024), 1);
    check(&snapshot(&two, &[small, large]), Verdict::NotKnown, "TightRoom");
}

#[test]
fn rules_of_placement_count_for_every_replacement() {
    let two = [instance("a", 2048), instance("b", 2048)];
    let mut distinct = service(4, 100, 200, 64);
    distinct.constraints = vec![Constraint::DistinctInstance];
    distinct.placed_on = Some(["c1".to_owned()].into());
    check(&snapshot(&two, &[("api", distinct.clone(), 2)]), Verdict::Ends, "");
    check(&snapshot(&two, &[("api", distinct.clone(), 3)]), Verdict::Stuck, "ConstraintUnmet");
    distinct.placed_on = None;
    check(&snapshot(&two, &[("api", distinct, 1)]), Verdict::NotKnown, "ConstraintNotJudged");
    let mut port = service(2, 100, 200, 64);
    port.need.as_mut().unwrap().ports = [Port::Tcp(80)].into();
    check(&snapshot(&two, &[("api", port.clone(), 2)]), Verdict::Ends, "");
    let rival = ("web", port.clone(), 1);
    check(&snapshot(&two, &[("api", port.clone(), 1), rival.clone()]), Verdict::Ends, "");
    check(&snapshot(&two, &[("api", port, 2), rival]), Verdict::Stuck, "NoRoom TightRoom");
    let mut provided = service(2, 100, 200, 64);
    provided.capacity_providers = ["spot".to_owned()].into();
    check(&snapshot(&two, &[("api", provided.clone(), 1)]), Verdict::Stuck, "ConstraintUnmet");
    let mut spot = instance("c", 2048);
    spot.capacity_provider = Some("spot".to_owned());
    check(&snapshot(&[spot], &[("api", provided, 1)]), Verdict::Ends, "");
    let mut gpu = service(1, 100, 200, 64);
    gpu.need.as_mut().unwrap().gpus = 1;
    check(&snapshot(&two, &[("api", gpu.clone(), 1)]), Verdict::Stuck, "NoRoom");
    let accelerated = InstanceFacts { gpus: Some(1), ..instance("g", 2048) };
    check(&snapshot(&[accelerated], &[("api", gpu, 1)]), Verdict::Ends, "");
}

#[test]
fn other_draining_instances_need_the_same_room() {
    let mut facts = snapshot(&[instance("a", 512)], &[("api", service(4, 100, 200, 256), 2)]);
    check(&facts, Verdict::Ends, "");
    let tasks = (0..1).map(|n| task(&format!("t{n}"), TaskKind::Replica("api".to_owned())));
    facts.leaving.push(Leaving {
        instance_id: "i-2".to_owned(),
        cluster: "web".to_owned(),
        tasks: Some(tasks.collect()),
        ..Leaving::default()
    });
    check(&facts, Verdict::Stuck, "NoRoom");
    assert_eq!(planned(&facts).instances.len(), 1, "only the chosen ones get a verdict");
    facts.leaving[1].tasks = None;
    check(&facts, Verdict::NotKnown, "TasksUnread");
}

#[test]
fn facts_that_are_missing_are_no_promise() {
    let two = [instance("a", 2048), instance("b", 2048)];
    let whole = snapshot(&two, &[("api", service(2, 100, 200, 256), 1)]);
    let without = |change: fn(&mut Snapshot), reasons: &str| {
        let mut facts = whole.clone();
        change(&mut facts);
        check(&facts, Verdict::NotKnown, reasons);
    };
    without(|facts| facts.leaving[0].tasks = None, "TasksUnread");
    without(|facts| facts.leaving[0].group = None, "GroupUnread");
    without(|facts| of(facts).services.clear(), "ServiceUnread");
    without(|facts| of(facts).others = None, "RoomUnknown");
    without(|facts| api(facts).need = None, "RoomUnknown");
    without(|facts| api(facts).running = 1, "Unsettled");
    without(|facts| api(facts).rollout.in_progress = true, "InDeployment");
    without(|facts| of(facts).unhealthy.extend([("api".to_owned(), 1)]), "Unhealthy");
    without(
        |facts| facts.leaving[0].tasks.as_mut().unwrap()[0].protection = Protection::Unknown,
        "ProtectionUnread",
    );
    without(
        |facts| drop(of(facts).unreadable.insert("ecs:X".to_owned(), "denied".to_owned())),
        "Unreadable",
    );
    without(
        |facts| facts.leaving[0].unread_balancers.extend(["target group web".to_owned()]),
        "TargetsUnread",
    );
    let blind = |facts: &mut Snapshot| {
        let others = of(facts).others.as_mut().unwrap();
        others.instances.iter_mut().for_each(|one| one.memory = None);
    };
    without(blind, "RoomUnknown");
}

fn of(facts: &mut Snapshot) -> &mut ClusterFacts {
    facts.clusters.get_mut("web").unwrap()
}

fn api(facts: &mut Snapshot) -> &mut ServiceFacts {
    of(facts).services.get_mut("api").unwrap()
}

#[test]
fn tasks_outside_of_services_hold_it_up_as_the_policy_says() {
    let mut facts = snapshot(&[instance("a", 64)], &[]);
    facts.leaving[0].tasks = Some(vec![task("job", TaskKind::Standalone)]);
    check(&facts, Verdict::Stuck, "StandaloneTask");
    let grace = Duration::from_secs(600);
    facts.leaving[0].policy.standalone_tasks = StandaloneTasks::StopAfter(grace);
    check(&facts, Verdict::Ends, "");
    let plan = planned(&facts);
    assert_eq!(plan.takes, grace + Duration::from_secs(30 + 60 + 120));
    assert!(matches!(plan.instances["i-1"].waits[..], [Wait::Standalone { .. }]));
    let daemon = task("agent", TaskKind::Daemon("agent".to_owned()));
    facts.leaving[0].tasks = Some(vec![daemon]);
    check(&facts, Verdict::Ends, "");
    assert_eq!(planned(&facts).instances["i-1"].tasks, Some(0));
    facts.leaving[0].policy.daemon_tasks = DaemonTasks::Wait;
    check(&facts, Verdict::NotKnown, "ServiceUnread");
}

#[test]
fn protection_with_an_end_is_waited_for() {
    let mut facts = snapshot(&[instance("a", 512)], &[("api", service(2, 100, 200, 64), 1)]);
    let mut protect = |until| {
        facts.leaving[0].tasks.as_mut().unwrap()[0].protection = Protection::On { until };
        facts.clone()
    };
    let until = now() + SignedDuration::from_hours(1);
    let plan = planned(&protect(Some(until)));
    assert_eq!(plan.verdict(), Verdict::Ends);
    assert!(plan.takes > Duration::from_secs(3600));
    let wait = plan.instances["i-1"].waits[0].to_string();
    assert_eq!(
        wait,
        "task api-0 of service api: protected from scale-in until 2026-11-22T13:00:00Z, unless it renews that"
    );
    check(&protect(None), Verdict::Stuck, "ProtectedTask");
}

#[test]
fn targets_that_ecs_does_not_deregister_stay() {
    let target = |name: &str| TargetFacts {
        name: name.to_owned(),
        state: "healthy".to_owned(),
        draining: false,
        delay_seconds: Some(120),
        draining_since: None,
    };
    let mut facts = snapshot(&[], &[]);
    facts.leaving[0].targets = vec![target("i-1 in target group web")];
    check(&facts, Verdict::Ends, "");
    assert_eq!(planned(&facts).takes, Duration::from_secs(120 + 60 + 120));
    facts.leaving[0].of_group = vec![target("i-1 in target group own")];
    check(&facts, Verdict::Ends, "");
    assert_eq!(at_once(&facts, Then::Keep, now()).verdict(), Verdict::Stuck);
    facts.leaving[0].strays = vec![target("i-1 in target group web")];
    check(&facts, Verdict::Stuck, "TargetStays");
}

#[test]
fn a_lost_agent_is_named() {
    let mut facts = snapshot(&[instance("a", 512)], &[("api", service(2, 100, 200, 64), 1)]);
    facts.leaving[0].agent_connected = false;
    check(&facts, Verdict::Stuck, "AgentDisconnected");
    facts.leaving[0].tasks = Some(Vec::new());
    check(&facts, Verdict::Ends, "");
}

#[test]
fn the_limits_of_the_group_are_noted() {
    let mut facts = snapshot(&[], &[]);
    facts.leaving[0].group = Some(Some(GroupFacts {
        name: "web".to_owned(),
        minimum: 2,
        maximum: 3,
        desired: 2,
        suspended: ["Launch".to_owned(), "AZRebalance".to_owned()].into(),
        other_hooks: vec!["backup".to_owned()],
        protected: true,
    }));
    let plan = planned(&facts);
    assert_eq!(plan.verdict(), Verdict::Ends);
    let notes: Vec<String> = plan.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 4, "{notes:#?}");
    assert!(notes[0].ends_with("with --shrink at most 0 can be terminated"), "{}", notes[0]);
    assert!(notes[1].contains("suspended processes: Launch;"), "{}", notes[1]);
}

/// Drains of a cluster come in rounds.
#[test]
fn the_estimate_counts_rounds() {
    let mut facts = snapshot(&[], &[]);
    let two = Leaving { instance_id: "i-2".to_owned(), ..facts.leaving[0].clone() };
    facts.leaving.push(two);
    assert_eq!(planned(&facts).takes, Duration::from_secs(2 * 180));
}

/// Returns a cluster of equal instances `i-1`, `i-2`, … in one group, each with the same tasks, that
/// all leave, and these instances that stay.
fn fleet(
    count: usize,
    free: i64,
    others: &[InstanceFacts],
    services: &[(&str, ServiceFacts, usize)],
) -> Snapshot {
    let mut facts = snapshot(others, services);
    let group = GroupFacts {
        name: "web-asg".to_owned(),
        maximum: u32::try_from(count + others.len() + 1).unwrap(),
        desired: u32::try_from(count + others.len()).unwrap(),
        ..GroupFacts::default()
    };
    let one = Leaving { group: Some(Some(group)), ..facts.leaving[0].clone() };
    facts.leaving = (1..=count)
        .map(|n| Leaving {
            instance_id: format!("i-{n}"),
            capacity: Some(instance(&n.to_string(), free)),
            ..one.clone()
        })
        .collect();
    facts
}

fn group(one: &mut Leaving) -> &mut GroupFacts {
    one.group.as_mut().unwrap().as_mut().unwrap()
}

/// Checks verdict and reasons of each instance: `i-1: Ends; i-2: Stuck NoRoom`.
#[track_caller]
fn check_turns(facts: &Snapshot, pace: Pace, expected: &str) -> Plan {
    let plan = by_turns(facts, pace, now());
    let line = |(id, one): (&String, &InstancePlan)| {
        let names = one.causes.iter().map(Cause::name).chain(one.doubts.iter().map(Doubt::name));
        let words = [one.verdict().name()].into_iter().chain(names);
        format!("{id}: {}", words.collect::<Vec<_>>().join(" "))
    };
    let shown: Vec<String> = plan.instances.iter().map(line).collect();
    assert_eq!(shown.join("; "), expected);
    plan
}

/// All at once there is no other instance; one after the other each is replaced.
#[test]
fn a_whole_cluster_leaves_one_by_one() {
    let mut facts = fleet(3, 512, &[], &[("api", service(6, 100, 200, 256), 2)]);
    let together = at_once(&facts, Then::Terminate, now());
    assert_eq!(together.verdict(), Verdict::Stuck);
    let plan = check_turns(&facts, Pace::default(), "i-1: Ends; i-2: Ends; i-3: Ends");
    let [moved] = &plan.moves[..] else { panic!("{:?}", plan.moves) };
    assert_eq!((moved.tasks, moved.first, moved.without), (6, 6, 0));
    assert!(moved.places.contains_key("a new instance of web-asg"), "{moved:?}");
    assert_eq!(plan.takes, together.takes);
    // Nothing replaces them: the second finds too little room, and the third comes after it.
    for one in &mut facts.leaving {
        group(one).suspended.insert("Launch".to_owned());
    }
    let expected = "i-1: Ends; i-2: Stuck NoRoom; i-3: Stuck NoOtherInstance Behind";
    check_turns(&facts, Pace::default(), expected);
}

/// The two of a turn need room for the tasks of both on the third.
#[test]
fn a_turn_has_as_many_instances_as_the_policy_allows() {
    let mut facts = fleet(3, 512, &[], &[("api", service(6, 100, 200, 256), 2)]);
    let two = crate::policy::Concurrency::Count(2);
    facts.leaving.iter_mut().for_each(|one| one.policy.max_concurrent = two);
    let expected = "i-1: Stuck NoRoom; i-2: Stuck NoRoom; i-3: NotKnown Behind";
    check_turns(&facts, Pace::default(), expected);
    let wave = Pace { wave: 1, ..Pace::default() };
    check_turns(&facts, wave, "i-1: Ends; i-2: Ends; i-3: Ends");
}

/// The group has room for one new instance, with which two can leave at once.
#[test]
fn new_instances_give_room_before_the_first_turn() {
    let mut facts = fleet(2, 0, &[], &[("api", service(4, 100, 200, 256), 2)]);
    let expected = "i-1: Stuck NoRoom; i-2: Stuck NoRoom Behind";
    check_turns(&facts, Pace::default(), expected);
    let surge = Pace { surge: Surge::All, ..Pace::default() };
    check_turns(&facts, surge, "i-1: Ends; i-2: Ends");
    for one in &mut facts.leaving {
        group(one).maximum = group(one).desired;
    }
    check_turns(&facts, surge, expected);
}

/// The small task of the first turn can take the only place of the large one, unless the new
/// instance has room for that, too.
#[test]
fn tasks_of_earlier_turns_are_rivals_of_later_ones() {
    let small = ("small", service(2, 100, 200, 600), 1);
    let large = ("large", service(1, 100, 200, 1024), 1);
    let mut facts = fleet(2, 0, &[instance("a", 1024)], &[small, large]);
    // The first has a small task alone, the second a large one alone.
    facts.leaving[0].tasks.as_mut().unwrap().truncate(1);
    facts.leaving[1].tasks.as_mut().unwrap().remove(0);
    check_turns(&facts, Pace::default(), "i-1: Ends; i-2: Stuck NoRoom");
    let free = facts.leaving[0].capacity.as_mut().unwrap();
    free.cpu = Some(424);
    check_turns(&facts, Pace::default(), "i-1: Ends; i-2: Ends");
}

#[test]
fn drains_that_are_under_way_take_room_in_every_turn() {
    let mut facts = fleet(2, 512, &[], &[("api", service(6, 100, 200, 256), 2)]);
    let busy = Leaving { instance_id: "i-9".to_owned(), chosen: false, ..facts.leaving[0].clone() };
    facts.leaving.push(Leaving { capacity: None, ..busy });
    check_turns(&facts, Pace::default(), "i-1: Stuck NoRoom; i-2: Stuck NoRoom Behind");
}

/// A tag with an end is waited for; one without is up to the service's owner.
#[test]
fn a_service_that_its_owner_keeps_holds_the_drain_up() {
    let mut facts = snapshot(&[instance("a", 512)], &[("api", service(2, 100, 200, 64), 1)]);
    let tag = |facts: &mut Snapshot, kept| {
        of(facts).kept.insert("api".to_owned(), kept);
    };
    tag(&mut facts, DoNotDisrupt::Always);
    check(&facts, Verdict::Ends, "");
    facts.leaving[0].policy.service_tags = true;
    check(&facts, Verdict::NotKnown, "DoNotDisrupt");
    let until = now() + SignedDuration::from_hours(2);
    tag(&mut facts, DoNotDisrupt::Until(until));
    check(&facts, Verdict::Ends, "");
    let plan = planned(&facts);
    assert!(plan.takes > Duration::from_secs(7200));
    assert_eq!(
        plan.instances["i-1"].waits[0].to_string(),
        "service api: its owner has tagged it ecs-drain:do-not-disrupt until 2026-11-22T14:00:00Z"
    );
    tag(&mut facts, DoNotDisrupt::Until(now()));
    assert_eq!(planned(&facts).instances["i-1"].waits, []);
    of(&mut facts).bad_tags.insert("the tag is wrong".to_owned());
    assert_eq!(planned(&facts).notes[0].to_string(), "tag that does not count: the tag is wrong");
}
