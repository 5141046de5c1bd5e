//! Answers to batches: sorts them by the ids that were requested.

use std::collections::BTreeMap;

/// Answer of a `Describe…` call to a list of ids. Each id is in exactly one of these lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described<T> {
    /// Items that exist, in the order requested.
    pub found: Vec<T>,
    /// Ids that AWS does not know (`failures` with reason `MISSING`), as requested.
    pub missing: Vec<String>,
    /// Ids about which nothing is known, as requested, with the reason: another failure, or no
    /// answer.
    pub failed: Vec<(String, String)>,
}

impl<T> Default for Described<T> {
    fn default() -> Self {
        Described { found: Vec::new(), missing: Vec::new(), failed: Vec::new() }
    }
}

impl<T> Described<T> {
    /// Creates the answer that none of these exists.
    pub(super) fn none_of(asked: &[String]) -> Described<T> {
        Described { missing: asked.to_vec(), ..Described::default() }
    }

    /// Adds the answer to another batch.
    pub(super) fn extend(&mut self, more: Described<T>) {
        self.found.extend(more.found);
        self.missing.extend(more.missing);
        self.failed.extend(more.failed);
    }

    /// Sorts one batch's answer: `found` with the ARN or name of each, `failures` as ARN and
    /// reason.
    ///
    /// Ids are compared by the part after their last `/`. A failure may spell an ARN in the older
    /// form without the cluster's name, and a service may be requested by name and returned by ARN.
    pub(super) fn sort(
        asked: &[String],
        found: Vec<(String, T)>,
        failures: &[(String, String)],
    ) -> Described<T> {
        let mut found: BTreeMap<String, T> =
            found.into_iter().map(|(arn, view)| (id(&arn).to_owned(), view)).collect();
        let failures: BTreeMap<&str, &str> =
            failures.iter().map(|(arn, why)| (id(arn), why.as_str())).collect();
        let mut sorted = Described::default();
        for arn in asked {
            match (found.remove(id(arn)), failures.get(id(arn))) {
                (Some(view), _) => sorted.found.push(view),
                (None, Some(&super::error::MISSING)) => sorted.missing.push(arn.clone()),
                (None, Some(why)) => sorted.failed.push((arn.clone(), (*why).to_owned())),
                (None, None) => sorted.failed.push((arn.clone(), "no answer".to_owned())),
            }
        }
        sorted
    }
}

/// Returns the part of an ARN after the last `/`; a name is its own id.
pub(super) fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn each_id_is_answered_once() {
        let asked = owned(&["a/web/1", "a/web/2", "a/web/3", "a/web/4"]);
        let found =
            vec![("a/web/3".to_owned(), 3), ("a/web/1".to_owned(), 1), ("a/web/9".to_owned(), 9)];
        let failures = vec![("a/2".to_owned(), "MISSING".to_owned())];
        let sorted = Described::sort(&asked, found, &failures);
        assert_eq!(sorted.found, [1, 3]);
        assert_eq!(sorted.missing, ["a/web/2"]);
        assert_eq!(sorted.failed, [("a/web/4".to_owned(), "no answer".to_owned())]);
    }

    #[test]
    fn another_reason_is_not_an_absence() {
        let failures = vec![("1".to_owned(), "INTERNAL".to_owned())];
        let sorted = Described::<u8>::sort(&owned(&["1"]), Vec::new(), &failures);
        assert_eq!(sorted.failed, [("1".to_owned(), "INTERNAL".to_owned())]);
        assert!(sorted.missing.is_empty());
    }

    #[test]
    fn batches_add_up() {
        let mut all = Described::sort(&owned(&["1"]), vec![("1".to_owned(), 1)], &[]);
        all.extend(Described::none_of(&owned(&["2", "3"])));
        assert_eq!((all.found.len(), all.missing.len(), all.failed.len()), (1, 2, 0));
    }
}
