//! `ecs-drain pause` and `resume`, for an incident. A request pauses the drain of an instance. A
//! pause of a cluster, of an account and region, or of everything is an item of its own in the
//! table, which can be written while no controller runs.

use crate::aws::{self, Environment};
use crate::cli::asking::{AskArgs, Desk};
use crate::cli::options::Flags;
use crate::cli::orders::each;
use crate::cli::{Failure, Global};
use crate::config::{Patterns, Scope};
use crate::quote::{chain, plain, word};
use crate::store::pauses::{EVERYTHING, Pauses, is_place, place};
use clap::{ArgGroup, Args};
use ecs_drain_state::{Order, What};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::io::Write;

const PAUSE: &str = "\
Examples:
  ecs-drain pause i-0123456789abcdef0 --reason 'looking at its disk'
  ecs-drain pause --cluster web --reason 'incident 4711'
  ecs-drain pause --cluster 123456789012/eu-west-1/web    without a configuration
  ecs-drain pause --cluster '123456789012/eu-west-1/*'    all of an account and region
  ecs-drain pause --everything --reason 'incident 4711'

Heartbeats continue, so that no instance is lost; everything else stops, for drains that are under way
and for new ones, until `ecs-drain resume` with the same words. An accepted completion is not called
back, and the hook's global timeout (48 hours or 100 heartbeat timeouts) stays.";

const RESUME: &str = "\
Examples:
  ecs-drain resume i-0123456789abcdef0
  ecs-drain resume --cluster web
  ecs-drain resume --everything

Each pause is separate: an instance that is paused by its id stays paused when its cluster is resumed.";

