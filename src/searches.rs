//! Searches for instances that have no drain yet: the needed ones, the newest answers, and statuses
//! that the searches showed.

use ecs_drain_state::needs::Class;
use ecs_drain_state::sight::id;
use ecs_drain_state::{ContainerInstance, ContainerInstanceSight, Mono, Read};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::Notify;

/// Time for which a status from a search is kept for a drain that begins.
const YOUNG: Duration = Duration::from_secs(300);

/// Result of a search for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Time of the search.
    pub read: Read,
    /// Clusters that could not be read.
    pub unread: Vec<String>,
    /// Every container instance of it in the other clusters.
    pub found: Vec<ContainerInstance>,
}

impl Found {
    /// Returns whether this answers a search that was requested at `since`. Absence needs complete
    /// reads that began since. Presence is also valid from an earlier search: a search of hundreds
    /// of clusters takes longer than a message waits for it.
    pub(crate) fn tells_since(&self, since: Mono) -> bool {
        let is_there = !self.found.is_empty() && self.read.ended >= since;
        is_there || self.unread.is_empty() && self.read.began >= since
    }
}

/// Delay before an instance that was not found is searched again, if a cluster could not be read.
const UNREAD_AGAIN: Duration = Duration::from_secs(15);

/// Searches for instances that have no drain yet, and the newest answers.
#[derive(Default)]
pub(crate) struct Searches {
    /// Earliest start of each search, and its due time.
    wanted: RefCell<BTreeMap<String, (Mono, Mono)>>,
    found: RefCell<BTreeMap<String, Found>>,
    /// Statuses of container instances from searches, by the id in the ARN, for a short time.
    sights: RefCell<BTreeMap<String, (Read, ContainerInstanceSight)>>,
    /// Instances that are being searched for.
    under_way: RefCell<BTreeSet<String>>,
    /// Reason why the last search of every cluster was incomplete, or `None` if it was complete.
    pub failed: RefCell<Option<String>>,
    /// Notified when a search is requested.
    pub bell: Notify,
    /// Notified when a search has ended.
    pub answered: Notify,
}

impl Searches {
    /// Requests a search that begins at `since` or later. A spot instance terminates two minutes
    /// after its warning, so the search for it goes before everything, however long that has
    /// waited.
    pub(crate) fn want(&self, instance_id: &str, since: Mono, class: Class) {
        let is_asked = self.wanted.borrow().contains_key(instance_id) || class == Class::Spot;
        let in_vain =
            |found: &&Found| found.found.is_empty() && !found.unread.is_empty() && !is_asked;
        let rests = self
            .found
            .borrow()
            .get(instance_id)
            .filter(in_vain)
            .map(|found| found.read.ended + UNREAD_AGAIN);
        let since = rests.map_or(since, |rests| rests.max(since));
        if self.found.borrow().get(instance_id).is_none_or(|found| found.read.began < since) {
            let due = if class == Class::Spot { Mono::START } else { since + class.patience() };
            let mut wanted = self.wanted.borrow_mut();
            let due = wanted.get(instance_id).map_or(due, |(_, known)| due.min(*known));
            wanted.insert(instance_id.to_owned(), (since, due));
            self.bell.notify_waiters();
        }
    }

    /// Returns whether a search for this instance is requested or under way.
    pub(crate) fn is_wanted(&self, instance_id: &str) -> bool {
        self.wanted.borrow().contains_key(instance_id)
            || self.under_way.borrow().contains(instance_id)
    }

