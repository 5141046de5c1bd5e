//! The live table on a terminal: redrawn in place, with one write for each frame, and with the
//! oldest ANSI sequences only.

use super::ending::Ending;
use super::view::{Opening, Row, Snapshot, View, clock, serving};
use ecs_drain::cli::words::short;
use ecs_drain_state::{Outcome, Phase};
use std::io::{self, Write};

const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
const HOME: &str = "\u{1b}[H";

/// The size of a terminal that does not report its own.
const USUAL: Size = Size { columns: 80, lines: 24 };

/// Below this many columns the counts are left out for the last column.
const NARROW: usize = 100;

/// The size of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    columns: usize,
    lines: usize,
}

/// The live table.
#[derive(Debug)]
pub struct Live<W: Write> {
    out: W,
    colour: bool,
    resized: Resized,
    size: Size,
    /// The number of lines of the last frame above the cursor.
    drawn: usize,
    /// The last event of the controller.
    news: String,
}

impl<W: Write> Live<W> {
    /// Creates a live table on this output, with or without colours.
    pub fn new(out: W, colour: bool) -> Live<W> {
        Live {
            out,
            colour,
            resized: Resized::default(),
            size: USUAL,
            drawn: 0,
            news: String::new(),
        }
    }

    /// Returns the lines for a terminal of this size.
    pub(super) fn lines(
        &mut self,
        snapshot: &Snapshot,
        columns: usize,
        lines: usize,
    ) -> Vec<Vec<Part>> {
        self.size = Size { columns, lines };
        self.frame(snapshot).iter().map(|line| line.parts(columns)).collect()
    }

    /// Notes the last event of the controller.
    pub(super) fn hear(&mut self, snapshot: &Snapshot) {
        if let Some(last) = snapshot.happened.iter().rev().find(|happening| happening.row.is_none())
        {
            self.news = format!("{}  {}", clock(last.at), last.what);
        }
    }

    fn frame(&self, snapshot: &Snapshot) -> Vec<Line> {
        let done = snapshot.rows.iter().filter(|row| row.is_done()).count();
        let controller = match (snapshot.up, snapshot.kills) {
            (true, 0) => "controller runs".to_owned(),
            (true, kills) => format!("controller runs (killed {kills}×)"),
            (false, kills) => format!("CONTROLLER IS DEAD (killed {kills}×)"),
        };
        let status = format!(
            "{:>6}   {done} of {} done   {controller}   {} AWS calls",
            clock(snapshot.now),
            snapshot.rows.len(),
            snapshot.calls
        );
        let wide = self.size.columns >= NARROW;
        let mut lines = vec![
            Line::new(status, if snapshot.up { BOLD } else { RED }),
            Line::new(String::new(), ""),
        ];
        let counts = if wide { "TASKS  TARGETS  " } else { "" };
        let heading = format!(
            "{:<19}  {:<7}  {:<14}  {:>5}  {counts}WAITING FOR",
            "INSTANCE", "CLUSTER", "PHASE", "SINCE"
        );
        lines.push(Line::new(heading, BOLD));
        // Where there is no room for all, ended drains are left out first.
        let all = snapshot.rows.len() + lines.len() < self.size.lines;
        let shown = snapshot.rows.iter().filter(|row| all || !row.is_done());
        lines.extend(shown.map(|row| line(row, snapshot, wide)));
        lines.push(Line::new(String::new(), ""));
        if wide {
            let legend = "TASKS and TARGETS are counted in the simulated world itself; the controller only has what the APIs say.";
            lines.push(Line::new(legend.to_owned(), DIM));
        }
        lines.push(Line::new(self.news.clone(), DIM));
        lines
    }

