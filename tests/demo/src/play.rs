//! The story itself: the controller's lives, and the reads of the table and the world.

use super::ending::Ending;
use super::fleet::{self, CONFIG, Leaving};
use super::serve::Server;
use super::view::{Happening, Opening, Row, Snapshot, View};
use super::{DemoError, Options, pace};
use aws_simulator::{BEGIN, REGION, Simulator, SimulatorConfig};
use ecs_drain::aws::Environment;
use ecs_drain::config::{Config, Given};
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::{Ids, Read, Store, TableOptions};
use ecs_drain_state::Record;
use jiff::Timestamp;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// The interval of the table's reads.
const TICK: Duration = Duration::from_secs(5);
/// The moment of the scale-in: the controller has begun to run.
const SCALE_IN: Duration = Duration::from_secs(10);
/// The time between a kill of the controller and its next start.
const RESTART: Duration = Duration::from_secs(5);
/// The time after which a story without an end is stopped: long after the last deadline.
const PATIENCE: Duration = Duration::from_secs(7200);
/// The controller's name among the callers of the simulated AWS.
const CONTROLLER: &str = "controller";

/// Plays the story, and shows it in `view`; returns its end. With [`Options::serve`] it continues
/// after the end until it is interrupted.
///
/// # Errors
/// Returns an error if the story could not be played to its end. Its failures are in the
/// [`Ending`].
pub fn run(options: &Options, view: &mut dyn View) -> Result<Ending, DemoError> {
    // The jitter of the SDK's retries and of the controller.
    fastrand::seed(options.seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let ending = LocalSet::new().block_on(&runtime, story(options, view));
    runtime.shutdown_background();
    ending
}

async fn story(options: &Options, view: &mut dyn View) -> Result<Ending, DemoError> {
    let stage = Stage::set(options).await?;
    let server = if options.serve { Some(Server::start(&stage.simulator)?) } else { None };
    let speed = Cell::new(options.speed);
    // Ctrl-C after the end is the normal end of serving.
    let ended = RefCell::new(None);
    let performance = async {
        let ending = stage.perform(view, server.as_ref()).await?;
        view.end(&ending, server.as_ref().map(Server::url).as_deref())?;
        if server.is_none() {
            return Ok(ending);
        }
        ended.replace(Some(ending));
        stage.go_on(&speed).await
    };
    tokio::select! {
        biased;
        interrupted = interrupt() => {
            interrupted?;
            ended.take().ok_or(DemoError::Interrupted)
        }
        ending = performance => ending,
        never = stage.lives() => never.map(|never| match never {}),
        never = pace::keep(&speed) => match never {},
    }
}

/// The world and its observers.
struct Stage<'a> {
    options: &'a Options,
    simulator: Simulator,
    /// The demo's own client of the table: its reads are not the controller's.
    store: Store,
    leaving: Vec<Leaving>,
    kills: Cell<u32>,
    up: Cell<bool>,
    /// Events of the controller since the last read.
    happened: RefCell<Vec<Happening>>,
}

