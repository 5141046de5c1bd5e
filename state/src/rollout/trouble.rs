//! The reasons for which a rollout stops by itself.

use super::sight::Sight;
use super::{Group, Rollout};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Returns the first reason to stop, in a sentence.
pub(super) fn find(rollout: &Rollout, sight: &Sight, now: Timestamp) -> Option<String> {
    rollout
        .groups
        .iter()
        .find_map(|(name, group)| of_group(rollout, name, group, sight, now))
        .or_else(|| services(rollout, sight))
}

fn of_group(
    rollout: &Rollout,
    name: &str,
    group: &Group,
    sight: &Sight,
    now: Timestamp,
) -> Option<String> {
    if sight.groups.get(name).is_some_and(|group| group.refreshes) {
        return Some(format!(
            "an instance refresh of group {name} runs; wait until it has ended, or cancel it"
        ));
    }
    let launched = sight.members.iter().filter(|(id, member)| {
        member.group == name && !group.old.contains_key(*id) && member.in_service
    });
    for (id, _) in launched {
        let Some(one) = sight.instances.get(id) else { continue };
        if rollout.selection.is_still_old(&one.traits, now) {
            return Some(format!(
                "the new instance {id} of group {name} counts as old, too: check the group's launch template"
            ));
        }
    }
    for (id, _) in group.ordered() {
        if let Some(why) = sight.refused.get(id) {
            return Some(format!("the drain of {id} cannot begin: {why}"));
        }
        let Some(drain) = sight.drains.get(id) else { continue };
        if drain.stuck_since.is_some_and(|since| is_over(rollout, since, 0, now)) {
            return Some(format!("the drain of {id} is stuck: {}", drain.message));
        }
    }
    let soak = rollout.options.soak_seconds;
    if group.waits_since.is_some_and(|since| is_over(rollout, since, soak, now)) {
        return Some(format!("replacements of group {name} are missing: {}", rollout.message));
    }
    None
}

/// Returns a service that has run fewer tasks than it should for too long, and did not before.
fn services(rollout: &Rollout, sight: &Sight) -> Option<String> {
    let limit = Duration::from_secs(rollout.options.stuck_seconds.into());
    let mut short = sight.short.iter().flatten();
    let short = short.find(|s| s.short_for >= limit && !rollout.short_before.contains(&s.key()))?;
    Some(format!(
        "service {} of cluster {} has run fewer than its {} tasks for {} min: {}",
        short.service,
        short.cluster,
        short.desired,
        short.short_for.as_secs() / 60,
        short.running
    ))
}

fn is_over(rollout: &Rollout, since: Timestamp, soak: u32, now: Timestamp) -> bool {
    let limit = i64::from(rollout.options.stuck_seconds) + i64::from(soak);
    now.duration_since(since) >= SignedDuration::from_secs(limit)
}
