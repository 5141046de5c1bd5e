//! The rig of tests with real processes: the simulated cloud on a socket of this machine, in real
//! time, its table in a file, and processes that do not outlive the test.

use super::process::{Process, Said};
use crate::harness::{CONFIG, HOOK, our_completions, record, store};
use aws_simulator::autoscaling::{Completion, How};
use aws_simulator::proxy::Proxy;
use aws_simulator::server::{TimeScale, serve_until};
use aws_simulator::{BEGIN, Cloud, Rule, Simulator, SimulatorConfig};
use ecs_drain::aws::Environment;
use ecs_drain::store::Store;
use ecs_drain_state::{Outcome, Phase, Record};
use jiff::Timestamp;
use std::cell::RefCell;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The table and the controller of [`CONFIG`].
pub const TABLE: &str = "drains";
pub const CONTROLLER: &str = "test";

/// Added after [`CONFIG`]: short intervals, because the test runs in real time.
const QUICK: &str = "[poll]\ngroups = \"2s\"\n[policy]\npoll = \"1s\"\n";

/// The longest wait for anything. No test measures time: the machine may be busy with other tests.
pub const LONG: Duration = Duration::from_secs(300);

/// A simulated cloud on a socket, and a folder for the processes that use it.
pub struct Rig {
    pub simulator: Simulator,
    address: SocketAddr,
    /// The cloud's address for controllers, if a proxy is between.
    between: Option<SocketAddr>,
    /// The address of the table, if it is in another cloud.
    table_url: RefCell<Option<String>>,
    folder: PathBuf,
    runtime: Runtime,
    store: RefCell<Store>,
    started: AtomicUsize,
    up: AtomicUsize,
    servers: Vec<Server>,
}