impl<'a> Stage<'a> {
    async fn set(options: &'a Options) -> Result<Stage<'a>, DemoError> {
        let config = SimulatorConfig {
            seed: options.seed,
            start: options.start,
            ..SimulatorConfig::default()
        };
        let simulator =
            Simulator::new(config).map_err(|error| DemoError::Simulator(error.to_string()))?;
        simulator.set_up(|cloud| fleet::describe(cloud, options.seed));
        let leaving = simulator.peek(|cloud| fleet::choose(cloud, options.seed));
        let environment = Environment {
            http_client: Some(simulator.other_http_client("demo")),
            time_source: Some(simulator.time_source(0)),
            isolated: true,
            ..Environment::default()
        };
        let config = configuration()?;
        let sdk = environment.load(Some(REGION)).await;
        let ids = Ids::seeded(options.seed);
        let store = Store::connect(&sdk, &config.table.name, &config.controller).with_ids(ids);
        store.create_table(TableOptions::default()).await?;
        let (kills, up, happened) = (Cell::new(0), Cell::new(false), RefCell::default());
        Ok(Stage { options, simulator, store, leaving, kills, up, happened })
    }

    /// Runs the controller's lives, one after the other.
    async fn lives(&self) -> Result<Infallible, DemoError> {
        loop {
            self.set_up(true);
            let environment = Environment {
                http_client: Some(self.simulator.http_client(CONTROLLER)),
                time_source: Some(self.simulator.time_source(0)),
                isolated: true,
                ..Environment::default()
            };
            // No two lives may share their ids, nor may one share them with the demo itself.
            let ids = Ids::seeded(self.options.seed ^ (u64::from(self.kills.get()) + 1) << 32);
            let life = run_with_ids(configuration()?, environment, ids, std::future::pending());
            match self.options.kill_every {
                None => life.await?,
                Some(every) => match timeout(every, life).await {
                    Ok(ended) => ended?,
                    // The kill: its future was dropped in the middle of its work.
                    Err(_elapsed) => self.kills.set(self.kills.get() + 1),
                },
            }
            self.set_up(false);
            self.happens("the controller is killed");
            sleep(RESTART).await;
            self.happens("the controller is started again");
        }
    }

    fn set_up(&self, up: bool) {
        self.up.set(up);
        self.simulator.with(|cloud| cloud.set_replicas_up(usize::from(up)));
    }

    fn happens(&self, what: &str) {
        let at = self.now();
        self.happened.borrow_mut().push(Happening { at, row: None, what: what.to_owned() });
    }

    /// Returns the time since the story began.
    fn now(&self) -> Duration {
        self.simulator.now().saturating_sub(BEGIN)
    }

    /// Plays from the scale-in until every instance has been released, or patience ends.
    async fn perform(
        &self,
        view: &mut dyn View,
        server: Option<&Server>,
    ) -> Result<Ending, DemoError> {
        view.begin(&Opening {
            seed: self.options.seed,
            speed: self.options.speed,
            kill_every: self.options.kill_every,
            instances: fleet::size(),
            leaving: self.leaving.len(),
            specials: self
                .leaving
                .iter()
                .filter_map(|l| Some((l.instance.clone(), l.special?)))
                .collect(),
            url: server.map(Server::url),
        })?;
        sleep(SCALE_IN).await;
        let begun = self.simulator.with(|cloud| fleet::scale_in(cloud, &self.leaving));
        begun.map_err(DemoError::Simulator)?;
        let what = format!(
            "the groups scale in: {} instances wait under the hook {}",
            self.leaving.len(),
            fleet::HOOK
        );
        self.happens(&what);
        let mut told = BTreeMap::new();
        loop {
            let records = self.records().await?;
            let snapshot = self.look(&records, &mut told);
            view.show(&snapshot)?;
            let done = snapshot.rows.iter().all(Row::is_done);
            if done || snapshot.now > PATIENCE {
                return Ok(self.ending(records));
            }
            sleep(TICK).await;
        }
    }

    async fn records(&self) -> Result<BTreeMap<String, Read>, DemoError> {
        let keys: Vec<String> = self.leaving.iter().map(Leaving::key).collect();
        Ok(self.store.get_many(&keys).await?.into_iter().collect())
    }

    /// Reads the table and the world; `told` is the last event of each record that was shown.
    fn look(
        &self,
        records: &BTreeMap<String, Read>,
        told: &mut BTreeMap<usize, usize>,
    ) -> Snapshot {
        let mut happened = self.happened.take();
        let mut rows = Vec::new();
        for (n, leaving) in self.leaving.iter().enumerate() {
            let mut row = Row::new(&leaving.instance, leaving.cluster);
            self.simulator.with(|cloud| {
                let containers = cloud.containers_running(&leaving.instance);
                row.tasks = containers.iter().filter(|c| !c.daemon).count();
                row.targets =
                    cloud.reasons_to_wait(&leaving.instance).len().saturating_sub(row.tasks);
            });
            match records.get(&leaving.key()) {
                None => {}
                Some(Read::Record(record)) => {
                    row.tell(record, self.options.start);
                    happened.extend(self.news(n, record, told));
                }
                Some(Read::Newer { .. }) => {
                    "its record is of a newer version".clone_into(&mut row.waiting_for)
                }
                Some(Read::Unreadable { why }) => {
                    row.waiting_for = format!("its record cannot be read: {why}")
                }
            }
            rows.push(row);
        }
        // Stable: at one moment the controller comes first, then the instances in their order.
        happened.sort_by_key(|happening| happening.at);
        let (kills, up) = (self.kills.get(), self.up.get());
        let calls = self.simulator.peek(|cloud| cloud.controller_calls());
        Snapshot { now: self.now(), rows, kills, up, calls, happened }
    }

    /// Returns the changes of phase in a record's history since the last read.
    fn news(&self, n: usize, record: &Record, told: &mut BTreeMap<usize, usize>) -> Vec<Happening> {
        let known = told.insert(n, record.history.len()).unwrap_or(0);
        let mut before =
            known.checked_sub(1).and_then(|last| record.history.get(last)).map(|event| event.phase);
        let mut news = Vec::new();
        for event in record.history.iter().skip(known) {
            if before.replace(event.phase) != Some(event.phase) {
                let what = format!("{:<13}  {}", event.phase.name(), event.what);
                news.push(Happening {
                    at: since(self.options.start, event.at),
                    row: Some(n),
                    what,
                });
            }
        }
        news
    }

    fn ending(&self, records: BTreeMap<String, Read>) -> Ending {
        let records = self.leaving.iter().map(|leaving| {
            let record = match records.get(&leaving.key()) {
                Some(Read::Record(record)) => Some(record.as_ref().clone()),
                Some(Read::Newer { .. } | Read::Unreadable { .. }) | None => None,
            };
            (leaving.clone(), record)
        });
        let mut ending = Ending {
            records: records.collect(),
            stays: self.simulator.with(|cloud| fleet::stays(cloud)),
            took: self.now().saturating_sub(SCALE_IN),
            kills: self.options.kill_every.map(|_| self.kills.get()),
            calls: BTreeMap::new(),
            complaints: Vec::new(),
        };
        self.simulator.peek(|cloud| {
            for entry in cloud.log.entries().iter().filter(|entry| entry.caller == CONTROLLER) {
                *ending
                    .calls
                    .entry((entry.service.as_str(), entry.operation.clone()))
                    .or_default() += 1;
            }
            ending.complaints.extend(cloud.violations().iter().map(ToString::to_string));
            let lost = cloud.losses().iter().filter(|loss| {
                !self
                    .leaving
                    .iter()
                    .any(|leaving| leaving.has_deadline && leaving.instance == loss.instance)
            });
            ending.complaints.extend(
                lost.map(|loss| format!("{} was terminated with {}", loss.instance, loss.text)),
            );
        });
        ending
    }

    /// Lets time continue, with the controller, for clients of the port: it catches up with the
    /// wall clock, and then passes at the same rate, so that the table shows correct ages.
    async fn go_on(&self, speed: &Cell<Option<u32>>) -> Result<Ending, DemoError> {
        loop {
            let behind = self.options.start + self.now() < Timestamp::now();
            speed.set(if behind { None } else { Some(1) });
            sleep(TICK).await;
            // The counts are complete: the log of calls must not grow for ever.
            self.simulator.peek(|cloud| cloud.log.clear());
            self.happened.take();
        }
    }
}

fn configuration() -> Result<Config, DemoError> {
    Ok(Config::parse(CONFIG, "demo", &Given::default())?)
}

/// Returns the time between the beginning of the story and `at`.
pub(super) fn since(start: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(start)).unwrap_or_default()
}

async fn interrupt() -> Result<(), DemoError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
