//! The condition that makes an instance old.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Condition that makes an instance old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Every instance.
    All,
    /// Instances that the operator named.
    Listed,
    /// Instances of this AMI.
    Ami(String),
    /// Instances that registered at least this many seconds before the rollout.
    OlderThan(u64),
    /// Instances whose ECS agent has another version.
    AgentNot(String),
    /// Instances that their group launched from another launch template version than the one that
    /// it uses now.
    LaunchTemplate,
}

/// Properties of an instance by which it can be old. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Id of its AMI, as its ECS agent reports it.
    pub ami: Option<String>,
    /// Version of its ECS agent.
    pub agent: Option<String>,
    /// True if its group launched it from the launch template and version that it uses now.
    pub current_template: Option<bool>,
    /// Time at which it registered with its cluster.
    pub registered_at: Option<Timestamp>,
}

impl Selection {
    /// Returns whether an instance is old, or `None` if the property is not known.
    pub fn matches(&self, traits: &Traits, now: Timestamp) -> Option<bool> {
        match self {
            Selection::All | Selection::Listed => Some(true),
            Selection::Ami(ami) => traits.ami.as_ref().map(|of| of == ami),
            Selection::OlderThan(seconds) => {
                let age = SignedDuration::from_secs(i64::try_from(*seconds).unwrap_or(i64::MAX));
                traits.registered_at.map(|at| now.duration_since(at) >= age)
            }
            Selection::AgentNot(version) => traits.agent.as_ref().map(|of| of != version),
            Selection::LaunchTemplate => traits.current_template.map(|current| !current),
        }
    }

    /// Returns whether a replacement is as old as what it replaces. An instance that is new cannot
    /// be so by its age, or by a list.
    pub fn is_still_old(&self, traits: &Traits, now: Timestamp) -> bool {
        match self {
            Selection::All | Selection::Listed | Selection::OlderThan(_) => false,
            Selection::Ami(_) | Selection::AgentNot(_) | Selection::LaunchTemplate => {
                self.matches(traits, now) == Some(true)
            }
        }
    }
}

/// Formats the condition as a clause: `with AMI ami-1`.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::All => f.write_str("all instances"),
            Selection::Listed => f.write_str("named instances"),
            Selection::Ami(ami) => write!(f, "instances with AMI {ami}"),
            Selection::OlderThan(seconds) if seconds % 86_400 == 0 => {
                write!(f, "instances older than {} days", seconds / 86_400)
            }
            Selection::OlderThan(seconds) => write!(f, "instances older than {} h", seconds / 3600),
            Selection::AgentNot(version) => {
                write!(f, "instances whose agent is not {version}")
            }
            Selection::LaunchTemplate => {
                f.write_str("instances of another launch template version than their group's")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn now() -> Timestamp {
        "2026-01-05T09:00:00Z".parse().unwrap()
    }

    fn traits() -> Traits {
        Traits {
            ami: Some("ami-1".into()),
            agent: Some("1.90.0".into()),
            current_template: Some(false),
            registered_at: Some(now() - SignedDuration::from_hours(48)),
        }
    }

    #[test]
    fn an_instance_is_old_by_what_is_known_of_it() {
        let day = 86_400;
        for (selection, old) in [
            (Selection::All, true),
            (Selection::Listed, true),
            (Selection::Ami("ami-1".into()), true),
            (Selection::Ami("ami-11".into()), false),
            (Selection::OlderThan(2 * day), true),
            (Selection::OlderThan(2 * day + 1), false),
            (Selection::AgentNot("1.90.0".into()), false),
            (Selection::AgentNot("1.91.0".into()), true),
            (Selection::LaunchTemplate, true),
        ] {
            assert_eq!(selection.matches(&traits(), now()), Some(old), "{selection}");
            let unknown = selection.matches(&Traits::default(), now());
            let always = matches!(selection, Selection::All | Selection::Listed);
            assert_eq!(unknown, always.then_some(true), "{selection}");
        }
    }

    #[test]
    fn a_replacement_is_not_old_by_its_age_or_by_a_list() {
        let still = |selection: Selection| selection.is_still_old(&traits(), now());
        assert!(still(Selection::Ami("ami-1".into())) && still(Selection::LaunchTemplate));
        assert!(!still(Selection::All) && !still(Selection::OlderThan(0)));
        assert!(!Selection::LaunchTemplate.is_still_old(&Traits::default(), now()));
    }
}
