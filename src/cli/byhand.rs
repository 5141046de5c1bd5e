//! Builds the `aws` commands that carry out a request by hand while no controller runs.

use crate::quote::word;
use ecs_drain_state::{ContainerInstance, Lifecycle, Record, Request, Then, What};

/// Returns the commands for a request, or none if nothing has to be done by hand. `registered`
/// holds the known container instances of the EC2 instance.
pub(crate) fn commands(
    request: &Request,
    record: Option<&Record>,
    registered: &[ContainerInstance],
) -> Vec<String> {
    let lifecycle = record.and_then(|record| record.lifecycle.as_ref());
    match request.what {
        What::Drain { then } => {
            let mut commands: Vec<String> =
                registered.iter().map(|one| set_state(request, one, "DRAINING")).collect();
            commands.extend(registered.iter().map(|one| look(request, one)));
            commands.extend(terminate(request, Some(then)));
            commands
        }
        What::Cancel => {
            let ours = registered
                .iter()
                .filter(|one| one.draining_is_ours && one.deregistered_at.is_none());
            ours.map(|one| set_state(request, one, "ACTIVE")).collect()
        }
        // Without a controller the drain takes no step. A heartbeat keeps the hook from expiring.
        What::Pause | What::Extend { .. } => {
            lifecycle.map(|lifecycle| heartbeat(request, lifecycle)).into_iter().collect()
        }
        What::Resume | What::Retry => Vec::new(),
        What::Force => match lifecycle {
            Some(lifecycle) => vec![complete(request, lifecycle)],
            None => terminate(request, record.and_then(|record| record.then)).into_iter().collect(),
        },
    }
}

fn set_state(request: &Request, one: &ContainerInstance, status: &str) -> String {
    format!(
        "aws ecs update-container-instances-state --region {} --cluster {} --container-instances {} --status {status}",
        request.region,
        word(&one.cluster),
        word(&one.arn)
    )
}

/// Returns the command that lists the remaining tasks. They must be gone before the instance is
/// terminated.
fn look(request: &Request, one: &ContainerInstance) -> String {
    format!(
        "aws ecs list-tasks --region {} --cluster {} --container-instance {}   # wait until none is left",
        request.region,
        word(&one.cluster),
        word(&one.arn)
    )
}

fn terminate(request: &Request, then: Option<Then>) -> Option<String> {
    let capacity = match then {
        Some(Then::Terminate) => "--no-should-decrement-desired-capacity",
        Some(Then::TerminateAndShrink) => "--should-decrement-desired-capacity",
        Some(Then::Keep | Then::Leave) | None => return None,
    };
    Some(format!(
        "aws autoscaling terminate-instance-in-auto-scaling-group --region {} --instance-id {} {capacity}",
        request.region,
        word(&request.instance_id)
    ))
}

fn heartbeat(request: &Request, lifecycle: &Lifecycle) -> String {
    format!("aws autoscaling record-lifecycle-action-heartbeat {}", action(request, lifecycle))
}

fn complete(request: &Request, lifecycle: &Lifecycle) -> String {
    let action = action(request, lifecycle);
    format!("aws autoscaling complete-lifecycle-action {action} --lifecycle-action-result CONTINUE")
}

fn action(request: &Request, lifecycle: &Lifecycle) -> String {
    format!(
        "--region {} --auto-scaling-group-name {} --lifecycle-hook-name {} --instance-id {}",
        request.region,
        word(&lifecycle.group),
        word(&lifecycle.hook),
        word(&request.instance_id)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{asked, now, request, waiting};
    use crate::store::Read;

    fn said(what: What, read: &Read) -> String {
        let Read::Record(record) = read else { return "not read".to_owned() };
        let request = request(record, what, None);
        commands(&request, Some(record), &record.container_instances).join("\n")
    }

    const ARN: &str = "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee";

    #[test]
    fn by_hand() {
        let (_, hooked) = waiting();
        let (_, own) = asked();
        let action = "--region eu-west-1 --auto-scaling-group-name web-asg --lifecycle-hook-name ecs-drain --instance-id i-0waiting";
        assert_eq!(
            said(What::Force, &hooked),
            format!(
                "aws autoscaling complete-lifecycle-action {action} --lifecycle-action-result CONTINUE"
            )
        );
        for what in [What::Pause, What::Extend { until: now() }] {
            assert_eq!(
                said(what, &hooked),
                format!("aws autoscaling record-lifecycle-action-heartbeat {action}")
            );
            assert_eq!(said(what, &own), "");
        }
        assert_eq!(said(What::Retry, &hooked), "");
        assert_eq!(
            said(What::Cancel, &own),
            format!(
                "aws ecs update-container-instances-state --region eu-west-1 --cluster web --container-instances {ARN} --status ACTIVE"
            )
        );
        assert_eq!(
            said(What::Force, &own),
            "aws autoscaling terminate-instance-in-auto-scaling-group --region eu-west-1 --instance-id i-0asked --no-should-decrement-desired-capacity"
        );
        assert_eq!(
            said(What::Drain { then: Then::TerminateAndShrink }, &own),
            format!(
                "\
aws ecs update-container-instances-state --region eu-west-1 --cluster web --container-instances {ARN} --status DRAINING
aws ecs list-tasks --region eu-west-1 --cluster web --container-instance {ARN}   # wait until none is left
aws autoscaling terminate-instance-in-auto-scaling-group --region eu-west-1 --instance-id i-0asked --should-decrement-desired-capacity"
            )
        );
        assert_eq!(said(What::Drain { then: Then::Keep }, &own).lines().count(), 2);
    }
}
