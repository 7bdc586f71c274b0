//! The reconcile: the whole organization against GuardDuty in every Region.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking; the size of the matrix is printed"
)]

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use local_aws::{
    ADMIN_ACCOUNT, Call, Fault, FaultKind, MANAGEMENT_ACCOUNT, Member, NEW_ACCOUNT, OTHER_ACCOUNT,
    Setup,
};
use serde_json::{Value, json};
use world::{RECONCILE_OPERATIONS, REGIONS, World};

const WRITES: [&str; 2] = ["CreateMembers", "StartMonitoringMembers"];

/// A quarter of an hour, as in the template.
const TIMEOUT: Duration = Duration::from_mins(15);

fn id(number: usize) -> String {
    format!("{:012}", 700_000_000_000_usize + number)
}

/// An organization of `count` accounts beside the administrator, in so many Regions.
fn organization(count: usize, regions: usize) -> Setup {
    let mut accounts = vec![(ADMIN_ACCOUNT.to_owned(), "security@example.com".to_owned())];
    accounts.extend((0..count).map(|n| (id(n), format!("a{n}@example.com"))));
    Setup {
        accounts,
        regions: REGIONS[..regions]
            .iter()
            .map(|region| (*region).to_owned())
            .collect(),
        latency: Duration::from_millis(50),
        ..Setup::default()
    }
}

fn world_of(setup: &Setup, variables: &[(&str, &str)]) -> World {
    let mut world = World::of(setup, variables);
    world.allowed = &RECONCILE_OPERATIONS;
    world
}

async fn reconcile(world: &World) -> Value {
    run(world, &json!({"reconcile": {}}), TIMEOUT).await
}

async fn dry_run(world: &World) -> Value {
    run(world, &world::event("reconcile.json"), TIMEOUT).await
}

async fn run(world: &World, payload: &Value, time: Duration) -> Value {
    let report = world.invoke_raw(&payload.to_string(), time).await.unwrap();
    check_truth(world, &report);
    report
}

/// The report is true: every expected account is counted once, and whoever is not enabled is in the gap.
fn check_truth(world: &World, report: &Value) {
    let now = world.cloud.elapsed();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    assert!(
        world.dead_letters().is_empty() && world.retries().is_empty(),
        "reconcile writes to no queue"
    );
    if report["blocked"].is_object() {
        // What nobody could count is not 0.
        for unknown in ["gap", "accountsListed", "accountsExpected"] {
            assert_eq!(report[unknown], Value::Null, "{unknown}: {report}");
        }
        assert_eq!(
            (&report["complete"], &report["regions"]),
            (&json!(false), &json!({}))
        );
        return;
    }
    let expected = number(&report["accountsExpected"]);
    // Not by the report's own word: what the organization really has.
    let accounts = world.cloud.lock().organization.accounts.len();
    assert_eq!(number(&report["accountsListed"]), accounts, "{report}");
    let mut gap = 0;
    for (region, part) in report["regions"].as_object().unwrap() {
        let not_enabled = part["notEnabled"]
            .as_object()
            .unwrap()
            .values()
            .map(number)
            .sum::<usize>();
        let [enabled, enrolled, missing, undone] =
            ["enabled", "enrolled", "missing", "undone"].map(|name| number(&part[name]));
        assert_eq!(
            enabled + enrolled + missing + not_enabled + undone,
            expected,
            "{region}: {part}"
        );
        let cloud = world.cloud.lock();
        let members = cloud.guardduty[region].members.values();
        let truly_enabled = members
            .filter(|member| member.status(now) == "Enabled")
            .count();
        assert!(
            truly_enabled + missing + not_enabled + undone >= expected,
            "{region}: {part}"
        );
        gap += missing + not_enabled + undone;
    }
    assert_eq!(number(&report["gap"]), gap);
}

fn writes(world: &World) -> Vec<Call> {
    let state = world.cloud.lock();
    let calls = state
        .calls
        .iter()
        .filter(|call| WRITES.contains(&call.operation.as_str()));
    calls.cloned().collect()
}

