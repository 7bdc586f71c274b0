//! Every operation, limit and fault, on the wire and without an SDK: a request goes in, a response comes out.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing JSON member reads as null"
)]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use local_aws::{
    Account, Attribute, Call, Cloud, DEAD_LETTER_QUEUE_URL, Draft, Fault, FaultKind,
    MANAGEMENT_ACCOUNT, Member, NEW_ACCOUNT, OTHER_ACCOUNT, RETRY_QUEUE_URL, Setup,
};
use serde_json::{Value, json};

const NOW: Duration = Duration::ZERO;
const IRELAND: &str = "eu-west-1";

/// A response as a test looks at it.
#[derive(Debug)]
struct Seen {
    status: u16,
    code: String,
    text: String,
    body: Value,
}

fn authorization(service: &str, region: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=00"
    )
}

fn request(
    service: &str,
    region: &str,
    method: Method,
    path: &str,
    target: &str,
    body: impl Into<Bytes>,
) -> Request<Bytes> {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    for (name, value) in [
        ("authorization", authorization(service, region)),
        ("x-amz-target", target.to_owned()),
    ] {
        if let Ok(value) = value.parse() {
            request.headers_mut().insert(name, value);
        }
    }
    request
}

fn see(cloud: &Cloud, now: Duration, request: &Request<Bytes>) -> Option<Seen> {
    let reply = cloud.handle(now, request).reply?;
    let header = |name| {
        reply
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let body: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    let kind = body["__type"].as_str().unwrap_or_default().to_owned();
    Some(Seen {
        status: reply.status().as_u16(),
        code: header("x-amzn-errortype")
            .or_else(|| header("x-amzn-query-error"))
            .unwrap_or(kind),
        text: body["message"]
            .as_str()
            .or(body["Message"].as_str())
            .unwrap_or_default()
            .to_owned(),
        body,
    })
}

fn nothing() -> Seen {
    Seen {
        status: 0,
        code: "dropped".to_owned(),
        text: String::new(),
        body: Value::Null,
    }
}

/// An operation of GuardDuty on the Region's own detector.
fn guardduty(cloud: &Cloud, now: Duration, method: Method, path: &str, body: &Value) -> Seen {
    let detector = cloud
        .lock()
        .guardduty_in(IRELAND)
        .detector_id
        .clone()
        .unwrap_or_default();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    see(
        cloud,
        now,
        &request(
            "guardduty",
            IRELAND,
            method,
            &format!("/detector/{detector}{path}"),
            "",
            body,
        ),
    )
    .unwrap_or_else(nothing)
}

fn create(cloud: &Cloud, ids: &[&str]) -> Seen {
    create_at(cloud, NOW, ids)
}

fn create_at(cloud: &Cloud, now: Duration, ids: &[&str]) -> Seen {
    let details: Vec<_> = ids
        .iter()
        .map(|id| json!({ "accountId": id, "email": "new-account@example.com" }))
        .collect();
    guardduty(
        cloud,
        now,
        Method::POST,
        "/member",
        &json!({ "accountDetails": details }),
    )
}

fn get(cloud: &Cloud, now: Duration, ids: &[&str]) -> Seen {
    guardduty(
        cloud,
        now,
        Method::POST,
        "/member/get",
        &json!({ "accountIds": ids }),
    )
}

fn organizations(cloud: &Cloud, operation: &str, body: &Value) -> Seen {
    let target = format!("AWSOrganizationsV20161128.{operation}");
    see(
        cloud,
        NOW,
        &request(
            "organizations",
            "us-east-1",
            Method::POST,
            "/",
            &target,
            body.to_string(),
        ),
    )
    .unwrap_or_else(nothing)
}

fn account(cloud: &Cloud, body: &Value) -> Seen {
    see(
        cloud,
        NOW,
        &request(
            "account",
            "us-east-1",
            Method::POST,
            "/listRegions",
            "",
            body.to_string(),
        ),
    )
    .unwrap_or_else(nothing)
}

fn sqs(cloud: &Cloud, now: Duration, operation: &str, body: &Value) -> Seen {
    let target = format!("AmazonSQS.{operation}");
    see(
        cloud,
        now,
        &request("sqs", IRELAND, Method::POST, "/", &target, body.to_string()),
    )
    .unwrap_or_else(nothing)
}

fn cloud() -> Cloud {
    Cloud::new(&Setup::default())
}

fn cloud_with(fault: Fault) -> Cloud {
    let cloud = cloud();
    cloud.lock().faults.push(fault);
    cloud
}

fn status_of(cloud: &Cloud, id: &str) -> String {
    let seen = get(cloud, NOW, &[id]);
    seen.body["members"][0]["relationshipStatus"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

fn last_call(cloud: &Cloud) -> Option<Call> {
    cloud.lock().calls.last().cloned()
}

// Every protocol

#[test]
fn a_request_without_a_signature_is_refused() {
    let unsigned = Request::new(Bytes::new());
    let seen = see(&cloud(), NOW, &unsigned).unwrap_or_else(nothing);
    assert_eq!(
        (seen.status, seen.code.as_str()),
        (403, "MissingAuthenticationTokenException")
    );
}

#[test]
fn an_unknown_operation_is_refused_in_its_protocol() {
    let cloud = cloud();
    let seen = guardduty(&cloud, NOW, Method::DELETE, "", &Value::Null);
    assert_eq!(
        (seen.status, seen.code.as_str()),
        (404, "UnknownOperationException")
    );
    let seen = organizations(&cloud, "CloseAccount", &json!({}));
    assert_eq!(seen.body["__type"], "UnknownOperationException");
    let seen = sqs(&cloud, NOW, "PurgeQueue", &json!({}));
    assert_eq!(
        seen.body["__type"],
        "com.amazonaws.sqs#UnknownOperationException"
    );
}

#[test]
fn malformed_json_and_wrong_types_are_serialization_errors() {
    let cloud = cloud();
    for body in ["{", "[]", r#"{"AccountId":7}"#] {
        let target = "AWSOrganizationsV20161128.DescribeAccount";
        let request = request(
            "organizations",
            "us-east-1",
            Method::POST,
            "/",
            target,
            body,
        );
        let seen = see(&cloud, NOW, &request).unwrap_or_else(nothing);
        assert_eq!(
            (seen.status, seen.code.as_str()),
            (400, "SerializationException"),
            "{body}"
        );
    }
}

#[test]
fn every_call_is_logged() {
    let cloud = Cloud::new(&Setup {
        latency: Duration::from_millis(20),
        ..Setup::default()
    });
    create_at(
        &cloud,
        Duration::from_secs(3),
        &[NEW_ACCOUNT, OTHER_ACCOUNT],
    );
    let call = last_call(&cloud);
    let expected = Call {
        at: Duration::from_secs(3),
        took: Duration::from_millis(20),
        service: "guardduty".to_owned(),
        operation: "CreateMembers".to_owned(),
        region: IRELAND.to_owned(),
        accounts: vec![NEW_ACCOUNT.to_owned(), OTHER_ACCOUNT.to_owned()],
        status: Some(200),
        error: None,
        fault: false,
    };
    assert_eq!(call, Some(expected));
}

// GuardDuty

#[test]
fn a_region_has_one_detector_and_every_region_another() {
    let cloud = cloud();
    let mut ids = Vec::new();
    for region in ["eu-west-1", "us-east-1"] {
        let seen = see(
            &cloud,
            NOW,
            &request("guardduty", region, Method::GET, "/detector", "", ""),
        )
        .unwrap_or_else(nothing);
        let id = seen.body["detectorIds"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_region_without_guardduty_has_no_detector() {
    let cloud = cloud();
    cloud.lock().guardduty_in(IRELAND).detector_id = None;
    let seen = see(
        &cloud,
        NOW,
        &request("guardduty", IRELAND, Method::GET, "/detector", "", ""),
    )
    .unwrap_or_else(nothing);
    assert_eq!((seen.status, &seen.body["detectorIds"]), (200, &json!([])));
}

#[test]
fn a_region_that_is_not_switched_on_or_does_not_exist_knows_no_token() {
    let cloud = cloud();
    cloud.lock().guardduty_in(IRELAND).enabled_for_admin = false;
    for region in [IRELAND, "eu-nowhere-9"] {
        let seen = see(
            &cloud,
            NOW,
            &request("guardduty", region, Method::GET, "/detector", "", ""),
        )
        .unwrap_or_else(nothing);
        assert_eq!(
            (seen.status, seen.code.as_str()),
            (403, "UnrecognizedClientException")
        );
    }
}

#[test]
fn a_created_member_is_enabled() {
    let cloud = cloud();
    let seen = create(&cloud, &[NEW_ACCOUNT]);
    assert_eq!(
        (seen.status, &seen.body["unprocessedAccounts"]),
        (200, &json!([]))
    );
    let member = get(&cloud, NOW, &[NEW_ACCOUNT]).body["members"][0].clone();
    assert_eq!(member["relationshipStatus"], "Enabled");
    assert_eq!(member["email"], "new-account@example.com");
    assert_eq!(member["administratorId"], "222222222222");
    assert_eq!(member["updatedAt"], "2026-01-01T00:00:00Z");
}

#[test]
fn a_member_can_take_its_time_to_become_enabled() {
    let cloud = cloud();
    cloud.lock().guardduty_in(IRELAND).enables_after = Duration::from_secs(90);
    create(&cloud, &[NEW_ACCOUNT]);
    let status =
        |now| get(&cloud, now, &[NEW_ACCOUNT]).body["members"][0]["relationshipStatus"].clone();
    assert_eq!(status(Duration::from_secs(89)), "Created");
    assert_eq!(status(Duration::from_secs(90)), "Enabled");
}

#[test]
fn creating_an_enabled_member_again_is_refused_and_counted() {
    let cloud = cloud();
    create(&cloud, &[NEW_ACCOUNT]);
    let seen = create(&cloud, &[NEW_ACCOUNT]);
    let text = seen.body["unprocessedAccounts"][0]["result"]
        .as_str()
        .unwrap_or_default();
    assert!(
        text.contains("is already a member or associated member of the current account"),
        "{text}"
    );
    assert_eq!(cloud.lock().guardduty_in(IRELAND).touched_enabled, 1);
}

#[test]
fn each_account_that_cannot_be_a_member_has_its_own_text() {
    let cloud = cloud();
    {
        let mut state = cloud.lock();
        let mut closed = Account::active("closed@example.com");
        closed.set_state("SUSPENDED");
        state
            .organization
            .accounts
            .insert("777788889999".to_owned(), closed);
        state.guardduty_in(IRELAND).management_enabled = false;
    }
    let seen = create(
        &cloud,
        &[
            "222222222222",
            MANAGEMENT_ACCOUNT,
            "999999999999",
            "777788889999",
            NEW_ACCOUNT,
        ],
    );
    let outside = "The request is rejected because the account is not part of the organization.";
    let expected = json!([
        { "accountId": "222222222222", "result": "The request is rejected because an account cannot become a member of itself." },
        { "accountId": MANAGEMENT_ACCOUNT, "result": "Operation failed because your organization master must first enable GuardDuty to be added as a member" },
        { "accountId": "999999999999", "result": outside },
        { "accountId": "777788889999", "result": outside },
    ]);
    assert_eq!(seen.body["unprocessedAccounts"], expected);
    assert_eq!(status_of(&cloud, NEW_ACCOUNT), "Enabled");
}

#[test]
fn an_account_that_is_no_administrator_creates_no_members() {
    let cloud = cloud();
    cloud.lock().guardduty_in(IRELAND).is_administrator = false;
    let text = create(&cloud, &[NEW_ACCOUNT]).body["unprocessedAccounts"][0]["result"].to_string();
    assert!(text.contains("cannot create members since it is already an associated member of another master account."), "{text}");
    let seen = guardduty(&cloud, NOW, Method::GET, "/admin", &Value::Null);
    assert_eq!(
        (seen.status, seen.code.as_str()),
        (400, "BadRequestException")
    );
}

#[test]
fn the_member_limit_holds() {
    let cloud = cloud();
    cloud.lock().guardduty_in(IRELAND).member_limit = 1;
    let seen = create(&cloud, &[NEW_ACCOUNT, OTHER_ACCOUNT]);
    assert_eq!(
        seen.body["unprocessedAccounts"][0]["accountId"],
        OTHER_ACCOUNT
    );
    let text = seen.body["unprocessedAccounts"][0]["result"].to_string();
    assert!(text.contains("cannot create anymore members since it cannot exceed the maximum number of allowed members."), "{text}");
    assert_eq!(
        guardduty(&cloud, NOW, Method::GET, "/admin", &Value::Null).body["memberAccountLimitReached"],
        true
    );
}

#[test]
fn a_removed_member_is_taken_back_and_a_suspended_one_stays_suspended() {
    let cloud = cloud();
    {
        let mut state = cloud.lock();
        let members = &mut state.guardduty_in(IRELAND).members;
        members.insert(
            NEW_ACCOUNT.to_owned(),
            Member::new("a@example.com", "Removed"),
        );
        members.insert(
            OTHER_ACCOUNT.to_owned(),
            Member::new("b@example.com", "Disabled"),
        );
    }
    create(&cloud, &[NEW_ACCOUNT, OTHER_ACCOUNT]);
    assert_eq!(status_of(&cloud, NEW_ACCOUNT), "Enabled");
    assert_eq!(status_of(&cloud, OTHER_ACCOUNT), "Disabled");
    let body = json!({ "accountIds": [OTHER_ACCOUNT, MANAGEMENT_ACCOUNT] });
    let seen = guardduty(&cloud, NOW, Method::POST, "/member/start", &body);
    assert_eq!(
        seen.body["unprocessedAccounts"][0]["accountId"],
        MANAGEMENT_ACCOUNT
    );
    assert_eq!(status_of(&cloud, OTHER_ACCOUNT), "Enabled");
    assert_eq!(cloud.lock().guardduty_in(IRELAND).touched_enabled, 0);
}

#[test]
fn one_bad_email_fails_the_whole_call() {
    for email in [
        "a@b.c",
        "no-at.example.com",
        "two@at@example.com",
        "a b@example.com",
        "a%b@example.com",
        "a&b@example.com",
        "ü@example.com",
        "@example.com",
        ".dot@example.com",
        "tab\t@example.com",
        "a@no-dot",
        "a@.example.com",
        "a@example.com.",
        "a@-example.com",
        "a@example.com-",
        "a@ex_ample.com",
        &format!("{}@example.com", "a".repeat(53)),
    ] {
        let cloud = cloud();
        let body = json!({ "accountDetails": [
            { "accountId": OTHER_ACCOUNT, "email": "other@example.com" },
            { "accountId": NEW_ACCOUNT, "email": email },
        ]});
        let seen = guardduty(&cloud, NOW, Method::POST, "/member", &body);
        assert_eq!(
            (seen.status, seen.code.as_str()),
            (400, "BadRequestException"),
            "{email}"
        );
        assert_eq!(
            seen.text,
            "The request is rejected because an invalid or out-of-range value is specified as an input parameter."
        );
        assert_eq!(seen.body["type"], "InvalidInputException");
        assert!(cloud.lock().guardduty_in(IRELAND).members.is_empty());
    }
}

#[test]
fn an_email_of_64_characters_is_accepted() {
    let cloud = cloud();
    let email = format!("{}@example.com", "a".repeat(52));
    let body = json!({ "accountDetails": [{ "accountId": NEW_ACCOUNT, "email": email }] });
    assert_eq!(
        guardduty(&cloud, NOW, Method::POST, "/member", &body).status,
        200
    );
}

#[test]
fn a_51st_account_is_a_bad_request() {
    let cloud = cloud();
    let ids: Vec<_> = (0..51).map(|number| format!("{number:012}")).collect();
    let mut ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let seen = create(&cloud, &ids);
    assert_eq!(seen.status, 400);
    assert_eq!(
        seen.text,
        "The request is rejected because the length provided for the accountDetails array was 51. Max allowed length is 50."
    );
    assert_eq!(get(&cloud, NOW, &ids).status, 400);
    ids.pop();
    assert_eq!(create(&cloud, &ids).status, 200);
    assert_eq!(get(&cloud, NOW, &ids).status, 200);
}

#[test]
fn no_account_and_a_malformed_id_are_bad_requests() {
    let cloud = cloud();
    for ids in [&[] as &[&str], &["12345678901"], &["12345678901x"]] {
        assert_eq!(create(&cloud, ids).status, 400, "{ids:?}");
        assert_eq!(get(&cloud, NOW, ids).status, 400, "{ids:?}");
    }
}

#[test]
fn a_foreign_detector_is_a_bad_request() {
    let request = request(
        "guardduty",
        IRELAND,
        Method::POST,
        "/detector/0000/member/get",
        "",
        r#"{"accountIds":["444455556666"]}"#,
    );
    let seen = see(&cloud(), NOW, &request).unwrap_or_else(nothing);
    assert_eq!(seen.status, 400);
    assert_eq!(
        seen.text,
        "The request is rejected because the input detectorId is not owned by the current account."
    );
}

#[test]
fn an_account_that_is_no_member_is_unprocessed() {
    let seen = get(&cloud(), NOW, &[NEW_ACCOUNT]);
    assert_eq!(seen.body["members"], json!([]));
    let text = "The request is rejected because the given account ID is not an associated member of account the current account.";
    assert_eq!(
        seen.body["unprocessedAccounts"],
        json!([{ "accountId": NEW_ACCOUNT, "result": text }])
    );
}

#[test]
fn members_are_listed_in_pages_of_50_and_the_departed_only_on_request() {
    let cloud = cloud();
    for number in 0..120 {
        let status = if number % 2 == 0 {
            "Enabled"
        } else {
            "Removed"
        };
        let member = Member::new("a@example.com", status);
        cloud
            .lock()
            .guardduty_in(IRELAND)
            .members
            .insert(format!("{number:012}"), member);
    }
    let pages = |only_associated: &str| {
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/member?maxResults=50&onlyAssociated={only_associated}{token}");
            let seen = guardduty(&cloud, NOW, Method::GET, &path, &Value::Null);
            pages.push(seen.body["members"].as_array().map_or(0, Vec::len));
            match seen.body["nextToken"].as_str() {
                Some(next) => token = format!("&nextToken={next}"),
                None => return pages,
            }
        }
    };
    assert_eq!(pages("false"), [50, 50, 20]);
    assert_eq!(pages("true"), [50, 10]);
    for query in [
        "maxResults=51",
        "maxResults=0",
        "onlyAssociated=perhaps",
        "nextToken=x",
        "nextToken=after-x",
    ] {
        assert_eq!(
            guardduty(
                &cloud,
                NOW,
                Method::GET,
                &format!("/member?{query}"),
                &Value::Null
            )
            .status,
            400,
            "{query}"
        );
    }
}

#[test]
fn the_organization_configuration_tells_the_auto_enable_setting() {
    let cloud = cloud();
    "NEW".clone_into(&mut cloud.lock().guardduty_in(IRELAND).auto_enable);
    let seen = guardduty(&cloud, NOW, Method::GET, "/admin", &Value::Null);
    assert_eq!(seen.body["autoEnableOrganizationMembers"], "NEW");
    assert_eq!(seen.body["memberAccountLimitReached"], false);
    let seen = guardduty(&cloud, NOW, Method::GET, "/admin?nextToken=x", &Value::Null);
    assert_eq!(seen.code, "BadRequestException");
}

// Organizations and Account Management

#[test]
fn an_account_is_described() {
    let cloud = cloud();
    let account = organizations(
        &cloud,
        "DescribeAccount",
        &json!({ "AccountId": NEW_ACCOUNT }),
    )
    .body["Account"]
        .clone();
    assert_eq!(account["Id"], NEW_ACCOUNT);
    assert_eq!(account["Email"], "new-account@example.com");
    assert_eq!(account["State"], "ACTIVE");
    assert_eq!(account["Status"], "ACTIVE");
    assert_eq!(
        account["Arn"],
        "arn:aws:organizations::111122223333:account/o-exampleorgid/444455556666"
    );
}

#[test]
fn what_an_account_lacks_is_left_out() {
    let cloud = cloud();
    if let Some(account) = cloud.lock().organization.accounts.get_mut(NEW_ACCOUNT) {
        account.set_state("PENDING_ACTIVATION");
        account.email = None;
    }
    let account = organizations(
        &cloud,
        "DescribeAccount",
        &json!({ "AccountId": NEW_ACCOUNT }),
    )
    .body["Account"]
        .clone();
    assert_eq!(account["State"], "PENDING_ACTIVATION");
    assert!(
        account.get("Status").is_none() && account.get("Email").is_none(),
        "{account}"
    );
}

#[test]
fn an_unknown_account_and_a_malformed_id_have_their_own_errors() {
    let cloud = cloud();
    let code =
        |id: &str| organizations(&cloud, "DescribeAccount", &json!({ "AccountId": id })).code;
    assert_eq!(code("999999999999"), "AccountNotFoundException");
    assert_eq!(code("99999"), "InvalidInputException");
    assert_eq!(code(""), "InvalidInputException");
}

#[test]
fn accounts_are_listed_in_pages_of_20() {
    let cloud = cloud();
    for number in 0..41 {
        cloud
            .lock()
            .organization
            .accounts
            .insert(format!("{number:012}"), Account::active("a@example.com"));
    }
    let (mut pages, mut input) = (Vec::new(), json!({}));
    loop {
        let seen = organizations(&cloud, "ListAccounts", &input);
        pages.push(seen.body["Accounts"].as_array().map_or(0, Vec::len));
        if seen.body["NextToken"].is_null() {
            break;
        }
        input = json!({ "NextToken": seen.body["NextToken"] });
    }
    assert_eq!(pages, [20, 20, 5]);
    assert_eq!(
        organizations(&cloud, "ListAccounts", &json!({ "MaxResults": 21 })).code,
        "InvalidInputException"
    );
    for token in ["x", "after-x"] {
        assert_eq!(
            organizations(&cloud, "ListAccounts", &json!({ "NextToken": token })).code,
            "InvalidInputException"
        );
    }
}

#[test]
fn regions_are_listed_by_their_opt_in_status() {
    let cloud = cloud();
    cloud
        .lock()
        .account
        .statuses
        .insert("af-south-1".to_owned(), "DISABLED".to_owned());
    assert_eq!(
        account(&cloud, &json!({})).body["Regions"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );
    let seen = account(
        &cloud,
        &json!({ "RegionOptStatusContains": ["ENABLED", "ENABLED_BY_DEFAULT"], "MaxResults": 3 }),
    );
    assert_eq!(seen.body["Regions"].as_array().map(Vec::len), Some(3));
    let seen = account(
        &cloud,
        &json!({ "RegionOptStatusContains": ["ENABLED_BY_DEFAULT"], "MaxResults": 3, "NextToken": seen.body["NextToken"] }),
    );
    assert_eq!(
        seen.body,
        json!({ "Regions": [{ "RegionName": "us-east-1", "RegionOptStatus": "ENABLED_BY_DEFAULT" }] })
    );
    for input in [
        json!({ "MaxResults": 51 }),
        json!({ "RegionOptStatusContains": ["ON"] }),
        json!({ "NextToken": "x" }),
        json!({ "NextToken": "after-nowhere" }),
        json!({ "AccountId": "1234567890" }),
    ] {
        assert_eq!(account(&cloud, &input).code, "ValidationException");
    }
    let another = json!({ "AccountId": OTHER_ACCOUNT });
    assert_eq!(account(&cloud, &another).code, "AccessDeniedException");
}

// SQS

#[test]
fn a_message_is_sent_received_and_deleted() {
    let cloud = cloud();
    let attributes = json!({ "reason": { "DataType": "String", "StringValue": "unknown" } });
    let sent = sqs(
        &cloud,
        NOW,
        "SendMessage",
        &json!({ "QueueUrl": DEAD_LETTER_QUEUE_URL, "MessageBody": "hello", "MessageAttributes": attributes }),
    );
    assert_eq!(
        sent.body["MD5OfMessageBody"],
        "5d41402abc4b2a76b9719d911017c592"
    );
    let later = Duration::from_secs(2);
    let input = json!({ "QueueUrl": DEAD_LETTER_QUEUE_URL, "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10 });
    let message = sqs(&cloud, later, "ReceiveMessage", &input).body["Messages"][0].clone();
    assert_eq!(message["MessageId"], sent.body["MessageId"]);
    assert_eq!(message["Body"], "hello");
    assert_eq!(message["MessageAttributes"], attributes);
    assert_eq!(
        message["MD5OfMessageAttributes"],
        sent.body["MD5OfMessageAttributes"]
    );
    assert_eq!(message["Attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(message["Attributes"]["SentTimestamp"], "1767225600000");
    assert_eq!(
        message["Attributes"]["ApproximateFirstReceiveTimestamp"],
        "1767225602000"
    );
    assert_eq!(sqs(&cloud, later, "ReceiveMessage", &input).body, json!({}));
    sqs(
        &cloud,
        later,
        "DeleteMessage",
        &json!({ "QueueUrl": DEAD_LETTER_QUEUE_URL, "ReceiptHandle": message["ReceiptHandle"] }),
    );
    assert_eq!(
        cloud
            .lock()
            .queues
            .depth(later, DEAD_LETTER_QUEUE_URL)
            .total(),
        0
    );
}

#[test]
fn a_queue_that_does_not_exist_is_named_in_both_protocols() {
    let seen = sqs(
        &cloud(),
        NOW,
        "SendMessage",
        &json!({ "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/222222222222/none", "MessageBody": "x" }),
    );
    assert_eq!(
        (seen.status, seen.code.as_str()),
        (400, "AWS.SimpleQueueService.NonExistentQueue;Sender")
    );
    assert_eq!(seen.body["__type"], "com.amazonaws.sqs#QueueDoesNotExist");
}

fn batch(cloud: &Cloud, entries: &Value) -> Seen {
    sqs(
        cloud,
        NOW,
        "SendMessageBatch",
        &json!({ "QueueUrl": RETRY_QUEUE_URL, "Entries": entries }),
    )
}

#[test]
fn a_batch_holds_1_to_10_entries_with_distinct_valid_ids() {
    let entries = |ids: &[&str]| {
        ids.iter()
            .map(|id| json!({ "Id": id, "MessageBody": "x" }))
            .collect::<Value>()
    };
    let cloud = cloud();
    let ids: Vec<_> = (0..11).map(|id| id.to_string()).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let code = |ids: &[&str]| batch(&cloud, &entries(ids)).code;
    assert_eq!(code(&[]), "AWS.SimpleQueueService.EmptyBatchRequest;Sender");
    assert_eq!(
        code(&ids),
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest;Sender"
    );
    assert_eq!(
        code(&["a", "a"]),
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct;Sender"
    );
    assert_eq!(
        code(&["a/b"]),
        "AWS.SimpleQueueService.InvalidBatchEntryId;Sender"
    );
    assert_eq!(
        code(&["x".repeat(81).as_str()]),
        "AWS.SimpleQueueService.InvalidBatchEntryId;Sender"
    );
    assert_eq!(cloud.lock().queues.depth(NOW, RETRY_QUEUE_URL).total(), 0);
    let seen = batch(&cloud, &entries(ids.get(..10).unwrap_or_default()));
    assert_eq!(seen.body["Successful"].as_array().map(Vec::len), Some(10));
    assert!(seen.body.get("Failed").is_none());
    assert_eq!(cloud.lock().queues.depth(NOW, RETRY_QUEUE_URL).visible, 10);
}

#[test]
fn a_batch_of_more_than_1_mib_is_refused() {
    let cloud = cloud();
    let half = "x".repeat(524_288);
    let seen = batch(
        &cloud,
        &json!([{ "Id": "a", "MessageBody": half }, { "Id": "b", "MessageBody": half }]),
    );
    assert_eq!(seen.status, 200);
    let seen = batch(
        &cloud,
        &json!([{ "Id": "a", "MessageBody": half }, { "Id": "b", "MessageBody": format!("{half}x") }]),
    );
    assert_eq!(
        seen.code,
        "AWS.SimpleQueueService.BatchRequestTooLong;Sender"
    );
}

#[test]
fn a_bad_entry_fails_alone() {
    let cloud = cloud();
    let seen = batch(
        &cloud,
        &json!([
            { "Id": "late", "MessageBody": "x", "DelaySeconds": 901 },
            { "Id": "control", "MessageBody": "\u{1}" },
            { "Id": "good", "MessageBody": "x", "DelaySeconds": 900 },
        ]),
    );
    let failed: Vec<_> = seen.body["Failed"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| (&entry["Id"], &entry["Code"]))
        .collect();
    assert_eq!(
        failed,
        [
            (&json!("late"), &json!("InvalidParameterValue")),
            (&json!("control"), &json!("InvalidMessageContents"))
        ]
    );
    assert_eq!(seen.body["Successful"][0]["Id"], "good");
    assert_eq!(cloud.lock().queues.depth(NOW, RETRY_QUEUE_URL).delayed, 1);
}

#[test]
fn parameters_of_a_message_are_checked() {
    let cloud = cloud();
    let code = |more: Value| {
        let mut input = json!({ "QueueUrl": RETRY_QUEUE_URL, "MessageBody": "x" });
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        sqs(&cloud, NOW, "SendMessage", &input).code
    };
    assert_eq!(
        code(json!({ "MessageBody": "" })),
        "MissingParameter;Sender"
    );
    assert_eq!(
        code(json!({ "MessageBody": "x".repeat(1_048_577) })),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(
        code(json!({ "DelaySeconds": -1 })),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(
        code(json!({ "MessageAttributes": { "a": { "DataType": "Text", "StringValue": "x" } } })),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(
        code(json!({ "MessageAttributes": { "a": { "DataType": "String", "StringValue": "" } } })),
        "InvalidParameterValue;Sender"
    );
    for wrong in [
        json!({ "MessageAttributes": { "a": { "DataType": "String", "StringValue": "x", "StringListValues": ["x"] } } }),
        json!({ "MessageSystemAttributes": { "a": { "DataType": "String", "StringValue": "x" } } }),
        json!({ "MessageSystemAttributes": { "AWSTraceHeader": { "DataType": "Number", "StringValue": "1" } } }),
        json!({ "MessageDeduplicationId": "only for FIFO queues" }),
    ] {
        assert_eq!(code(wrong), "InvalidParameterValue;Sender");
    }
    assert_eq!(cloud.lock().queues.depth(NOW, RETRY_QUEUE_URL).total(), 0);
}

#[test]
fn visibility_changes_only_for_a_message_in_flight() {
    let cloud = cloud();
    let receipt = {
        let mut state = cloud.lock();
        let _ = state.queues.send(NOW, RETRY_QUEUE_URL, Draft::text("x"));
        let received = state
            .queues
            .receive(NOW, RETRY_QUEUE_URL, 1)
            .unwrap_or_default();
        received.first().and_then(|message| message.receipt.clone())
    };
    let change = |now, receipt: &Value, seconds: i64| {
        sqs(&cloud, now, "ChangeMessageVisibility", &json!({ "QueueUrl": RETRY_QUEUE_URL, "ReceiptHandle": receipt, "VisibilityTimeout": seconds })).code
    };
    assert_eq!(
        change(NOW, &json!(receipt), 43_201),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(change(NOW, &json!(receipt), 43_200), "");
    assert_eq!(
        change(Duration::from_secs(1), &json!(receipt), 43_200),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(change(NOW, &json!(receipt), 10), "");
    assert_eq!(
        change(Duration::from_secs(10), &json!(receipt), 10),
        "AWS.SimpleQueueService.MessageNotInflight;Sender"
    );
    assert_eq!(
        change(NOW, &json!("nonsense"), 10),
        "ReceiptHandleIsInvalid;Sender"
    );
    assert_eq!(
        change(NOW, &json!("receipt-0-of-x"), 10),
        "InvalidParameterValue;Sender"
    );
}

#[test]
fn visibility_changes_in_a_batch_and_a_bad_entry_fails_alone() {
    let cloud = cloud();
    let receipt = {
        let mut state = cloud.lock();
        let _ = state.queues.send(NOW, RETRY_QUEUE_URL, Draft::text("x"));
        let received = state
            .queues
            .receive(NOW, RETRY_QUEUE_URL, 1)
            .unwrap_or_default();
        received.first().and_then(|message| message.receipt.clone())
    };
    let change = |entries: Value| {
        sqs(
            &cloud,
            NOW,
            "ChangeMessageVisibilityBatch",
            &json!({ "QueueUrl": RETRY_QUEUE_URL, "Entries": entries }),
        )
    };
    let seen = change(json!([
        { "Id": "good", "ReceiptHandle": receipt, "VisibilityTimeout": 60 },
        { "Id": "bad", "ReceiptHandle": "nonsense", "VisibilityTimeout": 60 },
    ]));
    assert_eq!(seen.body["Successful"], json!([{ "Id": "good" }]));
    assert_eq!(
        (
            &seen.body["Failed"][0]["Id"],
            &seen.body["Failed"][0]["Code"]
        ),
        (&json!("bad"), &json!("ReceiptHandleIsInvalid"))
    );
    let minute = Duration::from_mins(1);
    assert_eq!(
        cloud.lock().queues.depth(minute, RETRY_QUEUE_URL).visible,
        1
    );
    assert_eq!(
        change(json!([])).code,
        "AWS.SimpleQueueService.EmptyBatchRequest;Sender"
    );
    cloud.lock().faults.push(Fault::always(
        "ChangeMessageVisibilityBatch",
        FaultKind::Unprocessed("later".to_owned()),
    ));
    assert_eq!(
        change(json!([{ "Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 0 }])).body["Failed"]
            [0]["Code"],
        "InternalError"
    );
}

#[test]
fn a_queue_is_found_by_name_and_described() {
    let cloud = cloud();
    assert_eq!(
        sqs(
            &cloud,
            NOW,
            "GetQueueUrl",
            &json!({ "QueueName": "guardduty-enroller-retry" })
        )
        .body["QueueUrl"],
        RETRY_QUEUE_URL
    );
    assert_eq!(
        sqs(&cloud, NOW, "GetQueueUrl", &json!({ "QueueName": "retry" })).status,
        400
    );
    let _ = cloud
        .lock()
        .queues
        .send(NOW, RETRY_QUEUE_URL, Draft::text("x"));
    let attributes = sqs(
        &cloud,
        NOW,
        "GetQueueAttributes",
        &json!({ "QueueUrl": RETRY_QUEUE_URL, "AttributeNames": ["All"] }),
    )
    .body["Attributes"]
        .clone();
    assert_eq!(attributes["ApproximateNumberOfMessages"], "1");
    assert_eq!(
        attributes["QueueArn"],
        "arn:aws:sqs:eu-west-1:222222222222:guardduty-enroller-retry"
    );
    assert!(
        attributes["RedrivePolicy"]
            .to_string()
            .contains("guardduty-enroller-dead-letters"),
        "{attributes}"
    );
    assert_eq!(
        sqs(
            &cloud,
            NOW,
            "GetQueueAttributes",
            &json!({ "QueueUrl": RETRY_QUEUE_URL, "AttributeNames": ["Nope"] })
        )
        .code,
        "InvalidAttributeName;Sender"
    );
}

#[test]
fn the_checksum_of_attributes_is_that_of_sqs() {
    // One String attribute `a` = `b`: length and name, length and type, 1, length and value; hashed by another tool.
    let cloud = cloud();
    let attribute = Attribute {
        data_type: "String".to_owned(),
        string_value: Some("b".to_owned()),
        binary_value: None,
    };
    let sent = sqs(
        &cloud,
        NOW,
        "SendMessage",
        &json!({ "QueueUrl": RETRY_QUEUE_URL, "MessageBody": "x", "MessageAttributes": { "a": attribute } }),
    );
    assert_eq!(
        sent.body["MD5OfMessageAttributes"],
        "bef8bf215374a0a228d67533b1a488be"
    );
}

// Faults

#[test]
fn an_error_has_no_effect_and_strikes_as_often_as_told() {
    let kind = FaultKind::Error {
        status: 500,
        code: Some("InternalServerErrorException".to_owned()),
        message: "Internal server error.".to_owned(),
    };
    let cloud = cloud_with(Fault::always("CreateMembers", kind).from(2).first(2));
    let statuses = [(); 4].map(|()| create(&cloud, &[NEW_ACCOUNT]).status);
    assert_eq!(statuses, [200, 500, 500, 200]);
    let faults: Vec<_> = cloud.lock().calls.iter().map(|call| call.fault).collect();
    assert_eq!(faults, [false, true, true, false]);
    let fresh = cloud_with(Fault::always(
        "CreateMembers",
        FaultKind::Error {
            status: 403,
            code: None,
            message: "no".to_owned(),
        },
    ));
    let seen = create(&fresh, &[NEW_ACCOUNT]);
    assert_eq!(
        (
            seen.status,
            seen.code.as_str(),
            status_of(&fresh, NEW_ACCOUNT).as_str()
        ),
        (403, "", "none")
    );
}

#[test]
fn a_fault_keeps_to_its_region_and_account() {
    let kind = FaultKind::Drop { effect: false };
    let elsewhere = cloud_with(Fault::always("CreateMembers", kind.clone()).in_region("us-east-1"));
    assert_eq!(create(&elsewhere, &[NEW_ACCOUNT]).status, 200);
    let somebody = cloud_with(
        Fault::always("CreateMembers", kind)
            .in_region(IRELAND)
            .on_account(OTHER_ACCOUNT),
    );
    assert_eq!(create(&somebody, &[NEW_ACCOUNT]).status, 200);
    assert_eq!(
        create(&somebody, &[MANAGEMENT_ACCOUNT, OTHER_ACCOUNT]).code,
        "dropped"
    );
}

#[test]
fn an_account_left_unprocessed_is_no_member_and_the_others_are() {
    let fault = Fault::always(
        "CreateMembers",
        FaultKind::Unprocessed("Internal error".to_owned()),
    )
    .on_account(NEW_ACCOUNT);
    let cloud = cloud_with(fault);
    let seen = create(&cloud, &[NEW_ACCOUNT, OTHER_ACCOUNT]);
    assert_eq!(
        seen.body["unprocessedAccounts"],
        json!([{ "accountId": NEW_ACCOUNT, "result": "Internal error" }])
    );
    assert_eq!(status_of(&cloud, NEW_ACCOUNT), "none");
    assert_eq!(status_of(&cloud, OTHER_ACCOUNT), "Enabled");
}

#[test]
fn an_unprocessed_fault_works_for_the_other_operations_too() {
    let kind = || FaultKind::Unprocessed("Internal error".to_owned());
    let cloud = cloud_with(Fault::always("GetMembers", kind()).first(1));
    create(&cloud, &[NEW_ACCOUNT]);
    assert_eq!(
        get(&cloud, NOW, &[NEW_ACCOUNT]).body["unprocessedAccounts"][0]["result"],
        "Internal error"
    );
    assert_eq!(status_of(&cloud, NEW_ACCOUNT), "Enabled");
    let cloud = cloud_with(Fault::always("SendMessageBatch", kind()).on_account(NEW_ACCOUNT));
    let seen = batch(
        &cloud,
        &json!([{ "Id": "a", "MessageBody": NEW_ACCOUNT }, { "Id": "b", "MessageBody": OTHER_ACCOUNT }]),
    );
    assert_eq!(
        seen.body["Failed"],
        json!([{ "Id": "a", "SenderFault": false, "Code": "InternalError", "Message": "Internal error" }])
    );
    assert_eq!(seen.body["Successful"][0]["Id"], "b");
    assert_eq!(cloud.lock().queues.depth(NOW, RETRY_QUEUE_URL).total(), 1);
}

#[test]
fn a_delay_lets_the_effect_take_place() {
    let cloud = cloud_with(Fault::always(
        "CreateMembers",
        FaultKind::Delay(Duration::from_secs(9)),
    ));
    create(&cloud, &[NEW_ACCOUNT]);
    assert_eq!(
        last_call(&cloud).map(|call| call.took),
        Some(Duration::from_secs(9))
    );
    assert_eq!(status_of(&cloud, NEW_ACCOUNT), "Enabled");
}

#[test]
fn a_connection_drops_before_or_after_the_effect() {
    for (effect, expected) in [(false, "none"), (true, "Enabled")] {
        let cloud = cloud_with(Fault::always("CreateMembers", FaultKind::Drop { effect }));
        assert_eq!(create(&cloud, &[NEW_ACCOUNT]).code, "dropped");
        assert_eq!(last_call(&cloud).map(|call| call.status), Some(None));
        assert_eq!(status_of(&cloud, NEW_ACCOUNT), expected);
    }
}

#[test]
fn an_unreadable_answer_comes_after_the_effect() {
    for (kind, body) in [
        (FaultKind::Garbage, "<html>garbage"),
        (FaultKind::Empty, ""),
        (FaultKind::WithoutUnprocessedAccounts, "{}"),
    ] {
        let cloud = cloud_with(Fault::always("CreateMembers", kind));
        let detector = cloud
            .lock()
            .guardduty_in(IRELAND)
            .detector_id
            .clone()
            .unwrap_or_default();
        let input =
            json!({ "accountDetails": [{ "accountId": NEW_ACCOUNT, "email": "a@example.com" }] })
                .to_string();
        let request = request(
            "guardduty",
            IRELAND,
            Method::POST,
            &format!("/detector/{detector}/member"),
            "",
            input,
        );
        let reply = cloud.handle(NOW, &request).reply.unwrap_or_default();
        assert_eq!(
            (reply.status().as_u16(), reply.body().as_ref()),
            (200, body.as_bytes())
        );
        assert_eq!(status_of(&cloud, NEW_ACCOUNT), "Enabled");
    }
}
