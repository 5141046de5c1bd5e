//! The pages that people read say what the program does: attributes, modules, phases, commands,
//! configurations, links, and the edits of a record that docs/table-edits.md describes.

use crate::harness::{Scenario, config, environment, record, seconds, set_up, virtual_time};
use crate::scenarios::{A, B, PLAIN, cluster};
use crate::store::rollouts;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_simulator::Simulator;
use aws_simulator::spec::StandaloneSpec;
use clap::Parser;
use ecs_drain::aws::Environment;
use ecs_drain::cli::Cli;
use ecs_drain::config::{Config, Given};
use ecs_drain::store::{Answer, Ids, Lease, Store};
use ecs_drain_state::diagnosis::Fix;
use ecs_drain_state::rollout::Rollout;
use ecs_drain_state::{
    ActionResult, Balancer, ContainerInstance, Intent, LastError, Mono, Note, Obligation, Order,
    Outcome, Phase, Record, Request, Stage, Target, Then, What,
};
use futures_util::future::{Either, select};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the part of a page under a heading, up to the next one of the same level or above.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let begin =
        page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let rest = &page[begin + heading.len() + 2..];
    let level = heading.split(' ').next().unwrap_or_default().len();
    let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    ends.min().map_or(rest, |end| &rest[..end])
}

/// Returns the path of every page, from the root.
pub fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in [".", "docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let files = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        pages.extend(
            files.filter(|path| path.extension().is_some_and(|extension| extension == "md")),
        );
    }
    pages.sort();
    pages
}

/// Returns the text outside of code blocks, and the code blocks by language.
pub fn split(page: &str) -> (String, Vec<(String, String)>) {
    let (mut text, mut blocks, mut inside) = (String::new(), Vec::<(String, String)>::new(), false);
    for line in page.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), true) => inside = false,
            (Some(language), false) => {
                inside = true;
                blocks.push((language.to_owned(), String::new()));
            }
            (None, true) => blocks.last_mut().unwrap().1.extend([line, "\n"]),
            (None, false) => text.extend([line, "\n"]),
        }
    }
    (text, blocks)
}

/// Returns a heading as the anchor of a link: lower case, hyphens for spaces, without any other
/// character that is no letter or digit.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for path in pages() {
        let (text, _) = split(&page(path.to_str().unwrap()));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = root().join(&target).exists()
                && (place.is_empty() || {
                    let (text, _) = split(&page(target.to_str().unwrap()));
                    text.lines().any(|line| line.starts_with('#') && anchor(line) == place)
                });
            if !found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Pages outside of docs and the root that people read.
pub const OTHER_PAGES: [&str; 8] = [
    ".github/SECURITY.md",
    "deploy/cloudformation/README.md",
    "deploy/image/README.md",
    "deploy/terraform/README.md",
    "deploy/terraform/modules/hook/README.md",
    "deploy/terraform/modules/member/README.md",
    "deploy/terraform/modules/policy/README.md",
    "deploy/terraform/modules/queue/README.md",
];

/// The facts for a decision come first, and all of it is read.
#[test]
fn the_readme_is_short() {
    let readme = page("README.md");
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
    let status = readme.lines().position(|line| line.starts_with("> **Status")).expect("a status");
    assert!(status < 20, "the status is on line {status}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = page("docs/README.md");
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            !name.ends_with(".md") || name == "README.md" || index.contains(&format!("({name})")),
            "{name}"
        );
    }
}

#[test]
fn every_decision_is_listed() {
    let list = page("docs/decisions/README.md");
    for path in pages().iter().filter(|path| path.starts_with("docs/decisions")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || list.contains(&format!("({name})")), "{name} is not listed");
    }
}

