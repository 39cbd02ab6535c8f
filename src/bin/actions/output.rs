//! Standard output: lines, JSON and tables. Messages go to standard error.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;
use terminal::{Alignment, Style, Term, measure_text_width, truncate_str};

use crate::error::Result;

#[cfg(not(test))]
type To = io::Stdout;
/// Unit tests write nothing.
#[cfg(test)]
type To = io::Sink;

fn standard() -> To {
    #[cfg(not(test))]
    return io::stdout();
    #[cfg(test)]
    return io::sink();
}

/// Standard output of one command.
#[derive(Debug)]
pub(crate) struct Out {
    to: BufWriter<To>,
    /// True if programs read the output.
    pub(crate) json: bool,
    /// Width of the terminal; `None` if the output is no terminal, which has no width.
    pub(crate) width: Option<usize>,
    colours: bool,
}

impl Out {
    pub(crate) fn new(json: bool) -> Out {
        let is_terminal = io::stdout().is_terminal();
        let width = is_terminal.then(|| Term::stdout().size().1.into());
        Out {
            to: BufWriter::new(standard()),
            json,
            width,
            colours: is_terminal && terminal::colors_enabled(),
        }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<()> {
        let to = &mut self.to;
        Ok(to
            .write_all(line.as_ref().as_bytes())
            .and_then(|()| to.write_all(b"\n"))?)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.to, value).map_err(io::Error::from)?;
        self.line("")
    }

    /// Shows what was written. Live commands call it after each line.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.to.flush()?)
    }
}

/// Writes a line to standard error, broken between words if that is a terminal. Does nothing if it is
/// closed.
pub(crate) fn note(line: &str) {
    let is_terminal = io::stderr().is_terminal();
    let width = is_terminal.then(|| Term::stderr().size().1.into());
    let _closed = writeln!(io::stderr(), "{}", wrapped(line, width));
}

/// Breaks a line before words that do not fit.
fn wrapped(line: &str, width: Option<usize>) -> String {
    let Some(most) = width else {
        return line.to_owned();
    };
    let (mut text, mut used) = (String::with_capacity(line.len()), 0);
    for word in line.split(' ') {
        let width = measure_text_width(word);
        if used > 0 && used + 1 + width > most {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += width;
    }
    text
}

/// Writes a number of actions: `1 action`, `2 actions`.
pub(crate) fn count(actions: u64) -> String {
    number(actions, "action", "actions")
}

/// Writes a number of things: `1 owner`, `2 owners`.
pub(crate) fn number(number: u64, one: &str, several: &str) -> String {
    let noun = if number == 1 { one } else { several };
    format!("{number} {noun}")
}

/// Makes a text from a store safe for a terminal, on one line: control characters could move the
/// cursor or change colours, and marks of direction could reorder the line.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // Marks of direction, and characters without a width.
        let is_hidden = matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' | '\u{feff}'
        );
        match c {
            '\n' => plain.push_str("\\n"),
            '\t' => plain.push_str("\\t"),
            _ if c.is_control() || is_hidden => plain.extend(c.escape_unicode()),
            _ => plain.push(c),
        }
    }
    plain
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    align: Alignment,
    /// True if the column may be cut to fit the terminal.
    cut: bool,
    /// Width that the column has at least.
    least: usize,
    /// Columns with a rank are left out on a narrow terminal, the lowest rank first.
    rank: Option<u8>,
}

impl Column {
    const fn new(name: &'static str, align: Alignment, cut: bool) -> Column {
        let (least, rank) = (0, None);
        Column {
            name,
            align,
            cut,
            least,
            rank,
        }
    }

    pub(crate) const fn left(name: &'static str) -> Column {
        Column::new(name, Alignment::Left, false)
    }

    pub(crate) const fn right(name: &'static str) -> Column {
        Column::new(name, Alignment::Right, false)
    }

    /// A column of long texts, which may be cut.
    pub(crate) const fn long(name: &'static str) -> Column {
        Column::new(name, Alignment::Left, true)
    }

    /// Gives the column this width at least, for a table that is written row by row.
    pub(crate) const fn at_least(mut self, width: usize) -> Column {
        self.least = width;
        self
    }

    /// Allows the column to be left out on a narrow terminal.
    pub(crate) const fn optional(mut self, rank: u8) -> Column {
        self.rank = Some(rank);
        self
    }
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Cell {
        let text = plain(text.as_ref());
        Cell { text, style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::new())
    }
}

/// Gap between two columns.
const GAP: usize = 2;
/// A column that may be cut keeps this width.
const LEAST: usize = 12;