    /// Returns whether no search is requested or under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.borrow().is_empty() && self.under_way.borrow().is_empty()
    }

    /// Requests a failed search again from `since` on, unless it is requested already. It keeps its
    /// urgency.
    pub(crate) fn put_back(&self, instance_id: &str, since: Mono, due: Mono) {
        self.under_way.borrow_mut().remove(instance_id);
        let mut wanted = self.wanted.borrow_mut();
        let (_, known) = wanted.entry(instance_id.to_owned()).or_insert((since, due));
        *known = due.min(*known);
    }

    /// Takes over the result of a search.
    pub(crate) fn answer(&self, instance_id: String, found: Found) {
        self.under_way.borrow_mut().remove(&instance_id);
        self.found.borrow_mut().insert(instance_id, found);
    }

    /// Takes over the statuses of container instances that a search showed.
    pub(crate) fn saw(
        &self,
        read: Read,
        some: impl IntoIterator<Item = (String, ContainerInstanceSight)>,
    ) {
        let mut sights = self.sights.borrow_mut();
        sights.retain(|_, (of, _)| read.ended.since(of.ended) < YOUNG);
        sights.extend(some.into_iter().map(|(arn, sight)| (id(&arn).to_owned(), (read, sight))));
    }

    /// Removes and returns the status of a container instance. It serves as the first status of its
    /// drain, which saves a read.
    pub(crate) fn take_sight(
        &self,
        arn: &str,
        now: Mono,
    ) -> Option<(Read, ContainerInstanceSight)> {
        self.sights.borrow_mut().remove(id(arn)).filter(|(read, _)| now.since(read.ended) < YOUNG)
    }

    /// Returns the newest result for an instance.
    pub(crate) fn get(&self, instance_id: &str) -> Option<Found> {
        self.found.borrow().get(instance_id).cloned()
    }

    /// Forgets an instance whose drain is done, or whose result is no longer needed.
    pub(crate) fn forget(&self, instance_id: &str) {
        self.wanted.borrow_mut().remove(instance_id);
        self.found.borrow_mut().remove(instance_id);
    }

    /// Forgets every instance but these.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.found.borrow_mut().retain(|id, _| keep(id));
    }

    /// Takes the instances that must be searched for now, each with its due time.
    pub(crate) fn take_due(&self, now: Mono) -> Vec<(String, Mono)> {
        let mut wanted = self.wanted.borrow_mut();
        let taken: Vec<_> = wanted.extract_if(.., |_, (since, _)| *since <= now).collect();
        self.under_way.borrow_mut().extend(taken.iter().map(|(id, _)| id.clone()));
        taken.into_iter().map(|(id, (_, due))| (id, due)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_from_a_search_is_used_once_and_while_it_is_young() {
        let read = |second: u64| {
            let began = Mono::at(Duration::from_secs(second));
            Read { began, ended: began }
        };
        let saw = |searches: &Searches, second: u64, arn: &str| {
            searches.saw(read(second), [(arn.to_owned(), ContainerInstanceSight::MISSING)]);
        };
        let searches = Searches::default();
        saw(&searches, 10, "a");
        saw(&searches, 200, "b");
        assert_eq!(
            searches.take_sight("a", read(205).ended),
            Some((read(10), ContainerInstanceSight::MISSING))
        );
        assert_eq!(searches.take_sight("a", read(205).ended), None);
        saw(&searches, 600, "c");
        assert_eq!(
            searches.take_sight("b", read(600).ended),
            None,
            "an instance that nobody drains is forgotten"
        );
        assert!(searches.take_sight("c", read(600).ended).is_some());
    }

    fn container_instance(arn: &str) -> ContainerInstance {
        ContainerInstance {
            cluster: "web".to_owned(),
            arn: arn.to_owned(),
            draining_is_ours: false,
            deregistered_at: None,
            drained_for_seconds: 0,
            gone_for_seconds: 0,
        }
    }

    #[test]
    fn a_search_that_began_before_tells_where_an_instance_is_and_not_that_it_is_nowhere() {
        let found = |began: u64, ended: u64, unread: &[&str], arns: &[&str]| Found {
            read: Read { began: at(began), ended: at(ended) },
            unread: unread.iter().map(|name| (*name).to_owned()).collect(),
            found: arns.iter().map(|arn| container_instance(arn)).collect(),
        };
        for (search, tells) in [
            (found(10, 20, &[], &["c1"]), false),
            (found(10, 120, &["dev"], &["c1"]), true),
            (found(10, 120, &[], &[]), false),
            (found(100, 120, &[], &[]), true),
            (found(100, 120, &["dev"], &[]), false),
        ] {
            assert_eq!(search.tells_since(at(100)), tells, "{search:?}");
        }
    }

    fn at(second: u64) -> Mono {
        Mono::at(Duration::from_secs(second))
    }

    fn due(searches: &Searches, now: u64) -> Vec<(String, Mono)> {
        searches.take_due(at(now))
    }

    /// A read that can end a drain counts as having waited ten minutes more.
    #[test]
    fn a_spot_search_goes_before_what_has_waited_for_ten_minutes() {
        let last = at(5000).before(Duration::from_secs(1200));
        let searches = Searches::default();
        searches.want("i-plain", at(5000), Class::Begin);
        searches.want("i-spot", at(5000), Class::Begin);
        searches.want("i-spot", at(5000), Class::Spot);
        let taken = due(&searches, 5000);
        assert_eq!(taken, [("i-plain".to_owned(), at(5180)), ("i-spot".to_owned(), Mono::START)]);
        assert!(taken.iter().any(|(_, due)| *due < last));
    }

    /// Otherwise a cluster that is denied would be read with all others, one round after the other.
    #[test]
    fn what_was_found_nowhere_while_a_cluster_could_not_be_read_is_searched_for_again_a_moment_later()
     {
        let found = |unread: &[&str]| Found {
            read: Read { began: at(100), ended: at(110) },
            unread: unread.iter().map(|&cluster| cluster.to_owned()).collect(),
            found: Vec::new(),
        };
        let searches = Searches::default();
        for (unread, class, from) in [
            (&["denied"][..], Class::Begin, 125),
            (&["denied"][..], Class::Spot, 110),
            (&[][..], Class::Begin, 110),
        ] {
            searches.answer("i-1".to_owned(), found(unread));
            searches.want("i-1", at(110), class);
            assert!(due(&searches, from - 1).is_empty(), "{unread:?}, {class:?}");
            assert_eq!(due(&searches, from).len(), 1, "{unread:?}, {class:?}");
        }
    }

    #[test]
    fn a_search_that_is_put_back_is_as_urgent_as_it_was() {
        let searches = Searches::default();
        searches.want("i-spot", at(5000), Class::Spot);
        assert_eq!(due(&searches, 5000), [("i-spot".to_owned(), Mono::START)]);
        searches.put_back("i-spot", at(5006), Mono::START);
        assert!(due(&searches, 5000).is_empty());
        assert!(searches.is_wanted("i-spot"));
        assert_eq!(due(&searches, 5006), [("i-spot".to_owned(), Mono::START)]);
        // A later request can wait, but the earlier one's urgency stays.
        searches.want("i-spot", at(5007), Class::Begin);
        searches.put_back("i-spot", at(5013), Mono::START);
        assert_eq!(due(&searches, 5007), [("i-spot".to_owned(), Mono::START)]);
    }
}
