//! Runs the real controller against a simulated cloud in virtual time, kills it, starts it again,
//! and reads the end.

pub use ecs_drain_simulation::harness::*;

use aws_simulator::{BEGIN, Cloud, SimTime, Simulator, SimulatorConfig};
use ecs_drain::config::{Config, Given};
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::{Ids, Read, Store, TableOptions};
use ecs_drain_state::{Outcome, Record};
use futures_util::future::{LocalBoxFuture, join, join_all};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// A world, its events, and the ends that must follow.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// The configuration in addition to [`CONFIG`].
    pub config: &'static str,
    /// Describes the world and its events at the first moment; returns the instances that must be
    /// drained.
    pub world: fn(&mut Cloud),
    pub begin: fn(&mut Cloud),
    /// Each instance that must end, with its outcome.
    pub ends: &'static [(&'static str, Outcome)],
    /// A second allowed outcome, where the fault that strikes decides it.
    pub or: Option<Outcome>,
    /// The longest time to the end, in virtual time.
    pub within: Duration,
    /// The actions of people meanwhile.
    pub meanwhile: for<'a> fn(&'a Simulator, &'a Store) -> LocalBoxFuture<'a, ()>,
}

/// Does nothing meanwhile.
pub fn nothing<'a>(_: &'a Simulator, _: &'a Store) -> LocalBoxFuture<'a, ()> {
    Box::pin(std::future::ready(()))
}

/// The settings of a run.
pub struct Run {
    pub replicas: usize,
    pub seed: u64,
    /// The time between a replica's death and its next start.
    pub restart: Duration,
}

impl Default for Run {
    fn default() -> Run {
        Run { replicas: 1, seed: 1, restart: Duration::from_secs(5) }
    }
}

/// The end of a run.
pub struct Ended {
    pub simulator: Simulator,
    pub store: Store,
    pub calls: u64,
    pub lives: usize,
    pub took: Duration,
    /// The reason why the goal was not reached, if it was not.
    pub late: Option<String>,
}

/// Creates the world of a scenario, with its table, before the controller runs.
pub async fn set_up(scenario: &Scenario, seed: u64) -> (Simulator, Store) {
    let simulator = Simulator::new(SimulatorConfig { seed, ..SimulatorConfig::default() })
        .expect("a simulator");
    simulator.set_up(|cloud| {
        cloud.checkers.our_hook(HOOK);
        (scenario.world)(cloud);
    });
    let store = store(&simulator, "drains", "test").await;
    store.create_table(TableOptions::default()).await.expect("a table");
    (simulator, store)
}

pub fn config(scenario: &Scenario) -> Config {
    let text = format!("{CONFIG}{}", scenario.config);
    Config::parse(&text, scenario.name, &Given::default()).expect("a valid configuration")
}

/// Runs a scenario to its end, or to the end of its time. `plan` adds the faults.
pub fn run(scenario: &Scenario, how: &Run, plan: impl FnOnce(&mut Cloud)) -> Ended {
    virtual_time(how.seed, || async {
        let (simulator, store) = set_up(scenario, how.seed).await;
        simulator.with(|cloud| {
            plan(cloud);
            (scenario.begin)(cloud);
        });
        let up = Rc::new(Cell::new(0));
        let lives = Rc::new(Cell::new(0));
        let replicas =
            (0..how.replicas).map(|n| replica(scenario, how, n, &simulator, &up, &lives));
        let all = Box::pin(join_all(replicas));
        let goal = Box::pin(join(
            goal(scenario, &simulator, &store),
            (scenario.meanwhile)(&simulator, &store),
        ));
        let late = match futures_util::future::select(goal, all).await {
            futures_util::future::Either::Left(((late, ()), _)) => late,
            futures_util::future::Either::Right(_) => Some("every replica has ended".to_owned()),
        };
        let calls = simulator.peek(|cloud| cloud.controller_calls());
        let took = simulator.now() - BEGIN;
        Ended { calls, lives: lives.get(), took, late, simulator, store }
    })
}

/// Runs one replica, which starts again whenever it dies.
async fn replica(
    scenario: &Scenario,
    how: &Run,
    number: usize,
    simulator: &Simulator,
    up: &Cell<usize>,
    lives: &Cell<usize>,
) {
    let name = format!("replica-{number}");
    let skew = Arc::new(AtomicI64::new(0));
    loop {
        let crash = simulator.crash_notify(&name);
        lives.set(lives.get() + 1);
        up.set(up.get() + 1);
        simulator.with(|cloud| cloud.set_replicas_up(up.get()));
        let ids = Ids::seeded(how.seed ^ ((number as u64) << 32) ^ lives.get() as u64);
        let life = run_with_ids(
            config(scenario),
            environment(simulator, &name, &skew),
            ids,
            std::future::pending(),
        );
        tokio::select! {
            biased;
            () = crash.notified() => {}
            ended = life => {
                // A start can fail (its first calls were struck): the service manager starts it
                // again.
                if let Err(error) = ended {
                    tracing::info!(%error, "the controller did not start");
                }
            }
        }
        up.set(up.get() - 1);
        simulator.with(|cloud| cloud.set_replicas_up(up.get()));
        tokio::time::sleep(how.restart).await;
    }
}

