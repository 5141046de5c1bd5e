//! ECS's events of a service. They are foreign text: searched for a few words, and cut before they
//! are shown.

use super::cause::Cause;
use super::facts::EventFacts;
use jiff::{SignedDuration, Timestamp};

/// Maximum age of an event. ECS omits repetitions of the same event until its cause is resolved,
/// for six hours. (Source: ECS developer guide, "Service event messages".)
const LASTS: SignedDuration = SignedDuration::from_hours(6);

/// Length of foreign text that is shown, in characters.
const SHOWN: usize = 200;

/// Kind of failure that an event reports. (Source of the words: ECS developer guide, "Service event
/// messages".)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// No place was found for a task.
    Placement,
    /// The percentages leave no room.
    Percentages,
    /// ECS throttles the service.
    Throttled,
    /// Any other failure.
    Other,
}

/// Returns the newest complaint that no newer event resolves.
pub(crate) fn complaint(events: &[EventFacts], now: Timestamp) -> Option<(Complaint, &EventFacts)> {
    let mut newest_first: Vec<&EventFacts> =
        events.iter().filter(|e| now.duration_since(e.at) <= LASTS).collect();
    newest_first.sort_by_key(|event| std::cmp::Reverse(event.at));
    let mut started = false;
    for event in newest_first {
        let text = event.text.to_lowercase();
        if text.contains("has reached a steady state") {
            return None;
        }
        match read(&text) {
            Some(Complaint::Placement) if started => {}
            Some(complaint) => return Some((complaint, event)),
            None => started |= text.contains("has started"),
        }
    }
    None
}

/// Returns whether the service has started tasks and reported no steady state since then.
pub(crate) fn is_starting(events: &[EventFacts], now: Timestamp) -> bool {
    let newest = |words: &str| {
        let recent = events.iter().filter(|event| now.duration_since(event.at) <= LASTS);
        recent.filter(|event| event.text.contains(words)).map(|event| event.at).max()
    };
    newest("has started").is_some_and(|started| {
        newest("has reached a steady state").is_none_or(|steady| steady < started)
    })
}

fn read(text: &str) -> Option<Complaint> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["unable to place", "no container instances were found"]) {
        Some(Complaint::Placement)
    } else if has(&["because of the service deployment configuration"]) {
        Some(Complaint::Percentages)
    } else if has(&["being throttled"]) {
        Some(Complaint::Throttled)
    } else if has(&["unable to", "unhealthy", "failed", "error"]) {
        Some(Complaint::Other)
    } else {
        None
    }
}

/// Returns the complaint as a cause.
pub(crate) fn cause(service: &str, complaint: Complaint, event: &EventFacts) -> Cause {
    match complaint {
        Complaint::Throttled => {
            Cause::ServiceThrottled { service: service.to_owned(), at: event.at }
        }
        Complaint::Placement | Complaint::Percentages | Complaint::Other => {
            Cause::ReplacementFails {
                service: service.to_owned(),
                at: event.at,
                text: foreign(&event.text),
            }
        }
    }
}

/// Returns foreign text that may be shown: on one line, cut, and without characters that steer a
/// terminal or change the direction of writing.
pub(crate) fn foreign(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let plain: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", words[..end].trim_end()),
        None => words,
    }
}
