//! Reads of application, network and gateway load balancers. ecs-drain has no permission to change
//! a target.

use super::caller::Caller;
use super::calls::{
    DESCRIBE_TARGET_GROUP_ATTRIBUTES, DESCRIBE_TARGET_GROUPS, DESCRIBE_TARGET_HEALTH,
};
use super::error::{AwsError, ErrorClass};
use super::limiter::Permit;
use aws_sdk_elasticloadbalancingv2::types::{
    ProtocolEnum, TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum,
};
use std::collections::BTreeMap;

/// A target as its target group shows it. (Source: ELBv2 API reference, TargetHealthDescription.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetHealthView {
    /// EC2 instance id, IP address, or the ARN of a load balancer.
    pub id: String,
    /// Port that it is registered with.
    pub port: Option<u16>,
    /// `healthy`, `draining`, `unused`, …
    pub state: String,
    /// Reason code. `unused` has four meanings, which only this code distinguishes.
    pub reason: Option<String>,
    /// Reason in a sentence.
    pub description: Option<String>,
}

/// ELBv2 in one account and region.
#[derive(Clone, Debug)]
pub(crate) struct Elbv2 {
    client: aws_sdk_elasticloadbalancingv2::Client,
    caller: Caller,
}

impl Elbv2 {
    pub(super) fn new(client: aws_sdk_elasticloadbalancingv2::Client, caller: Caller) -> Elbv2 {
        Elbv2 { client, caller }
    }

    /// Reads every target of a target group; `None` if the group does not exist.
    ///
    /// The list is not filtered. In a read by id, a terminated instance stays `draining` for ever,
    /// and a target that was registered with another port is not found.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn target_health(
        &self,
        arn: &str,
    ) -> Result<Option<Vec<TargetHealthView>>, AwsError> {
        let permit = self.caller.permit(&DESCRIBE_TARGET_HEALTH).await;
        self.targets(permit, arn).await
    }

    /// Returns the deregistration delay, in seconds; `None` if the target group does not exist, or
    /// does not give it.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn deregistration_delay(&self, arn: &str) -> Result<Option<u32>, AwsError> {
        let permit = self.caller.permit(&DESCRIBE_TARGET_GROUP_ATTRIBUTES).await;
        self.delay(permit, arn).await
    }

    /// Returns whether a target group has a network load balancer's protocol; `None` if the group
    /// does not exist, or names no protocol.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn is_network(&self, arn: &str) -> Result<Option<bool>, AwsError> {
        let request = self.client.describe_target_groups().target_group_arns(arn);
        let answer =
            self.caller.make(&DESCRIBE_TARGET_GROUPS, &of_group(arn), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(None) };
        let protocol = answer.target_groups().first().and_then(|group| group.protocol());
        Ok(protocol.map(is_network))
    }
}

/// Target groups in one call. (Source: ELBv2 API reference, DescribeTargetGroups: 20 ARNs,
/// elsewhere 400 of a page.)
const GROUPS: usize = 20;

/// Single calls, with one permit each.
impl Elbv2 {
    /// Lists every target of a target group, unfiltered; `None` if the group does not exist.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn targets(
        &self,
        permit: Permit,
        arn: &str,
    ) -> Result<Option<Vec<TargetHealthView>>, AwsError> {
        let request = self.client.describe_target_health().target_group_arn(arn);
        let answer =
            self.caller.send(permit, &DESCRIBE_TARGET_HEALTH, &of_group(arn), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(None) };
        Ok(Some(
            answer.target_health_descriptions.unwrap_or_default().into_iter().map(target).collect(),
        ))
    }

    /// Returns the deregistration delay, in seconds; `None` if the target group does not exist, or
    /// does not give it.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn delay(&self, permit: Permit, arn: &str) -> Result<Option<u32>, AwsError> {
        let call = &DESCRIBE_TARGET_GROUP_ATTRIBUTES;
        let request = self.client.describe_target_group_attributes().target_group_arn(arn);
        let answer = self.caller.send(permit, call, &of_group(arn), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(None) };
        let delay = answer
            .attributes()
            .iter()
            .find(|a| a.key() == Some("deregistration_delay.timeout_seconds"));
        Ok(delay.and_then(|attribute| attribute.value()?.parse().ok()))
    }

    /// Reads whether each of at most 20 target groups has a network load balancer's protocol, by
    /// ARN. Omits a group that does not exist, or that names no protocol.
    ///
    /// AWS refuses a call with an unknown group. The batch is then sent again in halves, each with
    /// its own permit, until that group is alone.
    ///
    /// # Errors
    /// Returns an error if a part of the batch could not be read.
    pub(crate) async fn group_kinds(
        &self,
        permit: Permit,
        arns: &[String],
    ) -> Result<BTreeMap<String, bool>, AwsError> {
        let call = &DESCRIBE_TARGET_GROUPS;
        let mut kinds = BTreeMap::new();
        let mut permit = Some(permit);
        let mut batches: Vec<&[String]> = arns.chunks(GROUPS).rev().collect();
        while let Some(batch) = batches.pop() {
            let permit = match permit.take() {
                Some(permit) => permit,
                None => self.caller.permit(call).await,
            };
            let on = format!("target groups {}", batch.join(", "));
            let request =
                self.client.describe_target_groups().set_target_group_arns(Some(batch.to_vec()));
            match unless_absent(self.caller.send(permit, call, &on, request.send()).await)? {
                Some(answer) => kinds.extend(
                    answer.target_groups.unwrap_or_default().into_iter().filter_map(|group| {
                        let network = group.protocol().map(is_network)?;
                        Some((group.target_group_arn?, network))
                    }),
                ),
                None if batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first]);
                }
                None => {}
            }
        }
        Ok(kinds)
    }
}

/// Returns whether a protocol is a network load balancer's. (Source: ELBv2 API reference,
/// TargetGroup: `TCP`, `TLS`, `UDP`, `TCP_UDP` and `QUIC` are for network load balancers, `HTTP`
/// and `HTTPS` for application load balancers, `GENEVE` for gateways.)
fn is_network(protocol: &ProtocolEnum) -> bool {
    !matches!(protocol.as_str(), "HTTP" | "HTTPS" | "GENEVE")
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
        state: health
            .and_then(|h| h.state())
            .map(TargetHealthStateEnum::as_str)
            .unwrap_or_default()
            .to_owned(),
        reason: health
            .and_then(|h| h.reason())
            .map(|reason: &TargetHealthReasonEnum| reason.as_str().to_owned()),
        description: health.and_then(|h| h.description()).map(str::to_owned),
    }
}
