//! The reconcile: the whole organization against GuardDuty in every Region. It says what is missing, closes the gap with
//! the fewest calls at a pace that AWS takes, ends at its deadline, and its report is true whatever went wrong: each run
//! here is checked against what the small AWS really has.

use std::time::Duration;

use crate::world::{
    RECONCILE_OPERATIONS, REGIONS, World, bare, error, event, faults_of_any_call, hangs, id,
    internal_error, pick, unprocessed,
};
use local_aws::{ADMIN_ACCOUNT, Fault, MANAGEMENT_ACCOUNT, OTHER_ACCOUNT, Setup};
use serde_json::{Value, json};

/// The Region that the tests look at, where one is enough.
const HERE: &str = REGIONS[0];

/// A quarter of an hour, as in the template.
const TIMEOUT: Duration = Duration::from_mins(15);

const LIMIT: &str =
    "cannot create anymore members since it cannot exceed the maximum number of allowed members";

/// An organization of `count` accounts beside the administrator, in `regions` Regions.
fn organization(count: usize, regions: usize) -> Setup {
    let mut accounts = vec![(ADMIN_ACCOUNT.to_owned(), "security@example.com".to_owned())];
    accounts.extend((0..count).map(|n| (id(n), format!("a{n}@example.com"))));
    Setup {
        accounts,
        regions: REGIONS[..regions].iter().map(ToString::to_string).collect(),
        latency: Duration::from_millis(50),
        ..Setup::default()
    }
}

fn world_of(setup: &Setup, variables: &[(&str, &str)]) -> World {
    World::of_reconcile(setup, variables)
}

fn world_with(accounts: usize, regions: usize) -> World {
    world_of(&organization(accounts, regions), &[])
}

/// The same with a GuardDuty that takes no time: for the number and the pace of calls.
fn instant_world_with(accounts: usize, regions: usize) -> World {
    let guardduty = Setup::instant().guardduty;
    world_of(&Setup { guardduty, ..organization(accounts, regions) }, &[])
}

async fn reconcile(world: &World) -> Value {
    run(world, &json!({"reconcile": {}}), TIMEOUT).await
}

async fn reconcile_with_plans(world: &World) -> Value {
    run(world, &json!({"reconcile": {"plans": true}}), TIMEOUT).await
}

async fn dry_run(world: &World) -> Value {
    run(world, &event("reconcile.json"), TIMEOUT).await
}

async fn run(world: &World, payload: &Value, time: Duration) -> Value {
    let report = world.invoke_raw(&payload.to_string(), time).await.unwrap();
    check_truth(world, &report);
    report
}

/// The report is true: every expected account is counted once, and each one that is not enabled is in the gap.
fn check_truth(world: &World, report: &Value) {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    assert!(world.queues_are_empty(), "reconcile writes to no queue");
    if report["blocked"].is_object() {
        // What nobody could count is not 0.
        for unknown in ["gap", "accountsListed", "accountsExpected"] {
            assert_eq!(report[unknown], Value::Null, "{unknown}: {report}");
        }
        assert_eq!(pick(report, ["complete", "regions"]), json!([false, {}]));
        return;
    }
    let expected = number(&report["accountsExpected"]);
    // Not by the report's own word: what the organization really has.
    assert_eq!(number(&report["accountsListed"]), world.accounts(), "{report}");
    let regions = report["regions"].as_object().unwrap();
    assert_eq!(regions.keys().cloned().collect::<Vec<_>>(), world.regions());
    let mut gap = 0;
    for (region, part) in regions {
        let not_enabled =
            part["notEnabled"].as_object().unwrap().values().map(number).sum::<usize>();
        let [enabled, enrolled, missing, not_attempted] =
            ["enabled", "enrolled", "missing", "notAttempted"].map(|name| number(&part[name]));
        let skipped = part["skipped"].as_object().unwrap().values().map(number).sum::<usize>();
        let open = missing + not_enabled + not_attempted;
        assert_eq!(enabled + enrolled + skipped + open, expected, "{region}: {part}");
        let (_, truly_enabled) = world.region(region).count_members();
        assert!(truly_enabled + skipped + open >= expected, "{region}: {part}");
        gap += open;
    }
    assert_eq!(number(&report["gap"]), gap);
}

