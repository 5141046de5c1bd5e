//! A group and its lifecycle hooks: whether the ecs-drain hook is there, right, and alone of its
//! kind; and what puts it right.

use super::Finding;
use crate::aws::limiter::AUTO_SCALING;
use crate::aws::{GroupView, HookView};
use crate::config::scope::ECS_HOOK;
use crate::heartbeat::rhythm;
use ecs_drain_state::ActionResult;
use std::collections::BTreeSet;
use std::time::Duration;

/// What we advise. An hour reaches Auto Scaling's 48 hours (100 heartbeats) with ease, and an
/// instance waits no longer than that where no controller runs.
pub const HEARTBEAT_TIMEOUT: u32 = 3600;

/// With calls that fail for minutes, a shorter timeout (in seconds) can run out.
const SHORT: u32 = 300;

/// A wait that ends sooner than this is too short for many a drain.
const SHORT_WAIT: u32 = 3600;

/// What is to be said of a group's hooks.
pub fn judge(group: &GroupView, hooks: &[HookView], ours: &BTreeSet<String>) -> Vec<Finding> {
    let name = &group.name;
    let mut findings = Vec::new();
    let here: Vec<&HookView> =
        hooks.iter().filter(|hook| hook.terminating && ours.contains(&hook.name)).collect();
    match here.as_slice() {
        [] => findings.push(Finding::warning(
            format!("group {name}: none of the configured hooks; its instances terminate undrained"),
            format!("`ecs-drain hooks --group {name}` prints what puts it there; or leave the group out of `groups`"),
        )),
        [hook] => findings.push(Finding::fine(format!(
            "group {name}: hook {}, heartbeat timeout {}, default result {}",
            hook.name,
            words(hook.heartbeat_timeout_seconds),
            hook.default_result.as_str()
        ))),
        several => findings.push(Finding::failure(
            format!(
                "group {name}: {} configured hooks ({}); its instances are held, and not drained",
                several.len(),
                names(several)
            ),
            "leave one of them, once no instance waits: deleting a hook lets its waiting instances go",
        )),
    }
    for hook in &here {
        findings.extend(faults(hook).into_iter().map(|fault| finding(name, hook, fault)));
        findings.extend(crowd(group, hook));
    }
    for hook in hooks.iter().filter(|hook| !hook.terminating && ours.contains(&hook.name)) {
        findings.push(finding(name, hook, Fault::HoldsLaunches));
    }
    for hook in hooks.iter().filter(|hook| hook.terminating && !ours.contains(&hook.name)) {
        findings.push(about_others(name, hook));
    }
    let own = group.target_groups.len() + group.classic.len();
    if own > 0 {
        findings.push(Finding::note(format!(
            "group {name}: {own} load balancers are attached to the group itself; it leaves them before the hook holds \
             an instance, and they are looked at as well"
        )));
    }
    if group.retains_abandoned {
        findings.push(Finding::note(format!(
            "group {name}: keeps instances whose termination is abandoned (Terminating:Retained), until somebody \
             terminates them"
        )));
    }
    findings
}

/// What can be wrong with a hook of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is a hook for launches.
    HoldsLaunches,
    /// Auto Scaling ends every wait under it too soon for many a drain.
    EndsSoon,
    /// It runs out soon after the last heartbeat.
    RunsOutSoon,
    /// Its default result is `ABANDON`.
    Abandons,
}

/// What is wrong with a hook that has a name of ours.
pub fn faults(hook: &HookView) -> Vec<Fault> {
    let ends_soon = hook.global_timeout_seconds < SHORT_WAIT;
    let faults = [
        (!hook.terminating, Fault::HoldsLaunches),
        (ends_soon, Fault::EndsSoon),
        (!ends_soon && hook.heartbeat_timeout_seconds < SHORT, Fault::RunsOutSoon),
        (hook.default_result == ActionResult::Abandon, Fault::Abandons),
    ];
    faults.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)).collect()
}

fn finding(group: &str, hook: &HookView, fault: Fault) -> Finding {
    let name = &hook.name;
    match fault {
        Fault::HoldsLaunches => Finding::warning(
            format!("group {group}: hook {name} holds launches, not terminations"),
            "give the hook for terminations another name, or this one",
        ),
        Fault::EndsSoon => Finding::warning(
            format!(
                "group {group}: hook {name} ends every wait after {}: 100 heartbeat timeouts",
                words(hook.global_timeout_seconds)
            ),
            format!("a heartbeat timeout of {HEARTBEAT_TIMEOUT} s reaches Auto Scaling's 48 hours"),
        ),
        Fault::RunsOutSoon => Finding::warning(
            format!(
                "group {group}: hook {name} runs out {} after the last heartbeat: trouble of some minutes lets its instances go",
                words(hook.heartbeat_timeout_seconds)
            ),
            format!("make the heartbeat timeout {HEARTBEAT_TIMEOUT} s"),
        ),
        Fault::Abandons => Finding::warning(
            format!(
                "group {group}: hook {name} abandons by default; that ends the waits under all other hooks"
            ),
            "make its default result CONTINUE; AWS's own default is ABANDON, so it must be given",
        ),
    }
}

