//! Selects the instances of a `drain` or `plan` command: named ones, those of groups, or those of
//! clusters by pattern, AMI or age. It reads AWS and changes nothing.

use crate::aws::{self, ContainerInstanceView, Environment, Session};
use crate::cli::Failure;
use crate::config::{Config, Patterns, Scope, span};
use crate::reader;
use clap::Args;
use ecs_drain_state::why::Span;
use ecs_drain_state::{ContainerInstance, ContainerInstanceStatus};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Attribute of a container instance that holds its AMI id. (Source: ECS developer guide, container
/// instance attributes.)
const AMI: &str = "ecs.ami-id";

/// Instances that the arguments select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// These EC2 instances, in any scope.
    Instances(Vec<String>),
    /// Instances of these clusters.
    Clusters(Patterns, Pick),
    /// Instances of these Auto Scaling groups, as far as they are in a cluster. With a condition,
    /// only those that are `ACTIVE` and meet it.
    Groups(Patterns, Option<Pick>),
}

/// Arguments that select instances of clusters.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Instances of this cluster; a name, or a pattern such as 'web-*'
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Vec<String>,
    /// Instances of every cluster of the configuration
    #[arg(long)]
    pub all_clusters: bool,
    /// Every ACTIVE container instance of the clusters
    #[arg(long)]
    pub all: bool,
    /// Only instances of this AMI (attribute ecs.ami-id)
    #[arg(long, value_name = "AMI")]
    pub ami: Option<String>,
    /// Only instances registered at least this long ago, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    pub older_than: Option<Duration>,
}

impl ClusterArgs {
    /// Returns what the arguments select.
    pub(crate) fn wanted(&self) -> Wanted {
        let clusters =
            if self.all_clusters { Patterns::all() } else { Patterns::new(self.cluster.clone()) };
        let pick = match (&self.ami, self.older_than) {
            (Some(ami), _) => Pick::Ami(ami.clone()),
            (None, Some(age)) => Pick::OlderThan(age),
            (None, None) => Pick::All,
        };
        Wanted::Clusters(clusters, pick)
    }
}

impl Wanted {
    /// Returns the selection of named instances.
    ///
    /// # Errors
    /// Returns an error if a name is no EC2 instance id.
    pub(crate) fn instances(ids: &[String]) -> Result<Wanted, Failure> {
        match ids.iter().find(|id| !id.starts_with("i-")) {
            None => Ok(Wanted::Instances(ids.to_vec())),
            Some(other) => Err(Failure::usage(format!(
                "{other:?} is not an EC2 instance id; name a cluster with --cluster"
            ))),
        }
    }
}

/// Condition on the instances of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Every `ACTIVE` container instance.
    All,
    /// Those with this AMI.
    Ami(String),
    /// Those that registered at least this long ago.
    OlderThan(Duration),
    /// Those whose ECS agent has another version.
    AgentNot(String),
}

impl Wanted {
    /// Returns the condition on the instances, if there is one.
    pub(crate) fn pick(&self) -> Option<&Pick> {
        let pick = match self {
            Wanted::Instances(_) => None,
            Wanted::Clusters(_, pick) => Some(pick),
            Wanted::Groups(_, pick) => pick.as_ref(),
        };
        pick.filter(|pick| **pick != Pick::All)
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pick::All => f.write_str("of any kind"),
            Pick::Ami(ami) => write!(f, "of {ami}"),
            Pick::OlderThan(age) => write!(f, "that registered more than {} ago", Span(*age)),
            Pick::AgentNot(version) => write!(f, "whose agent is not {version}"),
        }
    }
}

/// A selected instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub account: String,
    pub region: String,
    /// Name of its cluster, or of the first one if it is in several.
    pub cluster: String,
    pub instance_id: String,
    pub container_instances: Vec<ContainerInstance>,
}

/// Selected instances, and the sizes of their clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The instances, by account, region and id.
    pub chosen: BTreeMap<(String, String, String), Chosen>,
    /// Numbers of `ACTIVE` container instances of each cluster, by account, region and name. Empty
    /// if instances were named.
    pub sizes: BTreeMap<(String, String, String), usize>,
    /// Number of container instances left out because ECS does not show the property of them that
    /// the condition is about.
    pub unjudged: usize,
    /// The AMIs of `ACTIVE` container instances, by account, region, cluster and AMI. The AMI is
    /// `None` if ECS does not show it.
    pub amis: BTreeMap<(String, String, String, Option<String>), Image>,
    /// Named instances that are in no cluster of any scope.
    pub nowhere: Vec<String>,
}

