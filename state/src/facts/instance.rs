//! Facts about one container instance.

use crate::record::ContainerInstance;
use crate::sight::{ContainerInstanceSight, ContainerInstanceStatus};
use crate::time::{Mono, Read, Run, Watch};
use std::time::Duration;

/// Longest gap between two reads of a container instance that has changed meanwhile, before its
/// tasks are listed again: an operator may have made it `ACTIVE` and `DRAINING` again in between.
const UNWATCHED: Duration = Duration::from_secs(90);

/// Facts about one container instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InstanceFacts {
    /// ARN of the container instance.
    pub arn: String,
    /// ECS's last answer.
    pub sight: Option<(Read, ContainerInstanceSight)>,
    /// Unbroken run of reads that showed that no new task can start on it.
    pub closed: Option<Run>,
    /// Unbroken run of reads that showed it gone from its cluster.
    pub gone: Option<Run>,
    /// Newest run of reads that showed its agent disconnected; kept after the agent is back.
    pub away: Option<Run>,
    /// Time that list (a) must follow by one lag: the end of the first read of
    /// [`InstanceFacts::closed`], or of a later read that showed changes in an unwatched gap, or a
    /// newly placed task.
    pub list_from: Mono,
    /// Unbroken run of reads that showed the same version.
    pub unchanged: Option<Run>,
    /// Time for which it has taken no task.
    pub draining: Option<Watch>,
    /// Time for which it has been gone.
    pub left: Option<Watch>,
    /// Newest complete list of its tasks wanted `RUNNING`, from any source.
    pub discovered: Option<Read>,
    /// List (a) of the proof: the first of its tasks wanted `RUNNING` that began one lag after
    /// [`InstanceFacts::list_from`].
    pub running: Option<Read>,
    /// List (b) of the proof: the newest of its tasks wanted `STOPPED`.
    pub stopped: Option<Read>,
}

impl InstanceFacts {
    /// Returns its status, if it was read.
    pub fn status(&self) -> Option<&ContainerInstanceStatus> {
        self.sight.as_ref().map(|(_, sight)| &sight.status)
    }

    /// Returns whether ECS shows it gone from its cluster.
    pub fn is_gone(&self) -> bool {
        self.status().is_some_and(ContainerInstanceStatus::is_gone)
    }

    /// Returns whether its agent is disconnected. A container instance that is gone has no agent
    /// that could come back.
    pub fn is_away(&self) -> bool {
        self.sight
            .as_ref()
            .is_some_and(|(_, sight)| !sight.agent_connected && !sight.status.is_gone())
    }

    pub(super) fn note_status(
        &mut self,
        read: Read,
        sight: ContainerInstanceSight,
        mine: Option<&ContainerInstance>,
    ) {
        let before = self.sight.as_ref().map(|(_, sight)| sight);
        // A read with a lower version than an earlier one shows an earlier time, so it is ignored.
        if before.is_some_and(|before| sight.version < before.version) && !sight.status.is_gone() {
            return;
        }
        let same_version = before.is_some_and(|before| before.version == sight.version);
        self.unchanged = Some(Run::extend(self.unchanged.filter(|_| same_version), read));
        let closed = sight.status.takes_no_work().then(|| Run::extend(self.closed, read));
        // Measured from beginning to beginning: if the process was suspended in the middle of a
        // read, the answer is old.
        let gap = self.closed.is_some_and(|run| read.began.since(run.last.began) > UNWATCHED);
        // The counters leave out tasks that are stopping, so they rise only if a task was placed.
        // This happens if the instance was set `ACTIVE` for a moment that no read saw.
        let placed = before.is_some_and(|before| sight.live > before.live);
        if closed.map(|run| run.first) != self.closed.map(|run| run.first)
            || (gap && !same_version)
            || placed
        {
            // Earlier lists prove nothing about tasks that may have been placed since.
            (self.running, self.list_from) = (None, read.ended);
        }
        self.closed = closed;
        self.gone = sight.status.is_gone().then(|| Run::extend(self.gone, read));
        let away = !sight.agent_connected && !sight.status.is_gone();
        let was_away = self.is_away();
        if away {
            self.away = Some(Run::extend(self.away.filter(|_| was_away), read));
        }
        // The first read continues the time that earlier processes have watched. A watch that
        // begins at a later read begins at zero.
        let mine = mine.filter(|_| before.is_none());
        let watch = |so: bool, known: Option<Watch>, before: u32| {
            let begins =
                Watch { before: Duration::from_secs(u64::from(before)), since: read.ended };
            so.then(|| known.unwrap_or(begins))
        };
        self.draining = watch(
            sight.status.takes_no_work(),
            self.draining,
            mine.map_or(0, |m| m.drained_for_seconds),
        );
        self.left =
            watch(sight.status.is_gone(), self.left, mine.map_or(0, |m| m.gone_for_seconds));
        self.sight = Some((read, sight));
    }
}