/// A table, written a page at a time. A later page keeps the widths of the earlier ones.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    /// Widths that the cells need, and the widths that they get; `None` for a column that is left
    /// out.
    widths: Vec<usize>,
    shown: Vec<Option<usize>>,
    rows: Vec<Vec<Cell>>,
    has_head: bool,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Table {
        let columns = columns.into();
        let width = |column: &Column| column.name.len().max(column.least);
        let widths: Vec<usize> = columns.iter().map(width).collect();
        Table {
            shown: widths.iter().copied().map(Some).collect(),
            columns,
            widths,
            rows: Vec::new(),
            has_head: false,
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = measure_text_width(&cell.text).max(*width);
        }
        self.rows.push(cells);
    }

    /// Writes the rows that were added since the last page. Writes the head first, unless there
    /// are no rows at all.
    pub(crate) fn write(&mut self, out: &mut Out) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.fit(out.width);
        if !self.has_head {
            self.has_head = true;
            let bold = |column: &Column| Cell::styled(column.name, Style::new().bold());
            let names: Vec<Cell> = self.columns.iter().map(bold).collect();
            out.line(self.text_of(&names, out.colours))?;
        }
        for row in std::mem::take(&mut self.rows) {
            out.line(self.text_of(&row, out.colours))?;
        }
        Ok(())
    }

    /// Leaves out optional columns and narrows the widest of the columns that may be cut, until
    /// the table fits.
    fn fit(&mut self, most: Option<usize>) {
        let most = most.unwrap_or(usize::MAX);
        let total = |widths: &[Option<usize>]| {
            let count = widths.iter().flatten().count();
            widths.iter().flatten().sum::<usize>() + GAP * count.saturating_sub(1)
        };
        let left_out: Vec<bool> = self.shown.iter().map(Option::is_none).collect();
        let parts = || self.columns.iter().zip(&self.widths);
        // A column that was left out once stays so: pages have the same columns.
        let visible = |least: usize| {
            let widths = parts().map(move |(column, width)| match column.cut {
                true => (*width).min(least),
                false => *width,
            });
            let widths = widths.zip(&left_out);
            widths.map(|(width, out)| (!out).then_some(width)).collect()
        };
        let mut narrow: Vec<Option<usize>> = visible(LEAST);
        let mut wide: Vec<Option<usize>> = visible(usize::MAX);
        while total(&narrow) > most {
            let columns = self.columns.iter().enumerate();
            let optional = columns.filter_map(|(at, column)| Some((column.rank?, at)));
            let there = optional.filter(|(_, at)| narrow.get(*at).is_some_and(Option::is_some));
            let Some((_, at)) = there.min() else { break };
            for widths in [&mut narrow, &mut wide] {
                if let Some(width) = widths.get_mut(at) {
                    *width = None;
                }
            }
            self.has_head = false;
        }
        while total(&wide) > most {
            let columns = wide.iter_mut().zip(&self.columns);
            let cut = columns.filter(|(_, column)| column.cut);
            match cut.filter_map(|(width, _)| width.as_mut()).max() {
                Some(width) if *width > LEAST => *width -= 1,
                _ => break,
            }
        }
        self.shown = wide;
    }

    fn text_of(&self, row: &[Cell], colours: bool) -> String {
        let mut line = String::new();
        let cells = row.iter().zip(&self.columns).zip(&self.shown);
        for ((cell, column), width) in cells {
            let Some(width) = *width else { continue };
            if !line.is_empty() {
                line.push_str(&" ".repeat(GAP));
            }
            let text = match column.cut {
                true => truncate_str(&cell.text, width, "…"),
                false => cell.text.as_str().into(),
            };
            // Padded outside the style, so that no spaces are left at the end of a line.
            let padding = width.saturating_sub(measure_text_width(&text));
            let style = cell.style.clone().force_styling(colours);
            let text = style.apply_to(text).to_string();
            let padding = " ".repeat(padding);
            match column.align {
                Alignment::Right => line.extend([padding, text]),
                _ => line.extend([text, padding]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: Option<usize>, rows: &[[&str; 3]]) -> Vec<String> {
        let mut table = Table::new([
            Column::left("UID"),
            Column::right("%").optional(1),
            Column::long("NAME"),
        ]);
        for row in rows {
            table.row(row.iter().map(Cell::from).collect());
        }
        table.fit(width);
        let text = |row: &Vec<Cell>| table.text_of(row, false);
        table.rows.iter().map(text).collect()
    }

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let rows = [["東京", "7", "backup"], ["bb", "100", "x"]];
        assert_eq!(shown(None, &rows), ["東京    7  backup", "bb    100  x"]);
    }

    #[test]
    fn a_long_text_is_cut_to_the_terminal_and_no_further_than_needed() {
        let rows = [["a", "7", "backup_of_the_orders_database"]];
        assert_eq!(shown(Some(24), &rows), ["a    7  backup_of_the_o…"]);
        assert_eq!(shown(Some(24), &rows)[0].chars().count(), 24);
        assert_eq!(
            shown(None, &rows),
            ["a    7  backup_of_the_orders_database"]
        );
    }

    #[test]
    fn optional_columns_are_left_out_on_a_narrow_terminal() {
        let rows = [["a", "7", "backup_of_the_orders_database"]];
        assert_eq!(shown(Some(19), &rows), ["a    backup_of_the…"]);
        assert_eq!(shown(Some(5), &rows), ["a    backup_of_t…"]);
        assert_eq!(shown(Some(19), &[["a", "7", "short"]]), ["a    7  short"]);
    }

    #[test]
    fn a_message_is_broken_between_words_on_a_terminal() {
        let line = "error: 東京 is in use";
        assert_eq!(wrapped(line, Some(11)), "error: 東京\nis in use");
        assert_eq!(wrapped(line, Some(10)), "error:\n東京 is in\nuse");
        assert_eq!(wrapped(line, Some(3)), "error:\n東京\nis\nin\nuse");
        assert_eq!(wrapped(line, None), line);
        assert_eq!(wrapped("", Some(3)), "");
    }

    #[test]
    fn a_text_cannot_control_the_terminal() {
        assert_eq!(
            plain("a\u{1b}[2Jb\nc\u{202e}d\u{9b}e"),
            "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}e"
        );
        assert_eq!(plain("grün 東京"), "grün 東京");
    }
}
