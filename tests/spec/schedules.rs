//! Nothing is lost in schedules that nobody thought of: random organizations, events, duplicates, faults and deaths.
//!
//! The default run always plays the same schedules; the soak plays new ones. A failing schedule shrinks and is kept in
//! `tests/spec/schedules.regressions`, which every later run plays first.

use std::time::{Duration, Instant};

use crate::ledger::Lines;
use crate::world::{OPERATIONS, World, faults_of_any_call, operator, unprocessed};
use local_aws::{ADMIN_ACCOUNT, Fault, MANAGEMENT_ACCOUNT, Setup};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

const IDS: [&str; 5] =
    ["100000000001", "100000000002", "100000000003", "100000000004", "100000000005"];
const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];

/// More messages than this are drained in large batches once the faults are over.
const MANY: usize = 100;

#[derive(Debug, Clone)]
struct Schedule {
    regions: usize,
    enables_after: u64,
    /// What a new member is before it is `Enabled`.
    first_status: &'static str,
    /// After how many seconds auto-enable makes each account a member, if it is on.
    auto_enables_after: Option<u64>,
    resume: bool,
    excluded: bool,
    accounts: Vec<Plan>,
    events: Vec<Arrival>,
    faults: Vec<Fault>,
    deaths: Vec<usize>,
    delivery: Delivery,
}

/// What SQS and Lambda leave open.
#[derive(Debug, Clone)]
struct Delivery {
    /// In which order SQS hands out messages: any.
    order: u64,
    /// The most messages of an invocation.
    batch_size: usize,
    /// Whether two invocations run at the same time.
    side_by_side: bool,
}

/// An account at its start. It becomes ACTIVE, known and with a good address once the faults end.
#[derive(Debug, Clone)]
struct Plan {
    state: &'static str,
    known: bool,
    email: Option<&'static str>,
    members: Vec<Option<&'static str>>,
}

