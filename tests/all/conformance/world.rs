//! The subjects of checks. Only their creation depends on the cloud: it is direct in the simulator,
//! through the API on every other cloud, and on AWS instances start.

use super::aws::{self, Ground, Needs, Recorder};
use super::told::{Complaint, Told, ensure};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_ecs::types::Task;
use aws_simulator::Simulator;
use ecs_drain::aws::Environment;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// The hook of every group, unless a check asks for others.
pub const HOOK: &str = "ecs-drain";

/// The time for which a target, or an instance of a classic load balancer, drains.
pub const DRAINS: Duration = Duration::from_secs(5);

/// A cloud, and the names of this world in it.
pub struct World {
    pub ecs: aws_sdk_ecs::Client,
    pub autoscaling: aws_sdk_autoscaling::Client,
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    pub elb: aws_sdk_elasticloadbalancing::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub sqs: aws_sdk_sqs::Client,
    /// The prefix of all names in it: letters, digits and hyphens, at most 20.
    pub name: String,
    pub region: String,
    pub account: String,
    pub(super) made: Made,
    /// The factor by which its time is faster than the clock here.
    pub(super) pace: u32,
    /// The resources that were created so far.
    pub(super) needs: RefCell<Needs>,
}

/// The way in which resources are created.
pub(super) enum Made {
    /// Directly in the simulator.
    Told(Simulator),
    /// Through the API; targets and balancers are in this network, and instances register by a
    /// call.
    Asked(Network),
    /// Through the API, and instances start: AWS.
    Launched(Arc<Ground>),
}

/// The network of balancers; neither the program nor its SDKs can find it.
#[derive(Clone, Debug)]
pub struct Network {
    pub vpc: String,
    pub subnet: String,
}

/// An EC2 instance that is a container instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The container instance's ARN.
    pub arn: String,
    /// The EC2 instance's id.
    pub ec2: String,
}

/// A cluster, and an Auto Scaling group whose instances are in it.
pub struct Fleet {
    pub cluster: String,
    pub group: String,
    pub members: Vec<Member>,
}

/// The properties of a fleet.
pub struct Wanted<'a> {
    /// The group's minimum size.
    pub min: i32,
    pub hooks: &'a [Hook],
    /// A target group that is attached to the group itself.
    pub target_group: Option<&'a str>,
    /// True for one instance that rests in a warm pool.
    pub warm_pool: bool,
    /// True if an abandoned termination keeps the instance.
    pub retains: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Wanted {
            min: 0,
            hooks: &[(HOOK, 3600, "CONTINUE")],
            target_group: None,
            warm_pool: false,
            retains: false,
        }
    }
}

/// A terminating lifecycle hook: its name, heartbeat timeout in seconds, and default result.
pub type Hook = (&'static str, i32, &'static str);

/// A service with one task, behind a target group and a classic load balancer.
pub struct Service {
    pub name: String,
    /// The task's ARN.
    pub task: String,
    /// Its container instance.
    pub member: Member,
    /// The target group's ARN.
    pub target_group: String,
    /// The classic load balancer's name; `None` on AWS, where it would need a fixed port.
    pub classic: Option<String>,
}

impl World {
    pub(super) async fn new(environment: Environment, name: &str, made: Made, pace: u32) -> World {
        World::recorded(environment, name, made, pace, None).await
    }

    /// Creates a world whose answers all go to `recorder`.
    pub(super) async fn recorded(
        environment: Environment,
        name: &str,
        made: Made,
        pace: u32,
        recorder: Option<Recorder>,
    ) -> World {
        let (region, account) = match &made {
            Made::Told(_) | Made::Asked(_) => ("us-east-1".to_owned(), "123456789012".to_owned()),
            Made::Launched(ground) => (ground.region.clone(), ground.account.clone()),
        };
        let sdk = environment.load(Some(&region)).await;
        let sdk: SdkConfig = match &made {
            // One attempt for each call: the checks must see the cloud's first answer.
            Made::Told(_) | Made::Asked(_) => {
                sdk.to_builder().retry_config(RetryConfig::disabled()).build()
            }
            Made::Launched(_) => aws::patiently(&sdk),
        };
        // A long poll lasts longer than the attempts of other calls may.
        let unhurried = aws_sdk_sqs::config::timeout::TimeoutConfig::disabled();
        let sqs = aws::recorded!(aws_sdk_sqs, &sdk, &recorder).timeout_config(unhurried);
        World {
            ecs: aws_sdk_ecs::Client::from_conf(
                aws::recorded!(aws_sdk_ecs, &sdk, &recorder).build(),
            ),
            autoscaling: aws_sdk_autoscaling::Client::from_conf(
                aws::recorded!(aws_sdk_autoscaling, &sdk, &recorder).build(),
            ),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::from_conf(
                aws::recorded!(aws_sdk_elasticloadbalancingv2, &sdk, &recorder).build(),
            ),
            elb: aws_sdk_elasticloadbalancing::Client::from_conf(
                aws::recorded!(aws_sdk_elasticloadbalancing, &sdk, &recorder).build(),
            ),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(
                aws::recorded!(aws_sdk_dynamodb, &sdk, &recorder).build(),
            ),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            name: name.to_owned(),
            region,
            account,
            made,
            pace,
            needs: RefCell::default(),
        }
    }

