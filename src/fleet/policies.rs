//! The policy of each drain: that of the configuration, and over it the tags of its group.

use super::Fleet;
use crate::config::{GroupTags, Policies};
use ecs_drain_state::{Drain, Mono, Policy};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Bad tags that a record shows.
const SHOWN: usize = 10;

/// The configured policies, and the groups' tags as they were last read.
pub(super) struct Rulebook {
    policies: Policies,
    /// Tags of ecs-drain by group. `None` until the groups were read.
    tags: RefCell<Option<BTreeMap<String, GroupTags>>>,
}

/// The policy of one drain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ruling {
    pub policy: Policy,
    /// Tags of its group that do not count; `None` if the tags were not read.
    pub bad_tags: Option<Rc<[String]>>,
}

impl Rulebook {
    pub(crate) fn new(policies: Policies) -> Rulebook {
        Rulebook { policies, tags: RefCell::default() }
    }

    /// Returns the policy for a drain in this cluster and this group. Tags that were not read yet
    /// are left out.
    pub(crate) fn ruling(&self, cluster: Option<&str>, group: Option<&str>) -> Ruling {
        let mut policy = self.policies.for_drain(cluster, group);
        let tags = self.tags.borrow();
        let Some(tags) = tags.as_ref() else { return Ruling { policy, bad_tags: None } };
        let bad = match group.and_then(|group| tags.get(group)) {
            Some(tags) => {
                tags.apply(&mut policy);
                tags.bad.iter().take(SHOWN).map(|bad| bad.text.clone()).collect()
            }
            None => Rc::default(),
        };
        Ruling { policy, bad_tags: Some(bad) }
    }
}

impl Fleet {
    /// Returns the policy for a drain in this cluster and this group (`None`: in none). Tags of
    /// the group that were not read yet are left out.
    pub(crate) fn policy(&self, cluster: Option<&str>, group: Option<&str>) -> Policy {
        self.rulebook.ruling(cluster, group).policy
    }

    /// Returns whether the policies of drains are known: no tag may change them, or the tags of
    /// every group were read.
    pub(crate) fn knows_policies(&self) -> bool {
        self.rulebook.policies.tagged().is_empty() || self.rulebook.tags.borrow().is_some()
    }

