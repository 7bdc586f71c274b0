//! The retry queue: a pair that failed has eight attempts with growing delays; then, or where only a person can help,
//! it is a dead letter, which one redrive brings back. No message is acknowledged before its pair is safe elsewhere,
//! and no message, whatever is in it, stops the others.

use std::time::Duration;

use crate::world::{
    ONE_REGION, REGIONS, World, bare, error, event, ids, internal_error, pair, pick, unprocessed,
};
use local_aws::{ADMIN_ACCOUNT, Fault, FaultKind, MANAGEMENT_ACCOUNT, NEW_ACCOUNT, OTHER_ACCOUNT};
use serde_json::{Value, json};

fn record(account: &str, region: &str) -> Value {
    json!({
        "version": 1, "accountId": account, "region": region, "outcome": "deferred",
        "reason": "internal-error", "result": null, "detectorId": null, "attempts": 1,
        "firstFailedAt": "2026-05-01T00:00:00Z", "lastFailedAt": "2026-05-01T00:00:00Z", "eventId": null,
    })
}

/// The seconds between one attempt of a pair and the next.
fn waits(world: &World) -> Vec<u64> {
    let steps = world.steps("CreateMembers").into_iter();
    steps.map(|step| step.as_secs()).collect()
}

// Trying again.

#[tokio::test(start_paused = true)]
async fn a_failure_that_heals_within_minutes_calls_nobody() {
    let mut world = World::new();
    world.fault(Fault::always("CreateMembers", internal_error()).in_region("eu-west-1").first(3));
    world.deliver(&event("create-account-result.json")).await;
    assert_eq!(world.count_in("CreateMembers", "eu-west-1"), 4);
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_pair_has_eight_attempts_with_growing_delays_and_then_calls_a_person() {
    let mut world = World::with(&ONE_REGION);
    world.fault(Fault::always("CreateMembers", internal_error()));
    world.deliver(&event("create-account-result.json")).await;
    // Each wait is the delay plus the 5 s in which Lambda gathers a batch.
    assert_eq!(waits(&world), [35, 65, 125, 245, 485, 905, 905]);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        pick(&letters[0], ["outcome", "reason", "result", "attempts", "eventId"]),
        json!([
            "deferred",
            "internal-error",
            "Internal error",
            8,
            event("create-account-result.json")["id"]
        ])
    );
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_answer_is_retried_and_then_shown_to_a_person_word_for_word() {
    let mut world = World::with(&ONE_REGION);
    let text = "The request is rejected because the moon is full.";
    world.fault(Fault::always("CreateMembers", unprocessed(text)));
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(
        pair(&reply, NEW_ACCOUNT, "eu-west-1"),
        json!({"outcome": "deferred", "reason": "unknown", "result": text})
    );
    world.settle().await;
    assert_eq!(world.count("CreateMembers"), 8);
    let letter = &world.dead_letters()[0];
    assert_eq!(pick(letter, ["reason", "result"]), json!(["unknown", text]));
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_not_to_be_enrolled_any_more_ends_without_a_trace() {
    let mut world =
        World::with(&[("REGIONS", "eu-west-1"), ("EXCLUDED_ACCOUNTS", MANAGEMENT_ACCOUNT)]);
    world.change(OTHER_ACCOUNT, |account| account.set_state("CLOSED"));
    let no_longer_configured = record(NEW_ACCOUNT, "us-east-1");
    let closed = record(OTHER_ACCOUNT, "eu-west-1");
    let excluded = record(MANAGEMENT_ACCOUNT, "eu-west-1");
    let administrator = record(ADMIN_ACCOUNT, "eu-west-1");
    world.put(&[no_longer_configured, closed, excluded, administrator]);
    world.settle().await;
    assert_eq!(world.count("CreateMembers"), 0);
    assert!(world.queues_are_empty());
}

// The redrive.

#[tokio::test(start_paused = true)]
async fn one_redrive_finishes_the_job_once_the_cause_is_gone() {
    let mut world = World::new();
    let text = "Operation failed because your organization master must first enable GuardDuty to be added as a member";
    world.fault(Fault::always("CreateMembers", unprocessed(text)).in_region("eu-west-1"));
    world.fault(Fault::always("CreateMembers", internal_error()).in_region("us-east-1"));
    world.deliver(&event("create-account-result.json")).await;
    let first_failed = world.dead_letters()[0]["firstFailedAt"].clone();
    world.redrive();
    world.settle().await;
    // The cause is still there: the letters come back, the attempts counted from 1.
    let mut letters: Vec<Value> = world
        .dead_letters()
        .iter()
        .map(|letter| pick(letter, ["outcome", "attempts", "firstFailedAt"]))
        .collect();
    letters.sort_by_key(Value::to_string);
    assert_eq!(
        json!(letters),
        json!([["deferred", 8, first_failed], ["refused", 1, first_failed]])
    );
    world.faults_end();
    world.redrive();
    world.settle().await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_lambda_gave_up_on_is_redriven_from_its_on_failure_record() {
    let mut world = World::new();
    world.fault(Fault::always("ListRegions", bare(503)));
    world.deliver(&event("create-account-result.json")).await;
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["responsePayload"]["errorType"], "NotEnqueued");
    world.faults_end();
    world.redrive();
    world.settle().await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_eventbridge_could_not_deliver_is_redriven_as_it_is() {
    let mut world = World::new();
    let joined = event("account-joined-invited.json");
    world.put(&[joined, event("move-account.json")]);
    world.settle().await;
    assert!(world.is_enabled_everywhere(OTHER_ACCOUNT));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_redriven_event_waits_as_a_whole_and_ends_as_dead_letters_of_its_failed_pairs() {
    let mut world = World::new();
    world.fault(Fault::always("CreateMembers", internal_error()).in_region("eu-west-1"));
    world.put(&[event("create-account-result.json")]);
    world.settle().await;
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        pick(&letters[0], ["accountId", "region", "attempts"]),
        json!([NEW_ACCOUNT, "eu-west-1", 8])
    );
    assert_eq!(world.enabled_regions(NEW_ACCOUNT).len(), REGIONS.len() - 1);
}

// A batch of messages.

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
    let ids = ids(60);
    let mut world = World::with_accounts(&ids, &[]);
    let records: Vec<Value> =
        ids.iter().flat_map(|id| REGIONS.map(|region| record(id, region))).collect();
    world.put(&records);
    world.settle().await;
    let mut batches = world.batches("CreateMembers");
    batches.sort_unstable();
    assert_eq!(batches, [10, 10, 10, 10, 50, 50, 50, 50]);
    assert_eq!(world.count("DescribeAccount"), 60);
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_is_described_once_for_all_its_regions_in_a_batch() {
    let mut world = World::new();
    world.put(&REGIONS.map(|region| record(NEW_ACCOUNT, region)));
    world.settle().await;
    assert_eq!(world.count("DescribeAccount"), 1);
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_blocks_nobody_and_moves_untouched_to_the_dead_letters() {
    let mut unknown_version = record(NEW_ACCOUNT, "eu-west-1");
    unknown_version["version"] = json!(2);
    for poison in [json!("not a record"), unknown_version, json!({"reconcile": {"dryRun": true}})] {
        let mut world = World::new();
        world.put(&[poison.clone(), record(NEW_ACCOUNT, "eu-west-1")]);
        world.settle().await;
        assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
        assert_eq!(world.dead_letters(), [poison]);
        assert!(world.retries().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_list_of_regions_lets_only_redriven_events_wait() {
    let mut world = World::new();
    world.fault(Fault::always("ListRegions", bare(503)).first(3));
    world.put(&[record(OTHER_ACCOUNT, "eu-west-1"), event("create-account-result.json")]);
    assert!(world.step(Duration::from_mins(1)).await);
    assert!(world.enabled_regions(OTHER_ACCOUNT).contains("eu-west-1"));
    assert_eq!(world.retries(), [event("create-account-result.json")]);
    world.settle().await;
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn a_record_in_a_region_that_is_not_covered_is_acknowledged_without_a_call_there() {
    // A Region that nobody has heard of, and one of AWS's that is not enabled.
    for region in ["a-b-c", "ap-east-1"] {
        let mut world = World::new();
        world.put(&[record(NEW_ACCOUNT, region), record(NEW_ACCOUNT, "eu-west-1")]);
        world.settle().await;
        assert!(world.queues_are_empty());
        assert_eq!(world.calls_in(region), 0);
        assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_list_of_regions_no_call_goes_to_one_that_nobody_has_heard_of() {
    let mut world = World::new();
    world.fault(Fault::always("ListRegions", bare(503)).first(3));
    world.put(&[record(NEW_ACCOUNT, "a-b-c")]);
    assert!(world.step(Duration::from_mins(1)).await);
    assert_eq!(world.retries().len(), 1);
    world.settle().await;
    assert!(world.queues_are_empty());
    assert_eq!(world.calls_in("a-b-c"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_a_batch_lets_the_rest_come_back() {
    let world = World::with(&[("REGIONS", "eu-west-1,us-east-1")]);
    let slow = FaultKind::Delay(Duration::from_secs(4));
    world.fault(Fault::always("GetMembers", slow).in_region("us-east-1"));
    let message = |id: &str, region: &str| {
        json!({"messageId": id, "receiptHandle": id, "body": record(NEW_ACCOUNT, region).to_string(),
               "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}, "eventSource": "aws:sqs"})
    };
    let batch = json!({"Records": [message("slow", "us-east-1"), message("fast", "eu-west-1")]});
    let time_left = Duration::from_secs(7);
    let reply = world.invoke_raw(&batch.to_string(), time_left).await;
    assert_eq!(reply.unwrap(), json!({"batchItemFailures": [{"itemIdentifier": "slow"}]}));
    assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
}

// When a message may go.

#[tokio::test(start_paused = true)]
async fn a_message_is_not_acknowledged_while_its_dead_letter_cannot_be_sent() {
    let mut world = World::with(&ONE_REGION);
    world.put(&[record("999999999999", "eu-west-1")]);
    world.fault(Fault::always("SendMessageBatch", bare(503)).first(4 * 3));
    let denied = error(403, "AccessDeniedException", "no");
    world.fault(Fault::always("DescribeAccount", denied));
    let mut attempts = 0;
    while world.dead_letters().is_empty() {
        assert_eq!(world.retries().len(), 1);
        assert!(world.step(Duration::from_hours(24)).await);
        attempts += 1;
    }
    assert!(attempts > 1, "nothing was retried");
    assert!(world.retries().is_empty());
    assert_eq!(world.dead_letters()[0]["reason"], "access-denied");
}

#[tokio::test(start_paused = true)]
async fn only_the_messages_whose_own_dead_letter_failed_stay() {
    let mut world = World::with(&ONE_REGION);
    let text = "cannot exceed the maximum number of allowed members";
    world.fault(Fault::always("CreateMembers", unprocessed(text)));
    world.fault(Fault::always("SendMessageBatch", unprocessed("no")).on_account(OTHER_ACCOUNT));
    world.put(&[NEW_ACCOUNT, OTHER_ACCOUNT].map(|account| record(account, "eu-west-1")));
    assert!(world.step(Duration::from_mins(1)).await);
    let account =
        |bodies: Vec<Value>| bodies.iter().map(|body| body["accountId"].clone()).collect();
    let left: Vec<Value> = account(world.retries());
    let gone: Vec<Value> = account(world.dead_letters());
    assert_eq!(left, [OTHER_ACCOUNT]);
    assert_eq!(gone, [NEW_ACCOUNT]);
}

#[tokio::test(start_paused = true)]
async fn a_visibility_change_that_fails_is_harmless() {
    for fault in [bare(503), unprocessed("no"), FaultKind::Drop { effect: false }] {
        let mut world = World::with(&ONE_REGION);
        world.fault(Fault::always("CreateMembers", internal_error()).first(4));
        world.fault(Fault::always("ChangeMessageVisibilityBatch", fault));
        world.deliver(&event("create-account-result.json")).await;
        assert!(world.enabled_regions(NEW_ACCOUNT).contains("eu-west-1"));
        assert!(world.dead_letters().is_empty());
        // After the first delay, which the message was sent with, it came back after the queue's own visibility timeout.
        let waits = waits(&world);
        assert_eq!(waits.len(), 4);
        assert!(waits.iter().skip(1).all(|wait| *wait >= 370), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_always_dies_leaves_the_message_to_the_queues_own_redrive() {
    let mut world = World::with(&ONE_REGION);
    let first = record(NEW_ACCOUNT, "eu-west-1");
    world.put(std::slice::from_ref(&first));
    for attempts in 0..12 {
        world.dies_after(1);
        assert!(world.step(Duration::from_hours(24)).await);
        assert_eq!(world.retries(), std::slice::from_ref(&first), "attempt {attempts}");
    }
    world.settle().await;
    assert!(world.retries().is_empty());
    assert_eq!(world.dead_letters(), [first]);
}
