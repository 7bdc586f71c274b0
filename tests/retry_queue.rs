//! The retry queue: growing delays, the last attempt, the redrive, and messages that nobody expected.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use std::time::Duration;

use local_aws::{
    ADMIN_ACCOUNT, Fault, FaultKind, MANAGEMENT_ACCOUNT, NEW_ACCOUNT, OTHER_ACCOUNT,
    RETRY_QUEUE_URL, Setup,
};
use serde_json::{Value, json};
use world::{REGIONS, World, event, operator, outcome};

fn unprocessed(text: &str) -> FaultKind {
    FaultKind::Unprocessed(text.to_owned())
}

fn down() -> FaultKind {
    FaultKind::Error {
        status: 503,
        code: None,
        message: "down".to_owned(),
    }
}

/// Puts messages into the retry queue, as a redrive or a person would.
fn put(world: &World, bodies: &[Value]) {
    let now = world.cloud.elapsed();
    let mut cloud = world.cloud.lock();
    for body in bodies {
        let draft = local_aws::Draft::text(body.to_string());
        cloud.queues.send(now, RETRY_QUEUE_URL, draft).unwrap();
    }
}

fn record(account: &str, region: &str) -> Value {
    json!({
        "version": 1, "accountId": account, "region": region, "outcome": "deferred",
        "reason": "internal-error", "result": null, "detectorId": null, "attempts": 1,
        "firstFailedAt": "2026-05-01T00:00:00Z", "lastFailedAt": "2026-05-01T00:00:00Z", "eventId": null,
    })
}

