//! Application, network and gateway load balancers: reads only. This program has no permission to change a target.

use super::caller::Caller;
use super::calls::{DESCRIBE_TARGET_GROUP_ATTRIBUTES, DESCRIBE_TARGET_GROUPS, DESCRIBE_TARGET_HEALTH};
use super::error::{AwsError, ErrorClass};
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum};

/// A target as its group shows it. (Source: ELBv2 API reference, TargetHealthDescription.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealthView {
    /// EC2 instance id, IP address, or the ARN of a load balancer.
    pub id: String,
    /// The port that it is registered with.
    pub port: Option<u16>,
    /// `healthy`, `draining`, `unused`, …
    pub state: String,
    /// Why, in a word; `unused` means four things, which only this tells apart.
    pub reason: Option<String>,
    /// Why, in a sentence.
    pub description: Option<String>,
}

/// ELBv2 in one account and region.
#[derive(Clone, Debug)]
pub struct Elbv2 {
    client: aws_sdk_elasticloadbalancingv2::Client,
    caller: Caller,
}

impl Elbv2 {
    pub(super) fn new(client: aws_sdk_elasticloadbalancingv2::Client, caller: Caller) -> Elbv2 {
        Elbv2 { client, caller }
    }

    /// Every target of a group; None if there is no such group.
    ///
    /// The list is not filtered: asked for by id, a terminated instance reads `draining` for ever, and a target that was
    /// registered with another port is not found.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn target_health(&self, arn: &str) -> Result<Option<Vec<TargetHealthView>>, AwsError> {
        let request = self.client.describe_target_health().target_group_arn(arn);
        let answer = self.caller.make(&DESCRIBE_TARGET_HEALTH, &of_group(arn), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(None) };
        Ok(Some(answer.target_health_descriptions.unwrap_or_default().into_iter().map(target).collect()))
    }

    /// How many seconds a target that is deregistered drains; None if there is no such group, or it does not say.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn deregistration_delay(&self, arn: &str) -> Result<Option<u32>, AwsError> {
        let request = self.client.describe_target_group_attributes().target_group_arn(arn);
        let answer = self.caller.make(&DESCRIBE_TARGET_GROUP_ATTRIBUTES, &of_group(arn), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(None) };
        let delay = answer.attributes().iter().find(|a| a.key() == Some("deregistration_delay.timeout_seconds"));
        Ok(delay.and_then(|attribute| attribute.value()?.parse().ok()))
    }

    /// Whether a group speaks a network load balancer's protocol; None if there is no such group, or it does not say.
    /// (Source: ELBv2 API reference, TargetGroup: `TCP`, `TLS`, `UDP`, `TCP_UDP` and `QUIC` are for network load
    /// balancers, `HTTP` and `HTTPS` for application load balancers, `GENEVE` for gateways.)
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn is_network(&self, arn: &str) -> Result<Option<bool>, AwsError> {
        let request = self.client.describe_target_groups().target_group_arns(arn);
        let answer = self.caller.make(&DESCRIBE_TARGET_GROUPS, &of_group(arn), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(None) };
        let protocol = answer.target_groups().first().and_then(|group| group.protocol());
        Ok(protocol.map(|protocol| !matches!(protocol.as_str(), "HTTP" | "HTTPS" | "GENEVE")))
    }
}

fn of_group(arn: &str) -> String {
    format!("target group {arn}")
}

fn unless_absent<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn target(from: TargetHealthDescription) -> TargetHealthView {
    let target = from.target();
    let health = from.target_health();
    let port = target.and_then(|target| target.port());
    TargetHealthView {
        id: target.and_then(|target| target.id()).unwrap_or_default().to_owned(),
        port: port.and_then(|port| u16::try_from(port).ok()),
        state: health.and_then(|h| h.state()).map(TargetHealthStateEnum::as_str).unwrap_or_default().to_owned(),
        reason: health.and_then(|h| h.reason()).map(|reason: &TargetHealthReasonEnum| reason.as_str().to_owned()),
        description: health.and_then(|h| h.description()).map(str::to_owned),
    }
}
