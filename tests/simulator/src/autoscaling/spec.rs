//! Descriptions of groups and hooks.

use super::hooks::{LifecycleResult, Transition};
use std::collections::BTreeMap;
use std::time::Duration;

/// An Auto Scaling group to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// The group's name.
    pub name: String,
    /// The ECS cluster that its instances join, if any.
    pub cluster: Option<String>,
    /// The minimum size.
    pub min: u32,
    /// The maximum size.
    pub max: u32,
    /// The desired capacity.
    pub desired: u32,
    /// The group's tags.
    pub tags: BTreeMap<String, String>,
    /// Its lifecycle hooks.
    pub hooks: Vec<HookSpec>,
    /// Target groups that are attached to the group itself, not to an ECS service.
    pub target_group_arns: Vec<String>,
    /// Classic load balancers that are attached to the group itself.
    pub classic_names: Vec<String>,
    /// `InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon` is `retain`: an instance
    /// whose terminating hook ends with ABANDON is kept as `Terminating:Retained`. Source: Auto
    /// Scaling API reference, RetentionTriggers.
    pub terminate_hook_abandon_retain: bool,
    /// CPU units of one instance, as ECS counts them: 1024 a vCPU.
    pub instance_cpu: u32,
    /// Memory of one instance in MiB.
    pub instance_memory: u32,
    /// The AMI of its instances, which ECS shows as the attribute `ecs.ami-id`.
    pub ami_id: String,
    /// The id of its launch template; `None` for a group with a launch configuration.
    pub launch_template: Option<String>,
    /// The version of that launch template.
    pub template_version: u32,
    /// The version of the ECS agent in its AMI.
    pub agent_version: String,
    /// The time between the running instance and its registration with the cluster.
    pub registration_time: Duration,
    /// False if the agents of its new instances never register.
    pub registers: bool,
    /// The ECS capacity provider that the group belongs to.
    pub capacity_provider: Option<String>,
    /// Custom attributes that its instances' agents register with.
    pub attributes: BTreeMap<String, String>,
    /// The time between a launch and the running instance.
    pub launch_time: Duration,
    /// The warm pool, if the group has one.
    pub warm_pool: Option<WarmPoolSpec>,
    /// Fixed ids for the first instances, and after them for those of the warm pool; others are
    /// random.
    pub instance_ids: Option<Vec<String>>,
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self {
            name: "group".to_owned(),
            cluster: None,
            min: 0,
            max: 100,
            desired: 0,
            tags: BTreeMap::new(),
            hooks: Vec::new(),
            target_group_arns: Vec::new(),
            classic_names: Vec::new(),
            terminate_hook_abandon_retain: false,
            instance_cpu: 4096,
            instance_memory: 16_384,
            ami_id: "ami-0a1b2c3d4e5f60718".to_owned(),
            launch_template: Some("lt-0a1b2c3d4e5f60718".to_owned()),
            template_version: 1,
            agent_version: "1.89.0".to_owned(),
            registration_time: Duration::ZERO,
            registers: true,
            capacity_provider: None,
            attributes: BTreeMap::new(),
            launch_time: Duration::from_secs(60),
            warm_pool: None,
            instance_ids: None,
        }
    }
}

/// The software that an instance was launched with. A later change of its group does not change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) ami_id: String,
    /// The id and the version of the launch template.
    pub(crate) template: Option<(String, u32)>,
    pub(crate) agent_version: String,
    pub(crate) registration_time: Duration,
    pub(crate) registers: bool,
}

impl GroupSpec {
    /// Returns the software of the instances that are launched now.
    pub(super) fn image(&self) -> Image {
        Image {
            ami_id: self.ami_id.clone(),
            template: self.launch_template.clone().map(|id| (id, self.template_version)),
            agent_version: self.agent_version.clone(),
            registration_time: self.registration_time,
            registers: self.registers,
        }
    }

    /// Returns true if balancers are attached to the group itself.
    pub(super) fn has_balancers(&self) -> bool {
        !self.target_group_arns.is_empty() || !self.classic_names.is_empty()
    }
}

/// A warm pool of stopped instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmPoolSpec {
    /// True if a scale-in returns instances to the pool instead of terminating them.
    pub reuse_on_scale_in: bool,
    /// The minimum size of the pool, and its size at the start.
    pub min_size: u32,
}

/// A lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    /// The hook's name.
    pub name: String,
    /// The transition at which an instance waits.
    pub transition: Transition,
    /// The heartbeat timeout: 30 to 7200 s, by default 3600 s. Source: Auto Scaling API reference,
    /// PutLifecycleHook.
    pub heartbeat_timeout: Duration,
    /// The default result, which a timeout applies; AWS's default is ABANDON.
    pub default_result: LifecycleResult,
}

impl Default for HookSpec {
    fn default() -> Self {
        Self {
            name: "hook".to_owned(),
            transition: Transition::Terminating,
            heartbeat_timeout: Duration::from_secs(3600),
            default_result: LifecycleResult::Abandon,
        }
    }
}

impl HookSpec {
    /// Returns the global timeout, which no heartbeat moves: the smaller of 48 hours and 100
    /// heartbeat timeouts. Source: Auto Scaling API reference, LifecycleHook.
    pub fn global_timeout(&self) -> Duration {
        Duration::from_secs(172_800).min(self.heartbeat_timeout * 100)
    }
}
