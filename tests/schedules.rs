//! Nothing is lost, for schedules that nobody thought of: random organizations, events, doubles, faults and deaths. And
//! nothing is done, for events and messages that nobody thought of: random JSON, random bytes.
//!
//! A failing schedule shrinks and is kept in `tests/schedules.regressions`, which every later run plays first.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking; the soak prints what it did"
)]

mod world;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use local_aws::{ADMIN_ACCOUNT, Fault, FaultKind, MANAGEMENT_ACCOUNT, Setup};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use serde_json::{Value, json};
use world::{OPERATIONS, World, bare, error, internal_error, operator, unprocessed};

const IDS: [&str; 5] = [
    "100000000001",
    "100000000002",
    "100000000003",
    "100000000004",
    "100000000005",
];
const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];

/// So many messages are drained in large batches once the faults are over.
const MANY: usize = 100;

#[derive(Debug, Clone)]
struct Schedule {
    regions: usize,
    enables_after: u64,
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
    let organization = (
        1..=REGIONS.len(),
        select(vec![0, 45, 600]),
        any::<bool>(),
        any::<bool>(),
    );
    let accounts = prop::collection::vec(plan(), 1..=IDS.len());
    let events = prop::collection::vec(arrival(), 1..6);
    let faults = prop::collection::vec(fault(), 0..5);
    let deaths = prop::collection::vec(0..40_usize, 0..4);
    let delivery = (any::<u64>(), select(vec![1_000, 5, 2, 1]), any::<bool>()).prop_map(
        |(order, batch_size, side_by_side)| Delivery {
            order,
            batch_size,
            side_by_side,
        },
    );
    (organization, accounts, events, faults, deaths, delivery).prop_map(
        |(
            (regions, enables_after, resume, excluded),
            accounts,
            events,
            faults,
            deaths,
            delivery,
        )| Schedule {
            regions,
            enables_after,
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
    let states = vec![
        "ACTIVE",
        "ACTIVE",
        "ACTIVE",
        "PENDING_ACTIVATION",
        "SUSPENDED",
        "CLOSED",
    ];
    let emails = vec![
        Some("good@example.com"),
        Some("also.good@example.com"),
        Some("o'brien@example.com"),
        None,
    ];
    let statuses = vec![
        None,
        None,
        Some("Enabled"),
        Some("Disabled"),
        Some("Removed"),
        Some("Created"),
    ];
    let members = prop::collection::vec(select(statuses), REGIONS.len());
    (
        select(states),
        prop::bool::weighted(0.8),
        select(emails),
        members,
    )
        .prop_map(|(state, known, email, members)| Plan {
            state,
            known,
            email,
            members,
        })
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
    let coded = |status, code| error(status, code, "a fault");
    let kinds = vec![
        coded(400, "ThrottlingException"),
        bare(429),
        coded(400, "BadRequestException"),
        coded(403, "AccessDeniedException"),
        coded(500, "InternalServerErrorException"),
        bare(503),
        FaultKind::Delay(Duration::from_secs(3)),
        FaultKind::Delay(Duration::from_mins(10)),
        FaultKind::Drop { effect: false },
        FaultKind::Drop { effect: true },
        FaultKind::Garbage,
        FaultKind::Empty,
        FaultKind::WithoutUnprocessedAccounts,
        internal_error(),
        unprocessed("must first enable GuardDuty"),
    ];
    let times = prop::option::weighted(0.7, 1..8_usize);
    let region = prop::option::of(select(REGIONS.to_vec()));
    (
        select(OPERATIONS.to_vec()),
        select(kinds),
        region,
        1..4_usize,
        times,
    )
        .prop_map(|(operation, kind, region, from, times)| {
            let mut fault = Fault::always(operation, kind).from(from);
            fault.region = region.map(str::to_owned);
            fault.times = times;
            fault
        })
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
        let count = if self.from_event_bridge {
            1
        } else {
            self.accounts.len()
        };
        self.accounts.iter().take(count).copied()
    }
}

impl Schedule {
    fn world(&self) -> World {
        let mut accounts = vec![
            (ADMIN_ACCOUNT.to_owned(), "security@example.com".to_owned()),
            (
                MANAGEMENT_ACCOUNT.to_owned(),
                "management@example.com".to_owned(),
            ),
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
            &[
                ("RESUME_SUSPENDED_MEMBERS", &resume),
                ("EXCLUDED_ACCOUNTS", excluded),
            ],
        );
        for guardduty in world.cloud.lock().guardduty.values_mut() {
            guardduty.enables_after = Duration::from_secs(self.enables_after);
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
                    world.set_member(id, region, status);
                }
            }
        }
        world.cloud.lock().faults.clone_from(&self.faults);
        if let Some(mapping) = &mut world.lambda.mapping {
            mapping.batch_size = self.delivery.batch_size;
        }
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
        assert_eq!(world.killed, 0, "the function was not done at its deadline");
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

    /// Mixes the messages up: SQS keeps no order, and each receive may see another.
    fn shuffle(&self, world: &World) {
        let mut cloud = world.cloud.lock();
        let received = cloud.calls.len();
        for queue in cloud.queues.queues.values_mut() {
            queue.messages.sort_by_cached_key(|message| {
                let mut hasher = DefaultHasher::new();
                (self.delivery.order, received, &message.id).hash(&mut hasher);
                hasher.finish()
            });
        }
    }

