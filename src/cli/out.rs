//! What every command prints goes through here, so that nothing from outside can steer the terminal
//! of whoever reads it: what stands in the table, in AWS's answers, in names. Line breaks pass;
//! where a text from outside is part of a line, [`plain`](crate::quote::plain) takes its own away
//! first.

use crate::quote::steers;
use std::io::{self, Write};

/// Sets a heading off.
pub const BOLD: &str = "\u{1b}[1m";
/// Ends that.
pub const USUAL: &str = "\u{1b}[0m";
/// Home, and clear what is below: the next page of `get --watch`.
pub const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Standard output, or what stands for it.
pub struct Out<W> {
    to: W,
    /// Whether it is a terminal, to which this program's own sequences may go.
    terminal: bool,
    /// The beginning of a character whose end has not come yet.
    part: Vec<u8>,
}

impl<W: Write> Out<W> {
    /// Writes there; this program's own sequences only to a terminal.
    pub fn new(to: W, terminal: bool) -> Out<W> {
        Out { to, terminal, part: Vec::new() }
    }

    fn clean(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let own =
                [BOLD, USUAL, CLEAR].into_iter().find(|own| self.terminal && rest.starts_with(own));
            let taken = own.map_or(c.len_utf8(), str::len);
            match own {
                Some(own) => clean.push_str(own),
                None if c == '\n' || !steers(c) => clean.push(c),
                None => clean.push(' '),
            }
            rest = &rest[taken..];
        }
        clean
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.part) {
            // The rest comes with the next write.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.part.len(),
        };
        let ready: Vec<u8> = self.part.drain(..whole).collect();
        let clean = self.clean(&String::from_utf8_lossy(&ready));
        self.to.write_all(clean.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(parts: &[&[u8]], terminal: bool) -> String {
        let mut out = Out::new(Vec::new(), terminal);
        for part in parts {
            out.write_all(part).unwrap();
        }
        String::from_utf8(out.to).unwrap()
    }

    #[test]
    fn what_steers_a_terminal_is_written_as_spaces() {
        let text = "one\n\u{1b}[2Jtwo\u{202e}\u{7}\u{9b}3J\r\n";
        assert_eq!(written(&[text.as_bytes()], false), "one\n [2Jtwo   3J \n");
        assert_eq!(written(&[text.as_bytes()], true), "one\n [2Jtwo   3J \n");
        // However it is cut.
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(written(&bytes, false), "one\n [2Jtwo   3J \n");
    }

    #[test]
    fn this_programs_own_sequences_go_to_a_terminal() {
        let text = format!("{CLEAR}{BOLD}HEADING{USUAL}\n");
        assert_eq!(written(&[text.as_bytes()], true), text);
        assert_eq!(written(&[text.as_bytes()], false), " [H [J [1mHEADING [0m\n");
    }
}
