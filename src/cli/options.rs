//! Lists the commands that an operator can use on one drain now. `describe` prints them. The
//! controller would carry out each of them on the record that is shown.

use crate::cli::pause::{called, resumed_by};
use crate::cli::{Global, TableArgs};
use crate::quote::word;
use crate::store::pauses::{EVERYTHING, Pauses, place};
use ecs_drain_state::diagnosis::Fix;
use ecs_drain_state::{Phase, Record};
use jiff::SignedDuration;

/// Least time between a deadline and the hook's expiry for which `extend` is offered.
const LEAST: SignedDuration = SignedDuration::from_mins(15);

/// A command, and its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The command, ready to be pasted into a shell.
    pub command: String,
    /// Its effect in a few words.
    pub effect: String,
}

/// Flags that a printed command needs to find the same table and controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub(super) String);

impl Flags {
    /// Returns the flags for a record's controller. `controller` is the one that this command uses.
    ///
    /// A value that is also in the environment needs no flag.
    pub fn new(given: &TableArgs, record: &Record, controller: &str) -> Flags {
        Flags::of(given, &record.controller, controller)
    }

    /// As [`Flags::new`], for the controller `whose`.
    pub(crate) fn of(given: &TableArgs, whose: &str, controller: &str) -> Flags {
        let mut flags = String::new();
        let mut flag = |name: &str, variable: &str, value: Option<&str>| {
            let known = std::env::var(variable).ok();
            if let Some(value) = value.filter(|value| known.as_deref() != Some(value)) {
                flags.push_str(&format!(" {name} {}", word(value)));
            }
        };
        flag("--table", "ECS_DRAIN_TABLE", given.table.as_deref());
        flag("--table-region", "ECS_DRAIN_TABLE_REGION", given.table_region.as_deref());
        let other = (whose != controller).then_some(whose);
        flag("--controller", "ECS_DRAIN_CONTROLLER", other.or(given.controller.as_deref()));
        Flags(flags)
    }

    /// Returns the flags with the configuration file of this command, which can name the table.
    pub(crate) fn with_config(self, global: &Global) -> Flags {
        let file = global.config.as_ref().map(|path| path.display().to_string());
        match file.filter(|file| std::env::var("ECS_DRAIN_CONFIG").ok().as_ref() != Some(file)) {
            Some(file) => Flags(format!(" --config {}{}", word(&file), self.0)),
            None => self,
        }
    }
}

