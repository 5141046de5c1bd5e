//! The memory of answers: unbroken runs, the lists of the proof, targets, the group.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Answer, Facts, InstanceFacts, Kind, TargetFacts, TaskAnswer, Wanted};
use crate::decide::tests::fixture::{
    container_instance, container_instance_sight, group, obligation, opened, task,
};
use crate::drain::Drain;
use crate::policy::Policy;
use crate::record::{Obligation, WaitKind};
use crate::sight::{Seen, TargetSight};
use crate::time::{Mono, Read};
use std::time::Duration;

/// A drain whose reads each take a second.
struct Memory(Drain);

impl Memory {
    fn new() -> Memory {
        Memory(Drain::new(opened(WaitKind::Terminating, vec![container_instance(1)]), Mono::START))
    }

    fn heed(&mut self, second: u64, answer: Answer) -> &mut Memory {
        let began = Mono::at(Duration::from_secs(second));
        self.0.heed(
            &Policy::default(),
            Read { began, ended: began + Duration::from_secs(1) },
            answer,
        );
        self
    }

    fn status(&mut self, second: u64, word: &str, live: u32, version: i64) -> &mut Memory {
        let sight = container_instance_sight(word, live, version);
        self.heed(second, Answer::Status { of: "c1".to_owned(), sight })
    }

    fn list(&mut self, second: u64, wanted: Wanted, tasks: &[&str]) -> &mut Memory {
        let tasks = tasks.iter().map(|arn| (*arn).to_owned()).collect();
        self.heed(second, Answer::List { of: "c1".to_owned(), wanted, tasks })
    }

    fn task(&mut self, second: u64, word: &str) -> &mut Memory {
        let answer = match word {
            "MISSING" => TaskAnswer::Missing,
            word => TaskAnswer::Found(task(word), Seen::Yes(vec![obligation("web/30")])),
        };
        self.heed(second, Answer::Tasks(vec![("t1".to_owned(), answer)]))
    }

    fn target(&mut self, second: u64, word: &str) -> &mut Memory {
        let web = obligation("web");
        let sight = match word {
            "gone" => TargetSight::Gone,
            word => TargetSight::Present {
                state: word.to_owned(),
                draining: word == "draining",
                instance_dead: false,
            },
        };
        self.heed(second, Answer::Targets(vec![(web.balancer, web.target, sight)]))
    }

    fn facts(&self) -> &Facts {
        &self.0.facts
    }

    fn one(&self) -> &InstanceFacts {
        self.facts().of("c1").unwrap()
    }

    fn web(&self) -> &TargetFacts {
        self.facts().target(&obligation("web")).unwrap()
    }
}

fn second(at: Mono) -> u64 {
    at.since_start().as_secs()
}

fn begins(read: Option<Read>) -> Option<u64> {
    read.map(|read| second(read.began))
}

#[test]
fn only_active_breaks_the_run_of_what_takes_no_work() {
    let mut memory = Memory::new();
    let run = |memory: &Memory| {
        memory.one().closed.map(|run| (second(run.first.began), second(run.last.began)))
    };
    memory.status(5, "ACTIVE", 1, 1);
    assert_eq!(run(&memory), None);
    memory.status(10, "DRAINING", 1, 2).status(40, "DRAINING", 0, 3);
    assert_eq!(run(&memory), Some((10, 40)));
    // Neither a failed read nor an hour without one breaks the run.
    memory
        .heed(50, Answer::Failed(Kind::Status, "throttled".to_owned()))
        .status(3600, "DRAINING", 0, 3);
    assert_eq!(run(&memory), Some((10, 3600)));
    assert!(memory.facts().trouble.is_empty());
    memory.status(3610, "INACTIVE", 0, 4);
    assert_eq!(run(&memory), Some((10, 3610)));
    memory.status(3620, "ACTIVE", 0, 5);
    assert_eq!(run(&memory), None);
    memory.status(3630, "DRAINING", 0, 6);
    assert_eq!(run(&memory), Some((3630, 3630)));
}