/// Waits until every instance of the scenario has ended as it must; returns what is missing when
/// time is over.
///
/// It reads the world first, and the table seldom: reading the table is what costs a test its time.
async fn goal(scenario: &Scenario, simulator: &Simulator, store: &Store) -> Option<String> {
    let mut read = None;
    loop {
        tokio::time::sleep(seconds(2)).await;
        let now = simulator.now();
        let over = now - BEGIN > scenario.within;
        let held = scenario.ends.iter().any(|(id, _)| simulator.with(|cloud| is_held(cloud, id)));
        let too_soon = held || read.is_some_and(|read| now < read + seconds(10));
        if too_soon && !over {
            continue;
        }
        read = Some(now);
        let missing = missing(scenario, store).await;
        if missing.is_none() || over {
            return missing;
        }
    }
}

/// Returns true if an instance waits, and the ecs-drain hook has held it until now.
fn is_held(cloud: &Cloud, instance: &str) -> bool {
    let waits = cloud.lifecycle_state(instance).is_some_and(|state| state.ends_with(":Wait"));
    waits && our_completions(cloud, instance).is_empty()
}

async fn missing(scenario: &Scenario, store: &Store) -> Option<String> {
    for (instance, outcome) in scenario.ends {
        match store.get(&key(instance)).await {
            Ok(Some(Read::Record(record)))
                if record
                    .outcome()
                    .is_some_and(|ended| ended == *outcome || scenario.or == Some(ended)) => {}
            Ok(Some(Read::Record(record))) => {
                return Some(format!(
                    "{instance} is {} ({})",
                    record.phase(),
                    record.shown.message
                ));
            }
            Ok(Some(other)) => {
                return Some(format!("{instance} has an unreadable record: {other:?}"));
            }
            Ok(None) => return Some(format!("{instance} has no record")),
            Err(error) => return Some(error.to_string()),
        }
    }
    None
}

impl Ended {
    /// Checks everything that must be true at the end of any scenario; returns the text of the
    /// first failure.
    pub fn complaint(&self) -> Option<String> {
        let mut complaints: Vec<String> =
            self.late.iter().map(|l| format!("after {:?}: {l}", self.took)).collect();
        self.simulator.peek(|cloud| {
            complaints.extend(cloud.violations_at_end().iter().map(ToString::to_string));
            // A drain that ended by order, or by a configured deadline, may lose something.
            let losses = cloud
                .losses()
                .iter()
                .filter(|loss| !cloud.checkers.is_premature_allowed(&loss.instance));
            complaints.extend(losses.map(|loss| format!("lost: {loss:?}")));
        });
        if complaints.is_empty() { None } else { Some(complaints.join("\n")) }
    }

    /// Fails with the log of calls unless all of that is true.
    #[track_caller]
    pub fn expect_good(&self) {
        if let Some(complaint) = self.complaint() {
            panic!("{complaint}\n\n{}", self.calls());
        }
    }

    /// Returns the controller's calls, without those that only keep the lease and look for work.
    pub fn calls(&self) -> String {
        let dull = ["lease/", "IndexName=unfinished", "DescribeAutoScalingGroups"];
        self.simulator.peek(|cloud| {
            let ours =
                cloud.log.entries().iter().filter(|e| e.number.is_some()).map(ToString::to_string);
            let lines: Vec<_> = ours
                .filter(|l| !dull.iter().any(|d| l.contains(d)) || !l.ends_with("200"))
                .collect();
            let from = lines.len().saturating_sub(120);
            lines[from..].join("\n")
        })
    }

    /// Returns the number of this call by the controller.
    pub fn count(&self, operation: &str) -> usize {
        self.simulator.peek(|cloud| cloud.log.count(operation))
    }

    pub fn record(&self, instance: &str) -> Option<Record> {
        virtual_time(0, || async { record(&self.store, instance).await })
    }

    pub fn at(&self, instance: &str) -> Option<SimTime> {
        self.simulator.peek(|cloud| our_completions(cloud, instance).first().map(|c| c.at))
    }
}
