//! What comes in: which events name an account to enroll, which are ignored, and what is an error. `FILES` says it of
//! every file in `events/`. AWS is called only for an account to enroll. The reconcile's own input is in `reconcile.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::{ONE_REGION, REGIONS, TIMEOUT, World, event, ids, pairs, tally};
use lambda_runtime::Diagnostic;
use local_aws::{NEW_ACCOUNT, OTHER_ACCOUNT};
use serde_json::{Value, json};

/// What each file in `events/` does: the accounts that it enrolls, or why it is ignored.
const FILES: [(&str, Result<&[&str], &str>); 13] = [
    ("create-account-result.json", Ok(&[NEW_ACCOUNT])),
    ("create-account-result-string-details.json", Ok(&[NEW_ACCOUNT])),
    ("account-joined-created.json", Ok(&[NEW_ACCOUNT])),
    ("account-joined-invited.json", Ok(&[OTHER_ACCOUNT])),
    ("controltower-create-managed-account.json", Ok(&[NEW_ACCOUNT])),
    ("controltower-update-managed-account.json", Ok(&[NEW_ACCOUNT])),
    ("operator-accounts.json", Ok(&[NEW_ACCOUNT, OTHER_ACCOUNT])),
    ("create-account-result-failed.json", Err("no account came of it: EMAIL_ALREADY_EXISTS")),
    ("controltower-create-managed-account-failed.json", Err("no account came of it: ")),
    ("create-account-api-call.json", Err("\"CreateAccount\" of organizations.amazonaws.com")),
    (
        "create-gov-cloud-account-api-call.json",
        Err("\"CreateGovCloudAccount\" of organizations.amazonaws.com"),
    ),
    ("move-account.json", Err("\"MoveAccount\" of organizations.amazonaws.com")),
    (
        "account-departed.json",
        Err("\"AccountDepartedOrganization\" of organizations.amazonaws.com"),
    ),
];