async fn drive(world: &mut World) {
    world.drive(Duration::from_hours(24)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_heals_within_minutes_calls_nobody() {
    let mut world = World::new();
    world.fault(
        Fault::always("CreateMembers", unprocessed("Internal error"))
            .in_region("eu-west-1")
            .first(3),
    );
    world.deliver(&event("create-account-result.json")).await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.dead_letters().is_empty());
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_pair_is_tried_eight_times_with_growing_delays_and_then_calls_a_person() {
    let mut world = World::with(&[("REGIONS", "eu-west-1")]);
    world.fault(Fault::always(
        "CreateMembers",
        unprocessed("Internal error"),
    ));
    world.deliver(&event("create-account-result.json")).await;
    let tries: Vec<u64> = world
        .calls("CreateMembers")
        .iter()
        .map(|call| call.at.as_secs())
        .collect();
    let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Each wait is the delay plus the 5 s in which Lambda gathers a batch.
    assert_eq!(waits, [35, 65, 125, 245, 485, 905, 905]);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["outcome"], "deferred");
    assert_eq!(letters[0]["reason"], "internal-error");
    assert_eq!(letters[0]["result"], "Internal error");
    assert_eq!(letters[0]["attempts"], 8);
    assert_eq!(
        letters[0]["eventId"],
        event("create-account-result.json")["id"]
    );
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_redrive_finishes_the_job_once_the_cause_is_gone() {
    let mut world = World::new();
    let text = "Operation failed because your organization master must first enable GuardDuty to be added as a member";
    world.fault(Fault::always("CreateMembers", unprocessed(text)).in_region("eu-west-1"));
    world.fault(
        Fault::always("CreateMembers", unprocessed("Internal error")).in_region("us-east-1"),
    );
    world.deliver(&event("create-account-result.json")).await;
    assert_eq!(world.dead_letters().len(), 2);
    let first_failed = world.dead_letters()[0]["firstFailedAt"].clone();
    world.redrive();
    world.forget_calls();
    drive(&mut world).await;
    // Not mended yet: the letters come back, the redriven tries counted from 1.
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        let attempts = if letter["outcome"] == "refused" { 1 } else { 8 };
        assert_eq!(letter["attempts"], attempts);
        assert_eq!(letter["firstFailedAt"], first_failed);
    }
    world.cloud.lock().faults.clear();
    world.redrive();
    drive(&mut world).await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_lambda_gave_up_on_is_redriven_from_its_on_failure_record() {
    let mut world = World::new();
    world.fault(Fault::always("ListRegions", down()));
    world.deliver(&event("create-account-result.json")).await;
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["responsePayload"]["errorType"], "NotHandedOn");
    world.cloud.lock().faults.clear();
    world.redrive();
    drive(&mut world).await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.dead_letters().is_empty() && world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_eventbridge_could_not_deliver_is_redriven_as_it_is() {
    let mut world = World::new();
    put(
        &world,
        &[
            event("account-joined-invited.json"),
            event("move-account.json"),
        ],
    );
    drive(&mut world).await;
    assert!(world.is_enabled_everywhere(OTHER_ACCOUNT));
    assert!(world.dead_letters().is_empty() && world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_redriven_event_waits_as_a_whole_and_ends_as_dead_letters_of_its_failed_pairs() {
    let mut world = World::new();
    world.fault(
        Fault::always("CreateMembers", unprocessed("Internal error")).in_region("eu-west-1"),
    );
    put(&world, &[event("create-account-result.json")]);
    drive(&mut world).await;
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["region"], &letters[0]["attempts"]),
        (&json!("eu-west-1"), &json!(8))
    );
    assert_eq!(world.enabled_regions(NEW_ACCOUNT).len(), REGIONS.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn the_sample_batch_is_worked_on_message_by_message() {
    let world = World::new();
    let reply = world.invoke(&event("retry-batch.json")).await.unwrap();
    assert_eq!(reply, json!({"batchItemFailures": []}));
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.is_enabled_everywhere(OTHER_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_accounts_becomes_few_calls() {
    let ids: Vec<String> = (0..60)
        .map(|n| format!("{:012}", 700_000_000_000_u64 + n))
        .collect();
    let mut setup = Setup::default();
    setup.accounts.extend(
        ids.iter()
            .map(|id| (id.clone(), format!("a{id}@example.com"))),
    );
    let mut world = World::of(&setup, &[]);
    let records = ids
        .iter()
        .flat_map(|id| REGIONS.map(|region| record(id, region)));
    let records: Vec<Value> = records.collect();
    put(&world, &records);
    drive(&mut world).await;
    let sizes: Vec<usize> = world
        .calls("CreateMembers")
        .iter()
        .map(|call| call.accounts.len())
        .collect();
    let mut sizes = sizes;
    sizes.sort_unstable();
    assert_eq!(sizes, [10, 10, 10, 10, 50, 50, 50, 50]);
    assert_eq!(world.calls("DescribeAccount").len(), 60);
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_is_described_once_for_all_its_regions_in_a_batch() {
    let mut world = World::new();
    put(&world, &REGIONS.map(|region| record(NEW_ACCOUNT, region)));
    drive(&mut world).await;
    assert_eq!(world.calls("DescribeAccount").len(), 1);
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_blocks_nobody_and_moves_untouched_to_the_dead_letters() {
    let mut unknown_version = record(NEW_ACCOUNT, "eu-west-1");
    unknown_version["version"] = json!(2);
    for poison in [
        json!("not a record"),
        unknown_version,
        json!({"reconcile": {"dryRun": true}}),
    ] {
        let mut world = World::new();
        put(&world, &[poison.clone(), record(NEW_ACCOUNT, "eu-west-1")]);
        drive(&mut world).await;
        assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
        assert_eq!(world.dead_letters(), [poison]);
        assert!(world.retries().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_not_wanted_any_more_ends_without_a_trace() {
    let mut world = World::with(&[
        ("REGIONS", "eu-west-1"),
        ("EXCLUDED_ACCOUNTS", MANAGEMENT_ACCOUNT),
    ]);
    let close = || {
        let mut cloud = world.cloud.lock();
        cloud
            .organization
            .accounts
            .get_mut(OTHER_ACCOUNT)
            .unwrap()
            .set_state("CLOSED");
    };
    close();
    let no_longer_configured = record(NEW_ACCOUNT, "us-east-1");
    let closed = record(OTHER_ACCOUNT, "eu-west-1");
    let excluded = record(MANAGEMENT_ACCOUNT, "eu-west-1");
    let administrator = record(ADMIN_ACCOUNT, "eu-west-1");
    put(
        &world,
        &[no_longer_configured, closed, excluded, administrator],
    );
    drive(&mut world).await;
    assert!(world.calls("CreateMembers").is_empty());
    assert!(world.dead_letters().is_empty() && world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_acknowledged_while_its_dead_letter_cannot_be_sent() {
    let mut world = World::with(&[("REGIONS", "eu-west-1")]);
    put(&world, &[record("999999999999", "eu-west-1")]);
    world.fault(Fault::always("SendMessageBatch", down()).first(4 * 3));
    world.fault(Fault::always(
        "DescribeAccount",
        FaultKind::Error {
            status: 403,
            code: Some("AccessDeniedException".to_owned()),
            message: "no".to_owned(),
        },
    ));
    while world.dead_letters().is_empty() {
        assert_eq!(world.retries().len(), 1);
        assert!(world.step(Duration::from_hours(24)).await);
    }
    assert!(world.retries().is_empty());
    assert_eq!(world.dead_letters()[0]["reason"], "access-denied");
}

#[tokio::test(start_paused = true)]
async fn only_the_messages_whose_own_dead_letter_failed_stay() {
    let mut world = World::with(&[("REGIONS", "eu-west-1")]);
    let text = "cannot exceed the maximum number of allowed members";
    world.fault(Fault::always("CreateMembers", unprocessed(text)));
    world.fault(Fault::always("SendMessageBatch", unprocessed("no")).on_account(OTHER_ACCOUNT));
    put(
        &world,
        &[
            record(NEW_ACCOUNT, "eu-west-1"),
            record(OTHER_ACCOUNT, "eu-west-1"),
        ],
    );
    assert!(world.step(Duration::from_mins(1)).await);
    let left = world.retries();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["accountId"], OTHER_ACCOUNT);
    assert_eq!(world.dead_letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_visibility_change_that_fails_is_harmless() {
    for fault in [down(), unprocessed("no"), FaultKind::Drop { effect: false }] {
        let mut world = World::with(&[("REGIONS", "eu-west-1")]);
        world.fault(Fault::always("CreateMembers", unprocessed("Internal error")).first(4));
        world.fault(Fault::always("ChangeMessageVisibilityBatch", fault));
        world.deliver(&event("create-account-result.json")).await;
        assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
        assert!(world.dead_letters().is_empty());
        // Each message came back after the queue's own visibility timeout.
        let tries: Vec<u64> = world
            .calls("CreateMembers")
            .iter()
            .map(|call| call.at.as_secs())
            .collect();
        assert!(
            tries
                .windows(2)
                .skip(1)
                .all(|pair| pair[1] - pair[0] >= 370),
            "{tries:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_always_dies_leaves_the_message_to_the_queues_own_redrive() {
    let mut world = World::with(&[("REGIONS", "eu-west-1")]);
    let first = record(NEW_ACCOUNT, "eu-west-1");
    put(&world, std::slice::from_ref(&first));
    for tries in 0..12 {
        let calls = world.cloud.lock().calls.len();
        world.cloud.lock().dies_after = Some(calls + 1);
        assert!(world.step(Duration::from_hours(24)).await);
        assert_eq!(world.retries(), std::slice::from_ref(&first), "try {tries}");
    }
    drive(&mut world).await;
    assert!(world.retries().is_empty());
    assert_eq!(world.dead_letters(), [first]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_a_batch_lets_the_rest_come_back() {
    let world = World::with(&[("REGIONS", "eu-west-1,us-east-1")]);
    world.fault(
        Fault::always("GetMembers", FaultKind::Delay(Duration::from_secs(4)))
            .in_region("us-east-1"),
    );
    let message = |id: &str, region: &str| {
        json!({"messageId": id, "receiptHandle": id, "body": record(NEW_ACCOUNT, region).to_string(),
               "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}, "eventSource": "aws:sqs"})
    };
    let batch = json!({"Records": [message("slow", "us-east-1"), message("fast", "eu-west-1")]});
    let reply = world
        .invoke_raw(&batch.to_string(), Duration::from_secs(7))
        .await
        .unwrap();
    assert_eq!(
        reply,
        json!({"batchItemFailures": [{"itemIdentifier": "slow"}]})
    );
    assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_list_of_regions_lets_only_redriven_events_wait() {
    let mut world = World::new();
    world.fault(Fault::always("ListRegions", down()).first(3));
    put(
        &world,
        &[
            record(OTHER_ACCOUNT, "eu-west-1"),
            event("create-account-result.json"),
        ],
    );
    assert!(world.step(Duration::from_mins(1)).await);
    assert!(world.enabled_regions(OTHER_ACCOUNT).contains("eu-west-1"));
    assert_eq!(world.retries().len(), 1);
    drive(&mut world).await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_answer_is_tried_again_and_then_shown_to_a_person_word_for_word() {
    let mut world = World::with(&[("REGIONS", "eu-west-1")]);
    let text = "The request is rejected because the moon is full.";
    world.fault(Fault::always("CreateMembers", unprocessed(text)));
    let reply = world.invoke(&operator(&[NEW_ACCOUNT])).await.unwrap();
    let pair = outcome(&reply, NEW_ACCOUNT, "eu-west-1");
    assert_eq!(
        pair,
        json!({"outcome": "deferred", "reason": "unknown", "result": text})
    );
    drive(&mut world).await;
    let letters = world.dead_letters();
    assert_eq!(
        (&letters[0]["reason"], &letters[0]["result"]),
        (&json!("unknown"), &json!(text))
    );
}