/// An operator who filters a log by them must not wait for a line that is never written.
#[test]
fn the_words_of_the_log_that_the_page_quotes_are_written() {
    let page = page("docs/log.md");
    let table = page.split("\n## Every line\n").next().unwrap();
    let mut sources = Vec::new();
    for folder in ["src", "state/src"] {
        crate::arrows::files(&root().join(folder), &mut sources);
    }
    let text: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // A text that continues in the next line is one text.
    let text = text.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut quoted = 0;
    for row in table
        .lines()
        .filter(|line| ["| ERROR", "| WARN", "| INFO"].iter().any(|level| line.starts_with(level)))
    {
        let words = row.split('|').nth(2).unwrap();
        for words in words.split('`').skip(1).step_by(2) {
            assert!(text.contains(words.trim_end_matches('…').trim()), "nothing writes {words:?}");
            quoted += 1;
        }
    }
    assert!(quoted > 8, "{quoted}");
}

#[test]
fn the_code_map_names_every_module() {
    let page = page("docs/internals.md");
    let map = section(&page, "## Code map");
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<_> = library
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(modules.len() > 20, "{modules:?}");
    for module in modules {
        let named = map.contains(&format!("`src/{module}/`"))
            || map.contains(&format!("`src/{module}.rs`"));
        assert!(named, "the code map leaves out src/{module}");
    }
    for named in map.split('`').filter(|word| word.contains('/') || word.ends_with(".rs")) {
        let is_there =
            root().join(named).exists() || root().join("state/src/decide").join(named).exists();
        assert!(is_there, "the code map names {named}, which is not there");
    }
}

#[test]
fn the_concepts_have_every_phase_and_outcome() {
    let concepts = page("docs/concepts.md");
    let phases = section(&concepts, "## Phases");
    let rows: Vec<&str> =
        phases.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let expected: Vec<&str> = Phase::ALL
        .iter()
        .map(|phase| phase.name())
        .chain(Outcome::ALL.iter().map(|outcome| outcome.name()))
        .collect();
    assert_eq!(rows, expected);
}

/// The code has no list of the reasons; this reads the one match that names them.
#[test]
fn the_tables_page_has_every_reason() {
    let code = fs::read_to_string(root().join("state/src/why.rs")).unwrap();
    let (_, names) = code.split_once("fn name(&self)").unwrap();
    let (names, _) = names.split_once("\n    }\n").unwrap();
    let names: Vec<&str> =
        names.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\",")).collect();
    let table = page("docs/table.md");
    let rows = section(&table, "### Why")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), names);
}

/// Returns the rows of every table of a part of a page, as their cells, without headings and rules.
fn rows(part: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = part.lines().collect();
    let is_rule = |line: &&str| line.starts_with("| ---");
    let heads = lines.iter().skip(1).map(is_rule).chain([false]);
    let rows = lines
        .iter()
        .zip(heads)
        .filter(|(line, head)| line.starts_with("| ") && !head && !is_rule(line));
    let cells =
        |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    rows.map(|(row, _)| cells(row)).collect()
}

/// Returns the file of a test that is named `module::function` on a page, and the function.
fn place_of(test: &str) -> (PathBuf, &str) {
    let (module, function) =
        test.rsplit_once("::").unwrap_or_else(|| panic!("{test} names no module"));
    match module {
        "budget" | "facts" | "drain" | "windows" => {
            return (root().join(format!("state/src/{module}/tests.rs")), function);
        }
        "beats" | "blind" | "searches" => {
            return (root().join(format!("src/{module}.rs")), function);
        }
        "fleet" | "scope" => return (root().join(format!("src/{module}/tests.rs")), function),
        "model" => return (root().join("state/tests/model/main.rs"), function),
        _ => {}
    }
    let (folder, module) = match module.split_once("::") {
        Some(("decide", module)) => ("state/src/decide/tests", module),
        Some(("checker", _)) => ("tests/simulator/src", module),
        Some(("aws", _)) => ("src", module),
        _ => ("tests/all", module),
    };
    let base = root().join(folder).join(module.replace("::", "/"));
    let file = base.with_extension("rs");
    (if file.exists() { file } else { base.join("mod.rs") }, function)
}

