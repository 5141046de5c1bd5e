//! The demo, its whole story at full speed.

use crate::harness::seconds;
use clap::Parser;
use ecs_drain::cli::Cli;
use ecs_drain_demo::{Ending, Lines, Options, Picture, commands, run};
use ecs_drain_state::Outcome;
use jiff::Timestamp;
use std::path::Path;
use std::time::Duration;

fn tell(seed: u64, kill_every: Option<Duration>) -> (Ending, String) {
    let start = Timestamp::constant(1_767_603_600, 0);
    let options = Options { seed, speed: None, kill_every, serve: false, start };
    let mut lines = Lines::new(Vec::new());
    let ending = run(&options, &mut lines).expect("a story");
    (ending, String::from_utf8(lines.into_inner()).expect("text"))
}

#[track_caller]
fn expect_good(ending: &Ending, text: &str) {
    assert!(ending.failures().is_empty(), "{:#?}\n{text}", ending.failures());
    assert_eq!(ending.finished(), 12, "{text}");
    let timed_out =
        ending.outcomes().iter().filter(|outcome| **outcome == Some(Outcome::TimedOut)).count();
    let drained =
        ending.outcomes().iter().filter(|outcome| **outcome == Some(Outcome::Drained)).count();
    assert_eq!(
        (drained, timed_out),
        (11, 1),
        "all are drained but the one with a deadline\n{text}"
    );
}

#[test]
fn a_dozen_instances_are_drained_and_the_same_seed_is_the_same_story() {
    let (ending, text) = tell(1, None);
    expect_good(&ending, &text);
    assert_eq!(ending.kills, None);
    assert!(ending.took > seconds(600), "the deadline was waited for");
    let (_, again) = tell(1, None);
    assert_eq!(text, again);
}

#[test]
fn kills_cost_time_and_nothing_else() {
    for (seed, every) in [(1, 180), (2, 185), (3, 200), (4, 190)] {
        let (ending, text) = tell(seed, Some(seconds(every)));
        expect_good(&ending, &text);
        assert!(ending.kills >= Some(3), "{text}");
    }
}

#[test]
fn a_life_longer_than_the_story_is_no_kill() {
    let (ending, text) = tell(5, Some(seconds(7200)));
    assert_eq!(
        ending.failures(),
        ["the controller was not killed: all drains had ended before"],
        "{text}"
    );
}

/// The moment of the picture in README.md: some drains are done, and the controller was killed
/// once.
const PICTURED: Duration = seconds(260);

#[test]
fn the_picture_of_the_readme_is_what_the_demo_shows() {
    let start = Timestamp::constant(1_767_603_600, 0);
    let options =
        Options { seed: 1, speed: None, kill_every: Some(seconds(180)), serve: false, start };
    let mut picture = Picture::new(PICTURED);
    run(&options, &mut picture).expect("a story");
    let drawn = picture.svg("cargo run --bin demo -- --kill-every 3m").expect("a frame");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo.svg");
    if std::env::var_os("ECS_DRAIN_WRITE").is_some() {
        std::fs::write(&file, &drawn).expect("a written file");
    }
    let kept = std::fs::read_to_string(&file).expect("docs/demo.svg");
    assert!(
        kept == drawn,
        "docs/demo.svg is old; ECS_DRAIN_WRITE=1 cargo test --test all demo draws it anew"
    );
}

/// A reader who pastes them must not start the demo again.
#[test]
fn the_commands_for_another_terminal_are_those_of_ecs_drain() {
    let text = commands("http://127.0.0.1:1", Some("i-0123456789abcdef0"));
    let ours: Vec<&str> = text.lines().filter(|line| line.contains(" get ")).collect();
    assert_eq!(ours.len(), 2, "{text}");
    for line in ours {
        let (program, arguments) = line.split_once(" get ").expect("get");
        assert!(program == "cargo run --quiet --" || program.ends_with("/ecs-drain"), "{line}");
        let words = ["ecs-drain", "get"].into_iter().chain(arguments.split_whitespace());
        assert!(Cli::try_parse_from(words).is_ok(), "{line}");
    }
}
