//! Durations in words: `90s`, `10m`, `2h`, `7d`, and sums such as `1h30m`.

use std::time::Duration;

/// Limits of a key's durations.
#[derive(Debug, PartialEq, Eq)]
pub struct Limits {
    pub least: Duration,
    pub most: Duration,
    /// Reason for the lower limit; empty if it is obvious.
    pub why_least: &'static str,
    /// Reason for the upper limit; empty if it is obvious.
    pub why_most: &'static str,
}

impl Limits {
    /// Checks that `span` is allowed.
    ///
    /// # Errors
    /// Returns the limits, and the reason.
    pub fn check(&self, span: Duration) -> Result<(), String> {
        let because = |why: &str| if why.is_empty() { String::new() } else { format!(" ({why})") };
        if span < self.least {
            Err(format!("it must be at least {}{}", words(self.least), because(self.why_least)))
        } else if span > self.most {
            Err(format!("it may be at most {}{}", words(self.most), because(self.why_most)))
        } else {
            Ok(())
        }
    }
}

/// Parses a duration.
///
/// # Errors
/// Returns the allowed form.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || {
        "a duration is a number with a unit, s, m, h or d, such as \"90s\", \"10m\" or \"1h30m\""
            .to_owned()
    };
    let mut seconds: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let longer =
                number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(digit)));
            number = Some(longer.ok_or_else(wrong)?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return Err(wrong()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
    }
    if number.is_some() || text.is_empty() {
        Err(wrong())
    } else {
        Ok(Duration::from_secs(seconds))
    }
}

/// Writes a duration as [`parse`] reads it. Days are used only above two days, because AWS's
/// documents say `48h`.
pub(crate) fn words(span: Duration) -> String {
    let total = span.as_secs();
    let days = if total > 48 * 3600 { total / 86400 } else { 0 };
    let rest = total - days * 86400;
    let parts = [(days, 'd'), (rest / 3600, 'h'), (rest / 60 % 60, 'm'), (rest % 60, 's')];
    let words: String =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if words.is_empty() { "0s".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_in_words() {
        for (text, seconds) in
            [("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("1h30m", 5400), ("0s", 0)]
        {
            assert_eq!(parse(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in [
            "",
            "90",
            "m",
            "10 m",
            "-1s",
            "1.5h",
            "10min",
            "99999999999999999999s",
            "9999999999999999999d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for text in ["0s", "45s", "10m", "1h30m", "48h", "7d", "3d4h"] {
            assert_eq!(words(parse(text).unwrap()), text);
        }
    }
}
