//! The operations that only read.

use super::activity::Activity;
use super::member::Member;
use super::{AutoScaling, Group};
use crate::SimTime;
use crate::wire::ApiError;
use crate::wire::query::{Page, Params, Xml, timestamp};

/// The instance type of all simulated instances.
pub(crate) const INSTANCE_TYPE: &str = "m5.xlarge";

impl AutoScaling {
    /// Describes groups by name and by tags. An unknown name is left out without an error; members
    /// of warm pools are not shown. Source: Auto Scaling API reference, DescribeAutoScalingGroups.
    pub(super) fn describe_groups(&self, params: &Params) -> Result<String, ApiError> {
        let names = params.list("AutoScalingGroupNames");
        let size = page_size(params, 50, 100)?;
        if names.len() > size.max(50) {
            return Err(ApiError::validation_error(
                "The number of group names is above the maximum number of records.",
            ));
        }
        let filters = filters_of(params);
        let with_instances = params.flag("IncludeInstances")?.unwrap_or(true);
        let wanted: Vec<&Group> = if names.is_empty() {
            self.groups.values().collect()
        } else {
            let mut names: Vec<&String> = names.iter().collect();
            names.sort();
            names.dedup();
            names.into_iter().filter_map(|name| self.groups.get(name)).collect()
        };
        let wanted = wanted
            .into_iter()
            .filter(|group| filters.iter().all(|filter| filter.matches(group)))
            .map(|group| (group.spec.name.clone(), group));
        let page = self.cut(wanted, size, params)?;
        let mut xml = Xml::new();
        xml.list("AutoScalingGroups", page.items, |xml, group| {
            self.write_group(xml, group, with_instances)
        })
        .optional("NextToken", page.next);
        Ok(xml.finish())
    }

    fn write_group(&self, xml: &mut Xml, group: &Group, with_instances: bool) {
        let spec = &group.spec;
        xml.element("AutoScalingGroupName", &spec.name).element("AutoScalingGroupARN", &group.arn);
        write_template(xml, spec.image().template.as_ref());
        xml.element("MinSize", spec.min)
            .element("MaxSize", spec.max)
            .element("DesiredCapacity", spec.desired)
            .element("DefaultCooldown", 300)
            .values("AvailabilityZones", ["a", "b"].map(|zone| format!("{}{zone}", self.region)))
            .values("LoadBalancerNames", &spec.classic_names)
            .values("TargetGroupARNs", &spec.target_group_arns)
            .element("HealthCheckType", "EC2")
            .element("HealthCheckGracePeriod", 300);
        if with_instances {
            let members =
                self.members_of(&spec.name).filter(|member| !member.journey.in_warm_pool());
            xml.list("Instances", members, write_instance);
        }
        xml.element("CreatedTime", timestamp(self.start, SimTime::ZERO))
            .list("SuspendedProcesses", std::iter::empty::<&str>(), |_, _| {})
            .list("Tags", &spec.tags, |xml, (key, value)| {
                xml.element("ResourceId", &spec.name)
                    .element("ResourceType", "auto-scaling-group")
                    .element("Key", key)
                    .element("Value", value)
                    .element("PropagateAtLaunch", true);
            })
            .values("TerminationPolicies", ["Default"])
            .element("NewInstancesProtectedFromScaleIn", false);
        if spec.warm_pool.is_some() {
            let size =
                self.members_of(&spec.name).filter(|member| member.journey.in_warm_pool()).count();
            write_warm_pool(xml, group);
            xml.element("WarmPoolSize", size);
        }
        let abandon = if spec.terminate_hook_abandon_retain { "retain" } else { "terminate" };
        xml.nested("InstanceLifecyclePolicy", |xml| {
            xml.nested("RetentionTriggers", |xml| {
                xml.element("TerminateHookAbandon", abandon);
            });
        });
    }

