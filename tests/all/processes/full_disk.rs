//! A table whose disk is full: it can be read, and accepts no write. The test limits the file size
//! of the process that serves the table, since mounting a small disk needs rights that a test does
//! not have.

use super::process::Process;
use super::rig::Rig;
use super::stories::{terminate, world};
use crate::harness::{our_hook, seconds};
use crate::scenarios::A;
use aws_simulator::server::{TimeScale, serve_until};
use aws_simulator::{Simulator, SimulatorConfig};
use ecs_drain_state::Phase;
use jiff::Timestamp;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

/// Names the file of the table that [`serves_a_table`] serves.
const FILE: &str = "ECS_DRAIN_TEST_TABLE_FILE";

/// Starts a DynamoDB on a file, in a process of its own.
fn table<'r>(rig: &'r Rig) -> Process<'r> {
    let (file, url) = (rig.file("other.db"), rig.file("other.db.url"));
    let mut command = Command::new("sh");
    // A write beyond the limit must fail, as on a full disk, and must not end the process; the test
    // harness's messages about slow tests must not fail.
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\" >/dev/null 2>&1", "sh"])
        .arg(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::full_disk::serves_a_table", "--ignored", "--nocapture"]);
    command.env(FILE, file);
    let server = rig.spawn(command);
    let url = rig.until("the other table", || fs::read_to_string(&url).ok());
    rig.use_table_of(&url);
    server
}

#[test]
#[ignore = "not a test: a process of the story in this file"]
fn serves_a_table() {
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let started = file.with_extension("db.starting");
    let config = SimulatorConfig {
        start: Timestamp::now(),
        dynamodb_file: Some(file.clone()),
        ..SimulatorConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let simulator = Simulator::new(config).unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        fs::write(&started, format!("http://{}", listener.local_addr().unwrap())).unwrap();
        fs::rename(&started, file.with_extension("db.url")).unwrap();
        serve_until(simulator, listener, TimeScale::Real, std::future::pending()).await.unwrap();
    });
}

/// Sets the file size limit of a process.
fn limit(server: &Process<'_>, size: &str) {
    let mut prlimit = Command::new("prlimit");
    let status = prlimit
        .args(["--pid", &server.id().to_string(), &format!("--fsize={size}:")])
        .status()
        .unwrap();
    assert!(status.success());
}

/// No write succeeds for much longer than the hook waits. The instance is held all the same, and
/// drained once there is room.
pub fn a_full_disk() {
    let rig = Rig::new("full-disk", "", |cloud| {
        world(cloud);
        cloud.put_hook("web-group", our_hook(seconds(30)));
    });
    let mut server = table(&rig);
    let said = rig.say(&["init"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mut process = rig.start();
    terminate(&rig, A);
    rig.until_phase(A, Phase::Waiting);
    limit(&server, "1");
    let full = rig.record(A).unwrap();
    let (beats, begun) = (rig.count("RecordLifecycleActionHeartbeat"), rig.simulator.now());
    rig.until("the failure is told", || {
        process.log().contains("InternalServerError").then_some(())
    });
    rig.until("twice the hook's time", || {
        (rig.simulator.now() > begun + seconds(60)).then_some(())
    });
    let record = rig.record(A).unwrap();
    assert!(
        full.version + 1 >= record.version && record.phase() == Phase::Waiting,
        "written all the same: {record:?}"
    );
    assert!(rig.count("RecordLifecycleActionHeartbeat") >= beats + 3, "heartbeats go on");
    let state = rig.simulator.with(|cloud| cloud.lifecycle_state(A));
    assert_eq!(state.as_deref(), Some("Terminating:Wait"));
    limit(&server, "unlimited");
    rig.until_phase(A, Phase::Done);
    rig.expect_drained(A);
    assert!(process.runs() && server.runs());
}
