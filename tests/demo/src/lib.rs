//! The demo: the real controller against a simulated AWS, in this process and in accelerated time.
//!
//! | file | contents |
//! | --- | --- |
//! | `fleet` | the simulated clusters, the instances that leave, and the controller's configuration |
//! | `pace` | the limit on the speed of the simulation's clock |
//! | `play` | the story itself: the controller's lives, and the reads of the table and the world |
//! | `view` | the output while it runs: plain lines, or a live table |
//! | `screen` | the live table on a terminal |
//! | `picture` | one frame of it, for the README |
//! | `ending` | the summary, and the verdict |
//! | `serve` | the same simulated AWS on a port, for other processes |
//!
//! A crate of its own, so that the published program contains no simulator. The controller is the
//! one that runs in production; only the server of its requests, and its clock, differ.

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

/// The options of the story.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of all randomness: the same seed gives the same story.
    pub seed: u64,
    /// The largest number of simulated seconds in a second. `None`: as many as this machine can
    /// play.
    pub speed: Option<u32>,
    /// The simulated time of each life of the controller before it is killed.
    pub kill_every: Option<Duration>,
    /// True if the simulated AWS is on a port too, and stays there after the end until it is
    /// interrupted.
    pub serve: bool,
    /// The simulated clocks' time at the beginning.
    pub start: Timestamp,
}

/// The reason why the story could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated AWS could not be created.
    #[error("cannot create the simulated AWS: {0}")]
    Simulator(String),
    /// The controller's configuration is refused, which is a mistake in this crate.
    #[error("the configuration of the demo is refused: {0}")]
    Config(#[from] ecs_drain::config::ConfigError),
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] StoreError),
    /// The controller ended by itself.
    #[error("the controller ended by itself: {0}")]
    Controller(Box<RunError>),
    /// No output is possible, or no port is free.
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
