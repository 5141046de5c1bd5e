//! The proof that everything is gone, or the evidence that is missing for it.
//!
//! The proof depends on record, facts, policy and now, and on nothing else. A thing that a read
//! showed to be there counts from the read's end; a thing that a read showed absent counts from the
//! read's beginning. Each read may lag behind the truth by up to [`Policy::read_lag`], and by an
//! amount of its own.
//!
//! docs/decisions/0016 lists the conditions, 1 to 6. `clear` first checks by the last reads that
//! nothing is left (1, 3 and 4). The functions below find the missing evidence; each names the
//! number of its condition.

use crate::decide::clear::{Remains, clear};
use crate::facts::{Facts, InstanceFacts, Kind, TargetFacts};
use crate::needs::{Class, Needs};
use crate::policy::Policy;
use crate::record::Record;
use crate::time::{Mono, Now};
use crate::why::Why;
use std::time::Duration;

/// Maximum age of a container instance's status when a call is sent.
pub const STATUS_LASTS: Duration = Duration::from_secs(10);

/// Maximum age of the list of tasks wanted `STOPPED` when a call is sent, if the container instance
/// has changed since.
pub const LISTS_LAST: Duration = Duration::from_secs(60);

/// Maximum age of the same list if the container instance's version is unchanged, so that nothing
/// was placed, started or stopped since. Also the maximum age of a search while an agent is
/// disconnected, unless twice the duration of the search is longer.
pub const UNCHANGED_LASTS: Duration = Duration::from_secs(5 * 60);

/// Maximum age of the last read of a target when a call is sent.
pub const TARGETS_LAST: Duration = Duration::from_secs(5 * 60);

/// Result of judging the evidence.
#[derive(Clone, Debug, PartialEq)]
// Created once for each decision, and never kept.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Verdict {
    /// Everything is gone, by evidence that is valid now.
    Proved,
    /// Nothing is seen left, but evidence is missing: the reason, the shortest time until it can be
    /// there, and the reads that are needed.
    Missing(Why, Duration, Needs),
    /// Something is left, or not known.
    Remains(Remains),
}

/// Judges the evidence as it is now.
pub(crate) fn judge(record: &Record, facts: &Facts, policy: &Policy, now: Now) -> Verdict {
    if let Err(remains) = clear(record, facts, policy, now) {
        return Verdict::Remains(remains);
    }
    let proof = Proof { record, facts, policy, now: now.mono };
    // Slow evidence first; then evidence that must be fresh at the call, so no read is in vain.
    let lasting =
        [proof.settled(), proof.listed(), proof.unrouted(), proof.alone(), proof.searched_once()];
    let looked = [proof.unrouted_lately()];
    let young = [proof.listed_lately(), proof.searched_lately()];
    let last = [proof.still_so(), proof.counted()];
    let stages = [
        (&lasting[..], Class::Finish),
        (&looked, Class::Last),
        (&young, Class::Last),
        (&last, Class::Last),
    ];
    for (stage, class) in stages {
        let mut gaps = stage.iter().flatten();
        if let Some(first) = gaps.next() {
            let needs = gaps.fold(first.needs, |needs, gap| needs.and(gap.needs)).at_least(class);
            return Verdict::Missing(first.why.clone(), first.left, needs);
        }
    }
    Verdict::Proved
}

/// Returns the reads that can be made while something is still left, so that the proof does not
/// wait for them at the end.
pub(crate) fn ahead(record: &Record, facts: &Facts, policy: &Policy, now: Mono) -> Needs {
    let proof = Proof { record, facts, policy, now };
    let mut needs = Needs::default();
    for (index, one) in proof.listable() {
        if let (Some(_), None, false) = (one.closed, one.running, proof.is_list_in_vain(one)) {
            // If tasks of the container instance will run for long, its list can wait for those
            // that end soon.
            let class = if facts.may_run(index, policy) { Class::Later } else { Class::Show };
            needs.want(Kind::Running, one.list_from + policy.read_lag, class);
        }
    }
    if facts.instances.iter().all(|one| one.closed.is_some())
        && let Some(gap) = proof.alone()
    {
        for (kind, need) in gap.needs.iter() {
            needs.want(kind, need.from, Class::Show);
        }
    }
    needs
}

/// Returns the lists that are still missing before every placed task is known, and the shortest
/// time until they can be there.
pub(crate) fn lists_missing(
    record: &Record,
    facts: &Facts,
    policy: &Policy,
    now: Mono,
) -> Option<(Duration, Needs)> {
    let gap = Proof { record, facts, policy, now }.listed()?;
    Some((gap.left, gap.needs))
}

/// One missing piece of evidence.
struct Gap {
    why: Why,
    /// Shortest time until it can be there.
    left: Duration,
    needs: Needs,
}

impl Gap {
    /// Combines two gaps, with the reason of the one that takes longer: list (b) follows list (a).
    fn and(self, other: Gap) -> Gap {
        let needs = self.needs.and(other.needs);
        let settles = |gap: &Gap| matches!(gap.why, Why::Settling { .. });
        let longer = (settles(&self), self.left) >= (settles(&other), other.left);
        Gap { needs, ..if longer { self } else { other } }
    }
}

