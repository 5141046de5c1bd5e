//! Cleans the output of every command, so that no text from outside (the table, AWS's answers,
//! names) can control the reader's terminal. Line breaks pass. If a text from outside is part of a
//! line, [`plain`](crate::quote::plain) removes its line breaks first.

use crate::quote::steers;
use std::io::{self, Write};

/// Escape sequence that begins a bold heading.
pub(crate) const BOLD: &str = "\u{1b}[1m";
/// Escape sequence that ends a bold heading.
pub(crate) const USUAL: &str = "\u{1b}[0m";
/// Escape sequence that moves the cursor home and clears the screen below, for the next page of
/// `get --watch`.
pub(crate) const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Standard output, or a writer in its place.
pub(crate) struct Out<W> {
    to: W,
    /// True for a terminal, which gets the program's own escape sequences.
    terminal: bool,
    /// First bytes of a character whose last bytes were not written yet.
    part: Vec<u8>,
}

impl<W: Write> Out<W> {
    /// Creates a cleaner in front of `to`. Only a terminal gets the program's own escape sequences.
    pub(crate) fn new(to: W, terminal: bool) -> Out<W> {
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
            // The rest of the character arrives with the next write.
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
    fn control_characters_are_written_as_spaces() {
        let text = "one\n\u{1b}[2Jtwo\u{202e}\u{7}\u{9b}3J\r\n";
        assert_eq!(written(&[text.as_bytes()], false), "one\n [2Jtwo   3J \n");
        assert_eq!(written(&[text.as_bytes()], true), "one\n [2Jtwo   3J \n");
        // In pieces of one byte.
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
