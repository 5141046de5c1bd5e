//! Known differences between AWS and other clouds: moto 5.2.1 with the plug-in of tests/external,
//! ministack 1.5.33. The check itself has the source for AWS; the behaviour of the others was
//! observed.

use super::clouds::Cloud;

/// A difference: the check, words of its complaint, and the cloud's behaviour.
pub type Difference = (&'static str, &'static str, &'static str);

/// Returns the reason why a cloud is not checked for a service at all.
pub fn lacks(cloud: Cloud, service: &str) -> Option<&'static str> {
    match (cloud, service) {
        (Cloud::Ministack, "ECS") => Some("it has no container instances"),
        (Cloud::Ministack, "Auto Scaling") => {
            Some("its hooks hold nothing, and it terminates no instance of a group")
        }
        (Cloud::Ministack, "ELBv2") => {
            Some("its targets never drain, and there are no instances to be targets")
        }
        (Cloud::Ministack, "classic ELB") => Some("it has none"),
        _ => None,
    }
}

/// Returns the known difference of a cloud from a check's statement, if there is one.
pub fn differs(cloud: Cloud, check: &str) -> Option<&'static Difference> {
    of(cloud).iter().find(|(known, _, _)| *known == check)
}

/// Returns all known differences of a cloud. The simulator may have none.
pub fn of(cloud: Cloud) -> &'static [Difference] {
    match cloud {
        Cloud::Simulator | Cloud::Socket => &[],
        Cloud::Aws => AWS,
        Cloud::Moto => MOTO,
        Cloud::Ministack => MINISTACK,
    }
}

/// Differences that were observed on AWS and read by a person, until the statement and the
/// simulator follow them. No check has run on AWS so far.
const AWS: &[Difference] = &[];