struct Proof<'a> {
    record: &'a Record,
    facts: &'a Facts,
    policy: &'a Policy,
    now: Mono,
}

impl Proof<'_> {
    fn gap(&self, kind: Kind, from: Mono, why: impl FnOnce(Duration) -> Why) -> Gap {
        let left = from.since(self.now);
        let mut needs = Needs::default();
        needs.want(kind, from, Class::Finish);
        Gap { why: why(left), left, needs }
    }

    /// Returns the container instances whose tasks can still be listed.
    fn listable(&self) -> impl Iterator<Item = (usize, &InstanceFacts)> {
        self.facts.instances.iter().enumerate().filter(|(_, one)| !one.is_gone())
    }

    /// Checks condition 2: list (a), of the tasks wanted `RUNNING`, begins one lag after the run of
    /// condition 1 began. List (b), of those wanted `STOPPED`, begins one lag after (a) ended and
    /// after every known task was seen stopped.
    fn listed(&self) -> Option<Gap> {
        let lag = self.policy.read_lag;
        let gaps = self.listable().filter_map(|(index, one)| {
            one.closed?;
            let Some(running) = one.running else {
                if self.is_list_in_vain(one) {
                    // Meanwhile the list keeps its place in the queue: it counts from the time when
                    // it was first needed.
                    let from =
                        one.sight.as_ref().map_or(Mono::START, |(read, _)| read.began + LISTS_LAST);
                    return Some(self.gap(Kind::Status, from, |left| Why::Settling { left }));
                }
                let from = one.list_from + lag;
                return Some(self.gap(Kind::Running, from, |left| Why::Settling { left }));
            };
            let missing = self.facts.list_b(index, self.policy).is_none();
            missing.then(|| {
                self.gap(Kind::Stopped, running.ended + lag, |left| Why::SecondLook { left })
            })
        });
        gaps.reduce(Gap::and)
    }

    /// Returns whether list (a) would be made in vain: the status is so old that the next read may
    /// show another version, and list (a) would then be needed again.
    fn is_list_in_vain(&self, one: &InstanceFacts) -> bool {
        one.sight.as_ref().is_none_or(|(read, _)| self.is_old(read.began, LISTS_LAST))
    }

    /// Checks condition 4: every target was seen gone twice, the second time after condition 3 was
    /// met.
    fn unrouted(&self) -> Option<Gap> {
        let missing = self.waited_for().filter_map(|target| self.target_from(target));
        let from = missing.max()?;
        let gap = self.gap(Kind::Targets, from, |left| Why::SecondLook { left });
        // Until the lists leave no task, no read can be the second one, so reads before that would
        // be in vain.
        let is_early = self.facts.emptied.is_none()
            && self.facts.targets.iter().all(|target| target.gone_since.is_some());
        Some(if is_early { Gap { needs: Needs::default(), ..gap } } else { gap })
    }

    /// Returns the time from which a target must be read (again), or `None` if it is proved gone.
    fn target_from(&self, target: &TargetFacts) -> Option<Mono> {
        let Some(last) = target.gone.map(|run| run.last) else { return Some(self.now) };
        let Some(first) = target.gone_since else {
            return Some(self.facts.seen_gone_from(target, self.policy));
        };
        let apart = first.began + self.policy.looks_apart;
        let Some(emptied) = self.facts.emptied else { return Some(apart) };
        let second = apart.max(emptied);
        (last.began < second).then_some(second)
    }

    /// Checks condition 4, at the call: the last read of every target is recent. If there are more
    /// balancers than can be read in that time, the drain that has had nothing left for the longest
    /// gets all of its reads first.
    fn unrouted_lately(&self) -> Option<Gap> {
        let emptied = self.facts.emptied?;
        let old = |target: &TargetFacts| {
            target.gone.is_none_or(|run| self.is_old(run.last.began, TARGETS_LAST))
        };
        self.waited_for()
            .any(old)
            .then(|| self.gap(Kind::Targets, emptied, |left| Why::SecondLook { left }))
    }

    fn waited_for(&self) -> impl Iterator<Item = &TargetFacts> {
        self.facts.targets.iter().filter(|target| self.record.waits_for(&target.obligation))
    }

    /// Checks condition 5: since the container instances stopped taking tasks, every cluster was
    /// searched for other container instances of the EC2 instance. An agent that registers anew
    /// leaves its old container instance without an agent. So while one is disconnected, or gone,
    /// the search must have begun after that, and must be recent. A cluster that cannot be read
    /// holds up only drains whose agent is disconnected.
    fn alone(&self) -> Option<Gap> {
        let lag = self.policy.read_lag;
        let closed = self
            .facts
            .instances
            .iter()
            .filter_map(|one| one.closed)
            .map(|run| run.first.ended + lag)
            .max();
        let left = self.facts.instances.iter().filter_map(|one| match (one.gone, one.away) {
            (Some(gone), _) => Some(gone.first.ended + lag),
            (None, Some(away)) if one.is_away() => Some(away.first.ended + lag),
            (None, _) => None,
        });
        let left = left.max();
        let from = closed.max(left).unwrap_or(self.now);
        let gap = |from| self.gap(Kind::Sweep, from, |_| Why::LookingForRegistrations);
        let Some(sweep) = self.facts.search.sweep.filter(|sweep| sweep.began >= from) else {
            return Some(gap(from));
        };
        left?;
        let lasts = UNCHANGED_LASTS.max(sweep.ended.since(sweep.began) * 2);
        let away = self.facts.instances.iter().any(InstanceFacts::is_away)
            && !self.facts.is_dead(self.policy, self.now);
        if away && !self.facts.search.unread.is_empty() {
            return Some(gap(sweep.ended + LISTS_LAST));
        }
        self.is_old(sweep.began, lasts).then(|| gap(self.now))
    }

    /// Checks condition 2, at the call: list (b) is recent, or nothing has changed since.
    fn listed_lately(&self) -> Option<Gap> {
        let old = |index: usize, one: &InstanceFacts| {
            let Some(list) = self.facts.list_b(index, self.policy) else { return true };
            // Although the list lags, it shows a time at which the version was already this one.
            let unchanged = one
                .unchanged
                .is_some_and(|run| run.first.ended + self.policy.read_lag <= list.began);
            self.is_old(list.began, if unchanged { UNCHANGED_LASTS } else { LISTS_LAST })
        };
        let any = self.listable().any(|(index, one)| old(index, one));
        any.then(|| self.gap(Kind::Stopped, self.now, |left| Why::SecondLook { left }))
    }

    /// Checks condition 5, in good time: the drain's own clusters are searched when list (b) is
    /// made, so that the call need not wait for the search.
    fn searched_once(&self) -> Option<Gap> {
        let since = self.facts.emptied?.before(LISTS_LAST);
        let old = self.facts.search.own.is_none_or(|read| read.began < since);
        // One call serves fifty drains, so it does not wait behind the lists of all others.
        let gap = self.gap(Kind::Own, self.now, |_| Why::LookingForRegistrations);
        old.then(|| Gap { needs: gap.needs.at_least(Class::Last), ..gap })
    }

    /// Checks condition 5, at the call: the drain's own clusters were searched recently.
    fn searched_lately(&self) -> Option<Gap> {
        let old = self.facts.search.own.is_none_or(|read| self.is_old(read.began, LISTS_LAST));
        old.then(|| self.gap(Kind::Own, self.now, |_| Why::LookingForRegistrations))
    }

    /// Checks condition 6: the status of every container instance is recent.
    fn still_so(&self) -> Option<Gap> {
        let old = |one: &InstanceFacts| {
            one.closed.is_none_or(|run| self.is_old(run.last.began, STATUS_LASTS))
        };
        let any = self.facts.instances.iter().any(old);
        any.then(|| self.gap(Kind::Status, self.now, |left| Why::SecondLook { left }))
    }

    /// Checks condition 6: the counters of every container instance name no task that matters.
    /// Because the counters of a dead agent never change, a list of tasks can disprove them: it
    /// must have begun one lag after the container instance last changed, and after its last known
    /// task was seen stopped.
    fn counted(&self) -> Option<Gap> {
        if self.facts.is_dead(self.policy, self.now) {
            return None;
        }
        let from = self.listable().filter_map(|(index, one)| {
            let (live, run) = (one.sight.as_ref()?.1.live, one.unchanged?);
            let mine = self.facts.tasks.values().filter(|task| task.on == index);
            let stopped = mine.filter_map(|task| task.stopped.map(|read| read.ended)).max();
            let from = (run.first.ended + self.policy.read_lag).max(stopped.unwrap_or(Mono::START));
            let known = self.facts.ignored(index, self.policy);
            (live > known && one.discovered.is_none_or(|list| list.began < from)).then_some(from)
        });
        let from = from.max()?;
        Some(self.gap(Kind::Running, from, |left| Why::SecondLook { left }))
    }

    fn is_old(&self, began: Mono, lasts: Duration) -> bool {
        self.now.since(began) > lasts
    }

    /// Checks condition 4, for network load balancers: they can send new connections for a while
    /// after a target was deregistered, even once it reads `unused`. The policy sets that time,
    /// counted from when the target was first seen to leave. A balancer of unknown kind counts as
    /// one. (Source: network load balancers' user guide, "Deregistration delay": 120 s are
    /// recommended.)
    ///
    /// A process that is killed again and again may live for less than that time, so the time that
    /// earlier processes watched counts too.
    fn settled(&self) -> Option<Gap> {
        let settling =
            self.record.obligations.iter().filter(|o| o.settles() && self.record.waits_for(o));
        let left = settling.map(|obligation| {
            let watched = self.facts.target(obligation).and_then(|target| target.leaving);
            let span = watched.map_or(Duration::ZERO, |watch| watch.span(self.now));
            self.policy.network_settle.saturating_sub(span)
        });
        let left = left.max().filter(|left| !left.is_zero())?;
        Some(Gap { why: Why::NetworkSettling { left }, left, needs: Needs::default() })
    }
}
