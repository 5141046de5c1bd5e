//! Hours under load: an endless fleet that scales, operators who drain and change their minds, a
//! network that is bad every few minutes, a second process that is killed, and one process that
//! must not grow.
//!
//! ```sh
//! ECS_DRAIN_SOAK=4h cargo test --release --test all processes::soak -- --ignored --nocapture
//! ```

use super::network::{SHARES, seed};
use super::process::{Process, Usage};
use super::rig::{Rig, elapsed};
use crate::harness::{group, our_hook, seconds};
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::proxy::Proxy;
use aws_simulator::spec::{ClusterSpec, ServiceSpec, StandaloneSpec, TargetGroupSpec};
use aws_simulator::{Cloud, SimTime};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// The interval at which the process's resources are read.
const SAMPLE: Duration = Duration::from_secs(10);

/// The time in each five minutes during which the network is bad.
const BAD: Duration = Duration::from_secs(90);
const ROUND: Duration = Duration::from_secs(300);

/// The longest duration of a drain, the bad network included.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// The group's bounds, and the largest number of drains at once.
const FEWEST: u32 = 6;
const MOST: u32 = 12;
const AT_ONCE: usize = 5;

fn world(cloud: &mut Cloud) {
    cloud.add_target_group(TargetGroupSpec {
        name: "web".to_owned(),
        kind: TargetGroupKind::Application,
        target_type: TargetType::Instance,
        port: 80,
        deregistration_delay: seconds(10),
        initial_time: seconds(5),
        attached: true,
        settle_time: None,
    });
    cloud.add_cluster(&ClusterSpec::new("web"));
    let mut spec = group("web-group", "web", &[]);
    (spec.desired, spec.max) = (8, MOST);
    // A minute of bad network must not cost an instance.
    spec.hooks = vec![our_hook(seconds(300))];
    cloud.add_group(spec);
    cloud.add_service(
        &ServiceSpec::replica("web", "api", 10).target_group("web").times(seconds(3), seconds(5)),
    );
    cloud.add_service(&ServiceSpec::daemon("web", "logs"));
}

/// The fleet, and its events.
struct Fleet<'r> {
    rig: &'r Rig,
    random: fastrand::Rng,
    desired: u32,
    /// Drains that are not known to have ended, with their beginnings.
    under_way: BTreeMap<String, SimTime>,
    /// Those of them that will be cancelled, with the moments.
    to_cancel: BTreeMap<String, SimTime>,
    ended: BTreeMap<String, usize>,
}

impl Fleet<'_> {
    fn now(&self) -> SimTime {
        self.rig.simulator.now()
    }

    /// Returns an instance in service without a drain.
    fn any(&mut self) -> Option<String> {
        let mut free = self.rig.simulator.with(|cloud| {
            let serves = |id: &String| {
                let active = cloud
                    .container_instance_status(id)
                    .iter()
                    .any(|(_, status)| *status == "ACTIVE");
                active && cloud.lifecycle_state(id).as_deref() == Some("InService")
            };
            cloud.instance_ids("web-group").into_iter().filter(serves).collect::<Vec<_>>()
        });
        free.retain(|id| !self.under_way.contains_key(id));
        self.random.choice(free)
    }

    /// Makes something happen to the fleet.
    fn happen(&mut self) {
        let enough = self.under_way.len() >= AT_ONCE;
        match self.random.u32(0..10) {
            0..=2 if !enough => self.terminate(false),
            3..=4 if !enough && self.desired > FEWEST => self.terminate(true),
            5..=7 if !enough => self.drain_by_order(),
            8 => {
                let seconds = self.random.u64(30..200);
                let job = StandaloneSpec::new("web", "job").duration(Duration::from_secs(seconds));
                self.rig.simulator.with(|cloud| cloud.run_task(&job));
            }
            _ if self.desired < MOST => {
                self.desired += 1;
                let desired = self.desired;
                self.rig
                    .simulator
                    .with(|cloud| cloud.set_group_desired("web-group", desired))
                    .unwrap();
            }
            _ => {}
        }
    }

    fn terminate(&mut self, shrink: bool) {
        let Some(instance) = self.any() else { return };
        self.rig.simulator.with(|cloud| cloud.terminate(&instance, shrink)).unwrap();
        self.desired -= u32::from(shrink);
        self.under_way.insert(instance, self.now());
    }

    /// Requests a drain as an operator, who changes their mind in one of three cases.
    fn drain_by_order(&mut self) {
        let Some(instance) = self.any() else { return };
        self.rig.simulator.with(|cloud| {
            cloud.checkers.allow_operator(&instance);
            cloud.checkers.allow_terminate(&instance);
        });
        self.say(&["drain", &instance, "--yes", "--wait", "0", "--reason", "soak"]);
        if self.random.u32(0..3) == 0 {
            let at = self.now() + Duration::from_secs(self.random.u64(5..60));
            self.to_cancel.insert(instance.clone(), at);
        }
        self.under_way.insert(instance, self.now());
    }

    fn cancel_what_is_due(&mut self) {
        let now = self.now();
        let due: Vec<String> =
            self.to_cancel.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for instance in due {
            // The request may not have been carried out yet.
            if self.rig.record(&instance).is_none() {
                continue;
            }
            self.to_cancel.remove(&instance);
            // It may be too late for that; the command reports it, and exits with 1.
            let said = self.rig.say(&["cancel", &instance, "--wait", "0"]);
            assert!(matches!(said.code, Some(0 | 1)), "{}", said.err);
        }
    }

    fn say(&self, arguments: &[&str]) {
        let said = self.rig.say(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
    }

    /// Notes drains that have ended, and fails if one takes too long.
    fn look(&mut self) {
        let (now, rig) = (self.now(), self.rig);
        let mut over = Vec::new();
        self.under_way.retain(|instance, since| {
            let record = rig.record(instance);
            match record.as_ref().and_then(|record| record.outcome()) {
                Some(outcome) => over.push(outcome.to_string()),
                None => {
                    let message =
                        record.map_or("it has no record".to_owned(), |record| record.shown.message);
                    assert!(now - *since < LONGEST_DRAIN, "{instance} does not end: {message}");
                    return true;
                }
            }
            false
        });
        for outcome in over {
            *self.ended.entry(outcome).or_default() += 1;
        }
        self.to_cancel.retain(|instance, _| self.under_way.contains_key(instance));
    }
}