/// What is to be said where a group is so large that its heartbeats take longer than its hook
/// lasts, when all of it goes at once.
fn crowd(group: &GroupView, hook: &HookView) -> Option<Finding> {
    let held = |timeout: u32| {
        let rhythm = rhythm(Duration::from_secs(timeout.into()), true);
        rhythm.as_secs() * u64::from(AUTO_SCALING.per_second)
    };
    let timeout = hook.heartbeat_timeout_seconds;
    if u64::from(group.desired) <= held(timeout) || timeout >= HEARTBEAT_TIMEOUT {
        return None;
    }
    Some(Finding::warning(
        format!(
            "group {}: hook {} runs out after {}, and {} heartbeats a second hold {} instances under it; the group has {}, \
             and lets some go when all are to go at once",
            group.name,
            hook.name,
            words(timeout),
            AUTO_SCALING.per_second,
            held(timeout),
            group.desired
        ),
        format!("a heartbeat timeout of {HEARTBEAT_TIMEOUT} s holds {}", held(HEARTBEAT_TIMEOUT)),
    ))
}

fn about_others(group: &str, hook: &HookView) -> Finding {
    if hook.name == ECS_HOOK {
        return Finding::note(format!(
            "group {group}: managed instance draining is on; ECS drains under a hook of its own, beside the configured one"
        ));
    }
    if hook.default_result == ActionResult::Abandon {
        return Finding::warning(
            format!(
                "group {group}: hook {}, which has another owner, abandons by default: that ends the wait of ecs-drain too \
                 (outcome WaitLost)",
                hook.name
            ),
            "ask its owner for CONTINUE",
        );
    }
    Finding::note(format!(
        "group {group}: hook {} has another owner, and holds instances too; an ABANDON of it would end the wait",
        hook.name
    ))
}

fn names(hooks: &[&HookView]) -> String {
    hooks.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn words(seconds: u32) -> String {
    crate::config::span::words(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use std::collections::BTreeMap;

    fn group() -> GroupView {
        GroupView {
            name: "web".to_owned(),
            tags: BTreeMap::new(),
            members: Vec::new(),
            desired: 200,
            target_groups: Vec::new(),
            classic: Vec::new(),
            has_warm_pool: false,
            retains_abandoned: false,
            deleting: false,
        }
    }

    fn hook(name: &str) -> HookView {
        HookView {
            name: name.to_owned(),
            terminating: true,
            heartbeat_timeout_seconds: 3600,
            global_timeout_seconds: 172_800,
            default_result: ActionResult::Continue,
        }
    }

    fn judged(hooks: &[HookView]) -> Vec<(Verdict, String)> {
        let ours = BTreeSet::from(["ecs-drain".to_owned(), "ecs-drain-2".to_owned()]);
        judge(&group(), hooks, &ours)
            .into_iter()
            .map(|finding| (finding.verdict, finding.text))
            .collect()
    }

    #[test]
    fn one_hook_of_ours_is_as_it_should_be() {
        assert_eq!(
            judged(&[hook("ecs-drain")]),
            [(
                Verdict::Fine,
                "group web: hook ecs-drain, heartbeat timeout 1h, default result CONTINUE"
                    .to_owned()
            )]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let launch = HookView { terminating: false, ..hook("ecs-drain") };
        let short = HookView {
            heartbeat_timeout_seconds: 30,
            global_timeout_seconds: 3000,
            ..hook("ecs-drain")
        };
        let abandons = HookView { default_result: ActionResult::Abandon, ..hook("ecs-drain") };
        let others = HookView { default_result: ActionResult::Abandon, ..hook("backup") };
        let worst = |hooks: &[HookView]| judged(hooks).into_iter().max();
        let said = |hooks: &[HookView], verdict: Verdict, words: &str| {
            let all = judged(hooks);
            assert!(
                all.iter().any(|(v, text)| *v == verdict && text.contains(words)),
                "{words}: {all:?}"
            );
        };
        said(&[], Verdict::Warning, "none of the configured hooks");
        said(&[launch], Verdict::Warning, "holds launches");
        said(
            &[hook("ecs-drain"), hook("ecs-drain-2")],
            Verdict::Failure,
            "2 configured hooks (ecs-drain, ecs-drain-2)",
        );
        said(std::slice::from_ref(&short), Verdict::Warning, "ends every wait after 50m");
        let minute = HookView {
            heartbeat_timeout_seconds: 60,
            global_timeout_seconds: 6000,
            ..hook("ecs-drain")
        };
        said(
            &[short],
            Verdict::Warning,
            "10 heartbeats a second hold 100 instances under it; the group has 200",
        );
        assert!(
            judged(&[minute]).iter().all(|(_, text)| !text.contains("heartbeats a second")),
            "it holds just these"
        );
        said(&[abandons], Verdict::Warning, "abandons by default; that ends the waits");
        said(
            &[hook("ecs-drain"), others],
            Verdict::Warning,
            "hook backup, which has another owner, abandons",
        );
        said(
            &[hook("ecs-drain"), hook(ECS_HOOK)],
            Verdict::Note,
            "managed instance draining is on",
        );
        assert_eq!(
            worst(&[hook("ecs-drain"), hook("backup")]).map(|(verdict, _)| verdict),
            Some(Verdict::Note)
        );
    }
}
