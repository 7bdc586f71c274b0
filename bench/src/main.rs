//! Measures the function, the Lambda runtime alone, and what a user would pick instead.

mod arguments;
mod contender;
mod proxy;
mod report;
mod sample;
mod scenario;
mod share;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::contender::Contender;
use crate::report::Cell;
use crate::sample::{Sample, Trust};
use crate::share::{GROUPS, Share};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Ending in order, whatever the reason, is what kills the measured process.
    let ended = tokio::select! {
        ended = measure(Arguments::parse()) => ended,
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    match ended {
        Ok(text) => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// For the person who waits. A closed pipe is not a failure, unlike with `eprintln!`.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

async fn measure(mut arguments: Arguments) -> io::Result<String> {
    if let Some(memory) = arguments.memory.iter().flatten().next()
        && let Err(error) = Share::new(GROUPS, *memory)
    {
        say(&format!("no share of the CPU, which takes root and control groups: {error}"));
        arguments.memory.clear();
    }
    let trust = Trust::new()?;
    let contenders = Contender::all(&arguments).await?;
    let mut cells = Vec::new();
    for contender in &contenders {
        let scenarios = scenario::scenarios(&arguments, contender.kind).into_iter();
        cells.extend(scenarios.map(|scenario| Cell { contender, scenario, samples: Vec::new() }));
    }
    // The same circumstances one after another.
    cells.sort_by_key(|Cell { scenario, .. }| {
        let memory = scenario.memory.map(std::cmp::Reverse);
        (scenario.round_trip, memory, scenario.regions, scenario.asks_for_regions)
    });
    // Everything once, then everything again: what changes on the machine meets all alike.
    for repetition in 1..=arguments.repetitions {
        for cell in &mut cells {
            let [regions, round_trip, cpu] = cell.scenario.cells();
            let what = format!(
                "{}, Regions: {regions}, round trip: {round_trip}, CPU of: {cpu}",
                cell.contender.name
            );
            say(&format!("repetition {repetition} of {}: {what}", arguments.repetitions));
            let sample = Sample::take(cell.contender, cell.scenario, &trust, arguments.warm).await;
            cell.samples
                .push(sample.map_err(|error| io::Error::other(format!("{what}: {error}")))?);
        }
    }
    Ok(if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&cells)?)
    } else {
        report::tables(&cells)
    })
}
