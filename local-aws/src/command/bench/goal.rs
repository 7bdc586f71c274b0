//! What the function is meant to reach, as ratios within one run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::contender::{Kind, Peer, Sizes};
use crate::bench::figure::{Figure, number, short};
use crate::bench::results::Results;
use crate::bench::sample::{Event, Sample, millis};
use crate::bench::scenario::Scenario;

/// The fewest round trips that the task needs: connection, TLS, detectors beside `DescribeAccount`, `GetMembers`,
/// `CreateMembers`, `GetMembers`.
const FIRST_ROUND_TRIPS: u32 = 6;
/// `DescribeAccount` beside `GetMembers`, `CreateMembers`, `GetMembers`.
const WARM_ROUND_TRIPS: u32 = 3;
/// The share of the CPU that the goals speak of.
const SMALLEST: u32 = 128;

const MEGABYTE: f64 = 1e6;

/// Something that is at most so much.
#[derive(Debug)]
pub(crate) struct Goal {
    what: String,
    limit: f64,
    /// `None` where the run has not measured it.
    figure: Option<Figure>,
}

impl Goal {
    /// By the median.
    fn is_met(&self) -> Option<bool> {
        self.figure.map(|figure| figure.median <= self.limit)
    }

    /// What it is, the limit, what was measured, whether it is met.
    pub(crate) fn row(&self) -> Vec<String> {
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not measured",
        };
        vec![
            self.what.clone(),
            format!("≤ {}", short(self.limit)),
            self.figure.map(|f| f.to_string()).unwrap_or_default(),
            verdict.to_owned(),
        ]
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "goal": self.what,
            "atMost": self.limit,
            "median": self.figure.map(|figure| figure.median),
            "least": self.figure.map(|figure| figure.least),
            "most": self.figure.map(|figure| figure.most),
            "met": self.is_met(),
        })
    }
}

/// What the goals need beside the samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) sizes: Option<Sizes>,
    pub(crate) crates: Option<usize>,
    pub(crate) clean_build: Option<Duration>,
}

/// The goals, for the first build of the function in the run.
pub(crate) fn goals(results: &Results, facts: Facts) -> Vec<Goal> {
    let judge = Judge {
        results,
        usual: results.usual_regions,
        round_trip: results.round_trips.last().copied().unwrap_or_default(),
    };
    let goals = [
        judge.network(),
        judge.peers(),
        judge.sizes(facts),
        judge.regions(),
    ];
    goals.into_iter().flatten().collect()
}

fn goal(what: impl Into<String>, limit: f64, figure: Option<Figure>) -> Goal {
    Goal {
        what: what.into(),
        limit,
        figure,
    }
}

type Samples<'a> = Option<&'a [Sample]>;

/// Finds the samples that a goal speaks of.
#[derive(Clone, Copy)]
struct Judge<'a> {
    results: &'a Results,
    usual: u32,
    /// The last round trip of the run, which is that of the goals.
    round_trip: Duration,
}

