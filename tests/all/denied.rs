//! Every operation of AWS is denied for good, one at a time: an alarm of the templates fires, and
//! no instance is lost within an hour.
//!
//! An instance begins to wait half a minute before that, and another one every twenty minutes after
//! that. What is only called at the start is denied from the start.

use crate::endings::{BACK_FROM_THE_WARM_POOL, STANDALONE_STOPPED};
use crate::harness::{
    Scenario, add_bus, config, environment, our_hook, seconds, set_up, virtual_time, wall,
};
use crate::operators::{drain, order_once};
use crate::queue::queued;
use crate::scenarios::{A, B, DEREGISTER, IP_AND_CLASSIC, PLAIN, cluster};
use crate::story::{BUSY, held, no_violation, run_for, while_running};
use aws_simulator::spec::{ClusterSpec, ServiceSpec};
use aws_simulator::{BEGIN, Cloud, Fault, Rule, Simulator};
use ecs_drain::aws::Call;
use ecs_drain::aws::calls::ALL;
use ecs_drain::blind::What;
use ecs_drain::metrics::cloudwatch::Lines;
use ecs_drain::store::{Ids, Store};
use ecs_drain_state::Then;
use futures_util::future::{Either, LocalBoxFuture, select};
use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// The moment from which an operation is denied.
const DENIED: Duration = seconds(60);
/// The interval at which another instance begins to wait.
const NEXT: Duration = seconds(1200);
/// The time for which the consequences are watched.
const WATCHED: Duration = seconds(4200);

/// An alarm of the CloudFormation template, with the fields that matter here.
#[derive(Debug)]
pub struct Alarm {
    name: String,
    pub metric: String,
    periods: usize,
    points: usize,
    less: bool,
    threshold: f64,
    missing_is_breaching: bool,
}

/// Returns the alarms of the program's own metrics in the stack.
pub fn alarms() -> Vec<Alarm> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/cloudformation/ecs-drain.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut resources: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with([' ', '#']))
            .and_then(|rest| rest.strip_suffix(':'))
        {
            Some(name) => resources.push((name, Vec::new())),
            None => resources.last_mut().into_iter().for_each(|(_, lines)| lines.push(line.trim())),
        }
    }
    let alarms = resources.iter().filter(|(_, lines)| {
        lines.contains(&"Type: AWS::CloudWatch::Alarm") && lines.contains(&"Namespace: ecs-drain")
    });
    let alarms = alarms.map(|(name, lines)| {
        let value = |key: &str| {
            lines.iter().find_map(|line| line.strip_prefix(&format!("{key}: "))).map(str::trim)
        };
        let number = |key: &str| value(key).map(|value| value.parse::<f64>().unwrap());
        assert_eq!(number("Period"), Some(60.0), "{name}: a line of metrics comes each minute");
        let periods = number("EvaluationPeriods").unwrap() as usize;
        Alarm {
            name: (*name).to_owned(),
            metric: value("MetricName").unwrap().to_owned(),
            periods,
            points: number("DatapointsToAlarm").map_or(periods, |points| points as usize),
            less: value("ComparisonOperator") == Some("LessThanThreshold"),
            threshold: number("Threshold").unwrap(),
            missing_is_breaching: value("TreatMissingData") == Some("breaching"),
        }
    });
    alarms.collect()
}

impl Alarm {
    /// Returns the minute after which it fires. In a minute without a line no process lived.
    pub fn fires(&self, minutes: &[Option<Value>]) -> Option<usize> {
        let breaches =
            |line: &Option<Value>| match line.as_ref().and_then(|line| line[&self.metric].as_f64())
            {
                Some(value) if self.less => value < self.threshold,
                Some(value) => value > self.threshold,
                None => self.missing_is_breaching,
            };
        let breaching: Vec<bool> = minutes.iter().map(breaches).collect();
        let is_over =
            |window: &[bool]| window.iter().filter(|breaches| **breaches).count() >= self.points;
        breaching.windows(self.periods).position(is_over).map(|first| first + self.periods)
    }
}

/// A world, and its events.
struct Story {
    scenario: Scenario,
    first: Begin,
}

type Begin = for<'a> fn(&'a Simulator, &'a Store) -> LocalBoxFuture<'a, ()>;

fn terminate_first<'a>(simulator: &'a Simulator, _: &'a Store) -> LocalBoxFuture<'a, ()> {
    Box::pin(async { simulator.with(|cloud| cloud.terminate(A, false).unwrap()) })
}

/// Terminates the next instance, which the group replaces.
fn terminate_next(cloud: &mut Cloud) {
    let ids = cloud.instance_ids("web-group");
    let next = ids.into_iter().find(|id| cloud.lifecycle_state(id).as_deref() == Some("InService"));
    cloud.terminate(&next.expect("an instance in service"), false).unwrap();
}

