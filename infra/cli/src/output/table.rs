use std::fmt;

use unicode_width::UnicodeWidthStr as _;

use super::{STRONG, printable_cell};

/// Rows under a heading, in aligned columns.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// A column: its heading, and the text of its cell for a record. Cells may be styled.
pub(crate) type Column<T> = (&'static str, fn(&T) -> String);

impl Table {
    /// A table with a row for each record.
    pub(crate) fn of<T>(records: &[T], columns: &[Column<T>]) -> Self {
        let mut table = Self::new(columns.iter().map(|(heading, _)| *heading));
        for record in records {
            table.row(columns.iter().map(|(_, cell)| cell(record)));
        }
        table
    }

    fn new(heading: impl IntoIterator<Item = &'static str>) -> Self {
        Self { heading: heading.into_iter().collect(), rows: Vec::new() }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable_cell(&cell)).collect());
    }
}

/// One line for each field of a record: its name, and its value in a column of its own.
pub(crate) fn fields(indent: &str, fields: &[(&str, String)]) -> String {
    let longest = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{indent}{name:longest$}  {value}");
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The width of a text in terminal columns, styles not counted.
fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().width()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
                cells.chain(self.heading.get(column).map(|text| width(text))).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, most)| {
                let padding = " ".repeat(most.saturating_sub(width(cell)));
                format!("{cell}{padding}")
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        write!(f, "{STRONG}{}{STRONG:#}", line(&mut self.heading.iter().copied()))?;
        for row in &self.rows {
            write!(f, "\n{}", line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::BAD;
    use super::*;

    #[test]
    fn a_cell_stays_in_its_row() {
        let mut table = Table::new(["A"]);
        table.row(["Ada\nroot  assigned".to_owned()]);
        assert!(table.to_string().ends_with("\nAda\u{fffd}root  assigned"));
    }

    #[test]
    fn columns_of_wide_or_styled_text_line_up() {
        let mut table = Table::new(["A", "WIDE", "END"]);
        table.row(["キー".to_owned(), format!("{BAD}no{BAD:#}"), "x".to_owned()]);
        table.row(["b".to_owned(), "longer".to_owned(), String::new()]);
        let plain = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(plain, "A     WIDE    END\nキー  no      x\nb     longer");
    }
}
