//! The imports between the program's modules: the arrows of docs/architecture.md, read from the
//! `crate::` paths of every file under `src/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module, with the modules that it imports. A row imports only modules of later rows, so no
/// cycle is possible. The table is the code of today: an arrow that is new, or no longer needed, is
/// changed here too.
const ARROWS: &[(&str, &str)] = &[
    ("cli", "aws blind config controller doctor iam quote reader store telemetry"),
    (
        "controller",
        "act aws blind clock config events fleet groups health heartbeat http intake log metrics quote reader records scope store",
    ),
    ("doctor", "aws config heartbeat quote store"),
    ("iam", "aws config"),
    ("act", "aws clock fleet"),
    ("events", "quote"),
    ("heartbeat", "aws beats blind clock groups log metrics quote scope"),
    ("http", "clock health metrics"),
    ("intake", "aws clock config groups log quote records scope store"),
    ("reader", "aws clock config fleet groups searches"),
    ("scope", "aws beats config fleet groups health log metrics searches sizes store"),
    ("beats", "aws"),
    ("fleet", "config"),
    ("groups", "aws"),
    ("records", "store"),
    ("searches", ""),
    ("sizes", ""),
    ("store", "aws blind config metrics quote"),
    ("aws", "config metrics quote"),
    ("config", "quote"),
    ("health", "blind clock log"),
    ("metrics", "blind"),
    ("blind", "clock"),
    ("log", "clock"),
    ("clock", ""),
    ("telemetry", "quote"),
    ("quote", ""),
];

/// Modules on the same level: none of them imports another.
const BESIDE: &[&[&str]] = &[
    &["controller", "doctor", "iam"],
    &["act", "events", "heartbeat", "http", "intake", "reader"],
    &["beats", "fleet", "groups", "records", "searches", "sizes"],
    &["config", "health", "metrics"],
    &["clock", "quote"],
];

type Imports = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Finds every Rust file in a folder and below it.
pub fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the files under `src/`, each with its module and its text without comments. Files of
/// tests may import anything; a module of tests inside another file counts with that file.
fn sources() -> Vec<(String, String)> {
    let source = root().join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    let sources = found.into_iter().filter(|path| !is_test(path)).map(|path| {
        let first = path.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let text: Vec<&str> =
            text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect();
        (first.trim_end_matches(".rs").to_owned(), text.join("\n"))
    });
    sources.collect()
}

/// Returns the modules that a text names after `crate::`, in groups too.
fn named(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => drop(named.insert(word(rest))),
            Some(group) => named.extend(heads(group)),
        }
    }
    named
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the first word of each entry of a group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && c.is_alphabetic() => {
                heads.push(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    heads
}

fn imports() -> Imports {
    let mut imports = Imports::new();
    for (module, text) in sources() {
        let of = imports.entry(module.clone()).or_default();
        of.extend(named(&text).into_iter().filter(|other| *other != module));
    }
    imports
}

#[test]
fn a_group_of_imports_is_read() {
    let text = "use crate::{aws::{Call, Family}, clock::Clock,\n    scope};\nfn f(_: crate::fleet::Fleet) {}";
    assert_eq!(named(text).into_iter().collect::<Vec<_>>(), ["aws", "clock", "fleet", "scope"]);
}

#[test]
fn every_import_is_an_arrow_and_every_arrow_an_import() {
    let mut expected: Imports =
        ARROWS.iter().map(|(module, _)| ((*module).to_owned(), BTreeSet::new())).collect();
    let listed = ARROWS
        .iter()
        .flat_map(|(module, others)| others.split_whitespace().map(move |other| (*module, other)));
    for (module, other) in listed {
        expected.entry(module.to_owned()).or_default().insert(other.to_owned());
    }
    let mut found = imports();
    assert!(
        found.remove("lib").unwrap_or_default().is_empty(),
        "lib.rs is the map, and imports nothing"
    );
    assert!(found.remove("main").unwrap_or_default().is_empty(), "main.rs is another crate");
    let arrows = |imports: &Imports| -> BTreeSet<String> {
        imports
            .iter()
            .flat_map(|(module, all)| all.iter().map(move |other| format!("{module} → {other}")))
            .collect()
    };
    let (found_arrows, expected_arrows) = (arrows(&found), arrows(&expected));
    let new: Vec<_> = found_arrows.difference(&expected_arrows).collect();
    let gone: Vec<_> = expected_arrows.difference(&found_arrows).collect();
    assert!(new.is_empty(), "imports that are not in the table of arrows: {new:?}");
    assert!(gone.is_empty(), "arrows that no import needs any more: {gone:?}");
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "modules");
}

/// Later rows only, so there is no cycle.
#[test]
fn arrows_point_one_way() {
    let place = |module: &str| {
        ARROWS.iter().position(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module}"))
    };
    let beside = |a: &str, b: &str| BESIDE.iter().any(|all| all.contains(&a) && all.contains(&b));
    let is_right =
        |module: &str, other: &str| place(module) < place(other) && !beside(module, other);
    for (module, others) in ARROWS {
        for other in others.split_whitespace() {
            assert!(is_right(module, other), "{module} → {other} goes against the order");
        }
    }
}

#[test]
fn main_knows_only_the_command_line() {
    let main = fs::read_to_string(root().join("src/main.rs")).unwrap();
    let known: BTreeSet<String> = main.split("ecs_drain::").skip(1).map(word).collect();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), ["cli"]);
}

/// Types of the SDK stay at the edge.
#[test]
fn only_aws_and_store_name_the_sdk() {
    let names: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("aws_sdk_"))
        .map(|(module, _)| module)
        .collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["aws", "store"]);
}
