//! `cargo local bench`: measures the function beside the runtime alone and what a user would pick instead.

pub(crate) mod arguments;
mod contender;
mod figure;
mod goal;
mod machine;
mod results;
mod sample;
mod scenario;
mod share;
mod trust;

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::arguments::Measuring;
use crate::bench::contender::{Contender, Kind, Peer};
use crate::bench::goal::{Facts, Goal};
use crate::bench::machine::Machine;
use crate::bench::results::{Cell, Results};
use crate::bench::sample::Place;
use crate::bench::scenario::Scenario;
use crate::bench::share::ControlGroups;
use crate::bench::trust::Trust;
use crate::function::Program;
use crate::layout;

/// A run of the benchmark, and everything there is to tell of it.
#[derive(Debug)]
pub(crate) struct Bench {
    notes: Vec<String>,
    machine: Machine,
    sizes: Vec<(String, contender::Sizes)>,
    results: Results,
    goals: Vec<Goal>,
}

impl Bench {
    /// Builds, measures, and says on the way how far it is.
    pub(crate) async fn run(arguments: Measuring, say: impl Fn(&str)) -> io::Result<Self> {
        let arguments = arguments.resolved();
        let mut notes = Vec::new();
        let facts = Facts {
            crates: machine::crates().await,
            clean_build: if arguments.clean_build {
                say("building the function from nothing, which takes minutes …");
                Some(clean_build().await?)
            } else {
                None
            },
            sizes: None,
        };
        let mut contenders = own(&arguments, &say).await?;
        for peer in [Peer::Boto3, Peer::Node] {
            match Contender::peer(peer) {
                _ if arguments.no_peers => {}
                Ok(contender) => contenders.push(contender),
                Err(missing) => notes.push(missing),
            }
        }
        let mut control_groups = None;
        if arguments.memory.iter().any(|memory| memory.0.is_some()) {
            match ControlGroups::find() {
                Ok(found) => {
                    notes.push(format!("The share of the CPU is that of {}.", found.describe()));
                    control_groups = Some(found);
                }
                Err(error) => notes.push(format!(
                    "No share of the CPU was possible on this machine, which takes root and control groups: {error}"
                )),
            }
        }
        let mut sizes = Vec::new();
        for contender in &contenders {
            let size = contender.sizes().await?;
            sizes.extend(size.map(|size| (contender.name.clone(), size)));
        }
        let trust = Trust::new()?;
        notes.push(format!(
            "Trusted are {} roots of this machine and the authority of the run.",
            trust.roots
        ));
        if arguments.quick {
            notes.push("A quick run of an unoptimized build: the figures say nothing.".to_owned());
        }
        let place = Place {
            trust,
            control_groups,
            warm: arguments.warm,
        };
        let results = measure(&arguments, &contenders, &place, &say).await?;
        let facts = Facts {
            sizes: sizes.first().map(|(_, sizes)| *sizes),
            ..facts
        };
        Ok(Self {
            notes,
            machine: Machine::this(),
            sizes,
            goals: goal::goals(&results, facts),
            results,
        })
    }

    pub(crate) fn text(&self) -> String {
        let mut lines = vec![
            format!("{}, {}", self.machine.date, self.machine.processor),
            "Milliseconds and MB, as median (least–most) of the repetitions, which took turns."
                .to_owned(),
        ];
        lines.extend(self.notes.iter().cloned());
        lines.push(String::new());
        let rows: Vec<_> = self.results.cells.iter().map(Cell::row).collect();
        lines.extend(layout::markdown(&Cell::HEAD, &rows));
        if let Some((ignored, malformed)) = self.results.cells.iter().find_map(Cell::in_vain) {
            lines.push(String::new());
            lines.push(format!(
                "An event that is ignored takes {ignored} ms, a malformed one {malformed} ms."
            ));
        }
        lines.push(String::new());
        let sizes = self.sizes.iter().map(|(name, sizes)| {
            vec![
                name.clone(),
                sizes.binary.to_string(),
                sizes.zip.to_string(),
            ]
        });
        let head = ["program", "binary, bytes", "deployment package, bytes"];
        lines.extend(layout::markdown(&head, &sizes.collect::<Vec<_>>()));
        lines.push(String::new());
        let goals: Vec<_> = self.goals.iter().map(Goal::row).collect();
        lines.extend(layout::markdown(&["goal", "limit", "measured", ""], &goals));
        lines.push(String::new());
        lines.join("\n")
    }

    pub(crate) fn json(&self) -> String {
        let sizes = |(name, sizes): &(String, contender::Sizes)| json!({ "program": name, "binary": sizes.binary, "deploymentPackage": sizes.zip });
        let document = json!({
            "date": self.machine.date,
            "machine": self.machine.processor,
            "notes": self.notes,
            "sizes": self.sizes.iter().map(sizes).collect::<Vec<_>>(),
            "measured": self.results.cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "goals": self.goals.iter().map(Goal::json).collect::<Vec<Value>>(),
        });
        format!("{document:#}\n")
    }
}

/// The function in its builds, and the floor.
async fn own(arguments: &Measuring, say: impl Fn(&str)) -> io::Result<Vec<Contender>> {
    let program = if arguments.quick {
        Program::Beside
    } else {
        Program::Release
    };
    let mut contenders = Vec::new();
    for path in &arguments.binaries {
        let name = path.display().to_string();
        let program = path.canonicalize()?;
        contenders.push(Contender::binary(&name, Kind::Function, program));
    }
    if contenders.is_empty() {
        program.build_with_floor(say).await?;
        let built = program.path()?;
        contenders.push(Contender::binary(
            "guardduty-enroller",
            Kind::Function,
            built,
        ));
        contenders.push(Contender::binary(
            "the runtime alone",
            Kind::Floor,
            program.floor()?,
        ));
    }
    Ok(contenders)
}

/// Everything once, then everything again: what changes on the machine meets all alike.
async fn measure(
    arguments: &Measuring,
    contenders: &[Contender],
    place: &Place,
    say: impl Fn(&str),
) -> io::Result<Results> {
    let with_shares = place.control_groups.is_some();
    let mut cells = Vec::new();
    for contender in contenders {
        for scenario in scenario::scenarios(arguments, contender.kind, with_shares) {
            cells.push(Cell {
                contender: contender.clone(),
                scenario,
                samples: Vec::new(),
            });
        }
    }
    // The same circumstances one after another.
    cells.sort_by_key(|cell| {
        let Scenario {
            regions,
            round_trip,
            memory,
            asks_for_regions,
        } = cell.scenario;
        (
            round_trip,
            memory.map(std::cmp::Reverse),
            regions,
            asks_for_regions,
        )
    });
    for repetition in 1..=arguments.repetitions {
        for cell in &mut cells {
            say(&format!(
                "repetition {repetition} of {}: {}, {}",
                arguments.repetitions, cell.contender.name, cell.scenario
            ));
            let sample = place.measure(&cell.contender, cell.scenario).await?;
            cell.samples.push(sample);
        }
    }
    Ok(Results {
        cells,
        usual_regions: scenario::usual_regions(arguments),
        round_trips: arguments
            .round_trip
            .iter()
            .copied()
            .map(Duration::from_millis)
            .collect(),
    })
}

/// How long the function takes to build in an empty folder.
async fn clean_build() -> io::Result<Duration> {
    let folder = std::env::temp_dir().join(format!("local-aws-build-{}", std::process::id()));
    let before = Instant::now();
    let built = Program::Release.build_in(&folder).await;
    let took = before.elapsed();
    let _ = std::fs::remove_dir_all(&folder);
    built.map(|()| took)
}
