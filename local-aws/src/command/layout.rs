//! How a report is laid out in a terminal: columns, indented lines, JSON values and times as text.

use std::time::Duration;

use serde_json::Value;

pub(crate) fn indented(lines: &[String]) -> String {
    ended(lines.iter().map(|line| format!("  {line}")).collect())
}

/// Lines that all end.
fn ended(mut lines: Vec<String>) -> String {
    lines.push(String::new());
    lines.join("\n")
}

/// A member of a JSON object as text; nothing where there is none.
pub(crate) fn member(value: &Value, name: &str) -> String {
    value.get(name).map(plain).unwrap_or_default()
}

/// A JSON value without the quotes of a string.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell, the last one as wide as it likes.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let lines = padded(rows).map(|cells| format!("  {}", cells.join("  ")).trim_end().to_owned());
    ended(lines.collect())
}

/// The same in Markdown, line by line.
pub(crate) fn markdown(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    let mut rows = [&[head], rows].concat();
    let rule = widths(&rows).into_iter().map(|width| "-".repeat(width));
    rows.insert(1, rule.collect());
    let lines = padded(&rows);
    lines
        .map(|cells| format!("| {} |", cells.join(" | ")))
        .collect()
}

/// Makes every cell as wide as its column, with the text at its end.
pub(crate) fn to_the_right(rows: &mut [Vec<String>]) {
    let widths = widths(rows);
    for (cell, width) in rows.iter_mut().flat_map(|row| row.iter_mut().zip(&widths)) {
        *cell = format!("{cell:>width$}");
    }
}

/// Every cell as wide as its column, with the text at its start.
fn padded(rows: &[Vec<String>]) -> impl Iterator<Item = Vec<String>> {
    let widths = widths(rows);
    rows.iter().map(move |row| {
        let cells = row.iter().zip(&widths);
        cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect()
    })
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

/// `0.020 s`, and from a minute on `1h02m03s`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{:.3} s", time.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "bb".to_owned()],
            vec!["ccc".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), "  a    bb\n  ccc\n");
    }

    #[test]
    fn a_table_reads_as_markdown() {
        let rows = [vec!["a".to_owned(), "1 (0–2)".to_owned()]];
        assert_eq!(
            markdown(&["name", "value"], &rows),
            [
                "| name | value   |",
                "| ---- | ------- |",
                "| a    | 1 (0–2) |"
            ]
        );
    }

    #[test]
    fn numbers_end_where_their_column_does() {
        let mut rows = [vec!["a".to_owned()], vec!["100".to_owned(), "b".to_owned()]];
        to_the_right(&mut rows);
        assert_eq!(table(&rows), "    a\n  100  b\n");
    }

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(clock(Duration::from_millis(20)), "0.020 s");
        assert_eq!(clock(Duration::from_mins(2)), "2m00s");
        assert_eq!(clock(Duration::from_secs(3723)), "1h02m03s");
    }
}
