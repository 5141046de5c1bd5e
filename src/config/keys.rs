//! The keys of the configuration: the source of the reference page, of the messages about unknown
//! keys, and of the allowed spans.

mod limits;
mod list;

pub use limits::*;
pub(crate) use list::KEYS;

use crate::config::environment::VARIABLES;
use crate::config::span::{Limits, words};
use std::fmt;
use std::fmt::Write as _;

/// One key of the configuration file.
#[derive(Debug)]
pub(crate) struct Key {
    /// Table of the key, without brackets; empty for the top of the file.
    pub section: &'static str,
    pub name: &'static str,
    /// Form of its value.
    pub kind: Kind,
    /// Default value, as TOML; empty if there is none, `required` if the key is required.
    pub default: &'static str,
    /// Description for the reference page.
    pub meaning: &'static str,
}

/// Form of a value.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A string, with a name for it.
    Text(&'static str),
    /// `true` or `false`.
    Flag,
    /// A duration.
    Span(&'static Limits),
    /// A duration, or a word.
    SpanOr(&'static Limits, &'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An array of strings, with a name for them.
    Names(&'static str),
    /// A table with keys of its own, with its notation.
    Table(&'static str),
}

const POLICY: &str = "policy";

/// Returns the names of the keys that a section may have.
pub(crate) fn names(section: &str) -> impl Iterator<Item = &'static str> {
    // An override may have every key of a policy.
    let inherits = section == "override";
    KEYS.iter()
        .filter(move |key| key.section == section || (inherits && key.section == POLICY))
        .map(|key| key.name)
}

/// Returns the section of a key of this name, if there is one.
pub(crate) fn section_of(name: &str) -> Option<&'static str> {
    KEYS.iter().find(|key| key.name == name).map(|key| key.section)
}

/// Returns the heading of a section.
pub(crate) const fn heading(section: &str) -> &str {
    match section.as_bytes() {
        b"" => "the top of the file",
        b"scope" => "[[scope]]",
        b"override" => "[[override]]",
        b"closed" => "[[closed]]",
        b"table" => "[table]",
        b"poll" => "[poll]",
        b"policy" => "[policy]",
        b"tags" => "[tags]",
        b"scope.groups" => "[scope.groups]",
        b"scope.role" => "[scope.role]",
        _ => section,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |limits: &Limits| {
            format!("duration, {} to {}", words(limits.least), words(limits.most))
        };
        match self {
            Kind::Text(what) => f.write_str(what),
            Kind::Flag => f.write_str("`true` or `false`"),
            Kind::Span(limits) => f.write_str(&range(limits)),
            Kind::SpanOr(limits, word) => write!(f, "{}; or `\"{word}\"`", range(limits)),
            Kind::OneOf(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                f.write_str(&words.join(", "))
            }
            Kind::Names(what) => write!(f, "array of {what}"),
            Kind::Table(how) => write!(f, "table: {how}"),
        }
    }
}

/// Writes the reference of all keys as a page: the output of `ecs-drain config reference`, and
/// `docs/configuration.md`.
pub(crate) fn reference() -> String {
    let mut page = String::from(include_str!("reference.md"));
    page.push_str("\n## Variables\n\n| variable | meaning |\n| --- | --- |\n");
    for (name, meaning) in VARIABLES {
        let _ = writeln!(page, "| `{name}` | {meaning}. |");
    }
    page.push_str("\n## Keys\n");
    let mut section = None;
    for key in KEYS {
        if section != Some(key.section) {
            section = Some(key.section);
            let title = match key.section {
                "" => "The top of the file".to_owned(),
                POLICY => "`[policy]`, and each `[[override]]`".to_owned(),
                "policy.standalone_tasks" => "`standalone_tasks = { … }`".to_owned(),
                other => format!("`{}`", heading(other)),
            };
            let _ = write!(
                page,
                "\n### {title}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
            );
        }
        let default = match key.default {
            "" | "required" => key.default.to_owned(),
            value => format!("`{value}`"),
        };
        let kind = key.kind.to_string().replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {kind} | {default} | {} |", key.name, key.meaning);
    }
    page
}