/// Prints a line a minute.
fn print(fleet: &Fleet<'_>, proxy: &Proxy, watched: &Process<'_>, lives: usize) {
    let used = watched.usage();
    let leads = fleet.rig.leader().is_some_and(|holder| watched.is_holder(&holder));
    let oldest =
        fleet.under_way.values().map(|since| fleet.now() - *since).max().unwrap_or_default();
    println!(
        "soak: {:>4} min, {:.1} MB, {} files, {} threads, {}; ended {:?}, {} under way, the oldest for {} s; \
         {} instances; {} requests, {} struck; neighbour's life {lives}",
        elapsed(fleet.rig).as_secs() / 60,
        used.memory as f64 / 1e6,
        used.files,
        used.threads,
        if leads { "leads" } else { "follows" },
        fleet.ended,
        fleet.under_way.len(),
        oldest.as_secs(),
        fleet.desired,
        proxy.requests(),
        proxy.struck().values().sum::<u64>(),
    );
}

/// Returns the median of a quarter of the samples.
fn median(samples: &[Usage], quarter: usize, what: fn(&Usage) -> u64) -> u64 {
    let size = samples.len() / 4;
    let mut values: Vec<u64> =
        samples[(quarter - 1) * size..quarter * size].iter().map(what).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

/// Fails if the use of resources keeps growing: it compares the last quarter with the second. The
/// first is for warming up.
fn expect_level(samples: &[Usage]) {
    let grown = |what: fn(&Usage) -> u64, slack: u64| {
        let (before, after) = (median(samples, 2, what), median(samples, 4, what));
        println!("soak: {before} in the second quarter, {after} in the last");
        after > before + before / 5 + slack
    };
    assert!(!grown(|used| used.memory, 10_000_000), "its memory keeps growing");
    assert!(!grown(|used| used.files, 10), "it opens more and more files");
    assert!(!grown(|used| used.threads, 2), "it starts more and more threads");
}

/// Parses `90s`, `15m` or `4h`.
fn span(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => panic!("ECS_DRAIN_SOAK is such as 90s, 15m or 4h, not {other}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

#[test]
#[ignore = "as long as ECS_DRAIN_SOAK says, such as 15m or 4h"]
fn soak() {
    let length =
        span(&std::env::var("ECS_DRAIN_SOAK").expect("ECS_DRAIN_SOAK says how long, such as 15m"));
    let seed = seed();
    println!("soak: {length:?}, the seed is {seed}");
    let mut rig = Rig::with_table("soak", "", world);
    let proxy = rig.put_between(seed);
    let rig = rig;
    let mut watched = rig.start_with_log("info");
    rig.until_leads(&watched);
    let mut neighbour = rig.start_with_log("info");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut fleet = Fleet {
        rig: &rig,
        random: random.fork(),
        desired: 8,
        under_way: BTreeMap::new(),
        to_cancel: BTreeMap::new(),
        ended: BTreeMap::new(),
    };
    let mut samples = Vec::new();
    let (mut lives, mut dies_at, mut minute) = (1, Duration::from_secs(120), 0);
    while elapsed(&rig) < length {
        let now = elapsed(&rig);
        let bad = now.as_secs() % ROUND.as_secs() >= (ROUND - BAD).as_secs();
        proxy.strike(if bad { &SHARES } else { &[] });
        if now >= dies_at || !neighbour.runs() {
            neighbour.replace_with_log("info");
            lives += 1;
            dies_at = now + Duration::from_secs(random.u64(60..300));
        }
        fleet.happen();
        fleet.cancel_what_is_due();
        thread::sleep(SAMPLE);
        fleet.look();
        assert!(watched.runs(), "it has ended:\n{}", watched.log());
        samples.push(watched.usage());
        rig.expect_kept();
        if elapsed(&rig).as_secs() / 60 > minute {
            minute = elapsed(&rig).as_secs() / 60;
            print(&fleet, &proxy, &watched, lives);
            // No test reads it any more, and it would be the one thing here that grows.
            rig.simulator.peek(|cloud| cloud.log.clear());
        }
    }
    end(&mut fleet, &proxy, &watched, &samples, lives);
}

/// Calms the network, starts nothing new, and waits until everything has ended.
fn end(
    fleet: &mut Fleet<'_>,
    proxy: &Proxy,
    watched: &Process<'_>,
    samples: &[Usage],
    lives: usize,
) {
    proxy.calm();
    let rig = fleet.rig;
    while !fleet.under_way.is_empty() {
        thread::sleep(Duration::from_secs(1));
        fleet.look();
    }
    rig.expect_kept();
    print(fleet, proxy, watched, lives);
    println!("soak: struck {:?}", proxy.struck());
    assert!(fleet.ended.get("Drained").is_some_and(|drained| *drained > 0), "nothing was drained");
    expect_level(samples);
}
