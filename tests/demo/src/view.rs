//! The output while the story runs: plain lines here, the live table in `screen`.

use super::ending::Ending;
use super::play::since;
use super::serve::commands;
use ecs_drain_state::{Outcome, Phase, Record};
use jiff::Timestamp;
use std::io::{self, Write};
use std::time::Duration;

/// The output of the story.
pub trait View {
    /// Shows the opening, before the story begins.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    fn begin(&mut self, opening: &Opening) -> io::Result<()>;

    /// Shows the result of a read of the table and the world.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    fn show(&mut self, snapshot: &Snapshot) -> io::Result<()>;

    /// Shows the ending; `url`: the address of the simulated AWS, if it is still served.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    fn end(&mut self, ending: &Ending, url: Option<&str>) -> io::Result<()>;
}

/// The facts before the story begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The seed of all randomness.
    pub seed: u64,
    /// Simulated seconds a second, at most.
    pub speed: Option<u32>,
    /// The simulated time of each life of the controller.
    pub kill_every: Option<Duration>,
    /// The number of instances.
    pub instances: usize,
    /// The number of instances that leave.
    pub leaving: usize,
    /// The instances that are worth watching, with the reasons.
    pub specials: Vec<(String, &'static str)>,
    /// The URL of the simulated AWS.
    pub url: Option<String>,
}

impl Opening {
    /// Returns it as text, in a few lines.
    pub fn text(&self) -> String {
        let speed = match self.speed {
            Some(speed) => format!("at most {speed} simulated seconds a second"),
            None => "as fast as this machine allows".to_owned(),
        };
        // Lines of at most 80 columns.
        let mut text = format!(
            "ecs-drain demo: the real controller and a simulated AWS, in this process.\n\
             Seed {}, {speed}.\n\
             A scale-in terminates {} of {} instances, in three clusters: shop (its services\n\
             are behind an Application Load Balancer), media (a Network Load Balancer) and\n\
             office (a Classic Load Balancer). Worth watching:\n",
            self.seed, self.leaving, self.instances
        );
        for (instance, why) in &self.specials {
            text += &format!("  {instance}  {why}\n");
        }
        if let Some(every) = self.kill_every {
            text +=
                &format!("The controller is killed every {}, and started again.\n", clock(every));
        }
        if let Some(url) = &self.url {
            text += &format!(
                "The simulated AWS and the table are at {url}.\n\
                 Its clock is behind yours until the story has ended.\n"
            );
        }
        text + "\n"
    }
}

/// The result of one read of the table and the world.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Time since the story began.
    pub now: Duration,
    /// The instances that leave.
    pub rows: Vec<Row>,
    /// The number of kills of the controller.
    pub kills: u32,
    /// True while the controller runs.
    pub up: bool,
    /// The number of its calls.
    pub calls: u64,
    /// The events since the last read, in order.
    pub happened: Vec<Happening>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The time since the story began.
    pub at: Duration,
    /// The instance; `None`: all, or the controller.
    pub row: Option<usize>,
    /// The event in words.
    pub what: String,
}

/// The row of an instance.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub instance: String,
    /// Its cluster.
    pub cluster: &'static str,
    /// Its phase, once it has a record.
    pub phase: Option<Phase>,
    /// Its outcome.
    pub outcome: Option<Outcome>,
    /// The time at which it entered that phase, since the story began.
    pub since: Option<Duration>,
    /// The record's message.
    pub waiting_for: String,
    /// The number of containers that truly run there, without those of daemon services.
    pub tasks: usize,
    /// The number of targets to which traffic truly flows.
    pub targets: usize,
}

impl Row {
    /// Creates the row of an instance without a record.
    pub fn new(instance: &str, cluster: &'static str) -> Row {
        Row {
            instance: instance.to_owned(),
            cluster,
            phase: None,
            outcome: None,
            since: None,
            waiting_for: "waits under its hook; the controller has not seen it yet".to_owned(),
            tasks: 0,
            targets: 0,
        }
    }

    /// Copies phase, outcome and message from the record.
    pub fn tell(&mut self, record: &Record, start: Timestamp) {
        self.phase = Some(record.phase());
        self.outcome = record.outcome();
        self.since = Some(since(start, record.phase_since));
        self.waiting_for.clone_from(&record.shown.message);
    }

    /// Returns true if its drain has ended.
    pub fn is_done(&self) -> bool {
        self.phase == Some(Phase::Done)
    }

    /// Returns its phase in a word; once it is done, its outcome.
    pub fn word(&self) -> String {
        match (self.phase, self.outcome) {
            (Some(Phase::Done), Some(outcome)) => format!("Done: {outcome}"),
            (Some(phase), _) => phase.to_string(),
            (None, _) => "-".to_owned(),
        }
    }
}

/// Returns a time in a clock's form: `2:05`, `1:02:05`.
pub fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// Plain lines, one for each change of phase: for files, pipes and tests.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    /// Creates a view on this output.
    pub fn new(out: W) -> Lines<W> {
        Lines { out }
    }

    /// Returns the output.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> View for Lines<W> {
    fn begin(&mut self, opening: &Opening) -> io::Result<()> {
        self.out.write_all(opening.text().as_bytes())?;
        self.out.flush()
    }

    fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        for happening in &snapshot.happened {
            let time = clock(happening.at);
            match happening.row.and_then(|row| snapshot.rows.get(row)) {
                Some(row) => writeln!(
                    self.out,
                    "{time:>6}  {}  {:<6}  {}",
                    row.instance, row.cluster, happening.what
                )?,
                None => writeln!(self.out, "{time:>6}  {}", happening.what)?,
            }
        }
        self.out.flush()
    }

    fn end(&mut self, ending: &Ending, url: Option<&str>) -> io::Result<()> {
        write!(self.out, "\n{}", ending.summary())?;
        if let Some(url) = url {
            write!(self.out, "\n{}", serving(url, ending))?;
        }
        self.out.flush()
    }
}

/// Returns the text while the simulated AWS is served after the end.
pub fn serving(url: &str, ending: &Ending) -> String {
    format!(
        "The simulated AWS, the table and the controller run until you press Ctrl-C,\n\
         now in real time. In another terminal:\n\n{}",
        commands(url, ending.stays.as_deref())
    )
}
