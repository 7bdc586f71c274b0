//! What comes in: which events name an account to enroll, which are ignored, and what is an error. `FILES` says it of
//! every file in `events/`. AWS is called only for an account to enroll. The reconcile's own input is in `reconcile.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::{ONE_REGION, REGIONS, TIMEOUT, World, event, ids, pairs, tally};
use lambda_runtime::Diagnostic;
use local_aws::{NEW_ACCOUNT, OTHER_ACCOUNT};
use serde_json::{Value, json};

/// What each file in `events/` does: the accounts that it enrolls, or why it is ignored.
const FILES: [(&str, Result<&[&str], &str>); 14] = [
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
    (
        "controltower-create-managed-account-api-call.json",
        Err(
            "\"CreateManagedAccount\" of controltower.amazonaws.com is an API call; the service event follows",
        ),
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
async fn the_first_of_an_events_two_times_that_can_be_is_taken() {
    let good = "2026-11-25T15:53:40Z";
    for (event_time, time, taken) in [
        (json!("2026-11-25 15:53:47Z"), json!(good), json!("2026-11-25T15:53:47Z")),
        (json!("2026-11-25T17:53:47+02:00"), json!(good), json!("2026-11-25T15:53:47Z")),
        (json!("Nov 25, 2026 3:53:47 PM"), json!(good), json!(good)),
        (json!(""), json!(good), json!(good)),
        (json!(1_779_999_999), json!(good), json!(good)),
        (json!(null), json!(good), json!(good)),
        (json!("1970-01-01T00:00:00Z"), json!(good), json!(good)),
        (json!("1970-01-01T00:00:00Z"), json!("0001-01-01T00:00:00Z"), json!(null)),
    ] {
        let mut created = event("create-account-result.json");
        created["detail"]["eventTime"] = event_time.clone();
        created["time"] = time.clone();
        let world = World::with(&ONE_REGION);
        world.region("eu-west-1").is_not_enabled();
        world.invoke(&created).await.unwrap();
        let records = [world.dead_letters(), world.retries()].concat();
        assert!(!records.is_empty());
        assert_eq!(records[0]["eventTime"], taken, "{event_time} {time}");
    }
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
async fn an_api_call_with_the_name_of_a_service_event_is_ignored() {
    for (file, name) in [
        ("controltower-create-managed-account.json", "CreateManagedAccount"),
        ("controltower-update-managed-account.json", "UpdateManagedAccount"),
        ("create-account-result.json", "CreateAccountResult"),
    ] {
        for details in [None, Some(json!(null)), Some(json!({})), Some(json!(""))] {
            let mut call = event(file);
            call["detail"]["eventType"] = json!("AwsApiCall");
            let members = call["detail"].as_object_mut().unwrap();
            members.remove("serviceEventDetails");
            members.extend(details.map(|details| ("serviceEventDetails".to_owned(), details)));
            let mut untyped = call.clone();
            untyped["detail"].as_object_mut().unwrap().remove("eventType");
            untyped["detail-type"] = json!("AWS API Call via CloudTrail");
            for call in [call, untyped] {
                let why = ignored(&call).await;
                assert!(why.contains(name) && why.contains("is an API call"), "{call}: {why}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_event_without_details_is_an_error() {
    let mut bare = event("controltower-create-managed-account.json");
    bare["detail"].as_object_mut().unwrap().remove("serviceEventDetails");
    let error = refused(&bare).await;
    assert!(error.contains("serviceEventDetails is missing"), "{error}");
}

/// The joined event with other members in its detail. `null` means that the member is absent.
fn joined_with(changes: &Value) -> Value {
    let mut joined = event("account-joined-created.json");
    for (key, value) in changes.as_object().unwrap() {
        let detail = joined["detail"].as_object_mut().unwrap();
        detail.insert(key.clone(), value.clone());
    }
    joined
}

#[tokio::test(start_paused = true)]
async fn the_account_of_a_joined_event_is_found_in_any_of_its_layouts() {
    let management = "111122223333";
    let id = json!({"accountId": NEW_ACCOUNT});
    for details in [
        id.clone(),
        json!({"memberAccountId": NEW_ACCOUNT}),
        json!({"AccountId": NEW_ACCOUNT}),
        json!({"ACCOUNTID": NEW_ACCOUNT}),
        json!({"account_id": NEW_ACCOUNT}),
        json!({"account": NEW_ACCOUNT}),
        json!({"account": {"accountId": NEW_ACCOUNT}}),
        json!({"account": {"id": NEW_ACCOUNT}}),
        json!({"Account": {"Id": NEW_ACCOUNT, "Arn": "arn:aws:x"}}),
        json!({"memberAccount": {"id": NEW_ACCOUNT}}),
        json!({"accounts": [{"id": NEW_ACCOUNT}]}),
        json!({"joinStatus": {"memberAccountId": NEW_ACCOUNT}, "organization": {"id": "o-1"}}),
        json!({"a": {"b": {"c": {"accountId": NEW_ACCOUNT}}}}),
        json!({"accountId": NEW_ACCOUNT, "memberAccountId": NEW_ACCOUNT}),
        json!({"accountId": NEW_ACCOUNT, "managementAccountId": management}),
        json!({"accountId": management, "memberAccountId": NEW_ACCOUNT}),
        json!({"managementAccount": {"id": "999988887777"}, "account": {"id": NEW_ACCOUNT}}),
        json!({"accountId": "999988887777", "masterAccountId": "999988887777", "memberAccountId": NEW_ACCOUNT}),
        json!({"accountId": "Not Available", "account": {"id": NEW_ACCOUNT}}),
        json!({"accountId": NEW_ACCOUNT, "govCloudAccountId": OTHER_ACCOUNT}),
        json!(json!({"account": {"id": NEW_ACCOUNT}}).to_string()),
    ] {
        takes(&joined_with(&json!({ "serviceEventDetails": details })), NEW_ACCOUNT).await;
    }
    for place in ["requestParameters", "responseElements", "additionalEventData", "somethingNew"] {
        for id in [id.clone(), json!({"account": {"id": NEW_ACCOUNT}}), json!(id.to_string())] {
            for details in [json!(null), json!({}), json!("not json"), json!([1, 2])] {
                takes(
                    &joined_with(&json!({"serviceEventDetails": details, place: id})),
                    NEW_ACCOUNT,
                )
                .await;
            }
        }
    }
    for here in [
        json!({"accountId": NEW_ACCOUNT, "serviceEventDetails": null}),
        json!({"account": {"id": NEW_ACCOUNT}, "serviceEventDetails": null}),
        json!({"memberAccountId": NEW_ACCOUNT, "serviceEventDetails": null, "eventType": "AwsApiCall"}),
        // The account that accepted the invitation may be the one that the event is about.
        json!({"userIdentity": id, "serviceEventDetails": id}),
    ] {
        takes(&joined_with(&here), NEW_ACCOUNT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_management_account_is_never_taken_for_the_account_that_joined() {
    let management = "111122223333";
    for known_from in ["recipient", "user", "envelope"] {
        let mut joined = joined_with(&json!({"userIdentity": {}, "serviceEventDetails": {
            "accountId": management, "organization": {"account": {"id": management}},
        }}));
        joined.as_object_mut().unwrap().remove("account");
        joined["detail"].as_object_mut().unwrap().remove("recipientAccountId");
        match known_from {
            "recipient" => joined["detail"]["recipientAccountId"] = json!(management),
            "user" => joined["detail"]["userIdentity"]["accountId"] = json!(management),
            _ => joined["account"] = json!(management),
        }
        let why = ignored(&joined).await;
        assert!(why.contains("its layout is unknown"), "{known_from}: {why}");
        joined["detail"]["serviceEventDetails"]["memberAccountId"] = json!(NEW_ACCOUNT);
        takes(&joined, NEW_ACCOUNT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_joined_event_that_names_two_accounts_is_an_error_never_a_guess() {
    for changes in [
        json!({"serviceEventDetails": {"accountId": NEW_ACCOUNT, "memberAccountId": OTHER_ACCOUNT}}),
        json!({"serviceEventDetails": {"a": {"accountId": NEW_ACCOUNT}, "b": {"accountId": OTHER_ACCOUNT}}}),
        json!({"serviceEventDetails": {"a": {"accountId": NEW_ACCOUNT}}, "responseElements": {"account": {"id": OTHER_ACCOUNT}}}),
    ] {
        let error = refused(&joined_with(&changes)).await;
        assert!(error.contains("names two accounts"), "{changes}: {error}");
        assert!(error.contains(NEW_ACCOUNT) && error.contains(OTHER_ACCOUNT), "{changes}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_joined_event_of_an_unknown_layout_is_ignored_with_that_reason() {
    let mut deep = json!({"accountId": NEW_ACCOUNT});
    for _ in 0..100 {
        deep = json!({ "a": deep });
    }
    for details in [
        json!({"organizationId": "o-1"}),
        json!({"accountId": null}),
        json!({"accountId": "Not Available"}),
        json!({"accountId": 444_455_556_666_u64}),
        json!({"requestId": NEW_ACCOUNT, "handshake": {"id": NEW_ACCOUNT}}),
        json!({"managementAccountId": NEW_ACCOUNT}),
        json!({"govCloudAccountId": NEW_ACCOUNT}),
        json!(null),
        json!("not json"),
        json!([1, 2]),
        deep,
    ] {
        let why = ignored(&joined_with(&json!({ "serviceEventDetails": details }))).await;
        assert!(why.contains("its layout is unknown"), "{details}: {why}");
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

/// The event enrolls this account, and asks for no other.
async fn takes(event: &Value, account: &str) {
    let world = World::new();
    let reply = world.invoke(event).await.unwrap_or_else(|error| panic!("{event}: {error}"));
    assert_eq!(tally(&reply), pairs([("enrolled", REGIONS.len())]), "{event}");
    assert!(world.is_enabled_everywhere(account), "{event}");
}

/// Why an event is ignored. AWS is not called for it.
async fn ignored(event: &Value) -> String {
    let world = World::new();
    let reply = world.invoke(event).await.unwrap_or_else(|error| panic!("{event}: {error}"));
    assert_eq!(world.all_calls(), 0, "{event}");
    let why = reply["ignored"].as_str();
    why.unwrap_or_else(|| panic!("{event}: {reply}")).to_owned()
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
