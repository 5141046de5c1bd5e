//! Parses a message of the queue. It is pure, and accepts any body, in time and memory proportional
//! to its size: anyone with write access to the queue can send anything.

use super::wire::{Detail, Envelope, Field, Object, detail_of_lines, lines};
use jiff::Timestamp;
use std::borrow::Cow;

/// Size of the largest message, in bytes. (Source: SQS API reference, SendMessage.)
const LARGEST_BODY: usize = 1_048_576;

/// SNS notifications around a message, at most: one of its own topic, and one of a topic that
/// forwards it.
const ENVELOPES: usize = 2;

/// Length of the longest name of a group, hook or cluster. (Source: the API references of Auto
/// Scaling and ECS.)
const LONGEST_NAME: usize = 255;

/// Length of the longest ARN. (Source: IAM API reference, `arnType`.)
const LONGEST_ARN: usize = 2048;

/// Length to which outside text is cut in a message of ecs-drain.
const SHOWN: usize = 120;

/// Name of Auto Scaling in its notifications.
const AUTO_SCALING: &str = "AWS Auto Scaling";

/// Transition of a termination hook. (Source: Auto Scaling API reference, PutLifecycleHook.)
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// Notification that Auto Scaling sends when a hook gets its target: as `Event`, and, as others
/// have observed, as `LifecycleTransition`. (Source: Auto Scaling API reference, PutLifecycleHook.)
const TEST: &str = "autoscaling:TEST_NOTIFICATION";

/// A parsed event. Names and ids have the right form; only AWS knows whether they exist and belong
/// to this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An instance waits under a termination hook, of ecs-drain or another.
    LifecycleAction {
        instance_id: String,
        group: String,
        hook: String,
        /// Time at which the notification was sent, if given.
        at: Option<Timestamp>,
        /// Place that the instance comes from, in Auto Scaling's word (`AutoScalingGroup`,
        /// `WarmPool`), if given.
        origin: Option<String>,
        /// Place that it goes to (`EC2`: it is terminated; `WarmPool`, `AutoScalingGroup`: it lives
        /// on), if given.
        destination: Option<String>,
    },
    /// A hook was created, or got another target.
    TestNotification {
        /// Name of the Auto Scaling group.
        group: String,
    },
    /// EC2 interrupts a spot instance: in two minutes, or at once if it hibernates.
    SpotInterruption {
        instance_id: String,
        action: InterruptionAction,
        /// Time at which EC2 sent the warning.
        at: Timestamp,
    },
    /// A spot instance is likely to be interrupted.
    RebalanceRecommendation {
        instance_id: String,
        /// Time at which EC2 sent the recommendation.
        at: Timestamp,
    },
    /// A task or one of its containers has changed.
    TaskChanged {
        /// Name of its cluster.
        cluster: String,
        /// ARN of the container instance; `None` before the task is placed, and on Fargate.
        container_instance: Option<String>,
        /// ARN of the task. (In accounts with the older form it lacks the cluster's name, as does
        /// the one above.)
        task: String,
    },
    /// A container instance has changed: its status, agent, or room for tasks.
    ContainerInstanceChanged {
        /// Name of its cluster.
        cluster: String,
        /// ARN of the container instance.
        container_instance: String,
        /// The EC2 instance; `None` for another kind of machine.
        instance_id: Option<String>,
    },
    /// A well-formed event of another kind, account or region, which ecs-drain ignores.
    NotForUs {
        /// Its kind, for the log.
        what: String,
    },
}

impl Event {
    /// Returns one of a closed set of labels, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::LifecycleAction { .. } => "lifecycle-action",
            Event::TestNotification { .. } => "test-notification",
            Event::SpotInterruption { .. } => "spot-interruption",
            Event::RebalanceRecommendation { .. } => "rebalance-recommendation",
            Event::TaskChanged { .. } => "task-changed",
            Event::ContainerInstanceChanged { .. } => "container-instance-changed",
            Event::NotForUs { .. } => "not-for-us",
        }
    }
}

/// EC2's action on an interrupted spot instance. (Source: EC2 user guide, "Spot Instance
/// interruption notices".)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptionAction {
    Terminate,
    Stop,
    /// `hibernate`, which begins at once.
    Hibernate,
    /// An unknown word. The instance is interrupted all the same.
    Other,
}

