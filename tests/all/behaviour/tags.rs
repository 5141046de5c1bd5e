//! Settings in the tags of an Auto Scaling group.

use super::{elapsed, told, until_ended, until_record};
use crate::harness::{
    Scenario, config, group, our_completions, our_hook, record, seconds, set_up, virtual_time,
};
use crate::scenarios::{A, B, PLAIN};
use crate::story::{held, no_violation, run_for, until_phase, while_running};
use aws_simulator::autoscaling::GroupSpec;
use aws_simulator::spec::{ClusterSpec, StandaloneSpec};
use aws_simulator::{Cloud, Fault, Rule, Simulator};
use ecs_drain_state::{Outcome, Phase};

/// Adds the group of A and B with these tags, and a standalone task on A that never ends.
fn tagged(cloud: &mut Cloud, tags: &[(&str, &str)]) {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(GroupSpec { tags, ..group("web-group", "web", &[A, B]) });
    cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
}

const LISTED: &str = "[tags]\ngroups = [\"deadline\", \"at_deadline\"]\n";

#[test]
fn a_groups_tags_change_the_policy_of_its_drains() {
    let scenario = Scenario {
        config: LISTED,
        world: |cloud| {
            tagged(cloud, &[("ecs-drain:deadline", "20m"), ("ecs-drain:at-deadline", "continue")]);
            cloud.checkers.may_be_premature(A);
        },
        ..PLAIN
    };
    let (ended, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let record = until_ended(&simulator, &store, Outcome::TimedOut).await;
        assert!(elapsed(&simulator) >= seconds(1200));
        record
    });
    assert!(ended.shown.bad_tags.is_empty(), "{:?}", ended.shown.bad_tags);
    no_violation(&simulator);
}

/// The deadline is fixed when a drain begins, as it is if the configuration changes; the action at
/// the deadline is not.
#[test]
fn a_bad_tag_is_shown_and_the_configured_policy_holds_until_it_is_corrected() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"20m\"\n[tags]\ngroups = [\"deadline\", \"at_deadline\"]\n",
        world: |cloud| {
            tagged(cloud, &[("ecs-drain:at-deadline", "Continue"), ("ecs-drain:deadline", "30s")]);
            cloud.checkers.may_be_premature(A);
        },
        ..PLAIN
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let past = until_record(&simulator, &store, "HeldPastDeadline", |r| {
            r.shown.why == "HeldPastDeadline"
        })
        .await;
        assert_eq!(
            past.shown.bad_tags,
            [
                "ecs-drain:at-deadline is \"Continue\": it must be \"continue\", \"abandon\" or \"hold\"",
                "ecs-drain:deadline is \"30s\": it must be at least 1m",
            ]
        );
        assert!(elapsed(&simulator) >= seconds(1200));
        simulator.with(|cloud| {
            cloud.put_tag("web-group", "ecs-drain:at-deadline", Some("hold"));
            cloud.put_tag("web-group", "ecs-drain:deadline", Some("40h"));
        });
        let right = |r: &ecs_drain_state::Record| r.shown.bad_tags.is_empty();
        let corrected = until_record(&simulator, &store, "no bad tag", right).await;
        assert_eq!((corrected.deadline, held(&simulator)), (past.deadline, true));
        simulator
            .with(|cloud| cloud.put_tag("web-group", "ecs-drain:at-deadline", Some("continue")));
        until_ended(&simulator, &store, Outcome::TimedOut).await;
    });
    no_violation(&simulator);
}

/// Whoever may tag a group must not be able to have its instances released.
#[test]
fn a_tag_that_the_configuration_does_not_list_releases_nothing_and_is_shown() {
    let scenario = Scenario {
        world: |cloud| {
            tagged(cloud, &[("ecs-drain:deadline", "1m"), ("ecs-drain:at-deadline", "continue")]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let waiting = until_phase(&simulator, &store, Phase::Waiting).await;
        tokio::time::sleep(seconds(1200)).await;
        assert!(held(&simulator));
        assert_eq!(waiting.deadline, None);
        assert_eq!(
            waiting.shown.bad_tags.first().map(String::as_str),
            Some(
                "ecs-drain:at-deadline: the configuration lets no tag set at_deadline (groups of [tags])"
            )
        );
    });
}

/// The configuration alone would release A at its deadline.
#[test]
fn a_process_that_has_not_read_the_tags_releases_nothing_that_they_hold() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"10m\"\nat_deadline = \"continue\"\n\
                 [tags]\ngroups = [\"at_deadline\"]\n",
        world: |cloud| tagged(cloud, &[("ecs-drain:at-deadline", "hold")]),
        ..PLAIN
    };
    virtual_time(1, || async {
        let (simulator, store) = set_up(&scenario, 1).await;
        simulator.with(scenario.begin);
        simulator.with(|cloud| cloud.set_replicas_up(1));
        run_for(&simulator, config(&scenario), seconds(300)).await;
        assert_eq!(record(&store, A).await.unwrap().phase(), Phase::Waiting);
        simulator.with(|cloud| {
            cloud.faults.add(Rule::on("DescribeAutoScalingGroups", Fault::AccessDenied));
        });
        // The hook's heartbeat timeout is an hour.
        run_for(&simulator, config(&scenario), seconds(1800)).await;
        assert!(held(&simulator));
        simulator.with(|cloud| cloud.faults.clear());
        run_for(&simulator, config(&scenario), seconds(1200)).await;
        assert!(held(&simulator));
        let record = record(&store, A).await.unwrap();
        assert_eq!(record.shown.why, "HeldPastDeadline", "{}", record.shown.message);
        no_violation(&simulator);
    });
}

/// A minute before the hook expires, a drain past its deadline ends even if its reads are
/// incomplete. The configuration alone would release A then.
#[test]
fn a_process_that_has_not_read_the_tags_releases_nothing_when_the_hook_expires() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"10m\"\nat_deadline = \"continue\"\nblind_margin = \"1m\"\n\
                 [tags]\ngroups = [\"at_deadline\"]\n",
        world: |cloud| {
            tagged(cloud, &[("ecs-drain:at-deadline", "hold")]);
            cloud.put_hook("web-group", our_hook(seconds(60)));
            cloud.checkers.may_be_premature(A);
        },
        ..PLAIN
    };
    virtual_time(1, || async {
        let (simulator, store) = set_up(&scenario, 1).await;
        simulator.with(scenario.begin);
        simulator.with(|cloud| cloud.set_replicas_up(1));
        run_for(&simulator, config(&scenario), seconds(5920)).await;
        let before = record(&store, A).await.unwrap();
        assert_eq!(before.shown.why, "HeldPastDeadline", "{}", before.shown.message);
        simulator.with(|cloud| {
            cloud.faults.add(Rule::on("DescribeAutoScalingGroups", Fault::AccessDenied));
        });
        run_for(&simulator, config(&scenario), seconds(70)).await;
        simulator.with(|cloud| assert!(our_completions(cloud, A).is_empty()));
        let after = record(&store, A).await.unwrap();
        assert_eq!(after.phase(), Phase::Waiting, "{}", after.shown.message);
    });
}
