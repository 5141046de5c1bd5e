//! A group's tags that are settings.

use super::Finding;
use crate::aws::GroupView;
use crate::config::{GroupTags, Scope};
use crate::quote::shown;
use std::collections::BTreeSet;

/// Returns a finding for each tag that does not count, and one for those that do. `listed` are the
/// keys that tags may set.
pub(super) fn judge(
    group: &GroupView,
    listed: &BTreeSet<&'static str>,
    scope: &Scope,
) -> Vec<Finding> {
    let tags = GroupTags::read(&group.tags, listed, &scope.groups.tags);
    let name = shown(&group.name, 255);
    let mut findings: Vec<Finding> = Vec::new();
    for bad in &tags.bad {
        let text = format!("group {name}: a tag is ignored: {bad}");
        findings.push(match bad.unlisted {
            false => Finding::failure(text, "correct the tag of the group, or remove it"),
            true => Finding::warning(
                text,
                "list the key in `groups` of [tags], or remove the tag from the group",
            ),
        });
    }
    if tags.count() > 0 {
        let text = match tags.count() {
            1 => format!("group {name}: 1 tag changes its policy"),
            n => format!("group {name}: {n} tags change its policy"),
        };
        findings.push(Finding::note(text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::hooks::tests::group;
    use super::*;
    use crate::config::{Groups, Patterns};

    #[test]
    fn each_tag_that_does_not_count_is_a_finding_with_an_action() {
        let scope = Scope {
            region: "eu-west-1".to_owned(),
            role: None,
            clusters: Patterns::all(),
            groups: Groups::default(),
            queue: None,
            hooks: BTreeSet::new(),
        };
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let group = GroupView {
            tags: [
                tag("ecs-drain:deadline", "30"),
                tag("ecs-drain:stuck-after", "30m"),
                tag("ecs-drain:at-deadline", "continue"),
                tag("Name", "web"),
            ]
            .into(),
            ..group()
        };
        let found = judge(&group, &BTreeSet::from(["deadline", "stuck_after"]), &scope);
        let verdicts: Vec<_> = found.iter().map(|one| one.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warning, Verdict::Failure, Verdict::Note]);
        assert!(found.iter().all(|one| one.verdict == Verdict::Note || one.advice.is_some()));
        assert!(found.iter().any(|one| one.text.contains("ecs-drain:deadline is \"30\"")));
    }
}
