//! AWS's behaviour that the program relies on, as plain calls of the SDK, made on every available
//! cloud.
//!
//! A check states one thing about AWS from AWS's documents, or from people who observed it; its
//! comment names them. The same checks run against the simulator in process, the simulator behind
//! its socket, and other projects' emulators. [`differs`] lists each known difference and its
//! source; a listed difference that does not show is a failure too. The simulator has no
//! difference.
//!
//! The simulator's DynamoDB is the crate dynoxide, in process and behind the simulator's socket.
//!
//! ```sh
//! cargo test --test all conformance
//! .tools/moto/bin/python tests/external/run.py conformance
//! ```
//!
//! The second starts every cloud, and prints a table of checks and clouds. `tests/aws` runs them on
//! AWS itself.

mod autoscaling;
mod aws;
mod classic;
mod clouds;
mod differs;
mod dynamodb;
mod ecs;
mod elbv2;
mod make;
mod report;
mod sqs;
mod tasks;
mod told;
mod world;

use clouds::{Cloud, Elsewhere};
use futures_util::future::LocalBoxFuture;
use report::{Report, Verdict};
use told::Told;
use world::World;

/// The variable with the other clouds: `[{"cloud": "moto", "url": …, "vpc": …, "subnet": …}, …]`.
const CLOUDS: &str = "ECS_DRAIN_CONFORMANCE_CLOUDS";

/// One statement about AWS.
struct Check {
    service: &'static str,
    name: &'static str,
    run: for<'a> fn(&'a World) -> LocalBoxFuture<'a, Told>,
}

macro_rules! checks {
    ($($service:literal $module:ident: $($name:ident)+;)+) => {
        &[$($(Check { service: $service, name: stringify!($name), run: |world| Box::pin($module::$name(world)) }),+),+]
    };
}

const CHECKS: &[Check] = checks! {
    "ECS" ecs:
        lists_refuse_an_unknown_cluster
        descriptions_refuse_an_unknown_cluster
        changes_refuse_an_unknown_cluster
        an_unknown_cluster_is_missing_in_describe_clusters
        a_cluster_counts_its_container_instances
        unknown_container_instances_are_missing_beside_known_ones
        unknown_tasks_are_missing_beside_known_ones
        unknown_services_are_missing
        descriptions_of_too_many_are_refused
        eleven_container_instances_are_too_many_to_change
        a_filter_finds_ec2_instances
        a_list_without_a_status_has_draining_ones_too
        a_list_can_be_of_one_status
        container_instances_come_in_pages
        clusters_come_in_pages
        a_container_instance_names_its_ec2_instance
        draining_is_shown_and_can_be_undone
        draining_may_be_set_twice
        a_change_of_status_raises_the_version
        a_change_fails_for_the_unknown_alone
        an_unknown_container_instance_cannot_be_deregistered
        running_tasks_forbid_a_deregistration_without_force
        a_deregistered_container_instance_is_listed_no_more
        a_deregistered_container_instance_is_inactive_for_a_while
        after_a_forced_deregistration_tasks_are_called_stopped
        a_terminated_instance_leaves_its_cluster;
    "ECS" tasks:
        a_task_says_where_it_runs
        a_task_shows_its_host_port
        a_task_with_a_network_interface_shows_its_address
        a_task_names_its_service_and_that_its_balancers
        tasks_are_listed_by_container_instance
        tasks_are_listed_by_service
        tasks_come_in_pages
        a_task_that_is_being_stopped_leaves_the_usual_list_at_once
        no_task_is_wanted_pending
        a_task_that_is_being_stopped_is_not_counted
        a_stopped_task_goes_through_its_states_and_says_why
        an_unknown_task_cannot_be_stopped
        an_unknown_task_definition_is_a_client_exception
        a_task_of_no_service_has_no_protection
        a_protected_task_says_until_when
        draining_leaves_tasks_of_no_service_alone
        draining_moves_a_service_s_task_away
        a_service_s_targets_are_gone_before_its_task_is_stopped
        a_service_replaces_what_drains_elsewhere
        nothing_is_placed_on_an_instance_that_drains;
    "Auto Scaling" autoscaling:
        unknown_groups_are_left_out
        unknown_instances_are_left_out
        hooks_of_an_unknown_group_cannot_be_read
        the_warm_pool_of_an_unknown_group_cannot_be_read
        fifty_one_instances_are_too_many
        groups_come_in_pages
        instances_come_in_pages
        a_page_is_of_a_hundred_groups_or_fifty_instances
        a_token_that_is_none_is_refused
        members_of_a_warm_pool_are_read_apart
        groups_can_be_read_without_their_instances
        a_hook_says_how_long_it_holds
        no_action_is_active_for_an_instance_in_service
        no_action_is_active_for_an_unknown_instance
        an_action_of_an_unknown_group_is_invalid
        another_hook_s_name_ends_nothing
        a_wrong_token_ends_nothing
        a_terminated_instance_waits_under_its_hook
        a_termination_with_a_decrement_shrinks_the_group
        a_termination_without_a_decrement_is_replaced
        a_group_of_its_smallest_size_cannot_be_shrunk
        an_unknown_instance_cannot_be_terminated
        a_completion_lets_go_and_is_taken_once
        an_abandoned_action_lets_go_too
        an_abandoned_instance_is_retained_where_the_group_says_so
        a_group_s_own_targets_are_gone_before_its_hook_holds
        a_heartbeat_holds_for_another_timeout_and_no_longer
        two_hooks_hold_until_both_continue
        one_hook_that_abandons_ends_them_all
        a_deleted_hook_lets_go;
    "ELBv2" elbv2:
        an_unknown_target_group_is_not_found
        a_target_group_says_its_protocol_and_its_delay
        a_target_that_was_never_registered_is_unused
        a_new_target_is_initial_and_then_healthy
        a_target_without_a_port_has_its_group_s
        two_ports_of_an_instance_are_two_targets
        a_target_of_a_group_that_no_listener_uses_is_unused
        all_targets_come_in_one_answer
        a_deregistered_target_drains
        a_drained_target_is_gone_from_the_list
        an_unknown_target_is_deregistered_with_success
        without_its_port_a_target_is_not_deregistered
        a_terminated_instance_leaves_the_list_and_never_stops_draining;
    "classic ELB" classic:
        an_unknown_balancer_is_not_found
        an_unknown_balancer_has_no_attributes
        one_unknown_name_fails_the_call
        balancers_come_in_pages
        a_balancer_says_how_long_it_drains
        registered_instances_are_listed_and_in_service
        an_instance_that_was_never_registered_is_invalid
        a_deregistered_instance_drains_in_service
        a_drained_instance_is_out_of_service_and_listed_no_more
        a_deregistration_answers_those_that_remain;
    "DynamoDB" dynamodb:
        an_unknown_table_is_not_found
        an_unknown_table_has_no_time_to_live
        a_table_is_made_once
        a_table_describes_its_keys_and_its_index
        a_refused_put_shows_what_is_there
        a_refused_update_changes_nothing
        an_update_makes_an_item_that_is_not_there
        an_update_sets_and_removes
        a_path_without_its_parent_cannot_be_set
        a_condition_can_ask_for_an_attribute_s_type
        an_item_is_deleted_on_condition_and_twice
        of_ten_writers_one_wins
        a_consistent_read_shows_the_last_write
        an_index_is_sparse_and_of_keys_only
        an_index_has_no_consistent_reads
        an_unknown_index_is_said_in_known_words
        a_key_that_does_not_fit_is_said_in_known_words
        a_query_comes_in_pages
        a_page_is_a_megabyte_at_most
        an_item_is_400_kilobytes_at_most
        a_batch_is_of_a_hundred_different_keys
        a_batch_of_more_than_16_megabytes_is_answered_in_part
        time_to_live_is_turned_on_once
        an_expired_item_is_still_there;
    "SQS" sqs:
        an_unknown_queue_does_not_exist
        a_message_has_its_body_and_its_counts
        an_empty_queue_answers_nothing
        a_long_poll_waits_for_a_message
        a_message_that_is_not_deleted_comes_again
        a_deleted_message_does_not_come_again
        only_the_last_handle_deletes
        a_handle_that_is_none_is_invalid
        a_batch_fails_for_the_wrong_handle_alone
        eleven_messages_are_too_many_to_receive
        eleven_messages_are_too_many_to_delete
        ids_of_a_batch_differ
        a_message_that_nobody_deletes_goes_to_the_dead_letter_queue;
};