impl<'a> Judge<'a> {
    /// Without delay, at a whole processor.
    fn near(self, kind: Kind, regions: u32) -> Samples<'a> {
        let scenario = Scenario::plain(regions, Duration::ZERO);
        self.results.samples(kind, scenario)
    }

    /// With delay; nothing where the run has none.
    fn far(self, kind: Kind, regions: u32, memory: Option<u32>) -> Samples<'a> {
        let scenario = Scenario {
            memory,
            ..Scenario::plain(regions, self.round_trip)
        };
        let samples = self.results.samples(kind, scenario);
        samples.filter(|_| !self.round_trip.is_zero())
    }

    /// The network alone, and what the function adds to it.
    fn network(self) -> Vec<Goal> {
        let one = self.far(Kind::Function, 1, None);
        let usual = self.far(Kind::Function, self.usual, None);
        let small = self.far(Kind::Function, self.usual, Some(SMALLEST));
        let (least_first, least_warm) = (FIRST_ROUND_TRIPS, WARM_ROUND_TRIPS);
        let trip = self.round_trip.as_millis();
        vec![
            goal(
                "round trips of a first event",
                f64::from(least_first),
                each(usual, |sample| trips_of([&sample.first])),
            ),
            goal(
                "round trips of a warm event",
                f64::from(least_warm),
                each(usual, |sample| trips_of(&sample.warm)),
            ),
            goal(
                format!("first event ÷ {least_first} of its own round trips of {trip} ms"),
                1.10,
                each(usual, |sample| {
                    first(sample) / network(&sample.first, least_first)
                }),
            ),
            goal(
                format!("first event − {least_first} of its own round trips, {SMALLEST} MB, in ms"),
                130.0,
                each(small, |sample| {
                    first(sample) - network(&sample.first, least_first)
                }),
            ),
            goal(
                format!("warm event ÷ {least_warm} of its own round trips of {trip} ms"),
                1.06,
                each(usual, |sample| {
                    median(&sample.warm, |event| {
                        millis(event.took) / network(event, least_warm)
                    })
                }),
            ),
            goal(
                format!("warm event, {} Regions ÷ 1 Region", self.usual),
                1.03,
                ratio(usual, one, warm),
            ),
        ]
    }

    /// The function beside the floor and the peers.
    fn peers(self) -> Vec<Goal> {
        // At a whole processor, and at the share of the smallest function.
        let near = |what: &str, limit, kind, value| {
            let [ours, theirs] = [Kind::Function, kind].map(|kind| self.near(kind, self.usual));
            goal(what, limit, ratio(ours, theirs, value))
        };
        let small = |what: &str, limit, kind, value| {
            let samples = |kind| self.far(kind, self.usual, Some(SMALLEST));
            let [ours, theirs] = [Kind::Function, kind].map(samples);
            let what = format!("{what}, {SMALLEST} MB");
            goal(what, limit, ratio(ours, theirs, value))
        };
        let [boto3, node] = [Peer::Boto3, Peer::Node].map(Kind::Peer);
        let cpu = "CPU of start and first event ÷ that of";
        vec![
            near("start ÷ that of the runtime alone", 2.0, Kind::Floor, start),
            near("start ÷ that of boto3", 1.0 / 40.0, boto3, start),
            near("start ÷ that of Node.js", 1.0 / 20.0, node, start),
            small("first event ÷ that of boto3", 1.0 / 20.0, boto3, first),
            small("first event ÷ that of Node.js", 1.0 / 5.0, node, first),
            near(&format!("{cpu} boto3"), 1.0 / 30.0, boto3, cold_cpu),
            near(&format!("{cpu} Node.js"), 1.0 / 10.0, node, cold_cpu),
            near("peak memory ÷ that of boto3", 1.0 / 6.0, boto3, memory),
        ]
    }

    fn sizes(self, facts: Facts) -> Vec<Goal> {
        let ours = self.near(Kind::Function, self.usual);
        let zip = facts.sizes.map(|sizes| number(sizes.zip) / MEGABYTE);
        let build = facts.clean_build.as_ref().map(Duration::as_secs_f64);
        vec![
            goal("peak memory in MB", 12.0, each(ours, memory)),
            goal("deployment package in MB", 2.6, Figure::of(zip)),
            goal(
                "crates in the function, without macros",
                160.0,
                Figure::of(facts.crates.map(number)),
            ),
            goal("clean release build in s", 300.0, Figure::of(build)),
            goal(
                "AWS calls of an ignored event",
                0.0,
                each(ours, |sample| calls_of(sample.ignored)),
            ),
            goal(
                "AWS calls of a malformed event",
                0.0,
                each(ours, |sample| calls_of(sample.malformed)),
            ),
        ]
    }

    /// What twice as many Regions cost.
    fn regions(self) -> Vec<Goal> {
        let [once, twice] = [17, 34].map(|regions| self.near(Kind::Function, regions));
        let a_region = |cpu| ratio(twice, once, cpu).map(|figure| figure.times(0.5));
        vec![
            goal(
                "CPU of start and first event a Region, 34 Regions ÷ 17",
                1.2,
                a_region(cold_cpu),
            ),
            goal(
                "CPU of a warm event a Region, 34 Regions ÷ 17",
                1.2,
                a_region(warm_cpu),
            ),
        ]
    }
}

fn start(sample: &Sample) -> f64 {
    millis(sample.start)
}

fn first(sample: &Sample) -> f64 {
    millis(sample.first.took)
}

fn warm(sample: &Sample) -> f64 {
    sample.warm_percentile(50).unwrap_or(f64::NAN)
}

fn cold_cpu(sample: &Sample) -> f64 {
    millis(sample.cold_cpu)
}

fn warm_cpu(sample: &Sample) -> f64 {
    millis(sample.warm_cpu)
}

fn memory(sample: &Sample) -> f64 {
    sample.peak_memory
}