impl InterruptionAction {
    /// Returns EC2's word, or `other`.
    pub const fn as_str(self) -> &'static str {
        match self {
            InterruptionAction::Terminate => "terminate",
            InterruptionAction::Stop => "stop",
            InterruptionAction::Hibernate => "hibernate",
            InterruptionAction::Other => "other",
        }
    }
}

/// A message that cannot be parsed. It is left to the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Broken {
    /// The error, on one line.
    pub why: String,
}

/// Way by which a message came to the queue, as far as it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Sent to the queue by a rule of EventBridge, by Auto Scaling, or by a topic with raw
    /// delivery.
    Queue,
    /// Sent through a topic of SNS, whose notification is around it.
    Topic,
}

/// Parses a message's body for the controller of this account and region. Returns the event, and
/// the way by which it came.
///
/// The body is an event of EventBridge, a notification of Auto Scaling (JSON, or lines for people),
/// or either of them in one or two notifications of SNS. Notifications of Auto Scaling name no
/// region: their topic or queue is always in the group's (source: EC2 Auto Scaling user guide,
/// "Prepare to add a lifecycle hook").
///
/// # Errors
/// Returns an error if the body is none of these, or lacks a required field. Fields that are not
/// read may hold anything.
pub(super) fn read(body: &str, account: &str, region: &str) -> Result<(Event, Way), Broken> {
    if body.len() > LARGEST_BODY {
        return Err(broken(format!("{} bytes: larger than any message", body.len())));
    }
    let ours = Ours { account, region };
    let (mut text, mut way) = (Cow::Borrowed(body), Way::Queue);
    for _ in 0..=ENVELOPES {
        match ours.layer(&text)? {
            Layer::Around(inner) => (text, way) = (Cow::Owned(inner), Way::Topic),
            Layer::Core(event) => return Ok((event, way)),
        }
    }
    Err(broken(format!("more than {ENVELOPES} SNS notifications around one message")))
}

/// One layer of a message.
enum Layer {
    /// An SNS notification around this.
    Around(String),
    /// The event itself.
    Core(Event),
}

/// Account and region that messages must belong to.
struct Ours<'a> {
    account: &'a str,
    region: &'a str,
}

