//! What must hold of every input that others can write: one function for each kind, which breaks
//! (panics) where a promise does not hold, and else says whether the input was accepted.
//!
//! The fuzz targets call these functions with what libFuzzer makes, and `tests/all/hostile.rs` with
//! a few thousand changed seeds in every ordinary test run.

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

/// The account that is ours.
pub const ACCOUNT: &str = "123456789012";

/// The region that is ours.
pub const REGION: &str = "us-east-1";

/// A sentence of ours that quotes an input: one short line that steers no terminal.
pub fn assert_plain(text: &str) {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    assert!(!text.contains(steers), "it steers a terminal: {text:?}");
    assert!(text.len() <= 4_000, "{} bytes: {text:.200}", text.len());
}
