//! Each cause as a table: the facts, and the exact words of the causes.
//!
//! ```text
//! agent-lost 10m                     every agent has been disconnected for that long
//! policy standalone=30m daemons=wait
//! task ID OF STATUS[!] [KEY=VALUE…]  OF: a service, daemon/NAME, or `-` for a standalone task; ! means that it is being stopped
//!                                    protected=2h (from now), protected=-, unprotected, since=5m (began to stop), timeout=120
//! tasks unknown
//! service NAME desired=2 running=2 [pending=1] [min=100] [max=100] [by=outside|other] [distinct] [placed=c1,c2]
//! rollout NAME [progress] [stage=BAKE_TIME] [hook=h] [until=2h] [then=rollback|continue] [bake=60] [deferred] [revisions=2]
//! where NAME EXPRESSION              a memberOf constraint of the service
//! need NAME [cpu=256] [memory=512] [tcp=80] [udp=53] [attr=a] [attr=a:b]
//! event NAME 5m TEXT                 reported that long ago
//! others [more]                      the other container instances were read
//! other ID [away] [cpu=] [memory=] [taken=80,443] [attr=a:b]
//! delay 300
//! target NAME STATE [drains=5m] [delay=300]
//! throttled ACTION
//! unreadable ACTION ERROR
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod causes;
mod expressions;
mod rollouts;
mod services;
mod unread;

use super::*;
use crate::policy::{DaemonTasks, StandaloneTasks};
use std::time::Duration;

/// The cluster of all tables.
const CLUSTER: &str = "web";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn span(text: &str) -> SignedDuration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => panic!("no unit: {other}"),
    };
    SignedDuration::from_secs(number.parse::<i64>().unwrap() * seconds)
}

fn ago(text: &str) -> Timestamp {
    now().checked_sub(span(text)).unwrap()
}

/// Checks that these facts give exactly these causes, one a line.
#[track_caller]
fn check(facts: &str, expected: &str) {
    let said: Vec<String> =
        diagnose(&read(facts), now()).iter().map(|c| format!("{}: {c}", c.name())).collect();
    let expected: Vec<&str> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(said.join("\n"), expected.join("\n"), "\nfrom {facts}");
}

fn read(table: &str) -> Facts {
    let mut facts = Facts { tasks: Some(Vec::new()), ..Facts::default() };
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match word {
            "agent-lost" => facts.agent_lost_since = Some(ago(rest)),
            "policy" => policy(&mut facts, &words),
            "tasks" => facts.tasks = None,
            "task" => facts.tasks.as_mut().unwrap().push(task(&words)),
            "service" => {
                facts.services.insert(key(words[0]), service(&words));
            }
            "rollout" => facts.services.get_mut(&key(words[0])).unwrap().rollout = rollout(&words),
            "where" => {
                let (name, expression) = rest.split_once(' ').unwrap();
                let constraint = Constraint::MemberOf(expression.to_owned());
                facts.services.get_mut(&key(name)).unwrap().constraints.push(constraint);
            }
            "need" => facts.services.get_mut(&key(words[0])).unwrap().need = Some(need(&words)),
            "event" => {
                let mut parts = rest.splitn(3, ' ');
                let service = facts.services.get_mut(&key(parts.next().unwrap())).unwrap();
                let at = ago(parts.next().unwrap());
                service.events.push(EventFacts { at, text: parts.next().unwrap().to_owned() });
            }
            "others" => {
                facts.others.insert(
                    CLUSTER.to_owned(),
                    Others { instances: Vec::new(), more: rest == "more" },
                );
            }
            "other" => {
                facts.others.entry(CLUSTER.to_owned()).or_default().instances.push(instance(&words))
            }
            "delay" => facts.delay_seconds = Some(rest.parse().unwrap()),
            "target" => facts.targets.push(target(&words)),
            "throttled" => {
                facts.throttled.insert(rest.to_owned());
            }
            "unreadable" => {
                let (action, error) = rest.split_once(' ').unwrap();
                facts.unreadable.insert(action.to_owned(), error.to_owned());
            }
            other => panic!("no such line: {other}"),
        }
    }
    facts
}

fn key(service: &str) -> ServiceKey {
    (CLUSTER.to_owned(), service.to_owned())
}

/// Reads `key=value`, or a word without a value.
fn pairs<'a>(words: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    words.iter().map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
}

fn policy(facts: &mut Facts, words: &[&str]) {
    for (name, value) in pairs(words) {
        match name {
            "standalone" => {
                let grace = Duration::try_from(span(value)).unwrap();
                facts.standalone_tasks = StandaloneTasks::StopAfter(grace);
            }
            "daemons" => facts.daemon_tasks = DaemonTasks::Wait,
            other => panic!("no such word: {other}"),
        }
    }
}

