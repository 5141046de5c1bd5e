//! The results of all checks on all clouds, as a table.

use super::clouds::{Cloud, Results};
use super::told::Told;
use super::{CHECKS, differs};
use std::fmt;

/// The verdict on one check on one cloud.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The cloud behaves as AWS does.
    Same,
    /// It differs, as is listed.
    Differs(&'static str),
    /// It differs, and not as is listed.
    Wrong(String),
    /// A difference is listed, and the cloud behaves as AWS does.
    Stale,
    /// The cloud has no such service.
    Absent,
}

impl Verdict {
    /// Returns the verdict on a result.
    pub fn of(cloud: Cloud, check: &str, told: Told) -> Verdict {
        match (told, differs::differs(cloud, check)) {
            (Ok(()), None) => Verdict::Same,
            (Ok(()), Some(_)) => Verdict::Stale,
            // The complaint must be the listed one.
            (Err(complaint), Some((_, words, instead))) if complaint.0.contains(words) => {
                Verdict::Differs(instead)
            }
            (Err(complaint), Some(_) | None) => Verdict::Wrong(complaint.0),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Verdict::Same => "ok",
            Verdict::Differs(_) => "differs",
            Verdict::Wrong(_) => "WRONG",
            Verdict::Stale => "STALE",
            Verdict::Absent => "-",
        }
    }
}

/// The verdicts on each cloud, in the order of the checks.
pub struct Report {
    columns: Vec<(Cloud, Vec<Verdict>)>,
}

impl Report {
    /// Returns the report on results.
    pub fn of(results: Vec<(Cloud, Results)>) -> Report {
        let verdicts = |cloud: Cloud, results: Results| {
            let verdict = |(check, told): (&super::Check, Option<Told>)| {
                told.map_or(Verdict::Absent, |told| Verdict::of(cloud, check.name, told))
            };
            CHECKS.iter().zip(results).map(verdict).collect()
        };
        Report {
            columns: results
                .into_iter()
                .map(|(cloud, results)| (cloud, verdicts(cloud, results)))
                .collect(),
        }
    }

    /// Returns true if every cloud behaves as AWS does, or differs as is listed.
    pub fn is_good(&self) -> bool {
        let mut all = self.columns.iter().flat_map(|(_, verdicts)| verdicts);
        all.all(|verdict| !matches!(verdict, Verdict::Wrong(_) | Verdict::Stale))
    }
}

/// Writes a row for each check and a column for each cloud, the number of verdicts, and each
/// difference.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<82}", "")?;
        for (cloud, _) in &self.columns {
            write!(f, "{:>11}", cloud.name())?;
        }
        for (row, check) in CHECKS.iter().enumerate() {
            write!(f, "\n{:<82}", format!("{}: {}", check.service, check.name.replace('_', " ")))?;
            for (_, verdicts) in &self.columns {
                write!(f, "{:>11}", verdicts[row].word())?;
            }
        }
        writeln!(f, "\n")?;
        for (cloud, verdicts) in &self.columns {
            let count =
                |word: &str| verdicts.iter().filter(|verdict| verdict.word() == word).count();
            let (same, differs, absent) = (count("ok"), count("differs"), count("-"));
            let bad = verdicts.len() - same - differs - absent;
            writeln!(
                f,
                "{}: {same} as AWS, {differs} differ as listed, {absent} absent, {bad} bad",
                cloud.name()
            )?;
            for (check, verdict) in CHECKS.iter().zip(verdicts) {
                match verdict {
                    Verdict::Same | Verdict::Absent => {}
                    Verdict::Differs(instead) => writeln!(f, "  {}: {instead}", check.name)?,
                    Verdict::Wrong(complaint) => {
                        writeln!(f, "  WRONG {}: {complaint}", check.name)?
                    }
                    Verdict::Stale => {
                        writeln!(f, "  STALE {}: listed as different, and is not", check.name)?
                    }
                }
            }
        }
        Ok(())
    }
}
