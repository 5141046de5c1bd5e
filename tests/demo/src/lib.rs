//! The demo: the real controller against a simulated AWS, in this process and in accelerated time.
//!
//! | file | what it is |
//! | --- | --- |
//! | `fleet` | the simulated clusters, who leaves, and the controller's configuration |
//! | `pace` | how the clock of the simulation is kept from running away |
//! | `play` | the story itself: the controller's lives, and what is seen of it |
//! | `view` | what is shown while it runs: plain lines, or a live table |
//! | `screen` | the live table on a terminal |
//! | `picture` | one frame of it, for the README |
//! | `ending` | the summary, and whether all went well |
//! | `serve` | the same simulated AWS on a port, for other processes |
//!
//! A crate of its own: the program that is published knows no simulator. The controller in it is
//! the one that runs in production; only who answers its requests, and its clock, differ.

mod ending;
mod fleet;
mod pace;
mod picture;
mod play;
mod screen;
mod serve;
mod view;

pub use ending::Ending;
pub use picture::Picture;
pub use play::run;
pub use screen::Live;
pub use serve::commands;
pub use view::{Happening, Lines, Opening, Row, Snapshot, View};

use ecs_drain::controller::RunError;
use ecs_drain::store::StoreError;
use jiff::Timestamp;
use std::time::Duration;

/// How the story is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides everything that is left to chance: the same seed is the same story.
    pub seed: u64,
    /// How many simulated seconds pass in a second, at most. None: as many as this machine manages.
    pub speed: Option<u32>,
    /// How much simulated time each life of the controller has before it is killed.
    pub kill_every: Option<Duration>,
    /// Whether the simulated AWS is on a port too, and stays there after the end until it is
    /// interrupted.
    pub serve: bool,
    /// What the clocks of the simulated world show at the beginning.
    pub start: Timestamp,
}

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated AWS could not be made.
    #[error("cannot make the simulated AWS: {0}")]
    Simulator(String),
    /// The controller's configuration is refused, which is a mistake of this module.
    #[error("the configuration of the demonstration is refused: {0}")]
    Config(#[from] ecs_drain::config::ConfigError),
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] StoreError),
    /// The controller ended by itself.
    #[error("the controller ended by itself: {0}")]
    Controller(Box<RunError>),
    /// Nothing can be shown, or no port can be had.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Someone pressed Ctrl-C before the end.
    #[error("interrupted before the end")]
    Interrupted,
}

impl From<RunError> for DemoError {
    fn from(error: RunError) -> DemoError {
        DemoError::Controller(Box::new(error))
    }
}
