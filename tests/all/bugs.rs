//! The list of deliberate bugs stays correct: each changes text that exists, and names checkers
//! that exist. `tests/simulation/bugs/run` builds the program with all of them and shows that they
//! are caught.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The files with names of checkers. A checker is named there by a text of its own.
const CHECKERS: [&str; 5] = [
    "tests/simulator/src/checker.rs",
    "tests/simulator/src/checker",
    "tests/simulation/src/judge.rs",
    "tests/simulation/src/play.rs",
    "tests/simulation/src/many.rs",
];

/// The smallest number of real bugs: those that may do no harm do not count.
const AT_LEAST: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bugs() -> Vec<Table> {
    let list: Table = fs::read_to_string(root().join("tests/simulation/bugs/bugs.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let bugs = list["bug"].as_array().unwrap().iter();
    bugs.map(|bug| bug.as_table().unwrap().clone()).collect()
}

fn text<'t>(table: &'t Table, key: &str) -> &'t str {
    table.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {table}"))
}

/// Returns the places that a bug changes.
fn edits(bug: &Table) -> Vec<&Table> {
    let also = bug.get("also").and_then(Value::as_array).into_iter().flatten();
    std::iter::once(bug).chain(also.map(|edit| edit.as_table().unwrap())).collect()
}

/// Returns the file itself, or those in the folder.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    } else {
        vec![path.to_owned()]
    }
}

#[test]
fn every_deliberate_bug_has_a_name_of_its_own_and_says_what_it_is() {
    let mut names = BTreeSet::new();
    for bug in bugs() {
        let name = text(&bug, "name");
        assert!(names.insert(name.to_owned()), "two are called {name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        assert!(text(&bug, "what").ends_with('.'), "{name} says no sentence");
        let known = [
            "name",
            "what",
            "file",
            "old",
            "new",
            "also",
            "caught_by",
            "test",
            "harmless",
            "model",
        ];
        for key in bug.keys() {
            assert!(known.contains(&key.as_str()), "{name} has {key}");
        }
    }
}

#[test]
fn every_deliberate_bug_changes_text_that_stands_once_in_its_file() {
    let mut places: BTreeMap<String, Vec<(Range<usize>, String)>> = BTreeMap::new();
    for bug in bugs() {
        let name = text(&bug, "name");
        for edit in edits(&bug) {
            let (file, old, new) = (text(edit, "file"), text(edit, "old"), text(edit, "new"));
            let content = fs::read_to_string(root().join(file))
                .unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            let found: Vec<usize> = content.match_indices(old).map(|(begin, _)| begin).collect();
            assert_eq!(found.len(), 1, "{name}: so many times in {file}: {old}");
            assert!(new.contains("BUG") && !old.contains("BUG"), "{name} is not switched by BUG");
            let place = found[0]..found[0] + old.len();
            places.entry(file.to_owned()).or_default().push((place, name.to_owned()));
        }
    }
    for (file, mut places) in places {
        places.sort_by_key(|(place, _)| place.start);
        for pair in places.windows(2) {
            let [(one, first), (other, second)] = pair else { panic!("windows of two") };
            assert!(one.end <= other.start, "{first} and {second} change the same text of {file}");
        }
    }
}

#[test]
fn every_deliberate_bug_names_who_catches_it_or_what_prevents_harm() {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let checkers: String =
        CHECKERS.iter().flat_map(|path| files(&root().join(path))).map(read).collect();
    let mut real = 0;
    for bug in bugs() {
        let name = text(&bug, "name");
        let caught_by = bug.get("caught_by").and_then(Value::as_array);
        let said = |key| bug.get(key).and_then(Value::as_str);
        match (caught_by, said("test"), said("harmless")) {
            (Some(caught_by), None, None) => {
                assert!(!caught_by.is_empty(), "{name} is caught by nothing");
                for checker in caught_by {
                    let quoted = format!("{:?}", checker.as_str().unwrap());
                    assert!(checkers.contains(&quoted), "{name}: there is no checker {quoted}");
                }
                real += 1;
            }
            (None, Some(test), None) => {
                let (module, test) = test.rsplit_once("::").unwrap();
                let file = match module.strip_prefix("state::") {
                    Some(module) => format!("state/src/{}.rs", module.replace("::", "/")),
                    None => format!("tests/all/{}.rs", module.replace("::", "/")),
                };
                let source = read(root().join(file));
                assert!(
                    source.contains(&format!("fn {test}()")),
                    "{name}: there is no test {test} in {module}"
                );
                real += 1;
            }
            (None, None, None) if bug.get("model").and_then(Value::as_bool) == Some(true) => {
                real += 1
            }
            (None, None, Some(net)) => assert!(net.ends_with('.'), "{name} says no sentence"),
            _ => panic!("{name} has not one of caught_by, test, harmless and model"),
        }
    }
    assert!(real >= AT_LEAST, "{real} bugs");
}
