//! What a test with real processes needs: the simulated cloud on a socket of this machine, in real time, its table in a
//! file, and processes that do not outlive the test.

use crate::harness::{CONFIG, HOOK, our_completions, record, store};
use aws_simulator::autoscaling::{Completion, How};
use aws_simulator::server::{TimeScale, serve_until};
use aws_simulator::{BEGIN, Cloud, Rule, Simulator, SimulatorConfig};
use ecs_drain::store::Store;
use ecs_drain_state::{Outcome, Phase, Record};
use jiff::Timestamp;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The table and the controller of [`CONFIG`].
pub const TABLE: &str = "drains";
pub const CONTROLLER: &str = "test";

/// Comes after [`CONFIG`]: a test in real time should not wait longer than it must.
const QUICK: &str = "[poll]\ngroups = \"2s\"\n[policy]\npoll = \"1s\"\n";

/// The most that anything may take. No test means to measure: the machine may be busy with other tests.
pub const LONG: Duration = Duration::from_secs(300);

/// A simulated cloud on a socket, and a folder for the processes that use it.
pub struct Rig {
    pub simulator: Simulator,
    url: String,
    folder: PathBuf,
    runtime: Runtime,
    store: Store,
    started: AtomicUsize,
    up: AtomicUsize,
    server: Option<Server>,
}

impl Rig {
    /// A cloud with this world, without a table. `top` goes to the top of the configuration file.
    pub fn new(name: &str, top: &str, world: impl FnOnce(&mut Cloud)) -> Rig {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        // Of an earlier process with the same id, perhaps.
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
        let (url, server) = serve(&simulator);
        Rig {
            simulator,
            url,
            folder,
            runtime,
            store,
            started: AtomicUsize::new(0),
            up: AtomicUsize::new(0),
            server: Some(server),
        }
    }

    /// The same, with its table.
    pub fn with_table(name: &str, top: &str, world: impl FnOnce(&mut Cloud)) -> Rig {
        let rig = Rig::new(name, top, world);
        let said = rig.say(&["init"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        rig
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("ecs-drain.toml")
    }

    /// The program, pointed at the simulated cloud; nothing of this machine's own AWS set-up gets in.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecs-drain"));
        command.args(arguments).arg("--config").arg(self.config());
        command.env_clear();
        command.env("AWS_ENDPOINT_URL", &self.url);
        command.env("AWS_ACCESS_KEY_ID", "AKIASIMULATED").env("AWS_SECRET_ACCESS_KEY", "simulated");
        command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("HOME", &self.folder);
        command
    }

    /// Starts a process, with its output in files.
    pub fn spawn(&self, mut command: Command) -> Process<'_> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let (out, err) = (self.folder.join(format!("{number}.out")), self.folder.join(format!("{number}.err")));
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Process { rig: self, child: command.spawn().unwrap(), counts: false, out, err }
    }

    /// Starts `ecs-drain run`.
    pub fn start(&self) -> Process<'_> {
        let mut command = self.command(&["run"]);
        command.env("ECS_DRAIN_LOG", "debug").env("ECS_DRAIN_LOG_FORMAT", "human");
        let mut process = self.spawn(command);
        process.counts = true;
        self.count_up(|up| up + 1);
        process
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

    fn count_up(&self, change: impl Fn(usize) -> usize) {
        let up = self.up.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |up| Some(change(up))).unwrap();
        self.simulator.with(|cloud| cloud.set_replicas_up(change(up)));
    }

    /// Looks until there is something to see.
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

    /// The record of an instance, as it is in the table.
    pub fn record(&self, instance: &str) -> Option<Record> {
        self.runtime.block_on(record(&self.store, instance))
    }

    /// Waits until the table shows an instance in this phase.
    #[track_caller]
    pub fn until_phase(&self, instance: &str, phase: Phase) {
        self.until(&format!("{instance} in {phase}"), || self.record(instance).filter(|r| r.phase == phase));
    }

    /// Adds a rule; the answer knows when it has struck.
    pub fn strike(&self, rule: Rule) -> Struck {
        let fault = rule.fault.to_string();
        let from = self.simulator.with(|cloud| {
            cloud.faults.add(rule);
            cloud.log.entries().len()
        });
        Struck { fault, from }
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        self.simulator.with(|cloud| cloud.faults.clear());
    }

    /// Who holds the lease, as `host/process/random`.
    pub fn leader(&self) -> Option<String> {
        let body =
            format!(r#"{{"TableName":"{TABLE}","Key":{{"key":{{"S":"lease/{CONTROLLER}"}}}},"ConsistentRead":true}}"#);
        let answer = self.simulator.with(|cloud| {
            let now = cloud.now();
            cloud.dynamodb.handle(now, "GetItem", &body).unwrap()
        });
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["Item"]["holder"]["S"].as_str().map(str::to_owned)
    }

    /// How often the program has made this call.
    pub fn count(&self, operation: &str) -> usize {
        self.simulator.peek(|cloud| {
            let ours = cloud.log.entries().iter().filter(|e| e.number.is_some());
            ours.filter(|e| e.operation == operation).count()
        })
    }

    /// How often Auto Scaling was told the end of an instance's wait, whatever it answered.
    pub fn told(&self, instance: &str) -> usize {
        self.simulator.peek(|cloud| {
            let entries = cloud.log.entries().iter();
            entries.filter(|e| e.operation == "CompleteLifecycleAction" && e.summary.contains(instance)).count()
        })
    }

    /// Everything that must be true of a drain that went well, whatever happened to the processes meanwhile.
    #[track_caller]
    pub fn expect_drained(&self, instance: &str) {
        let record = self.record(instance).unwrap();
        assert_eq!((record.phase, record.outcome), (Phase::Done, Some(Outcome::Drained)), "{}", record.message);
        self.simulator.with(|cloud| {
            let ended: Vec<Completion> = our_completions(cloud, instance);
            assert!(matches!(ended.as_slice(), [one] if one.how == How::Called), "{instance}: {ended:?}");
            let broken: Vec<_> = cloud.violations().iter().map(ToString::to_string).collect();
            assert!(broken.is_empty(), "{}", broken.join("\n"));
            assert!(cloud.losses().is_empty(), "{:?}", cloud.losses());
        });
    }
}

/// A call that a rule is to strike.
pub struct Struck {
    fault: String,
    from: usize,
}

impl Struck {
    /// Waits until it has happened: the call is under way, and nobody answers it.
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

/// Serves the cloud from a thread of its own, with its own runtime.
fn serve(simulator: &Simulator) -> (String, Server) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let simulator = simulator.clone();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let stopped = async {
                let _ = stopped.await;
            };
            serve_until(simulator, listener, TimeScale::Real, stopped).await
        })
    });
    (url, (stop, server))
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some((stop, server)) = self.server.take() {
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

/// What a command said, and its exit code; none if a signal ended it.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A process. It is killed when this goes out of scope, also by a failed assertion.
pub struct Process<'r> {
    rig: &'r Rig,
    child: Child,
    counts: bool,
    out: PathBuf,
    err: PathBuf,
}

impl Process<'_> {
    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: it has no chance to do anything. Back once it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// SIGKILL, and another one in its place.
    pub fn replace(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        *self = self.rig.start();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let kill = format!("kill -s TERM {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < LONG, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it wrote to standard output so far.
    pub fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.counts {
            self.rig.count_up(|up| up - 1);
        }
    }
}

/// Since the scenario began.
pub fn elapsed(rig: &Rig) -> Duration {
    rig.simulator.now() - BEGIN
}
