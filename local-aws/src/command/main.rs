//! The command `cargo local`: runs the real function against the local cloud and shows what it did.

mod arguments;
mod layout;
mod page;
mod population;
mod progress;
mod reconciliation;
mod report;
mod saved_report;
mod session;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use local_aws::Cloud;
use local_aws::function::{NAME, Profile};
use local_aws::loopback::Loopback;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Command, Reconciling, Reporting, Rows, Serving, Shown};
use crate::population::Population;
use crate::reconciliation::Reconciliation;
use crate::report::Report;
use crate::saved_report::{Judgement, SavedReport};
use crate::session::Session;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // 2 says that a report has a gap, so wrong usage is not 2 as with `parse`.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    // Ending in order, whatever the reason, is what kills the function.
    let ended = tokio::select! {
        ended = run(arguments) => ended,
        () = interrupted() => return ExitCode::from(130),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<ExitCode> {
    match arguments.command {
        Some(Command::Serve(serving)) => serve(&serving).await,
        Some(Command::Reconcile(reconciling)) => reconcile(&reconciling).await,
        Some(Command::Report(reporting)) => show_saved(&reporting),
        None => invoke(arguments).await,
    }
}

/// Delivers the event, and whatever comes of it if asked to.
async fn invoke(arguments: Arguments) -> io::Result<ExitCode> {
    let event = event(&arguments)?;
    Profile::Same.build(NAME).await?;
    let cloud = Cloud::new(&arguments.cloud.setup());
    cloud.lock().faults.clone_from(&arguments.cloud.faults);
    let timeout = arguments.function.timeout;
    let variables = arguments.function.variables.clone();
    let mut session = Session::start(cloud, Profile::Same, timeout, variables).await?;
    session.deliver(event).await?;
    if arguments.drive || arguments.redrive {
        session.drive().await?;
    }
    if arguments.redrive {
        session.redrive().await?;
    }
    let Shown { show_logs, json } = arguments.shown;
    let report = Report::new(&session, show_logs);
    Ok(ended(&report, json.then(|| report.json()), !session.has_failed()))
}

/// Reconciles an organization that is made for it.
async fn reconcile(reconciling: &Reconciling) -> io::Result<ExitCode> {
    let profile = if reconciling.release { Profile::Release } else { Profile::Same };
    profile.build(NAME).await?;
    let population = Population::new(reconciling.accounts, reconciling.missing);
    let cloud = population.cloud(reconciling.cloud.setup());
    cloud.lock().faults.clone_from(&reconciling.cloud.faults);
    let timeout = reconciling.function.timeout;
    let environment = reconciling.environment();
    let mut session = Session::start(cloud.clone(), profile, timeout, environment).await?;
    tokio::select! {
        delivered = session.deliver(reconciling.event()) => delivered?,
        never = progress::show(&cloud, population.expected()) => match never {},
    }
    let finished = session.invocations.last().ok_or(io::ErrorKind::NotFound)?;
    let Shown { show_logs, json } = reconciling.shown;
    let reconciliation = Reconciliation::new(&session, finished, show_logs);
    Ok(ended(&reconciliation, json.then(|| json!(reconciliation)), reconciliation.is_good()))
}

/// Shows a report, as JSON where that is asked for, and ends well or not.
fn ended(report: &impl Display, json: Option<Value>, is_good: bool) -> ExitCode {
    show(&json.map_or_else(|| report.to_string(), |json| format!("{json:#}\n")));
    ExitCode::from(u8::from(!is_good))
}

fn event(arguments: &Arguments) -> io::Result<Value> {
    let Some(path) = &arguments.event else {
        return Ok(json!({ "accounts": arguments.accounts }));
    };
    let event =
        |text: &str| serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"));
    read(path, event)
}

/// What a file says; an error names the file.
fn read<T>(path: &Path, meaning: impl Fn(&str) -> Result<T, String>) -> io::Result<T> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => std::fs::read_to_string(path),
    };
    let read = text.map_err(|error| error.to_string()).and_then(|text| meaning(&text));
    read.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// Shows a report that somebody saved, and judges it for a pipeline.
fn show_saved(reporting: &Reporting) -> io::Result<ExitCode> {
    let report = read(&reporting.file, SavedReport::read)?;
    show(&match reporting.csv {
        _ if reporting.html => page::page(&report),
        Some(Rows::Regions) => report.regions_as_csv()?,
        Some(Rows::Accounts) => report.accounts_as_csv()?,
        None => report.to_string(),
    });
    Ok(ExitCode::from(match report.judgement() {
        Judgement::Covered => 0,
        Judgement::Incomplete => 1,
        Judgement::Gap => 2,
    }))
}

/// Keeps the endpoints up and shows the calls as they come in.
async fn serve(serving: &Serving) -> io::Result<ExitCode> {
    let cloud = Cloud::new(&serving.cloud.setup());
    cloud.lock().faults.clone_from(&serving.cloud.faults);
    let loopback = Loopback::start(&cloud, serving.port).await?;
    let exports = local_aws::function::variables(loopback.address())
        .map(|(name, value)| format!("export {name}={value}"))
        .join("\n");
    show(&format!(
        "The local cloud is up; Ctrl-C ends it. To use it, set:\n\n{exports}\n
then for example `cargo lambda watch`, or `aws guardduty list-detectors`.\n\n"
    ));
    let mut shown = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let calls: Vec<_> = cloud.lock().calls.iter().skip(shown).cloned().collect();
        shown += calls.len();
        show(&report::calls(&calls));
    }
}

async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// For the person who waits. A closed pipe is not a failure, unlike with `eprintln!`.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn show(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
