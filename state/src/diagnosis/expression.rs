//! The cluster query language, as far as it can be judged from the facts about a container
//! instance: its attributes and its EC2 instance id. (Source: ECS developer guide, "Cluster query
//! language".)
//!
//! An expression that is not certainly understood gives `None`: other subjects (`task:group`,
//! `runningTasksCount`, …), orders (`<`, `>=`, …), and regular expressions beyond literals, `.` and
//! `*`. So do two things that the guide leaves open: `and` besides `or` without parentheses, and
//! the negation of the value of an attribute that is not there.

use super::facts::InstanceFacts;

/// Returns whether the container instance meets the expression, or `None` if that cannot be judged.
pub(super) fn meets(expression: &str, instance: &InstanceFacts) -> Option<bool> {
    let tokens = tokens(expression)?;
    let mut parser = Parser { tokens: &tokens, instance };
    let verdict = parser.compound().ok()?;
    if parser.tokens.is_empty() { verdict } else { None }
}

/// Error for an expression that is not certainly understood.
struct NotUnderstood;

type Verdict = Result<Option<bool>, NotUnderstood>;

/// Operators that need no space around them.
const TIGHT: [&str; 6] = ["==", "!=", "=~", "!~", "&&", "||"];

/// Splits the expression into tokens. Returns `None` if a quotation does not end.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut rest = text;
    let end = |word: &mut String, tokens: &mut Vec<String>| {
        if !word.is_empty() {
            tokens.push(std::mem::take(word));
        }
    };
    while let Some(first) = rest.chars().next() {
        if let Some(operator) = TIGHT.into_iter().find(|operator| rest.starts_with(operator)) {
            end(&mut word, &mut tokens);
            tokens.push(operator.to_owned());
            rest = &rest[operator.len()..];
            continue;
        }
        rest = &rest[first.len_utf8()..];
        match first {
            ' ' | '\t' | '\n' | '\r' => end(&mut word, &mut tokens),
            '(' | ')' | '[' | ']' | ',' => {
                end(&mut word, &mut tokens);
                tokens.push(first.to_string());
            }
            '\'' | '"' if word.is_empty() => {
                let (inside, after) = rest.split_once(first)?;
                tokens.push(inside.to_owned());
                rest = after;
            }
            other => word.push(other),
        }
    }
    end(&mut word, &mut tokens);
    Some(tokens)
}

