//! The words of pages, help and messages: who does what, in the words of docs/concepts.md.

use crate::docs::{OTHER_PAGES, page, pages, root, split};
use clap::CommandFactory;
use ecs_drain::cli::Cli;
use std::fs;
use std::path::PathBuf;

/// Words that name no actor, or that are hard to understand at three in the morning.
const NOT_WRITTEN: [&str; 19] = [
    "our",
    "ours",
    "us",
    "we",
    "nobody",
    "somebody",
    "whoever",
    "go on",
    "goes on",
    "let go",
    "lets go",
    "stand still",
    "stands still",
    "stood still",
    "of no service",
    "have a say",
    "come to",
    "put right",
    "told",
];

#[test]
fn the_pages_name_who_does_what() {
    let mut found = Vec::new();
    let pages = pages().into_iter().chain(OTHER_PAGES.iter().map(PathBuf::from));
    for name in pages.map(|path| path.display().to_string()) {
        let (text, _) = split(&page(&name));
        for line in text.lines() {
            // Names of tests and words of the program are as they are.
            let words = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
            let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            let words = words.to_lowercase().replace(|c: char| !is_word(c), " ");
            let words = format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" "));
            let hits = NOT_WRITTEN.iter().filter(|phrase| words.contains(&format!(" {phrase} ")));
            found.extend(hits.map(|phrase| format!("{name}: {phrase}: {line}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Openings without a noun: the reader has to build it.
const HEADLESS: [&str; 5] = ["What ", "Whether ", "Whoever ", "Whatever ", "That which "];

#[test]
fn no_sentence_begins_without_a_noun() {
    let mut found = Vec::new();
    let pages = pages().into_iter().chain(OTHER_PAGES.iter().map(PathBuf::from));
    for name in pages.map(|path| path.display().to_string()) {
        let (text, _) = split(&page(&name));
        for line in text.lines() {
            for part in line.split(['|', '.', ';', ':']) {
                let sentence = part.trim_start_matches(['#', '-', '*', '>', ' ']);
                // Questions are a person's own words.
                let asks = line.contains('?');
                if !asks && HEADLESS.iter().any(|opening| sentence.starts_with(opening)) {
                    found.push(format!("{name}: {sentence}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The texts of the program, which people read at three in the morning: every string of `src` and
/// `state/src`, and every line of help.
#[test]
fn the_program_names_who_does_what() {
    let mut sources = Vec::new();
    for folder in ["src", "state/src"] {
        crate::arrows::files(&root().join(folder), &mut sources);
    }
    let mut found = Vec::new();
    for path in sources {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        if name.contains("/tests") || name.ends_with("samples.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
        for text in strings(source) {
            let words = text.to_lowercase();
            // `{told}` is a name, and `:nobody` a placeholder of DynamoDB.
            let is_word = |c: char| c.is_alphanumeric() || "_-{:/".contains(c);
            let words = words.replace(|c: char| !is_word(c), " ");
            let words = format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" "));
            let hits = NOT_WRITTEN.iter().filter(|phrase| words.contains(&format!(" {phrase} ")));
            found.extend(hits.map(|phrase| format!("{name}: {phrase}: {text}")));
            if HEADLESS.iter().any(|opening| text.starts_with(opening)) {
                found.push(format!("{name}: {text}"));
            }
        }
    }
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        let helps = command.get_arguments().filter_map(|arg| arg.get_help());
        for help in helps.chain(command.get_about()).map(ToString::to_string) {
            let first = help.split(' ').next().unwrap_or_default();
            let headless =
                ["What", "Which", "How", "Whether", "Who", "Whose", "Where", "When", "Why"];
            if headless.contains(&first) {
                found.push(format!("help of {}: {help}", command.get_name()));
            }
        }
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The string literals of a source, without its comments.
fn strings(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let (mut found, mut text, mut escaped) = (Vec::new(), None::<String>, false);
    let mut before = ' ';
    for c in code.chars() {
        match (&mut text, c) {
            (Some(text), c) if escaped => {
                escaped = false;
                text.push(if c == 'n' || c == '\n' { ' ' } else { c });
            }
            (Some(_), '\\') => escaped = true,
            (Some(_), '"') => found.extend(text.take()),
            (Some(text), c) => text.push(c),
            (None, '"') if before != '\'' => text = Some(String::new()),
            (None, _) => {}
        }
        before = c;
    }
    found
}