/// Container instances of one AMI in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// Number of them.
    pub count: usize,
    /// Registration of the oldest, if ECS shows it.
    pub oldest: Option<Timestamp>,
}

/// Finds the selected instances in every scope of the configuration.
///
/// # Errors
/// Returns an error if a read fails, since a part must not pass for the whole. A scope that cannot
/// be reached is no error if each named instance was found in another one.
pub(crate) async fn select(
    config: &Config,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Selection, Failure> {
    let mut selection = Selection::default();
    let mut unreached = None;
    for scope in &config.scopes {
        let session = match (
            aws::connect(&Environment::default(), &scope.region, scope.role.as_ref()).await,
            wanted,
        ) {
            (Ok(session), _) => session,
            (Err(error), Wanted::Clusters(..) | Wanted::Groups(..)) => {
                return Err(Failure::because(&error));
            }
            (Err(error), Wanted::Instances(_)) => {
                unreached.get_or_insert(error);
                continue;
            }
        };
        match wanted {
            Wanted::Instances(ids) => named(&session, scope, ids, &mut selection).await?,
            Wanted::Clusters(patterns, pick) => {
                of_clusters(&session, scope, patterns, pick, now, &mut selection).await?;
            }
            Wanted::Groups(patterns, pick) => {
                let groups = session.autoscaling.groups(None, true).await;
                let groups = groups.map_err(|error| Failure::because(&error))?;
                let wanted = groups.into_iter().filter(|group| patterns.matches(&group.name));
                let ids: Vec<String> = wanted
                    .flat_map(|group| group.members)
                    .map(|member| member.instance_id)
                    .collect();
                match pick {
                    None => named(&session, scope, &ids, &mut selection).await?,
                    Some(pick) => {
                        of_groups(&session, scope, &ids, pick, now, &mut selection).await?;
                    }
                }
            }
        }
    }
    if let Wanted::Instances(ids) = wanted {
        let found = |id: &&String| selection.chosen.keys().any(|(_, _, found)| found == *id);
        selection.nowhere = ids.iter().filter(|id| !found(id)).cloned().collect();
        if let (Some(error), false) = (unreached, selection.nowhere.is_empty()) {
            return Err(Failure::because(&error));
        }
    }
    Ok(selection)
}

async fn named(
    session: &Session,
    scope: &Scope,
    ids: &[String],
    selection: &mut Selection,
) -> Result<(), Failure> {
    let found = reader::search(session, ids).await.map_err(|error| Failure::because(&error))?;
    for (id, found) in found {
        let Some(first) = found.first() else { continue };
        if !found.iter().any(|one| scope.clusters.matches(&one.cluster)) {
            return Err(Failure::failed(format!(
                "{id} is in cluster {}, which is not among those of the configuration ({})",
                first.cluster, scope.clusters
            )));
        }
        let chosen = Chosen {
            account: session.account.clone(),
            region: session.region.clone(),
            cluster: first.cluster.clone(),
            instance_id: id.clone(),
            container_instances: found,
        };
        selection.chosen.insert((session.account.clone(), session.region.clone(), id), chosen);
    }
    Ok(())
}

async fn of_clusters(
    session: &Session,
    scope: &Scope,
    patterns: &Patterns,
    pick: &Pick,
    now: Timestamp,
    selection: &mut Selection,
) -> Result<(), Failure> {
    let because = |error: aws::AwsError| Failure::because(&error);
    let clusters = session.ecs.list_clusters().await.map_err(because)?;
    let names = clusters.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn));
    for cluster in names.filter(|name| patterns.matches(name) && scope.clusters.matches(name)) {
        let (arns, _) =
            session.ecs.active_container_instances(cluster, usize::MAX).await.map_err(because)?;
        let views = views(session, cluster, &arns).await?;
        take(session, cluster, views, pick, now, selection);
    }
    Ok(())
}

/// Adds those of these instances that meet the condition.
async fn of_groups(
    session: &Session,
    scope: &Scope,
    ids: &[String],
    pick: &Pick,
    now: Timestamp,
    selection: &mut Selection,
) -> Result<(), Failure> {
    let mut members = Selection::default();
    named(session, scope, ids, &mut members).await?;
    let mut clusters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in members.chosen.into_values().flat_map(|chosen| chosen.container_instances) {
        clusters.entry(one.cluster).or_default().push(one.arn);
    }
    for (cluster, arns) in clusters {
        let views = views(session, &cluster, &arns).await?;
        take(session, &cluster, views, pick, now, selection);
    }
    Ok(())
}

