//! Events through a queue, end to end: they make drains start sooner, and no broken event does
//! harm.

mod foreign;
pub mod warnings;

pub use warnings::{SPOT, warned};

use crate::harness::{
    CONFIG, Ended, QUEUE, Run, Scenario, add_bus, add_queue, record, run, seconds, set_up,
    virtual_time,
};
use crate::scenarios::{A, B, PLAIN, TWO_AT_ONCE, cluster};
use crate::story::{busy, no_violation, run_for, until, until_phase, while_running};
use aws_simulator::dynamodb::Outage;
use aws_simulator::spec::ServiceSpec;
use aws_simulator::{BEGIN, Cloud, EventPlan, Fault, Feed, Rule, Simulator};
use ecs_drain::config::{Config, Given};
use ecs_drain_state::{Phase, Record};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A configuration without events that reads the groups as rarely as allowed; the rest of a
/// configuration follows.
macro_rules! polled {
    ($($more:literal)?) => {
        concat!("[poll]\ngroups = \"25s\"\n" $(, $more)?)
    };
}

/// That configuration with a queue. The first lines of a scenario's configuration belong to the
/// scope.
macro_rules! queued {
    ($($more:literal)?) => {
        concat!(
            "queue = \"https://sqs.us-east-1.amazonaws.com/123456789012/ecs-drain\"\n",
            "[poll]\ngroups = \"25s\"\n"
            $(, $more)?
        )
    };
}
pub(crate) use queued;

const FEEDS: [Feed; 3] = [Feed::Sns { raw: true }, Feed::Sns { raw: false }, Feed::EventBridge];

/// One instance of a replica service is terminated.
const POLLED: Scenario = Scenario { name: "polled", config: polled!(), ..PLAIN };
const QUEUED: Scenario = Scenario { name: "queued", config: queued!(), ..PLAIN };

/// Puts messages into the queue.
fn send(simulator: &Simulator, bodies: &[String]) {
    simulator.with(|cloud| {
        for body in bodies {
            cloud.send_message(QUEUE, body.clone()).unwrap();
        }
    });
}

/// Returns the messages in the queue, hidden ones included.
fn left(simulator: &Simulator) -> Vec<String> {
    simulator.with(|cloud| cloud.messages(QUEUE).into_iter().map(|message| message.body).collect())
}

/// Returns the time between the scenario's beginning and a drain's.
fn begun(simulator: &Simulator, drain: &Record) -> Duration {
    let begin = simulator.peek(|cloud| cloud.start() + BEGIN);
    drain.created_at.duration_since(begin).unsigned_abs()
}

#[test]
fn a_lifecycle_notification_makes_the_drain_begin_at_once_however_it_comes() {
    let polled = run(&POLLED, &Run::default(), |_| {});
    polled.expect_good();
    let begun = |ended: &Ended| begun(&ended.simulator, &ended.record(A).unwrap());
    for feed in FEEDS {
        let ended = run(&QUEUED, &Run::default(), |cloud| add_queue(cloud, feed));
        ended.expect_good();
        assert!(begun(&ended) < seconds(10), "{feed:?}: {:?}", begun(&ended));
        assert!(begun(&ended) + seconds(10) < begun(&polled), "{:?} by polling", begun(&polled));
        assert_eq!(left(&ended.simulator), [""; 0], "{feed:?}");
    }
}

