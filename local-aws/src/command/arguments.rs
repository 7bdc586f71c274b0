//! The command line.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand, ValueEnum};
use decisions::region::COMMERCIAL;
use local_aws::{Epoch, Fault, Setup};
use serde_json::{Value, json};

use crate::population::percents;

const ABOUT: &str = "\
Runs the function on this machine: sends it an event and shows what it did.

The function is the real program. AWS is a simulation inside this command: GuardDuty, Organizations,
Account Management, SQS and the Lambda Runtime API on 127.0.0.1. No AWS account is involved.";

const EXPLANATION: &str = "\
Faults
  --fault OPERATION[@REGION[/ACCOUNT]]:KIND[:first=N][:from=N]

  KIND is one of
    error=STATUS[/CODE[/MESSAGE]]  an error answer; without CODE as from a proxy
    unprocessed=TEXT               the accounts come back in unprocessedAccounts (for
                                   SendMessageBatch: the entries in Failed)
    delay=MILLIS                   the normal answer, later
    date=TEXT                      the normal answer, with this Date
    drop, drop-after               the connection drops before or after the effect
    garbage, empty, empty-chunked  the effect takes place, the body is unreadable or missing (and of
                                   an unknown length)
    bare                           the effect takes place, the body is {}
    no-unprocessed                 the effect takes place, unprocessedAccounts is left out
  An error can say where it has its code and its text, for answers that a service writes otherwise:
    :code-in=header|__type|code|nowhere   in x-amzn-errortype, in a member of the body, or nowhere
    :text-in=message|Message|html         in a member of the body, or in a page of HTML
  first=N strikes N calls only, from=N strikes from the N-th call on. @/ACCOUNT is an account in
  every Region.

Examples
  cargo local events/create-account-result.json
  cargo local EVENT.json --fault 'CreateMembers:unprocessed=Internal error:first=2' --drive
  cargo local EVENT.json --fault 'CreateMembers@eu-west-1:error=403/AccessDeniedException/not authorized'
  cargo local EVENT.json --fault 'CreateMembers@eu-west-1/444455556666:unprocessed=Some new text'
  cargo local EVENT.json --fault 'DescribeAccount:error=400/TooManyRequestsException' --fault ListDetectors:delay=2500
  cargo local EVENT.json --fault 'GetMembers:error=400/Throttling/Rate exceeded:code-in=nowhere:text-in=Message'
  cargo local EVENT.json --fault GetMembers:drop:from=2 --show-logs
  cargo local EVENT.json --enables-after 90 --member-status Invited --drive
  cargo local EVENT.json --env REGIONS=eu-west-1 --env EXCLUDED_ACCOUNTS=555566667777
  cargo local --accounts 444455556666,555566667777
  cargo local reconcile --accounts 1000 --missing 3%
  cargo local serve --port 4566

The exit code is 0 when the (last) invocation was answered without an error, 1 otherwise.";

const RECONCILE_EXPLANATION: &str = "\
The organization is made for the run. Which accounts are not members is the same in every run, and differs a little from
Region to Region. Faults are written as `cargo local --help` says.

Examples
  cargo local reconcile --accounts 1000 --missing 3%
  cargo local reconcile --dry-run --fault 'ListDetectors@eu-west-1:error=403/AccessDeniedException/not authorized'
  cargo local reconcile --accounts 5000 --missing 100% --regions 17 --unpaced --release --json

The exit code is 0 when the report is complete and has no gap (in a dry run: when it is complete), 1 otherwise.";

const REPORT_EXPLANATION: &str = "\
A report is the reply of {\"reconcile\": {}}: the file that `aws lambda invoke` wrote, or what
`cargo local reconcile --json` shows.

Examples
  cargo local report report.json
  cargo local report report.json --html > coverage.html
  cargo local report report.json --csv accounts > open.csv

The exit code is 0 when everything was compared and nothing is missing, 2 when something is missing, 1 for everything
else: the comparison is incomplete, the file is not a report, or the usage is wrong.";

