//! Asks for confirmation on the terminal before a command makes requests.

use crate::cli::Failure;
use crate::cli::words::Screen;
use std::io::{self, IsTerminal, Write};

/// Prints `question` and asks for confirmation. `yes`, which scripts pass, answers it.
///
/// # Errors
/// Returns an error if the answer is no, or standard input or standard error is not a terminal.
pub(crate) fn confirm(question: &str, yes: bool, out: &mut dyn Write) -> Result<(), Failure> {
    out.write_all(Screen::detect().fit(question).as_bytes())?;
    out.flush()?;
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    verdict(yes, terminal, || {
        eprint!("Continue? [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    })
}

fn verdict(
    yes: bool,
    terminal: bool,
    ask: impl FnOnce() -> io::Result<String>,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !terminal {
        return Err(Failure::usage(
            "confirmation is needed, and standard input is not a terminal: pass --yes; nothing was changed",
        ));
    }
    match ask()?.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("not confirmed; nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_confirms() {
        let answer = |text: &str| verdict(false, true, || Ok(text.to_owned()));
        for text in ["y\n", "Y\n", "yes\n", " YES \r\n"] {
            assert_eq!(answer(text), Ok(()), "{text:?}");
        }
        for text in ["", "\n", "n\n", "no\n", "yessir\n", "ja\n"] {
            assert_eq!(
                answer(text),
                Err(Failure::failed("not confirmed; nothing was changed")),
                "{text:?}"
            );
        }
        let unread = || Err(io::Error::other("it is not asked"));
        assert_eq!(verdict(true, false, unread), Ok(()));
        assert!(matches!(verdict(false, false, unread), Err(Failure::Usage(_))));
    }
}
