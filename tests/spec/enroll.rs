//! The main job: an event comes in, the account becomes a member in every Region, and every pair of account and Region
//! where that fails is handed on: to the retry queue where time can heal it, to the dead-letter queue where a person
//! must. What becomes of it there is in `retry.rs`; which events name an account is in `events.rs`.

use std::time::Duration;

use crate::world::{
    ONE_REGION, REGIONS, TIMEOUT, World, bare, error, event, hangs, ids, internal_error, operator,
    outcome, pair, pairs, tally, unprocessed,
};
use local_aws::{ADMIN_ACCOUNT, Fault, FaultKind, NEW_ACCOUNT, OTHER_ACCOUNT, Setup};
use serde_json::{Value, json};

const ALREADY: &str = "The request is rejected because the given account ID is already a member or associated member of the current account.";
const MANAGEMENT: &str = "Operation failed because your organization master must first enable GuardDuty to be added as a member";

// An event, and the calls that it costs.

#[tokio::test(start_paused = true)]
async fn a_new_account_is_enrolled_in_every_region() {
    let world = World::new();
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    for region in REGIONS {
        assert_eq!(pair(&reply, NEW_ACCOUNT, region), json!({"outcome": "enrolled"}));
    }
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_delivery_changes_nothing_and_makes_no_createmembers_call() {
    let world = World::new();
    world.enroll(&[NEW_ACCOUNT]).await;
    world.forget_calls();
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("already-enabled", REGIONS.len())]));
    assert_eq!(world.count("CreateMembers"), 0);
}

#[tokio::test(start_paused = true)]
async fn two_deliveries_at_the_same_time_both_end_with_the_account_enabled() {
    let setup = Setup { latency: Duration::from_secs(1), ..Setup::default() };
    let world = World::of(&setup, &[]);
    let accounts = [NEW_ACCOUNT];
    let replies = tokio::join!(world.enroll(&accounts), world.enroll(&accounts));
    for reply in [replies.0, replies.1] {
        for region in REGIONS {
            let outcome = outcome(&reply, NEW_ACCOUNT, region);
            assert!(["enrolled", "already-enabled"].contains(&outcome.as_str()), "{outcome}");
        }
    }
    // Neither could know of the other: at worst each makes the member once.
    assert!(world.count("CreateMembers") <= 2 * REGIONS.len());
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_can_be_excluded_in_one_region_or_by_its_organizational_unit() {
    let one = format!("{NEW_ACCOUNT}@eu-west-1");
    let world = World::with(&[("EXCLUDED_ACCOUNTS", &one)]);
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), "skipped: excluded");
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "us-east-1"), "enrolled");

    let unit = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/";
    let below = format!("{unit}ou-ab12-22222222/");
    for (paths, expected) in [
        (vec![below], "skipped: excluded"),
        (vec!["o-a1b2c3d4e5/r-ab12/ou-ab12-33333333/".to_owned()], "enrolled"),
        // Organizations says nothing: it is not excluded.
        (vec![], "enrolled"),
    ] {
        let world = World::with(&[("EXCLUDED_PATHS", unit), ("REGIONS", "eu-west-1")]);
        world.change(NEW_ACCOUNT, |account| account.paths = paths.clone());
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), expected, "{paths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_of_an_environment_makes_the_fewest_calls() {
    let world = World::instant();
    world.enroll(&[NEW_ACCOUNT]).await;
    for (operation, count) in [
        ("ListRegions", 1),
        ("DescribeAccount", 1),
        ("ListDetectors", REGIONS.len()),
        ("GetMembers", 2 * REGIONS.len()),
        ("CreateMembers", REGIONS.len()),
    ] {
        assert_eq!(world.count(operation), count, "{operation}");
    }
    assert_eq!(world.all_calls(), 2 + 4 * REGIONS.len());
}