/// The fastest pace that the function takes.
const FASTEST: &str = "10000";

/// The most accounts of a simulated organization: as many members as GuardDuty lets an administrator have.
const MOST_ACCOUNTS: i64 = 50_000;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local", long_about = ABOUT, after_help = EXPLANATION)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    /// Keep the endpoints up instead
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// A file with the event; one with `Records` is delivered as a batch of SQS, as it is
    #[arg(required_unless_present = "accounts", value_name = "EVENT.json")]
    pub(crate) event: Option<PathBuf>,
    /// Instead of a file: enroll these accounts, as a person does by hand
    #[arg(long, value_name = "ID,…", value_delimiter = ',', conflicts_with = "event")]
    pub(crate) accounts: Vec<String>,
    #[command(flatten)]
    pub(crate) cloud: CloudArguments,
    #[command(flatten)]
    pub(crate) function: FunctionArguments,
    /// Run retries until all is quiet, jumping the clock over the waiting times
    #[arg(long)]
    pub(crate) drive: bool,
    /// After --drive: clear all faults, move the dead letters to the retry queue, and drive on
    #[arg(long)]
    pub(crate) redrive: bool,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep the endpoints up until Ctrl-C, for `cargo lambda watch` or the AWS CLI
    Serve(Serving),
    /// Compare a whole organization with GuardDuty in every Region, and close the gap
    Reconcile(Reconciling),
    /// Show a saved report of a reconcile as a table, CSV or a page, and judge it
    Report(Reporting),
}

#[derive(Debug, Args)]
#[command(after_help = REPORT_EXPLANATION)]
pub(crate) struct Reporting {
    /// The file; - is the standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// As CSV: a row for each Region, or for each account that is not protected
    #[arg(long, value_name = "regions|accounts", conflicts_with = "html")]
    pub(crate) csv: Option<Rows>,
    /// As one self-contained HTML page
    #[arg(long)]
    pub(crate) html: bool,
}

/// What the rows of a CSV are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    Regions,
    Accounts,
}

#[derive(Debug, Args)]
#[command(after_help = RECONCILE_EXPLANATION)]
#[command(mut_arg("latency", |latency| latency.default_value("0")))]
#[command(mut_arg("timeout", |timeout| timeout.default_value("900")))]
pub(crate) struct Reconciling {
    /// How many accounts the organization has, without the management account and the administrator
    #[arg(long, value_name = "N", default_value = "1000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MOST_ACCOUNTS))]
    pub(crate) accounts: u32,
    /// How many of them are not members of GuardDuty, in each Region
    #[arg(long, value_name = "P%", default_value = "3%", value_parser = percents)]
    pub(crate) missing: f64,
    #[command(flatten)]
    pub(crate) cloud: CloudArguments,
    /// Change nothing: only report
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) function: FunctionArguments,
    /// Let the function call as fast as it can: sets `LIST_ACCOUNTS_PER_SECOND`, `LIST_MEMBERS_PER_SECOND` and
    /// `CREATE_MEMBERS_PER_SECOND` to the most that it takes
    #[arg(long)]
    pub(crate) unpaced: bool,
    /// Run the function's release build, as it is deployed; the first build takes minutes
    #[arg(long)]
    pub(crate) release: bool,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

impl Reconciling {
    pub(crate) fn event(&self) -> Value {
        json!({ "reconcile": { "dryRun": self.dry_run } })
    }

    /// What is added to the function's environment; a variable that is given by name goes last and so before --unpaced.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let paced = ["LIST_ACCOUNTS", "LIST_MEMBERS", "CREATE_MEMBERS"];
        let fast = paced.map(|name| (format!("{name}_PER_SECOND"), FASTEST.to_owned()));
        let unpaced = fast.into_iter().filter(|_| self.unpaced);
        unpaced.chain(self.function.variables.iter().cloned()).collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// The port on 127.0.0.1; 0 is any free one
    #[arg(long, default_value = "0")]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) cloud: CloudArguments,
}

