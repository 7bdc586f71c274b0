//! A reconcile of up to 50,000 accounts in 34 Regions, in virtual time: what it calls, how long it takes, in how many
//! runs the gap is closed. `docs/performance.md` keeps the table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use decisions::region::COMMERCIAL as REGIONS;
use local_aws::{ADMIN_ACCOUNT, Rate, Setup};
use serde_json::{Value, json};

use crate::world::World;

/// Assumed: how long AWS takes for a call.
const LATENCY: Duration = Duration::from_millis(50);

/// As in the template: the function's timeout, and the time from one run's start to the next.
const TIMEOUT: Duration = Duration::from_mins(15);
const SCHEDULE: Duration = Duration::from_hours(6);

/// More runs than any size needs.
const MOST_RUNS: usize = 10;

/// The most calls of a run, as a share of the fewest that pages and batches allow.
const MOST_CALLS_PERCENT: usize = 105;

/// What AWS accepts per second, and at once after a pause. Published for Organizations; assumed for GuardDuty.
fn rates() -> BTreeMap<String, Rate> {
    let rate = |operation: &str, per_second, burst| {
        let rate = Rate { per_second, burst };
        (operation.to_owned(), rate)
    };
    BTreeMap::from([
        rate("ListAccounts", 8.0, 12.0),
        rate("CreateMembers", 1.0, 1.0),
        rate("DescribeOrganizationConfiguration", 10.0, 10.0),
        rate("GetMembers", 10.0, 10.0),
        rate("GetOrganizationStatistics", 10.0, 10.0),
        rate("ListDetectors", 10.0, 10.0),
        rate("ListMembers", 10.0, 10.0),
        rate("StartMonitoringMembers", 10.0, 10.0),
    ])
}

/// An organization and how much of it is missing.
#[derive(Clone, Copy)]
struct Scale {
    /// Accounts that should be members, in each Region; the administrator comes on top.
    accounts: usize,
    /// How many of a hundred are missing, in each Region others.
    percent_missing: usize,
}

/// One run, as AWS saw it.
struct Run {
    calls: BTreeMap<String, usize>,
    /// Calls that AWS throttled; they are among `calls`.
    throttled: usize,
    /// The fewest calls that page and batch sizes allow for what the run listed and tried.
    fewest: usize,
    took: Duration,
    /// Pairs that are not enabled at its end.
    gap: usize,
    /// Members that were enabled and that the run asked to create.
    touched: usize,
}

impl Run {
    fn total(&self) -> usize {
        self.calls.values().sum()
    }

    fn is_frugal(&self) -> bool {
        self.total() * 100 <= self.fewest * MOST_CALLS_PERCENT
    }
}

impl fmt::Display for Run {
    /// The run's columns of the table.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |operation: &str| self.calls.get(operation).copied().unwrap_or_default();
        let shown = ["ListAccounts", "ListMembers", "GetMembers", "CreateMembers"];
        for operation in shown {
            write!(formatter, " {} |", of(operation))?;
        }
        let others = self.total() - shown.into_iter().map(of).sum::<usize>();
        let thousandths = (self.total() * 1_000).div_ceil(self.fewest);
        write!(
            formatter,
            " {others} | {} | {} | {}.{:03} | {}.{:01} s | {} |",
            self.total(),
            self.throttled,
            thousandths / 1_000,
            thousandths % 1_000,
            self.took.as_secs(),
            self.took.subsec_millis() / 100,
            self.gap
        )
    }
}

fn id(number: usize) -> String {
    format!("{:012}", 300_000_000_000_usize + number)
}

fn email(number: usize) -> String {
    format!("account-{number}@example.com")
}

fn world_of(scale: Scale) -> World {
    let mut accounts = vec![(ADMIN_ACCOUNT.to_owned(), "security@example.com".to_owned())];
    accounts.extend((0..scale.accounts).map(|number| (id(number), email(number))));
    let setup = Setup {
        accounts,
        regions: REGIONS.map(str::to_owned).to_vec(),
        latency: LATENCY,
        ..Setup::instant()
    };
    let world = World::of_reconcile(&setup, &[]);
    // Without one, the answer is an error.
    world.has_the_policy("{}");
    world.limit_rates(rates());
    for (index, region) in REGIONS.iter().enumerate() {
        let is_enrolled = |number: &usize| (number + index) % 100 >= scale.percent_missing;
        let enrolled = (0..scale.accounts).filter(is_enrolled);
        world.region(region).set_enabled_members(enrolled.map(id));
    }
    world
}

/// Members, and how many of them are enabled, by Region.
fn members(world: &World) -> BTreeMap<String, (usize, usize)> {
    let count = |region: String| (region.clone(), world.region(&region).count_members());
    world.regions().into_iter().map(count).collect()
}