#[derive(Debug, Clone)]
struct Arrival {
    at: u64,
    accounts: Vec<usize>,
    from_event_bridge: bool,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let organization =
        (1..=REGIONS.len(), select(vec![0, 3, 45, 600]), any::<bool>(), any::<bool>());
    let first_status = select(vec!["Created", "Invited", "EmailVerificationInProgress"]);
    let auto_enable = prop::option::weighted(0.3, select(vec![1, 20, 600]));
    let accounts = prop::collection::vec(plan(), 1..=IDS.len());
    let events = prop::collection::vec(arrival(), 1..6);
    let faults = prop::collection::vec(fault(), 0..5);
    let deaths = prop::collection::vec(0..40_usize, 0..4);
    let delivery = (any::<u64>(), select(vec![1_000, 5, 2, 1]), any::<bool>())
        .prop_map(|(order, batch_size, side_by_side)| Delivery { order, batch_size, side_by_side });
    let member = (first_status, auto_enable);
    (organization, member, accounts, events, faults, deaths, delivery).prop_map(
        |(
            (regions, enables_after, resume, excluded),
            (first_status, auto_enables_after),
            accounts,
            events,
            faults,
            deaths,
            delivery,
        )| Schedule {
            regions,
            enables_after,
            first_status,
            auto_enables_after,
            resume,
            excluded,
            accounts,
            events,
            faults,
            deaths,
            delivery,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let states = vec!["ACTIVE", "ACTIVE", "ACTIVE", "PENDING_ACTIVATION", "SUSPENDED", "CLOSED"];
    let emails = vec![
        Some("good@example.com"),
        Some("also.good@example.com"),
        Some("o'brien@example.com"),
        None,
    ];
    let statuses =
        vec![None, None, Some("Enabled"), Some("Disabled"), Some("Removed"), Some("Created")];
    let members = prop::collection::vec(select(statuses), REGIONS.len());
    (select(states), prop::bool::weighted(0.8), select(emails), members)
        .prop_map(|(state, known, email, members)| Plan { state, known, email, members })
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let accounts = subsequence((0..IDS.len()).collect::<Vec<_>>(), 1..=IDS.len());
    (0..900_u64, accounts, any::<bool>()).prop_map(|(at, accounts, from_event_bridge)| Arrival {
        at,
        accounts,
        from_event_bridge,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let mut kinds = faults_of_any_call(Duration::from_secs(3));
    kinds.push(unprocessed("must first enable GuardDuty"));
    let times = prop::option::weighted(0.7, 1..8_usize);
    let region = prop::option::of(select(REGIONS.to_vec()));
    // A fault of one account spoils each call that it is in.
    let account = prop::option::weighted(0.3, select(IDS.to_vec()));
    (select(OPERATIONS.to_vec()), select(kinds), region, account, 1..4_usize, times).prop_map(
        |(operation, kind, region, account, from, times)| {
            let mut fault = Fault::always(operation, kind).from(from);
            fault.region = region.map(str::to_owned);
            fault.account = account.map(str::to_owned);
            fault.times = times;
            fault
        },
    )
}

impl Arrival {
    fn payload(&self) -> Value {
        let ids: Vec<&str> = self.accounts.iter().map(|index| IDS[*index]).collect();
        if self.from_event_bridge {
            return json!({"version": "0", "id": format!("e-{}", self.at), "detail": {
                "eventSource": "organizations.amazonaws.com",
                "eventName": "CreateAccountResult",
                "serviceEventDetails": {
                    "createAccountStatus": {"state": "SUCCEEDED", "accountId": ids[0]},
                },
            }});
        }
        operator(&ids)
    }

    /// The accounts that the event names.
    fn named(&self) -> impl Iterator<Item = usize> {
        let count = if self.from_event_bridge { 1 } else { self.accounts.len() };
        self.accounts.iter().take(count).copied()
    }
}

impl Schedule {
    fn world(&self) -> World {
        let mut accounts = vec![
            (ADMIN_ACCOUNT.to_owned(), "security@example.com".to_owned()),
            (MANAGEMENT_ACCOUNT.to_owned(), "management@example.com".to_owned()),
        ];
        accounts.extend(
            self.accounts
                .iter()
                .zip(IDS)
                .filter(|(plan, _)| plan.known)
                .map(|(_, id)| (id.to_owned(), "good@example.com".to_owned())),
        );
        let regions = REGIONS[..self.regions].iter();
        let setup = Setup {
            regions: regions.map(ToString::to_string).collect(),
            accounts,
            latency: Duration::from_millis(30),
            ..Setup::default()
        };
        let resume = self.resume.to_string();
        let excluded = if self.excluded { IDS[0] } else { "" };
        let mut world = World::of(
            &setup,
            &[("RESUME_SUSPENDED_MEMBERS", &resume), ("EXCLUDED_ACCOUNTS", excluded)],
        );
        for region in &setup.regions {
            let delay = Duration::from_secs(self.enables_after);
            world.region(region).enables_after(delay);
            world.region(region).new_members_are(self.first_status);
            if let Some(seconds) = self.auto_enables_after {
                world.region(region).auto_enables_all_after(Duration::from_secs(seconds));
            }
        }
        for (plan, id) in self.accounts.iter().zip(IDS) {
            if plan.known {
                world.change(id, |account| {
                    account.set_state(plan.state);
                    account.email = plan.email.map(str::to_owned);
                });
            }
            for (status, region) in plan.members.iter().zip(&setup.regions) {
                if let Some(status) = status {
                    world.region(region).set_member(id, status);
                }
            }
        }
        for fault in &self.faults {
            world.fault(fault.clone());
        }
        world.set_batch_size(self.delivery.batch_size);
        if self.delivery.side_by_side {
            world.scale_out();
        }
        world
    }

    /// Whether an account may be left as it is, for good.
    fn skipped(&self, index: usize) -> bool {
        let gone = |plan: &Plan| plan.known && matches!(plan.state, "SUSPENDED" | "CLOSED");
        (self.excluded && index == 0) || self.accounts.get(index).is_some_and(gone)
    }

    fn check(&self, world: &World, submitted: &[&Arrival]) {
        world.expect_no_late_reply();
        let owed = world.owed();
        for index in submitted.iter().flat_map(|event| event.named()) {
            let enabled = world.enabled_regions(IDS[index]);
            for region in &REGIONS[..self.regions] {
                let pair = (IDS[index].to_owned(), (*region).to_owned());
                assert!(
                    enabled.contains(*region) || owed.contains(&pair) || self.skipped(index),
                    "{pair:?} is lost"
                );
            }
        }
    }

    async fn run(&self) {
        let lines = Lines::record();
        let mut world = self.world();
        let mut events: Vec<&Arrival> = self.events.iter().collect();
        events.sort_by_key(|event| event.at);
        let mut deaths = self.deaths.iter();
        for (submitted, event) in events.iter().enumerate() {
            let at = Duration::from_secs(event.at);
            loop {
                if !world.is_to_die()
                    && let Some(after) = deaths.next()
                {
                    world.dies_after(*after);
                }
                world.shuffle(self.delivery.order);
                if !world.step(at).await {
                    break;
                }
                self.check(&world, &events[..submitted]);
            }
            tokio::time::sleep(at.saturating_sub(world.elapsed())).await;
            world.submit(event.payload());
        }
        let end = world.elapsed() + Duration::from_hours(12);
        while world.step(end).await {
            self.check(&world, &events);
            world.shuffle(self.delivery.order);
        }
        self.heal(&mut world).await;
        self.check_ledger(&lines);
    }

    /// Each pair that the events name is in the ledger. Unless a fault or a death has doubled a message or hidden a member, it
    /// is there as enrolled at most once for each event, and never if it was enabled at the start.
    fn check_ledger(&self, lines: &Lines) {
        let protected = lines.protected();
        let named: Vec<usize> = self.events.iter().flat_map(Arrival::named).collect();
        for index in named.iter().copied().filter(|index| !self.skipped(*index)) {
            let events = named.iter().filter(|other| **other == index).count();
            for (place, region) in REGIONS[..self.regions].iter().enumerate() {
                let pair = (IDS[index].to_owned(), (*region).to_owned());
                let (enrolled, known) = protected.get(&pair).copied().unwrap_or_default();
                let plan = self.accounts.get(index).and_then(|plan| plan.members[place]);
                let is_disturbed = !self.faults.is_empty() || !self.deaths.is_empty();
                let most = match plan {
                    _ if is_disturbed => usize::MAX,
                    Some("Enabled") => 0,
                    _ => events,
                };
                assert!(enrolled + known > 0, "{pair:?} is not in the ledger");
                assert!(enrolled <= most, "{pair:?} is {enrolled} times in the ledger as enrolled");
            }
        }
    }

    /// The faults end, a person does what is needed, the dead letters are redriven: all converge.
    async fn heal(&self, world: &mut World) {
        world.faults_end();
        for (index, id) in IDS.into_iter().enumerate() {
            world.joins(id);
            world.change(id, |account| {
                account.email = Some("good@example.com".to_owned());
                if !self.skipped(index) {
                    account.set_state("ACTIVE");
                }
            });
        }
        for region in world.regions() {
            world.region(&region).resumes_members();
        }
        world.redrive();
        // An answer of SQS that is always lost leaves hundreds of duplicates, which take minutes one by one.
        let many = world.retries().len() > MANY;
        if many {
            world.set_batch_size(MANY);
        }
        world.drive(Duration::from_hours(12)).await;
        // A member that GuardDuty accepted only at the last attempt is a dead letter once more.
        world.redrive();
        world.drive(Duration::from_hours(12)).await;
        for index in self.events.iter().flat_map(Arrival::named) {
            let enabled = world.enabled_regions(IDS[index]);
            for region in &REGIONS[..self.regions] {
                assert!(
                    enabled.contains(*region) || self.skipped(index),
                    "{} in {region} did not converge",
                    IDS[index]
                );
            }
        }
        assert_eq!(json!(world.dead_letters()), json!([]), "dead letters are left");
        assert_eq!(json!(world.retries()), json!([]), "messages are left");
    }

    /// In virtual time, in a runtime of its own.
    fn play(&self) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(self.run());
    }
}

/// Plays schedules, a part of them on each core. Without a seed they are new ones.
fn play(cases: usize, seed: Option<u8>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = |thread: usize| {
        let regressions = FileFailurePersistence::Direct("tests/spec/schedules.regressions");
        let config = Config {
            cases: u32::try_from(cases.div_ceil(threads)).expect("a small number"),
            failure_persistence: Some(Box::new(regressions)),
            ..Config::default()
        };
        let mut runner = match seed {
            None => TestRunner::new(config),
            Some(seed) => {
                let seed = seed.wrapping_add(u8::try_from(thread).unwrap_or_default());
                let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
                TestRunner::new_with_rng(config, rng)
            }
        };
        let played = runner.run(&schedules(), |schedule| {
            schedule.play();
            Ok(())
        });
        if let Err(failure) = played {
            panic!("{failure}");
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || part(thread));
        }
    });
}

#[test]
fn no_random_schedule_loses_a_pair_and_every_one_converges() {
    play(200, Some(1));
}

/// Outside the default run: `cargo test --release --test spec soak -- --ignored --nocapture`.
#[test]
#[ignore = "100,000 schedules take tens of minutes"]
fn soak_of_a_hundred_thousand_random_schedules() {
    let start = Instant::now();
    play(100_000, None);
    println!("soak: 100,000 schedules, no pair lost, {} s", start.elapsed().as_secs());
}