/// What the cloud is like.
#[derive(Debug, Args)]
pub(crate) struct CloudArguments {
    /// How many Regions there are (1 to 34), or which
    #[arg(long, value_name = "N|LIST", default_value = "4", value_parser = regions)]
    regions: Regions,
    /// Something that goes wrong (see below); can be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<Fault>,
    /// How long every call takes, in milliseconds
    #[arg(long, value_name = "MILLIS", default_value = "20")]
    latency: u64,
    /// How long a new member is `Created` before it is `Enabled`, 2 seconds if it is not given; 0 is a GuardDuty that takes
    /// no time for anything; with --auto-enable, how long after its account joined
    /// GuardDuty adds it
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    enables_after: Option<Duration>,
    /// What a new member is instead of `Created`, such as `Invited`; without --enables-after it stays so
    #[arg(long, value_name = "WORD")]
    member_status: Option<String>,
    /// Which accounts GuardDuty makes members by itself: that of the sample events, which joins at the start, or all
    #[arg(long, value_name = "new|all", value_parser = ["new", "all"])]
    auto_enable: Option<String>,
    /// The Organizations policy for GuardDuty that is in force, which a reconcile reports
    #[arg(long, value_name = "JSON")]
    policy: Option<String>,
}

/// How the function is run.
#[derive(Debug, Args)]
pub(crate) struct FunctionArguments {
    /// A variable of the function's environment, such as `EXCLUDED_ACCOUNTS`, `RESUME_SUSPENDED_MEMBERS` or `REGIONS`
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,
    /// The function's timeout in seconds; the default is that of the template
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// What is shown of a run.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Shown {
    /// Show the function's log lines
    #[arg(long)]
    pub(crate) show_logs: bool,
    /// Everything as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

impl CloudArguments {
    pub(crate) fn setup(&self) -> Setup {
        let mut guardduty = Setup::default().guardduty;
        if let Some(after) = self.enables_after {
            guardduty.enables_after = after;
            guardduty.auto_enable_after = after;
            if after.is_zero() {
                guardduty = guardduty.instant();
            }
        }
        if let Some(which) = &self.auto_enable {
            guardduty.auto_enable = which.to_uppercase();
        }
        if let Some(status) = &self.member_status {
            guardduty.first_status.clone_from(status);
            if self.enables_after.is_none() {
                guardduty.final_status = status.clone().into();
            }
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Setup {
            regions: self.regions.clone(),
            guardduty,
            policy: self.policy.clone(),
            latency: Duration::from_millis(self.latency),
            epoch: Epoch(since_1970),
            ..Setup::default()
        }
    }
}

type Regions = Vec<String>;

/// A number of Regions from the first on, or some by name.
fn regions(text: &str) -> Result<Regions, String> {
    let names: Vec<_> = match text.parse() {
        Ok(count) => COMMERCIAL.get(..count).unwrap_or_default().to_vec(),
        Err(_) => text.split(',').map(str::trim).collect(),
    };
    match names.iter().find(|name| !COMMERCIAL.contains(name)) {
        None if !names.is_empty() => Ok(names.into_iter().map(str::to_owned).collect()),
        _ => Err(format!(
            "write a number from 1 to {}, or some of {}",
            COMMERCIAL.len(),
            COMMERCIAL.join(", ")
        )),
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(arguments: &[&str]) -> Result<Arguments, String> {
        Arguments::try_parse_from([&["local"], arguments].concat())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_default_regions_are_those_of_the_cloud() {
        let regions = parsed(&["event.json"]).map(|arguments| arguments.cloud.setup().regions);
        assert_eq!(regions, Ok(Setup::default().regions));
    }

    #[test]
    fn regions_are_a_number_or_a_list_of_known_names() {
        assert_eq!(regions("34").map(|all| all.len()), Ok(34));
        let two = ["eu-west-1", "af-south-1"].map(str::to_owned).to_vec();
        assert_eq!(regions("eu-west-1, af-south-1"), Ok(two));
        for wrong in ["0", "35", "eu-nowhere-9", ""] {
            assert!(regions(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_is_needed_except_to_serve() {
        assert!(parsed(&[]).is_err());
        assert!(
            parsed(&["--accounts", "444455556666,555566667777"])
                .is_ok_and(|arguments| arguments.accounts.len() == 2)
        );
        assert!(parsed(&["serve", "--port", "4566", "--fault", "ListDetectors:drop"]).is_ok());
    }

    fn reconciling(arguments: &[&str]) -> Result<Reconciling, String> {
        match parsed(&[&["reconcile"], arguments].concat())?.command {
            Some(Command::Reconcile(reconciling)) => Ok(reconciling),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_reconcile_needs_no_argument_and_loses_no_time() {
        let plain = reconciling(&[]).unwrap();
        assert_eq!(plain.accounts, 1000);
        assert_eq!(plain.function.timeout, Duration::from_mins(15));
        assert_eq!(plain.cloud.setup().latency, Duration::ZERO);
        assert_eq!(plain.event(), json!({ "reconcile": { "dryRun": false } }));
        assert!(plain.environment().is_empty());
        let event = parsed(&["event.json"]).unwrap();
        assert_eq!(event.cloud.setup().latency, Duration::from_millis(20));
        assert_eq!(event.function.timeout, Duration::from_mins(1));
    }

    #[test]
    fn a_variable_given_by_name_goes_before_unpaced() {
        let arguments = ["--unpaced", "--env", "LIST_ACCOUNTS_PER_SECOND=7"];
        let environment = reconciling(&arguments).unwrap().environment();
        let last = environment.last().unwrap();
        assert_eq!(environment.len(), 4);
        assert_eq!((last.0.as_str(), last.1.as_str()), ("LIST_ACCOUNTS_PER_SECOND", "7"));
    }

    #[test]
    fn the_size_of_an_organization_has_limits() {
        assert!(reconciling(&["--accounts", "50000"]).is_ok());
        assert!(reconciling(&["--accounts", "0"]).is_err());
        assert!(reconciling(&["--accounts", "50001"]).is_err());
        assert!(reconciling(&["--missing", "101%"]).is_err());
    }

    #[test]
    fn new_members_take_their_time_and_have_a_status_as_the_command_line_says() {
        for (options, after, first, last, auto_enable) in [
            (&[][..], 2, "Created", "Enabled", "NONE"),
            (&["--enables-after", "90"], 90, "Created", "Enabled", "NONE"),
            (&["--member-status", "Invited"], 2, "Invited", "Invited", "NONE"),
            (
                &["--member-status", "Invited", "--enables-after", "90"],
                90,
                "Invited",
                "Enabled",
                "NONE",
            ),
            (&["--auto-enable", "new", "--enables-after", "5"], 5, "Created", "Enabled", "NEW"),
            (&["--auto-enable", "all"], 2, "Created", "Enabled", "ALL"),
        ] {
            let guardduty =
                parsed(&[&["event.json"], options].concat()).unwrap().cloud.setup().guardduty;
            let after = Duration::from_secs(after);
            assert_eq!([guardduty.enables_after, guardduty.auto_enable_after], [after; 2]);
            assert_eq!(guardduty.first_status, first);
            assert_eq!(guardduty.final_status, last);
            assert_eq!(guardduty.auto_enable, auto_enable);
        }
        assert!(parsed(&["event.json", "--auto-enable", "some"]).is_err());
    }

    #[test]
    fn a_report_is_shown_in_one_form() {
        let reporting = |options: &[&str]| parsed(&[&["report", "file.json"], options].concat());
        assert!(reporting(&["--csv", "regions"]).is_ok());
        for wrong in [&["--csv", "regions", "--html"][..], &["--csv", "columns"]] {
            assert!(reporting(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_fault_is_explained() {
        let message =
            parsed(&["event.json", "--fault", "CreateMember:drop"]).err().unwrap_or_default();
        assert!(message.contains("known are ListDetectors"), "{message}");
    }
}
