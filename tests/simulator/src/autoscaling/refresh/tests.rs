#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::autoscaling::{GroupSpec, HookSpec};

fn at(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}

/// Creates a group `g` of `desired` instances, whose launches take a minute, with a terminating
/// hook of ten minutes.
fn group(desired: u32) -> AutoScaling {
    let mut asg = AutoScaling::new(crate::REGION, "2026-01-01T00:00:00Z".parse().unwrap(), 7);
    let hook = HookSpec { heartbeat_timeout: Duration::from_secs(600), ..HookSpec::default() };
    asg.add_group(GroupSpec {
        name: "g".to_owned(),
        desired,
        hooks: vec![hook],
        ..GroupSpec::default()
    });
    asg.advance(at(0));
    asg
}

fn states(asg: &AutoScaling, state: &str) -> usize {
    asg.instances("g").iter().filter(|instance| instance.lifecycle_state == state).count()
}

fn spec(min: u32, max: u32) -> RefreshSpec {
    RefreshSpec {
        min_healthy_percentage: min,
        max_healthy_percentage: max,
        instance_warmup: Duration::from_secs(30),
    }
}

/// Plays an hour or so in steps. Returns the lowest number in service, and the highest number of
/// instances without those that leave.
fn play(asg: &mut AutoScaling, from: u64, until: u64) -> (usize, usize) {
    let (mut fewest, mut most) = (usize::MAX, 0);
    for second in from..until {
        asg.advance(at(second));
        let serving = states(asg, "InService");
        fewest = fewest.min(serving);
        most = most.max(serving + states(asg, "Pending") + states(asg, "Pending:Wait"));
    }
    (fewest, most)
}

#[test]
fn below_a_hundred_percent_instances_leave_first_one_at_a_time_in_a_small_group() {
    let mut asg = group(3);
    let before: BTreeSet<String> =
        asg.instances("g").into_iter().map(|instance| instance.instance_id).collect();
    assert!(asg.start_instance_refresh(
        at(10),
        "g",
        RefreshSpec { instance_warmup: at(30), ..RefreshSpec::default() }
    ));
    assert!(!asg.start_instance_refresh(at(11), "g", RefreshSpec::default()), "one at a time");
    asg.advance(at(20));
    assert_eq!((states(&asg, "Terminating:Wait"), states(&asg, "Pending")), (1, 1));
    // The replacement is warm long before the hook releases the instance.
    asg.advance(at(500));
    assert_eq!((states(&asg, "Terminating:Wait"), states(&asg, "InService")), (1, 3));
    assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::InProgress));
    let (fewest, most) = play(&mut asg, 500, 3000);
    assert_eq!((fewest, most), (2, 3));
    assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::Successful));
    let after = asg.instances("g");
    assert_eq!(
        (after.len(), after.iter().filter(|i| before.contains(&i.instance_id)).count()),
        (3, 0)
    );
    assert!(asg.next_event(at(3000)).is_none(), "nothing goes on");
}

#[test]
fn half_of_a_group_can_leave_at_once() {
    let mut asg = group(4);
    asg.start_instance_refresh(at(10), "g", spec(50, 100));
    asg.advance(at(20));
    assert_eq!((states(&asg, "Terminating:Wait"), states(&asg, "Pending")), (2, 2));
}

#[test]
fn at_a_hundred_percent_new_instances_are_launched_first() {
    let mut asg = group(4);
    asg.start_instance_refresh(at(10), "g", spec(100, 150));
    asg.advance(at(20));
    assert_eq!(
        (states(&asg, "InService"), states(&asg, "Pending"), asg.instances("g").len()),
        (4, 2, 6)
    );
    asg.advance(at(130));
    assert_eq!(states(&asg, "Terminating:Wait"), 2, "the new ones are warm");
    let (fewest, most) = play(&mut asg, 130, 3000);
    assert_eq!((fewest, most), (4, 6));
    assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::Successful));
    assert_eq!(asg.instances("g").len(), 4);
}

#[test]
fn a_cancelled_refresh_finishes_what_is_in_hand() {
    for rules in [spec(100, 110), spec(90, 100)] {
        let mut asg = group(3);
        asg.start_instance_refresh(at(10), "g", rules);
        asg.advance(at(30));
        assert!(asg.cancel_instance_refresh(at(30), "g"));
        assert!(!asg.cancel_instance_refresh(at(31), "g"));
        assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::Cancelling));
        asg.advance(at(3000));
        assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::Cancelled));
        assert_eq!(
            (asg.instances("g").len(), states(&asg, "InService"), asg.completions().len()),
            (3, 3, 1)
        );
    }
}

#[test]
fn a_group_without_capacity_stays_below_and_tries_again() {
    let mut asg = group(3);
    assert!(asg.set_out_of_capacity(at(5), "g", true));
    assert!(!asg.set_out_of_capacity(at(5), "another", true));
    let victim = asg.instances("g")[0].instance_id.clone();
    asg.terminate(at(10), &victim, false).unwrap();
    asg.advance(at(200));
    assert_eq!(
        (states(&asg, "InService"), states(&asg, "Pending"), asg.instances("g").len()),
        (2, 0, 3)
    );
    let params = crate::wire::query::Params::from_pairs(&[("AutoScalingGroupName", "g")]);
    let activities = asg.handle(at(201), "DescribeScalingActivities", &params).unwrap();
    assert_eq!(
        activities.matches("<StatusCode>Failed</StatusCode>").count(),
        4,
        "now, and after each minute"
    );
    assert!(
        activities
            .contains("<StatusMessage>We currently do not have sufficient m5.xlarge capacity")
    );
    asg.set_out_of_capacity(at(205), "g", false);
    asg.advance(at(220));
    assert_eq!(states(&asg, "Pending"), 0, "it has not tried again yet");
    asg.advance(at(320));
    assert_eq!((states(&asg, "InService"), states(&asg, "Pending")), (3, 0));
}

#[test]
fn a_refresh_without_progress_for_an_hour_fails() {
    let mut asg = group(3);
    asg.set_out_of_capacity(at(5), "g", true);
    asg.start_instance_refresh(at(10), "g", spec(100, 110));
    asg.advance(at(3600));
    assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::InProgress));
    asg.advance(at(3620));
    assert_eq!(asg.instance_refresh("g"), Some(RefreshStatus::Failed));
    asg.set_out_of_capacity(at(3620), "g", false);
    asg.advance(at(4000));
    assert_eq!(
        (asg.instances("g").len(), states(&asg, "InService")),
        (3, 3),
        "nothing above what is desired"
    );
}