fn task(words: &[&str]) -> TaskFacts {
    let [id, of, status, rest @ ..] = words else {
        panic!("a task has an id, a service and a status")
    };
    let kind = match (*of, of.strip_prefix("daemon/")) {
        (_, Some(name)) => TaskKind::Daemon(name.to_owned()),
        ("-", None) => TaskKind::Standalone,
        (name, None) => TaskKind::Replica(name.to_owned()),
    };
    let mut task = TaskFacts {
        id: (*id).to_owned(),
        cluster: CLUSTER.to_owned(),
        last_status: status.trim_end_matches('!').to_owned(),
        stopping: status.ends_with('!'),
        kind,
        protection: Protection::Unknown,
        stopping_at: None,
        stop_timeout_seconds: None,
    };
    for (name, value) in pairs(rest) {
        match (name, value) {
            ("protected", "-") => task.protection = Protection::On { until: None },
            ("protected", value) if value.starts_with('-') => {
                task.protection = Protection::On { until: Some(ago(&value[1..])) };
            }
            ("protected", value) => {
                task.protection = Protection::On { until: now().checked_add(span(value)).ok() }
            }
            ("unprotected", _) => task.protection = Protection::Off,
            ("since", value) => task.stopping_at = Some(ago(value)),
            ("timeout", value) => task.stop_timeout_seconds = Some(value.parse().unwrap()),
            (other, _) => panic!("no such word: {other}"),
        }
    }
    task
}

fn service(words: &[&str]) -> ServiceFacts {
    let mut service = ServiceFacts::default();
    for (name, value) in pairs(&words[1..]) {
        let number = value.parse().ok();
        match name {
            "desired" => service.desired = number.unwrap(),
            "running" => service.running = number.unwrap(),
            "pending" => service.pending = number.unwrap(),
            "min" => service.minimum_percent = number,
            "max" => service.maximum_percent = number,
            "by" if value == "outside" => service.controller = Controller::Outside,
            "by" => service.controller = Controller::Other(value.to_owned()),
            "distinct" => service.constraints.push(Constraint::DistinctInstance),
            "placed" => service.placed_on = Some(value.split(',').map(str::to_owned).collect()),
            other => panic!("no such word: {other}"),
        }
    }
    service
}

fn rollout(words: &[&str]) -> RolloutFacts {
    let mut rollout = RolloutFacts::default();
    for (name, value) in pairs(&words[1..]) {
        let deployment =
            || DeploymentFacts { arn: "arn:d".to_owned(), ..DeploymentFacts::default() };
        let pause = |rollout: &mut RolloutFacts, change: &dyn Fn(&mut PauseFacts)| {
            change(rollout.deployment.get_or_insert_with(deployment).pause.get_or_insert_default());
        };
        match name {
            "progress" => rollout.in_progress = true,
            "stage" => rollout.deployment.get_or_insert_with(deployment).stage = value.to_owned(),
            "hook" => pause(&mut rollout, &|pause| pause.hook = value.to_owned()),
            "until" => {
                pause(&mut rollout, &|pause| pause.until = now().checked_add(span(value)).ok())
            }
            "then" if value == "continue" => {
                pause(&mut rollout, &|pause| pause.then = HookTimeout::Continue)
            }
            "then" => pause(&mut rollout, &|pause| pause.then = HookTimeout::RollBack),
            "bake" => rollout.bake_minutes = value.parse().ok(),
            "deferred" => rollout.cleanup_deferred = true,
            "revisions" => rollout.revisions = value.parse().unwrap(),
            other => panic!("no such word: {other}"),
        }
    }
    rollout
}

fn attribute(text: &str) -> (String, Option<String>) {
    match text.split_once(':') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

fn need(words: &[&str]) -> Need {
    let mut need = Need::default();
    for (name, value) in pairs(&words[1..]) {
        match name {
            "cpu" => need.cpu = value.parse().ok(),
            "memory" => need.memory = value.parse().ok(),
            "tcp" => need.ports.extend([Port::Tcp(value.parse().unwrap())]),
            "udp" => need.ports.extend([Port::Udp(value.parse().unwrap())]),
            "attr" => need.attributes.push(attribute(value)),
            "where" => need.constraints.push(Constraint::MemberOf(value.replace('~', " "))),
            other => panic!("no such word: {other}"),
        }
    }
    need
}

fn instance(words: &[&str]) -> InstanceFacts {
    let id = words[0];
    let mut instance = InstanceFacts {
        arn: id.replace("i-", "c"),
        ec2_instance_id: id.to_owned(),
        agent_connected: true,
        ..InstanceFacts::default()
    };
    for (name, value) in pairs(&words[1..]) {
        match name {
            "away" => instance.agent_connected = false,
            "cpu" => instance.cpu = value.parse().ok(),
            "memory" => instance.memory = value.parse().ok(),
            "taken" => {
                let ports = value.split(',').filter(|port| !port.is_empty());
                instance.ports_taken =
                    Some(ports.map(|port| Port::Tcp(port.parse().unwrap())).collect());
            }
            "attr" => instance.attributes.extend([attribute(value)]),
            other => panic!("no such word: {other}"),
        }
    }
    instance
}

fn target(words: &[&str]) -> TargetFacts {
    let mut target = TargetFacts {
        name: format!("i-0 in target group {}", words[0]),
        state: words[1].to_owned(),
        draining: words[1] == "draining",
        delay_seconds: None,
        draining_since: None,
    };
    for (name, value) in pairs(&words[2..]) {
        match name {
            "drains" => target.draining_since = Some(ago(value)),
            "delay" => target.delay_seconds = value.parse().ok(),
            other => panic!("no such word: {other}"),
        }
    }
    target
}
