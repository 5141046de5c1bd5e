//! Schedules in the five fields of cron: minute, hour, day of the month, month, day of the week.
//!
//! A field is `*`, a value, a range, or a list of these, each with a step if it is no single value:
//! `0`, `8-18`, `*/15`, `1,15`, `MON-FRI`. Months and days of the week have English names of three
//! letters; Sunday is 0 and 7. If both kinds of day are limited (neither field begins with `*`), a
//! day of either kind counts, as in every cron. (Source: POSIX, `crontab`; `man 5 crontab`.)

use jiff::civil::{Date, Time};
use std::ops::RangeInclusive;

/// Times of day, and the days that they are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// The times, in their order.
    times: Vec<Time>,
    days: Days,
}

/// Days: a bit for each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Days {
    of_month: u64,
    months: u64,
    /// Sunday is 0.
    of_week: u64,
    /// True if one kind of day is enough.
    either: bool,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    allowed: RangeInclusive<u8>,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", allowed: 0..=59, names: &[] };
const HOUR: Field = Field { name: "hour", allowed: 0..=23, names: &[] };
const OF_MONTH: Field = Field { name: "day of the month", allowed: 1..=31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    allowed: 1..=12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const OF_WEEK: Field = Field {
    name: "day of the week",
    allowed: 0..=7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"],
};

/// Days of each month in a leap year.
const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Parses the five fields.
    ///
    /// # Errors
    /// Returns the field that is wrong and its allowed values.
    pub fn parse(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let &[minutes, hours, of_month, months, of_week] = fields.as_slice() else {
            return Err(
                "a schedule has five fields: minute, hour, day of the month, month, day of the \
                 week, such as \"0 8 * * MON-FRI\""
                    .to_owned(),
            );
        };
        let (minutes, hours) = (MINUTE.parse(minutes)?, HOUR.parse(hours)?);
        let either = !of_month.starts_with('*') && !of_week.starts_with('*');
        let of_week = OF_WEEK.parse(of_week)?;
        let days = Days {
            of_month: OF_MONTH.parse(of_month)?,
            months: MONTH.parse(months)?,
            // Sunday is 7, too.
            of_week: (of_week | of_week >> 7) & 0x7f,
            either,
        };
        if !days.exist() {
            return Err("none of its months has such a day".to_owned());
        }
        let hours = (0..24).filter(|hour| has(hours, *hour));
        let times = hours.flat_map(|hour| {
            let minutes = (0..60).filter(|minute| has(minutes, *minute));
            minutes.filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        });
        Ok(Cron { times: times.collect(), days })
    }

    /// Returns whether its times are on this day.
    pub fn is_on(&self, day: Date) -> bool {
        let Days { of_month, months, of_week, either } = self.days;
        let of_month = has(of_month, day.day());
        let of_week = has(of_week, day.weekday().to_sunday_zero_offset());
        has(months, day.month()) && if either { of_month || of_week } else { of_month && of_week }
    }

    /// Returns the times of each day, in their order; at least one.
    pub fn times(&self) -> &[Time] {
        &self.times
    }
}

impl Days {
    /// Returns whether there is any such day.
    fn exist(self) -> bool {
        let months = (1..).zip(LONGEST).filter(|(month, _)| has(self.months, *month));
        let mut longest = months.map(|(_, days)| days);
        self.either || longest.any(|days| (1..=days as i8).any(|day| has(self.of_month, day)))
    }
}

fn has(bits: u64, number: i8) -> bool {
    bits >> number & 1 == 1
}

impl Field {
    /// Reads a list of values, ranges and steps as bits.
    fn parse(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = text.split_once('/').map_or((text, None), |(r, s)| (r, Some(s)));
        let value = |word| self.values(word).ok_or_else(|| self.wrong(text));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (*self.allowed.start(), *self.allowed.end()),
            Some((first, last)) => (value(first)?.0, value(last)?.1),
            // `5/15` means different things to different crons.
            None if step.is_some() => return Err(self.wrong(text)),
            None => (value(range)?.0, value(range)?.0),
        };
        let step = step.map_or(Some(1), number).filter(|step| *step > 0);
        let step = step.ok_or_else(|| self.wrong(text))?;
        if first > last {
            return Err(format!("the {} {text:?} ends before it begins", self.name));
        }
        Ok((first..=last).step_by(step.into()).fold(0, |bits, value| bits | 1 << value))
    }

    /// Reads a number or a name as the value that begins a range, and the one that ends it: Sunday
    /// is first and last.
    fn values(&self, word: &str) -> Option<(u8, u8)> {
        let named = self.names.iter().zip(*self.allowed.start()..);
        let named = named.filter(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, n)| n);
        let number = number(word).filter(|number| self.allowed.contains(number));
        named.clone().next().zip(named.last()).or(number.zip(number))
    }

    fn wrong(&self, text: &str) -> String {
        let (first, last) = (self.allowed.start(), self.allowed.end());
        let names = self
            .names
            .get(1)
            .map_or_else(String::new, |name| format!(" or a name such as {}", name.to_uppercase()));
        format!(
            "the {} is {text:?}: it must be *, a value of {first} to {last}{names}, a range, or a \
             list of these; a step such as /2 follows * or a range",
            self.name
        )
    }
}

/// Reads digits alone.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