#[test]
fn a_version_below_the_highest_is_of_an_earlier_time() {
    let mut memory = Memory::new();
    memory.status(5, "DRAINING", 0, 7).status(10, "ACTIVE", 1, 6);
    assert!(memory.one().closed.is_some());
    assert_eq!(memory.one().sight.as_ref().map(|(read, _)| second(read.began)), Some(5));
    // A container instance that is gone has no version to compare.
    memory.status(15, "MISSING", 0, 0);
    assert!(memory.one().is_gone());
    memory.status(20, "DRAINING", 0, 1);
    assert!(!memory.one().is_gone());
}

#[test]
fn how_long_nothing_has_changed() {
    let mut memory = Memory::new();
    let run = |memory: &Memory| {
        memory.one().unchanged.map(|run| (second(run.first.began), second(run.last.began)))
    };
    memory.status(5, "DRAINING", 1, 1).status(10, "DRAINING", 1, 2).status(15, "DRAINING", 0, 2);
    assert_eq!(run(&memory), Some((10, 15)));
}

#[test]
fn an_agent_that_was_away_is_remembered() {
    let mut memory = Memory::new();
    let away = |memory: &Memory| {
        (
            memory.facts().away_since().map(second),
            memory.one().away.map(|run| second(run.last.began)),
        )
    };
    memory.status(5, "DRAINING!", 0, 1).status(10, "DRAINING!", 0, 1);
    assert_eq!(away(&memory), (Some(6), Some(10)));
    memory.status(15, "DRAINING", 0, 1);
    assert_eq!(away(&memory), (None, Some(10)));
    memory.status(20, "DRAINING!", 0, 1);
    assert_eq!(away(&memory), (Some(21), Some(20)));
    // A container instance that is gone has no agent to lose.
    memory.status(25, "MISSING", 0, 0);
    assert_eq!(away(&memory).0, None);
}

#[test]
fn list_a_begins_a_lag_after_the_run_and_list_b_a_lag_after_that() {
    let mut memory = Memory::new();
    let lists = |memory: &Memory| {
        (begins(memory.one().running), begins(memory.facts().list_b(0, &Policy::default())))
    };
    memory.status(5, "DRAINING", 0, 1).list(65, Wanted::Running, &[]);
    assert_eq!(lists(&memory), (None, None));
    memory.list(66, Wanted::Running, &[]).list(90, Wanted::Running, &[]);
    assert_eq!(lists(&memory), (Some(66), None));
    memory.list(126, Wanted::Stopped, &[]);
    assert_eq!(lists(&memory), (Some(66), None));
    memory.list(127, Wanted::Stopped, &[]);
    assert_eq!(lists(&memory), (Some(66), Some(127)));
    // ACTIVE for a moment: the lists show nothing of tasks that were placed then.
    memory.status(130, "ACTIVE", 0, 2).status(131, "DRAINING", 0, 3);
    assert_eq!(lists(&memory), (None, None));
}

#[test]
fn list_b_comes_after_every_known_task_was_seen_stopped() {
    let mut memory = Memory::new();
    memory.status(5, "DRAINING", 1, 1).list(66, Wanted::Running, &["t1"]);
    memory.task(70, "web:RUNNING").list(130, Wanted::Stopped, &[]).task(140, "web:STOPPED");
    assert_eq!(memory.facts().list_b(0, &Policy::default()), None);
    memory.list(141, Wanted::Stopped, &["t1"]);
    assert_eq!(begins(memory.facts().list_b(0, &Policy::default())), Some(141));
}

#[test]
fn emptied_stays_the_first_such_list_until_something_is_there() {
    let mut memory = Memory::new();
    let emptied = |memory: &Memory| memory.facts().emptied.map(second);
    memory.status(5, "DRAINING", 0, 1).list(66, Wanted::Running, &[]).list(
        127,
        Wanted::Stopped,
        &[],
    );
    assert_eq!(emptied(&memory), Some(127));
    memory.list(180, Wanted::Stopped, &[]);
    assert_eq!(emptied(&memory), Some(127));
    memory.list(200, Wanted::Stopped, &["t1"]);
    assert_eq!(emptied(&memory), None);
    memory.task(205, "web:STOPPED");
    assert_eq!(emptied(&memory), Some(200));
}

