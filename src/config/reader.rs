//! Reads a tree of TOML value by value. Each mistake is reported with its place, the value found
//! and the values allowed, and reading continues.

use crate::config::error::{Problems, nearest};
use crate::config::keys;
use crate::config::span::{self, Limits};
use crate::quote::shown;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Length to which the value of a tag is cut in a message.
const TAG_SHOWN: usize = 60;

/// A file that is valid TOML, not validated further.
#[derive(Debug)]
pub(crate) struct File<'t>(Spanned<DeTable<'t>>);

/// Parses the text. Reports all syntax errors; if there is one, nothing else is reported.
pub(crate) fn parse<'t>(text: &'t str, problems: &mut Problems) -> Option<File<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        problems.at(&error.span().unwrap_or(0..0), format!("this is not TOML: {message}"));
    }
    errors.is_empty().then_some(File(table))
}

impl File<'_> {
    /// Returns the top of the file.
    pub(crate) fn root(&self, problems: &mut Problems) -> Fields<'_> {
        Fields::open(self.0.get_ref(), "", "", 0..0, problems)
    }
}

/// Keys of one table.
#[derive(Debug)]
pub(crate) struct Fields<'t> {
    table: &'t DeTable<'t>,
    /// Name of the table in messages, such as `policy` or `scope 2`.
    path: String,
    place: Range<usize>,
    /// True if it is a tag, whose value is always text.
    is_tag: bool,
}

impl<'t> Fields<'t> {
    /// Creates the table of one tag. `key=value` stands for a table, where the key has one.
    pub(crate) fn table_of_tag<'v>(key: &'v str, value: &'v str) -> DeTable<'v> {
        let entry = |key: String, value| {
            DeTable::from_iter([(Spanned::new(0..0, key.into()), Spanned::new(0..0, value))])
        };
        let text = |value: &'v str| DeValue::String(value.into());
        let has_table = keys::names(&format!("policy.{key}")).next().is_some();
        match value.split_once('=').filter(|_| has_table) {
            Some((inner, value)) => {
                entry(key.to_owned(), DeValue::Table(entry(inner.replace('-', "_"), text(value))))
            }
            None => entry(key.to_owned(), text(value)),
        }
    }

    /// Returns the keys of a tag's table. `prefix` begins its name in messages.
    pub(crate) fn of_tag(table: &'t DeTable<'t>, prefix: &str) -> Fields<'t> {
        Fields { table, path: prefix.to_owned(), place: 0..0, is_tag: true }
    }

    /// Opens a table of the section. Reports a key that does not belong there.
    fn open(
        table: &'t DeTable<'t>,
        section: &'static str,
        path: &str,
        place: Range<usize>,
        problems: &mut Problems,
    ) -> Fields<'t> {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !keys::names(section).any(|known| known == name) {
                problems.at(&key.span(), unknown(name, section));
            }
        }
        Fields { table, path: path.to_owned(), place, is_tag: false }
    }

    /// Returns the place of the table.
    pub(crate) fn place(&self) -> &Range<usize> {
        &self.place
    }

    /// Returns the name of the table in messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the value of a key, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<Node<'t>> {
        let (_, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Node { value, path: self.join(name), is_tag: self.is_tag })
    }

    /// Returns the value of a required key.
    pub(crate) fn require(&self, name: &str, problems: &mut Problems) -> Option<Node<'t>> {
        let node = self.get(name);
        if node.is_none() {
            problems.at(&self.place, format!("{} is missing", self.join(name)));
        }
        node
    }

    /// Returns the table of a key, if it is there.
    pub(crate) fn table(
        &self,
        name: &str,
        section: &'static str,
        problems: &mut Problems,
    ) -> Option<Fields<'t>> {
        self.get(name)?.fields(section, problems)
    }

    /// Returns the tables of a key that is written `[[name]]`, numbered from 1 in messages.
    pub(crate) fn tables(
        &self,
        name: &str,
        section: &'static str,
        problems: &mut Problems,
    ) -> Vec<Fields<'t>> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let Some(array) = node.value.get_ref().as_array() else {
            node.refuse(
                &format!("it is written [[{name}]], with two brackets, once for each"),
                problems,
            );
            return Vec::new();
        };
        let nodes = array.iter().enumerate().map(|(i, value)| Node {
            value,
            path: format!("{name} {}", i + 1),
            is_tag: false,
        });
        nodes.filter_map(|node| node.fields(section, problems)).collect()
    }

    /// Returns the name of a key of this table in messages.
    fn join(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else if self.is_tag && self.path.ends_with(':') {
            format!("{}{}", self.path, name.replace('_', "-"))
        } else {
            format!("{}.{name}", self.path)
        }
    }
}

/// Returns the message for an unknown key.
fn unknown(name: &str, section: &'static str) -> String {
    let heading = keys::heading(section);
    if let Some(like) = nearest(name, keys::names(section)) {
        return format!("unknown key {name:?} in {heading}; did you mean {like:?}?");
    }
    match keys::section_of(name) {
        Some(home) => {
            format!("the key {name:?} does not belong in {heading}, but in {}", keys::heading(home))
        }
        None => {
            let known: Vec<_> = keys::names(section).collect();
            format!("unknown key {name:?} in {heading}; the keys are {}", known.join(", "))
        }
    }
}

