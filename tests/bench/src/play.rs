//! Plays a scenario with the real controller, in virtual time.

// The duration of the playing is real time.
#![allow(clippy::disallowed_methods)]

use crate::figures::During;
use crate::figures::{Drain, Figures, Spent};
use crate::lines;
use crate::owner;
use crate::scenario::{Plot, Scenario, Trouble};
use crate::tally::Tally;
use crate::world::{LEAD, config, drains, others, set_up};
use aws_simulator::autoscaling::Completion;
use aws_simulator::dynamodb::Outage;
use aws_simulator::log::Entry;
use aws_simulator::wire::{Service, is_read};
use aws_simulator::{CallInfo, Cloud, Fault, Matcher, Rule, SimTime, Simulator};
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::{Ids, Store};
use ecs_drain_simulation::harness::{HOOK, environment, request, seconds, virtual_time};
use ecs_drain_state::Then;
use ecs_drain_state::request::What;
use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant as Wall};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The interval at which the scenario checks if it has ended.
const LOOK: Duration = seconds(20);

/// The time after the first event by which the controller has seen the waiting instances, and calls
/// may become slow.
const SEEN: Duration = seconds(40);

/// A callback during the playing: virtual seconds since the first event, and the number of drains
/// that have ended.
pub type Progress<'p> = &'p dyn Fn(u64, usize);

/// Plays a scenario to its end; the same scenario has the same end, unless it is stopped after
/// `patience` of real time. `each` is called with every call of the controller.
pub fn play(
    scenario: &Scenario,
    patience: Option<Duration>,
    progress: Progress<'_>,
    mut each: impl FnMut(&Entry),
) -> Figures {
    let (wall, spent) = (Wall::now(), owner::spent());
    let figures = virtual_time(1, || async {
        let (simulator, store) = set_up(scenario).await;
        let stage = Stage {
            scenario,
            simulator,
            store,
            began: Instant::now() + LEAD,
            wall,
            patience,
            progress,
        };
        stage.simulator.with(|cloud| cloud.set_replicas_up(1));
        let process = |name: &str, number| {
            let mut environment = environment(&stage.simulator, name, &Arc::new(AtomicI64::new(0)));
            environment.http_client = environment.http_client.map(owner::beyond);
            run_with_ids(config(scenario), environment, Ids::seeded(number), pending())
        };
        let life = Box::pin(async {
            if let Plot::Killed { at } = scenario.plot {
                let first = timeout(LEAD + seconds(at), Box::pin(process("replica", 1)));
                if let Ok(ended) = first.await {
                    return ended;
                }
            }
            if let Plot::Troubled { trouble: Trouble::Kills, from, span } = scenario.plot {
                for minute in 0..=span / 60 {
                    let until = stage.began + seconds(from + 60 * minute);
                    let number = minute + 3;
                    let life = Box::pin(process(&format!("replica-{number}"), number));
                    if let Ok(ended) = timeout_at(until, life).await {
                        return ended;
                    }
                }
            }
            process("replica-2", 2).await
        });
        tokio::select! {
            biased;
            ended = owner::controller(life) => panic!("the controller has ended: {ended:?}"),
            figures = pin!(stage.story(&mut each)) => figures,
        }
    });
    let spent = Spent {
        wall: wall.elapsed().as_secs_f64(),
        controller: (owner::spent() - spent).as_secs_f64(),
    };
    Figures { spent, ..figures }
}

struct Stage<'s> {
    scenario: &'s Scenario,
    simulator: Simulator,
    store: Store,
    /// The moment of the first event.
    began: Instant,
    /// The real time at which the playing began.
    wall: Wall,
    patience: Option<Duration>,
    progress: Progress<'s>,
}

