//! Which instances a `drain` means: named ones, or those of clusters by pattern, image or age.
//! Reads ECS, changes nothing.

use crate::aws::{self, ContainerInstanceView, Environment, Session};
use crate::cli::Failure;
use crate::config::{Config, Patterns, Scope};
use crate::reader;
use ecs_drain_state::{ContainerInstance, ContainerInstanceStatus};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// The attribute of a container instance that names its image. (Source: ECS developer guide,
/// container instance attributes.)
const AMI: &str = "ecs.ami-id";

/// What a person means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These EC2 instances, wherever they are.
    Instances(Vec<String>),
    /// Instances of these clusters.
    Clusters(Patterns, Pick),
}

/// Which instances of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Every one that is `ACTIVE`.
    All,
    /// Those with this image.
    Ami(String),
    /// Those that registered so long ago, or longer.
    OlderThan(Duration),
}

/// An instance that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// AWS account.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// Name of its cluster; of the first one, if it is in several.
    pub cluster: String,
    /// EC2 instance id.
    pub instance_id: String,
    /// Its container instances.
    pub container_instances: Vec<ContainerInstance>,
}

/// What was chosen, and of how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The instances, by account, region and id.
    pub chosen: BTreeMap<(String, String, String), Chosen>,
    /// How many `ACTIVE` container instances each cluster has, by account, region and name; empty
    /// where instances were named.
    pub sizes: BTreeMap<(String, String, String), usize>,
    /// How many could not be judged, since they do not say their image or when they registered.
    pub unjudged: usize,
    /// Number of `ACTIVE` container instances of each AMI, in the clusters that were read.
    pub amis: BTreeMap<String, usize>,
    /// Named instances that are in no cluster.
    pub nowhere: Vec<String>,
}

/// Finds what is meant in every scope of the configuration.
///
/// # Errors
/// Something could not be read: a part is never taken for the whole. Named instances are the whole
/// as soon as each is found.
pub async fn select(
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
            (Err(error), Wanted::Clusters(..)) => return Err(Failure::because(&error)),
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
        let described =
            session.ecs.describe_container_instances(cluster, &arns).await.map_err(because)?;
        if let Some((arn, reason)) = described.failed.first() {
            return Err(Failure::failed(format!(
                "ecs:DescribeContainerInstances on {arn}: {reason}"
            )));
        }
        take(session, cluster, described.found, pick, now, selection);
    }
    Ok(())
}

/// Takes what is meant of one cluster's container instances.
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
        // ECS Anywhere registers machines that no Auto Scaling group has, as mi-…
        let Some(id) = view.ec2_instance_id.clone().filter(|id| id.starts_with("i-")) else {
            continue;
        };
        *selection.sizes.entry(place(cluster)).or_default() += 1;
        if let Some(ami) = view.attributes.get(AMI) {
            *selection.amis.entry(ami.clone()).or_default() += 1;
        }
        match picks(pick, view.attributes.get(AMI).map(String::as_str), view.registered_at, now) {
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

/// Whether a container instance with this image, registered then, is meant. None: it does not say.
fn picks(
    pick: &Pick,
    ami: Option<&str>,
    registered_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<bool> {
    match pick {
        Pick::All => Some(true),
        Pick::Ami(old) => ami.map(|ami| ami == old),
        Pick::OlderThan(age) => {
            let age = SignedDuration::try_from(*age).unwrap_or(SignedDuration::MAX);
            registered_at.map(|at| now.duration_since(at) >= age)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::now;

    #[test]
    fn by_image_and_by_age() {
        let ami = |image: Option<&str>| picks(&Pick::Ami("ami-1".to_owned()), image, None, now());
        assert_eq!(
            [ami(Some("ami-1")), ami(Some("ami-11")), ami(None)],
            [Some(true), Some(false), None]
        );
        let day = Duration::from_secs(86_400);
        let age = |hours: i64| {
            let registered = now() - SignedDuration::from_hours(hours);
            picks(&Pick::OlderThan(30 * day), None, Some(registered), now())
        };
        assert_eq!(
            [age(719), age(720), age(721), age(-1)],
            [Some(false), Some(true), Some(true), Some(false)]
        );
        assert_eq!(picks(&Pick::OlderThan(day), None, None, now()), None);
        assert_eq!(picks(&Pick::All, None, None, now()), Some(true));
    }
}