    /// Describes at most 50 instances; unknown ids are left out without an error. Source: Auto
    /// Scaling API reference, DescribeAutoScalingInstances.
    pub(super) fn describe_instances(&self, params: &Params) -> Result<String, ApiError> {
        let mut ids = params.list("InstanceIds");
        let size = page_size(params, 50, 50)?;
        if ids.len() > size.max(50) {
            return Err(ApiError::validation_error("At most 50 instance IDs can be given."));
        }
        ids.sort();
        ids.dedup();
        let wanted: Vec<&Member> = if ids.is_empty() {
            self.members.values().collect()
        } else {
            ids.iter().filter_map(|id| self.members.get(id)).collect()
        };
        let wanted = wanted
            .into_iter()
            .filter(|member| self.instances_list_warm_pool || !member.journey.in_warm_pool())
            .map(|member| (member.id.clone(), member));
        let page = self.cut(wanted, size, params)?;
        let mut xml = Xml::new();
        xml.list("AutoScalingInstances", page.items, |xml, member| {
            // This operation alone writes health in capitals. Source: the API reference's own
            // example.
            let health = if member.healthy { "HEALTHY" } else { "UNHEALTHY" };
            xml.element("InstanceId", &member.id)
                .element("InstanceType", INSTANCE_TYPE)
                .element("AutoScalingGroupName", &member.group)
                .element("AvailabilityZone", &member.zone)
                .element("LifecycleState", member.state_name())
                .element("HealthStatus", health)
                .element("ProtectedFromScaleIn", member.protected);
            write_template(xml, member.image.template.as_ref());
        })
        .optional("NextToken", page.next);
        Ok(xml.finish())
    }

    /// Describes all hooks of one group, not paged. No operation lists open actions. Source: Auto
    /// Scaling API reference, DescribeLifecycleHooks.
    pub(super) fn describe_hooks(&self, params: &Params) -> Result<String, ApiError> {
        let group = self.require_group(params.require("AutoScalingGroupName")?)?;
        let names = params.list("LifecycleHookNames");
        let wanted =
            group.hooks.values().filter(|hook| names.is_empty() || names.contains(&hook.name));
        let mut xml = Xml::new();
        xml.list("LifecycleHooks", wanted, |xml, hook| {
            xml.element("LifecycleHookName", &hook.name)
                .element("AutoScalingGroupName", &group.spec.name)
                .element("LifecycleTransition", hook.transition.as_str())
                .element("HeartbeatTimeout", hook.heartbeat_timeout.as_secs())
                .element("GlobalTimeout", hook.global_timeout().as_secs())
                .element("DefaultResult", hook.default_result.as_str());
        });
        Ok(xml.finish())
    }

    pub(super) fn describe_warm_pool(&self, params: &Params) -> Result<String, ApiError> {
        let group = self.require_group(params.require("AutoScalingGroupName")?)?;
        let size = page_size(params, 50, 50)?;
        let members = self
            .members_of(&group.spec.name)
            .filter(|member| member.journey.in_warm_pool())
            .map(|member| (member.id.clone(), member));
        let page = self.cut(members, size, params)?;
        let mut xml = Xml::new();
        write_warm_pool(&mut xml, group);
        xml.list("Instances", page.items, write_instance).optional("NextToken", page.next);
        Ok(xml.finish())
    }

    /// Describes the instance refreshes of a group: the last one is remembered. Source: Auto Scaling
    /// API reference, DescribeInstanceRefreshes.
    pub(super) fn describe_refreshes(&self, params: &Params) -> Result<String, ApiError> {
        let group = self.require_group(params.require("AutoScalingGroupName")?)?;
        let size = page_size(params, 50, 100)?;
        let wanted = group.refresh.iter().map(|refresh| (refresh.id(), refresh));
        let page = self.cut(wanted, size, params)?;
        let mut xml = Xml::new();
        xml.list("InstanceRefreshes", page.items, |xml, refresh| {
            xml.element("InstanceRefreshId", refresh.id())
                .element("AutoScalingGroupName", &group.spec.name)
                .element("Status", refresh.status.as_str())
                .element("StartTime", timestamp(self.start, refresh.started_at))
                .element("InstancesToUpdate", refresh.left());
        })
        .optional("NextToken", page.next);
        Ok(xml.finish())
    }

    /// Lists activities: those in progress first, then the newest. Source: Auto Scaling API
    /// reference, DescribeScalingActivities.
    pub(super) fn describe_activities(&self, params: &Params) -> Result<String, ApiError> {
        let name = params.get("AutoScalingGroupName");
        if let Some(name) = name {
            self.require_group(name)?;
        }
        let ids = params.list("ActivityIds");
        let size = page_size(params, 100, 100)?;
        let mut wanted: Vec<(String, (&Group, &Activity))> = self
            .groups
            .values()
            .filter(|group| name.is_none_or(|name| group.spec.name == name))
            .flat_map(|group| group.activities.iter().map(move |activity| (group, activity)))
            .filter(|(_, activity)| ids.is_empty() || ids.contains(&activity.id))
            .map(|(group, activity)| {
                let ended = u8::from(activity.ended_at.is_some());
                let age = u128::MAX - activity.started_at.as_nanos();
                (format!("{ended}{age:039}{}", activity.id), (group, activity))
            })
            .collect();
        wanted.sort_by(|(one, _), (other, _)| one.cmp(other));
        let page = self.cut(wanted, size, params)?;
        let mut xml = Xml::new();
        xml.list("Activities", page.items, |xml, (group, activity)| {
            self.write_activity(xml, group, activity)
        })
        .optional("NextToken", page.next);
        Ok(xml.finish())
    }

