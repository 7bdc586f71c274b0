//! Under which circumstances something is measured.

use serde::Serialize;

use crate::arguments::Arguments;
use crate::contender::Kind;

/// How many Regions the peers get, where that many are measured at all.
const USUAL_REGIONS: u8 = 17;

/// Under which circumstances a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scenario {
    pub(crate) regions: u8,
    /// Whether the function has to ask which Regions there are (`REGIONS=all`).
    pub(crate) asks_for_regions: bool,
    #[serde(rename = "roundTripMs")]
    pub(crate) round_trip: u32,
    /// The memory size whose share of the CPU it gets; without one, a whole processor and more.
    #[serde(rename = "cpuShareOfMb")]
    pub(crate) memory: Option<u32>,
}

impl Scenario {
    /// A whole processor, Regions by name.
    pub(crate) fn plain(regions: u8, round_trip: u32) -> Self {
        Self { regions, asks_for_regions: false, round_trip, memory: None }
    }

    /// Regions, round trip, share of the CPU.
    pub(crate) fn cells(self) -> [String; 3] {
        let all = if self.asks_for_regions { " (all)" } else { "" };
        [
            format!("{}{all}", self.regions),
            format!("{} ms", self.round_trip),
            self.memory.map_or("all".to_owned(), |memory| format!("{memory} MB")),
        ]
    }
}

/// What is measured of a program.
pub(crate) fn scenarios(arguments: &Arguments, kind: Kind) -> Vec<Scenario> {
    let Arguments { regions, round_trip: trips, .. } = arguments;
    let usual = regions.iter().find(|count| **count == USUAL_REGIONS).or(regions.last());
    let usual = *usual.unwrap_or(&USUAL_REGIONS);
    let (regions, trips_here) = match kind {
        Kind::Function => (regions.as_slice(), trips.as_slice()),
        Kind::Peer => (&[usual][..], trips.as_slice()),
        // It makes no call.
        Kind::Floor => (&[usual][..], trips.get(..1).unwrap_or_default()),
    };
    let mut scenarios = Vec::new();
    for trip in trips_here {
        scenarios.extend(regions.iter().map(|count| Scenario::plain(*count, *trip)));
    }
    let usual = Scenario::plain(usual, trips.last().copied().unwrap_or_default());
    if kind == Kind::Function {
        scenarios.push(Scenario { asks_for_regions: true, ..usual });
    }
    let sizes = arguments.memory.iter().filter(|memory| memory.is_some());
    scenarios.extend(sizes.map(|memory| Scenario { memory: *memory, ..usual }));
    scenarios
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn count(line: &[&str], kind: Kind) -> usize {
        let arguments = Arguments::try_parse_from([&["bench"], line].concat()).unwrap();
        scenarios(&arguments, kind).len()
    }

    #[test]
    fn the_function_is_measured_everywhere_and_the_others_where_they_are_compared() {
        assert_eq!(count(&[], Kind::Function), 2 * 3 + 1 + 3);
        assert_eq!(count(&["--memory", "none"], Kind::Function), 2 * 3 + 1);
        assert_eq!(count(&[], Kind::Peer), 2 + 3);
        assert_eq!(count(&[], Kind::Floor), 1 + 3);
        assert_eq!(count(&["--memory", "none"], Kind::Peer), 2);
    }

    #[test]
    fn a_quick_run_is_small() {
        assert_eq!(count(&["--quick"], Kind::Function), 2 * 2 + 1);
    }
}