#[test]
fn a_message_stays_in_the_queue_until_its_drain_is_in_the_table() {
    let scenario = Scenario { begin: |cloud| add_queue(cloud, Feed::Sns { raw: true }), ..QUEUED };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        // By now it leads, and receives messages.
        tokio::time::sleep(seconds(10)).await;
        simulator.with(|cloud| {
            cloud.take_table_away(seconds(60), Outage::Error);
            cloud.terminate(A, true).unwrap();
        });
        tokio::time::sleep(seconds(59)).await;
        // The replica has stopped leading meanwhile.
        assert!(!left(&simulator).is_empty(), "nothing is recorded yet");
        let received = simulator.with(|cloud| cloud.messages(QUEUE)[0].receive_count);
        assert!(received > 0, "it was taken, and left");
        tokio::time::sleep(seconds(2)).await;
        until_phase(&simulator, &store, Phase::Deregistering).await;
        until(&simulator, "the message is deleted", async || left(&simulator).is_empty()).await;
        until_phase(&simulator, &store, Phase::Done).await;
    });
    no_violation(&simulator);
    assert_eq!(simulator.with(|cloud| cloud.dead_letters(QUEUE).len()), 0);
}

#[test]
fn events_that_are_lost_doubled_late_or_out_of_order_change_no_drains_end() {
    let scenario = Scenario {
        config: queued!(),
        // Until late events have arrived too.
        meanwhile: |_, _| Box::pin(tokio::time::sleep(seconds(900))),
        ..TWO_AT_ONCE
    };
    let usual = EventPlan::default();
    let plans = [
        EventPlan { lose: 1.0, ..usual.clone() },
        EventPlan { lose: 0.5, duplicate: 0.5, ..usual.clone() },
        EventPlan { duplicate: 1.0, ..usual },
        EventPlan { lose: 0.1, duplicate: 0.5, delay: (seconds(0), seconds(300)) },
    ];
    for plan in plans {
        for seed in 1..=3 {
            let ended = run(&scenario, &Run { seed, ..Run::default() }, |cloud| {
                add_bus(cloud);
                cloud.events.plan = plan.clone();
            });
            assert_eq!(ended.complaint(), None, "{plan:?}, seed {seed}\n{}", ended.calls());
            assert_eq!(ended.count("CompleteLifecycleAction"), 2, "{plan:?}, seed {seed}");
            assert_eq!(left(&ended.simulator), [""; 0], "{plan:?}, seed {seed}");
        }
    }
}

/// Returns the time between the last container's end and the drain's next step.
fn noticed(scenario: &Scenario) -> Duration {
    let (late, simulator) = while_running(scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        until(&simulator, "the task ends", async || {
            simulator.with(|cloud| cloud.containers_running(A).is_empty())
        })
        .await;
        let ended = simulator.now();
        until_phase(&simulator, &store, Phase::Verifying).await;
        simulator.now() - ended
    });
    no_violation(&simulator);
    late
}

#[test]
fn the_end_of_a_task_is_noticed_within_seconds_although_drains_are_polled_once_a_minute() {
    let polled = Scenario {
        config: polled!("[policy]\npoll = \"1m\"\n"),
        world: |cloud| busy(cloud, seconds(100)),
        ..PLAIN
    };
    let queued = Scenario {
        config: queued!("[policy]\npoll = \"1m\"\n"),
        world: |cloud| {
            add_bus(cloud);
            busy(cloud, seconds(100));
        },
        ..PLAIN
    };
    let (polled, queued) = (noticed(&polled), noticed(&queued));
    assert!(queued < seconds(10), "with events after {queued:?}");
    assert!(queued < polled && polled < seconds(15), "without after {polled:?}");
}

/// The log of this thread from now on, as text.
pub struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    _until_dropped: tracing::subscriber::DefaultGuard,
}

struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Said {
    pub fn from_now_on() -> Said {
        let text = Arc::new(Mutex::new(Vec::new()));
        let page = Arc::clone(&text);
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Page(Arc::clone(&page)))
            .finish();
        Said { text, _until_dropped: tracing::subscriber::set_default(log) }
    }

    pub fn lines(&self, about: &str) -> Vec<String> {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(about)).map(str::to_owned).collect()
    }
}

const NO_EVENTS: &str = "its queue cannot be read";