impl Ours<'_> {
    fn layer(&self, text: &str) -> Result<Layer, Broken> {
        if !text.trim_start().starts_with('{') {
            return self.lines(text).map(Layer::Core);
        }
        let Object(envelope): Object<Envelope> = json(text)?;
        match envelope.sns_type.as_str() {
            Some("Notification") => {
                return envelope.sns_message.required("Message").map(Layer::Around);
            }
            Some(kind @ ("SubscriptionConfirmation" | "UnsubscribeConfirmation")) => {
                return Ok(Layer::Core(not_for_us(format!("{kind} of SNS"))));
            }
            Some(_) | None => {}
        }
        if envelope.detail_type != Field::Absent {
            return self.event_bridge(envelope).map(Layer::Core);
        }
        match envelope.service.as_str() {
            Some(AUTO_SCALING) => {
                let Object(detail): Object<Detail> = json(text)?;
                self.auto_scaling(detail).map(Layer::Core)
            }
            Some(service) => {
                Ok(Layer::Core(not_for_us(format!("notification of {}", shown(service)))))
            }
            None => Err(broken(
                "neither an event of EventBridge nor a notification of SNS or Auto Scaling",
            )),
        }
    }

    fn lines(&self, text: &str) -> Result<Event, Broken> {
        if !lines(text).any(|line| line == ("Service", AUTO_SCALING)) {
            return Err(broken("neither a JSON object nor a notification of Auto Scaling"));
        }
        let detail = detail_of_lines(text).map_err(|error| broken(shown(&error.to_string())))?;
        self.auto_scaling(detail)
    }

    /// Parses a notification that Auto Scaling sent to SNS or SQS.
    fn auto_scaling(&self, detail: Detail) -> Result<Event, Broken> {
        let account = detail.account_id.clone().required("AccountId")?;
        if account != self.account {
            return Ok(not_for_us(format!(
                "notification of Auto Scaling for account {}",
                shown(&account)
            )));
        }
        let event = detail.event.clone().optional("Event")?;
        if event.as_deref() == Some(TEST) || detail.transition.as_str() == Some(TEST) {
            return Ok(Event::TestNotification { group: group(detail.group)? });
        }
        if let Some(event) = event {
            // A notification that PutNotificationConfiguration requested. It reports terminations
            // too, without any hook.
            return Ok(not_for_us(format!("notification {}", shown(&event))));
        }
        let at = detail.time.as_str().and_then(|text| text.parse().ok());
        lifecycle_action(detail, at)
    }

    fn event_bridge(&self, envelope: Envelope) -> Result<Event, Broken> {
        let source = envelope.source.required("source")?;
        let kind = envelope.detail_type.required("detail-type")?;
        let account = envelope.account.required("account")?;
        let region = envelope.region.required("region")?;
        let what = format!("{} of {}", shown(&kind), shown(&source));
        if account != self.account || region != self.region {
            return Ok(not_for_us(format!(
                "{what}, account {}, region {}",
                shown(&account),
                shown(&region)
            )));
        }
        let detail =
            || envelope.detail.map(|Object(detail)| detail).ok_or_else(|| broken("no detail"));
        match (source.as_str(), kind.as_str()) {
            ("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action") => {
                // The time is not used, so it may be invalid.
                lifecycle_action(
                    detail()?,
                    envelope.time.as_str().and_then(|text| text.parse().ok()),
                )
            }
            ("aws.ec2", "EC2 Spot Instance Interruption Warning") => {
                let detail = detail()?;
                Ok(Event::SpotInterruption {
                    instance_id: instance("instance-id", detail.spot_instance)?,
                    action: match detail.spot_action.required("instance-action")?.as_str() {
                        "terminate" => InterruptionAction::Terminate,
                        "stop" => InterruptionAction::Stop,
                        "hibernate" => InterruptionAction::Hibernate,
                        _ => InterruptionAction::Other,
                    },
                    at: time("time", envelope.time)?,
                })
            }
            ("aws.ec2", "EC2 Instance Rebalance Recommendation") => {
                Ok(Event::RebalanceRecommendation {
                    instance_id: instance("instance-id", detail()?.spot_instance)?,
                    at: time("time", envelope.time)?,
                })
            }
            ("aws.ecs", "ECS Task State Change") => self.task(detail()?),
            ("aws.ecs", "ECS Container Instance State Change") => {
                self.container_instance(detail()?)
            }
            _ => Ok(not_for_us(what)),
        }
    }

    fn task(&self, detail: Detail) -> Result<Event, Broken> {
        let container_instance = detail.container_instance.optional("containerInstanceArn")?;
        Ok(Event::TaskChanged {
            cluster: self.cluster(detail.cluster)?,
            container_instance: container_instance
                .map(|arn| self.container_instance_arn(arn))
                .transpose()?,
            task: self.ecs_arn("taskArn", detail.task.required("taskArn")?, "task/")?,
        })
    }

    fn container_instance(&self, detail: Detail) -> Result<Event, Broken> {
        let machine = detail.container_instance_of.optional("ec2InstanceId")?;
        let container_instance = detail.container_instance.required("containerInstanceArn")?;
        Ok(Event::ContainerInstanceChanged {
            cluster: self.cluster(detail.cluster)?,
            container_instance: self.container_instance_arn(container_instance)?,
            // Machines outside of EC2 register as container instances too, with ids of another
            // form.
            instance_id: machine.filter(|id| is_instance_id(id)),
        })
    }

    fn container_instance_arn(&self, arn: String) -> Result<String, Broken> {
        self.ecs_arn("containerInstanceArn", arn, "container-instance/")
    }

    /// Returns the name of the cluster.
    fn cluster(&self, field: Field) -> Result<String, Broken> {
        let arn = self.ecs_arn("clusterArn", field.required("clusterArn")?, "cluster/")?;
        let name = arn.split_once('/').map(|(_, name)| name).unwrap_or_default();
        if name.len() > LONGEST_NAME || name.contains('/') {
            return Err(broken("clusterArn names no cluster"));
        }
        Ok(name.to_owned())
    }

    /// Checks that an ARN names an ECS resource of this account and region.
    fn ecs_arn(&self, field: &str, arn: String, kind: &str) -> Result<String, Broken> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ours = |parts: &[&str]| match parts {
            ["arn", partition, "ecs", region, account, resource] => {
                is_partition(partition)
                    && *region == self.region
                    && *account == self.account
                    && resource
                        .strip_prefix(kind)
                        .is_some_and(|id| !id.is_empty() && id.bytes().all(is_of_an_id))
            }
            _ => false,
        };
        if arn.len() > LONGEST_ARN || !ours(&parts) {
            return Err(broken(format!(
                "{field} is no {kind}… of this account and region: {}",
                shown(&arn)
            )));
        }
        Ok(arn)
    }
}