    async fn run(&self) {
        let mut world = self.world();
        let mut events: Vec<&Arrival> = self.events.iter().collect();
        events.sort_by_key(|event| event.at);
        let mut deaths = self.deaths.iter();
        for (submitted, event) in events.iter().enumerate() {
            let at = Duration::from_secs(event.at);
            loop {
                let calls = world.cloud.lock().calls.len();
                if world.cloud.lock().dies_after.is_none()
                    && let Some(after) = deaths.next()
                {
                    world.cloud.lock().dies_after = Some(calls + after);
                }
                self.shuffle(&world);
                if !world.step(at).await {
                    break;
                }
                self.check(&world, &events[..submitted]);
            }
            tokio::time::sleep(at.saturating_sub(world.cloud.elapsed())).await;
            let now = world.cloud.elapsed();
            world.lambda.submit(now, event.payload());
        }
        let end = world.cloud.elapsed() + Duration::from_hours(12);
        while world.step(end).await {
            self.check(&world, &events);
            self.shuffle(&world);
        }
        self.heal(&mut world).await;
    }

    /// The faults end, what a person must mend is mended, the dead letters are redriven: all converge.
    async fn heal(&self, world: &mut World) {
        let mend = || {
            let mut cloud = world.cloud.lock();
            cloud.faults.clear();
            cloud.dies_after = None;
            for (index, id) in IDS.into_iter().enumerate() {
                let account = cloud.organization.accounts.entry(id.to_owned());
                let account =
                    account.or_insert_with(|| local_aws::Account::active("good@example.com"));
                account.email = Some("good@example.com".to_owned());
                if !self.skipped(index) {
                    account.set_state("ACTIVE");
                }
            }
            let members = cloud
                .guardduty
                .values_mut()
                .flat_map(|guardduty| guardduty.members.values_mut());
            for member in members.filter(|member| member.relationship_status == "Disabled") {
                "Enabled".clone_into(&mut member.relationship_status);
            }
        };
        mend();
        world.redrive();
        // An answer of SQS that is always lost leaves hundreds of doubles, which take minutes one by one.
        let many = world.retries().len() > MANY;
        if let Some(mapping) = world.lambda.mapping.as_mut().filter(|_| many) {
            mapping.batch_size = MANY;
        }
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
        assert_eq!(
            json!(world.dead_letters()),
            json!([]),
            "dead letters are left"
        );
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

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/schedules.regressions",
        ))),
        ..Config::default()
    })
}

/// Plays so many schedules, a part of them on each core.
fn play(cases: usize) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = u32::try_from(cases.div_ceil(threads)).expect("a small number");
    let part = || {
        let result = runner(each).run(&schedules(), |schedule| {
            schedule.play();
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(part);
        }
    });
}

#[test]
fn no_random_schedule_loses_a_pair_and_every_one_converges() {
    play(200);
}

/// Outside the default run: `cargo test --release --test schedules -- --ignored --nocapture`.
#[test]
#[ignore = "100,000 schedules take tens of minutes"]
fn soak_of_a_hundred_thousand_random_schedules() {
    let start = Instant::now();
    play(100_000);
    println!(
        "soak: 100,000 schedules, no pair lost, {} s",
        start.elapsed().as_secs()
    );
}

/// Any JSON at all.
fn json_values() -> impl Strategy<Value = Value> {
    let keys = select(vec![
        "detail",
        "accounts",
        "Records",
        "version",
        "eventSource",
        "eventName",
        "accountId",
        "serviceEventDetails",
        "createAccountStatus",
        "requestPayload",
        "x",
    ]);
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        select(vec![
            "organizations.amazonaws.com",
            "CreateAccountResult",
            "12345678901",
            "aws:sqs"
        ])
        .prop_map(Value::from),
    ];
    leaves.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

fn in_world<T>(work: impl AsyncFnOnce(&World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime
        .expect("a runtime")
        .block_on(async { work(&World::new()).await })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_json_as_an_event_is_refused_or_ignored_without_a_call_to_aws(payload in json_values()) {
        let refused = in_world(async |world| {
            let reply = world.invoke(&payload).await;
            let ignored = |reply: Value| reply.get("ignored").is_some();
            (reply.map_or(true, ignored), world.cloud.lock().calls.len())
        });
        prop_assert_eq!(refused, (true, 0));
    }

    #[test]
    fn any_bytes_as_an_event_are_refused_without_a_call_to_aws(payload in ".{0,200}") {
        let refused = in_world(async |world| {
            let reply = world.invoke_raw(&payload, world::TIMEOUT).await;
            (reply.is_err(), world.cloud.lock().calls.len())
        });
        prop_assert_eq!(refused, (true, 0));
    }

    #[test]
    fn any_json_in_the_retry_queue_stays_there_or_is_no_join_without_a_call_to_aws(body in json_values()) {
        let batch = json!({"Records": [{
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": body.to_string(),
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }]});
        let (reply, calls) = in_world(async |world| {
            let reply = world.invoke(&batch).await;
            (reply, world.cloud.lock().calls.len())
        });
        // A known event that is no join is done; everything else stays.
        let is_known = body.to_string().contains("organizations.amazonaws.com");
        let stays = json!({"batchItemFailures": [{"itemIdentifier": "m-1"}]});
        let done = json!({"batchItemFailures": []});
        prop_assert!(reply.is_ok_and(|reply| reply == stays || is_known && reply == done));
        prop_assert_eq!(calls, 0);
    }
}