#[test]
fn a_task_that_was_just_listed_is_not_missing() {
    let mut memory = Memory::new();
    memory.status(5, "DRAINING", 1, 1).list(10, Wanted::Running, &["t1"]).task(70, "MISSING");
    assert!(memory.facts().tasks["t1"].stopped.is_none());
    memory.task(71, "MISSING");
    assert_eq!(begins(memory.facts().tasks["t1"].stopped), Some(71));
    // A stopped task stays stopped, whatever a read that lags shows.
    memory.task(72, "web:RUNNING");
    assert_eq!(memory.facts().tasks_there().count(), 0);
}

#[test]
fn a_target_counts_as_gone_a_lag_after_it_was_registered() {
    let mut memory = Memory::new();
    let since = |memory: &Memory| begins(memory.web().gone_since);
    memory.heed(5, Answer::Registrations(vec![obligation("web/30")])).target(10, "healthy");
    memory.target(30, "gone");
    assert_eq!((memory.web().gone.is_some(), since(&memory)), (true, None));
    memory.target(71, "gone").target(90, "gone");
    assert_eq!(since(&memory), Some(71));
    // There again: it may have been registered anew, and the lag counts from now.
    memory.target(100, "draining").target(110, "gone");
    assert_eq!(since(&memory), None);
    memory.target(161, "gone");
    assert_eq!(since(&memory), Some(161));
}

#[test]
fn one_that_was_never_seen_counts_from_when_it_was_known_and_its_tasks_stopped() {
    let mut memory = Memory::new();
    let since = |memory: &Memory| begins(memory.web().gone_since);
    memory.status(5, "DRAINING", 1, 1).list(10, Wanted::Running, &["t1"]).task(11, "web:PENDING");
    memory.target(72, "gone");
    assert_eq!(since(&memory), Some(72));
    // It may have run unseen, and registered its target, until it stopped.
    memory.task(80, "web:STOPPED").target(140, "gone");
    assert_eq!(since(&memory), None);
    memory.target(141, "gone");
    assert_eq!(since(&memory), Some(141));
}

#[test]
fn a_task_that_begins_to_run_registers_its_targets_anew() {
    let mut memory = Memory::new();
    memory
        .status(5, "DRAINING", 1, 1)
        .heed(6, Answer::Registrations(vec![obligation("web/30")]))
        .target(7, "draining");
    memory.target(70, "gone").list(71, Wanted::Running, &["t1"]).task(72, "web:PENDING");
    assert!(memory.web().registered.is_some() && memory.web().gone_since.is_some());
    memory.task(75, "web:RUNNING");
    assert!(memory.web().registered.is_none() && memory.web().gone_since.is_none());
}

/// An operator's `ACTIVE` may have let it in, and it has stopped again before any list was made.
#[test]
fn a_task_that_is_first_seen_stopped_may_have_registered_its_targets_anew() {
    let mut memory = Memory::new();
    let since = |memory: &Memory| begins(memory.web().gone_since);
    memory
        .status(5, "DRAINING", 1, 1)
        .heed(6, Answer::Registrations(vec![obligation("web/30")]))
        .target(7, "draining");
    memory.target(70, "gone");
    assert_eq!(since(&memory), Some(70));
    memory.list(130, Wanted::Stopped, &["t1"]).task(131, "web:STOPPED").target(190, "gone");
    assert_eq!(since(&memory), None);
    memory.target(192, "gone");
    assert_eq!(since(&memory), Some(192));
}

#[test]
fn a_target_that_comes_back_says_so_once() {
    let mut memory = Memory::new();
    memory.heed(5, Answer::Registrations(vec![obligation("web/30")])).target(10, "healthy");
    assert!(!memory.web().came_back);
    memory.target(20, "draining").target(30, "healthy");
    assert!(memory.web().came_back && memory.web().leaving.is_none());
    memory.target(40, "healthy");
    assert!(!memory.web().came_back);
}

