//! Standard output and standard error: text with colours where they are wanted, or JSON.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use pdp_client::Error;
use serde_json::{Value, json};

use crate::args::{Colour, Global, Output};
use crate::problem::Problem;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const MIDDLING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Where everything is printed.
pub(crate) struct Screen {
    output: Output,
    colours: ColorChoice,
}

// === impl Screen ===

impl Screen {
    pub(crate) fn of(global: &Global) -> Self {
        let colours = match global.color {
            Colour::Auto => ColorChoice::Auto,
            Colour::Always => ColorChoice::AlwaysAnsi,
            Colour::Never => ColorChoice::Never,
        };
        Self { output: global.output, colours }
    }

    /// How answers are printed.
    pub(crate) const fn output(&self) -> Output {
        self.output
    }

    /// Prints the answer: `text`, which may hold styles, or `json`. Each is made only if it is
    /// wanted.
    pub(crate) fn answer(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Problem> {
        match self.output {
            Output::Human => self.raw(&text()),
            Output::Json => self.raw(&format!("{:#}\n", json())),
        }
    }

    /// Prints one of many answers, each JSON in a line of its own. Breaks off where the reader has seen
    /// enough.
    pub(crate) fn event(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<ControlFlow<()>, Problem> {
        match self.output {
            Output::Human => self.write(&text()),
            Output::Json => self.write(&format!("{}\n", json())),
        }
    }

    /// Prints something that is no answer: text to standard error, JSON among the answers.
    pub(crate) fn aside(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Problem> {
        match self.output {
            Output::Human => {
                let mut err = AutoStream::new(io::stderr(), self.colours).lock();
                let _ = err.write_all(text().as_bytes());
            }
            Output::Json => self.raw(&format!("{}\n", json()))?,
        }
        Ok(())
    }

    /// Prints that a connection is gone, and will be made again after a pause.
    pub(crate) fn lost(&mut self, error: &Error, pause: Duration) -> Result<(), Problem> {
        let text = || {
            let again = format!("{error}; trying again in {:.1} s", pause.as_secs_f64());
            format!("{} {}\n", paint(MIDDLING, "warning:"), harmless(&again))
        };
        let json = || {
            let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            json!({"event": "lost", "message": error.to_string(), "pause_ms": pause})
        };
        self.aside(text, json)
    }

    /// Prints text as it is, without the styles where colours are not wanted.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Problem> {
        self.write(text).map(|_| ())
    }

    fn write(&mut self, text: &str) -> Result<ControlFlow<()>, Problem> {
        let mut out = AutoStream::new(io::stdout(), self.colours).lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // A reader that has seen enough, such as `head`, is no error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(Problem::Write(error)),
        }
    }

    /// Prints what went wrong. Where even that fails, the exit status still tells.
    pub(crate) fn complain(&mut self, problem: &Problem) {
        let mut err = AutoStream::new(io::stderr(), self.colours).lock();
        let text = match self.output {
            Output::Human => problem.painted(),
            Output::Json => format!("{:#}\n", problem.json()),
        };
        let _ = err.write_all(text.as_bytes());
    }
}

/// What somebody else wrote cannot steer the terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The text in this style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Rows of cells, each column as wide as its widest cell; the last is not padded. Cells hold no
/// styles: `styles` has one a column.
pub(crate) fn table(rows: &[Vec<String>], styles: &[Style]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let wide = widths.get(column).copied().unwrap_or(0);
            let padding = " ".repeat(wide.saturating_sub(cell.chars().count()));
            let last = column + 1 == row.len();
            if !cell.is_empty() {
                line.push_str(&paint(styles.get(column).copied().unwrap_or_default(), cell));
            }
            if !last {
                line.push_str(&padding);
                line.push_str("  ");
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [vec!["é".to_owned(), "b".to_owned()], vec!["abc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows, &[]), "é    b\nabc  d\n");
        assert_eq!(table(&[], &[]), "");
        let empty = [vec!["a".to_owned(), String::new()]];
        assert_eq!(table(&empty, &[Style::new(), FAINT]), "a\n");
    }
}
