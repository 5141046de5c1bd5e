//! Requests, and their answers.

use super::super::{Applied, MOST, Options, What, apply};
use super::world::{World, request, start, start_at};
use std::collections::BTreeMap;

fn refusal(applied: Applied) -> String {
    match applied {
        Applied::Refused { answer } => answer,
        Applied::Created { answer, .. }
        | Applied::Changed { answer, .. }
        | Applied::Already { answer } => panic!("not refused: {answer}"),
    }
}

#[test]
fn a_start_is_refused_with_its_reason() {
    let now = start_at();
    let none = BTreeMap::new();
    let many: Vec<String> = (0..=MOST).map(|n| format!("i-{n}")).collect();
    let ask = |old: &[String]| request(start(old, Options::default()), now);
    assert!(refusal(apply(&ask(&many), None, &none, now)).contains("too many for one rollout"));
    assert!(refusal(apply(&ask(&[]), None, &none, now)).contains("nothing to do"));
    let one = ["i-1".to_owned()];
    let taken = [("i-1".to_owned(), "december".to_owned())].into();
    assert!(refusal(apply(&ask(&one), None, &taken, now)).contains("part of rollout december"));
    let mut bad = ask(&one);
    bad.rollout = "a/b".into();
    assert!(refusal(apply(&bad, None, &none, now)).contains("letters, digits"));
    let later = now + jiff::SignedDuration::from_mins(16);
    assert!(refusal(apply(&ask(&one), None, &none, later)).contains("minutes old"));
}

#[test]
fn a_name_is_used_again_once_its_rollout_is_done() {
    let mut world = World::new(1, 0, 4, Options::default());
    let again = start(&["i-current01".to_owned()], Options::default());
    world.now += jiff::SignedDuration::from_secs(1);
    assert!(world.ask(again.clone()).starts_with("refused: there is a rollout january already"));
    world.run(100);
    assert_eq!(world.ask(again), "rollout january begins; old instances: 1, groups: 1");
    assert_eq!(world.rollout().generation, 2);
}

#[test]
fn a_request_that_is_read_twice_has_one_effect() {
    let mut world = World::new(1, 0, 4, Options::default());
    world.ask(What::Pause);
    let version = world.rollout().clone();
    assert!(world.ask(What::Pause).starts_with("already: this request was carried out before"));
    assert_eq!(*world.rollout(), version);
}

#[test]
fn a_rollout_that_is_done_takes_no_request() {
    let mut world = World::new(1, 0, 4, Options::default());
    world.run(100);
    for what in [What::Pause, What::Resume, What::Abort, What::Undo] {
        assert!(world.ask(what).starts_with("refused: it has ended (Replaced)"));
    }
}