    /// Takes over the tags of every group. `selection` are tags that select groups. Returns the
    /// groups whose tags that do not count have changed, with these tags.
    ///
    /// A drain whose policy changes loses its facts, as it does if the process restarts with
    /// another configuration: they were collected by the rules of the old policy.
    pub(crate) fn take_tags<'g>(
        &self,
        groups: impl Iterator<Item = (&'g String, &'g BTreeMap<String, String>)>,
        selection: &BTreeMap<String, Option<String>>,
        now: Mono,
    ) -> Vec<(String, Vec<String>)> {
        let listed = self.rulebook.policies.tagged();
        let read: BTreeMap<String, GroupTags> = groups
            .map(|(name, tags)| (name.clone(), GroupTags::read(tags, listed, selection)))
            .filter(|(_, tags)| !tags.is_empty())
            .collect();
        if self.rulebook.tags.borrow().as_ref() == Some(&read) {
            return Vec::new();
        }
        let before = self.rulebook.tags.replace(Some(read)).unwrap_or_default();
        self.rule_again(now);
        let now = self.rulebook.tags.borrow();
        let bad = |tags: Option<&GroupTags>| -> Vec<String> {
            let tags = tags.map(|tags| tags.bad.as_slice()).unwrap_or_default();
            tags.iter().map(|bad| bad.text.clone()).collect()
        };
        let now = now.iter().flatten();
        let names: BTreeSet<&String> =
            before.keys().chain(now.clone().map(|(name, _)| name)).collect();
        let now: BTreeMap<&String, &GroupTags> = now.collect();
        let changed = names.into_iter().filter_map(|name| {
            let (before, now) = (bad(before.get(name)), bad(now.get(name).copied()));
            (before != now).then(|| (name.clone(), now))
        });
        changed.collect()
    }

    /// Gives each drain its policy anew, after tags have changed.
    fn rule_again(&self, now: Mono) {
        let mut changed = Vec::new();
        for (key, slot) in self.slots.borrow_mut().iter_mut() {
            let record = &slot.drain.record;
            let ruling = self.rulebook.ruling(record.cluster.as_deref(), record.group());
            if ruling.policy == slot.policy && ruling.bad_tags == slot.bad_tags {
                continue;
            }
            if ruling.policy != slot.policy {
                slot.drain = Drain::new(record.clone(), now);
            }
            (slot.policy, slot.bad_tags) = (ruling.policy, ruling.bad_tags);
            changed.push(key.clone());
        }
        changed.iter().for_each(|key| self.freshen(key));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Config, Given};
    use crate::fleet::tests::opened;
    use ecs_drain_state::{Answer, GroupSight, LifecycleState, Read, Record, Seen};
    use std::time::Duration;

    const GROUP: &str = "web-group";

    fn at(second: u64) -> Mono {
        Mono::at(Duration::from_secs(second))
    }

    fn policies(tags: &str) -> Policies {
        let text =
            format!("[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n[tags]\n{tags}\n");
        Config::parse(&text, "test.toml", &Given::default()).unwrap().policies
    }

    fn record() -> Record {
        Record { group: Some(GROUP.to_owned()), ..opened("i-0", "web", "arn:i-0") }
    }

    /// Creates a fleet with one drain of the group that has looked at something.
    fn fleet(tags: &str) -> Fleet {
        let fleet = Fleet::new(policies(tags));
        fleet.learn(record(), at(0));
        look(&fleet);
        fleet
    }

    fn look(fleet: &Fleet) {
        let read = Read { began: at(1), ended: at(1) };
        let sight = Seen::Yes(GroupSight::Member {
            group: GROUP.to_owned(),
            state: LifecycleState::InService,
            healthy: true,
            hook: Seen::Yes(None),
        });
        fleet.answer(&record().key(), read, Answer::Group(sight));
    }

    fn take(fleet: &Fleet, tags: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let groups = BTreeMap::from([(GROUP.to_owned(), tags.collect())]);
        fleet.take_tags(groups.iter(), &BTreeMap::new(), at(2))
    }

    /// Returns the drain's `poll`, whether its facts were kept, and its bad tags.
    fn shown(fleet: &Fleet) -> (u64, bool, Option<usize>) {
        fleet
            .with(&record().key(), |slot| {
                (
                    slot.policy.poll.as_secs(),
                    slot.drain.facts.group.shown.is_some(),
                    slot.bad_tags.as_ref().map(|bad| bad.len()),
                )
            })
            .unwrap()
    }

    #[test]
    fn the_policies_are_known_once_the_tags_that_may_change_them_were_read() {
        let fleet = fleet("groups = [\"poll\"]");
        assert!(!fleet.knows_policies());
        assert_eq!(shown(&fleet), (5, true, None));
        take(&fleet, &[]);
        assert!(fleet.knows_policies());
        assert!(Fleet::new(policies("")).knows_policies());
    }

    #[test]
    fn a_tag_that_changes_the_policy_starts_the_facts_again_and_no_other_tag_does() {
        let fleet = fleet("groups = [\"poll\"]");
        assert_eq!(take(&fleet, &[("Name", "web"), ("ecs-drain:poll", "5s")]), []);
        assert_eq!(shown(&fleet), (5, true, Some(0)));
        take(&fleet, &[("ecs-drain:poll", "9s")]);
        assert_eq!(shown(&fleet), (9, false, Some(0)));
        look(&fleet);
        take(&fleet, &[("ecs-drain:poll", "9s")]);
        assert_eq!(shown(&fleet), (9, true, Some(0)));
        // A drain that is learnt later has it too, and a group without tags has none.
        fleet.forget(&record().key());
        fleet.learn(record(), at(3));
        assert_eq!(shown(&fleet), (9, false, Some(0)));
        assert_eq!(fleet.policy(Some("web"), Some("other")).poll, Duration::from_secs(5));
        take(&fleet, &[]);
        assert_eq!(shown(&fleet), (5, false, Some(0)));
    }

    /// The log shows a bad tag once when it begins and once when it ends.
    #[test]
    fn a_bad_tag_is_reported_when_it_begins_and_when_it_ends() {
        let fleet = fleet("groups = [\"poll\"]");
        let bad = take(&fleet, &[("ecs-drain:poll", "9")]);
        assert_eq!(
            bad.iter().map(|(group, bad)| (&**group, bad.len())).collect::<Vec<_>>(),
            [(GROUP, 1)]
        );
        assert_eq!(shown(&fleet), (5, true, Some(1)));
        assert_eq!(take(&fleet, &[("ecs-drain:poll", "9")]), []);
        assert_eq!(take(&fleet, &[("ecs-drain:poll", "9s")]), [(GROUP.to_owned(), Vec::new())]);
        assert_eq!(take(&fleet, &[]), []);
    }
}