    /// Draws over the last frame. Lines that do not fit are left out, since a terminal that scrolls
    /// cannot be drawn over.
    fn draw(&mut self, mut lines: Vec<Line>) -> io::Result<()> {
        let mut text = String::from(HIDE_CURSOR);
        if let Some(size) = self.resized.look() {
            if self.drawn > 0 && size != self.size {
                // The position of the old frame is unknown now.
                text += HOME;
                text += CLEAR_BELOW;
                self.drawn = 0;
            }
            self.size = size;
        }
        lines.truncate(self.size.lines.saturating_sub(1));
        if self.drawn > 0 {
            text += &format!("\u{1b}[{}A\r", self.drawn);
        }
        for line in &lines {
            text += &line.cut(self.size.columns, self.colour);
            text += CLEAR_LINE;
            text.push('\n');
        }
        text += CLEAR_BELOW;
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> View for Live<W> {
    fn begin(&mut self, opening: &Opening) -> io::Result<()> {
        self.out.write_all(opening.text().as_bytes())?;
        self.out.flush()
    }

    fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.hear(snapshot);
        let frame = self.frame(snapshot);
        self.draw(frame)
    }

    fn end(&mut self, ending: &Ending, url: Option<&str>) -> io::Result<()> {
        let served = url.map(|url| format!("\n{}", serving(url, ending))).unwrap_or_default();
        write!(self.out, "{SHOW_CURSOR}\n{}{served}", ending.summary())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Live<W> {
    fn drop(&mut self) {
        // Whatever ended it, the terminal is restored. There may be none any more.
        let _ = self.out.write_all(SHOW_CURSOR.as_bytes()).and_then(|()| self.out.flush());
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";

/// A line in one colour (as the parameters of the sequence that sets it) or, from `from` to `to`,
/// in two.
#[derive(Debug)]
struct Line {
    text: String,
    colour: &'static str,
    /// The coloured columns; `None`: all.
    only: Option<(usize, usize)>,
}

impl Line {
    fn new(text: String, colour: &'static str) -> Line {
        Line { text, colour, only: None }
    }

    /// Returns its first columns, in parts of one colour each.
    fn parts(&self, columns: usize) -> Vec<Part> {
        let mut chars: Vec<char> = self.text.chars().collect();
        if chars.len() > columns {
            chars.truncate(columns.saturating_sub(1));
            if columns > 0 {
                chars.push('…');
            }
        }
        let (from, to) = self.only.unwrap_or((0, chars.len()));
        let part = |from: usize, to: usize| {
            chars.iter().skip(from).take(to.saturating_sub(from)).collect::<String>()
        };
        let parts =
            [(part(0, from), ""), (part(from, to), self.colour), (part(to, chars.len()), "")];
        parts
            .into_iter()
            .map(|(text, colour)| Part { text, colour })
            .filter(|part| !part.text.is_empty())
            .collect()
    }

    /// Returns its first columns as text.
    fn cut(&self, columns: usize, coloured: bool) -> String {
        let shown = |part: Part| match part.colour {
            colour if coloured && !colour.is_empty() => {
                format!("\u{1b}[{colour}m{}\u{1b}[0m", part.text)
            }
            _ => part.text,
        };
        self.parts(columns).into_iter().map(shown).collect()
    }
}

/// A text in one colour: the parameters of the ANSI sequence that sets it; empty for the usual one.
#[derive(Debug)]
pub(super) struct Part {
    pub text: String,
    pub colour: &'static str,
}

fn line(row: &Row, snapshot: &Snapshot, wide: bool) -> Line {
    let since =
        row.since.map_or_else(|| "-".to_owned(), |since| clock(snapshot.now.saturating_sub(since)));
    let counts = if wide {
        format!("{:>5}  {:>7}  ", count(row.tasks), count(row.targets))
    } else {
        String::new()
    };
    let word = row.word();
    let text = format!(
        "{:<19}  {:<7}  {word:<14}  {since:>5}  {counts}{}",
        row.instance,
        row.cluster,
        short(&row.waiting_for)
    );
    // The phase comes after the instance and the cluster.
    let only = if row.is_done() { None } else { Some((30, 30 + word.chars().count())) };
    Line { text, colour: colour(row), only }
}

fn count(n: usize) -> String {
    if n == 0 { "·".to_owned() } else { n.to_string() }
}

fn colour(row: &Row) -> &'static str {
    match (row.phase, row.outcome) {
        (None, _) => DIM,
        (Some(Phase::Pending), _) => "37",
        (Some(Phase::Deregistering), _) => "33",
        (Some(Phase::Waiting), _) => "36",
        (Some(Phase::Verifying), _) => "35",
        (Some(Phase::Completing | Phase::Returning), _) => "34",
        (Some(Phase::Done), None | Some(Outcome::Drained)) => "32",
        (Some(Phase::Done), Some(_)) => "33",
    }
}

/// Reads the terminal's size, at first and whenever it may have changed.
#[derive(Debug, Default)]
struct Resized {
    signals: Option<tokio::signal::unix::Signal>,
}

impl Resized {
    /// Returns the terminal's size, if it may have changed since the last read.
    fn look(&mut self) -> Option<Size> {
        use futures_util::FutureExt;
        use tokio::signal::unix::{SignalKind, signal};
        match &mut self.signals {
            None => self.signals = signal(SignalKind::window_change()).ok(),
            Some(signals) => {
                signals.recv().now_or_never()?;
            }
        }
        Some(size())
    }
}

/// Returns the size of the terminal.
fn size() -> Size {
    match terminal_size::terminal_size() {
        // A serial line reports 0 0.
        Some((columns, lines)) if columns.0 > 0 && lines.0 > 0 => {
            Size { columns: usize::from(columns.0), lines: usize::from(lines.0) }
        }
        _ => USUAL,
    }
}
