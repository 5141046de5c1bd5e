//! Checks a group's lifecycle hooks: the ecs-drain hook must be there, correct, and the only one of
//! its kind. Each finding has advice.

use super::Finding;
use crate::aws::limiter::AUTO_SCALING;
use crate::aws::{GroupView, HookView};
use crate::config::scope::ECS_HOOK;
use crate::heartbeat::rhythm;
use ecs_drain_state::ActionResult;
use std::collections::BTreeSet;
use std::time::Duration;

/// Recommended heartbeat timeout, in seconds. An hour easily reaches Auto Scaling's 48 hours (100
/// heartbeats), and an instance waits no longer than that if no controller runs.
pub(crate) const HEARTBEAT_TIMEOUT: u32 = 3600;

/// Heartbeat timeout, in seconds, below which a few minutes of failing calls are enough for the
/// hook to expire.
const SHORT: u32 = 300;

/// Global timeout, in seconds, below which it is too short for many drains.
const SHORT_WAIT: u32 = 3600;

/// Returns the findings about a group's hooks.
pub(crate) fn judge(
    group: &GroupView,
    hooks: &[HookView],
    ours: &BTreeSet<String>,
) -> Vec<Finding> {
    let name = &group.name;
    let mut findings = Vec::new();
    let here: Vec<&HookView> =
        hooks.iter().filter(|hook| hook.terminating && ours.contains(&hook.name)).collect();
    match here.as_slice() {
        [] => findings.push(Finding::warning(
            format!("group {name}: no ecs-drain hook; its instances terminate undrained"),
            format!("run `ecs-drain hooks --group {name}` for the command that adds it, or take the group out of `groups`"),
        )),
        [hook] => findings.push(Finding::fine(format!(
            "group {name}: hook {}, heartbeat timeout {}, default result {}",
            hook.name,
            words(hook.heartbeat_timeout_seconds),
            hook.default_result.as_str()
        ))),
        several => findings.push(Finding::failure(
            format!(
                "group {name}: {} ecs-drain hooks ({}); its instances wait undrained until the hooks expire",
                several.len(),
                names(several)
            ),
            "when no instance waits, delete all but one: deleting a hook releases its waiting instances",
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
            "group {name}: {own} load balancers are attached to the group itself; their targets are checked, too"
        )));
    }
    if group.retains_abandoned {
        findings.push(Finding::note(format!(
            "group {name}: retains instances whose termination is abandoned (Terminating:Retained) until you terminate them"
        )));
    }
    findings
}

/// Fault of an ecs-drain hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is a launch hook.
    HoldsLaunches,
    /// Auto Scaling ends every wait under it too soon for many drains.
    EndsSoon,
    /// It expires soon after the last heartbeat.
    RunsOutSoon,
    /// Its default result is `ABANDON`.
    Abandons,
}

/// Returns the faults of an ecs-drain hook.
pub(crate) fn faults(hook: &HookView) -> Vec<Fault> {
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
            format!("group {group}: hook {name} is a hook for launches, not terminations"),
            "name a terminating hook in `hooks`, or rename this one",
        ),
        Fault::EndsSoon => Finding::warning(
            format!(
                "group {group}: hook {name} ends every wait after {} (100 heartbeat timeouts)",
                words(hook.global_timeout_seconds)
            ),
            format!(
                "set the heartbeat timeout to {HEARTBEAT_TIMEOUT} s, which allows Auto Scaling's 48 hours"
            ),
        ),
        Fault::RunsOutSoon => Finding::warning(
            format!(
                "group {group}: hook {name} expires {} after the last heartbeat; a few minutes of API errors release its instances",
                words(hook.heartbeat_timeout_seconds)
            ),
            format!("set the heartbeat timeout to {HEARTBEAT_TIMEOUT} s"),
        ),
        Fault::Abandons => Finding::warning(
            format!(
                "group {group}: hook {name} has default result ABANDON; if it times out, all other hooks of the instance end, too"
            ),
            "set its default result to CONTINUE (AWS's default is ABANDON)",
        ),
    }
}

/// Warns if a group is so large that its heartbeats take longer than the hook's timeout when all
/// its instances terminate at once.
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
            "group {}: hook {} expires after {}; {} heartbeats a second keep {} instances waiting, and the group has {}: if all terminate at once, some are released early",
            group.name,
            hook.name,
            words(timeout),
            AUTO_SCALING.per_second,
            held(timeout),
            group.desired
        ),
        format!(
            "set the heartbeat timeout to {HEARTBEAT_TIMEOUT} s, which keeps {} instances waiting",
            held(HEARTBEAT_TIMEOUT)
        ),
    ))
}

fn about_others(group: &str, hook: &HookView) -> Finding {
    if hook.name == ECS_HOOK {
        return Finding::note(format!(
            "group {group}: ECS managed instance draining is on; it drains under its own hook, beside the ecs-drain hook"
        ));
    }
    if hook.default_result == ActionResult::Abandon {
        return Finding::warning(
            format!(
                "group {group}: hook {} of another owner has default result ABANDON; if it times out, the wait under the ecs-drain hook ends, too (WaitLost)",
                hook.name
            ),
            "ask its owner to set CONTINUE",
        );
    }
    Finding::note(format!(
        "group {group}: hook {} of another owner delays terminations, too; its ABANDON would end the wait",
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
pub(super) mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use std::collections::BTreeMap;

    pub(in crate::doctor) fn group() -> GroupView {
        GroupView {
            name: "web".to_owned(),
            tags: BTreeMap::new(),
            members: Vec::new(),
            desired: 200,
            minimum: 0,
            maximum: 0,
            template: None,
            suspended: Default::default(),
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
    fn one_correct_hook_is_fine() {
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
        said(&[], Verdict::Warning, "no ecs-drain hook");
        said(&[launch], Verdict::Warning, "is a hook for launches");
        said(
            &[hook("ecs-drain"), hook("ecs-drain-2")],
            Verdict::Failure,
            "2 ecs-drain hooks (ecs-drain, ecs-drain-2)",
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
            "10 heartbeats a second keep 100 instances waiting, and the group has 200",
        );
        assert!(
            judged(&[minute]).iter().all(|(_, text)| !text.contains("heartbeats a second")),
            "it holds just these"
        );
        said(&[abandons], Verdict::Warning, "has default result ABANDON");
        said(
            &[hook("ecs-drain"), others],
            Verdict::Warning,
            "hook backup of another owner has default result ABANDON",
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
