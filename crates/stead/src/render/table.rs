//! Tables with a head, a rule and a foot, as restic prints them; on a screen too narrow for them, one field per line.

use std::fmt::Write;

/// A table. Cells may have several lines.
#[derive(Default)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    foot: Vec<String>,
}

/// Spaces between columns.
const GAP: usize = 2;

impl Table {
    /// A table with these columns.
    pub(crate) fn new(head: &[&'static str]) -> Table {
        Table { head: head.to_vec(), ..Table::default() }
    }

    /// Adds a row with as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    /// Adds a line below the table.
    pub(crate) fn foot(&mut self, line: impl Into<String>) {
        self.foot.push(line.into());
    }

    /// The table for a screen `width` columns wide, or as wide as it likes. Ends with a newline.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let columns = self.columns();
        let total = columns.iter().sum::<usize>() + GAP * columns.len().saturating_sub(1);
        let mut text = match width {
            Some(width) if total > width => self.stacked(width),
            _ => self.side_by_side(&columns, total),
        };
        for line in &self.foot {
            _ = writeln!(text, "{line}");
        }
        text
    }

    fn columns(&self) -> Vec<usize> {
        let widest = |column: usize| {
            let cells = self.rows.iter().flat_map(|row| row[column].lines()).map(columns_of);
            cells.max().unwrap_or(0).max(columns_of(self.head[column]))
        };
        (0..self.head.len()).map(widest).collect()
    }

    fn side_by_side(&self, columns: &[usize], total: usize) -> String {
        let rule = "-".repeat(total);
        let mut text = String::new();
        let head: Vec<&str> = self.head.to_vec();
        push_line(&mut text, columns, &head);
        _ = writeln!(text, "{rule}");
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
            for line in 0..height {
                let cells: Vec<&str> = row.iter().map(|cell| cell.lines().nth(line).unwrap_or("")).collect();
                push_line(&mut text, columns, &cells);
            }
        }
        _ = writeln!(text, "{rule}");
        text
    }

    /// One field per line, for phones and other narrow screens.
    fn stacked(&self, width: usize) -> String {
        let name = self.head.iter().map(|head| columns_of(head)).max().unwrap_or(0);
        let rule = "-".repeat(width);
        let mut text = format!("{rule}\n");
        for row in &self.rows {
            for (head, cell) in self.head.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
                for (number, line) in cell.lines().enumerate() {
                    let head = if number == 0 { *head } else { "" };
                    _ = writeln!(text, "{head:name$}{:GAP$}{line}", "");
                }
            }
            _ = writeln!(text, "{rule}");
        }
        text
    }
}

fn push_line(text: &mut String, columns: &[usize], cells: &[&str]) {
    let mut line = String::new();
    for (number, (cell, width)) in cells.iter().zip(columns).enumerate() {
        if number > 0 {
            line.push_str("  ");
        }
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(columns_of(cell))));
    }
    _ = writeln!(text, "{}", line.trim_end());
}

/// Columns that a text takes; near enough without a table of wide characters.
fn columns_of(text: &str) -> usize {
    text.chars().count()
}

/// Text that may be shown on a terminal: control characters as escapes, so that a file's name cannot move the cursor.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "Host", "Paths"]);
        table.row(vec!["12345678".into(), "vm".into(), "/home\n/srv".into()]);
        table.foot("1 snapshots");
        table
    }

    #[test]
    fn a_wide_screen_shows_columns() {
        let expected = "ID        Host  Paths\n---------------------\n12345678  vm    /home\n                /srv\n---------------------\n1 snapshots\n";
        assert_eq!(table().render(Some(80)), expected);
        assert_eq!(table().render(None), expected);
    }

    #[test]
    fn a_phone_shows_fields_below_each_other() {
        let shown = table().render(Some(18));
        assert!(shown.lines().all(|line| line.chars().count() <= 18), "{shown}");
        assert!(shown.contains("Host   vm\n"), "{shown}");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("plain"), "plain");
    }
}
