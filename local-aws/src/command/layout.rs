//! How a report is laid out in a terminal: columns, indented lines, times, and JSON values as text.

use std::time::Duration;

use comfy_table::{Row, Table, presets};
use serde::Serializer;
use serde_json::Value;

/// Lines in columns as wide as their widest cell; nothing without a row.
pub(crate) fn table(rows: impl IntoIterator<Item: Into<Row>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((2, 0));
    }
    match table.trim_fmt() {
        text if text.is_empty() => text,
        text => text + "\n",
    }
}

/// The members of an object in an object.
pub(crate) fn members<'a>(
    value: &'a Value,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flatten()
}

/// The items of an array in an object.
pub(crate) fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Members of an object as text; empty where there is none.
pub(crate) fn texts<const N: usize>(value: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| value.get(name).map(plain).unwrap_or_default())
}

/// A JSON value without the quotes of a string.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
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

/// A time in JSON.
pub(crate) fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        assert_eq!(table([vec!["a", "bb"], vec!["ccc"]]), "  a    bb\n  ccc\n");
        assert_eq!(table([[""; 0]; 0]), "");
    }

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(clock(Duration::from_millis(20)), "0.020 s");
        assert_eq!(clock(Duration::from_mins(2)), "2m00s");
        assert_eq!(clock(Duration::from_secs(3723)), "1h02m03s");
    }
}