/// Runs the reconcile every six hours until nobody is missing.
async fn runs(scale: Scale) -> Vec<Run> {
    let world = world_of(scale);
    let mut runs = Vec::new();
    while runs.len() < MOST_RUNS {
        let run = run(&world, scale).await;
        let gap = run.gap;
        runs.push(run);
        if gap == 0 {
            break;
        }
    }
    runs
}

async fn run(world: &World, scale: Scale) -> Run {
    world.forget_calls();
    let before = members(world);
    let start = world.elapsed();
    let payload = json!({"reconcile": {}}).to_string();
    let report = world.invoke_raw(&payload, TIMEOUT).await.unwrap();
    let took = world.elapsed().saturating_sub(start);
    assert!(took < TIMEOUT, "Lambda kills the run: {took:?}");
    let after = members(world);
    let gap = after.values().map(|(_, enabled)| scale.accounts - enabled);
    let gap = gap.sum();
    // What was in flight at the deadline may have taken effect: the report never says less than is open, and at most
    // one call of 50 accounts in each Region more.
    let reported = usize::try_from(report["gap"].as_u64().unwrap()).unwrap();
    assert!(
        (gap..=gap + 50 * REGIONS.len()).contains(&reported),
        "{reported} reported, {gap} open"
    );
    let fewest = fewest(world, &report, scale, &before, &after);
    tokio::time::sleep(SCHEDULE.saturating_sub(took)).await;
    Run {
        calls: world.calls_by_operation(),
        throttled: world.failed_calls(),
        fewest,
        took,
        gap,
        touched: world.touched_members(),
    }
}

/// The fewest calls for what the run did: each page once, and for each 50 accounts that it tried a look before, the
/// write, and a look after.
fn fewest(
    world: &World,
    report: &Value,
    scale: Scale,
    before: &BTreeMap<String, (usize, usize)>,
    after: &BTreeMap<String, (usize, usize)>,
) -> usize {
    let mut fewest = 2 + (scale.accounts + 1).div_ceil(20);
    for region in REGIONS {
        let part = &report["regions"][region];
        let (listed, enabled) = before[region];
        let cut_off = !part["blocked"].is_null();
        let pages = if cut_off && part["enabled"] != enabled {
            // It did not come to the last page.
            let pages = world.calls("ListMembers").into_iter();
            pages.filter(|call| call.region == region && call.error.is_none()).count()
        } else {
            listed.div_ceil(50).max(1)
        };
        let batches = if cut_off {
            // And the batch that it was at.
            (after[region].1 - enabled).div_ceil(50) + 1
        } else {
            (scale.accounts - enabled).div_ceil(50)
        };
        fewest += 3 + pages + 3 * batches;
    }
    fewest
}

async fn check_one_run_closes_the_gap(accounts: usize) {
    for percent_missing in [0, 1, 100] {
        let scale = Scale { accounts, percent_missing };
        let runs = runs(scale).await;
        let [run] = runs.as_slice() else { panic!("{} runs", runs.len()) };
        assert!(run.is_frugal(), "{run}");
        assert_eq!((run.gap, run.touched, run.throttled), (0, 0, 0), "{run}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_run_closes_the_gap_of_100_accounts_in_34_regions_with_the_fewest_calls() {
    check_one_run_closes_the_gap(100).await;
}

#[tokio::test(start_paused = true)]
async fn one_run_closes_the_gap_of_1_000_accounts_in_34_regions_with_the_fewest_calls() {
    check_one_run_closes_the_gap(1_000).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; prints the table of docs/performance.md"]
async fn the_table_of_docs_performance() {
    println!(
        "| accounts | missing | run | ListAccounts | ListMembers | GetMembers | CreateMembers | other calls | calls | \
         throttled | of the fewest | simulated | gap after |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut wrong = Vec::new();
    for accounts in [100, 1_000, 10_000, 50_000] {
        for percent_missing in [0, 1, 100] {
            let scale = Scale { accounts, percent_missing };
            let runs = runs(scale).await;
            for (number, run) in runs.iter().enumerate() {
                let number = number + 1;
                let row = format!(
                    "| {accounts} | {percent_missing} % | {number} of {} |{run}",
                    runs.len()
                );
                println!("{row}");
                if !run.is_frugal() || run.touched > 0 {
                    wrong.push(row);
                }
            }
            assert_eq!(runs.last().map(|run| run.gap), Some(0));
        }
    }
    assert!(
        wrong.is_empty(),
        "more calls than {MOST_CALLS_PERCENT} % of the fewest, or an enabled member touched:\n{}",
        wrong.join("\n")
    );
}
