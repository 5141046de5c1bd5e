//! What the real binary answers to those who watch over it: engines, load balancers, Prometheus, CloudWatch.

use super::rig::Rig;
use crate::scenarios::{A, cluster};
use std::net::TcpListener;

/// A port of this machine that nobody has at this moment.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_controller_says_whether_it_lives_and_whether_it_is_ready() {
    let listen = format!("127.0.0.1:{}", port());
    // Without its table: it lives, and is not ready.
    let rig = Rig::new("health", &format!("listen = \"{listen}\"\n"), |cloud| cluster(cloud, &[A]));
    let nobody = rig.say(&["healthcheck"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.err);
    assert!(nobody.err.contains(&format!("http://{listen}/healthz")), "{}", nobody.err);
    let _process = rig.start();
    rig.until("it lives", || (rig.say(&["healthcheck"]).code == Some(0)).then_some(()));
    let told = rig.say(&["healthcheck", "--ready"]);
    assert_eq!(told.code, Some(1), "{}", told.out);
    assert!(told.err.contains("/readyz says 503: the table has not been found"), "{}", told.err);
    assert_eq!(rig.say(&["init"]).code, Some(0));
    rig.until("it is ready", || (rig.say(&["healthcheck", "--ready"]).code == Some(0)).then_some(()));
}

#[test]
fn an_address_that_cannot_be_had_is_told_at_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let rig = Rig::with_table("taken", &format!("listen = \"{address}\"\n"), |_| {});
    let said = rig.say(&["run"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains(&format!("cannot listen on {address} (`listen`)")), "{}", said.err);
}

#[test]
fn without_an_address_nothing_listens_and_the_check_says_so() {
    let rig = Rig::with_table("silent", "", |_| {});
    let said = rig.say(&["healthcheck"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("the controller listens nowhere"), "{}", said.err);
}
