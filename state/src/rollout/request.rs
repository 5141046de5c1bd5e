//! An operator's request about a rollout, and its effect on the record.

use super::{
    Event, Group, MOST, MOST_GROUPS, Options, Outcome, Rollout, SCHEMA, Selection, Stage, Turn,
};
use crate::record::Order;
use crate::request::EXPIRES_AFTER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Longest name or reason that is copied into a record, in characters.
const LONGEST: usize = 500;

/// Longest name of a rollout, in characters.
const LONGEST_NAME: usize = 40;

/// An operator's request about a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Id of this request; ids of later requests sort after those of earlier ones.
    pub id: String,
    /// Name of the controller that is to carry it out.
    pub controller: String,
    /// AWS account, 12 digits.
    pub account: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// Name of the rollout.
    pub rollout: String,
    /// The action that is requested.
    pub what: What,
    /// The operator, as the CLI determined it. It is not proof.
    pub by: String,
    /// The operator's reason, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time of the request.
    pub at: Timestamp,
    /// Schema of this request, see [`crate::request::SCHEMA`].
    pub schema: u32,
}

/// The actions that an operator can request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Begin a rollout.
    Start(Box<Start>),
    /// Begin no further drain.
    Pause,
    /// Continue a rollout that is paused, or that stopped.
    Resume,
    /// End it: drains under way finish, extra capacity is given back.
    Abort,
    /// End it: drains under way are cancelled, extra capacity is given back.
    Undo,
}

/// The content of a new rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Condition that makes the instances old.
    pub selection: Selection,
    /// The operator's options.
    pub options: Options,
    /// The old instances, by group: its cluster, and EC2 instance ids.
    pub groups: BTreeMap<String, (String, BTreeSet<String>)>,
}

impl What {
    /// Returns the name of the request in the table's keys.
    pub const fn name(&self) -> &'static str {
        match self {
            What::Start(_) => "rollout-start",
            What::Pause => "rollout-pause",
            What::Resume => "rollout-resume",
            What::Abort => "rollout-abort",
            What::Undo => "rollout-undo",
        }
    }
}

/// Result of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// It creates the record, or its next generation.
    Created {
        /// The record.
        rollout: Box<Rollout>,
        /// Answer to the operator.
        answer: String,
    },
    /// It changes the record.
    Changed {
        /// The record after the request.
        rollout: Box<Rollout>,
        /// Answer to the operator.
        answer: String,
    },
    /// Its effect is there already.
    Already {
        /// Answer to the operator.
        answer: String,
    },
    /// It cannot be done.
    Refused {
        /// Answer to the operator: the reason, and what can be done instead.
        answer: String,
    },
}

impl Request {
    /// Returns the key of the rollout's item in the table.
    pub fn rollout_key(&self) -> String {
        super::key(&self.controller, &self.account, &self.region, &self.rollout)
    }

    /// Returns the order for the record, cut and without control characters.
    pub fn order(&self) -> Order {
        let plain = |text: &str| {
            let text: String = text.chars().take(LONGEST).collect();
            crate::text::plain(&text).trim().to_owned()
        };
        let reason = self.reason.as_deref().map(plain).filter(|reason| !reason.is_empty());
        Order { by: plain(&self.by), reason, at: self.at }
    }
}

/// Applies a request to the rollout of its name, if there is one. `taken` are the instances of
/// other unfinished rollouts, with the name of each.
pub fn apply(
    request: &Request,
    rollout: Option<&Rollout>,
    taken: &BTreeMap<String, String>,
    now: Timestamp,
) -> Applied {
    if let Some(rollout) = rollout.filter(|rollout| rollout.requests.contains(&request.id)) {
        let answer = format!("this request was carried out before; {}", standing(rollout));
        return Applied::Already { answer };
    }
    if now.duration_since(request.at).abs() > EXPIRES_AFTER {
        return refused(format!(
            "the request of {:.0} is more than {} minutes old, or a clock is wrong; run the command again",
            request.at,
            EXPIRES_AFTER.as_mins()
        ));
    }
    if let What::Start(start) = &request.what {
        return begin(request, start, rollout, taken, now);
    }
    let Some(rollout) = rollout else {
        return refused(format!(
            "there is no rollout {}; `ecs-drain rollout get` shows all",
            request.rollout
        ));
    };
    let mut next = rollout.clone();
    match change(&mut next, request, now) {
        Ok(answer) => {
            next.updated_at = now;
            next.remember_request(request.id.clone());
            Applied::Changed { rollout: Box::new(next), answer: answer.to_owned() }
        }
        Err(refusal) => refusal,
    }
}

fn refused(answer: String) -> Applied {
    Applied::Refused { answer }
}

/// Describes the state of a rollout, in a clause.
fn standing(rollout: &Rollout) -> String {
    if let Stage::Done { outcome } = &rollout.stage {
        return format!("it has ended ({})", outcome.name());
    }
    let (stage, since) = (rollout.stage.name(), rollout.stage_since);
    format!("it has been {stage} since {since:.0}: {}", rollout.message)
}