#[tokio::test(start_paused = true)]
async fn a_warm_environment_asks_for_no_detector_and_no_region_again() {
    let world = World::instant();
    world.enroll(&[NEW_ACCOUNT]).await;
    world.forget_calls();
    world.enroll(&[OTHER_ACCOUNT]).await;
    assert_eq!(world.count("ListRegions"), 0);
    assert_eq!(world.count("ListDetectors"), 0);
    assert_eq!(world.all_calls(), 1 + 3 * REGIONS.len());
}

#[tokio::test(start_paused = true)]
async fn the_longest_chain_of_calls_is_four_for_a_first_event_and_three_for_a_warm_one() {
    // Virtual time: a call takes a second, and everything else none.
    let setup = Setup { latency: Duration::from_secs(1), ..Setup::instant() };
    let listed = REGIONS.join(",");
    // The list of the enabled Regions is one call more.
    for (regions, first) in [(listed.as_str(), 4), ("all", 5)] {
        let world = World::of(&setup, &[("REGIONS", regions)]);
        for (account, calls) in [(NEW_ACCOUNT, first), (OTHER_ACCOUNT, 3)] {
            let start = world.elapsed();
            world.enroll(&[account]).await;
            let took = world.elapsed().saturating_sub(start);
            assert_eq!(took, Duration::from_secs(calls), "{regions}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_that_names_no_account_makes_no_call() {
    let world = World::new();
    for file in ["create-account-api-call.json", "move-account.json"] {
        let reply = world.invoke(&event(file)).await.unwrap();
        assert!(reply["ignored"].is_string(), "{reply}");
    }
    for payload in ["{}", "not JSON", r#"{"accounts": ["12345678901"]}"#] {
        assert!(world.invoke_raw(payload, TIMEOUT).await.is_err());
    }
    assert_eq!(world.all_calls(), 0);
}

// Which accounts are enrolled.

#[tokio::test(start_paused = true)]
async fn the_administrator_and_excluded_accounts_are_skipped_without_a_word_to_guardduty() {
    let world = World::with(&[("EXCLUDED_ACCOUNTS", OTHER_ACCOUNT), ("REGIONS", "eu-west-1")]);
    let reply = world.enroll(&[ADMIN_ACCOUNT, OTHER_ACCOUNT]).await;
    for (account, expected) in
        [(ADMIN_ACCOUNT, "skipped: administrator-account"), (OTHER_ACCOUNT, "skipped: excluded")]
    {
        assert_eq!(outcome(&reply, account, "eu-west-1"), expected);
    }
    assert_eq!(world.all_calls(), 0);
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn only_an_active_account_is_enrolled() {
    for (state, expected) in [
        ("PENDING_ACTIVATION", "deferred: pending-activation"),
        ("SUSPENDED", "skipped: account-suspended"),
        ("PENDING_CLOSURE", "skipped: account-closed"),
        ("CLOSED", "skipped: account-closed"),
    ] {
        let world = World::new();
        world.change(NEW_ACCOUNT, |account| account.set_state(state));
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(tally(&reply), pairs([(expected, REGIONS.len())]), "{state}");
        assert_eq!(world.count("CreateMembers"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_events_word_is_never_enough_for_an_account_that_organizations_does_not_know() {
    let world = World::with(&ONE_REGION);
    let reply = world.enroll(&["999999999999"]).await;
    assert_eq!(tally(&reply), pairs([("deferred: account-not-found", 1)]));
    assert_eq!(world.count("CreateMembers"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_old_status_serves_where_organizations_sends_no_state() {
    let world = World::with(&ONE_REGION);
    world.change(NEW_ACCOUNT, |account| account.state = None);
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("enrolled", 1)]));
}

#[tokio::test(start_paused = true)]
async fn an_address_in_the_event_serves_only_where_organizations_has_none() {
    const KNOWN: Option<&str> = Some("new-account@example.com");
    const OTHER: &str = "other@example.com";
    for (known, in_event, used) in
        [(KNOWN, OTHER, KNOWN), (None, OTHER, Some(OTHER)), (None, "****", None)]
    {
        let world = World::with(&ONE_REGION);
        world.change(NEW_ACCOUNT, |account| {
            account.email = known.map(str::to_owned);
        });
        let event = json!({"id": "e-1", "detail": {
            "eventSource": "organizations.amazonaws.com",
            "eventName": "AccountJoinedOrganization",
            "serviceEventDetails": {"accountId": NEW_ACCOUNT, "email": in_event},
        }});
        let reply = world.invoke(&event).await.unwrap();
        let expected = if used.is_some() { "enrolled" } else { "refused: email-rejected" };
        assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), expected);
        let email = world.region("eu-west-1").member_email(NEW_ACCOUNT);
        assert_eq!(email.as_deref(), used);
    }
}

// Which Regions are covered.

#[tokio::test(start_paused = true)]
async fn all_covers_the_enabled_regions_and_no_other() {
    let world = World::new();
    for (region, status) in
        [("af-south-1", "DISABLED"), ("eu-south-1", "ENABLING"), ("us-east-1", "ENABLED")]
    {
        world.region(region).has_opt_status(status);
    }
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    let regions = reply["accounts"][0]["regions"].as_object().unwrap();
    let mut expected = REGIONS.to_vec();
    expected.sort_unstable();
    assert_eq!(regions.keys().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_was_opted_into_is_covered_ten_minutes_later() {
    let world = World::new();
    world.enroll(&[NEW_ACCOUNT]).await;
    world.region("eu-south-1").is_opted_into();
    tokio::time::sleep(Duration::from_mins(11)).await;
    world.enroll(&[OTHER_ACCOUNT]).await;
    assert!(world.enabled_regions(OTHER_ACCOUNT).contains("eu-south-1"));
}

#[tokio::test(start_paused = true)]
async fn without_the_list_of_regions_the_invocation_is_an_error_because_no_pair_can_be_named() {
    let world = World::new();
    let denied = error(403, "AccessDeniedException", "no");
    world.fault(Fault::always("ListRegions", denied));
    let failed = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap_err();
    for part in ["account:ListRegions", "AccessDeniedException: no"] {
        assert!(failed.to_string().contains(part), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_not_enabled_is_refused_with_its_reason() {
    let world = World::with(&ONE_REGION);
    world.region("eu-west-1").is_not_enabled();
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("refused: region-disabled", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_region_where_guardduty_is_off_or_not_delegated_or_denied_is_uncovered_unless_it_was_listed()
 {
    for (regions, status, letters) in [("all", "skipped", 0), (&REGIONS.join(","), "refused", 3)] {
        let world = World::with(&[("REGIONS", regions)]);
        world.region(REGIONS[0]).loses_detector();
        world.region(REGIONS[1]).has_another_administrator();
        let denied = error(403, "AccessDeniedException", "with an explicit deny");
        for operation in ["ListDetectors", "GetMembers", "CreateMembers"] {
            world.fault(Fault::always(operation, denied.clone()).in_region(REGIONS[2]));
        }
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        for (region, reason) in
            REGIONS.into_iter().zip(["no-detector", "not-administrator", "access-denied"])
        {
            assert_eq!(outcome(&reply, NEW_ACCOUNT, region), format!("{status}: {reason}"));
        }
        assert_eq!(outcome(&reply, NEW_ACCOUNT, REGIONS[3]), "enrolled");
        assert_eq!(world.dead_letters().len(), letters);
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_a_policy_denies_later_is_uncovered_in_a_warm_environment_too() {
    let world = World::new();
    world.enroll(&[NEW_ACCOUNT]).await;
    let denied = error(403, "AccessDeniedException", "with an explicit deny");
    for operation in ["ListDetectors", "GetMembers", "CreateMembers"] {
        world.fault(Fault::always(operation, denied.clone()).in_region("eu-west-1"));
    }
    let reply = world.enroll(&[OTHER_ACCOUNT]).await;
    assert_eq!(outcome(&reply, OTHER_ACCOUNT, "eu-west-1"), "skipped: access-denied");
}

#[tokio::test(start_paused = true)]
async fn what_meets_every_region_is_a_fault_of_the_deployment_and_leaves_dead_letters() {
    let denied = error(403, "AccessDeniedException", "no identity-based policy allows it");
    for operation in ["ListDetectors", "GetMembers", "CreateMembers"] {
        let world = World::new();
        world.fault(Fault::always(operation, denied.clone()));
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(tally(&reply), pairs([("refused: access-denied", REGIONS.len())]));
        assert_eq!(world.dead_letters().len(), REGIONS.len(), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_create_members_is_no_uncovered_region() {
    let world = World::new();
    world.region("us-east-1").set_member(NEW_ACCOUNT, "Enabled");
    let denied = error(403, "AccessDeniedException", "no identity-based policy allows it");
    world.fault(Fault::always("CreateMembers", denied));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    let refused = ("refused: access-denied", REGIONS.len() - 1);
    assert_eq!(tally(&reply), pairs([("already-enabled", 1), refused]));
}

#[tokio::test(start_paused = true)]
async fn a_detector_that_was_replaced_is_looked_up_again_once() {
    let world = World::new();
    world.enroll(&[NEW_ACCOUNT]).await;
    world.region("eu-west-1").replaces_detector();
    world.forget_calls();
    let reply = world.enroll(&[OTHER_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("enrolled", REGIONS.len())]));
    assert_eq!(world.count("ListDetectors"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_detector_that_is_never_ours_is_refused_after_one_more_look() {
    let text =
        "The request is rejected because the input detectorId is not owned by the current account.";
    let world = World::with(&[("REGIONS", &REGIONS.join(","))]);
    let not_ours = error(400, "BadRequestException", text);
    world.fault(Fault::always("GetMembers", not_ours).in_region("eu-west-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), "refused: no-detector");
    for operation in ["ListDetectors", "GetMembers"] {
        assert_eq!(world.count_in(operation, "eu-west-1"), 2, "{operation}");
    }
}

// What GuardDuty says of a member.

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_enabled_yet_is_pending() {
    let world = World::new();
    world.region("us-east-1").enables_after(Duration::from_mins(1));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "pending", "reason": "not-yet-enabled", "result": "relationshipStatus is Created"})
    );
    assert_eq!(world.retries().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn already_a_member_counts_only_once_getmembers_says_enabled() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", unprocessed(ALREADY)).in_region("us-east-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "pending", "reason": "not-yet-enabled", "result": ALREADY})
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_leaves_the_unprocessed_accounts_out_is_not_believed() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", internal_error()).in_region("us-east-1"));
    world.fault(Fault::always("CreateMembers", FaultKind::WithoutUnprocessedAccounts));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "us-east-1"), "deferred: unavailable");
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), "enrolled");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_member_is_left_alone_unless_resuming_was_asked_for() {
    for (resume, expected) in [("false", "refused: member-suspended"), ("true", "enrolled")] {
        let world = World::with(&[("RESUME_SUSPENDED_MEMBERS", resume)]);
        world.region("eu-west-1").set_member(NEW_ACCOUNT, "Disabled");
        let detector = world.region("eu-west-1").detector();
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), expected);
        for letter in world.dead_letters() {
            assert_eq!(letter["detectorId"], json!(detector));
        }
        assert_eq!(world.dead_letters().len(), usize::from(resume == "false"));
        assert_eq!(world.count_in("CreateMembers", "eu-west-1"), 0);
        assert_eq!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"), resume == "true");
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_is_created_again() {
    let world = World::with(&ONE_REGION);
    world.region("eu-west-1").set_member(NEW_ACCOUNT, "Removed");
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("enrolled", 1)]));
}

#[tokio::test(start_paused = true)]
async fn enabled_members_are_known_even_where_organizations_hangs() {
    let ids = ids(40);
    let world = World::with_accounts(&ids, &ONE_REGION);
    world.enroll(&ids).await;
    world.fault(Fault::always("DescribeAccount", hangs()));
    let reply = world.enroll(&ids).await;
    assert_eq!(tally(&reply), pairs([("already-enabled", 40)]));
}

// Many accounts in one call, and the one that spoils it.

#[tokio::test(start_paused = true)]
async fn fifty_one_accounts_are_two_calls_a_region() {
    let ids = ids(51);
    let world = World::with_accounts(&ids, &ONE_REGION);
    let reply = world.enroll(&ids).await;
    assert_eq!(world.batches("CreateMembers"), [50, 1]);
    assert_eq!(tally(&reply), pairs([("enrolled", 51)]));
}

#[tokio::test(start_paused = true)]
async fn one_bad_address_among_fifty_costs_two_calls_more_and_stops_nobody_else() {
    let ids = ids(50);
    let world = World::with_accounts(&ids, &ONE_REGION);
    world.change(&ids[49], |account| {
        account.email = Some("o'brien@example.com".to_owned());
    });
    let reply = world.enroll(&ids).await;
    assert_eq!(tally(&reply), pairs([("enrolled", 49), ("refused: email-rejected", 1)]));
    assert_eq!(world.count("CreateMembers"), 3);
    let letter = &world.dead_letters()[0];
    assert_eq!(letter["accountId"], ids[49]);
    let text = letter["result"].as_str().unwrap();
    assert!(text.contains("invalid or out-of-range value"), "{text}");
    assert!(!text.contains('@'), "{text}");
}

#[tokio::test(start_paused = true)]
async fn fifty_bad_addresses_are_all_named() {
    let ids = ids(50);
    let world = World::with_accounts(&ids, &ONE_REGION);
    for id in &ids {
        world.change(id, |account| {
            account.email = Some(format!("o'{id}@example.com"));
        });
    }
    let reply = world.enroll(&ids).await;
    assert_eq!(tally(&reply), pairs([("refused: email-rejected", 50)]));
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_that_no_address_explains_is_narrowed_down_to_its_account() {
    let ids = ids(50);
    let world = World::with_accounts(&ids, &ONE_REGION);
    let odd = error(400, "BadRequestException", "nobody has seen this reason");
    world.fault(Fault::always("CreateMembers", odd).on_account(&ids[17]));
    let reply = world.enroll(&ids).await;
    assert_eq!(outcome(&reply, &ids[17], "eu-west-1"), "deferred: unknown");
    assert_eq!(tally(&reply), pairs([("enrolled", 49), ("deferred: unknown", 1)]));
    assert!(world.count("CreateMembers") <= 13);
}

#[tokio::test(start_paused = true)]
async fn a_400_about_one_account_is_narrowed_down_whatever_its_text() {
    let itself = "The request is rejected because an account cannot become a member of itself.";
    for (text, expected) in [
        (ALREADY, "pending: not-yet-enabled"),
        (itself, "skipped: administrator-account"),
        (MANAGEMENT, "refused: management-account-not-enabled"),
    ] {
        let world = World::with(&ONE_REGION);
        let bad = error(400, "BadRequestException", text);
        world.fault(Fault::always("CreateMembers", bad).on_account(OTHER_ACCOUNT));
        let reply = world.enroll(&[NEW_ACCOUNT, OTHER_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), "enrolled");
        assert_eq!(outcome(&reply, OTHER_ACCOUNT, "eu-west-1"), expected);
        let skipped = usize::from(expected.starts_with("skipped"));
        assert_eq!(world.dead_letters().len() + world.retries().len(), 1 - skipped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_400_that_splitting_does_not_explain_costs_a_bounded_number_of_calls() {
    let ids = ids(50);
    let world = World::with_accounts(&ids, &ONE_REGION);
    let unknown = error(400, "BadRequestException", "never seen");
    world.fault(Fault::always("CreateMembers", unknown));
    let reply = world.enroll(&ids).await;
    assert_eq!(tally(&reply), pairs([("deferred: unknown", 50)]));
    // 50 accounts, each alone at last, and the 49 calls that were split.
    assert_eq!(world.count("CreateMembers"), 99);
    assert_eq!(world.retries().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_about_the_caller_is_not_split() {
    let world = World::with(&ONE_REGION);
    let denied = error(403, "AccessDeniedException", "no");
    world.fault(Fault::always("CreateMembers", denied));
    let reply = world.enroll(&[NEW_ACCOUNT, OTHER_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("refused: access-denied", 2)]));
    assert_eq!(world.count("CreateMembers"), 1);
}

// Throttling, outages and the deadline.

#[tokio::test(start_paused = true)]
async fn a_429_without_a_code_is_throttling() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", bare(429)).in_region("us-east-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "us-east-1"), "deferred: throttled");
}

#[tokio::test(start_paused = true)]
async fn one_region_that_is_down_delays_no_other() {
    let world = World::new();
    world.fault(Fault::always("GetMembers", hangs()).in_region("us-east-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "deferred", "reason": "unavailable", "result": "GetMembers in us-east-1: no answer in time"})
    );
    let creates = world.calls("CreateMembers");
    let times: Vec<Duration> = creates.iter().map(|call| call.at).collect();
    assert_eq!(times, [Duration::ZERO; 3]);
    assert_eq!(world.enabled_regions(NEW_ACCOUNT).len(), REGIONS.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn one_region_that_fails_for_ever_does_not_use_up_the_retries_of_the_others() {
    let world = World::with(&[("REGIONS", "eu-west-1,us-east-1")]);
    world.fault(Fault::always("GetMembers", bare(503)).in_region("us-east-1"));
    // More failures than one shared retry budget of the SDK (500 tokens, 5 each) would allow.
    for _ in 0..60 {
        world.enroll(&[NEW_ACCOUNT]).await;
    }
    world.fault(Fault::always("GetMembers", bare(503)).in_region("eu-west-1").first(2));
    let reply = world.enroll(&[OTHER_ACCOUNT]).await;
    assert_eq!(outcome(&reply, OTHER_ACCOUNT, "eu-west-1"), "enrolled");
}

#[tokio::test(start_paused = true)]
async fn pairs_that_are_not_done_before_the_deadline_are_handed_on() {
    let world = World::new();
    for operation in ["GetMembers", "CreateMembers"] {
        // Slow, but never too slow for one call; two looks, because the first is old when it comes.
        let slow = FaultKind::Delay(Duration::from_secs(4));
        world.fault(Fault::always(operation, slow).in_region("us-east-1"));
    }
    let payload = operator(&[NEW_ACCOUNT]).to_string();
    let time_left = Duration::from_secs(25);
    let reply = world.invoke_raw(&payload, time_left).await.unwrap();
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "pending", "reason": "not-yet-enabled"})
    );
    assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1"), "enrolled");
    assert_eq!(world.retries().len(), 1);
    assert!(world.elapsed() <= Duration::from_secs(16));
}

#[tokio::test(start_paused = true)]
async fn what_was_reached_before_the_deadline_stays_reached() {
    let ids = ids(100);
    let world = World::with_accounts(&ids, &ONE_REGION);
    let slow = FaultKind::Delay(Duration::from_secs(4));
    world.fault(Fault::always("CreateMembers", slow));
    let payload = operator(&ids).to_string();
    let time_left = Duration::from_secs(14);
    let reply = world.invoke_raw(&payload, time_left).await.unwrap();
    assert_eq!(tally(&reply), pairs([("enrolled", 50), ("deferred: deadline", 50)]));
    assert_eq!(world.retries().len(), 50);
}

// Handing on.

#[tokio::test(start_paused = true)]
async fn a_pair_that_can_heal_waits_in_the_retry_queue_for_half_a_minute() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", internal_error()).in_region("us-east-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "deferred", "reason": "internal-error", "result": "Internal error"})
    );
    assert!(world.dead_letters().is_empty());
    assert_eq!(world.waits(), [Duration::from_secs(30)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_pair_is_a_dead_letter_with_guarddutys_own_text_and_touches_no_other_region() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", unprocessed(MANAGEMENT)).in_region("eu-west-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "eu-west-1"),
        json!({"outcome": "refused", "reason": "management-account-not-enabled", "result": MANAGEMENT})
    );
    assert_eq!(world.enabled_regions(NEW_ACCOUNT).len(), REGIONS.len() - 1);
    assert!(world.retries().is_empty());
    let detector = world.region("eu-west-1").detector();
    let letters = world.dead_letters();
    let time = &letters[0]["firstFailedAt"];
    assert!(time.is_string());
    assert_eq!(
        letters,
        [json!({
            "version": 1,
            "accountId": NEW_ACCOUNT,
            "region": "eu-west-1",
            "outcome": "refused",
            "reason": "management-account-not-enabled",
            "result": MANAGEMENT,
            "detectorId": detector,
            "attempts": 1,
            "firstFailedAt": time,
            "lastFailedAt": time,
            "eventId": "request-1",
            "eventTime": null,
        })]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_carries_reason_region_and_account_as_message_attributes() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", unprocessed(MANAGEMENT)).in_region("eu-west-1"));
    world.enroll(&[NEW_ACCOUNT]).await;
    let expected = [
        ("accountId", NEW_ACCOUNT),
        ("reason", "management-account-not-enabled"),
        ("region", "eu-west-1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(world.dead_letter_attributes(), [expected.into()]);
}

#[tokio::test(start_paused = true)]
async fn no_message_holds_an_address_even_where_guardduty_repeats_it() {
    let world = World::new();
    let text = "Invalid e-mail new-account@example.com for the account";
    let denied = error(403, "AccessDeniedException", text);
    world.fault(Fault::always("CreateMembers", unprocessed(text)).in_region("us-east-1"));
    world.fault(Fault::always("CreateMembers", denied).in_region("eu-west-1"));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    let all = [json!(world.dead_letters()), json!(world.retries()), reply];
    assert_eq!(world.dead_letters().len() + world.retries().len(), 2);
    for value in all.map(|value| Value::to_string(&value)) {
        assert!(!value.contains('@'), "{value}");
        assert!(value.contains("<e-mail>"), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_failed_part_of_a_sendmessagebatch_is_sent_again() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", internal_error()));
    world.fault(
        Fault::always("SendMessageBatch", unprocessed("InternalFailure"))
            .on_account(NEW_ACCOUNT)
            .first(2),
    );
    world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(world.retries().len(), REGIONS.len());
    assert_eq!(world.count("SendMessageBatch"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_sqs_never_takes_is_an_error_that_names_the_count() {
    let world = World::new();
    for operation in ["CreateMembers", "SendMessageBatch"] {
        world.fault(Fault::always(operation, unprocessed("InternalFailure")));
    }
    let failed = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap_err();
    assert!(failed.to_string().contains("4 of 4 messages"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn the_handler_fails_only_where_a_pair_could_not_be_handed_on() {
    let world = World::new();
    let down = error(503, "ServiceUnavailable", "down");
    world.fault(Fault::always("SendMessageBatch", down));
    // Nothing to hand on.
    let reply = world.enroll(&[OTHER_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("enrolled", REGIONS.len())]));

    world.fault(Fault::always("CreateMembers", internal_error()).in_region("us-east-1"));
    let failed = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap_err();
    for part in ["1 of 1 messages did not reach", "ServiceUnavailable: down"] {
        assert!(failed.to_string().contains(part), "{failed}");
    }
}