/// One value and its name.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    value: &'t Spanned<DeValue<'t>>,
    path: String,
    is_tag: bool,
}

impl<'t> Node<'t> {
    /// Returns the place of the value.
    pub(crate) fn place(&self) -> Range<usize> {
        self.value.span()
    }

    /// Reports that the value is not allowed.
    pub(crate) fn refuse(&self, allowed: &str, problems: &mut Problems) {
        problems.at(
            &self.place(),
            format!("{} is {}: {allowed}", self.path, found(self.value.get_ref(), self.is_tag)),
        );
    }

    /// Reads any string.
    pub(crate) fn string(&self, problems: &mut Problems) -> Option<&'t str> {
        let string = self.value.get_ref().as_str();
        if string.is_none() {
            self.refuse("it must be a string, in quotes", problems);
        }
        string
    }

    /// Reads a string that `check` allows.
    pub(crate) fn text(
        &self,
        check: fn(&str) -> Result<(), String>,
        problems: &mut Problems,
    ) -> Option<String> {
        let text = self.string(problems)?;
        match check(text) {
            Ok(()) => Some(text.to_owned()),
            Err(wrong) => {
                self.refuse(&wrong, problems);
                None
            }
        }
    }

    /// Returns the string, if it is one.
    pub(crate) fn word(&self) -> Option<&'t str> {
        self.value.get_ref().as_str()
    }

    /// Returns whether it is this string.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// Returns whether it is the value of a tag, which is always text.
    pub(crate) fn is_tag(&self) -> bool {
        self.is_tag
    }

    /// Returns the number, if it is a whole one that is not negative.
    pub(crate) fn number(&self) -> Option<u32> {
        match self.value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) if self.is_tag => text.parse().ok(),
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn flag(&self, problems: &mut Problems) -> Option<bool> {
        let flag = match self.word().filter(|_| self.is_tag) {
            Some(text) => text.parse().ok(),
            None => self.value.get_ref().as_bool(),
        };
        if flag.is_none() {
            self.refuse("it must be true or false, without quotes", problems);
        }
        flag
    }

    /// Reads a duration within its limits.
    pub(crate) fn span(&self, limits: &Limits, problems: &mut Problems) -> Option<Duration> {
        let Some(text) = self.value.get_ref().as_str() else {
            self.refuse(
                "a duration is a string with a unit, such as \"90s\", \"10m\" or \"2h\"",
                problems,
            );
            return None;
        };
        let span = span::parse(text).and_then(|span| limits.check(span).map(|()| span));
        match span {
            Ok(span) => Some(span),
            Err(wrong) => {
                self.refuse(&wrong, problems);
                None
            }
        }
    }

    /// Reads one of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        choices: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let chosen = self
            .value
            .get_ref()
            .as_str()
            .and_then(|text| choices.iter().find(|(word, _)| *word == text));
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.refuse(&format!("it must be {}", either(&words)), problems);
        }
        chosen.map(|(_, value)| *value)
    }

    /// Reads an array of strings, each with its place. Refuses an empty one with `empty`.
    pub(crate) fn strings(&self, empty: &str, problems: &mut Problems) -> Option<Vec<Node<'t>>> {
        let Some(array) = self.value.get_ref().as_array() else {
            let example = self.value.get_ref().as_str().unwrap_or("name");
            self.refuse(&format!("it must be an array, such as [{example:?}]"), problems);
            return None;
        };
        if array.is_empty() {
            self.refuse(empty, problems);
            return None;
        }
        Some(
            array
                .iter()
                .map(|value| Node {
                    value,
                    path: format!("an entry of {}", self.path),
                    is_tag: false,
                })
                .collect(),
        )
    }

    /// Returns whether the value is an array without entries.
    pub(crate) fn is_empty_array(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|array| array.is_empty())
    }

    /// Returns whether the value is a table.
    pub(crate) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Reads a table with the keys of a section.
    pub(crate) fn fields(
        &self,
        section: &'static str,
        problems: &mut Problems,
    ) -> Option<Fields<'t>> {
        let table = self.value.get_ref().as_table();
        if table.is_none() {
            self.refuse("it must be a table", problems);
        }
        let opened =
            table.map(|table| Fields::open(table, section, &self.path, self.place(), problems));
        opened.map(|fields| Fields { is_tag: self.is_tag, ..fields })
    }

    /// Reads a table whose keys are the operator's own.
    pub(crate) fn entries(&self, problems: &mut Problems) -> Vec<(String, Node<'t>)> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.refuse("it must be a table, such as { team = \"web\" }", problems);
            return Vec::new();
        };
        table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let path = format!("{}.{}", self.path, written(&name));
                (name, Node { value, path, is_tag: false })
            })
            .collect()
    }
}

/// Writes a key, in quotes if it needs them.
fn written(name: &str) -> String {
    let bare = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}

/// Describes the value in words. The text of a tag is cut.
fn found(value: &DeValue<'_>, is_tag: bool) -> String {
    match value {
        DeValue::String(text) if is_tag => format!("{:?}", shown(text, TAG_SHOWN)),
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) if array.is_empty() => "an empty array".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Writes `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
