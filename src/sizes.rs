//! Numbers that budgets need: sizes of clusters and states of services, with the times of their
//! reads. They are read when a drain in the queue needs them.

use ecs_drain_state::Mono;
use ecs_drain_state::budget::ServiceState;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time after which the size of a cluster is read again. The old one is used meanwhile.
const CLUSTER_LASTS: Duration = Duration::from_secs(60);

/// Time after which a failed read is repeated.
const AGAIN: Duration = Duration::from_secs(30);

/// Time after which the state of a service is read again.
const SERVICE_LASTS: Duration = Duration::from_secs(20);

/// Age at which the state of a service is no longer used: it may have changed since.
const SERVICE_TOO_OLD: Duration = Duration::from_secs(60);

/// Names of a cluster and a service.
type Service = (String, String);

/// A number that must be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    Cluster(String),
    /// Names of the cluster and of the service.
    Service(String, String),
}

/// Time of the next read, and the last answer with the time of its read.
type Known = (Mono, Option<(Mono, ServiceState)>);

/// Answers, and the numbers that must be read.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// Number of container instances of each cluster, and the time of the next read.
    clusters: RefCell<BTreeMap<String, (Mono, Option<u32>)>>,
    /// State of each service.
    services: RefCell<BTreeMap<Service, Known>>,
    /// Tags of services that do not count, each with its mistake.
    bad_tags: RefCell<BTreeMap<Service, String>>,
    wanted: RefCell<BTreeSet<Wanted>>,
}

impl Sizes {
    /// Returns the number of a cluster's container instances, if it was ever read. Requests a read
    /// if one is due.
    pub(crate) fn cluster(&self, cluster: &str, now: Mono) -> Option<u32> {
        let known = self.clusters.borrow().get(cluster).copied();
        if known.is_none_or(|(next, _)| now >= next) {
            self.wanted.borrow_mut().insert(Wanted::Cluster(cluster.to_owned()));
        }
        known?.1
    }

    /// Returns the state of a service, if it was read a moment ago. Requests a read if one is due.
    pub(crate) fn service(&self, cluster: &str, service: &str, now: Mono) -> Option<ServiceState> {
        let key = (cluster.to_owned(), service.to_owned());
        let known = self.services.borrow().get(&key).copied();
        if known.is_none_or(|(next, _)| now >= next) {
            self.wanted.borrow_mut().insert(Wanted::Service(key.0, key.1));
        }
        let (read, state) = known?.1?;
        (now.since(read) < SERVICE_TOO_OLD).then_some(state)
    }

    /// Returns whether something must be read.
    pub(crate) fn is_wanting(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    /// Takes the numbers that must be read: clusters, and names of services by cluster.
    pub(crate) fn take_wanted(&self) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
        let (mut clusters, mut services) = (Vec::new(), BTreeMap::new());
        for wanted in std::mem::take(&mut *self.wanted.borrow_mut()) {
            match wanted {
                Wanted::Cluster(cluster) => clusters.push(cluster),
                Wanted::Service(cluster, service) => {
                    services.entry(cluster).or_insert_with(Vec::new).push(service);
                }
            }
        }
        (clusters, services)
    }

    /// Takes over the size of a cluster, `None` if its read failed: the last one stays.
    pub(crate) fn learn_cluster(&self, cluster: &str, read: Mono, size: Option<u32>) {
        let mut clusters = self.clusters.borrow_mut();
        let known = clusters.entry(cluster.to_owned()).or_insert((Mono::START, None));
        known.0 = read + if size.is_some() { CLUSTER_LASTS } else { AGAIN };
        known.1 = size.or(known.1);
    }

    /// Takes over the state of a service, `None` if its read failed: the last one stays until it is
    /// too old.
    pub(crate) fn learn_service(
        &self,
        cluster: &str,
        service: &str,
        read: Mono,
        state: Option<ServiceState>,
    ) {
        let mut services = self.services.borrow_mut();
        let key = (cluster.to_owned(), service.to_owned());
        let known = services.entry(key).or_insert((Mono::START, None));
        known.0 = read + SERVICE_LASTS;
        known.1 = state.map(|state| (read, state)).or(known.1);
    }

    /// Takes over the mistake in a service's tag, `None` if there is none. Returns whether that is
    /// new.
    pub(crate) fn learn_bad_tag(&self, cluster: &str, service: &str, bad: Option<&str>) -> bool {
        let key = (cluster.to_owned(), service.to_owned());
        let mut bad_tags = self.bad_tags.borrow_mut();
        let before = match bad {
            Some(bad) => bad_tags.insert(key, bad.to_owned()),
            None => bad_tags.remove(&key),
        };
        before.as_deref() != bad
    }

    /// Returns the mistake in a service's tag.
    pub(crate) fn bad_tag(&self, cluster: &str, service: &str) -> Option<String> {
        self.bad_tags.borrow().get(&(cluster.to_owned(), service.to_owned())).cloned()
    }

    /// Forgets clusters without drains, and their services.
    pub(crate) fn retain(&self, drains_in: impl Fn(&str) -> bool) {
        self.clusters.borrow_mut().retain(|cluster, _| drains_in(cluster));
        self.services.borrow_mut().retain(|(cluster, _), _| drains_in(cluster));
        self.bad_tags.borrow_mut().retain(|(cluster, _), _| drains_in(cluster));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: u64) -> Mono {
        Mono::at(Duration::from_secs(second))
    }

    /// The last size of a cluster is used while it is read again. The state of a service is not
    /// used for long, because a drain may begin by it.
    #[test]
    fn an_old_size_is_used_and_an_old_state_is_not() {
        let sizes = Sizes::default();
        assert_eq!(sizes.cluster("web", at(0)), None);
        assert_eq!(sizes.service("web", "shop", at(0)), None);
        let wanted = (vec!["web".to_owned()], [("web".to_owned(), vec!["shop".to_owned()])].into());
        assert_eq!(sizes.take_wanted(), wanted);
        let state = ServiceState { desired: 4, running: 4, deploys: false, kept: None };
        sizes.learn_cluster("web", at(0), Some(7));
        sizes.learn_service("web", "shop", at(0), Some(state));
        assert_eq!(sizes.cluster("web", at(59)), Some(7));
        assert_eq!(sizes.service("web", "shop", at(19)), Some(state));
        assert!(!sizes.is_wanting());
        assert_eq!(sizes.cluster("web", at(3600)), Some(7));
        assert_eq!(sizes.service("web", "shop", at(59)), Some(state));
        assert_eq!(sizes.take_wanted(), wanted);
        sizes.learn_cluster("web", at(60), None);
        sizes.learn_service("web", "shop", at(60), None);
        assert_eq!(sizes.cluster("web", at(61)), Some(7));
        assert_eq!(sizes.service("web", "shop", at(61)), None);
        assert!(!sizes.is_wanting(), "a failed read is repeated after a while");
    }
}