#[track_caller]
fn goes_on_by_polling(said_too: &str, plan: impl FnOnce(&mut Cloud)) {
    let said = Said::from_now_on();
    run(&QUEUED, &Run::default(), plan).expect_good();
    let lines = said.lines(NO_EVENTS);
    assert!(lines.iter().any(|line| line.contains(said_too)), "{lines:?}");
    // A whole drain takes a minute and a half: the pauses grow.
    assert!(lines.len() < 15, "said {} times", lines.len());
}

#[test]
fn a_queue_that_does_not_exist_is_said_and_polling_goes_on() {
    goes_on_by_polling("check the region, the account and the name", |_| {});
}

#[test]
fn a_queue_that_vanishes_is_said_and_polling_goes_on() {
    goes_on_by_polling("check the region, the account and the name", |cloud| {
        add_bus(cloud);
        assert!(cloud.sqs.delete_queue(QUEUE));
    });
}

#[test]
fn a_queue_that_is_denied_is_said_with_the_statement_that_would_allow_it_and_polling_goes_on() {
    goes_on_by_polling("sqs:ReceiveMessage", |cloud| {
        add_bus(cloud);
        cloud.faults.add(Rule::on("ReceiveMessage", Fault::AccessDenied));
    });
}

/// Every message becomes visible again and again, and is received again and again.
#[test]
fn messages_that_may_not_be_deleted_do_no_harm() {
    let said = Said::from_now_on();
    let ended = run(&QUEUED, &Run::default(), |cloud| {
        add_bus(cloud);
        cloud.faults.add(Rule::on("DeleteMessageBatch", Fault::AccessDenied));
    });
    ended.expect_good();
    assert_eq!(ended.count("CompleteLifecycleAction"), 1);
    assert!(
        !said.lines("Messages not deleted; SQS delivers them again, which does no harm").is_empty()
    );
}

#[test]
fn only_the_replica_that_leads_takes_messages() {
    let ended = run(&QUEUED, &Run { replicas: 2, ..Run::default() }, add_bus);
    ended.expect_good();
    let takers: BTreeSet<String> = ended.simulator.peek(|cloud| {
        let calls = cloud.log.entries().iter().filter(|entry| entry.operation == "ReceiveMessage");
        calls.map(|entry| entry.caller.clone()).collect()
    });
    assert_eq!(takers.len(), 1, "{takers:?}");
    assert_eq!(left(&ended.simulator), [""; 0]);
}

#[test]
fn a_dry_run_takes_no_messages() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&QUEUED, 1).await;
        simulator.with(add_bus);
        simulator.with(QUEUED.begin);
        let given = Given { dry_run: Some(true), ..Given::default() };
        let config = Config::parse(&format!("{CONFIG}{}", QUEUED.config), "dry", &given).unwrap();
        run_for(&simulator, config, seconds(300)).await;
        assert!(record(&store, A).await.is_none());
        assert_eq!(simulator.with(|cloud| cloud.log.count("ReceiveMessage")), 0);
        assert!(!left(&simulator).is_empty(), "they are there for whoever runs in earnest");
    });
}

/// Each of the leaving tasks causes several events; a read for every one would be a burst of calls.
#[test]
fn an_instance_with_many_tasks_is_not_looked_at_for_each_of_their_events() {
    let scenario = Scenario {
        world: |cloud| {
            add_bus(cloud);
            cluster(cloud, &[A, B]);
            let tasks = ServiceSpec::replica("web", "api", 40).size(64, 64).percents(50, 200);
            cloud.add_service(&tasks.times(seconds(5), seconds(20)));
        },
        ..QUEUED
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    ended.expect_good();
    let looks: Vec<Duration> = ended.simulator.peek(|cloud| {
        let all = cloud
            .log
            .entries()
            .iter()
            .filter(|entry| entry.operation == "DescribeContainerInstances");
        all.map(|entry| entry.at).collect()
    });
    let first = looks[0];
    let soon = looks.iter().filter(|at| **at < first + seconds(60)).count();
    assert!(soon <= 31, "{soon} looks in a minute");
}
