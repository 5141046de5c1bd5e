//! Reads of classic load balancers. They know instances, not ports.

use super::caller::{Caller, next_page};
use super::calls::{
    DESCRIBE_INSTANCE_HEALTH, DESCRIBE_LOAD_BALANCER_ATTRIBUTES, DESCRIBE_LOAD_BALANCERS,
};
use super::error::{AwsError, ErrorClass};
use super::limiter::Permit;
use aws_sdk_elasticloadbalancing::types::Instance;
use std::collections::BTreeMap;

/// Names in one call: the second generation's limit. (The first one's is not documented.)
const NAMES: usize = 20;

/// Deregistration delay if connection draining is enabled without a time, in seconds. (Source:
/// classic load balancers' user guide, "Configure connection draining".)
const DEFAULT_DRAINING: u32 = 300;

/// Instances of each requested balancer; `None` if it does not exist.
pub(crate) type Members = BTreeMap<String, Option<Vec<String>>>;

/// Classic load balancers in one account and region.
#[derive(Clone, Debug)]
pub(crate) struct Elb {
    client: aws_sdk_elasticloadbalancing::Client,
    caller: Caller,
}

impl Elb {
    pub(super) fn new(client: aws_sdk_elasticloadbalancing::Client, caller: Caller) -> Elb {
        Elb { client, caller }
    }

    /// Lists the ids of the EC2 instances of each balancer; `None` if the balancer does not exist.
    /// Every requested name is in the answer.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read, or the answer omits a balancer.
    pub(crate) async fn members(&self, names: &[String]) -> Result<Members, AwsError> {
        let mut members = Members::new();
        for batch in names.chunks(NAMES) {
            let permit = self.caller.permit(&DESCRIBE_LOAD_BALANCERS).await;
            members.extend(self.listed(permit, batch).await?);
        }
        Ok(members)
    }

    /// Lists the ids of the EC2 instances of each of at most 20 balancers; `None` if a balancer
    /// does not exist. Every requested name is in the answer.
    ///
    /// AWS refuses a call with an unknown name. The batch is then sent again in halves, each with
    /// its own permit, until that name is alone.
    ///
    /// # Errors
    /// Returns an error if a part of the batch could not be read, or the answer omits a balancer.
    pub(crate) async fn listed(
        &self,
        permit: Permit,
        names: &[String],
    ) -> Result<Members, AwsError> {
        let mut members = Members::new();
        let mut permit = Some(permit);
        let mut batches: Vec<&[String]> = names.chunks(NAMES).rev().collect();
        while let Some(batch) = batches.pop() {
            let permit = match permit.take() {
                Some(permit) => permit,
                None => self.caller.permit(&DESCRIBE_LOAD_BALANCERS).await,
            };
            match self.members_of(permit, batch).await {
                Ok(some) => members.extend(some),
                Err(error) if error.class == ErrorClass::NotFound => match batch {
                    [one] => {
                        members.insert(one.clone(), None);
                    }
                    several => {
                        let (first, second) = several.split_at(several.len() / 2);
                        batches.extend([second, first]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(members)
    }

    async fn members_of(&self, mut permit: Permit, names: &[String]) -> Result<Members, AwsError> {
        let call = &DESCRIBE_LOAD_BALANCERS;
        let on = format!("classic load balancers {}", names.join(", "));
        let mut members = Members::new();
        let mut marker = None;
        loop {
            let request =
                self.client.describe_load_balancers().set_load_balancer_names(Some(names.to_vec()));
            let page = self
                .caller
                .send(permit, call, &on, request.set_marker(marker.clone()).send())
                .await?;
            marker = next_page(call, &on, marker.as_deref(), page.next_marker())?;
            for balancer in page.load_balancer_descriptions.unwrap_or_default() {
                let Some(name) = balancer.load_balancer_name else { continue };
                let ids = balancer
                    .instances
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|i| i.instance_id);
                members.insert(name, Some(ids.collect()));
            }
            if marker.is_none() {
                break;
            }
            permit = self.caller.permit(call).await;
        }
        match names.iter().find(|name| !members.contains_key(*name)) {
            None => Ok(members),
            Some(left_out) => {
                Err(AwsError::incomplete(call, &on, &format!("the answer leaves {left_out} out")))
            }
        }
    }

    /// Returns the deregistration delay, in seconds: 0 if connections are cut at once, `None` if
    /// the balancer does not exist or does not give it.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn draining_timeout(&self, name: &str) -> Result<Option<u32>, AwsError> {
        let permit = self.caller.permit(&DESCRIBE_LOAD_BALANCER_ATTRIBUTES).await;
        self.timeout(permit, name).await
    }

    /// Returns the deregistration delay as [`Elb::draining_timeout`] does, with this permit.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn timeout(
        &self,
        permit: Permit,
        name: &str,
    ) -> Result<Option<u32>, AwsError> {
        let call = &DESCRIBE_LOAD_BALANCER_ATTRIBUTES;
        let request = self.client.describe_load_balancer_attributes().load_balancer_name(name);
        let answer = match self.caller.send(permit, call, &of_balancer(name), request.send()).await
        {
            Ok(answer) => answer,
            Err(error) if error.class == ErrorClass::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let draining = answer
            .load_balancer_attributes()
            .and_then(|attributes| attributes.connection_draining());
        Ok(draining.map(|draining| match (draining.enabled(), draining.timeout()) {
            (false, _) => 0,
            (true, timeout) => {
                timeout.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DEFAULT_DRAINING)
            }
        }))
    }

    /// Reads id, state and description of each instance. Only the description distinguishes
    /// draining from in service, and gone from unhealthy. Terminated instances are omitted.
    /// (Source: classic load balancers' user guide, "Configure connection draining"; API reference
    /// 2012-06-01, DescribeInstanceHealth.)
    ///
    /// AWS refuses a call with an instance that the balancer has never known. The call is then sent
    /// again in halves until that instance is alone, and it is omitted. If the balancer does not
    /// exist, all are omitted.
    ///
    /// # Errors
    /// Returns an error if a part could not be read.
    pub(crate) async fn instance_health(
        &self,
        name: &str,
        ids: &[String],
    ) -> Result<Vec<(String, String, String)>, AwsError> {
        let mut states = Vec::new();
        let mut batches = vec![ids];
        while let Some(batch) = batches.pop() {
            if batch.is_empty() {
                // Without an id, AWS would return all instances.
                continue;
            }
            let instances =
                batch.iter().map(|id| Instance::builder().instance_id(id).build()).collect();
            let request = self
                .client
                .describe_instance_health()
                .load_balancer_name(name)
                .set_instances(Some(instances));
            match self
                .caller
                .make(&DESCRIBE_INSTANCE_HEALTH, &of_balancer(name), request.send())
                .await
            {
                Ok(answer) => states.extend(
                    answer.instance_states.unwrap_or_default().into_iter().filter_map(|s| {
                        Some((
                            s.instance_id?,
                            s.state.unwrap_or_default(),
                            s.description.unwrap_or_default(),
                        ))
                    }),
                ),
                Err(error) if error.class != ErrorClass::NotFound => return Err(error),
                Err(_) if batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first]);
                }
                Err(_) => {}
            }
        }
        Ok(states)
    }
}

fn of_balancer(name: &str) -> String {
    format!("classic load balancer {name}")
}