/// The first read continues the time in the record that earlier processes watched. A watch that
/// this process has seen end begins anew, even while that cannot be written.
#[test]
fn a_span_that_ended_does_not_go_on_from_the_record() {
    let mut memory = Memory::new();
    let mut record = memory.0.record.clone();
    record.container_instances[0].drained_for_seconds = 100;
    record.obligations = vec![Obligation { left_for_seconds: 100, ..obligation("web/30") }];
    memory.0.take(record, Mono::START);
    let before = |memory: &Memory| {
        let spans = [memory.one().draining, memory.web().leaving];
        spans.map(|watch| watch.map(|watch| watch.before.as_secs()))
    };
    memory.status(5, "DRAINING", 1, 1).target(5, "draining");
    assert_eq!(before(&memory), [Some(100), Some(100)]);
    memory.status(10, "ACTIVE", 1, 2).target(10, "healthy");
    assert_eq!(before(&memory), [None, None]);
    memory.status(15, "DRAINING", 1, 3).target(15, "draining");
    assert_eq!(before(&memory), [Some(0), Some(0)]);
}

#[test]
fn the_group_is_counted_by_reads() {
    let mut memory = Memory::new();
    let counts =
        |memory: &Memory| (memory.facts().group.gone_reads, memory.facts().group.past_wait_reads);
    let read = |memory: &mut Memory, second, word: &str| {
        memory.heed(second, Answer::Group(group(word, "60", false)));
    };
    // Not known yet whether ECS has lost it: that neither counts nor breaks the run.
    read(&mut memory, 1, "absent");
    assert_eq!(counts(&memory), (0, 0));
    memory.status(2, "DRAINING!", 0, 1);
    read(&mut memory, 3, "absent");
    read(&mut memory, 4, "?");
    assert_eq!(counts(&memory), (1, 0));
    // The same answer does not count twice.
    read(&mut memory, 3, "absent");
    assert_eq!(counts(&memory), (1, 0));
    read(&mut memory, 5, "absent");
    assert_eq!(counts(&memory), (2, 0));
    memory.status(6, "DRAINING", 0, 2);
    read(&mut memory, 7, "absent");
    assert_eq!(counts(&memory), (0, 0));
    read(&mut memory, 8, "Terminating:Proceed");
    read(&mut memory, 9, "absent");
    assert_eq!(counts(&memory), (0, 1));
    read(&mut memory, 10, "Terminating:Wait");
    assert_eq!(counts(&memory), (0, 0));
}

#[test]
fn searches_that_found_nothing_in_a_row() {
    let mut memory = Memory::new();
    let search = |found: usize, unread: &[&str]| Answer::Search {
        unread: unread.iter().map(|name| (*name).to_owned()).collect(),
        left_out: Vec::new(),
        found: (1..=found).map(container_instance).collect(),
    };
    let nowhere = |memory: &Memory| {
        memory.facts().search.nowhere.map(|run| (second(run.first.began), second(run.last.began)))
    };
    memory.heed(5, search(0, &[])).heed(65, search(0, &["dev"]));
    assert_eq!(nowhere(&memory), Some((5, 5)));
    memory.heed(70, search(0, &[]));
    assert_eq!(nowhere(&memory), Some((5, 70)));
    memory.heed(80, search(2, &["dev"]));
    assert_eq!(nowhere(&memory), None);
    let found: Vec<_> = memory.facts().search.found.iter().map(|one| one.arn.clone()).collect();
    assert_eq!(found, ["c2"]);
}

#[test]
fn a_list_of_the_whole_cluster_proves_nothing() {
    let mut memory = Memory::new();
    memory
        .status(5, "DRAINING", 0, 1)
        .heed(66, Answer::Discovered { of: "c1".to_owned(), tasks: Vec::new() });
    assert_eq!((begins(memory.one().discovered), memory.one().running), (Some(66), None));
}

#[test]
fn progress_is_fewer_tasks_or_fewer_targets() {
    let mut memory = Memory::new();
    let at = |memory: &Memory| memory.facts().progress.at.map(second);
    memory
        .status(5, "DRAINING", 1, 1)
        .list(6, Wanted::Running, &["t1"])
        .task(7, "web:RUNNING")
        .target(8, "healthy");
    assert_eq!(at(&memory), Some(6));
    memory.heed(20, Answer::Failed(Kind::Tasks, "throttled".to_owned())).target(30, "gone");
    assert_eq!(at(&memory), Some(31));
    memory.target(40, "draining").task(50, "web:STOPPED");
    assert_eq!(at(&memory), Some(51));
}
