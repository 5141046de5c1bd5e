//! The memory of a drain, measured from now, without the ages that make no difference. Without
//! this, the number of states has no end.

use crate::controller::NOW;
use ecs_drain_state::facts::{GroupFacts, TargetFacts};
use ecs_drain_state::{Facts, Mono, Policy, Read, Run, Watch};
use std::time::Duration;

/// Makes every fact older by this span.
pub fn age(facts: &mut Facts, step: Duration) {
    let older = |at: &mut Mono| *at = at.before(step);
    let read = |read: &mut Read| {
        older(&mut read.began);
        older(&mut read.ended);
    };
    let reads = |one: &mut Option<Read>| one.iter_mut().for_each(read);
    let runs = |run: &mut Option<Run>| {
        run.iter_mut().for_each(|run| {
            read(&mut run.first);
            read(&mut run.last);
        });
    };
    let watches =
        |watch: &mut Option<Watch>| watch.iter_mut().for_each(|watch| older(&mut watch.since));
    for one in &mut facts.instances {
        one.sight.iter_mut().for_each(|(at, _)| read(at));
        [&mut one.closed, &mut one.gone, &mut one.away, &mut one.unchanged]
            .into_iter()
            .for_each(runs);
        older(&mut one.list_from);
        [&mut one.draining, &mut one.left].into_iter().for_each(watches);
        [&mut one.discovered, &mut one.running, &mut one.stopped].into_iter().for_each(reads);
    }
    for task in facts.tasks.values_mut() {
        read(&mut task.listed);
        task.sight.iter_mut().for_each(|(at, _)| read(at));
        reads(&mut task.stopped);
    }
    for target in &mut facts.targets {
        older(&mut target.noted);
        target.sight.iter_mut().for_each(|(at, _)| read(at));
        [&mut target.registered, &mut target.in_service, &mut target.gone_since]
            .into_iter()
            .for_each(reads);
        runs(&mut target.gone);
        watches(&mut target.leaving);
    }
    let GroupFacts { sight, shown, termination_asked, .. } = &mut facts.group;
    sight.iter_mut().for_each(|(at, _)| read(at));
    shown.iter_mut().for_each(|shown| older(&mut shown.since));
    termination_asked.iter_mut().for_each(|(_, at)| older(at));
    runs(&mut facts.search.nowhere);
    reads(&mut facts.search.sweep);
    reads(&mut facts.search.own);
    facts.emptied.iter_mut().for_each(older);
    facts.progress.at.iter_mut().for_each(older);
    facts.returning.iter_mut().for_each(older);
    facts.trouble.values_mut().for_each(|(at, _)| older(at));
}

/// Age from which a read is due again, if it is needed now and then at all.
const DUE: Duration = Duration::from_secs(30);

/// Gap between two reads of a status from which it counts as long.
const UNWATCHED: Duration = Duration::from_secs(91);

/// Age from which a list (b) of a container instance that has changed is too old.
const OLD: Duration = Duration::from_secs(61);

/// An age beyond every limit of the rules.
const VERY_OLD: Duration = Duration::from_secs(330);