    pub(super) fn write_activity(&self, xml: &mut Xml, group: &Group, activity: &Activity) {
        xml.element("ActivityId", &activity.id)
            .element("AutoScalingGroupName", &group.spec.name)
            .element("AutoScalingGroupARN", &group.arn)
            .element("Description", &activity.description)
            .element("Cause", &activity.cause)
            .element("StartTime", timestamp(self.start, activity.started_at))
            .optional("EndTime", activity.ended_at.map(|at| timestamp(self.start, at)))
            .element("StatusCode", activity.status.code())
            .optional("StatusMessage", activity.message.as_deref())
            .element("Progress", activity.status.progress())
            .element("Details", "{}");
    }

    fn cut<T>(
        &self,
        items: impl IntoIterator<Item = (String, T)>,
        size: usize,
        params: &Params,
    ) -> Result<Page<T>, ApiError> {
        Page::cut(items, size.min(self.page_size), params.get("NextToken"))
            .ok_or_else(|| ApiError::bad_request("InvalidNextToken", "The token is not valid."))
    }
}

/// A filter on a group's tags: `tag-key`, `tag-value` or `tag:<key>`. Its values are alternatives;
/// several filters must all match. Source: Auto Scaling API reference, Filter.
struct TagFilter {
    name: String,
    values: Vec<String>,
}

impl TagFilter {
    fn matches(&self, group: &Group) -> bool {
        let tags = &group.spec.tags;
        match self.name.as_str() {
            "tag-key" => self.values.iter().any(|key| tags.contains_key(key)),
            "tag-value" => tags.values().any(|value| self.values.contains(value)),
            name => name
                .strip_prefix("tag:")
                .and_then(|key| tags.get(key))
                .is_some_and(|value| self.values.contains(value)),
        }
    }
}

fn filters_of(params: &Params) -> Vec<TagFilter> {
    params
        .structs("Filters")
        .into_iter()
        .map(|mut fields| TagFilter {
            name: fields.remove("Name").unwrap_or_default(),
            values: fields
                .into_iter()
                .filter(|(field, _)| field.starts_with("Values.member."))
                .map(|(_, value)| value)
                .collect(),
        })
        .collect()
}

fn write_instance(xml: &mut Xml, member: &Member) {
    xml.element("InstanceId", &member.id)
        .element("InstanceType", INSTANCE_TYPE)
        .element("AvailabilityZone", &member.zone)
        .element("LifecycleState", member.state_name())
        .element("HealthStatus", if member.healthy { "Healthy" } else { "Unhealthy" })
        .element("ProtectedFromScaleIn", member.protected);
    write_template(xml, member.image.template.as_ref());
}

/// Writes a launch template by its id, its name and its version.
fn write_template(xml: &mut Xml, template: Option<&(String, u32)>) {
    if let Some((id, version)) = template {
        xml.nested("LaunchTemplate", |xml| {
            xml.element("LaunchTemplateId", id)
                .element("LaunchTemplateName", "template")
                .element("Version", version);
        });
    }
}

fn write_warm_pool(xml: &mut Xml, group: &Group) {
    if let Some(pool) = &group.spec.warm_pool {
        xml.nested("WarmPoolConfiguration", |xml| {
            xml.element("MinSize", pool.min_size).element("PoolState", "Stopped").nested(
                "InstanceReusePolicy",
                |xml| {
                    xml.element("ReuseOnScaleIn", pool.reuse_on_scale_in);
                },
            );
        });
    }
}

/// Returns the page size of a request.
fn page_size(params: &Params, default: u32, max: u32) -> Result<usize, ApiError> {
    let asked = params.number("MaxRecords")?.unwrap_or(default);
    if asked == 0 || asked > max {
        return Err(ApiError::validation_error(format!(
            "1 validation error detected: Value '{asked}' at 'maxRecords' failed to satisfy constraint: Member must have \
             value between 1 and {max}"
        )));
    }
    Ok(asked as usize)
}