/// Parses the notification of a termination hook.
fn lifecycle_action(detail: Detail, at: Option<Timestamp>) -> Result<Event, Broken> {
    let transition = detail.transition.required("LifecycleTransition")?;
    if transition != TERMINATING {
        return Ok(not_for_us(format!("lifecycle action of transition {}", shown(&transition))));
    }
    let place = |field: &str, value: Field| {
        value.optional(field)?.map(|text| name(field, text)).transpose()
    };
    Ok(Event::LifecycleAction {
        instance_id: instance("EC2InstanceId", detail.instance)?,
        group: group(detail.group)?,
        hook: name("LifecycleHookName", detail.hook.required("LifecycleHookName")?)?,
        at,
        origin: place("Origin", detail.origin)?,
        destination: place("Destination", detail.destination)?,
    })
}

impl Field {
    fn as_str(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            Field::Absent | Field::Other => None,
        }
    }

    fn optional(self, name: &str) -> Result<Option<String>, Broken> {
        match self {
            Field::Text(text) => Ok(Some(text)),
            Field::Absent => Ok(None),
            Field::Other => Err(broken(format!("{name} is no string"))),
        }
    }

    fn required(self, name: &str) -> Result<String, Broken> {
        self.optional(name)?.ok_or_else(|| broken(format!("no {name}")))
    }
}

/// Checks the id of an EC2 instance.
fn instance(field: &str, value: Field) -> Result<String, Broken> {
    let id = value.required(field)?;
    if is_instance_id(&id) {
        Ok(id)
    } else {
        Err(broken(format!("{field} is no id of an instance: {}", shown(&id))))
    }
}

/// Checks for eight or seventeen hexadecimal digits. (Source: EC2 user guide, "Resource IDs".)
fn is_instance_id(text: &str) -> bool {
    let digits = text.strip_prefix("i-").unwrap_or_default();
    matches!(digits.len(), 8 | 17)
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

fn group(value: Field) -> Result<String, Broken> {
    const FIELD: &str = "AutoScalingGroupName";
    name(FIELD, value.required(FIELD)?)
}

/// Checks a name of Auto Scaling.
fn name(field: &str, name: String) -> Result<String, Broken> {
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control)
    {
        return Err(broken(format!("{field} is no name: {}", shown(&name))));
    }
    Ok(name)
}

fn time(field: &str, value: Field) -> Result<Timestamp, Broken> {
    let text = value.required(field)?;
    text.parse().map_err(|_| broken(format!("{field} is no time: {}", shown(&text))))
}

/// Checks for `aws`, `aws-us-gov`, `aws-cn` and similar. (Source: IAM user guide, "Amazon Resource
/// Names (ARNs)".)
fn is_partition(text: &str) -> bool {
    text.starts_with("aws")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Checks for the characters of ids and names of ECS, and the slashes between them. (Source: ECS
/// API reference, CreateCluster.)
fn is_of_an_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')
}

fn json<'de, T: serde::Deserialize<'de>>(text: &'de str) -> Result<T, Broken> {
    serde_json::from_str(text).map_err(|error| broken(shown(&error.to_string())))
}

fn not_for_us(what: String) -> Event {
    Event::NotForUs { what }
}

fn broken(why: impl Into<String>) -> Broken {
    Broken { why: why.into() }
}

/// Cuts and escapes outside text for a line of the log.
fn shown(text: &str) -> String {
    crate::quote::shown(text, SHOWN)
}