    /// Returns the factor by which waits are longer here than elsewhere.
    pub fn patience(&self) -> u64 {
        match &self.made {
            Made::Launched(ground) if ground.url.is_none() => u64::from(aws::PATIENCE),
            Made::Told(_) | Made::Asked(_) | Made::Launched(_) => 1,
        }
    }

    /// Returns an ARN of ECS in this account and region.
    pub fn ecs_arn(&self, rest: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{rest}", self.region, self.account)
    }

    /// Returns the name of a task definition's family.
    pub fn family(&self, family: &str) -> String {
        format!("{}-{family}", self.name)
    }

    /// Lets this many seconds pass there.
    pub async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds) / self.pace).await;
    }

    /// Repeats a read until it has an answer; complains after this many seconds there, or a few
    /// times as many on AWS.
    pub async fn until<T>(
        &self,
        what: &str,
        seconds: u64,
        ask: impl AsyncFn() -> Told<Option<T>>,
    ) -> Told<T> {
        let seconds = seconds * self.patience();
        for _ in 0..=seconds {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            self.pass(1).await;
        }
        Err(Complaint(format!("{what}: not within {seconds} s")))
    }

    /// Returns an ECS task; `None` if ECS does not know it.
    pub async fn task(&self, cluster: &str, arn: &str) -> Told<Option<Task>> {
        let answer = self.ecs.describe_tasks().cluster(cluster).tasks(arn).send().await?;
        Ok(answer.tasks.unwrap_or_default().pop())
    }

    /// Returns the `lastStatus` of a task.
    pub async fn last_status(&self, cluster: &str, arn: &str) -> Told<String> {
        let task = self.task(cluster, arn).await?;
        Ok(task.and_then(|task| task.last_status).unwrap_or_default())
    }

    /// Returns the lifecycle state of an instance; `None` if it is in no group.
    pub async fn lifecycle_state(&self, instance: &str) -> Told<Option<String>> {
        let answer = self
            .autoscaling
            .describe_auto_scaling_instances()
            .instance_ids(instance)
            .send()
            .await?;
        Ok(answer
            .auto_scaling_instances()
            .first()
            .and_then(|found| found.lifecycle_state())
            .map(str::to_owned))
    }

    /// Terminates an instance through its group, and waits until hooks hold it.
    pub async fn held(&self, instance: &str) -> Told {
        let terminate =
            self.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(instance);
        terminate.should_decrement_desired_capacity(true).send().await?;
        self.until("Terminating:Wait", 60, async || {
            let state = self.lifecycle_state(instance).await?;
            Ok((state.as_deref() == Some("Terminating:Wait")).then_some(()))
        })
        .await
    }

    /// Terminates an instance through its group, under the ecs-drain hook alone, and waits until
    /// the group no longer has it.
    pub async fn end(&self, fleet: &Fleet, instance: &str) -> Told {
        self.held(instance).await?;
        let complete =
            self.autoscaling.complete_lifecycle_action().auto_scaling_group_name(&fleet.group);
        let complete = complete
            .lifecycle_hook_name(HOOK)
            .instance_id(instance)
            .lifecycle_action_result("CONTINUE");
        complete.send().await?;
        self.until("gone from its group", 90, async || {
            Ok(self.lifecycle_state(instance).await?.is_none().then_some(()))
        })
        .await
    }

    /// Waits until no hook holds an instance any more.
    pub async fn let_go(&self, instance: &str) -> Told {
        self.until("past Terminating:Wait", 90, async || {
            let state = self.lifecycle_state(instance).await?;
            Ok((state.as_deref() != Some("Terminating:Wait")).then_some(()))
        })
        .await
    }

    /// Returns the states of a target group's targets, unfiltered: id, port, state and reason.
    pub async fn targets(&self, arn: &str) -> Told<Vec<(String, i32, String, String)>> {
        let answer = self.elbv2.describe_target_health().target_group_arn(arn).send().await?;
        let states = answer.target_health_descriptions().iter().map(|described| {
            let (target, health) = (described.target(), described.target_health());
            (
                target.and_then(|target| target.id()).unwrap_or_default().to_owned(),
                target.and_then(|target| target.port()).unwrap_or_default(),
                health
                    .and_then(|health| health.state())
                    .map(|state| state.as_str())
                    .unwrap_or_default()
                    .to_owned(),
                health
                    .and_then(|health| health.reason())
                    .map(|reason| reason.as_str())
                    .unwrap_or_default()
                    .to_owned(),
            )
        });
        Ok(states.collect())
    }

    /// Starts a standalone task on a container instance and waits until it runs; returns its ARN.
    pub async fn standalone(&self, fleet: &Fleet, member: &Member) -> Told<String> {
        let family = self.family("batch");
        let task =
            self.start(fleet, member, &family, &format!("family:{family}"), "somebody").await;
        let task = task.map_err(Complaint::of_making)?;
        self.running(&fleet.cluster, &task).await.map_err(Complaint::of_making)?;
        Ok(task)
    }

    /// Starts a standalone task with a network interface of its own and waits until it runs;
    /// returns its ARN.
    pub async fn standalone_with_address(&self, fleet: &Fleet) -> Told<String> {
        let task = self.run_with_address(fleet).await.map_err(Complaint::of_making)?;
        self.running(&fleet.cluster, &task).await.map_err(Complaint::of_making)?;
        Ok(task)
    }

    async fn running(&self, cluster: &str, task: &str) -> Told {
        self.until("a task that runs", 60, async || {
            Ok((self.last_status(cluster, task).await? == "RUNNING").then_some(()))
        })
        .await
    }

    /// Returns the container instances of a cluster, in the order of their ARNs.
    pub(super) async fn members(&self, cluster: &str) -> Told<Vec<Member>> {
        let arns = self
            .ecs
            .list_container_instances()
            .cluster(cluster)
            .send()
            .await?
            .container_instance_arns;
        let request =
            self.ecs.describe_container_instances().cluster(cluster).set_container_instances(arns);
        let mut members: Vec<Member> = request
            .send()
            .await?
            .container_instances
            .unwrap_or_default()
            .into_iter()
            .filter_map(|found| {
                Some(Member { arn: found.container_instance_arn?, ec2: found.ec2_instance_id? })
            })
            .collect();
        members.sort();
        Ok(members)
    }

    /// Creates a service with one task, behind both kinds of balancers (on AWS a target group
    /// alone), and waits until it is steady.
    pub async fn service(&self, fleet: &Fleet) -> Told<Service> {
        self.service_at_rest(fleet).await.map_err(Complaint::of_making)
    }

    async fn service_at_rest(&self, fleet: &Fleet) -> Told<Service> {
        let target_group = self.target_group("web", true).await?;
        let classic = match self.made {
            Made::Told(_) | Made::Asked(_) => Some(self.classic("web").await?),
            Made::Launched(_) => None,
        };
        self.needs.borrow_mut().services += 1;
        self.make_service(fleet, &target_group, classic.as_deref()).await?;
        let task = self
            .until("a task of the service", 60, async || {
                let tasks = self
                    .ecs
                    .list_tasks()
                    .cluster(&fleet.cluster)
                    .service_name("web")
                    .send()
                    .await?;
                Ok(tasks.task_arns.unwrap_or_default().pop())
            })
            .await?;
        self.running(&fleet.cluster, &task).await?;
        self.until("a healthy target", 60, async || {
            let healthy = |target: &(String, i32, String, String)| target.2 == "healthy";
            Ok(self.targets(&target_group).await?.iter().any(healthy).then_some(()))
        })
        .await?;
        let on =
            self.task(&fleet.cluster, &task).await?.and_then(|task| task.container_instance_arn);
        let member = fleet.members.iter().find(|member| Some(&member.arn) == on.as_ref()).cloned();
        ensure!(member.is_some(), "the task runs on {on:?}, which is in no group");
        let member = member.unwrap();
        Ok(Service { name: "web".to_owned(), task, member, target_group, classic })
    }
}
