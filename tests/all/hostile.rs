//! Hostile input: the promises for everything that others can write (queue messages, the table's
//! items, the configuration, names), checked with seeds and thousands of changed seeds. The same
//! promises are fuzzed: see `tests/fuzz`.

#[path = "../fuzz/src/lib.rs"]
mod promises;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The number of changed seeds of a kind in an ordinary run. `ECS_DRAIN_INPUTS` is the number for
/// [`many_inputs`].
const INPUTS: usize = 2_000;

type Promise = fn(&[u8]) -> bool;

/// Every kind of input: its name, its seeds, and its promise.
const KINDS: [(&str, &str, Promise); 5] = [
    ("message", "tests/all/events", promises::message),
    ("record", "tests/fuzz/seeds/record", promises::record),
    ("request", "tests/fuzz/seeds/request", promises::request),
    ("config", "tests/fuzz/seeds/config", promises::config),
    ("arn", "tests/fuzz/seeds/arn", promises::arn),
];

fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .filter(|file| !file.ends_with("README.md"))
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Tries seeds and changed seeds; returns the number of accepted ones, and of all.
fn try_all((kind, folder, promise): (&str, &str, Promise), inputs: usize) -> (usize, usize) {
    let seeds = seeds(folder);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut accepted = 0;
    let mut check = |input: &[u8]| {
        let outcome = catch_unwind(AssertUnwindSafe(|| promise(input)));
        accepted += usize::from(outcome.unwrap_or_else(|_| {
            panic!(
                "{kind}: a promise is broken by this input: {}",
                String::from_utf8_lossy(input).escape_debug()
            )
        }));
    };
    seeds.iter().for_each(|seed| check(seed));
    let mut input = Vec::new();
    for n in 0..inputs {
        // Now and then an input that was changed already is changed again.
        if input.is_empty() || input.len() > 20_000 || rng.u8(..4) != 0 {
            input.clone_from(&seeds[n % seeds.len()]);
        }
        input = promises::mutate(&input, &mut rng);
        check(&input);
    }
    (accepted, seeds.len() + inputs)
}

#[test]
fn nothing_that_others_write_breaks_a_promise() {
    for kind in KINDS {
        let (accepted, of) = try_all(kind, INPUTS);
        // Otherwise only one side of the promise is tried.
        assert!(
            accepted * 50 > of && accepted < of,
            "{}: {accepted} of {of} were accepted",
            kind.0
        );
    }
}

#[test]
#[ignore = "as long as ECS_DRAIN_INPUTS says"]
fn many_inputs() {
    let inputs = std::env::var("ECS_DRAIN_INPUTS").map_or(1_000_000, |text| text.parse().unwrap());
    for kind in KINDS {
        let (accepted, of) = try_all(kind, inputs);
        println!("{}: {accepted} of {of} accepted", kind.0);
    }
}