/// How many calls a run made that change something.
fn writes(world: &World) -> usize {
    world.count("CreateMembers") + world.count("StartMonitoringMembers")
}

/// The run tried everyone, and everyone is enabled.
fn assert_closed(report: &Value) {
    assert_eq!(pick(report, ["complete", "gap"]), json!([true, 0]), "{report}");
}

// What is compared, and what is done about it.

#[tokio::test(start_paused = true)]
async fn a_reconcile_closes_the_gap_and_a_second_one_makes_no_write_call() {
    let world = world_with(120, 4);
    let report = reconcile(&world).await;
    assert_closed(&report);
    assert_eq!(report["accountsExpected"], 120);
    for region in REGIONS {
        let names = ["enrolled", "autoEnable", "memberAccountLimitReached"];
        let part = pick(&report["regions"][region], names);
        assert_eq!(part, json!([120, "NONE", false]));
    }
    world.forget_calls();
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][HERE]["enabled"], 120);
    assert_eq!(writes(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_is_missing_and_makes_no_write_call() {
    let setup = organization(60, 2);
    let world = world_of(&setup, &[("RESUME_SUSPENDED_MEMBERS", "true")]);
    for (number, status) in ["Enabled", "Disabled", "Removed"].into_iter().enumerate() {
        world.region(HERE).set_member(&id(number), status);
    }
    let report = dry_run(&world).await;
    assert_eq!(pick(&report, ["dryRun", "gap"]), json!([true, 59 + 60]));
    let part = &report["regions"][HERE];
    assert_eq!(pick(part, ["enabled", "missing", "enrolled"]), json!([1, 59, 0]));
    let accounts = part["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 59);
    let words = json!("relationshipStatus is Disabled");
    for (account, number, cause, result) in [
        (&accounts[0], 1, "suspended", words),
        (&accounts[1], 2, "removed", json!(null)),
        (&accounts[2], 3, "absent", json!(null)),
    ] {
        assert_eq!(
            *account,
            json!({"accountId": id(number), "cause": cause, "outcome": null, "reason": null, "result": result})
        );
    }
    assert_eq!(writes(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn only_active_accounts_are_expected_less_the_administrator_and_the_excluded() {
    let mut setup = organization(2, 1);
    let more = [OTHER_ACCOUNT, MANAGEMENT_ACCOUNT].map(|id| (id.to_owned(), "x@y.org".to_owned()));
    setup.accounts.extend(more);
    let world = world_of(&setup, &[("EXCLUDED_ACCOUNTS", OTHER_ACCOUNT)]);
    world.change(&id(1), |account| account.set_state("SUSPENDED"));
    let report = reconcile(&world).await;
    let counts = pick(&report, ["accountsListed", "accountsExpected"]);
    assert_eq!(counts, json!([5, 2]));
    for (account, expected) in [
        (id(0).as_str(), true),
        (MANAGEMENT_ACCOUNT, true),
        (id(1).as_str(), false),
        (OTHER_ACCOUNT, false),
        (ADMIN_ACCOUNT, false),
    ] {
        assert_eq!(world.is_enabled_everywhere(account), expected, "{account}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_in_an_unknown_state_is_left_alone_and_the_run_is_not_complete() {
    let world = world_with(3, 1);
    world.change(&id(1), |account| account.set_state("HIBERNATING"));
    let report = reconcile(&world).await;
    assert_eq!(pick(&report, ["complete", "accountsOfUnknownState"]), json!([false, 1]));
    assert_eq!(report["regions"][HERE]["enrolled"], 2);
    assert!(!world.is_enabled_everywhere(&id(1)));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_someone_disassociated_is_brought_back() {
    let world = world_with(2, 1);
    world.region(HERE).set_member(&id(0), "Removed");
    world.region(HERE).set_member(&id(1), "Resigned");
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][HERE]["enrolled"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_member_is_reported_and_resumed_only_on_request() {
    for (resume, enrolled, not_enabled) in
        [("false", 0, json!({"member-suspended": 1})), ("true", 1, json!({}))]
    {
        let setup = organization(1, 1);
        let world = world_of(&setup, &[("RESUME_SUSPENDED_MEMBERS", resume)]);
        world.region(HERE).set_member(&id(0), "Disabled");
        let report = reconcile(&world).await;
        let part = pick(&report["regions"][HERE], ["enrolled", "notEnabled"]);
        assert_eq!(part, json!([enrolled, not_enabled]));
        let named = json!([{"accountId": id(0), "cause": "suspended", "outcome": "refused", "reason": "member-suspended",
            "result": "relationshipStatus is Disabled"}]);
        let named = if resume == "true" { json!([]) } else { named };
        assert_eq!(report["regions"][HERE]["accounts"], named);
        assert_eq!(world.count("CreateMembers"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn exclusions_are_counted_and_named_so_that_the_numbers_add_up() {
    let unit = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/";
    let ids = format!("{}, {}@{HERE}", id(0), id(1));
    let setup = organization(5, 2);
    let world = world_of(&setup, &[("EXCLUDED_ACCOUNTS", &ids), ("EXCLUDED_PATHS", unit)]);
    world.change(&id(2), |account| account.paths = vec![unit.to_owned()]);
    world.change(&id(3), |account| account.set_state("SUSPENDED"));
    world.region(HERE).set_member(&id(1), "Removed");
    world.region(HERE).set_member(&id(4), "Enabled");
    let report = reconcile(&world).await;
    assert_closed(&report);
    assert_eq!(
        pick(
            &report,
            [
                "accountsListed",
                "accountsExpected",
                "accountsLeftOut",
                "excludedAccounts",
                "accountsWithoutPaths"
            ]
        ),
        json!([6, 2, {"administrator-account": 1, "excluded": 2, "account-suspended": 1}, [id(0), id(2)], 2])
    );
    // Excluded in one Region: no gap there, no lost protection, and enrolled in the other.
    assert_eq!(
        pick(&report["regions"][HERE], ["skipped", "causes", "lostProtection"]),
        json!([{"excluded": 1}, {}, 0])
    );
    assert!(world.enabled_regions(&id(1)).contains(REGIONS[1]));
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_says_who_lost_protection_and_whom_no_event_announced() {
    let world = world_with(6, 2);
    let [here, there] = [REGIONS[0], REGIONS[1]].map(|name| world.region(name));
    let everywhere = [&here, &there];
    for region in everywhere {
        region.set_member(&id(0), "Enabled");
    }
    // Removed by a person in one Region, resigned in the other, deleted in one; 4 was never a member, and 5 has just joined.
    for (account, one, other) in [
        (1, Some("Removed"), Some("Enabled")),
        (2, Some("Enabled"), Some("Resigned")),
        (3, Some("Enabled"), None),
    ] {
        for (region, status) in everywhere.into_iter().zip([one, other]) {
            if let Some(status) = status {
                region.set_member(&id(account), status);
            }
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    world.change(&id(5), |account| account.joined_timestamp = now.as_secs() - 60);
    let report = reconcile(&world).await;
    assert_closed(&report);
    assert_eq!(
        pick(&report, ["lostProtection", "missedJoins", "missedAccounts"]),
        json!([3, 1, [id(4)]])
    );
    assert_eq!(
        pick(&report["regions"][REGIONS[0]], ["causes", "lostAccounts"]),
        json!([{"removed": 1, "absent": 1, "new": 1}, [id(1)]])
    );
    assert_eq!(
        pick(&report["regions"][REGIONS[1]], ["causes", "lostAccounts"]),
        json!([{"resigned": 1, "absent": 2, "new": 1}, [id(2), id(3)]])
    );
    // All is as it should be: the next run finds neither.
    let next = reconcile(&world).await;
    assert_eq!(pick(&next, ["lostProtection", "missedJoins"]), json!([0, 0]));
}

#[tokio::test(start_paused = true)]
async fn members_that_left_the_organization_are_reported_and_not_removed() {
    const GONE: &str = "999999999999";
    let world = world_with(1, 1);
    world.region(HERE).set_member(GONE, "Enabled");
    let report = reconcile(&world).await;
    let part = pick(&report["regions"][HERE], ["stale", "staleAccounts", "enabled"]);
    assert_eq!(part, json!([1, [GONE], 0]));
    assert!(world.enabled_regions(GONE).contains(HERE));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_excluded_or_suspended_by_aws_is_in_the_organization_all_the_same() {
    let world = world_of(&organization(2, 1), &[("EXCLUDED_ACCOUNTS", &id(0))]);
    world.change(&id(1), |account| account.set_state("SUSPENDED"));
    for number in [0, 1] {
        world.region(HERE).set_member(&id(number), "Enabled");
    }
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][HERE]["stale"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_was_opted_into_is_picked_up_by_the_next_run() {
    let world = world_with(3, 1);
    reconcile(&world).await;
    world.region("eu-south-1").is_opted_into();
    let report = reconcile(&world).await;
    assert_eq!(report["regions"]["eu-south-1"]["enrolled"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_misspelt_request_is_refused_without_a_call() {
    for payload in [
        json!({"reconcile": {"dryrun": true}}),
        json!({"reconcile": {"dryRun": "yes"}}),
        json!({"reconcile": {"plans": "all"}}),
        json!({"reconcile": true}),
        json!({"reconcile": null}),
        json!({"reconcile": {}, "dryRun": true}),
    ] {
        let world = World::new();
        let error = world.invoke(&payload).await.unwrap_err().to_string();
        assert!(error.contains("at most \"dryRun\" and \"plans\""), "{payload}: {error}");
        assert_eq!(world.all_calls(), 0);
    }
}

// How many calls it makes, and at what pace.

#[tokio::test(start_paused = true)]
async fn a_reconcile_makes_the_fewest_calls_that_pages_and_batches_allow() {
    let world = instant_world_with(119, 2);
    reconcile(&world).await;
    for (operation, count) in [
        // 120 accounts with the administrator, 20 a page; no members yet: one empty page a Region.
        ("ListAccounts", 6),
        ("ListMembers", 2),
        ("ListDetectors", 2),
        ("DescribeOrganizationConfiguration", 2),
        ("GetOrganizationStatistics", 2),
        // 119 accounts, 50 a call, asked before and after.
        ("CreateMembers", 6),
        ("GetMembers", 12),
    ] {
        assert_eq!(world.count(operation), count, "{operation}");
    }
    world.forget_calls();
    reconcile(&world).await;
    assert_eq!(world.count("ListAccounts"), 6);
    assert_eq!(world.count("ListMembers"), 6);
    assert_eq!(world.all_calls(), 1 + 1 + 6 + 2 + 2 + 2 + 6);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_throttled_follow_each_other_at_one_steady_pace() {
    let world = instant_world_with(500, 1);
    reconcile(&world).await;
    for (operation, expected) in [("ListAccounts", 200), ("CreateMembers", 1_000)] {
        let steps = world.steps(operation);
        assert!(steps.len() >= 9, "{steps:?}");
        let expected = Duration::from_millis(expected);
        assert!(steps.iter().all(|step| *step == expected), "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_the_region_down_until_everyone_is_done() {
    let world = world_with(150, 1);
    world.fault(Fault::always("CreateMembers", bare(429)).first(6));
    let report = reconcile(&world).await;
    assert_closed(&report);
    // 50 pairs in each of the 6 calls.
    assert_eq!(report["regions"][HERE]["throttled"], 300);
    assert!(world.elapsed() > Duration::from_mins(1), "{:?}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_throttled_is_asked_for_again_at_a_slower_pace() {
    let world = world_with(120, 2);
    reconcile(&world).await;
    let throttled = |operation| Fault::always(operation, bare(429)).first(3);
    // Not the first call: the one after a page that was read already, where there is one.
    world.fault(throttled("ListAccounts").from(2));
    for operation in ["ListMembers", "DescribeOrganizationConfiguration"] {
        world.fault(throttled(operation).in_region(HERE));
    }
    let start = world.elapsed();
    let report = reconcile(&world).await;
    assert_closed(&report);
    assert_eq!(report["throttled"], 3);
    let counts = REGIONS[..2].iter().map(|region| &report["regions"][region]["throttled"]);
    assert_eq!(counts.collect::<Vec<_>>(), [&json!(6), &json!(0)]);
    assert!(world.elapsed() > start + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_split_call_keeps_to_the_pace_of_the_region() {
    let world = world_with(50, 1);
    let spoils = error(400, "BadRequestException", "an invalid or out-of-range value");
    world.fault(Fault::always("CreateMembers", spoils).on_account(&id(7)));
    let report = reconcile(&world).await;
    assert_eq!(report["regions"][HERE]["enrolled"], 49);
    let steps = world.steps("CreateMembers");
    assert!(steps.len() >= 5, "{steps:?}");
    // A second, less the GetMembers before the first.
    let least = Duration::from_millis(900);
    assert!(steps.iter().all(|step| *step >= least), "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_meets_everyone_ends_the_region_instead_of_a_thousand_calls() {
    let world = world_with(500, 1);
    world.fault(Fault::always("CreateMembers", unprocessed(LIMIT)));
    let report = reconcile(&world).await;
    let names = ["blocked/reason", "notEnabled", "notAttempted"];
    assert_eq!(
        pick(&report["regions"][HERE], names),
        json!(["member-limit-reached", {"member-limit-reached": 50}, 450])
    );
    assert_eq!(world.count("CreateMembers"), 1);
}

// What goes wrong, and what the report says of it.

#[tokio::test(start_paused = true)]
async fn a_preflight_names_what_is_missing_in_each_region_with_its_remedy() {
    let world = world_with(3, 4);
    world.region(REGIONS[0]).loses_detector();
    world.region(REGIONS[1]).has_another_administrator();
    world.region(REGIONS[2]).is_not_enabled();
    let denied = error(403, "AccessDeniedException", "not authorized to perform it");
    world.fault(Fault::always("ListMembers", denied).in_region(REGIONS[3]));
    let report = dry_run(&world).await;
    assert_eq!(report["complete"], false);
    for (region, reason) in REGIONS.into_iter().zip([
        "no-detector",
        "not-administrator",
        "region-disabled",
        "access-denied",
    ]) {
        let part = &report["regions"][region];
        assert_eq!(pick(part, ["blocked/reason", "notAttempted"]), json!([reason, 3]));
        assert!(!part["blocked"]["remedy"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        report["regions"][REGIONS[3]]["blocked"]["result"],
        "AccessDeniedException: not authorized to perform it"
    );
}

#[tokio::test(start_paused = true)]
async fn under_all_a_region_that_is_off_or_not_delegated_or_denied_is_uncovered_and_no_gap() {
    for (regions, gap) in [("all", 0), (&REGIONS.join(","), 9)] {
        let world = world_of(&organization(3, 4), &[("REGIONS", regions)]);
        world.region(REGIONS[0]).loses_detector();
        world.region(REGIONS[1]).has_another_administrator();
        let denied = error(403, "AccessDeniedException", "with an explicit deny");
        world.fault(Fault::always("ListDetectors", denied).in_region(REGIONS[2]));
        let report = reconcile(&world).await;
        let is_uncovered = gap == 0;
        let uncovered = if is_uncovered { 3 } else { 0 };
        assert_eq!(
            pick(&report, ["complete", "gap", "uncoveredRegions"]),
            json!([is_uncovered, gap, uncovered])
        );
        for (region, reason) in
            REGIONS.into_iter().zip(["no-detector", "not-administrator", "access-denied"])
        {
            let part = &report["regions"][region];
            let (why, other) =
                if is_uncovered { ("uncovered", "blocked") } else { ("blocked", "uncovered") };
            assert_eq!(part[why]["reason"], reason);
            assert!(!part[why]["remedy"].as_str().unwrap().is_empty());
            assert_eq!(part[other], Value::Null);
            let skipped = if is_uncovered { json!({ reason: 3 }) } else { json!({}) };
            assert_eq!(part["skipped"], skipped);
        }
        assert_eq!(report["regions"][REGIONS[3]]["enrolled"], 3);
    }
}

#[tokio::test(start_paused = true)]
async fn no_region_is_uncovered_where_none_can_be_compared() {
    let world = world_with(3, 4);
    let denied = error(403, "AccessDeniedException", "no identity-based policy allows it");
    world.fault(Fault::always("ListDetectors", denied));
    let report = reconcile(&world).await;
    assert_eq!(pick(&report, ["complete", "gap", "uncoveredRegions"]), json!([false, 12, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_region_that_goes_down_half_way_does_not_stop_the_others() {
    let world = world_with(120, 2);
    reconcile(&world).await;
    let down = Fault::always("ListMembers", bare(503));
    world.fault(down.in_region(REGIONS[0]).from(2));
    world.region(REGIONS[1]).set_member(&id(5), "Removed");
    let report = reconcile(&world).await;
    let regions = &report["regions"];
    assert_eq!(regions[REGIONS[0]]["blocked"]["reason"], "unavailable");
    assert_eq!(regions[REGIONS[1]]["enrolled"], 1);
    assert_eq!(report["complete"], false);
}

#[tokio::test(start_paused = true)]
async fn without_the_organizations_accounts_the_report_says_so_and_nothing_is_changed() {
    let world = world_with(30, 1);
    let token = error(400, "InvalidInputException", "INVALID_NEXT_TOKEN");
    world.fault(Fault::always("ListAccounts", token).from(2));
    let report = reconcile(&world).await;
    assert_eq!(
        pick(&report, ["complete", "blocked/result"]),
        json!([false, "InvalidInputException: INVALID_NEXT_TOKEN"])
    );
    assert_eq!(writes(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_region_is_not_complete_even_where_every_account_had_its_attempt() {
    let world = world_with(3, 1);
    world.fault(Fault::always("CreateMembers", unprocessed(LIMIT)));
    let report = reconcile(&world).await;
    assert_eq!(
        pick(&report["regions"][HERE], ["notAttempted", "blocked/reason"]),
        json!([0, "member-limit-reached"])
    );
    assert_eq!(report["complete"], false);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_meets_its_deadline_reports_the_truth_and_the_next_goes_on_where_it_ended() {
    let world = instant_world_with(500, 1);
    let short = Duration::from_secs(14);
    let first = run(&world, &json!({"reconcile": {}}), short).await;
    let part = &first["regions"][HERE];
    assert_eq!(part["blocked"]["reason"], "deadline");
    let done = usize::try_from(part["enrolled"].as_u64().unwrap()).unwrap();
    assert!(done > 0 && done < 500, "{part}");
    assert_eq!(part["notAttempted"], 500 - done);
    world.forget_calls();
    assert_closed(&reconcile(&world).await);
    let asked: usize = world.batches("CreateMembers").iter().sum();
    assert!(asked <= 500 - done);
}

#[tokio::test(start_paused = true)]
async fn what_the_last_call_had_reached_before_the_deadline_is_counted() {
    let world = world_with(3, 1);
    world.fault(Fault::always("CreateMembers", internal_error()).on_account(&id(1)));
    // The members are asked after once they are made, and that takes for ever.
    world.fault(Fault::always("GetMembers", hangs()).from(2));
    let short = Duration::from_secs(12);
    let report = run(&world, &json!({"reconcile": {}}), short).await;
    let names = ["notEnabled", "notAttempted", "blocked/reason"];
    assert_eq!(
        pick(&report["regions"][HERE], names),
        json!([{"internal-error": 1, "not-yet-enabled": 2}, 0, null])
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_says_when_its_run_started_and_ended() {
    let report = dry_run(&world_with(1, 1)).await;
    for time in ["startedAt", "endedAt"] {
        let time = report[time].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    }
}

// What changes while it runs.

#[tokio::test(start_paused = true)]
async fn an_organization_that_changes_while_it_is_listed_is_met_by_the_next_run() {
    let world = world_with(100, 2);
    let change = async {
        // Between two pages: the first account leaves after it was listed, two more join, one of them at the front.
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.leaves(&id(0));
        for joined in ["000000000001", &id(500)] {
            world.joins(joined);
        }
    };
    let payload = json!({"reconcile": {}}).to_string();
    let (report, ()) = tokio::join!(world.invoke_raw(&payload, TIMEOUT), change);
    let report = report.unwrap();
    assert_eq!(report["complete"], true);
    // GuardDuty refuses the account that left in a text that nobody knows.
    assert_eq!(report["regions"][HERE]["notEnabled"], json!({"unknown": 1}));
    let report = reconcile(&world).await;
    assert_closed(&report);
    assert_eq!(report["accountsExpected"], 101);
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_both_end_with_everyone_enabled() {
    let world = world_with(200, 2);
    let later = async {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        reconcile(&world).await
    };
    let (first, second) = tokio::join!(reconcile(&world), later);
    assert_closed(&first);
    assert_closed(&second);
    assert!(world.is_enabled_everywhere(&id(199)));
}

// Protection plans: read, never changed.

#[tokio::test(start_paused = true)]
async fn the_plans_of_each_region_are_reported_with_how_many_have_them_on_and_where_they_differ() {
    let world = world_with(3, 2);
    world.region(HERE).sets_plan("S3_DATA_EVENTS", "NONE");
    let report = reconcile(&world).await;
    assert_eq!(report["plansThatDiffer"], json!(["S3_DATA_EVENTS"]));
    let region = &report["regions"][HERE];
    assert_eq!(
        region["plans"]["S3_DATA_EVENTS"],
        json!({"autoEnable": "NONE", "enabledAccounts": 0})
    );
    let members = region["enabled"].as_u64().unwrap() + region["enrolled"].as_u64().unwrap();
    assert_eq!(region["statistics"]["memberAccounts"], json!(members));
    assert_eq!(pick(region, ["statisticsBlocked", "plansOfMembers"]), json!([null, null]));
    assert_eq!(world.count("GetOrganizationStatistics"), 2);
    assert_eq!(world.count("GetMemberDetectors"), 0);
}

#[tokio::test(start_paused = true)]
async fn members_whose_plans_are_not_as_the_organization_says_are_named_on_demand() {
    let world = world_with(120, 2);
    let here = world.region(HERE);
    here.sets_plan("S3_DATA_EVENTS", "ALL");
    here.sets_plan_of(&id(7), "S3_DATA_EVENTS", "DISABLED");
    here.sets_plan_of(&id(8), "RDS_LOGIN_EVENTS", "DISABLED");
    here.has_a_policy();
    let report = reconcile_with_plans(&world).await;
    let of_members = &report["regions"][HERE]["plansOfMembers"];
    let named = json!([{
        "accountId": id(7), "plans": {"S3_DATA_EVENTS": "DISABLED"}, "managedByPolicy": true
    }]);
    assert_eq!(pick(of_members, ["differing", "unread", "blocked"]), json!([1, 0, null]));
    assert_eq!(of_members["accounts"], named);
    assert_eq!(of_members["read"], of_members["managedByPolicy"]);
    assert_eq!(report["regions"][REGIONS[1]]["plansOfMembers"]["differing"], 0);
    assert_eq!(world.count("GetMemberDetectors"), 3 * 2);
}

#[tokio::test(start_paused = true)]
async fn the_plans_of_an_account_that_is_excluded_in_the_region_are_not_asked_for() {
    let excluded = format!("{}@{HERE}", id(1));
    let world = world_of(&organization(3, 2), &[("EXCLUDED_ACCOUNTS", &excluded)]);
    let report = reconcile_with_plans(&world).await;
    let read =
        |region: &str| pick(&report["regions"][region]["plansOfMembers"], ["read", "unread"]);
    assert_eq!(read(HERE), json!([2, 0]));
    assert_eq!(read(REGIONS[1]), json!([3, 0]));
}

#[tokio::test(start_paused = true)]
async fn plans_that_cannot_be_read_are_said_and_make_no_gap() {
    for operation in ["GetOrganizationStatistics", "GetMemberDetectors"] {
        let world = world_with(3, 2);
        let denied = error(403, "AccessDeniedException", "not authorized");
        world.fault(Fault::always(operation, denied).in_region(HERE));
        let report = reconcile_with_plans(&world).await;
        assert_closed(&report);
        let region = &report["regions"][HERE];
        let blocked = if operation == "GetMemberDetectors" {
            assert_eq!(region["plansOfMembers"]["read"], 0);
            &region["plansOfMembers"]["blocked"]
        } else {
            assert_eq!(region["statistics"], Value::Null);
            &region["statisticsBlocked"]
        };
        assert_eq!(blocked["reason"], "access-denied", "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_says_whether_an_organizations_policy_manages_guardduty() {
    let world = world_with(1, 1);
    let policy = reconcile(&world).await["effectivePolicy"].clone();
    assert_eq!(pick(&policy, ["inForce", "content", "blocked"]), json!([false, null, null]));
    let content = r#"{"guardduty": {"S3_DATA_EVENTS": "on"}}"#;
    world.has_the_policy(content);
    let policy = reconcile(&world).await["effectivePolicy"].clone();
    assert_eq!(pick(&policy, ["inForce", "content"]), json!([true, content]));
    assert_eq!(policy["lastUpdated"], "2026-01-01T00:00:00Z");
    let denied = error(400, "AccessDeniedException", "not authorized");
    world.fault(Fault::always("DescribeEffectivePolicy", denied));
    let report = reconcile(&world).await;
    assert_closed(&report);
    assert_eq!(report["effectivePolicy"]["inForce"], Value::Null);
    assert_eq!(report["effectivePolicy"]["blocked"]["reason"], "access-denied");
}

// Every operation with every fault. Several tests, because each takes a core for some seconds.

/// A gap that takes every operation: accounts to create, and a suspended member to resume.
fn world_with_a_gap() -> World {
    let setup = organization(60, 2);
    let world = world_of(&setup, &[("RESUME_SUSPENDED_MEMBERS", "true")]);
    world.region(HERE).enables_after(Duration::from_secs(3));
    world.region(HERE).lists_late_by(Duration::from_secs(5));
    world.region(HERE).set_member(&id(0), "Enabled");
    world.region(HERE).set_member(&id(1), "Disabled");
    world
}

/// Each operation with each fault: the report of the run is true, and once the fault is gone the next run closes the gap.
async fn run_matrix(world: impl Fn() -> World, when: impl Fn(Fault) -> Fault) {
    let mut cells = 0;
    for operation in RECONCILE_OPERATIONS {
        for kind in faults_of_any_call(Duration::from_millis(4_900)) {
            let fault = when(Fault::always(operation, kind));
            let world = world();
            world.fault(fault.clone());
            reconcile_with_plans(&world).await;
            world.faults_end();
            let next = reconcile_with_plans(&world).await;
            let closed = pick(&next, ["complete", "gap"]);
            assert_eq!(closed, json!([true, 0]), "{fault:?}: {next}");
            assert_eq!(world.touched_members(), 0, "{fault:?}: an enabled member was touched");
            cells += 1;
        }
    }
    println!("reconcile matrix: {cells} cells");
}

#[tokio::test(start_paused = true)]
async fn the_matrix_covers_every_kind_of_call_that_a_reconcile_makes() {
    let world = world_with_a_gap();
    reconcile_with_plans(&world).await;
    assert_eq!(world.operations(), RECONCILE_OPERATIONS.map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn whatever_the_first_call_of_an_operation_meets_the_report_is_true_and_the_next_run_closes_the_gap()
 {
    run_matrix(world_with_a_gap, |fault| fault.first(1)).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_every_call_of_an_operation_meets_the_report_is_true_and_the_next_run_closes_the_gap()
 {
    run_matrix(world_with_a_gap, |fault| fault).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_every_call_of_an_operation_meets_in_one_region_the_report_is_true_and_the_next_run_closes_the_gap()
 {
    run_matrix(world_with_a_gap, |fault| fault.in_region(HERE)).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_of_the_first_call_of_any_operation_beside_auto_enable() {
    let beside = || {
        let world = world_with_a_gap();
        world.region(HERE).auto_enables_all_after(Duration::from_millis(1_510));
        world.region(REGIONS[1]).auto_enables_all_after(Duration::from_millis(9_310));
        world
    };
    run_matrix(beside, |fault| fault.first(1)).await;
}