/// Replaces every moment by one that is equal for every rule, now and later. The rules compare a
/// moment with now, up to a limit, and some moments with each other: these relations stay.
pub fn forget(facts: &mut Facts, policy: &Policy) {
    let lag = policy.read_lag;
    forget_group(&mut facts.group, policy);
    let returning = facts.returning;
    // The status of an instance that returns is compared with the beginning of its return, and with
    // a lag after that.
    facts.returning = returning.map(|since| since.max(NOW.before(lag + DUE)));
    let status = |read: Read| match (returning, facts.returning) {
        (Some(since), Some(then)) if read.began < since => at(then.before(Duration::from_secs(1))),
        (Some(since), Some(then)) if read.began < since + lag => at(then),
        _ => young(read, DUE),
    };
    let sweep_counts = facts.search.sweep.is_some_and(|sweep| {
        let closed = facts
            .instances
            .iter()
            .filter_map(|one| one.closed)
            .map(|run| run.first.ended + lag)
            .max();
        closed.is_some_and(|from| sweep.began >= from)
    });
    // While its agent is connected, a sweep that counts does so for as long as the run of condition
    // 1 lasts.
    facts.search.sweep =
        facts.search.sweep.map(|_| at(if sweep_counts { NOW } else { Mono::START }));
    let list_b = facts.list_b(0, policy).is_some();
    let stopped = facts
        .tasks
        .values()
        .filter_map(|task| task.stopped)
        .map(|read| read.ended)
        .max()
        .unwrap_or_default();
    facts.search.own = facts.search.own.map(|read| young(read, OLD));
    for one in &mut facts.instances {
        one.sight.iter_mut().for_each(|(read, _)| *read = status(*read));
        if let Some(run) = &mut one.closed {
            (run.first, run.last) = (young(run.first, lag), young(run.last, UNWATCHED));
        }
        one.list_from = young(at(one.list_from), lag).ended;
        let from = |run: Run| (run.first.ended + lag).max(stopped);
        let listed_since =
            one.unchanged.zip(one.discovered).is_some_and(|(run, read)| read.began >= from(run));
        one.discovered = one.discovered.map(|_| at(if listed_since { NOW } else { Mono::START }));
        // A version that was first seen after a list began never vouches for it; one that was there
        // a lag before always does. In between both ages stay, so that the model does not presume
        // the rule.
        let (vouches, never) = match (one.unchanged, one.stopped) {
            (Some(run), Some(list)) => {
                (run.first.ended + lag <= list.began, run.first.ended > list.began)
            }
            _ => (false, true),
        };
        let since = if never { lag } else { VERY_OLD };
        one.unchanged = one
            .unchanged
            .map(|run| only(if vouches { at(Mono::START) } else { young(run.first, since) }));
        one.stopped = one.stopped.map(|read| young(read, if never { OLD } else { VERY_OLD }));
        // Only its relation to list (b) makes list (a) matter.
        one.running = match (one.running, one.stopped) {
            (Some(_), Some(list)) if list_b => Some(at(list.began.before(lag))),
            (running, _) => running.map(|read| young(read, lag)),
        };
        one.draining = one.draining.map(|_| watch());
    }
    let list = facts.instances.first().and_then(|one| one.stopped).unwrap_or(at(Mono::START));
    for task in facts.tasks.values_mut() {
        let before_list = task.listed.began < list.began;
        let counted = task.stopped.is_some_and(|read| read.ended <= list.began);
        task.listed = match (young(task.listed, lag), before_list) {
            // Only a task that is not known yet can be MISSING for that reason.
            _ if task.stopped.is_some() => {
                if before_list || counted {
                    at(Mono::START)
                } else {
                    list
                }
            }
            (read, true) if read.began >= list.began => {
                at(list.began.before(Duration::from_secs(1)))
            }
            (read, false) if read.began < list.began => list,
            (read, _) => read,
        };
        task.sight.iter_mut().for_each(|(read, _)| *read = young(*read, DUE));
        task.stopped = task.stopped.map(|read| match young(read, lag) {
            read if counted && read.ended > list.began => list,
            read => read,
        });
    }
    let emptied = facts.emptied;
    if facts.targets.is_empty() {
        facts.emptied = emptied.map(|_| Mono::START);
    }
    for target in &mut facts.targets {
        forget_target(target, &mut facts.emptied, emptied, policy);
    }
    (facts.progress.tasks_left, facts.progress.targets_left) = (None, None);
    facts.progress.at = facts.progress.at.map(|_| Mono::START);
}

/// Replaces the group's moments. Its state counts once it was shown for a lag, the effect of a
/// request to terminate the instance a while after that.
fn forget_group(group: &mut GroupFacts, policy: &Policy) {
    group.sight.iter_mut().for_each(|(read, _)| *read = young(*read, DUE));
    group
        .shown
        .iter_mut()
        .for_each(|shown| shown.since = young(at(shown.since), policy.read_lag).ended);
    group
        .termination_asked
        .iter_mut()
        .for_each(|(_, since)| *since = young(at(*since), VERY_OLD).ended);
    group.gone_reads = group.gone_reads.min(2);
    group.past_wait_reads = group.past_wait_reads.min(2);
}

/// Replaces a target's moments. Two things count: a second read that was late enough, and its age.
fn forget_target(
    target: &mut TargetFacts,
    emptied: &mut Option<Mono>,
    before: Option<Mono>,
    policy: &Policy,
) {
    let (lag, apart) = (policy.read_lag, policy.looks_apart);
    target.noted =
        if target.registered.is_some() { Mono::START } else { young(at(target.noted), lag).began };
    target.sight.iter_mut().for_each(|(read, _)| *read = young(*read, DUE));
    target.in_service = None;
    target.leaving = target.leaving.map(|_| watch());
    // A target that was seen gone, late enough, was registered long before.
    let gone_from = Mono::START + lag;
    target.registered = target
        .registered
        .map(|read| if target.gone_since.is_some() { at(Mono::START) } else { young(read, lag) });
    let (Some(run), Some(first)) = (target.gone, target.gone_since) else {
        target.gone = target.gone.map(|run| only(young(run.last, DUE)));
        *emptied = emptied.map(|_| NOW);
        return;
    };
    if before.is_some_and(|emptied| run.last.began >= emptied.max(first.began + apart)) {
        *emptied = Some(Mono::START);
        target.gone_since = Some(at(gone_from));
        target.gone = Some(only(young(run.last, VERY_OLD)));
    } else {
        *emptied = emptied.map(|_| NOW);
        target.gone_since = Some(young(first, apart));
        target.gone =
            Some(only(if first == run.last { young(first, apart) } else { young(run.last, DUE) }));
    }
}

/// Returns the moment, or the one this long ago if it is older.
fn young(read: Read, most: Duration) -> Read {
    let oldest = NOW.before(most);
    Read { began: read.began.max(oldest), ended: read.ended.max(oldest) }
}

fn at(moment: Mono) -> Read {
    Read { began: moment, ended: moment }
}

fn only(read: Read) -> Run {
    Run { first: read, last: read }
}

fn watch() -> Watch {
    Watch { before: Duration::ZERO, since: Mono::START }
}