/// Returns the tests that a page names: words in code that are paths.
fn tests_named(page: &str) -> BTreeSet<&str> {
    let words = page.split('`').skip(1).step_by(2);
    words
        .filter(|word| {
            word.contains("::") && !word.ends_with("::") && !word.contains(char::is_whitespace)
        })
        .collect()
}

/// Returns true if a file has this function, as a test.
fn has_test(file: &Path, function: &str) -> bool {
    let code = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_test = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let heads = [format!("fn {function}("), format!("async fn {function}(")];
    lines
        .windows(2)
        .any(|pair| is_test(pair[0]) && heads.iter().any(|head| pair[1].starts_with(head)))
}

#[test]
fn every_test_that_the_pages_name_exists() {
    for (name, least) in [("docs/traceability.md", 120), ("docs/evidence.md", 60)] {
        let page = page(name);
        let named = tests_named(&page);
        assert!(named.len() > least, "{name}: only {} tests were found", named.len());
        let is_missing = |test: &&&str| {
            let (file, function) = place_of(test);
            !has_test(&file, function)
        };
        let missing: Vec<_> = named.iter().filter(is_missing).collect();
        assert!(missing.is_empty(), "{name} names tests that are not there: {missing:#?}");
    }
}

/// The parts of a page under its headings of the second level, each with its heading.
fn parts(page: &str) -> Vec<(&str, &str)> {
    page.split("\n## ").skip(1).map(|part| part.split_once('\n').unwrap_or((part, ""))).collect()
}

/// Each row of the behaviour page is a row of the traceability page, under the same heading and in
/// the same order, with at least one test.
#[test]
fn every_behaviour_on_the_page_has_a_test() {
    let (behaviour, traceability) = (page("docs/behaviour.md"), page("docs/traceability.md"));
    let situations =
        |part: &str| -> Vec<String> { rows(part).into_iter().map(|row| row[0].clone()).collect() };
    let mut count = 0;
    for (heading, part) in parts(&behaviour) {
        let traced = section(&traceability, &format!("## {heading}"));
        assert_eq!(situations(part), situations(traced), "the two pages under \"{heading}\"");
        for row in rows(traced) {
            assert!(
                !tests_named(&row[1]).is_empty(),
                "docs/traceability.md has no test for: {}",
                row[0]
            );
            count += 1;
        }
    }
    assert!(count > 120, "only {count} rows were found");
}

/// No cell of the behaviour page is longer than a reader can take in at a glance.
#[test]
fn the_cells_of_the_behaviour_page_are_short() {
    for row in rows(&page("docs/behaviour.md")) {
        assert_eq!(row.len(), 3, "{row:?}");
        let long: Vec<_> = row.iter().filter(|cell| cell.split_whitespace().count() > 20).collect();
        assert!(long.is_empty(), "more than 20 words: {long:?}");
    }
}

/// Each story of `tests/all/behaviour` belongs to a row.
#[test]
fn every_story_of_behaviour_is_on_its_page() {
    let page = page("docs/traceability.md");
    let named = tests_named(&page);
    for entry in fs::read_dir(root().join("tests/all/behaviour")).unwrap() {
        let file = entry.unwrap().path();
        let code = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let tests = lines
            .windows(2)
            .filter(|pair| pair[0] == "#[test]")
            .filter_map(|pair| pair[1].strip_prefix("fn "));
        for test in tests.filter_map(|rest| rest.split('(').next()) {
            let name =
                format!("behaviour::{}::{test}", file.file_stem().unwrap().to_str().unwrap());
            assert!(named.contains(name.as_str()), "docs/traceability.md leaves out {name}");
        }
    }
}