/// Calls of a controller that are in none of the stories, each with the reason.
const LEFT_OUT: [(&str, &str, &str); 11] = [
    ("dynamodb", "CreateTable", "`init` alone"),
    ("dynamodb", "UpdateTimeToLive", "`init` alone"),
    ("dynamodb", "Scan", "a person's `get --all` alone"),
    ("dynamodb", "DeleteItem", "on the way out: the lease runs out by itself"),
    ("sts", "AssumeRole", "a scope that is not reached: `reach`, and `scopes`"),
    (
        "autoscaling",
        "DescribeAutoScalingInstances",
        "for an instance that no group shows any more: its drain waits",
    ),
    (
        "ecs",
        "DescribeServiceDeployments",
        "why a drain stands still: a cause of its own says that it was denied",
    ),
    (
        "ecs",
        "DescribeServiceRevisions",
        "for services whose load balancers were changed: their drains wait",
    ),
    ("ecs", "ListServices", "for rollouts"),
    ("autoscaling", "DescribeInstanceRefreshes", "for rollouts"),
    ("autoscaling", "SetDesiredCapacity", "for rollouts"),
];

/// A task that has no other place, in one of two clusters: its drain is stuck, and the cause is
/// searched for.
const STANDS_STILL: Scenario = Scenario {
    name: "stands-still",
    config: "[policy]\nstuck_after = \"3h\"\n",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.add_cluster(&ClusterSpec::new("idle"));
        cloud.add_service(
            &ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)).percents(100, 100),
        );
    },
    ..PLAIN
};

/// Returns stories that together make every call of a controller, except those left out.
fn stories() -> Vec<Story> {
    let of = |scenario: Scenario| Story { scenario, first: terminate_first };
    vec![
        of(Scenario { config: queued!(), world: with_queue, ..IP_AND_CLASSIC }),
        of(STANDALONE_STOPPED),
        of(DEREGISTER),
        of(STANDS_STILL),
        Story {
            first: |simulator, _| {
                Box::pin(async { assert!(simulator.with(|cloud| cloud.return_to_warm_pool(A))) })
            },
            ..of(BACK_FROM_THE_WARM_POOL)
        },
        Story {
            first: |simulator, store| {
                Box::pin(order_once(simulator, store, drain(Then::Terminate)))
            },
            ..of(Scenario {
                world: |cloud| {
                    (PLAIN.world)(cloud);
                    cloud.checkers.allow_operator(A);
                    cloud.checkers.allow_terminate(A);
                },
                ..PLAIN
            })
        },
    ]
}

fn with_queue(cloud: &mut Cloud) {
    (IP_AND_CLASSIC.world)(cloud);
    add_bus(cloud);
}

/// The number of calls of each operation, by its service and name.
type Calls = BTreeMap<(String, String), f64>;

/// The result of a story.
struct Told {
    minutes: Vec<Option<Value>>,
    /// The calls in the first minute.
    at_start: Calls,
    calls: Calls,
    denials: f64,
    violations: Vec<String>,
}

/// Plays a story, with this operation denied from some moment on.
fn play(story: &Story, denied: Option<(&str, Duration)>) -> Told {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&story.scenario, 1).await;
        if let Some((operation, from)) = denied {
            let rule =
                Rule::on(operation, Fault::AccessDenied).between(BEGIN + from, BEGIN + WATCHED);
            simulator.with(|cloud| cloud.faults.add(rule));
        }
        let environment = environment(&simulator, "replica-0", &Arc::new(AtomicI64::new(0)));
        let metrics = environment.metrics.clone();
        let config = config(&story.scenario);
        let life = ecs_drain::controller::run_with_ids(
            config,
            environment,
            Ids::seeded(7),
            std::future::pending(),
        );
        let mut life = pin!(life);
        let (mut lives, mut at_start) = (true, Calls::new());
        let mut minutes = Vec::new();
        let mut lines = Lines::default();
        for minute in 1..=WATCHED.as_secs() / 60 {
            let passes = async {
                tokio::time::sleep(seconds(30)).await;
                match minute {
                    1 => (story.first)(&simulator, &store).await,
                    _ if minute % (NEXT.as_secs() / 60) == 0 => simulator.with(terminate_next),
                    _ => {}
                }
                tokio::time::sleep(seconds(30)).await;
            };
            if lives {
                lives = matches!(select(pin!(passes), life.as_mut()).await, Either::Left(_));
            } else {
                tokio::time::sleep(seconds(60)).await;
            }
            if minute == 1 {
                at_start = calls(&metrics.text(wall(&simulator)).unwrap());
            }
            let line = lines.next(&metrics, "test", wall(&simulator));
            minutes.push(lives.then(|| serde_json::from_str(&line).unwrap()));
        }
        let text = metrics.text(wall(&simulator)).unwrap();
        Told {
            minutes,
            at_start,
            calls: calls(&text),
            denials: text
                .lines()
                .filter(|line| line.contains("result=\"denied\""))
                .map(count)
                .sum(),
            violations: simulator
                .peek(|cloud| cloud.violations().iter().map(ToString::to_string).collect()),
        }
    })
}

