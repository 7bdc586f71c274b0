//! What a run has measured.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::contender::{Contender, Kind};
use crate::bench::figure::{Figure, number, percentile, short};
use crate::bench::sample::{Event, Sample, millis};
use crate::bench::scenario::Scenario;

/// One program under some circumstances, in every repetition.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) contender: Contender,
    pub(crate) scenario: Scenario,
    pub(crate) samples: Vec<Sample>,
}

/// What a run has measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) cells: Vec<Cell>,
    pub(crate) usual_regions: u32,
    pub(crate) round_trips: Vec<Duration>,
}

impl Results {
    /// The samples of the first program of a kind under some circumstances, one for each repetition.
    pub(crate) fn samples(&self, kind: Kind, scenario: Scenario) -> Option<&[Sample]> {
        let found = |cell: &&Cell| cell.contender.kind == kind && cell.scenario == scenario;
        let cell = self.cells.iter().find(found)?;
        Some(&cell.samples)
    }
}

impl Cell {
    pub(crate) const HEAD: [&'static str; 13] = [
        "program",
        "Regions",
        "round trip",
        "CPU of",
        "start",
        "first event",
        "warm p50",
        "warm p99",
        "CPU of start and first",
        "CPU warm",
        "memory",
        "calls first, warm",
        "round trips first, warm",
    ];

    fn each(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<Figure> {
        Figure::of(self.samples.iter().filter_map(value))
    }

    /// Of the further events of all repetitions.
    fn p99(&self) -> Option<f64> {
        let events = self.samples.iter().flat_map(|sample| &sample.warm);
        percentile(events.map(|event| millis(event.took)), 99)
    }

    pub(crate) fn row(&self) -> Vec<String> {
        let each = |value: fn(&Sample) -> f64| {
            let figure = self.each(|sample| Some(value(sample)));
            figure.map(|figure| figure.to_string()).unwrap_or_default()
        };
        let Scenario {
            regions,
            asks_for_regions,
            round_trip,
            memory,
        } = self.scenario;
        vec![
            self.contender.name.clone(),
            match self.contender.kind {
                Kind::Floor => "–".to_owned(),
                _ if asks_for_regions => format!("{regions} (all)"),
                _ => regions.to_string(),
            },
            match self.contender.kind {
                Kind::Floor => "–".to_owned(),
                _ => format!("{} ms", round_trip.as_millis()),
            },
            memory.map_or("all".to_owned(), |memory| format!("{memory} MB")),
            each(|sample| millis(sample.start)),
            each(|sample| millis(sample.first.took)),
            self.each(|sample| sample.warm_percentile(50))
                .map(|f| f.to_string())
                .unwrap_or_default(),
            self.p99().map(short).unwrap_or_default(),
            each(|sample| millis(sample.cold_cpu)),
            each(|sample| millis(sample.warm_cpu)),
            each(|sample| sample.peak_memory),
            self.count(|event| Some(event.calls)),
            match memory {
                None => self.count(|event| Some(event.round_trips?.length)),
                // What happens to end late is taken for a chain there.
                Some(_) => "–".to_owned(),
            },
        ]
    }

    /// A count of the first events, and of the further ones.
    fn count(&self, value: fn(&Event) -> Option<usize>) -> String {
        let first = self.samples.iter().map(|sample| &sample.first);
        let warm = self.samples.iter().flat_map(|sample| &sample.warm);
        match (count(first, value), count(warm, value)) {
            (Some(first), Some(warm)) => format!("{first}, {warm}"),
            _ => "–".to_owned(),
        }
    }

    /// How long the function takes for an event that it ignores and for a malformed one.
    pub(crate) fn in_vain(&self) -> Option<(Figure, Figure)> {
        let ignored = self.each(|sample| Some(millis(sample.ignored?.took)))?;
        let malformed = self.each(|sample| Some(millis(sample.malformed?.took)))?;
        Some((ignored, malformed))
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "program": self.contender.name,
            "regions": self.scenario.regions,
            "asksForRegions": self.scenario.asks_for_regions,
            "roundTripMs": millis(self.scenario.round_trip),
            "cpuShareOfMb": self.scenario.memory,
            "startMs": figure(self.each(|sample| Some(millis(sample.start)))),
            "firstEventMs": figure(self.each(|sample| Some(millis(sample.first.took)))),
            "warmP50Ms": figure(self.each(|sample| sample.warm_percentile(50))),
            "warmP99Ms": self.p99(),
            "coldCpuMs": figure(self.each(|sample| Some(millis(sample.cold_cpu)))),
            "warmCpuMs": figure(self.each(|sample| Some(millis(sample.warm_cpu)))),
            "localAwsWarmCpuMs": figure(self.each(|sample| Some(millis(sample.local_aws_warm_cpu)))),
            "peakMemoryMb": figure(self.each(|sample| Some(sample.peak_memory))),
            "ignoredEventMs": figure(self.each(|sample| Some(millis(sample.ignored?.took)))),
            "malformedEventMs": figure(self.each(|sample| Some(millis(sample.malformed?.took)))),
            "repetitions": self.samples.iter().map(sample).collect::<Vec<_>>(),
        })
    }
}

fn count<'a>(
    events: impl Iterator<Item = &'a Event>,
    value: fn(&Event) -> Option<usize>,
) -> Option<Figure> {
    Figure::of(events.filter_map(value).map(number))
}

fn figure(figure: Option<Figure>) -> Value {
    figure.map_or(
        Value::Null,
        |figure| json!({ "median": figure.median, "least": figure.least, "most": figure.most }),
    )
}

fn sample(sample: &Sample) -> Value {
    json!({
        "startMs": millis(sample.start),
        "coldCpuMs": millis(sample.cold_cpu),
        "first": event(&sample.first),
        "warmCpuMs": millis(sample.warm_cpu),
        "localAwsWarmCpuMs": millis(sample.local_aws_warm_cpu),
        "warm": sample.warm.iter().map(event).collect::<Vec<_>>(),
        "peakMemoryMb": sample.peak_memory,
        "ignored": sample.ignored.as_ref().map(event),
        "malformed": sample.malformed.as_ref().map(event),
    })
}

fn event(event: &Event) -> Value {
    json!({ "ms": millis(event.took), "calls": event.calls, "roundTrips": event.round_trips.map(|chain| chain.length), "roundTripsMs": event.round_trips.map(|chain| millis(chain.took)) })
}
