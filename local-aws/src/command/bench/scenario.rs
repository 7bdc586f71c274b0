//! Under which circumstances something is measured.

use std::fmt;
use std::time::Duration;

use crate::bench::arguments::Measuring;
use crate::bench::contender::Kind;

/// How many Regions the peers get, where that many are measured at all.
const USUAL_REGIONS: u32 = 17;

/// Under which circumstances a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) regions: u32,
    /// Whether the function has to ask which Regions there are (`REGIONS=all`).
    pub(crate) asks_for_regions: bool,
    pub(crate) round_trip: Duration,
    /// The memory size whose share of the CPU it gets; without one, a whole processor and more.
    pub(crate) memory: Option<u32>,
}

impl Scenario {
    /// A whole processor, Regions by name.
    pub(crate) fn plain(regions: u32, round_trip: Duration) -> Self {
        Self {
            regions,
            asks_for_regions: false,
            round_trip,
            memory: None,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.asks_for_regions { " (all)" } else { "" };
        let millis = self.round_trip.as_millis();
        write!(
            formatter,
            "Regions: {}{all}, round trip: {millis} ms",
            self.regions
        )?;
        match self.memory {
            Some(memory) => write!(formatter, ", CPU of {memory} MB"),
            None => Ok(()),
        }
    }
}

/// The number of Regions that everything is compared at.
pub(crate) fn usual_regions(arguments: &Measuring) -> u32 {
    let regions = &arguments.regions;
    if regions.contains(&USUAL_REGIONS) {
        return USUAL_REGIONS;
    }
    regions.last().copied().unwrap_or(USUAL_REGIONS)
}

/// What is measured of a program.
pub(crate) fn scenarios(arguments: &Measuring, kind: Kind, with_shares: bool) -> Vec<Scenario> {
    let usual = usual_regions(arguments);
    let trips: Vec<_> = arguments
        .round_trip
        .iter()
        .map(|millis| Duration::from_millis(*millis))
        .collect();
    let last = trips.last().copied().unwrap_or_default();
    let plain = |regions: &[u32], trips: &[Duration]| -> Vec<Scenario> {
        let of = |trip: &Duration| regions.iter().map(|n| Scenario::plain(*n, *trip)).collect();
        trips
            .iter()
            .flat_map(|trip| -> Vec<_> { of(trip) })
            .collect()
    };
    let mut scenarios = match kind {
        Kind::Function => plain(&arguments.regions, &trips),
        Kind::Peer(_) => plain(&[usual], &trips),
        // It makes no call.
        Kind::Floor => trips
            .iter()
            .take(1)
            .map(|trip| Scenario::plain(usual, *trip))
            .collect(),
    };
    if kind == Kind::Function {
        scenarios.push(Scenario {
            asks_for_regions: true,
            ..Scenario::plain(usual, last)
        });
    }
    let sizes = arguments.memory.iter().filter_map(|memory| memory.0);
    scenarios.extend(sizes.filter(|_| with_shares).map(|memory| Scenario {
        memory: Some(memory),
        ..Scenario::plain(usual, last)
    }));
    scenarios
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bench::contender::Peer;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Measuring,
    }

    fn count(line: &[&str], kind: Kind, with_shares: bool) -> usize {
        let line = Line::try_parse_from([&["bench"], line].concat()).unwrap();
        scenarios(&line.arguments.resolved(), kind, with_shares).len()
    }

    #[test]
    fn the_function_is_measured_everywhere_and_the_others_where_they_are_compared() {
        let peer = Kind::Peer(Peer::Boto3);
        assert_eq!(count(&[], Kind::Function, true), 2 * 3 + 1 + 3);
        assert_eq!(count(&[], Kind::Function, false), 2 * 3 + 1);
        assert_eq!(count(&[], peer, true), 2 + 3);
        assert_eq!(count(&[], Kind::Floor, true), 1 + 3);
        assert_eq!(count(&["--memory", "none"], peer, true), 2);
    }

    #[test]
    fn a_quick_run_is_small() {
        assert_eq!(count(&["--quick"], Kind::Function, true), 2 * 2 + 1);
    }
}
