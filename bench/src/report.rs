//! What a run has measured, as tables in Markdown.

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::contender::Contender;
use crate::sample::{Event, Sample};
use crate::scenario::Scenario;

type Value = fn(&Sample) -> f64;

const FIGURES: [(&str, Value); 6] = [
    ("start", |sample| sample.start_ms),
    ("first event", |sample| sample.first.ms),
    ("warm p50", |sample| percentile(sample.warm.iter().map(|event| event.ms), 50)),
    ("CPU of start and first", |sample| sample.cold_cpu_ms),
    ("CPU warm", |sample| sample.warm_cpu_ms),
    ("memory", |sample| sample.peak_memory_mb),
];

/// One program under some circumstances, in every repetition.
#[derive(Debug, Serialize)]
pub(crate) struct Cell<'a> {
    #[serde(flatten)]
    pub(crate) contender: &'a Contender,
    #[serde(flatten)]
    pub(crate) scenario: Scenario,
    #[serde(rename = "repetitions")]
    pub(crate) samples: Vec<Sample>,
}

/// The figures of every cell, and their ratios to those of the first program.
pub(crate) fn tables(cells: &[Cell]) -> String {
    let mut measured = table(&["warm p99", "calls first, warm", "round trips first, warm"]);
    let mut ratios = table(&[]);
    let first = cells.first().map_or("", |cell| &cell.contender.name);
    for cell in cells {
        let events = cell.samples.iter().flat_map(|sample| &sample.warm);
        let figures = FIGURES.map(|(_, value)| figure(cell.samples.iter().map(value)));
        measured.add_row(cell.row().chain(figures).chain([
            short(percentile(events.map(|event| event.ms), 99)),
            cell.counts(|event| Some(event.calls)),
            cell.counts(|event| event.round_trips),
        ]));
        let is_base = |base: &&Cell| base.contender.name == first && base.scenario == cell.scenario;
        if let Some(base) = cells.iter().find(is_base).filter(|_| cell.contender.name != first) {
            let pairs = || cell.samples.iter().zip(&base.samples);
            let ratio =
                |value: Value| figure(pairs().map(|(cell, base)| value(cell) / value(base)));
            ratios.add_row(cell.row().chain(FIGURES.map(|(_, value)| ratio(value))));
        }
    }
    if ratios.is_empty() {
        return format!("{measured}\n");
    }
    format!("{measured}\n\nTimes as much as {first}:\n\n{ratios}\n")
}

fn table(further: &[&'static str]) -> Table {
    let circumstances = ["program", "Regions", "round trip", "CPU of"];
    let figures = FIGURES.map(|(title, _)| title);
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_header([&circumstances[..], &figures[..], further].concat());
    table
}

impl Cell<'_> {
    fn row(&self) -> impl Iterator<Item = String> {
        [self.contender.name.clone()].into_iter().chain(self.scenario.cells())
    }

    /// A count of the first events, and of the further ones.
    fn counts(&self, value: fn(&Event) -> Option<u32>) -> String {
        let first = self.samples.iter().filter_map(|sample| value(&sample.first));
        let warm = self.samples.iter().flat_map(|sample| &sample.warm).filter_map(value);
        format!("{}, {}", figure(first.map(f64::from)), figure(warm.map(f64::from)))
    }
}

/// The median of some values, with the least and the most of them.
fn figure(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |place| values.get(place).copied();
    let lower = at(values.len().saturating_sub(1) / 2);
    let (Some(lower), Some(upper)) = (lower, at(values.len() / 2)) else {
        return "–".to_owned();
    };
    let ends = [values.first(), values.last()].map(|end| end.copied().map_or(String::new(), short));
    let median = short(f64::midpoint(lower, upper));
    match ends {
        [least, most] if least == most => median,
        [least, most] => format!("{median} ({least}–{most})"),
    }
}

/// As many decimals as say something.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        size if size.fract() == 0.0 => 0,
        size if size < 0.1 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// The value that this many percent of the values are not above.
fn percentile(values: impl Iterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Kind;

    #[test]
    fn the_median_stands_in_the_middle() {
        let figure = |values: &[f64]| figure(values.iter().copied());
        assert_eq!(figure(&[3.0, 1.0, 2.0]), "2 (1–3)");
        assert_eq!(figure(&[1.0, 2.0]), "1.50 (1–2)");
        assert_eq!(figure(&[145.0, 145.0]), "145");
        assert_eq!(figure(&[]), "–");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let of = |count, percent| percentile((1..=count).map(f64::from), percent).to_string();
        assert_eq!([of(200, 99), of(200, 50), of(1, 99)], ["198", "100", "1"]);
    }

    #[test]
    fn a_ratio_is_taken_within_each_repetition_and_to_the_first_program() {
        let event = Event { ms: 1.0, calls: 4, round_trips: None };
        let sample = |start_ms| Sample {
            start_ms,
            first: event,
            cold_cpu_ms: 1.0,
            warm: vec![event],
            warm_cpu_ms: 1.0,
            peak_memory_mb: 9.0,
        };
        let [old, new] = ["old", "new"].map(|name| Contender::new(name, Kind::Function, []));
        let cell = |contender, regions, starts: [f64; 3]| Cell {
            contender,
            scenario: Scenario::plain(regions, 0),
            samples: starts.map(sample).into(),
        };
        let tables = tables(&[
            cell(&old, 17, [2.0, 3.0, 2.0]),
            cell(&new, 17, [4.0, 9.0, 5.0]),
            cell(&new, 34, [1.0; 3]),
        ]);
        let (_, ratios) = tables.split_once("Times as much as old").unwrap();
        assert!(ratios.contains("| 2.50 (2–3) |"), "{ratios}");
        assert_eq!(ratios.matches("| new").count(), 1, "{ratios}");
    }
}