/// Returns the commands for a drain in its present state: first those that end a cause, then those
/// of ecs-drain, the mildest first.
pub fn options(record: &Record, pauses: &Pauses, flags: &Flags) -> Vec<Choice> {
    if record.is_done() {
        return Vec::new();
    }
    let on = |verb: &str, rest: &str| {
        format!("ecs-drain {verb} {}{rest}{}", word(&record.instance_id), flags.0)
    };
    let choice = |command: String, effect: &str| Choice { command, effect: effect.to_owned() };
    let returning = record.phase() == Phase::Returning;
    let mut choices: Vec<Choice> = record
        .shown
        .causes
        .iter()
        .filter_map(|cause| cause.fix.as_ref())
        .map(|fix| ending(fix, &record.region))
        .collect();
    for place in paused_places(record, pauses) {
        choices.push(choice(resumed_by(&place, flags), &format!("resume {}", called(&place))));
    }
    match &record.orders.pause {
        Some(_) => choices.push(choice(on("resume", ""), "resume this drain")),
        None => {
            choices.push(choice(on("pause", " --reason '…'"), "stop everything but heartbeats"))
        }
    }
    if record.attempts > 0 {
        choices.push(choice(on("retry", ""), "repeat the failed step now, without its back-off"));
    }
    let later = match (record.deadline, record.global_limit) {
        (Some(deadline), Some(limit)) => limit.duration_since(deadline) > LEAST,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if later && !returning && record.phase() != Phase::Completing {
        choices.push(choice(on("extend", " --by 2h"), "move its deadline"));
    }
    let deregistered = record.container_instances.iter().any(|one| one.deregistered_at.is_some());
    if record.lifecycle.is_none() && record.orders.cancel.is_none() && !returning && !deregistered {
        choices.push(choice(
            on("cancel", ""),
            "give the drain up, and make the container instance ACTIVE again",
        ));
    }
    if record.retained_at.is_some() {
        choices.push(choice(
            // A retained instance ends only through its group's call. (Source: EC2 Auto
            // Scaling user guide, instance lifecycle policy.)
            format!(
                "aws autoscaling terminate-instance-in-auto-scaling-group --region {} \
                 --instance-id {} --no-should-decrement-desired-capacity",
                record.region,
                word(&record.instance_id)
            ),
            "terminate the retained instance",
        ));
    } else if record.orders.force.is_none() && !returning && record.phase() != Phase::Completing {
        choices.push(choice(
            on("force", " --reason '…'"),
            "release it now with everything that is left; asks first",
        ));
    }
    choices
}

/// Returns the command that makes a call of AWS. The names come from a record, and are quoted.
fn ending(fix: &Fix, region: &str) -> Choice {
    let (call, effect) = match fix {
        Fix::StopTask { cluster, task } => (
            format!("stop-task --cluster {} --task {}", word(cluster), word(task)),
            "stop the standalone task; then the drain continues by itself",
        ),
        Fix::EndProtection { cluster, task } => (
            format!(
                "update-task-protection --cluster {} --tasks {} --no-protection-enabled",
                word(cluster),
                word(task)
            ),
            "end the protection of the task, so that ECS can stop it",
        ),
        Fix::ContinueDeployment { deployment, hook } => (
            format!(
                "continue-service-deployment --service-deployment-arn {} --hook-id {}",
                word(deployment),
                word(hook)
            ),
            "continue the deployment, whose new tasks then replace the old ones",
        ),
        Fix::StopDeployment { deployment } => (
            format!("stop-service-deployment --service-deployment-arn {}", word(deployment)),
            "stop the deployment before its bake time is over",
        ),
    };
    let command = format!("aws ecs {call} --region {}", word(region));
    Choice { command, effect: effect.to_owned() }
}

/// Returns the pauses that apply to this drain: of its clusters, of its account and region, or of
/// everything.
fn paused_places(record: &Record, pauses: &Pauses) -> Vec<String> {
    let clusters = record
        .container_instances
        .iter()
        .map(|one| one.cluster.as_str())
        .chain(["*"])
        .map(|cluster| place(&record.account, &record.region, cluster));
    let all = std::iter::once(EVERYTHING.to_owned()).chain(clusters);
    all.filter(|place| pauses.places.contains_key(place)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use crate::cli::samples::{self, asked, now, retained, waiting};
    use crate::store::Read;
    use clap::Parser;
    use ecs_drain_state::request::{Applied, Circumstances, apply};
    use ecs_drain_state::{Note, Order, Request, Stage, What};

    fn lines(choices: &[Choice]) -> Vec<&str> {
        choices.iter().map(|choice| choice.command.as_str()).collect()
    }

    fn record(read: (String, Read)) -> Record {
        let Read::Record(record) = read.1 else { panic!("a record") };
        *record
    }

    #[test]
    fn the_mildest_comes_first() {
        let choices = options(&record(waiting()), &Pauses::default(), &Flags::default());
        assert_eq!(
            lines(&choices),
            [
                "ecs-drain pause i-0waiting --reason '…'",
                "ecs-drain retry i-0waiting",
                "ecs-drain force i-0waiting --reason '…'",
            ]
        );
    }

    #[test]
    fn a_command_that_ends_a_cause_is_complete_and_comes_first() {
        let mut record = record(waiting());
        let cluster = "web'; rm -rf /".to_owned();
        let fixes = [
            Fix::StopTask { cluster: "web".to_owned(), task: "0a1b".to_owned() },
            Fix::EndProtection { cluster, task: "0a1b".to_owned() },
            Fix::ContinueDeployment { deployment: "arn:d".to_owned(), hook: "h".to_owned() },
            Fix::StopDeployment { deployment: "arn:d".to_owned() },
        ];
        record.shown.causes = fixes
            .map(|fix| Note { name: "Any".to_owned(), text: "any".to_owned(), fix: Some(fix) })
            .into();
        let choices = options(&record, &Pauses::default(), &Flags::default());
        assert_eq!(
            lines(&choices)[..5],
            [
                "aws ecs stop-task --cluster web --task 0a1b --region eu-west-1",
                "aws ecs update-task-protection --cluster 'web'\\''; rm -rf /' --tasks 0a1b \
                 --no-protection-enabled --region eu-west-1",
                "aws ecs continue-service-deployment --service-deployment-arn arn:d --hook-id h \
                 --region eu-west-1",
                "aws ecs stop-service-deployment --service-deployment-arn arn:d --region eu-west-1",
                "ecs-drain pause i-0waiting --reason '…'",
            ]
        );
    }

    #[test]
    fn a_pause_of_the_cluster_is_ended_by_its_own_command() {
        let mut record = record(asked());
        record.orders.pause = None;
        record.shown.causes.clear();
        let order = Order { by: "Ada".to_owned(), reason: None, at: now() };
        let places = ["*", "123456789012/eu-west-1/*", "123456789012/eu-west-1/web", "1/eu/web"];
        let places = places.into_iter().map(|place| (place.to_owned(), order.clone())).collect();
        let choices = options(&record, &Pauses { places }, &Flags(" --table drains".to_owned()));
        assert_eq!(
            lines(&choices)[..3],
            [
                "ecs-drain resume --everything --table drains",
                "ecs-drain resume --cluster 123456789012/eu-west-1/web --table drains",
                "ecs-drain resume --cluster '123456789012/eu-west-1/*' --table drains",
            ]
        );
    }

    #[test]
    fn the_flags_of_this_command_are_those_of_the_next() {
        let given = TableArgs { table: Some("my table".to_owned()), ..TableArgs::default() };
        let flags = Flags::new(&given, &record(waiting()), "other");
        assert_eq!(flags.0, " --table 'my table' --controller default");
        let none = Flags::new(&TableArgs::default(), &record(waiting()), "default");
        assert_eq!(none.0, "");
        let words = ["ecs-drain", "--config", "my file.toml", "get"];
        let global = Cli::try_parse_from(words).unwrap().global;
        assert_eq!(none.with_config(&global).0, " --config 'my file.toml'");
        assert!(
            flags.with_config(&global).0.ends_with("toml' --table 'my table' --controller default")
        );
    }

    /// Tries every phase of every sample: the program parses each printed command, and the
    /// controller does not refuse it.
    #[test]
    fn a_command_that_is_printed_is_carried_out() {
        let mut tried = 0;
        let stages = [Stage::Pending, Stage::Deregistering, Stage::Waiting, Stage::Verifying];
        for sample in [waiting(), asked(), retained()] {
            let sample = record(sample);
            let stages = stages.iter().cloned().chain([sample.stage.clone()]);
            for (stage, deadline) in stages.flat_map(|s| [(s.clone(), false), (s, true)]) {
                let mut record = sample.clone();
                record.deadline = deadline.then(|| now() + SignedDuration::from_mins(5));
                record.stage = stage;
                if record.phase() != Phase::Completing {
                    record.retained_at = None;
                }
                for choice in options(&record, &Pauses::default(), &Flags::default()) {
                    let words = shlex(&choice.command);
                    if words[0] == "aws" {
                        continue;
                    }
                    Cli::try_parse_from(&words).unwrap_or_else(|e| panic!("{words:?}: {e}"));
                    let answer = apply(
                        &request(&record, &words[1]),
                        Some(&record),
                        &Circumstances { margin: SignedDuration::ZERO, paused: None, now: now() },
                    );
                    assert!(
                        matches!(answer, Applied::Changed { .. }),
                        "{}: {words:?}: {answer:?}",
                        record.phase()
                    );
                    tried += 1;
                }
            }
        }
        assert!(tried > 60, "{tried}");
    }

    fn shlex(line: &str) -> Vec<String> {
        line.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    fn request(record: &Record, verb: &str) -> Request {
        let what = match verb {
            "resume" => What::Resume,
            "pause" => What::Pause,
            "retry" => What::Retry,
            "cancel" => What::Cancel,
            "force" => What::Force,
            "extend" => What::Extend { until: now() + SignedDuration::from_hours(2) },
            other => panic!("{other}"),
        };
        samples::request(record, what, Some("x"))
    }
}
