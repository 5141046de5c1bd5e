//! The real binary's answers to those who watch it: container engines, load balancers, Prometheus,
//! CloudWatch.

use super::rig::Rig;
use crate::harness::{group, our_hook, seconds};
use crate::scenarios::{A, cluster};
use aws_simulator::spec::{ClusterSpec, StandaloneSpec};
use ecs_drain_state::Phase;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Returns a port of this machine that is free at this moment.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_controller_reports_that_it_is_alive_and_that_it_is_ready() {
    let listen = format!("127.0.0.1:{}", port());
    // Without its table: it is alive, and not ready.
    let rig = Rig::new("health", &format!("listen = \"{listen}\"\n"), |cloud| cluster(cloud, &[A]));
    let nobody = rig.say(&["healthcheck"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.err);
    assert!(nobody.err.contains(&format!("http://{listen}/healthz")), "{}", nobody.err);
    let _process = rig.start();
    rig.until("it lives", || (rig.say(&["healthcheck"]).code == Some(0)).then_some(()));
    let told = rig.say(&["healthcheck", "--ready"]);
    assert_eq!(told.code, Some(1), "{}", told.out);
    assert!(
        told.err.contains("/readyz returned 503: the table has not been found"),
        "{}",
        told.err
    );
    assert_eq!(rig.say(&["init"]).code, Some(0));
    rig.until("it is ready", || {
        (rig.say(&["healthcheck", "--ready"]).code == Some(0)).then_some(())
    });
}

/// The largest number of file descriptors of a process.
const DESCRIPTORS: usize = 100;

/// Returns the command `ecs-drain run` with [`DESCRIPTORS`].
fn with_few_descriptors(rig: &Rig) -> Command {
    let inner = rig.command(&["run"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"")]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Anyone who can reach the address can open connections and send nothing. Without a limit they
/// would take the descriptors that heartbeats need.
#[test]
fn connections_that_say_nothing_keep_no_heartbeat_from_being_sent() {
    let listen = format!("127.0.0.1:{}", port());
    let rig = Rig::with_table("idle", &format!("listen = \"{listen}\"\n"), |cloud| {
        cloud.add_cluster(&ClusterSpec::new("web"));
        // A heartbeat is due every 20 seconds, and the task takes longer.
        let mut spec = group("web-group", "web", &[A]);
        spec.hooks = vec![our_hook(seconds(60))];
        cloud.add_group(spec);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(3600))).unwrap();
    });
    let process = rig.spawn(with_few_descriptors(&rig)).counted();
    rig.until_leads(&process);
    // As many as the kernel takes: connections that wait for `accept` have a limit of their own.
    let address = listen.parse().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok();
    let silent: Vec<TcpStream> = (0..150).map_while(|_| connect()).collect();
    assert!(silent.len() > DESCRIPTORS, "only {} connections", silent.len());
    rig.simulator.with(|cloud| cloud.terminate(A, true).unwrap());
    rig.until_phase(A, Phase::Waiting);
    rig.until("two heartbeats", || (rig.count("RecordLifecycleActionHeartbeat") > 1).then_some(()));
    drop(silent);
}

#[test]
fn an_address_that_is_in_use_is_reported_at_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let rig = Rig::with_table("taken", &format!("listen = \"{address}\"\n"), |_| {});
    let said = rig.say(&["run"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains(&format!("cannot listen on {address} (`listen`)")), "{}", said.err);
}

#[test]
fn without_an_address_nothing_listens_and_the_check_reports_it() {
    let rig = Rig::with_table("silent", "", |_| {});
    let said = rig.say(&["healthcheck"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("the controller has no address to check"), "{}", said.err);
}