struct Parser<'a> {
    tokens: &'a [String],
    instance: &'a InstanceFacts,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Result<&'a str, NotUnderstood> {
        let (first, rest) = self.tokens.split_first().ok_or(NotUnderstood)?;
        self.tokens = rest;
        Ok(first)
    }

    fn take(&mut self, one_of: &[&str]) -> bool {
        let found = self.tokens.first().is_some_and(|token| one_of.contains(&token.as_str()));
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    /// Reads expressions that are all joined by `and`, or all by `or`.
    fn compound(&mut self) -> Verdict {
        let mut all = vec![self.single()?];
        let (mut ands, mut ors) = (false, false);
        loop {
            if self.take(&["and", "&&"]) {
                ands = true;
            } else if self.take(&["or", "||"]) {
                ors = true;
            } else {
                break;
            }
            all.push(self.single()?);
        }
        match (ands, ors) {
            (true, true) => Err(NotUnderstood),
            // One of them decides alone; otherwise none may be open.
            (_, ors) if all.contains(&Some(ors)) => Ok(Some(ors)),
            (_, _) if all.contains(&None) => Ok(None),
            (_, ors) => Ok(Some(!ors)),
        }
    }

    fn single(&mut self) -> Verdict {
        let denied = self.take(&["not", "!"]);
        if self.take(&["("]) {
            let inside = self.compound()?;
            return if self.take(&[")"]) {
                Ok(inside.map(|yes| yes != denied))
            } else {
                Err(NotUnderstood)
            };
        }
        if denied { Err(NotUnderstood) } else { self.comparison() }
    }

    fn comparison(&mut self) -> Verdict {
        let subject = self.next()?;
        let value: Option<Option<&str>> = match subject.strip_prefix("attribute:") {
            Some(name) => Some(
                self.instance
                    .attributes
                    .get(name)
                    .map(|value| value.as_deref().unwrap_or_default()),
            ),
            None if subject == "ec2InstanceId" => Some(Some(&self.instance.ec2_instance_id)),
            None => None,
        };
        let operator = self.next()?;
        if matches!(operator, "exists" | "!exists" | "not_exists") {
            return Ok(value.map(|value| value.is_some() == (operator == "exists")));
        }
        let arguments = self.arguments(operator)?;
        let Some(value) = value else { return Ok(None) };
        let is = match (operator, value) {
            ("==" | "equals" | "!=" | "not_equals" | "in" | "!in" | "not_in", Some(value)) => {
                Some(arguments.contains(&value))
            }
            ("=~" | "matches" | "!~" | "not_matches", Some(value)) => {
                arguments.first().and_then(|p| matches(p, value))
            }
            ("==" | "equals" | "in" | "=~" | "matches", None) => Some(false),
            // The guide leaves open the result of negating the value of an attribute that is not
            // there.
            _ => None,
        };
        let denies =
            matches!(operator, "!=" | "not_equals" | "!in" | "not_in" | "!~" | "not_matches");
        Ok(is.map(|is| is != denies))
    }

    /// Reads one word, or a list in brackets.
    fn arguments(&mut self, operator: &str) -> Result<Vec<&'a str>, NotUnderstood> {
        if !matches!(operator, "in" | "!in" | "not_in") {
            return Ok(vec![self.word()?]);
        }
        let mut arguments = Vec::new();
        if !self.take(&["["]) {
            return Err(NotUnderstood);
        }
        loop {
            arguments.push(self.word()?);
            if self.take(&["]"]) {
                return Ok(arguments);
            }
            if !self.take(&[","]) {
                return Err(NotUnderstood);
            }
        }
    }

    fn word(&mut self) -> Result<&'a str, NotUnderstood> {
        let word = self.next()?;
        let is_sign = TIGHT.contains(&word) || matches!(word, "(" | ")" | "[" | "]" | ",");
        if is_sign { Err(NotUnderstood) } else { Ok(word) }
    }
}

/// One step of a pattern: one character or any; once, or any number of times.
struct Step {
    character: Option<char>,
    repeats: bool,
}

/// Returns whether a regular expression matches. The guide leaves open whether it must match the
/// whole value or a part of it: if the two differ, returns `None`.
fn matches(pattern: &str, value: &str) -> Option<bool> {
    let whole = steps(pattern)?;
    let anything = || Step { character: None, repeats: true };
    let is_whole = run(&whole, value);
    let part: Vec<Step> =
        std::iter::once(anything()).chain(whole).chain(std::iter::once(anything())).collect();
    (run(&part, value) == is_whole).then_some(is_whole)
}

/// Returns the steps of a pattern, or `None` if it has more than literals, `.` and `*`.
fn steps(pattern: &str) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '.' => None,
            '*' => {
                steps.last_mut().filter(|step| !step.repeats)?.repeats = true;
                continue;
            }
            '\\' => Some(characters.next().filter(|c| c.is_ascii_punctuation())?),
            '^' | '$' | '+' | '?' | '|' | '{' | '}' | '(' | ')' | '[' | ']' => return None,
            literal => Some(literal),
        };
        steps.push(Step { character, repeats: false });
    }
    Some(steps)
}

/// Follows all places of the pattern at once, so that no pattern takes long.
fn run(steps: &[Step], value: &str) -> bool {
    let mut places = vec![false; steps.len() + 1];
    places[0] = true;
    skip(steps, &mut places);
    for character in value.chars() {
        let mut next = vec![false; steps.len() + 1];
        for (place, step) in steps.iter().enumerate().filter(|(place, _)| places[*place]) {
            if step.character.is_none_or(|c| c == character) {
                next[if step.repeats { place } else { place + 1 }] = true;
            }
        }
        skip(steps, &mut next);
        places = next;
    }
    places[steps.len()]
}

/// Skips steps that repeat, because such a step may also be left out.
fn skip(steps: &[Step], places: &mut [bool]) {
    for (place, step) in steps.iter().enumerate() {
        if places[place] && step.repeats {
            places[place + 1] = true;
        }
    }
}
