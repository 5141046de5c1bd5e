//! The promises for every input that others can write: one function for each kind. It panics where
//! a promise does not hold, and otherwise returns true if the input was accepted.
//!
//! The fuzz targets call these functions with libFuzzer's inputs, and `tests/all/hostile.rs` with a
//! few thousand changed seeds in every ordinary test run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod arn;
pub mod config;
pub mod item;
pub mod message;
pub mod mutate;
pub mod record;

pub use arn::arn;
pub use config::config;
pub use message::message;
pub use mutate::mutate;
pub use record::{record, request};

/// The account of the controller.
pub const ACCOUNT: &str = "123456789012";

/// The region of the controller.
pub const REGION: &str = "us-east-1";

/// Checks that a message of ecs-drain that quotes an input is one short line without control
/// characters.
pub fn assert_plain(text: &str) {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    assert!(!text.contains(steers), "it steers a terminal: {text:?}");
    assert!(text.len() <= 4_000, "{} bytes: {text:.200}", text.len());
}