impl Rig {
    /// Creates a cloud with this world, without a table. `top` comes first in the configuration
    /// file.
    pub fn new(name: &str, top: &str, world: impl FnOnce(&mut Cloud)) -> Rig {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        // Perhaps of an earlier process with the same id.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ecs-drain.toml"), format!("{top}{CONFIG}{QUICK}")).unwrap();
        let config = SimulatorConfig {
            start: Timestamp::now(),
            dynamodb_file: Some(folder.join("table.db")),
            ..SimulatorConfig::default()
        };
        let simulator = Simulator::new(config).unwrap();
        simulator.set_up(|cloud| {
            cloud.checkers.our_hook(HOOK);
            world(cloud);
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(store(&simulator, TABLE, CONTROLLER));
        let cloud = simulator.clone();
        let (address, server) =
            serve(|listener, stopped| serve_until(cloud, listener, TimeScale::Real, stopped));
        Rig {
            simulator,
            address,
            between: None,
            table_url: RefCell::new(None),
            folder,
            runtime,
            store: RefCell::new(store),
            started: AtomicUsize::new(0),
            up: AtomicUsize::new(0),
            servers: vec![server],
        }
    }

    /// Creates a cloud with this world and its table.
    pub fn with_table(name: &str, top: &str, world: impl FnOnce(&mut Cloud)) -> Rig {
        let rig = Rig::new(name, top, world);
        let said = rig.say(&["init"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        rig
    }

    /// Puts a proxy between the cloud and every controller that is started from now on.
    pub fn put_between(&mut self, seed: u64) -> Proxy {
        let proxy = Proxy::new(self.address, seed);
        let serving = proxy.clone();
        let (address, server) = serve(|listener, stopped| serving.serve_until(listener, stopped));
        self.between = Some(address);
        self.servers.push(server);
        proxy
    }

    /// Uses the table of this other DynamoDB.
    pub fn use_table_of(&self, url: &str) {
        let there = Environment {
            endpoint_url: Some(url.to_owned()),
            isolated: true,
            ..Environment::default()
        };
        let sdk = self.runtime.block_on(there.load(Some("us-east-1")));
        self.store.replace(Store::connect(&sdk, TABLE, CONTROLLER));
        self.table_url.replace(Some(url.to_owned()));
    }

    /// Returns the path of a file in the folder of this rig.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the path of the configuration file.
    pub fn config(&self) -> PathBuf {
        self.file("ecs-drain.toml")
    }

    /// Returns a command for the program, or for the one that `ECS_DRAIN_BIN` names, pointed at the
    /// simulated cloud, without any of this machine's own AWS settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let binary = std::env::var_os("ECS_DRAIN_BIN")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_ecs-drain").into());
        let mut command = Command::new(binary);
        command.args(arguments).arg("--config").arg(self.config());
        command.env_clear();
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.address));
        if let Some(url) = &*self.table_url.borrow() {
            command.env("AWS_ENDPOINT_URL_DYNAMODB", url);
        }
        command.env("AWS_ACCESS_KEY_ID", "AKIASIMULATED").env("AWS_SECRET_ACCESS_KEY", "simulated");
        command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("HOME", &self.folder);
        command
    }

    /// Starts a process, with its output in files.
    pub fn spawn(&self, mut command: Command) -> Process<'_> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let (out, err) =
            (self.folder.join(format!("{number}.out")), self.folder.join(format!("{number}.err")));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap());
        Process::new(self, command.spawn().unwrap(), out, err)
    }

    /// Starts `ecs-drain run`.
    pub fn start(&self) -> Process<'_> {
        self.start_with_log("debug")
    }

    /// Starts `ecs-drain run` with a log of this level.
    pub fn start_with_log(&self, level: &str) -> Process<'_> {
        let mut command = self.command(&["run"]);
        command.env("ECS_DRAIN_LOG", level).env("ECS_DRAIN_LOG_FORMAT", "human");
        if let Some(between) = self.between {
            command.env("AWS_ENDPOINT_URL", format!("http://{between}"));
        }
        self.spawn(command).counted()
    }

    /// Runs a command to its end.
    pub fn say(&self, arguments: &[&str]) -> Said {
        self.end(self.command(arguments))
    }

    /// Runs a command to its end.
    pub fn end(&self, command: Command) -> Said {
        let mut process = self.spawn(command);
        let status = process.ended();
        Said { code: status.code(), out: process.out(), err: process.log() }
    }

    /// Gives the number of running controllers to the checkers.
    pub fn count_up(&self, change: impl Fn(usize) -> usize) {
        let up = self
            .up
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |up| Some(change(up)))
            .unwrap();
        self.simulator.with(|cloud| cloud.set_replicas_up(change(up)));
    }

    /// Repeats a read until it returns something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(began.elapsed() < LONG, "waited {LONG:?} in vain: {what}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// Returns the record of an instance, as it is in the table.
    pub fn record(&self, instance: &str) -> Option<Record> {
        self.runtime.block_on(record(&self.store.borrow(), instance))
    }

    /// Waits until the table shows an instance in this phase.
    #[track_caller]
    pub fn until_phase(&self, instance: &str, phase: Phase) {
        self.until(&format!("{instance} in {phase}"), || {
            self.record(instance).filter(|r| r.phase() == phase)
        });
    }

    /// Adds a rule; the result shows if it has struck.
    pub fn strike(&self, rule: Rule) -> Struck {
        let fault = rule.fault.to_string();
        let from = self.simulator.with(|cloud| {
            cloud.faults.add(rule);
            cloud.log.entries().len()
        });
        Struck { fault, from }
    }

    /// Removes all faults.
    pub fn mend(&self) {
        self.simulator.with(|cloud| cloud.faults.clear());
    }

    /// Waits until this process holds the lease.
    #[track_caller]
    pub fn until_leads(&self, process: &Process<'_>) {
        self.until("the lease", || self.leader().filter(|holder| process.is_holder(holder)));
    }

    /// Returns the holder of the lease, as `host/process/random`.
    pub fn leader(&self) -> Option<String> {
        let body = format!(
            r#"{{"TableName":"{TABLE}","Key":{{"key":{{"S":"lease/{CONTROLLER}"}}}},"ConsistentRead":true}}"#
        );
        let answer = self.simulator.with(|cloud| {
            let now = cloud.now();
            cloud.dynamodb.handle(now, "GetItem", &body).unwrap()
        });
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["Item"]["holder"]["S"].as_str().map(str::to_owned)
    }

    /// Returns the number of this call by the program.
    pub fn count(&self, operation: &str) -> usize {
        self.simulator.peek(|cloud| {
            let ours = cloud.log.entries().iter().filter(|e| e.number.is_some());
            ours.filter(|e| e.operation == operation).count()
        })
    }

    /// Returns the number of completions of an instance's wait that were sent to Auto Scaling,
    /// whatever it answered.
    pub fn told(&self, instance: &str) -> usize {
        self.simulator.peek(|cloud| {
            let entries = cloud.log.entries().iter();
            entries
                .filter(|e| {
                    e.operation == "CompleteLifecycleAction" && e.summary.contains(instance)
                })
                .count()
        })
    }

    /// Checks everything that must be true of a successful drain, whatever happened to the
    /// processes meanwhile.
    #[track_caller]
    pub fn expect_drained(&self, instance: &str) {
        let record = self.record(instance).unwrap();
        assert_eq!(
            (record.phase(), record.outcome()),
            (Phase::Done, Some(Outcome::Drained)),
            "{}",
            record.shown.message
        );
        let ended: Vec<Completion> = self.simulator.with(|cloud| our_completions(cloud, instance));
        assert!(
            matches!(ended.as_slice(), [one] if one.how == How::Called),
            "{instance}: {ended:?}"
        );
        self.expect_kept();
    }

    /// Checks that no promise was broken, and that no process has panicked.
    #[track_caller]
    pub fn expect_kept(&self) {
        self.simulator.with(|cloud| {
            let broken: Vec<_> =
                cloud.violations_at_end().iter().map(ToString::to_string).collect();
            assert!(broken.is_empty(), "{}", broken.join("\n"));
            assert!(cloud.losses().is_empty(), "{:?}", cloud.losses());
        });
        for number in 1..=self.started.load(Ordering::Relaxed) {
            let said = fs::read_to_string(self.file(&format!("{number}.err"))).unwrap_or_default();
            let panicked = said.lines().find(|line| line.contains("panicked"));
            assert!(panicked.is_none(), "process {number}: {}", panicked.unwrap_or_default());
        }
    }
}