#[test]
fn every_complaint_about_peers_is_answered_by_a_row() {
    let (behaviour, traceability) = (page("docs/behaviour.md"), page("docs/traceability.md"));
    let problems = rows(section(
        &traceability,
        "## Reported problems of other tools, and what ecs-drain does",
    ));
    assert!(problems.len() > 20, "{}", problems.len());
    for problem in problems {
        let (link, situation) =
            problem[2].split_once("): ").unwrap_or_else(|| panic!("{problem:?}"));
        let heading = link.trim_start_matches('[').split(']').next().unwrap_or_default();
        let known = rows(section(&behaviour, &format!("## {heading}")));
        assert!(
            known.iter().any(|row| row[0] == situation),
            "no row \"{situation}\" under {heading}"
        );
    }
}

/// A person who follows the page must find each file.
#[test]
fn every_path_of_where_to_change_it_exists() {
    let page = page("docs/architecture.md");
    let (text, _) = split(section(&page, "## Where to change it"));
    let words = text.split('`').skip(1).step_by(2);
    let paths: BTreeSet<&str> =
        words.filter(|word| word.contains('/') && !word.contains(' ')).collect();
    assert!(paths.len() > 20, "{paths:?}");
    let missing: Vec<_> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "docs/architecture.md names paths that are not there: {missing:?}");
}

/// Every `ecs-drain` command line in a code block is one that the program takes.
#[test]
fn every_command_is_one_that_the_program_takes() {
    let mut tried = 0;
    for path in pages() {
        let (_, blocks) = split(&page(path.to_str().unwrap()));
        for line in blocks
            .iter()
            .filter(|(language, _)| language == "sh")
            .flat_map(|(_, block)| block.lines())
        {
            let line = line
                .strip_prefix("cargo run -- ")
                .map_or_else(|| line.to_owned(), |l| format!("ecs-drain {l}"));
            let line = line.split([';', '|', '>', '#']).next().unwrap_or_default();
            if line.starts_with("ecs-drain ") {
                tried += 1;
                if let Err(error) = Cli::try_parse_from(shell_words(line)) {
                    panic!("{}: {line}: {error}", path.display());
                }
            }
        }
    }
    assert!(tried > 8, "only {tried} commands were found");
}

/// The spans of inline code in a page, with the page's name.
fn spans() -> Vec<(String, String)> {
    let mut spans = Vec::new();
    for path in pages().into_iter().chain(OTHER_PAGES.iter().map(PathBuf::from)) {
        let name = path.display().to_string();
        let (text, _) = split(&page(&name));
        for line in text.lines() {
            let code = line.split('`').skip(1).step_by(2);
            spans.extend(code.map(|span| (name.clone(), span.to_owned())));
        }
    }
    spans
}