async fn views(
    session: &Session,
    cluster: &str,
    arns: &[String],
) -> Result<Vec<ContainerInstanceView>, Failure> {
    let described = session.ecs.describe_container_instances(cluster, arns).await;
    let described = described.map_err(|error| Failure::because(&error))?;
    match described.failed.first() {
        None => Ok(described.found),
        Some((arn, reason)) => {
            Err(Failure::failed(format!("ecs:DescribeContainerInstances on {arn}: {reason}")))
        }
    }
}

/// Adds the container instances of one cluster that meet the condition.
fn take(
    session: &Session,
    cluster: &str,
    views: Vec<ContainerInstanceView>,
    pick: &Pick,
    now: Timestamp,
    selection: &mut Selection,
) {
    let place = |name: &str| (session.account.clone(), session.region.clone(), name.to_owned());
    for view in views.into_iter().filter(|view| view.status == ContainerInstanceStatus::Active) {
        // ECS Anywhere registers machines (mi-…), which are in no Auto Scaling group.
        let Some(id) = view.ec2_instance_id.clone().filter(|id| id.starts_with("i-")) else {
            continue;
        };
        *selection.sizes.entry(place(cluster)).or_default() += 1;
        let (account, region, name) = place(cluster);
        let ami = view.attributes.get(AMI).cloned();
        let image = selection.amis.entry((account, region, name, ami)).or_default();
        image.count += 1;
        image.oldest = image.oldest.into_iter().chain(view.registered_at).min();
        match picks(pick, &view, now) {
            Some(true) => {}
            Some(false) => continue,
            None => {
                selection.unjudged += 1;
                continue;
            }
        }
        let one = ContainerInstance {
            cluster: cluster.to_owned(),
            arn: view.arn,
            draining_is_ours: false,
            deregistered_at: None,
            drained_for_seconds: 0,
            gone_for_seconds: 0,
        };
        let chosen = selection.chosen.entry(place(&id)).or_insert_with(|| Chosen {
            account: session.account.clone(),
            region: session.region.clone(),
            cluster: cluster.to_owned(),
            instance_id: id,
            container_instances: Vec::new(),
        });
        chosen.container_instances.push(one);
    }
}

/// Returns true if a container instance meets the condition, and `None` if the property is not
/// known.
fn picks(pick: &Pick, view: &ContainerInstanceView, now: Timestamp) -> Option<bool> {
    match pick {
        Pick::All => Some(true),
        Pick::Ami(old) => view.attributes.get(AMI).map(|ami| ami == old),
        Pick::OlderThan(age) => {
            let age = SignedDuration::try_from(*age).unwrap_or(SignedDuration::MAX);
            view.registered_at.map(|at| now.duration_since(at) >= age)
        }
        Pick::AgentNot(version) => view.agent_version.as_ref().map(|of| of != version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::now;

    #[test]
    fn instances_are_picked_by_ami_age_or_agent() {
        let view = ContainerInstanceView {
            arn: String::new(),
            ec2_instance_id: None,
            status: ContainerInstanceStatus::Active,
            agent_connected: true,
            running: 0,
            pending: 0,
            attributes: BTreeMap::new(),
            agent_version: None,
            registered_at: None,
            version: 1,
        };
        let ami = |image: Option<&str>| {
            let attributes = image.map(|image| (AMI.to_owned(), image.to_owned()));
            let attributes = attributes.into_iter().collect();
            let view = ContainerInstanceView { attributes, ..view.clone() };
            picks(&Pick::Ami("ami-1".to_owned()), &view, now())
        };
        assert_eq!(
            [ami(Some("ami-1")), ami(Some("ami-11")), ami(None)],
            [Some(true), Some(false), None]
        );
        let day = Duration::from_secs(86_400);
        let age = |hours: i64| {
            let registered = now() - SignedDuration::from_hours(hours);
            let view = ContainerInstanceView { registered_at: Some(registered), ..view.clone() };
            picks(&Pick::OlderThan(30 * day), &view, now())
        };
        assert_eq!(
            [age(719), age(720), age(721), age(-1)],
            [Some(false), Some(true), Some(true), Some(false)]
        );
        let agent = |version: Option<&str>| {
            let agent_version = version.map(str::to_owned);
            let view = ContainerInstanceView { agent_version, ..view.clone() };
            picks(&Pick::AgentNot("1.90.0".to_owned()), &view, now())
        };
        assert_eq!(
            [agent(Some("1.90.0")), agent(Some("1.89.1")), agent(None)],
            [Some(false), Some(true), None]
        );
        assert_eq!(picks(&Pick::OlderThan(day), &view, now()), None);
        assert_eq!(picks(&Pick::All, &view, now()), Some(true));
    }
}