const MOTO: &[Difference] = &[
    (
        "lists_refuse_an_unknown_cluster",
        "ListContainerInstances succeeded",
        "ListContainerInstances answers an empty list",
    ),
    (
        "descriptions_of_too_many_are_refused",
        "DescribeContainerInstances of 101 succeeded",
        "takes 101",
    ),
    ("a_filter_finds_ec2_instances", "==: {", "ignores the filter, and answers all"),
    ("a_list_can_be_of_one_status", "ACTIVE: {", "ignores the status, and answers all"),
    ("container_instances_come_in_pages", "a page of 3", "answers all at once"),
    ("clusters_come_in_pages", "a page of ", "answers all at once"),
    ("a_change_of_status_raises_the_version", "Some(0) after", "the version is always 0"),
    ("an_unknown_container_instance_cannot_be_deregistered", "refused with 500", "HTTP 500"),
    (
        "a_deregistered_container_instance_is_inactive_for_a_while",
        "the answer: Some(\"ACTIVE\")",
        "answers ACTIVE, and forgets it at once",
    ),
    (
        "after_a_forced_deregistration_tasks_are_called_stopped",
        "not within",
        "calls them RUNNING for ever",
    ),
    ("a_task_shows_its_host_port", "host ports: []", "a container has no network bindings"),
    (
        "a_task_with_a_network_interface_shows_its_address",
        "failed: 500",
        "HTTP 500 where such a task is run on a container instance",
    ),
    (
        "tasks_are_listed_by_service",
        "tasks of the service: ",
        "ignores the service, and answers all",
    ),
    ("tasks_come_in_pages", "a page of 3", "answers all at once"),
    ("a_task_of_no_service_has_no_protection", "failed: 500", "no GetTaskProtection"),
    ("a_protected_task_says_until_when", "failed: 500", "no UpdateTaskProtection"),
    (
        "a_service_replaces_what_drains_elsewhere",
        "another task of the service: not within",
        "its services start no tasks",
    ),
    (
        "hooks_of_an_unknown_group_cannot_be_read",
        "DescribeLifecycleHooks succeeded",
        "answers an empty list",
    ),
    ("the_warm_pool_of_an_unknown_group_cannot_be_read", "refused with 500", "HTTP 500"),
    ("fifty_one_instances_are_too_many", "of 51 succeeded", "takes 51"),
    ("instances_come_in_pages", "a page of 3", "answers all at once"),
    (
        "a_page_is_of_a_hundred_groups_or_fifty_instances",
        "refused with 500",
        "HTTP 500 for a size that is too large",
    ),
    ("a_token_that_is_none_is_refused", "refused with 500", "HTTP 500"),
    (
        "members_of_a_warm_pool_are_read_apart",
        "instances of the pool: []",
        "its warm pools have no instances",
    ),
    ("groups_can_be_read_without_their_instances", "(Some(3), 3)", "ignores IncludeInstances"),
    (
        "an_abandoned_instance_is_retained_where_the_group_says_so",
        "Terminating:Retained: not within",
        "retains nothing",
    ),
    (
        "a_group_s_own_targets_are_gone_before_its_hook_holds",
        "targets: ",
        "leaves the instance in the group's own targets, healthy",
    ),
    ("a_new_target_is_initial_and_then_healthy", "at first: ", "healthy from the first moment on"),
    (
        "two_ports_of_an_instance_are_two_targets",
        "ports: {8081}",
        "knows a target by its id alone: the second replaces the first",
    ),
    (
        "a_target_of_a_group_that_no_listener_uses_is_unused",
        "healthy",
        "healthy without a listener",
    ),
    (
        "a_deregistered_target_drains",
        "the list: []",
        "gone at once, unless the plug-in's service deregisters it",
    ),
    (
        "an_unknown_target_is_deregistered_with_success",
        "failed: 400 InvalidTarget",
        "InvalidTarget",
    ),
    (
        "without_its_port_a_target_is_not_deregistered",
        "the list: []",
        "knows a target by its id alone, and deregisters it",
    ),
    (
        "a_terminated_instance_leaves_the_list_and_never_stops_draining",
        "an empty list: not within",
        "stays in the list",
    ),
    ("an_unknown_balancer_has_no_attributes", "refused with 500", "HTTP 500"),
    (
        "an_instance_that_was_never_registered_is_invalid",
        "OutOfService",
        "Unknown, which the plug-in makes OutOfService",
    ),
    (
        "a_deregistered_instance_drains_in_service",
        "OutOfService",
        "gone at once, unless the plug-in's service deregisters it",
    ),
    ("a_deregistration_answers_those_that_remain", "the answer: []", "answers an empty list"),
    (
        "an_unknown_table_has_no_time_to_live",
        "400 ResourceNotFound (",
        "its code is ResourceNotFound",
    ),
    (
        "an_unknown_index_is_said_in_known_words",
        "400 ResourceNotFoundException",
        "ResourceNotFoundException",
    ),
    (
        "a_key_that_does_not_fit_is_said_in_known_words",
        "PutItem succeeded",
        "takes a key of an index that is no text",
    ),
    (
        "time_to_live_is_turned_on_once",
        "UpdateTimeToLive succeeded",
        "takes it as often as it is asked",
    ),
    ("only_the_last_handle_deletes", "0 messages instead of one", "an older handle deletes"),
    (
        "ids_of_a_batch_differ",
        "DeleteMessageBatch of the same succeeded",
        "looks for handles that are the same, not for ids",
    ),
    (
        "eleven_messages_are_too_many_to_delete",
        "DeleteMessageBatch of 11 succeeded",
        "takes eleven",
    ),
];

const MINISTACK: &[Difference] = &[
    (
        "a_batch_of_more_than_16_megabytes_is_answered_in_part",
        "45 found, 0 left",
        "answers all of it",
    ),
    (
        "time_to_live_is_turned_on_once",
        "UpdateTimeToLive succeeded",
        "takes it as often as it is asked",
    ),
    (
        "only_the_last_handle_deletes",
        "400 ReceiptHandleIsInvalid",
        "an older handle is ReceiptHandleIsInvalid",
    ),
];
