//! The main job: an event comes in, the account becomes a member in every Region, and what does not is handed on.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use std::time::Duration;

use local_aws::{ADMIN_ACCOUNT, Fault, FaultKind, NEW_ACCOUNT, OTHER_ACCOUNT, Setup};
use serde_json::{Value, json};
use world::{REGIONS, World, operator, outcome};

fn refused(text: &str) -> FaultKind {
    FaultKind::Unprocessed(text.to_owned())
}

fn error(status: u16, code: &str, message: &str) -> FaultKind {
    FaultKind::Error {
        status,
        code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}

const MANAGEMENT: &str = "Operation failed because your organization master must first enable GuardDuty to be added as a member";

#[tokio::test(start_paused = true)]
async fn a_new_account_is_enrolled_in_every_region() {
    let world = World::new();
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    for region in REGIONS {
        assert_eq!(
            outcome(&reply, NEW_ACCOUNT, region),
            json!({"outcome": "enrolled"})
        );
    }
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.dead_letters().is_empty());
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_delivery_changes_nothing_and_makes_no_createmembers_call() {
    let world = World::new();
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    world.forget_calls();
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    for region in REGIONS {
        assert_eq!(
            outcome(&reply, NEW_ACCOUNT, region),
            json!({"outcome": "already-enabled"})
        );
    }
    assert!(world.calls("CreateMembers").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_event_of_an_environment_makes_the_fewest_calls() {
    let world = World::new();
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let count = |operation| world.calls(operation).len();
    assert_eq!(count("ListRegions"), 1);
    assert_eq!(count("DescribeAccount"), 1);
    assert_eq!(count("ListDetectors"), REGIONS.len());
    assert_eq!(count("GetMembers"), 2 * REGIONS.len());
    assert_eq!(count("CreateMembers"), REGIONS.len());
    assert_eq!(world.cloud.lock().calls.len(), 2 + 4 * REGIONS.len());
}

#[tokio::test(start_paused = true)]
async fn a_warm_environment_asks_for_no_detector_and_no_region_again() {
    let world = World::new();
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    world.forget_calls();
    world.invoke(&operator(&[OTHER_ACCOUNT])).await.unwrap();
    assert!(world.calls("ListRegions").is_empty());
    assert!(world.calls("ListDetectors").is_empty());
    assert_eq!(world.cloud.lock().calls.len(), 1 + 3 * REGIONS.len());
}

#[tokio::test(start_paused = true)]
async fn the_longest_chain_of_calls_is_four_for_a_first_event_and_three_for_a_warm_one() {
    // Virtual time: a call takes a second, and everything else none.
    let setup = Setup {
        latency: Duration::from_secs(1),
        ..Setup::default()
    };
    let listed = REGIONS.join(",");
    for (regions, first) in [(listed.as_str(), 4), ("all", 5)] {
        let world = World::of(&setup, &[("REGIONS", regions)]);
        for (account, calls) in [(NEW_ACCOUNT, first), (OTHER_ACCOUNT, 3)] {
            let start = world.cloud.elapsed();
            world.invoke(&operator(&[account])).await.unwrap();
            let took = world.cloud.elapsed().saturating_sub(start);
            assert_eq!(took, Duration::from_secs(calls), "{regions}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_join_or_no_event_makes_no_call() {
    let world = World::new();
    for file in ["create-account-api-call.json", "move-account.json"] {
        let reply = world.invoke(&world::event(file)).await.unwrap();
        assert!(reply["ignored"].is_string(), "{reply}");
    }
    for payload in ["{}", "not JSON", r#"{"accounts": ["12345678901"]}"#] {
        assert!(world.invoke_raw(payload, world::TIMEOUT).await.is_err());
    }
    assert!(world.cloud.lock().calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_pair_is_a_dead_letter_with_guarddutys_own_text_and_touches_no_other_region() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused(MANAGEMENT)).in_region("eu-west-1"));
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1"),
        json!({"outcome": "refused", "reason": "management-account-not-enabled", "result": MANAGEMENT})
    );
    assert_eq!(world.enabled_regions(NEW_ACCOUNT).len(), REGIONS.len() - 1);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = letters[0].as_object().unwrap();
    let detector = world.cloud.lock().guardduty["eu-west-1"]
        .detector_id
        .clone();
    assert_eq!(letter["version"], 1);
    assert_eq!(letter["accountId"], NEW_ACCOUNT);
    assert_eq!(letter["region"], "eu-west-1");
    assert_eq!(letter["outcome"], "refused");
    assert_eq!(letter["reason"], "management-account-not-enabled");
    assert_eq!(letter["result"], MANAGEMENT);
    assert_eq!(letter["detectorId"], json!(detector));
    assert_eq!(letter["attempts"], 1);
    assert_eq!(letter["firstFailedAt"], letter["lastFailedAt"]);
    assert_eq!(letter["eventId"], "request-1");
    assert_eq!(letter["eventTime"], Value::Null);
    assert_eq!(letter.len(), 12);
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_carries_reason_region_and_account_as_message_attributes() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused(MANAGEMENT)).in_region("eu-west-1"));
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let state = world.cloud.lock();
    let message = &state.queues.queues[local_aws::DEAD_LETTER_QUEUE_URL].messages[0];
    let text = |name: &str| message.attributes[name].string_value.clone().unwrap();
    assert_eq!(text("reason"), "management-account-not-enabled");
    assert_eq!(text("region"), "eu-west-1");
    assert_eq!(text("accountId"), NEW_ACCOUNT);
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_can_heal_waits_in_the_retry_queue_for_half_a_minute() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused("Internal error")).in_region("us-east-1"));
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "deferred", "reason": "internal-error", "result": "Internal error"})
    );
    assert!(world.dead_letters().is_empty());
    let state = world.cloud.lock();
    let message = &state.queues.queues[local_aws::RETRY_QUEUE_URL].messages[0];
    assert_eq!(message.visible_at, message.sent + Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_enabled_yet_is_pending() {
    let world = World::new();
    world.cloud.lock().guardduty_in("us-east-1").enables_after = Duration::from_mins(1);
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let pair = outcome(&reply, NEW_ACCOUNT, "us-east-1");
    assert_eq!(pair["outcome"], "pending");
    assert_eq!(pair["reason"], "not-yet-enabled");
    assert!(
        pair["result"]
            .as_str()
            .unwrap()
            .starts_with("relationshipStatus is ")
    );
    assert_eq!(world.retries().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_leaves_the_unprocessed_accounts_out_is_not_believed() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused("Internal error")).in_region("us-east-1"));
    world.fault(Fault::always(
        "CreateMembers",
        FaultKind::WithoutUnprocessedAccounts,
    ));
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "us-east-1")["outcome"],
        "pending"
    );
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"],
        "enrolled"
    );
}