fn set_member(world: &World, region: &str, account: &str, status: &str) {
    let member = Member::new("someone@example.com", status);
    world
        .cloud
        .lock()
        .guardduty_in(region)
        .members
        .insert(account.to_owned(), member);
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_closes_the_gap_and_a_second_one_makes_no_write_call() {
    let world = world_of(&organization(120, 4), &[]);
    let report = reconcile(&world).await;
    assert_eq!(report["complete"], true);
    assert_eq!(
        (&report["gap"], &report["accountsExpected"]),
        (&json!(0), &json!(120))
    );
    for region in REGIONS {
        assert_eq!(report["regions"][region]["enrolled"], 120);
        assert_eq!(report["regions"][region]["autoEnable"], "NONE");
        assert_eq!(
            report["regions"][region]["memberAccountLimitReached"],
            false
        );
    }
    world.forget_calls();
    let report = reconcile(&world).await;
    assert_eq!(report["regions"]["eu-west-1"]["enabled"], 120);
    assert!(writes(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_makes_the_fewest_calls_that_pages_and_batches_allow() {
    let world = world_of(&organization(119, 2), &[]);
    let count = |operation: &str| world.calls(operation).len();
    reconcile(&world).await;
    // 120 accounts with the administrator, 20 a page; no members yet: one empty page a Region.
    assert_eq!(
        (
            count("ListAccounts"),
            count("ListMembers"),
            count("ListDetectors")
        ),
        (6, 2, 2)
    );
    // Nothing was throttled, so nothing slowed down: 6 pages and 3 calls of CreateMembers, a second apart (virtual time).
    assert!(world.cloud.elapsed() < Duration::from_secs(5));
    // 119 accounts, 50 a call, asked before and after.
    assert_eq!((count("CreateMembers"), count("GetMembers")), (6, 12));
    world.forget_calls();
    reconcile(&world).await;
    assert_eq!((count("ListAccounts"), count("ListMembers")), (6, 6));
    assert_eq!(world.cloud.lock().calls.len(), 1 + 6 + 2 + 2 + 6);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_is_missing_and_makes_no_write_call() {
    let world = world_of(
        &organization(60, 2),
        &[("RESUME_SUSPENDED_MEMBERS", "true")],
    );
    set_member(&world, REGIONS[0], &id(0), "Enabled");
    set_member(&world, REGIONS[0], &id(1), "Disabled");
    set_member(&world, REGIONS[0], &id(2), "Removed");
    let report = dry_run(&world).await;
    assert_eq!(report["dryRun"], true);
    let part = &report["regions"][REGIONS[0]];
    assert_eq!(
        (&part["enabled"], &part["missing"], &part["enrolled"]),
        (&json!(1), &json!(59), &json!(0))
    );
    assert_eq!(part["accounts"].as_array().unwrap().len(), 59);
    assert_eq!(report["gap"], 59 + 60);
    assert!(writes(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_active_accounts_are_expected_less_the_administrator_and_the_excluded() {
    let mut setup = organization(0, 1);
    let account = |id: &str| (id.to_owned(), "x@example.com".to_owned());
    setup
        .accounts
        .extend([NEW_ACCOUNT, OTHER_ACCOUNT, MANAGEMENT_ACCOUNT, &id(1)].map(account));
    let world = world_of(&setup, &[("EXCLUDED_ACCOUNTS", OTHER_ACCOUNT)]);
    let suspend = || {
        let mut cloud = world.cloud.lock();
        cloud
            .organization
            .accounts
            .get_mut(&id(1))
            .unwrap()
            .set_state("SUSPENDED");
    };
    suspend();
    let report = reconcile(&world).await;
    assert_eq!(
        (&report["accountsListed"], &report["accountsExpected"]),
        (&json!(5), &json!(2))
    );
    assert!(!world.is_enabled_everywhere(OTHER_ACCOUNT));
    assert!(world.is_enabled_everywhere(MANAGEMENT_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_someone_disassociated_is_brought_back() {
    let world = world_of(&organization(2, 1), &[]);
    set_member(&world, REGIONS[0], &id(0), "Removed");
    set_member(&world, REGIONS[0], &id(1), "Resigned");
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][REGIONS[0]]["enrolled"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_member_is_reported_and_resumed_only_on_request() {
    for (resume, enrolled) in [("false", 0), ("true", 1)] {
        let world = world_of(&organization(1, 1), &[("RESUME_SUSPENDED_MEMBERS", resume)]);
        set_member(&world, REGIONS[0], &id(0), "Disabled");
        let report = reconcile(&world).await;
        let part = &report["regions"][REGIONS[0]];
        assert_eq!(part["enrolled"], enrolled);
        assert_eq!(
            part["notEnabled"]["member-suspended"].as_u64().unwrap_or(0),
            1 - enrolled
        );
        assert!(world.calls("CreateMembers").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn members_that_left_the_organization_are_reported_and_not_removed() {
    let world = world_of(&organization(1, 1), &[]);
    set_member(&world, REGIONS[0], "999999999999", "Enabled");
    let report = reconcile(&world).await;
    let part = &report["regions"][REGIONS[0]];
    assert_eq!(
        (&part["stale"], &part["staleAccounts"]),
        (&json!(1), &json!(["999999999999"]))
    );
    assert_eq!(part["enabled"], 0);
    assert!(
        world.cloud.lock().guardduty[REGIONS[0]]
            .members
            .contains_key("999999999999")
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_excluded_or_suspended_by_aws_is_in_the_organization_all_the_same() {
    let world = world_of(&organization(2, 1), &[("EXCLUDED_ACCOUNTS", &id(0))]);
    let suspend = || {
        let mut cloud = world.cloud.lock();
        let accounts = &mut cloud.organization.accounts;
        accounts.get_mut(&id(1)).unwrap().set_state("SUSPENDED");
    };
    suspend();
    for number in [0, 1] {
        set_member(&world, REGIONS[0], &id(number), "Enabled");
    }
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][REGIONS[0]]["stale"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_preflight_names_what_is_missing_in_each_region_with_its_cure() {
    let world = world_of(&organization(3, 4), &[]);
    let break_regions = || {
        let mut cloud = world.cloud.lock();
        cloud.guardduty_in(REGIONS[0]).detector_id = None;
        cloud.guardduty_in(REGIONS[1]).is_administrator = false;
        cloud.guardduty_in(REGIONS[2]).enabled_for_admin = false;
    };
    break_regions();
    let denied = FaultKind::Error {
        status: 403,
        code: Some("AccessDeniedException".to_owned()),
        message: "not authorized to perform guardduty:ListMembers".to_owned(),
    };
    world.fault(Fault::always("ListMembers", denied).in_region(REGIONS[3]));
    let report = dry_run(&world).await;
    assert_eq!(report["complete"], false);
    let reasons = REGIONS.map(|region| report["regions"][region]["blocked"]["reason"].clone());
    assert_eq!(
        reasons,
        [
            "no-detector",
            "not-administrator",
            "region-disabled",
            "access-denied"
        ]
    );
    for region in REGIONS {
        let blocked = &report["regions"][region]["blocked"];
        assert!(!blocked["cure"].as_str().unwrap().is_empty());
        assert_eq!(report["regions"][region]["undone"], 3);
    }
    assert_eq!(
        report["regions"][REGIONS[3]]["blocked"]["result"],
        "AccessDeniedException: not authorized to perform guardduty:ListMembers"
    );
}

#[tokio::test(start_paused = true)]
async fn a_region_that_goes_down_half_way_does_not_stop_the_others() {
    let world = world_of(&organization(120, 2), &[]);
    reconcile(&world).await;
    let down = FaultKind::Error {
        status: 503,
        code: None,
        message: "down".to_owned(),
    };
    world.fault(
        Fault::always("ListMembers", down)
            .in_region(REGIONS[0])
            .from(2),
    );
    set_member(&world, REGIONS[1], &id(5), "Removed");
    let report = reconcile(&world).await;
    assert_eq!(
        report["regions"][REGIONS[0]]["blocked"]["reason"],
        "unavailable"
    );
    assert_eq!(report["regions"][REGIONS[1]]["enrolled"], 1);
    assert_eq!(report["complete"], false);
}

#[tokio::test(start_paused = true)]
async fn without_the_organizations_accounts_the_report_says_so_and_nothing_is_changed() {
    let world = world_of(&organization(30, 1), &[]);
    let token = FaultKind::Error {
        status: 400,
        code: Some("InvalidInputException".to_owned()),
        message: "INVALID_NEXT_TOKEN".to_owned(),
    };
    world.fault(Fault::always("ListAccounts", token).from(2));
    let report = reconcile(&world).await;
    assert_eq!(report["complete"], false);
    assert_eq!(
        report["blocked"]["result"],
        "InvalidInputException: INVALID_NEXT_TOKEN"
    );
    assert!(writes(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_meets_its_deadline_reports_the_truth_and_the_next_goes_on_where_it_ended() {
    let world = world_of(&organization(500, 1), &[]);
    let minute = Duration::from_secs(14);
    let first = run(&world, &json!({"reconcile": {}}), minute).await;
    let part = &first["regions"][REGIONS[0]];
    assert_eq!(part["blocked"]["reason"], "deadline");
    let done = part["enrolled"].as_u64().unwrap();
    assert!(done > 0 && done < 500, "{part}");
    assert_eq!(part["undone"], 500 - done);
    world.forget_calls();
    let second = reconcile(&world).await;
    assert_eq!(
        (&second["complete"], &second["gap"]),
        (&json!(true), &json!(0))
    );
    let asked: usize = world
        .calls("CreateMembers")
        .iter()
        .map(|call| call.accounts.len())
        .sum();
    assert!(asked <= 500 - usize::try_from(done).unwrap());
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_the_region_down_until_everyone_is_done() {
    let world = world_of(&organization(150, 1), &[]);
    let throttled = FaultKind::Error {
        status: 429,
        code: None,
        message: String::new(),
    };
    world.fault(Fault::always("CreateMembers", throttled).first(6));
    let report = reconcile(&world).await;
    // 50 pairs in each of the 6 calls.
    assert_eq!(report["regions"][REGIONS[0]]["throttled"], 300);
    assert_eq!(
        (&report["complete"], &report["gap"]),
        (&json!(true), &json!(0))
    );
    assert!(
        world.cloud.elapsed() > Duration::from_mins(1),
        "{:?}",
        world.cloud.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_throttled_is_asked_for_again_at_a_slower_pace() {
    let world = world_of(&organization(120, 2), &[]);
    reconcile(&world).await;
    let throttled = FaultKind::Error {
        status: 429,
        code: None,
        message: String::new(),
    };
    let operations = [
        "ListAccounts",
        "ListMembers",
        "DescribeOrganizationConfiguration",
    ];
    for operation in operations {
        // Not the first call: the one after a page that was read already, where there is one.
        let fault = Fault::always(operation, throttled.clone()).from(2).first(3);
        let fault = match operation {
            "ListAccounts" => fault,
            _ => fault.in_region(REGIONS[0]).from(1),
        };
        world.fault(fault);
    }
    let start = world.cloud.elapsed();
    let report = reconcile(&world).await;
    assert_eq!(
        (&report["complete"], &report["throttled"]),
        (&json!(true), &json!(3)),
        "{report}"
    );
    let counts = REGIONS[..2]
        .iter()
        .map(|region| &report["regions"][region]["throttled"]);
    assert_eq!(counts.collect::<Vec<_>>(), [&json!(6), &json!(0)]);
    assert!(world.cloud.elapsed() > start + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_account_in_an_unknown_state_is_left_alone_and_the_run_is_not_complete() {
    let world = world_of(&organization(3, 1), &[]);
    let rename = || {
        let mut cloud = world.cloud.lock();
        let account = cloud.organization.accounts.get_mut(&id(1)).unwrap();
        account.set_state("HIBERNATING");
    };
    rename();
    let report = reconcile(&world).await;
    assert_eq!(
        (&report["complete"], &report["accountsOfUnknownState"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(report["regions"][REGIONS[0]]["enrolled"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_split_call_keeps_to_the_pace_of_the_region() {
    let world = world_of(&organization(50, 1), &[]);
    let spoils = FaultKind::Error {
        status: 400,
        code: Some("BadRequestException".to_owned()),
        message: "an invalid or out-of-range value".to_owned(),
    };
    world.fault(Fault::always("CreateMembers", spoils).on_account(&id(7)));
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][REGIONS[0]]["enrolled"], 49);
    let times: Vec<_> = world
        .calls("CreateMembers")
        .iter()
        .map(|call| call.at)
        .collect();
    assert!(times.len() > 5, "{times:?}");
    for pair in times.windows(2) {
        // A second, less the GetMembers before the first.
        assert!(pair[1] >= pair[0] + Duration::from_millis(900), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_meets_everyone_ends_the_region_instead_of_a_thousand_calls() {
    let world = world_of(&organization(500, 1), &[]);
    let limit = "cannot create anymore members since it cannot exceed the maximum number of allowed members";
    world.fault(Fault::always(
        "CreateMembers",
        FaultKind::Unprocessed(limit.to_owned()),
    ));
    let report = reconcile(&world).await;
    let part = &report["regions"][REGIONS[0]];
    assert_eq!(part["blocked"]["reason"], "member-limit-reached");
    assert_eq!(
        (&part["notEnabled"]["member-limit-reached"], &part["undone"]),
        (&json!(50), &json!(450))
    );
    assert_eq!(world.calls("CreateMembers").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_region_is_not_complete_even_where_every_account_had_its_attempt() {
    let world = world_of(&organization(3, 1), &[]);
    let limit = "cannot create anymore members since it cannot exceed the maximum number of allowed members";
    world.fault(Fault::always(
        "CreateMembers",
        FaultKind::Unprocessed(limit.to_owned()),
    ));
    let report = reconcile(&world).await;
    let part = &report["regions"][REGIONS[0]];
    assert_eq!(
        (
            &part["undone"],
            &part["blocked"]["reason"],
            &report["complete"]
        ),
        (&json!(0), &json!("member-limit-reached"), &json!(false))
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_last_call_had_reached_before_the_deadline_is_counted() {
    let world = world_of(&organization(3, 1), &[]);
    let text = FaultKind::Unprocessed("Internal error".to_owned());
    world.fault(Fault::always("CreateMembers", text).on_account(&id(1)));
    // The members are asked after once they are made, and that takes for ever.
    world.fault(Fault::always("GetMembers", FaultKind::Delay(Duration::from_hours(1))).from(2));
    let report = run(&world, &json!({"reconcile": {}}), Duration::from_secs(12)).await;
    let part = &report["regions"][REGIONS[0]];
    assert_eq!(
        (
            &part["notEnabled"],
            &part["undone"],
            &part["blocked"]["reason"]
        ),
        (&json!({"internal-error": 1}), &json!(2), &json!("deadline"))
    );
    for time in ["startedAt", "endedAt"] {
        let time = report[time].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_was_opted_into_is_picked_up_by_the_next_run() {
    let world = world_of(&organization(3, 1), &[]);
    reconcile(&world).await;
    let opt_in = || {
        let mut cloud = world.cloud.lock();
        cloud.guardduty_in("eu-south-1");
        cloud
            .account
            .statuses
            .insert("eu-south-1".to_owned(), "ENABLED".to_owned());
    };
    opt_in();
    let report = reconcile(&world).await;
    assert_eq!(report["regions"]["eu-south-1"]["enrolled"], 3);
}

#[tokio::test(start_paused = true)]
async fn an_organization_that_changes_while_it_is_listed_is_met_by_the_next_run() {
    let world = world_of(&organization(100, 2), &[]);
    let change = async {
        // Between two pages: the first account leaves after it was listed, two more join, one of them at the front.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut cloud = world.cloud.lock();
        cloud.organization.accounts.remove(&id(0));
        for joined in ["000000000001".to_owned(), id(500)] {
            let account = local_aws::Account::active("joined@example.com");
            cloud.organization.accounts.insert(joined, account);
        }
    };
    let payload = json!({"reconcile": {}}).to_string();
    let (report, ()) = tokio::join!(world.invoke_raw(&payload, TIMEOUT), change);
    let report = report.unwrap();
    assert_eq!(report["complete"], true);
    // GuardDuty refuses the account that left in a text that nobody knows.
    assert_eq!(
        report["regions"][REGIONS[0]]["notEnabled"],
        json!({"unknown": 1})
    );
    let report = reconcile(&world).await;
    assert_eq!(
        (&report["gap"], &report["accountsExpected"]),
        (&json!(0), &json!(101))
    );
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_both_end_with_everyone_enabled() {
    let world = world_of(&organization(200, 2), &[]);
    let payload = json!({"reconcile": {}}).to_string();
    let later = async {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        world.invoke_raw(&payload, TIMEOUT).await.unwrap()
    };
    let (first, second) = tokio::join!(reconcile(&world), later);
    for report in [first, second] {
        assert_eq!(
            (&report["gap"], &report["complete"]),
            (&json!(0), &json!(true))
        );
    }
    assert_eq!(world.enabled_regions(&id(199)).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_misspelt_request_is_refused_without_a_call() {
    for payload in [
        json!({"reconcile": {"dryrun": true}}),
        json!({"reconcile": {"dryRun": "yes"}}),
        json!({"reconcile": true}),
        json!({"reconcile": null}),
        json!({"reconcile": {}, "dryRun": true}),
    ] {
        let world = World::new();
        let error = world.invoke(&payload).await.unwrap_err().to_string();
        assert!(
            error.contains("{\"reconcile\": {\"dryRun\": true}}"),
            "{payload}: {error}"
        );
        assert!(world.cloud.lock().calls.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_with_every_fault_leaves_a_true_report_and_the_next_run_closes_the_gap() {
    let error = |status, code: Option<&str>| FaultKind::Error {
        status,
        code: code.map(str::to_owned),
        message: "a fault".to_owned(),
    };
    let faults = [
        error(400, Some("ThrottlingException")),
        error(429, None),
        error(400, Some("BadRequestException")),
        error(403, Some("AccessDeniedException")),
        error(500, Some("InternalServerErrorException")),
        error(503, None),
        FaultKind::Delay(Duration::from_mins(10)),
        FaultKind::Delay(Duration::from_millis(4_900)),
        FaultKind::Drop { effect: false },
        FaultKind::Drop { effect: true },
        FaultKind::Garbage,
        FaultKind::Empty,
        FaultKind::WithoutUnprocessedAccounts,
        FaultKind::Unprocessed("Internal error".to_owned()),
    ];
    let world = || {
        let world = world_of(
            &organization(60, 2),
            &[("RESUME_SUSPENDED_MEMBERS", "true")],
        );
        set_member(&world, REGIONS[0], &id(0), "Enabled");
        set_member(&world, REGIONS[0], &id(1), "Disabled");
        world
    };
    let seen = world();
    reconcile(&seen).await;
    let operations: BTreeSet<String> = seen
        .cloud
        .lock()
        .calls
        .iter()
        .map(|call| call.operation.clone())
        .collect();
    assert_eq!(operations, RECONCILE_OPERATIONS.map(str::to_owned).into());
    let mut cells = 0;
    for operation in &operations {
        for kind in &faults {
            let always = Fault::always(operation, kind.clone());
            for fault in [
                always.clone().first(1),
                always.clone(),
                always.in_region(REGIONS[0]),
            ] {
                let world = world();
                world.fault(fault.clone());
                reconcile(&world).await;
                world.cloud.lock().faults.clear();
                let report = reconcile(&world).await;
                assert_eq!(
                    (&report["gap"], &report["complete"]),
                    (&json!(0), &json!(true)),
                    "{fault:?}"
                );
                // A call whose answer was lost is sent again by the SDK, to members that it enabled itself. No other
                // fault may lead to a CreateMembers for a member that is enabled.
                let cloud = world.cloud.lock();
                let touched = cloud
                    .guardduty
                    .values()
                    .map(|guardduty| guardduty.touched_enabled);
                assert!(
                    operation == "CreateMembers" || touched.sum::<usize>() == 0,
                    "{fault:?}"
                );
                cells += 1;
            }
        }
    }
    println!(
        "reconcile: {} operations × {} faults × 3 = {cells} cells",
        operations.len(),
        faults.len()
    );
}
