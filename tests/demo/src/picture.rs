//! The picture of the README: one frame of the live table, as SVG.

use super::ending::Ending;
use super::screen::{Live, Part};
use super::view::{Opening, Snapshot, View};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// The size of the terminal in the picture.
const COLUMNS: usize = 112;
const LINES: usize = 40;
/// The size of a character, and the margins around the text, in the picture's units.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 19.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 62.0;

/// A view that keeps the frame of one moment.
#[derive(Debug)]
pub struct Picture {
    at: Duration,
    screen: Live<io::Sink>,
    frame: Option<Vec<Vec<Part>>>,
}

impl Picture {
    /// Creates a picture of this moment of the story.
    pub fn new(at: Duration) -> Picture {
        Picture { at, screen: Live::new(io::sink(), true), frame: None }
    }

    /// Returns the picture, under the command that shows it. `None`: the story ended before that
    /// moment.
    pub fn svg(self, command: &str) -> Option<String> {
        let prompt = vec![
            Part { text: "$ ".to_owned(), colour: "2" },
            Part { text: command.to_owned(), colour: "" },
        ];
        let mut lines = vec![prompt, Vec::new()];
        lines.extend(self.frame?);
        Some(svg(&lines))
    }
}

impl View for Picture {
    fn begin(&mut self, _: &Opening) -> io::Result<()> {
        Ok(())
    }

    fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        if self.frame.is_none() {
            self.screen.hear(snapshot);
            if snapshot.now >= self.at {
                self.frame = Some(self.screen.lines(snapshot, COLUMNS, LINES));
            }
        }
        Ok(())
    }

    fn end(&mut self, _: &Ending, _: Option<&str>) -> io::Result<()> {
        Ok(())
    }
}

fn svg(lines: &[Vec<Part>]) -> String {
    let width = (COLUMNS as f64).mul_add(WIDTH, 2.0 * MARGIN);
    let height = (lines.len() as f64).mul_add(HEIGHT, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"The live table of the demo\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <circle cx=\"22\" cy=\"20\" r=\"6\" fill=\"#ff5f56\"/><circle cx=\"42\" cy=\"20\" r=\"6\" fill=\"#ffbd2e\"/>\
         <circle cx=\"62\" cy=\"20\" r=\"6\" fill=\"#27c93f\"/>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" \
         fill=\"#c9d1d9\">\n"
    );
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let _ = write!(svg, "<text y=\"{:.0}\">", (n as f64).mul_add(HEIGHT, TOP));
        let mut column = 0;
        for part in line {
            for (offset, text) in columns(&part.text) {
                let x = ((column + offset) as f64).mul_add(WIDTH, MARGIN);
                let length = text.chars().count() as f64 * WIDTH;
                let (style, text) = (style(part.colour), escaped(text));
                let _ = write!(
                    svg,
                    "<tspan x=\"{x:.1}\" textLength=\"{length:.1}\"{style}>{text}</tspan>"
                );
            }
            column += part.text.chars().count();
        }
        svg.push_str("</text>\n");
    }
    svg + "</g>\n</svg>\n"
}

/// Returns the texts between two or more blanks, each with its offset: so columns stay columns in
/// every font.
fn columns(text: &str) -> Vec<(usize, &str)> {
    let mut columns = Vec::new();
    let mut begin = 0;
    for piece in text.split("  ") {
        let blanks = piece.len() - piece.trim_start().len();
        if !piece.trim().is_empty() {
            columns.push((text[..begin].chars().count() + blanks, piece.trim()));
        }
        begin += piece.len() + 2;
    }
    columns
}

fn style(colour: &str) -> String {
    let fill = match colour {
        "2" => "#8b949e",
        "32" => "#3fb950",
        "33" => "#d29922",
        "34" => "#58a6ff",
        "35" => "#bc8cff",
        "36" => "#39c5cf",
        "1;31" => "#ff7b72",
        _ => "",
    };
    let bold = if colour.starts_with('1') { " font-weight=\"bold\"" } else { "" };
    if fill.is_empty() { bold.to_owned() } else { format!("{bold} fill=\"{fill}\"") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
