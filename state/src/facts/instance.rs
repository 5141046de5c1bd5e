//! What is known of one container instance.

use crate::record::ContainerInstance;
use crate::sight::{ContainerInstanceSight, ContainerInstanceStatus};
use crate::time::{Mono, Read, Run, Watch};
use std::time::Duration;

/// How long a container instance may go unread, and change, until its tasks are listed again:
/// somebody may have made it `ACTIVE` and `DRAINING` again meanwhile.
const UNWATCHED: Duration = Duration::from_secs(90);

/// What is known of one container instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InstanceFacts {
    /// Its ARN.
    pub arn: String,
    /// What ECS said last.
    pub sight: Option<(Read, ContainerInstanceSight)>,
    /// The unbroken run of reads that showed that no new task can land on it.
    pub closed: Option<Run>,
    /// The unbroken run of reads that showed it gone from its cluster.
    pub gone: Option<Run>,
    /// The newest run of reads that showed its agent disconnected; kept after the agent is back.
    pub away: Option<Run>,
    /// From when, and the lag, list (a) counts: the end of the first read of
    /// [`InstanceFacts::closed`], or of a later one that showed changes of a time that no read
    /// watched, or that something was placed.
    pub list_from: Mono,
    /// The unbroken run of reads that showed the same version.
    pub unchanged: Option<Run>,
    /// For how long it has taken no task.
    pub draining: Option<Watch>,
    /// For how long it has been gone.
    pub left: Option<Watch>,
    /// The newest complete list of its tasks wanted `RUNNING`, from any source.
    pub discovered: Option<Read>,
    /// List (a) of the proof: the first of its tasks wanted `RUNNING` that began a lag after
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
        // A version below one that was seen is of an earlier time: this read says nothing.
        if before.is_some_and(|before| sight.version < before.version) && !sight.status.is_gone() {
            return;
        }
        let same_version = before.is_some_and(|before| before.version == sight.version);
        self.unchanged = Some(Run::extend(self.unchanged.filter(|_| same_version), read));
        let closed = sight.status.takes_no_work().then(|| Run::extend(self.closed, read));
        // From beginning to beginning: a process that stood still in the middle of a read has an
        // old truth in it.
        let gap = self.closed.is_some_and(|run| read.began.since(run.last.began) > UNWATCHED);
        // Its counters leave out what is stopping: they rise only where something was placed, which
        // is so once somebody made it `ACTIVE` for a moment that no read saw.
        let placed = before.is_some_and(|before| sight.live > before.live);
        if closed.map(|run| run.first) != self.closed.map(|run| run.first)
            || (gap && !same_version)
            || placed
        {
            // Lists of before say nothing of what may have been placed since.
            (self.running, self.list_from) = (None, read.ended);
        }
        self.closed = closed;
        self.gone = sight.status.is_gone().then(|| Run::extend(self.gone, read));
        let away = !sight.agent_connected && !sight.status.is_gone();
        let was_away = self.is_away();
        if away {
            self.away = Some(Run::extend(self.away.filter(|_| was_away), read));
        }
        // The first look goes on from what the processes before have watched; one that begins later
        // begins anew.
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