/// A call that a rule is to strike.
pub struct Struck {
    fault: String,
    from: usize,
}

impl Struck {
    /// Waits until it has struck: the call is in progress, without an answer.
    #[track_caller]
    pub fn happened(&self, rig: &Rig) {
        rig.until(&format!("a call that {}", self.fault), || {
            rig.simulator.peek(|cloud| {
                let entries = cloud.log.entries().iter().skip(self.from);
                entries.filter(|e| e.outcome.contains(&self.fault)).map(|_| ()).next()
            })
        });
    }
}

type Server = (oneshot::Sender<()>, thread::JoinHandle<std::io::Result<()>>);

/// Serves on a free port of this machine, from a thread of its own, with its own runtime.
fn serve<F>(serve: impl FnOnce(TcpListener, Stopped) -> F + Send + 'static) -> (SocketAddr, Server)
where
    F: Future<Output = std::io::Result<()>>,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let stopped: Stopped = Box::pin(async {
                let _ = stopped.await;
            });
            serve(TcpListener::from_std(listener)?, stopped).await
        })
    });
    (address, (stop, server))
}

/// A future that is ready when a server must end.
type Stopped = Pin<Box<dyn Future<Output = ()>>>;

impl Drop for Rig {
    fn drop(&mut self) {
        // The outer ones first.
        while let Some((stop, server)) = self.servers.pop() {
            let _ = stop.send(());
            let _ = server.join();
        }
        if thread::panicking() {
            let calls = self.simulator.peek(|cloud| cloud.log.to_string());
            let _ = fs::write(self.folder.join("calls.txt"), calls);
            eprintln!("what the processes said, and calls.txt, are in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Returns the time since the scenario began.
pub fn elapsed(rig: &Rig) -> Duration {
    rig.simulator.now() - BEGIN
}