fn trips_of<'a>(events: impl IntoIterator<Item = &'a Event>) -> f64 {
    median(events, |event| {
        event
            .round_trips
            .map_or(f64::NAN, |chain| number(chain.length))
    })
}

/// So many round trips, each as long as those of the event really were.
fn network(event: &Event, count: u32) -> f64 {
    event.network(count).unwrap_or(f64::NAN)
}

fn median<'a>(events: impl IntoIterator<Item = &'a Event>, value: impl Fn(&Event) -> f64) -> f64 {
    let figure = Figure::of(events.into_iter().map(value));
    figure.map_or(f64::NAN, |figure| figure.median)
}

fn calls_of(event: Option<Event>) -> f64 {
    event.map_or(f64::NAN, |event| number(event.calls))
}

fn each(samples: Samples, value: impl Fn(&Sample) -> f64) -> Option<Figure> {
    Figure::of(samples?.iter().map(value))
}

/// The ratio of two values in each repetition.
fn ratio(ours: Samples, theirs: Samples, value: fn(&Sample) -> f64) -> Option<Figure> {
    let pairs = ours?.iter().zip(theirs?);
    Figure::of(pairs.map(|(ours, theirs)| value(ours) / value(theirs)))
}

#[cfg(test)]
mod tests {
    use local_aws::Chain;

    use super::*;
    use crate::bench::contender::Contender;
    use crate::bench::results::Cell;

    const TRIP: Duration = Duration::from_millis(50);

    fn event(took: u64, round_trips: Option<u32>) -> Event {
        Event {
            took: Duration::from_millis(took),
            calls: 0,
            round_trips: round_trips.map(|length| Chain {
                length: usize::try_from(length).unwrap(),
                took: TRIP * length,
            }),
        }
    }

    fn cell(kind: Kind, scenario: Scenario, starts: [u64; 3]) -> Cell {
        let far = !scenario.round_trip.is_zero();
        let sample = |start| Sample {
            start: Duration::from_millis(start),
            cold_cpu: Duration::from_millis(10),
            first: event(320, far.then_some(6)),
            warm: [3, 4, 4]
                .map(|trips| event(160, far.then_some(trips)))
                .to_vec(),
            warm_cpu: Duration::from_millis(2),
            local_aws_warm_cpu: Duration::from_millis(2),
            peak_memory: 9.0,
            ignored: Some(event(0, None)),
            malformed: None,
        };
        Cell {
            contender: Contender::binary("x", kind, "x".into()),
            scenario,
            samples: starts.map(sample).to_vec(),
        }
    }

    /// What was measured of a goal, and whether it is met.
    fn judged(goals: &[Goal], what: &str) -> (Option<f64>, Option<bool>) {
        let goal = goals.iter().find(|goal| goal.what == what).unwrap();
        (goal.figure.map(|figure| figure.median), goal.is_met())
    }

    #[test]
    fn a_goal_is_judged_by_its_median_and_not_at_all_where_nothing_was_measured() {
        let near = Scenario::plain(17, Duration::ZERO);
        let results = Results {
            cells: vec![
                cell(Kind::Function, near, [4, 9, 5]),
                cell(Kind::Floor, near, [2, 3, 2]),
                cell(Kind::Function, Scenario::plain(17, TRIP), [5, 5, 5]),
            ],
            usual_regions: 17,
            round_trips: vec![Duration::ZERO, TRIP],
        };
        let goals = goals(&results, Facts::default());
        let ratio = judged(&goals, "first event ÷ 6 of its own round trips of 50 ms");
        assert_eq!(ratio, (Some(320.0 / 300.0), Some(true)));
        // The ratio is taken within each repetition: 4 ÷ 2, 9 ÷ 3, 5 ÷ 2.
        assert_eq!(
            judged(&goals, "start ÷ that of the runtime alone"),
            (Some(2.5), Some(false))
        );
        assert_eq!(
            judged(&goals, "round trips of a first event"),
            (Some(6.0), Some(true))
        );
        assert_eq!(
            judged(&goals, "round trips of a warm event"),
            (Some(4.0), Some(false))
        );
        assert_eq!(judged(&goals, "peak memory in MB"), (Some(9.0), Some(true)));
        assert_eq!(
            judged(&goals, "AWS calls of an ignored event"),
            (Some(0.0), Some(true))
        );
        assert_eq!(judged(&goals, "start ÷ that of boto3"), (None, None));
        assert_eq!(judged(&goals, "clean release build in s"), (None, None));
    }
}