#[derive(Debug, Args)]
#[command(after_help = PAUSE)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = RESUME)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `pause` and `resume`: instances, clusters, or everything.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).args(["instances", "cluster", "everything"]))]
pub(crate) struct PlaceArgs {
    /// EC2 instance ids, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,
    /// All drains of a cluster: a name, a pattern such as 'web-*', ACCOUNT/REGION/CLUSTER, or
    /// ACCOUNT/REGION/*
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Vec<String>,
    /// All drains of the controller
    #[arg(long)]
    pub everything: bool,
    /// Reason, shown with the pause
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Pauses instances, clusters, or everything.
///
/// # Errors
/// Returns an error if a pause cannot be written, or a request cannot be made, is refused, or is
/// not answered.
pub(crate) async fn pause(
    args: &PauseArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let args = &args.place;
    // All names are checked before the first pause is written.
    let mut places = if args.everything { vec![EVERYTHING.to_owned()] } else { Vec::new() };
    for cluster in &args.cluster {
        places.extend(clusters(cluster, args, global).await?);
    }
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    if places.is_empty() {
        return each(&desk, &args.instances, |_| What::Pause, out).await.map(drop);
    }
    let order = Order { by: desk.by.clone(), reason: desk.reason.clone(), at: Timestamp::now() };
    for place in places {
        desk.store.set_pause(&place, Some(&order)).await?;
        let place = plain(&called(&place));
        writeln!(out, "{place} is paused; heartbeats continue")?;
    }
    Ok(())
}

/// Resumes instances, clusters, or everything.
///
/// # Errors
/// Returns an error if a cluster is not paused, a pause cannot be deleted, or a request cannot be
/// made, is refused, or is not answered.
pub(crate) async fn resume(
    args: &ResumeArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let args = &args.place;
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    if args.everything {
        desk.store.set_pause(EVERYTHING, None).await?;
        writeln!(out, "{} is resumed", called(EVERYTHING))?;
    }
    for place in paused(&desk.store.pauses().await?, &args.cluster)? {
        desk.store.set_pause(&place, None).await?;
        writeln!(out, "{} is resumed", plain(&called(&place)))?;
    }
    for (place, order) in &desk.store.pauses().await?.places {
        writeln!(out, "{}", plain(&format!("still paused: {}, by {order}", called(place))))?;
    }
    if args.instances.is_empty() {
        Ok(())
    } else {
        each(&desk, &args.instances, |_| What::Resume, out).await.map(drop)
    }
}

/// Returns the words for a place in a sentence.
pub(super) fn called(place: &str) -> String {
    match (place, place.strip_suffix("/*")) {
        (EVERYTHING, _) => "everything".to_owned(),
        (_, Some(scope)) => format!("all of {scope}"),
        (cluster, None) => format!("cluster {cluster}"),
    }
}

/// Returns the command that ends the pause of a place.
pub(super) fn resumed_by(place: &str, flags: &Flags) -> String {
    let which = match place {
        EVERYTHING => "--everything".to_owned(),
        cluster => format!("--cluster {}", word(cluster)),
    };
    format!("ecs-drain resume {which}{}", flags.0)
}

/// Returns the paused places that the names match.
fn paused(pauses: &Pauses, wanted: &[String]) -> Result<BTreeSet<String>, Failure> {
    let mut places = BTreeSet::new();
    for name in wanted {
        let pattern = Patterns::new(vec![name.clone()]);
        let is_meant = |place: &&String| {
            *place == name || place.splitn(3, '/').nth(2).is_some_and(|c| pattern.matches(c))
        };
        let found: Vec<&String> = pauses.places.keys().filter(is_meant).collect();
        if found.is_empty() {
            let all: Vec<String> = pauses.places.keys().map(|place| called(place)).collect();
            let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
            let why = format!("cluster {name} is not paused; paused as a whole: {all}");
            return Err(Failure::failed(plain(&why)));
        }
        places.extend(found.into_iter().cloned());
    }
    Ok(places)
}

/// Returns the places that a cluster's name or pattern matches.
async fn clusters(name: &str, args: &PlaceArgs, global: &Global) -> Result<Vec<String>, Failure> {
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() == 3 && is_place(name) {
        return Ok(vec![name.to_owned()]);
    }
    if parts.len() != 1 || name.is_empty() {
        return Err(Failure::usage(format!(
            "{name:?} is not a cluster: use NAME, ACCOUNT/REGION/CLUSTER or ACCOUNT/REGION/*"
        )));
    }
    if global.source().is_none() {
        return Err(Failure::usage(format!(
            "cluster {name} is looked up in the configuration's scopes, and no configuration is given: pass --config, or use ACCOUNT/REGION/{name}"
        )));
    }
    let config = global.load(&args.ask.table.given())?;
    let wanted = Patterns::new(vec![name.to_owned()]);
    let mut places = BTreeSet::new();
    let mut unread = Vec::new();
    for scope in &config.scopes {
        match found(scope, &wanted).await {
            Ok(found) => places.extend(found),
            // A region that cannot be read must not prevent a pause in the others.
            Err(error) => {
                unread.push(format!("region {}: {}", scope.region, plain(&chain(&error))))
            }
        }
    }
    if places.is_empty() {
        let unread = if unread.is_empty() {
            String::new()
        } else {
            format!(" ({} not read)", unread.join("; "))
        };
        return Err(Failure::failed(format!(
            "no scope of the configuration has a cluster {name}{unread}"
        )));
    }
    for why in unread {
        tracing::warn!("Scope left out: its clusters cannot be listed: {why}");
    }
    Ok(places.into_iter().collect())
}

/// Reads the clusters of a scope, and returns the places of those that match.
async fn found(scope: &Scope, wanted: &Patterns) -> Result<Vec<String>, aws::AwsError> {
    let session = aws::connect(&Environment::default(), &scope.region, scope.role.as_ref()).await?;
    let all = session.ecs.list_clusters().await?;
    let names = all.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn));
    let ours = names.filter(|name| wanted.matches(name) && scope.clusters.matches(name));
    Ok(ours.map(|name| place(&session.account, &session.region, name)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::samples::now;

    #[test]
    fn a_cluster_that_is_paused_is_found_by_its_name() {
        let order = Order { by: "Ada".to_owned(), reason: None, at: now() };
        let places = ["*", "1/eu/web-a", "1/eu/web-b", "2/us/*", "2/us/jobs"];
        let pauses = Pauses {
            places: places.iter().map(|place| ((*place).to_owned(), order.clone())).collect(),
        };
        let found = |name: &str| {
            paused(&pauses, &[name.to_owned()])
                .map(|found| found.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(found("web-a").unwrap(), "1/eu/web-a");
        assert_eq!(found("web-*").unwrap(), "1/eu/web-a 1/eu/web-b");
        assert_eq!(found("2/us/jobs").unwrap(), "2/us/jobs");
        assert_eq!(found("2/us/*").unwrap(), "2/us/*");
        let said = "cluster web is not paused; paused as a whole: everything, cluster 1/eu/web-a, cluster 1/eu/web-b, all of 2/us, cluster 2/us/jobs";
        assert_eq!(found("web"), Err(Failure::failed(said)));
    }
}