#[tokio::test(start_paused = true)]
async fn every_event_that_names_accounts_enrolls_them_in_every_region() {
    for (file, accounts) in FILES {
        let Ok(accounts) = accounts else { continue };
        let world = World::new();
        let reply =
            world.invoke(&event(file)).await.unwrap_or_else(|error| panic!("{file}: {error}"));
        let expected = pairs([("enrolled", accounts.len() * REGIONS.len())]);
        assert_eq!(tally(&reply), expected, "{file}");
        for account in accounts {
            assert!(world.is_enabled_everywhere(account), "{file}: {account}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_known_event_is_ignored_with_its_reason_and_without_a_call() {
    for (file, expected) in FILES {
        let Err(expected) = expected else { continue };
        let world = World::new();
        let reply =
            world.invoke(&event(file)).await.unwrap_or_else(|error| panic!("{file}: {error}"));
        let why = reply["ignored"].as_str().unwrap_or_else(|| panic!("{file}: {reply}"));
        assert!(why.starts_with(expected), "{file}: {why}");
        assert_eq!(world.all_calls(), 0, "{file}");
    }
}

#[test]
fn every_file_of_events_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| name != "README.md").collect();
    let mut tested: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    // Tested with the retry queue.
    tested.insert("retry-batch.json".to_owned());
    // Tested with the reconcile.
    tested.insert("reconcile.json".to_owned());
    assert_eq!(files, tested);
}

#[tokio::test(start_paused = true)]
async fn neither_the_detail_type_nor_other_names_decide() {
    let mut renamed = event("create-account-result.json");
    renamed["detail-type"] = json!("AWS API Call via CloudTrail");
    renamed["source"] = json!("somebody.else");
    renamed.as_object_mut().unwrap().remove("time");
    let world = World::new();
    world.invoke(&renamed).await.unwrap();
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_same_shape_from_another_source_is_an_error() {
    for (source, name) in [
        ("signup.amazonaws.com", "CreateAccount"),
        ("account.amazonaws.com", "CreateAccountResult"),
    ] {
        let mut other = event("create-account-result.json");
        other["detail"]["eventSource"] = json!(source);
        other["detail"]["eventName"] = json!(name);
        let error = refused(&other).await;
        assert!(error.contains(source) && error.contains(name), "{error}");
        assert!(error.contains("expected an event of organizations.amazonaws.com"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn control_tower_that_failed_after_the_account_was_made_still_enrolls_it() {
    let mut failed = event("controltower-update-managed-account.json");
    failed["detail"]["serviceEventDetails"]["updateManagedAccountStatus"]["state"] =
        json!("FAILED");
    let world = World::new();
    world.invoke(&failed).await.unwrap();
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
}

#[tokio::test(start_paused = true)]
async fn the_account_of_a_joined_event_is_found_in_any_of_its_layouts() {
    for details in [
        json!({"accountId": NEW_ACCOUNT}),
        json!({"memberAccountId": NEW_ACCOUNT}),
        json!({"account": {"accountId": NEW_ACCOUNT}}),
        json!({"joinStatus": {"memberAccountId": NEW_ACCOUNT}, "organization": {"id": "o-1"}}),
        json!({"accountId": NEW_ACCOUNT, "memberAccountId": NEW_ACCOUNT}),
        json!({"accountId": NEW_ACCOUNT, "managementAccountId": "111122223333"}),
    ] {
        let mut joined = event("account-joined-created.json");
        joined["detail"]["serviceEventDetails"] = details.clone();
        let world = World::new();
        world.invoke(&joined).await.unwrap_or_else(|error| panic!("{details}: {error}"));
        assert!(world.is_enabled_everywhere(NEW_ACCOUNT), "{details}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_joined_event_that_names_two_accounts_or_none_is_an_error_never_a_guess() {
    for (details, expected) in [
        (
            json!({"accountId": NEW_ACCOUNT, "memberAccountId": OTHER_ACCOUNT}),
            "names two accounts, 444455556666 and 555566667777",
        ),
        (
            json!({"a": {"accountId": NEW_ACCOUNT}, "b": {"accountId": OTHER_ACCOUNT}}),
            "names two accounts",
        ),
        (json!({"organizationId": "o-1"}), "names no account"),
        (json!({"accountId": null}), "accountId is missing or null"),
        (json!(null), "serviceEventDetails is missing or null"),
        (json!("not json"), "serviceEventDetails (a string) is missing or null"),
        (json!([1, 2]), "serviceEventDetails is a list of 2"),
    ] {
        let mut joined = event("account-joined-created.json");
        joined["detail"]["serviceEventDetails"] = details.clone();
        let error = refused(&joined).await;
        assert!(error.contains(expected), "{details}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unusable_account_id_is_an_error_that_shows_it() {
    let long = "4".repeat(1_000_000);
    for (id, shown) in [
        (json!("Not Available"), "\"Not Available\""),
        (json!("12345678901"), "\"12345678901\""),
        (json!("1234567890123"), "\"1234567890123\""),
        (json!("١٢٣٤٥٦٧٨٩٠١٢"), "\"١٢٣٤٥٦٧٨٩٠١٢\""),
        (json!(444_455_556_666_u64), "a number"),
        (json!(null), "missing or null"),
        (json!(["444455556666"]), "a list of 1"),
        (json!({}), "an object"),
        (json!("someone@example.com"), "\"<e-mail>\""),
        (json!(long), "4444\"…"),
    ] {
        let mut created = event("create-account-result.json");
        created["detail"]["serviceEventDetails"]["createAccountStatus"]["accountId"] = id.clone();
        let mut control_tower = event("controltower-create-managed-account.json");
        control_tower["detail"]["serviceEventDetails"]["createManagedAccountStatus"]["account"]["accountId"] =
            id.clone();
        for payload in [created, control_tower, json!({"accounts": [NEW_ACCOUNT, id]})] {
            let error = refused(&payload).await;
            assert!(error.contains(shown), "{error}");
            assert!(error.contains("expected a string of exactly 12 digits"), "{error}");
            assert!(error.len() < 1_000);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_input_is_an_error_that_says_what_was_wrong() {
    for (payload, expected) in [
        ("", "the event is not JSON (line 1, column 0)"),
        ("{\"accounts\": [\"444455556666\"", "the event is not JSON (line 1, column 28)"),
        ("\"a text that is no JSON\"", "the event is the text \"a text that is no JSON\""),
        ("null", "the event is missing or null"),
        ("[]", "the event is a list of 0"),
        ("42", "the event is a number"),
        ("{}", "the event has no detail, accounts, reconcile or Records"),
        ("{\"detail\": 1}", "detail is a number"),
        ("{\"detail\": {}}", "detail.eventSource is missing"),
        ("{\"detail\": {\"eventSource\": 7}}", "detail.eventSource is a number"),
        (
            "{\"detail\": {\"eventSource\": \"organizations.amazonaws.com\"}}",
            "detail.eventName is missing",
        ),
        (
            "{\"detail\": {\"eventSource\": \"organizations.amazonaws.com\", \"eventName\": \"CreateAccountResult\"}}",
            "serviceEventDetails is missing",
        ),
        ("{\"accounts\": []}", "accounts is a list of 0"),
        ("{\"accounts\": \"444455556666\"}", "accounts is the text \"444455556666\""),
        (
            "{\"accounts\": [\"444455556666\"], \"regoins\": []}",
            "takes nothing else, but has \"regoins\"",
        ),
        ("{\"Records\": []}", "Records is not a batch of messages"),
        ("{\"Records\": 3}", "Records is not a batch of messages"),
        ("{\"Records\": [{\"eventSource\": \"aws:s3\"}]}", "Records is not a batch of messages"),
        ("{\"Records\": [{\"eventSource\": \"aws:sqs\"}]}", "Records[0] has"),
    ] {
        let error = refused_text(payload).await;
        assert!(error.contains(expected), "{payload}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_by_hand_takes_a_hundred_accounts_and_not_one_more() {
    let ids = ids(101);
    let error = refused(&json!({ "accounts": ids })).await;
    assert!(error.contains("accounts has 101 ids; one call takes up to 100: split it"), "{error}");
    let (_, hundred) = ids.split_last().unwrap();
    let world = World::with_accounts(hundred, &ONE_REGION);
    let reply = world.enroll(hundred).await;
    assert_eq!(tally(&reply), pairs([("enrolled", 100)]));
}

#[tokio::test(start_paused = true)]
async fn no_error_shows_an_address_in_its_debug_output() {
    let world = World::new();
    let payload = json!({"accounts": ["someone@example.com"]});
    let failed = world.invoke(&payload).await.unwrap_err();
    let shown = format!("{failed:?}");
    assert!(shown.contains("<e-mail>") && !shown.contains('@'), "{shown}");
    let failure = decisions::call_error::Failure::Answered {
        status: 400,
        code: None,
        message: decisions::redacted::Redacted::new("bad someone@example.com"),
    };
    let shown = format!("{failure:?}");
    assert!(shown.contains("<e-mail>") && !shown.contains('@'), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_megabyte_is_read_like_any_other() {
    let mut big = event("create-account-result.json");
    big["detail"]["additionalEventData"] = json!("x".repeat(1_000_000));
    let world = World::new();
    world.invoke(&big).await.unwrap();
    assert!(world.is_enabled_everywhere(NEW_ACCOUNT));
    let noise = json!({"detail": "x".repeat(1_000_000)});
    assert!(refused(&noise).await.len() < 1_000);
}

#[tokio::test(start_paused = true)]
async fn the_same_account_twice_in_one_call_is_one_account() {
    let world = World::with(&ONE_REGION);
    let reply = world.enroll(&[NEW_ACCOUNT, NEW_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("enrolled", 1)]));
    assert_eq!(world.count("DescribeAccount"), 1);
}

/// The error that an event ends in. AWS is not called for it.
async fn refused(payload: &Value) -> String {
    refused_text(&payload.to_string()).await
}

async fn refused_text(payload: &str) -> String {
    let world = World::new();
    let reply = world.invoke_raw(payload, TIMEOUT).await;
    assert_eq!(world.all_calls(), 0);
    let diagnostic = Diagnostic::from(reply.expect_err("an error"));
    assert_eq!(diagnostic.error_type, "InvalidEvent");
    diagnostic.error_message
}