/// In virtual time, with no difference allowed.
#[test]
fn the_simulator_does_as_aws_does() {
    let report = Report::of(vec![(Cloud::Simulator, clouds::simulator(CHECKS))]);
    assert!(report.is_good(), "{report}");
}

/// All other clouds, in real time: started by tests/external/run.py, which starts the clouds.
#[test]
#[ignore = "needs the clouds of others: tests/external/run.py conformance"]
fn every_cloud_does_as_aws_does_or_differs_as_listed() {
    let others = std::env::var(CLOUDS).expect(CLOUDS);
    let others: Vec<Elsewhere> = serde_json::from_str(&others).expect(CLOUDS);
    let report = Report::of(clouds::all(CHECKS, &others));
    println!("{report}");
    assert!(report.is_good(), "see the table above");
}

/// For the plan of `tests/aws`.
#[test]
#[ignore = "prints what tests/aws reads"]
fn what_each_check_makes() {
    aws::plan();
}

/// For the run of `tests/aws`, which names the checks and judges the output.
#[test]
#[ignore = "needs an account: tests/aws/run.py"]
fn aws_is_asked() {
    let ground = std::env::var(CLOUDS).expect(CLOUDS);
    let grounds: Vec<aws::Ground> = serde_json::from_str(&ground).expect(CLOUDS);
    grounds.into_iter().for_each(aws::run);
}

/// The list stays correct: an entry that no longer applies is found, and so is one that differs in
/// another way.
#[test]
fn only_the_difference_that_is_listed_is_excused() {
    let verdict = |cloud, told: Result<(), &str>| {
        let told = told.map_err(|words| told::Complaint(words.to_owned()));
        Verdict::of(cloud, "tasks_come_in_pages", told)
    };
    assert!(matches!(verdict(Cloud::Moto, Err("a page of 3")), Verdict::Differs(_)));
    assert!(matches!(
        verdict(Cloud::Moto, Err("a call that must succeed failed")),
        Verdict::Wrong(_)
    ));
    assert_eq!(verdict(Cloud::Moto, Ok(())), Verdict::Stale);
    assert!(matches!(verdict(Cloud::Simulator, Err("a page of 3")), Verdict::Wrong(_)));
    assert_eq!(verdict(Cloud::Simulator, Ok(())), Verdict::Same);
}

#[test]
fn every_listed_difference_is_of_a_check_and_listed_once() {
    for cloud in [Cloud::Moto, Cloud::Ministack, Cloud::Aws] {
        let mut listed: Vec<&str> = differs::of(cloud).iter().map(|(check, _, _)| *check).collect();
        for name in &listed {
            let check = CHECKS.iter().find(|check| check.name == *name);
            let asked = check.is_some_and(|check| differs::lacks(cloud, check.service).is_none());
            assert!(asked, "{} is not asked for {name}", cloud.name());
        }
        let all = listed.len();
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), all, "one is listed twice for {}", cloud.name());
    }
}