/// Returns the value of a sample.
fn count(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn calls(text: &str) -> Calls {
    let mut calls = Calls::new();
    for line in text.lines().filter(|line| line.starts_with("ecs_drain_aws_calls_total{")) {
        let label = |name: &str| {
            line.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().to_owned()
        };
        *calls.entry((label("service"), label("operation"))).or_default() += count(line);
    }
    calls
}

#[test]
fn whatever_is_denied_for_good_an_alarm_fires_and_no_instance_is_lost_within_an_hour() {
    let alarms = alarms();
    let mut tried = BTreeMap::new();
    let mut wrong = Vec::new();
    for story in stories() {
        let plain = play(&story, None);
        assert_eq!(plain.violations, [""; 0], "{}", story.scenario.name);
        let early: Vec<_> =
            alarms.iter().filter(|alarm| alarm.fires(&plain.minutes).is_some()).collect();
        assert!(early.is_empty(), "nothing is wrong, and there are alarms: {early:?}");
        for (call, count) in plain.calls {
            if tried.contains_key(&call) {
                continue;
            }
            let (service, operation) = &call;
            let operation =
                if operation == "DeleteMessage" { "DeleteMessageBatch" } else { operation };
            let later = plain.at_start.get(&call) != Some(&count);
            let denied = |from| play(&story, Some((operation, from)));
            // A read at the start may be cached by then.
            let told = Some(denied(DENIED)).filter(|told| later && told.denials > 0.0);
            let told = told.unwrap_or_else(|| denied(Duration::ZERO));
            let fired = alarms
                .iter()
                .filter_map(|alarm| Some((alarm.fires(&told.minutes)?, alarm.name.as_str())));
            let fired = fired.min();
            let row = format!("{service}:{operation}: {fired:?}, {:?}", told.violations);
            println!("{row}");
            if fired.is_none() || !told.violations.is_empty() {
                wrong.push(row);
            }
            tried.insert(call, fired.map(|(minute, _)| minute));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let left_out = |call: &Call| {
        LEFT_OUT
            .iter()
            .any(|(service, name, _)| (*service, *name) == (call.service, call.operation))
    };
    let tried =
        |call: &Call| tried.contains_key(&(call.service.to_owned(), call.operation.to_owned()));
    let not: Vec<_> = ALL
        .iter()
        .filter(|call| tried(call) == left_out(call))
        .map(|call| call.iam_action)
        .collect();
    assert!(not.is_empty(), "neither tried nor left out, or both: {not:?}");
}

/// The groups cannot be listed for ten minutes.
#[test]
fn failed_reads_are_in_the_table_while_they_last() {
    let ((during, afterwards), simulator) =
        while_running(&BUSY, async |simulator: Simulator, store| {
            tokio::time::sleep(seconds(60)).await;
            let from = simulator.now();
            let rule = Rule::on("DescribeAutoScalingGroups", Fault::AccessDenied)
                .between(from, from + seconds(600));
            simulator.with(|cloud| cloud.faults.add(rule));
            tokio::time::sleep(seconds(500)).await;
            let during = store.blind(wall(&simulator)).await.unwrap();
            tokio::time::sleep(seconds(500)).await;
            (during, store.blind(wall(&simulator)).await.unwrap())
        });
    let told: Vec<_> = during.iter().map(|spot| (spot.place.as_str(), spot.what)).collect();
    assert_eq!(told, [("account 123456789012, region us-east-1", What::Groups)]);
    assert!(during[0].error.contains("denied by IAM"), "{during:?}");
    assert_eq!(afterwards, []);
    no_violation(&simulator);
}

/// It has never read the group: the record names the waiting instance, under a hook of a minute.
#[test]
fn a_process_that_starts_while_the_groups_cannot_be_listed_holds_what_has_a_record() {
    virtual_time(1, || async {
        let (simulator, _) = set_up(&BUSY, 1).await;
        simulator.with(|cloud| {
            cloud.put_hook("web-group", our_hook(seconds(60)));
            cloud.set_replicas_up(1);
        });
        simulator.with(BUSY.begin);
        run_for(&simulator, config(&BUSY), seconds(90)).await;
        simulator.with(|cloud| {
            cloud.faults.add(Rule::on("DescribeAutoScalingGroups", Fault::AccessDenied))
        });
        run_for(&simulator, config(&BUSY), seconds(600)).await;
        assert!(held(&simulator), "it is held");
        no_violation(&simulator);
    });
}