impl Stage<'_> {
    /// Plays all events until the scenario has ended; returns the figures.
    async fn story(&self, each: &mut dyn FnMut(&Entry)) -> Figures {
        let before = self.before().await;
        // Calls count from here on.
        self.simulator.with(|cloud| cloud.log.clear());
        let (from, began) = (self.simulator.now(), Instant::now());
        let mut tally = Tally::default();
        let (noticed, during) = self.happens(began, &mut tally, each).await;
        let until = began + seconds(self.scenario.limit);
        let drains = drains(&self.scenario.layout);
        let mut ended = Ended { seen: before, of: BTreeMap::new() };
        let (mut over, mut gave_up) = (false, false);
        while Instant::now() < until && !over && !gave_up {
            sleep(LOOK).await;
            self.simulator.with(|cloud| {
                tally.take(cloud, each);
                ended.look(cloud);
            });
            over = self.scenario.plot.ends() && ended.of.len() >= drains.len();
            gave_up = self.patience.is_some_and(|patience| self.wall.elapsed() > patience);
            (self.progress)(began.elapsed().as_secs(), ended.of.len());
        }
        let floor = match self.scenario.plot {
            Plot::Troubled { from: begins, span, .. } => from + seconds(begins + span),
            Plot::Wave
            | Plot::Killed { .. }
            | Plot::FailingCalls
            | Plot::Rollout
            | Plot::Resting
            | Plot::Spot { .. }
            | Plot::Held => SimTime::ZERO,
        };
        self.simulator.with(|cloud| {
            let drain = |id: &String| {
                let truth = cloud.world.ecs.truth(id);
                let waits = cloud
                    .world
                    .autoscaling
                    .pending_actions(id)
                    .first()
                    .map(|action| action.started_at);
                let end = ended.of.get(id);
                let began = noticed.get(id).copied().or(end.map(|end| end.began_at)).or(waits);
                Drain {
                    began,
                    draining: truth.draining_at,
                    idle: truth.last_stop,
                    end: end.cloned(),
                    floor,
                }
            };
            let drains: Vec<Drain> = drains.iter().map(drain).collect();
            Figures { gave_up, during, ..Figures::of(self.scenario, &drains, &tally, cloud, from) }
        })
    }

    /// Plays the events that must be over before the first event; returns the number of lifecycle
    /// actions that have ended by then.
    async fn before(&self) -> usize {
        sleep_until(self.began).await;
        if self.scenario.plot != Plot::Resting {
            return 0;
        }
        let rest = others(&self.scenario.layout);
        self.simulator.with(|cloud| {
            let returned = rest.iter().filter(|id| cloud.return_to_warm_pool(id)).count();
            assert_eq!(returned, rest.len(), "every instance returns to the pool");
        });
        let rests = |cloud: &mut Cloud| cloud.world.autoscaling.completions().len() >= rest.len();
        let until = Instant::now() + seconds(self.scenario.limit);
        while Instant::now() < until && !self.simulator.with(rests) {
            sleep(LOOK).await;
        }
        // Time for the last of them to end.
        sleep(seconds(600)).await;
        self.simulator.with(|cloud| cloud.world.autoscaling.completions().len())
    }

    /// Plays the events. Returns the moments of announced ends whose wait has not begun.
    async fn happens(
        &self,
        began: Instant,
        tally: &mut Tally,
        each: &mut dyn FnMut(&Entry),
    ) -> (BTreeMap<String, SimTime>, Option<During>) {
        let drains = drains(&self.scenario.layout);
        let (mut noticed, mut during) = (BTreeMap::new(), None);
        match self.scenario.plot {
            Plot::Wave | Plot::Killed { .. } | Plot::FailingCalls | Plot::Resting => {
                self.terminate(&drains)
            }
            Plot::Held => {
                self.terminate(&drains);
                sleep_until(began + SEEN).await;
                self.simulator.set_latency(Duration::from_millis(self.scenario.layout.latency));
            }
            Plot::Troubled { trouble, from, span } => {
                self.terminate(&drains);
                sleep_until(began + seconds(from)).await;
                self.simulator.with(|cloud| {
                    tally.take(cloud, each);
                    make(trouble, seconds(span), cloud);
                });
                let (calls, said) = (tally.all(), lines::said());
                let over = began + seconds(from + span);
                while Instant::now() < over {
                    sleep(LOOK).await;
                    self.simulator.with(|cloud| tally.take(cloud, each));
                    (self.progress)(began.elapsed().as_secs(), 0);
                }
                let a_minute = |n: u64| n as f64 * 60.0 / span as f64;
                during = Some(During {
                    calls: a_minute(tally.all() - calls),
                    lines: a_minute(lines::said() - said),
                });
            }
            Plot::Rollout => {
                for id in &drains {
                    self.simulator.with(|cloud| {
                        cloud.checkers.allow_operator(id);
                        cloud.checkers.allow_terminate(id);
                    });
                    let what = What::Drain { then: Then::TerminateAndShrink };
                    let request = request(&self.simulator, &self.store, id, what).await;
                    self.store.ask(&request).await.expect("a request");
                }
            }
            Plot::Spot { over } => {
                for (number, id) in drains.iter().enumerate() {
                    sleep_until(
                        began
                            + seconds(over) * u32::try_from(number).unwrap() / drains.len() as u32,
                    )
                    .await;
                    noticed.insert(id.clone(), self.simulator.now());
                    self.simulator.with(|cloud| {
                        cloud.checkers.allow_operator(id);
                        cloud.interrupt_spot(id);
                    });
                }
            }
        }
        (noticed, during)
    }

    /// Scales the groups in.
    fn terminate(&self, drains: &[String]) {
        self.simulator.with(|cloud| {
            drains.iter().for_each(|id| cloud.terminate(id, true).expect("a member"))
        });
    }
}

/// Makes trouble for a while; kills of the process are made elsewhere.
fn make(trouble: Trouble, span: Duration, cloud: &mut Cloud) {
    let (now, from_now) = (cloud.now(), |rule: Rule, now: SimTime| rule.between(now, now + span));
    let of = |strikes: fn(&CallInfo) -> bool| Matcher::Predicate(Arc::new(strikes));
    match trouble {
        Trouble::TableAway => cloud.take_table_away(span, Outage::Error),
        Trouble::ReadsThrottled => {
            let reads = of(|info| info.service != Service::DynamoDb && is_read(&info.operation));
            cloud.faults.add(from_now(Rule::new(reads, Fault::Throttle), now));
        }
        Trouble::AutoScalingHangs => {
            let hangs = of(|info| info.service == Service::AutoScaling);
            cloud.faults.add(from_now(Rule::new(hangs, Fault::Hang), now));
        }
        Trouble::Kills => {}
    }
}

/// Ended lifecycle actions of the hook, each instance's last one.
struct Ended {
    seen: usize,
    of: BTreeMap<String, Completion>,
}

impl Ended {
    fn look(&mut self, cloud: &Cloud) {
        let completions = cloud.world.autoscaling.completions();
        for completion in
            completions.iter().skip(self.seen).filter(|completion| completion.hook == HOOK)
        {
            self.of.insert(completion.instance_id.clone(), completion.clone());
        }
        self.seen = completions.len();
    }
}
