//! Requests that people may make, as the keys of the items that they may write.
//!
//! A request's key has the verb and the cluster
//! (`request/CONTROLLER/VERB/ACCOUNT/REGION/CLUSTER/ID`), a pause's only the cluster
//! (`pause/CONTROLLER/ACCOUNT/REGION/CLUSTER`). A cluster is paused by writing the item, and
//! resumed by deleting it. No key contains the end of a
//! `drain` (`--then`). A request about a rollout has the rollout's name in the cluster's place, so
//! that rollouts cannot be limited to clusters.
//!
//! IAM's `*` matches slashes too. That gives no further rights: a request whose parts contain
//! slashes is refused, and a pause of such a cluster pauses nothing.

use super::Need;
use clap::ValueEnum;
use std::collections::BTreeSet;

/// Verb of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Verb {
    /// Drain instances that no group is terminating
    Drain,
    /// Cancel a requested drain
    Cancel,
    /// Pause an instance, a cluster, or everything
    Pause,
    /// Resume paused drains
    Resume,
    /// Extend a deadline
    Extend,
    /// Retry a failed step now
    Retry,
    /// Release an instance, even with tasks running
    Force,
    /// Start, pause, resume and end rollouts
    Rollout,
}

/// Verbs of requests for one instance, whose keys have its cluster.
const OF_INSTANCES: [Verb; 7] =
    [Verb::Drain, Verb::Cancel, Verb::Pause, Verb::Resume, Verb::Extend, Verb::Retry, Verb::Force];

impl Verb {
    /// Returns its name in keys.
    const fn name(self) -> &'static str {
        match self {
            Verb::Drain => "drain",
            Verb::Cancel => "cancel",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Extend => "extend",
            Verb::Retry => "retry",
            Verb::Force => "force",
            Verb::Rollout => "rollout-*",
        }
    }
}

/// Requests that people may make; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct May {
    /// Verbs; empty for all.
    pub verbs: BTreeSet<Verb>,
    /// Names or patterns of the clusters; empty for all, and for everything at once. With clusters
    /// no rollout is allowed.
    pub clusters: Vec<String>,
}

impl May {
    fn may(&self, verb: Verb) -> bool {
        let limited = verb == Verb::Rollout && !self.clusters.is_empty();
        !limited && (self.verbs.is_empty() || self.verbs.contains(&verb))
    }

    /// Returns the features besides the table that they need.
    pub(super) fn needs(&self) -> BTreeSet<Need> {
        let rollout = self.may(Verb::Rollout);
        let instances = self.may(Verb::Drain) || rollout;
        let names = instances || self.may(Verb::Pause);
        let names = names.then_some([Need::Clusters, Need::Role]).into_iter().flatten();
        let instances = instances.then_some(Need::Instances);
        names.chain(instances).chain(rollout.then_some(Need::Groups)).collect()
    }

    /// Returns the keys of the items that they may write.
    pub(super) fn asked(&self, controller: &str) -> Vec<String> {
        let mut keys = Vec::new();
        match (self.clusters.as_slice(), self.verbs.is_empty()) {
            ([], true) => keys.push(format!("request/{controller}/*")),
            ([], false) => {
                let of = |verb: &Verb| format!("request/{controller}/{}/*", verb.name());
                keys.extend(self.verbs.iter().map(of));
            }
            // A `*` for the verb would match rollouts, with the cluster's name as theirs.
            (clusters, _) => {
                for verb in OF_INSTANCES.into_iter().filter(|verb| self.may(*verb)) {
                    let verb = verb.name();
                    let of =
                        |cluster: &String| format!("request/{controller}/{verb}/*/*/{cluster}/*");
                    keys.extend(clusters.iter().map(of));
                }
            }
        }
        if self.may(Verb::Pause) {
            keys.extend(self.pauses(controller));
        }
        keys
    }

    /// Returns the keys of the pauses that they may delete.
    pub(super) fn resumed(&self, controller: &str) -> Vec<String> {
        if self.may(Verb::Resume) { self.pauses(controller) } else { Vec::new() }
    }

    fn pauses(&self, controller: &str) -> Vec<String> {
        match self.clusters.as_slice() {
            [] => vec![format!("pause/{controller}/*")],
            clusters => {
                clusters.iter().map(|cluster| format!("pause/{controller}/*/*/{cluster}")).collect()
            }
        }
    }
}