/// A command in a sentence is one that the program takes, as far as it is given.
#[test]
fn every_command_in_a_sentence_is_one_that_the_program_takes() {
    use clap::error::ErrorKind::{
        DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
    };
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, span) in spans() {
        // A redirection is the shell's, and COMMAND stands for any.
        let span = span.split(" > ").next().unwrap_or_default().replace("COMMAND", "get");
        let open = ['…', '|', '$', '['].iter().any(|c| span.contains(*c));
        // The words of a screen.
        let quoted = span.starts_with("ecs-drain set it to DRAINING");
        if !span.starts_with("ecs-drain ") || open || quoted {
            continue;
        }
        tried += 1;
        let Err(error) = Cli::try_parse_from(shell_words(&span)) else { continue };
        let unfinished =
            [MissingRequiredArgument, MissingSubcommand, DisplayHelpOnMissingArgumentOrSubcommand];
        let unfinished = unfinished.contains(&error.kind())
            || error.to_string().contains("but none was supplied");
        if !unfinished && error.exit_code() != 0 {
            wrong.push(format!("{name}: {span}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 60, "{tried}");
}

#[test]
fn every_path_and_metric_on_the_pages_exists() {
    let metrics = page("docs/metrics.md");
    let folders = ["src/", "state/", "tests/", "docs/", "deploy/", ".ci/", ".github/"];
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, span) in spans() {
        let is_path = folders.iter().any(|folder| span.starts_with(folder))
            && span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let exists = match is_path {
            // A page of a folder names paths below it, too.
            true => {
                root().join(&span).exists()
                    || Path::new(&name)
                        .parent()
                        .is_some_and(|p| root().join(p).join(&span).exists())
            }
            false if span.starts_with("ecs_drain_") => metrics.contains(&format!("| `{span}` |")),
            false => continue,
        };
        tried += 1;
        if !exists {
            wrong.push(format!("{name}: {span}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 100, "{tried}");
}

/// Returns the words of a command line, those in single quotes as one.
fn shell_words(line: &str) -> Vec<String> {
    let parts: Vec<&str> = line.split('\'').collect();
    let plain = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let quoted =
        |(n, text): (usize, &&str)| if n % 2 == 1 { vec![(*text).to_owned()] } else { plain(text) };
    parts.iter().enumerate().flat_map(quoted).collect()
}

#[test]
fn every_configuration_is_valid() {
    for path in pages() {
        let (_, blocks) = split(&page(path.to_str().unwrap()));
        for (_, text) in blocks.iter().filter(|(language, _)| language == "toml") {
            let read = Config::parse(text, path.to_str().unwrap(), &Given::default());
            assert!(read.is_ok(), "{}", read.err().unwrap());
        }
    }
}

/// Creates a DynamoDB client for a person, neither counted nor struck by faults.
async fn person(simulator: &Simulator) -> Client {
    let environment = Environment {
        http_client: Some(simulator.other_http_client("person")),
        time_source: Some(simulator.time_source(0)),
        isolated: true,
        ..Environment::default()
    };
    Client::new(&environment.load(Some("us-east-1")).await)
}

/// Returns the record with a value in every field.
fn full(mut record: Record) -> Record {
    let at = record.created_at;
    record.deadline = Some(at);
    record.container_instances.push(ContainerInstance {
        cluster: "web".into(),
        arn: "arn:aws:ecs:us-east-1:123456789012:container-instance/web/0123".into(),
        draining_is_ours: true,
        deregistered_at: Some(at),
        drained_for_seconds: 0,
        gone_for_seconds: 0,
    });
    let balancers =
        [Balancer::TargetGroup("web".into()), Balancer::ClassicLoadBalancer("old".into())];
    for (balancer, target) in
        balancers.into_iter().zip([Target::Ip("10.0.0.7".into()), Target::Instance(A.into())])
    {
        let (delay_seconds, network, draining_since) = (Some(300), Some(false), Some(at));
        record.obligations.push(Obligation {
            delay_seconds,
            network,
            draining_since,
            left_for_seconds: 60,
            of_group_alone: true,
            ..Obligation::new(balancer, target, at)
        });
    }
    let (result, outcome) = (ActionResult::Continue, Outcome::Drained);
    let intent = Intent { result, outcome, reason: "all is gone".into(), at };
    record.stage = Stage::Completing { intent, refused_since: Some(at) };
    record.last_error = Some(LastError { at, what: "throttled".into() });
    (record.orders.pause, record.orders.cancel, record.orders.force) =
        (Some(order()), Some(order()), Some(order()));
    (record.termination_asked_at, record.retained_at) = (Some(at), Some(at));
    record.stopped_tasks = vec!["0a1b".into()];
    record.services = Some([("web/shop".to_owned(), 2)].into());
    record.remember_request("0123".into());
    record.shown.causes = vec![Note {
        name: "StandaloneTask".into(),
        text: "task 0a1b is standalone".into(),
        fix: Some(Fix::StopTask { cluster: "web".into(), task: "0a1b".into() }),
    }];
    record.shown.stuck_since = Some(at);
    record.shown.bad_tags = vec!["ecs-drain:poll is \"1\": no unit".into()];
    record
}

fn order() -> Order {
    Order {
        by: "Ada".into(),
        reason: Some("kernel".into()),
        at: "2026-01-05T09:00:00Z".parse().unwrap(),
    }
}

fn names(item: &HashMap<String, AttributeValue>, found: &mut BTreeSet<String>) {
    let item: BTreeMap<_, _> = item.iter().collect();
    for (name, value) in item {
        found.insert(name.clone());
        nested(value, found);
    }
}

fn nested(value: &AttributeValue, found: &mut BTreeSet<String>) {
    if let Ok(fields) = value.as_m() {
        names(fields, found);
    }
    for value in value.as_l().into_iter().flatten() {
        nested(value, found);
    }
}

/// Every name in the table is on the page, fields of maps too: of an unfinished record, of a done
/// one, of a lease, of requests with and without an answer, of rollouts, and of a pause.
#[test]
fn every_attribute_is_on_the_tables_page() {
    let found = virtual_time(1, || async {
        let (simulator, store) = set_up(&LONG, 1).await;
        let unfinished = full(sample("i-1"));
        let done = Record {
            stage: Stage::Done {
                outcome: Outcome::Drained,
                intent: None,
                expires_at: 1_800_000_000,
            },
            ..sample("i-2")
        };
        for record in [unfinished, done] {
            store.create(record).await.unwrap();
        }
        Lease::named(&store, "a-host").renew_or_take(Mono::START).await.unwrap();
        let request = asked();
        store.ask(&request).await.unwrap();
        let answer = Answer { text: "a drain begins".into(), refused: false, at: request.at };
        store.answer(&ecs_drain::store::requests::key(&request), &answer).await.unwrap();
        store.set_pause("*", Some(&order())).await.unwrap();
        let rollout = rollouts::rollout("january");
        store.save_rollout(rollout.clone()).await.unwrap();
        let ended = Rollout { name: "february".into(), ..rollouts::done(rollout) };
        store.save_rollout(ended).await.unwrap();
        let asked = rollouts::request("january", rollouts::start("web-asg", A));
        store.ask_rollout(&asked).await.unwrap();
        let items = person(&simulator)
            .await
            .scan()
            .table_name("drains")
            .send()
            .await
            .unwrap()
            .items
            .unwrap();
        assert_eq!(items.len(), 8);
        let mut found = BTreeSet::new();
        items.iter().for_each(|item| names(item, &mut found));
        // Groups and instances of a rollout are fields of its maps.
        found.retain(|name| !name.starts_with("i-") && !name.ends_with("-asg"));
        found
    });
    assert!(
        found.contains("outcome")
            && found.contains("unfinished")
            && found.contains("lease_version"),
        "{found:?}"
    );
    let table = page("docs/table.md");
    let missing: Vec<_> =
        found.iter().filter(|name| !table.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/table.md leaves out {missing:?}");
}

pub fn asked() -> Request {
    Request {
        id: "20260105T090000000-1".into(),
        controller: "test".into(),
        account: "123456789012".into(),
        region: "us-east-1".into(),
        instance_id: A.into(),
        cluster: Some("web".into()),
        generation: 0,
        what: What::Drain { then: Then::Keep },
        by: "Ada".into(),
        reason: Some("kernel".into()),
        at: "2026-01-05T09:00:00Z".parse().unwrap(),
        schema: ecs_drain_state::request::SCHEMA,
    }
}

fn sample(instance: &str) -> Record {
    let lifecycle = ecs_drain_state::Lifecycle {
        group: "web-group".into(),
        hook: "ecs-drain".into(),
        kind: ecs_drain_state::WaitKind::Terminating,
        heartbeat_timeout_seconds: 3600,
        global_timeout_seconds: 172_800,
        default_result: ActionResult::Continue,
        other_hooks: vec!["audit".into()],
        retains_abandoned: true,
    };
    let opening = ecs_drain_state::record::Opening {
        account: "123456789012".into(),
        region: "us-east-1".into(),
        instance_id: instance.into(),
        controller: "test".into(),
        origin: ecs_drain_state::Origin::LifecycleHook,
        strategy: ecs_drain_state::Strategy::Drain,
        lifecycle: Some(lifecycle),
        group: Some("web-group".into()),
        then: Some(Then::Keep),
        requested: Some(order()),
        container_instances: Vec::new(),
        deadline: None,
        margin: jiff::SignedDuration::ZERO,
    };
    Record::open(opening, "2026-01-05T09:00:00Z".parse().unwrap())
}

/// An instance that a standalone task keeps busy for hours.
const LONG: Scenario = Scenario {
    name: "long",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(20_000))).unwrap();
        cloud.checkers.may_be_premature(A);
    },
    ..PLAIN
};

/// Edits the record of a drain that waits, as the page about edits says, and returns the record a
/// minute later.
fn edited(
    scenario: &Scenario,
    expression: &str,
    values: fn(&Record) -> Vec<(&'static str, AttributeValue)>,
) -> Record {
    let text = page("docs/table-edits.md");
    assert!(text.contains(expression), "docs/table-edits.md does not have {expression}");
    virtual_time(1, || async {
        let (simulator, store) = set_up(scenario, 1).await;
        simulator.with(scenario.begin);
        let environment = environment(&simulator, "replica-0", &Arc::new(AtomicI64::new(0)));
        let life = ecs_drain::controller::run_with_ids(
            config(scenario),
            environment,
            Ids::seeded(7),
            std::future::pending(),
        );
        let story = async {
            let waiting = until_waiting(&store).await;
            let key = waiting.key();
            let next = waiting.version + 1;
            let text = |text: String| AttributeValue::S(text);
            let number = |number: u64| AttributeValue::N(number.to_string());
            let mut request = person(&simulator)
                .await
                .update_item()
                .table_name("drains")
                .key("key", text(key.clone()))
                .condition_expression("version = :read")
                .update_expression(expression)
                .expression_attribute_values(":read", number(waiting.version))
                .expression_attribute_values(":next", number(next))
                .expression_attribute_values(":unfinished", text(format!("{key}@{next:012}")));
            if expression.contains("#force") {
                request = request.expression_attribute_names("#force", "force");
            }
            for (name, value) in values(&waiting) {
                request = request.expression_attribute_values(name, value);
            }
            request.send().await.unwrap();
            tokio::time::sleep(seconds(60)).await;
            record(&store, A).await.unwrap()
        };
        match select(pin!(story), pin!(life)).await {
            Either::Left((record, _)) => record,
            Either::Right((ended, _)) => panic!("the controller has ended: {ended:?}"),
        }
    })
}

async fn until_waiting(store: &Store) -> Record {
    for _ in 0..600 {
        match record(store, A).await {
            Some(record) if record.phase() == Phase::Waiting => return record,
            Some(_) | None => tokio::time::sleep(seconds(1)).await,
        }
    }
    panic!("it does not come to Waiting");
}

#[test]
fn a_deadline_that_a_person_sets_is_obeyed() {
    let scenario =
        Scenario { config: "[policy]\ndeadline = \"5h\"\nat_deadline = \"continue\"\n", ..LONG };
    let expression = "SET deadline = :deadline, version = :next, unfinished = :unfinished";
    let record = edited(&scenario, expression, |r| {
        vec![(":deadline", AttributeValue::S(r.phase_since.to_string()))]
    });
    assert_eq!(record.outcome(), Some(Outcome::TimedOut), "{}", record.shown.message);
}

#[test]
fn an_order_that_a_person_writes_is_carried_out() {
    let expression = "SET #force = :force, version = :next, unfinished = :unfinished";
    let record = edited(&LONG, expression, |record| {
        let at = record.phase_since.to_string();
        let fields = [("by", "Ada"), ("reason", "it may be cut"), ("at", &at)];
        let order = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
        vec![(":force", AttributeValue::M(order.collect()))]
    });
    assert_eq!(record.outcome(), Some(Outcome::Forced), "{}", record.shown.message);
    assert_eq!(record.intent().unwrap().reason, "ordered by Ada (it may be cut)");
}
