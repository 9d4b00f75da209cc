//! Lines in columns, for people.

use crate::output::print_bytes;
use crate::report::{Why, printable};

/// What stands between two columns.
const GAP: &str = "  ";

/// A table with a line of titles. Its last column may be of any width.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(titles: [&str; COLUMNS]) -> Table<COLUMNS> {
        Table {
            rows: vec![titles.map(str::to_owned)],
        }
    }

    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    pub(crate) fn print(&self) -> Result<(), Why> {
        print_bytes(self.text().as_bytes())
    }

    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            text.push_str(cells.join(GAP).trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(["ID", "SIZE", "COMMENT"]);
        table.row(["a".into(), "1000 kB".into(), "two\nlines".into()]);
        table.row(["é".into(), String::new(), String::new()]);
        let expected = "ID  SIZE     COMMENT\na   1000 kB  two\\nlines\né\n";
        assert_eq!(table.text(), expected);
    }
}