fn change(next: &mut Rollout, request: &Request, now: Timestamp) -> Result<&'static str, Applied> {
    let order = request.order();
    let already = |next: &Rollout| Applied::Already { answer: standing(next) };
    let (stage, note, answer) = match (&request.what, &next.stage) {
        (_, Stage::Done { .. }) => {
            return Err(refused(format!("{}; start another one", standing(next))));
        }
        (What::Start(_), _)
        | (What::Pause, Stage::Paused { .. })
        | (What::Resume, Stage::Counting | Stage::Running)
        | (What::Abort, Stage::Aborting)
        | (What::Undo, Stage::Undoing) => return Err(already(next)),
        (What::Pause | What::Resume, Stage::Aborting | Stage::Undoing) => {
            return Err(refused(format!("it ends; {}", standing(next))));
        }
        (What::Abort, Stage::Undoing) => {
            return Err(refused(format!("its drains are cancelled already; {}", standing(next))));
        }
        (What::Pause, Stage::Counting | Stage::Running | Stage::Stopped { .. }) => (
            Stage::Paused { by: order.clone() },
            format!("paused by {order}"),
            "paused; drains under way continue, and extra capacity stays",
        ),
        (What::Resume, Stage::Paused { .. } | Stage::Stopped { .. }) => {
            let stage = if next.started_at.is_some() { Stage::Running } else { Stage::Counting };
            // The limits count from now.
            next.groups.values_mut().for_each(|group| group.waits_since = None);
            (stage, format!("resumed by {order}"), "resumed")
        }
        (What::Abort, _) => (
            Stage::Aborting,
            format!("aborted by {order}"),
            "aborted; drains under way finish, then extra capacity is given back",
        ),
        (What::Undo, _) => (
            Stage::Undoing,
            format!("undo requested by {order}"),
            "its drains are cancelled where their group does not terminate the instance yet, then extra capacity is given back",
        ),
    };
    next.note(now, note);
    next.enter(stage, now);
    Ok(answer)
}

/// Checks that a name is fit for a key of the table, and for a command.
///
/// # Errors
/// Returns the allowed form.
pub fn check_name(name: &str) -> Result<(), String> {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fit) {
        return Ok(());
    }
    Err(format!(
        "a rollout's name has 1 to {LONGEST_NAME} letters, digits, dots, hyphens and underscores"
    ))
}

fn begin(
    request: &Request,
    start: &Start,
    before: Option<&Rollout>,
    taken: &BTreeMap<String, String>,
    now: Timestamp,
) -> Applied {
    if let Err(why) = check_name(&request.rollout) {
        return refused(why);
    }
    if let Some(before) = before.filter(|before| !before.is_done()) {
        return refused(format!(
            "there is a rollout {} already; {}",
            before.name,
            standing(before)
        ));
    }
    let total: usize = start.groups.values().map(|(_, old)| old.len()).sum();
    if total == 0 {
        return refused("no instance is old: nothing to do".to_owned());
    }
    if total > MOST || start.groups.len() > MOST_GROUPS {
        return refused(format!(
            "{total} instances in {} groups are too many for one rollout: at most {MOST} in {MOST_GROUPS} groups; start one for each part",
            start.groups.len()
        ));
    }
    let mut all = start.groups.values().flat_map(|(_, old)| old);
    if let Some((id, name)) = all.find_map(|id| taken.get_key_value(id)) {
        return refused(format!("{id} is part of rollout {name}, which has not ended"));
    }
    let group = |(cluster, old): &(String, BTreeSet<String>)| Group {
        cluster: cluster.clone(),
        old: old.iter().map(|id| (id.clone(), Turn::Waiting)).collect(),
        ..Group::default()
    };
    let order = request.order();
    let what = format!("requested by {order}: {}", start.selection);
    let rollout = Rollout {
        account: request.account.clone(),
        region: request.region.clone(),
        name: request.rollout.clone(),
        controller: request.controller.clone(),
        schema: SCHEMA,
        generation: before.map_or(1, |before| before.generation.saturating_add(1)),
        version: before.map_or(0, |before| before.version),
        write_id: before.map_or_else(String::new, |before| before.write_id.clone()),
        created_at: now,
        updated_at: now,
        requested: order,
        selection: start.selection.clone(),
        options: start.options.clone(),
        stage: Stage::Counting,
        stage_since: now,
        started_at: None,
        groups: start.groups.iter().map(|(name, of)| (name.clone(), group(of))).collect(),
        short_before: BTreeSet::new(),
        requests: vec![request.id.clone()],
        history: vec![Event { at: now, what }],
        why: "reads".to_owned(),
        message: "its groups must be read".to_owned(),
        expires_at: None,
    };
    let answer = format!(
        "rollout {} begins; old instances: {total}, groups: {}",
        rollout.name,
        rollout.groups.len()
    );
    Applied::Created { rollout: Box::new(rollout), answer }
}

impl Rollout {
    /// Returns whether its end left everything as the operator wanted.
    pub const fn succeeded(&self) -> bool {
        matches!(self.stage, Stage::Done { outcome: Outcome::Replaced })
    }
}