#[tokio::test(start_paused = true)]
async fn already_a_member_counts_only_once_getmembers_says_enabled() {
    let already = "The request is rejected because the given account ID is already a member or associated member of the current account.";
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused(already)).in_region("us-east-1"));
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let pair = outcome(&reply, NEW_ACCOUNT, "us-east-1");
    assert_eq!(
        pair,
        json!({"outcome": "pending", "reason": "not-yet-enabled", "result": already})
    );
}

#[tokio::test(start_paused = true)]
async fn one_region_that_is_down_delays_no_other() {
    let world = World::new();
    world.fault(
        Fault::always("GetMembers", FaultKind::Delay(Duration::from_hours(1)))
            .in_region("us-east-1"),
    );
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "deferred", "reason": "unavailable", "result": "NoAnswer: no answer in time"})
    );
    let last = world
        .calls("CreateMembers")
        .iter()
        .map(|call| call.at)
        .max();
    assert_eq!(last, Some(Duration::ZERO));
    assert_eq!(world.enabled_regions(NEW_ACCOUNT).len(), REGIONS.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn a_detector_that_was_replaced_is_looked_up_anew_once() {
    let world = World::new();
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    world.cloud.lock().guardduty_in("eu-west-1").detector_id =
        Some("00000000000000000000000000000001".to_owned());
    world.forget_calls();
    let reply = world.invoke(&operator(&[OTHER_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, OTHER_ACCOUNT, "eu-west-1")["outcome"],
        "enrolled"
    );
    assert_eq!(world.calls("ListDetectors").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_detector_that_is_never_ours_is_refused_after_one_more_look() {
    let text =
        "The request is rejected because the input detectorId is not owned by the current account.";
    let world = World::new();
    world.fault(
        Fault::always("GetMembers", error(400, "BadRequestException", text)).in_region("eu-west-1"),
    );
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["reason"],
        "no-detector"
    );
    let in_region = |call: &&local_aws::Call| call.region == "eu-west-1";
    assert_eq!(
        world
            .calls("ListDetectors")
            .iter()
            .filter(in_region)
            .count(),
        2
    );
    assert_eq!(
        world.calls("GetMembers").iter().filter(in_region).count(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_detector_is_refused_where_the_region_was_listed_and_skipped_under_all() {
    for (regions, outcome_name) in [("eu-west-1,us-east-1", "refused"), ("all", "skipped")] {
        let world = World::with(&[("REGIONS", regions)]);
        world.cloud.lock().guardduty_in("eu-west-1").detector_id = None;
        let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
        let pair = outcome(&reply, NEW_ACCOUNT, "eu-west-1");
        assert_eq!(pair["outcome"], outcome_name);
        assert_eq!(pair["reason"], "no-detector");
        assert_eq!(
            outcome(&reply, NEW_ACCOUNT, "us-east-1")["outcome"],
            "enrolled"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_not_enabled_is_refused_with_its_reason() {
    let world = World::with(&[("REGIONS", "eu-west-1,us-east-1")]);
    world
        .cloud
        .lock()
        .guardduty_in("eu-west-1")
        .enabled_for_admin = false;
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["reason"],
        "region-disabled"
    );
}

#[tokio::test(start_paused = true)]
async fn all_covers_the_enabled_regions_and_no_other() {
    let world = World::new();
    let statuses = &mut world.cloud.lock().account.statuses.clone();
    statuses.insert("af-south-1".to_owned(), "DISABLED".to_owned());
    statuses.insert("eu-south-1".to_owned(), "ENABLING".to_owned());
    statuses.insert("us-east-1".to_owned(), "ENABLED".to_owned());
    world.cloud.lock().account.statuses = statuses.clone();
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let regions = reply["accounts"][0]["regions"].as_object().unwrap();
    let mut expected = REGIONS.to_vec();
    expected.sort_unstable();
    assert_eq!(regions.keys().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn without_the_list_of_regions_the_invocation_is_an_error_because_no_pair_can_be_named() {
    let world = World::new();
    world.fault(Fault::always(
        "ListRegions",
        error(403, "AccessDeniedException", "no"),
    ));
    let failed = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap_err();
    assert!(
        failed.to_string().contains("account:ListRegions"),
        "{failed}"
    );
    assert!(
        failed.to_string().contains("AccessDeniedException: no"),
        "{failed}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_administrator_and_excluded_accounts_are_skipped_without_a_word_to_guardduty() {
    let world = World::with(&[
        ("EXCLUDED_ACCOUNTS", OTHER_ACCOUNT),
        ("REGIONS", "eu-west-1"),
    ]);
    let reply = world
        .invoke(&operator(&[ADMIN_ACCOUNT, OTHER_ACCOUNT]))
        .await
        .unwrap();
    assert_eq!(
        outcome(&reply, ADMIN_ACCOUNT, "eu-west-1")["reason"],
        "administrator-account"
    );
    assert_eq!(
        outcome(&reply, OTHER_ACCOUNT, "eu-west-1")["reason"],
        "excluded"
    );
    assert!(world.cloud.lock().calls.is_empty());
    assert!(world.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_an_active_account_is_enrolled() {
    for (state, name, reason) in [
        ("PENDING_ACTIVATION", "deferred", "pending-activation"),
        ("SUSPENDED", "skipped", "account-suspended"),
        ("PENDING_CLOSURE", "skipped", "account-closed"),
        ("CLOSED", "skipped", "account-closed"),
    ] {
        let world = World::new();
        let set = |state: &str| {
            let mut cloud = world.cloud.lock();
            cloud
                .organization
                .accounts
                .get_mut(NEW_ACCOUNT)
                .unwrap()
                .set_state(state);
        };
        set(state);
        let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
        let pair = outcome(&reply, NEW_ACCOUNT, "eu-west-1");
        assert_eq!(pair["outcome"], name, "{state}");
        assert_eq!(pair["reason"], reason, "{state}");
        assert!(world.calls("CreateMembers").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_events_word_is_never_enough_for_an_account_that_organizations_does_not_know() {
    let world = World::new();
    let reply = world.invoke(&operator(&["999999999999"])).await.unwrap();
    let pair = outcome(&reply, "999999999999", "eu-west-1");
    assert_eq!(pair["outcome"], "deferred");
    assert_eq!(pair["reason"], "account-not-found");
    assert!(world.calls("CreateMembers").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_old_status_serves_where_organizations_sends_no_state() {
    let world = World::new();
    let forget_state = || {
        let mut cloud = world.cloud.lock();
        cloud
            .organization
            .accounts
            .get_mut(NEW_ACCOUNT)
            .unwrap()
            .state = None;
    };
    forget_state();
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"],
        "enrolled"
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_in_the_event_serves_only_where_organizations_has_none() {
    let event = |email: &str| {
        json!({"id": "e-1", "detail": {
            "eventSource": "organizations.amazonaws.com",
            "eventName": "AccountJoinedOrganization",
            "serviceEventDetails": {"accountId": NEW_ACCOUNT, "email": email},
        }})
    };
    for (known, in_event, outcome_name) in [
        (
            Some("new-account@example.com"),
            "other@example.com",
            "enrolled",
        ),
        (None, "other@example.com", "enrolled"),
        (None, "****", "refused"),
    ] {
        let world = World::new();
        let set = |known: Option<&str>| {
            let mut cloud = world.cloud.lock();
            let account = cloud.organization.accounts.get_mut(NEW_ACCOUNT).unwrap();
            account.email = known.map(str::to_owned);
        };
        set(known);
        let reply = world.invoke(&event(in_event)).await.unwrap();
        assert_eq!(
            outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"],
            outcome_name
        );
        let cloud = world.cloud.lock();
        let member = cloud.guardduty["eu-west-1"].members.get(NEW_ACCOUNT);
        let address = member.map(|member| member.email.as_str());
        assert_eq!(
            address,
            (outcome_name == "enrolled").then_some(known.unwrap_or(in_event))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_member_is_left_alone_unless_resuming_was_asked_for() {
    for (resume, name) in [("false", "refused"), ("true", "enrolled")] {
        let world = World::with(&[("RESUME_SUSPENDED_MEMBERS", resume)]);
        let member = local_aws::Member::new("new-account@example.com", "Disabled");
        world
            .cloud
            .lock()
            .guardduty_in("eu-west-1")
            .members
            .insert(NEW_ACCOUNT.to_owned(), member);
        let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
        assert_eq!(outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"], name);
        let creates = world.calls("CreateMembers");
        assert!(creates.iter().all(|call| call.region != "eu-west-1"));
        assert_eq!(
            world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"),
            resume == "true"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_is_created_again() {
    let world = World::new();
    let member = local_aws::Member::new("new-account@example.com", "Removed");
    world
        .cloud
        .lock()
        .guardduty_in("eu-west-1")
        .members
        .insert(NEW_ACCOUNT.to_owned(), member);
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"],
        "enrolled"
    );
}

#[tokio::test(start_paused = true)]
async fn fifty_one_accounts_are_two_calls_a_region() {
    let ids: Vec<String> = (0..51)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let reply = world.invoke(&operator(&ids)).await.unwrap();
    let sizes: Vec<usize> = world
        .calls("CreateMembers")
        .iter()
        .map(|call| call.accounts.len())
        .collect();
    assert_eq!(sizes, [50, 1]);
    assert!(
        ids.iter()
            .all(|id| outcome(&reply, id, "eu-west-1")["outcome"] == "enrolled")
    );
}

#[tokio::test(start_paused = true)]
async fn one_bad_address_among_fifty_costs_two_calls_more_and_stops_nobody_else() {
    let ids: Vec<String> = (0..50)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    setup.accounts.last_mut().unwrap().1 = "o'brien@example.com".to_owned();
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let reply = world.invoke(&operator(&ids)).await.unwrap();
    let (bad, good) = ids.split_last().unwrap();
    assert_eq!(
        outcome(&reply, bad, "eu-west-1")["reason"],
        "email-rejected"
    );
    assert!(
        good.iter()
            .all(|id| outcome(&reply, id, "eu-west-1")["outcome"] == "enrolled")
    );
    assert_eq!(world.calls("CreateMembers").len(), 3);
    let text = world.dead_letters()[0]["result"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(text.contains("invalid or out-of-range value"), "{text}");
    assert!(!text.contains('@'), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_that_no_address_explains_is_narrowed_down_to_its_account() {
    let ids: Vec<String> = (0..50)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    let text = "The request is rejected for a reason that nobody has seen.";
    let odd = &ids[17];
    world.fault(
        Fault::always("CreateMembers", error(400, "BadRequestException", text)).on_account(odd),
    );
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let reply = world.invoke(&operator(&all)).await.unwrap();
    let pair = outcome(&reply, odd, "eu-west-1");
    assert_eq!(pair["outcome"], "deferred");
    assert_eq!(pair["reason"], "unknown");
    let enrolled = ids
        .iter()
        .filter(|id| outcome(&reply, id, "eu-west-1")["outcome"] == "enrolled");
    assert_eq!(enrolled.count(), 49);
    assert!(world.calls("CreateMembers").len() <= 13);
}

#[tokio::test(start_paused = true)]
async fn pairs_that_are_not_done_before_the_deadline_are_handed_on() {
    let world = World::new();
    for operation in ["GetMembers", "CreateMembers"] {
        // Slow, but never too slow for one call.
        world.fault(
            Fault::always(operation, FaultKind::Delay(Duration::from_secs(4)))
                .in_region("us-east-1"),
        );
    }
    let payload = operator(&[NEW_ACCOUNT]).to_string();
    let reply = world
        .invoke_raw(&payload, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "us-east-1"),
        json!({"outcome": "deferred", "reason": "deadline"})
    );
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"],
        "enrolled"
    );
    assert_eq!(world.retries().len(), 1);
    assert!(world.cloud.elapsed() <= Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn what_was_reached_before_the_deadline_stays_reached() {
    let ids: Vec<String> = (0..100)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    world.fault(Fault::always(
        "CreateMembers",
        FaultKind::Delay(Duration::from_secs(4)),
    ));
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let payload = operator(&all).to_string();
    let reply = world
        .invoke_raw(&payload, Duration::from_secs(14))
        .await
        .unwrap();
    let count = |name: &str| {
        let pairs = all
            .iter()
            .map(|id| outcome(&reply, id, "eu-west-1")["outcome"].clone());
        pairs.filter(|outcome| outcome == name).count()
    };
    assert_eq!((count("enrolled"), count("deferred")), (50, 50));
    assert_eq!(world.retries().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn the_handler_fails_only_where_a_pair_could_not_be_handed_on() {
    let down = || error(503, "ServiceUnavailable", "down");
    let world = World::new();
    world.fault(Fault::always("SendMessageBatch", down()));
    assert!(
        world.invoke(&operator(&[NEW_ACCOUNT])).await.is_ok(),
        "nothing to hand on"
    );

    let world = World::new();
    world.fault(Fault::always("SendMessageBatch", down()));
    world.fault(Fault::always("CreateMembers", refused("Internal error")).in_region("us-east-1"));
    let failed = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap_err();
    let text = failed.to_string();
    assert!(text.contains("1 of 1 messages did not reach"), "{text}");
    assert!(text.contains("ServiceUnavailable: down"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_failed_part_of_a_sendmessagebatch_is_sent_again() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused("Internal error")));
    world.fault(
        Fault::always("SendMessageBatch", refused("InternalFailure"))
            .on_account(NEW_ACCOUNT)
            .first(2),
    );
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    assert_eq!(world.retries().len(), REGIONS.len());
    assert_eq!(world.calls("SendMessageBatch").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_sqs_never_takes_is_an_error_that_names_the_count() {
    let world = World::new();
    world.fault(Fault::always("CreateMembers", refused("Internal error")));
    world.fault(Fault::always(
        "SendMessageBatch",
        refused("InternalFailure"),
    ));
    let failed = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap_err();
    assert!(failed.to_string().contains("4 of 4 messages"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_400_about_one_account_is_narrowed_down_whatever_its_text() {
    for text in [
        "The request is rejected because the given account ID is already a member or associated member of the current account.",
        "The request is rejected because an account cannot become a member of itself.",
        MANAGEMENT,
    ] {
        let world = World::with(&[("REGIONS", "eu-west-1")]);
        let bad = error(400, "BadRequestException", text);
        world.fault(Fault::always("CreateMembers", bad).on_account(OTHER_ACCOUNT));
        let reply = world
            .invoke(&operator(&[NEW_ACCOUNT, OTHER_ACCOUNT]))
            .await
            .unwrap();
        assert_eq!(
            outcome(&reply, NEW_ACCOUNT, "eu-west-1")["outcome"],
            "enrolled",
            "{text}"
        );
        assert_ne!(
            outcome(&reply, OTHER_ACCOUNT, "eu-west-1")["outcome"],
            "skipped",
            "{text}"
        );
        assert_eq!(
            world.dead_letters().len() + world.retries().len(),
            1,
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_about_the_caller_is_not_split() {
    let world = World::with(&[("REGIONS", "eu-west-1")]);
    let denied = error(403, "AccessDeniedException", "no");
    world.fault(Fault::always("CreateMembers", denied));
    let reply = world
        .invoke(&operator(&[NEW_ACCOUNT, OTHER_ACCOUNT]))
        .await
        .unwrap();
    assert_eq!(
        outcome(&reply, NEW_ACCOUNT, "eu-west-1")["reason"],
        "access-denied"
    );
    assert_eq!(world.calls("CreateMembers").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_bad_addresses_are_all_named() {
    let ids: Vec<String> = (0..50)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("o'{id}@example.com"))),
    );
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let reply = world.invoke(&operator(&ids)).await.unwrap();
    for id in ids {
        let pair = outcome(&reply, id, "eu-west-1");
        assert_eq!(pair["reason"], "email-rejected", "{pair}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_400_that_splitting_does_not_explain_costs_a_bounded_number_of_calls() {
    let ids: Vec<String> = (0..50)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    world.fault(Fault::always(
        "CreateMembers",
        error(400, "BadRequestException", "never seen"),
    ));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let reply = world.invoke(&operator(&ids)).await.unwrap();
    assert!(
        ids.iter()
            .all(|id| outcome(&reply, id, "eu-west-1")["reason"] == "unknown")
    );
    // 50 accounts, each alone at last, and the 49 calls that were split.
    assert_eq!(world.calls("CreateMembers").len(), 99);
    assert_eq!(world.retries().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_was_opted_into_is_covered_ten_minutes_later() {
    let world = World::new();
    world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let opt_in = || {
        let mut cloud = world.cloud.lock();
        cloud.guardduty_in("eu-south-1");
        cloud
            .account
            .statuses
            .insert("eu-south-1".to_owned(), "ENABLED".to_owned());
    };
    opt_in();
    tokio::time::sleep(Duration::from_mins(11)).await;
    world.invoke(&operator(&[OTHER_ACCOUNT])).await.unwrap();
    assert!(world.enabled_regions(OTHER_ACCOUNT).contains("eu-south-1"));
}

#[tokio::test(start_paused = true)]
async fn enabled_members_are_known_even_where_organizations_hangs() {
    let ids: Vec<String> = (0..40)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    let world = World::of(&setup, &[("REGIONS", "eu-west-1")]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    world.invoke(&operator(&ids)).await.unwrap();
    world.fault(Fault::always(
        "DescribeAccount",
        FaultKind::Delay(Duration::from_hours(1)),
    ));
    let reply = world.invoke(&operator(&ids)).await.unwrap();
    assert!(
        ids.iter()
            .all(|id| outcome(&reply, id, "eu-west-1")["outcome"] == "already-enabled")
    );
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_code_is_throttling() {
    let world = World::new();
    let bare = FaultKind::Error {
        status: 429,
        code: None,
        message: "slow down".to_owned(),
    };
    world.fault(Fault::always("CreateMembers", bare).in_region("us-east-1"));
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let pair = outcome(&reply, NEW_ACCOUNT, "us-east-1");
    assert_eq!(
        (&pair["outcome"], &pair["reason"]),
        (&json!("deferred"), &json!("throttled"))
    );
}

#[tokio::test(start_paused = true)]
async fn one_region_that_fails_for_ever_does_not_use_up_the_retries_of_the_others() {
    let world = World::with(&[("REGIONS", "eu-west-1,us-east-1")]);
    world.fault(
        Fault::always("GetMembers", error(503, "ServiceUnavailable", "down"))
            .in_region("us-east-1"),
    );
    // More failures than one shared retry budget of the SDK (500 tokens, 5 each) would allow.
    for _ in 0..60 {
        world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    }
    world.fault(
        Fault::always("GetMembers", error(503, "ServiceUnavailable", "down"))
            .in_region("eu-west-1")
            .first(2),
    );
    let reply = world.invoke(&operator(&[OTHER_ACCOUNT])).await.unwrap();
    assert_eq!(
        outcome(&reply, OTHER_ACCOUNT, "eu-west-1")["outcome"],
        "enrolled"
    );
}

#[tokio::test(start_paused = true)]
async fn no_message_holds_an_address_even_where_guardduty_repeats_it() {
    let world = World::new();
    let text = "Invalid e-mail new-account@example.com for the account";
    world.fault(Fault::always("CreateMembers", refused(text)).in_region("us-east-1"));
    world.fault(
        Fault::always("CreateMembers", error(403, "AccessDeniedException", text))
            .in_region("eu-west-1"),
    );
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let all = [json!(world.dead_letters()), json!(world.retries()), reply];
    assert_eq!(world.dead_letters().len() + world.retries().len(), 2);
    for value in all.map(|value| Value::to_string(&value)) {
        assert!(!value.contains('@'), "{value}");
        assert!(value.contains("<e-mail>"), "{value}");
    }
}
