//! What the operations and faults do, on the wire and without an SDK: a request goes in, a response comes out. Limits,
//! shapes and statuses are `.ci/check_contract.py`'s, which holds them to AWS's service models.

#![expect(clippy::indexing_slicing, reason = "a missing JSON member reads as null")]

use std::time::Duration;

use http::Request;
use local_aws::{
    ADMIN_ACCOUNT, Account, Call, Cloud, DEAD_LETTER_QUEUE_URL, Depth, Draft, Fault, FaultKind,
    GuardDuty, MANAGEMENT_ACCOUNT, Member, NEW_ACCOUNT, OTHER_ACCOUNT, RETRY_QUEUE_URL, Setup,
};
use serde_json::{Value, json};

const IRELAND: &str = "eu-west-1";

/// An answer as a test looks at it; one that dropped has the status 0.
#[derive(Debug, Default)]
struct Seen {
    status: u16,
    /// What the service's header for errors says.
    error: String,
    text: String,
    body: Value,
}

/// A cloud at a moment of virtual time.
struct At {
    cloud: Cloud,
    now: Duration,
}

impl At {
    fn start() -> Self {
        let cloud = Cloud::new(&Setup::instant());
        Self { cloud, now: Duration::ZERO }
    }

    fn with_fault(fault: Fault) -> Self {
        let at = Self::start();
        at.cloud.lock().faults.push(fault);
        at
    }

    fn with_members(members: &[(&str, &str)]) -> Self {
        let at = Self::start();
        for (id, status) in members {
            let member = Member::new("a@example.com", status);
            at.ireland(|it| it.members.insert((*id).to_owned(), member));
        }
        at
    }

    /// The same cloud at another moment.
    fn at(&self, seconds: u64) -> Self {
        let cloud = self.cloud.clone();
        Self { cloud, now: Duration::from_secs(seconds) }
    }

    /// Changes GuardDuty in Ireland, or looks at it.
    fn ireland<T>(&self, look: impl FnOnce(&mut GuardDuty) -> T) -> T {
        look(self.cloud.lock().guardduty_in(IRELAND))
    }

    fn depth(&self) -> Depth {
        self.cloud.lock().queues.depth(self.now, RETRY_QUEUE_URL)
    }

    fn see(&self, request: http::request::Builder, body: &Value) -> Seen {
        let body = Some(body).filter(|body| !body.is_null());
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(body.into()).unwrap_or_default();
        let Some(reply) = self.cloud.handle(self.now, &request).reply else {
            return Seen::default();
        };
        let headers = ["x-amzn-errortype", "x-amzn-query-error"];
        let error = headers.iter().find_map(|name| reply.headers().get(*name));
        let error = error.and_then(|error| error.to_str().ok());
        Seen {
            status: reply.status().as_u16(),
            error: error.unwrap_or_default().to_owned(),
            text: String::from_utf8_lossy(reply.body()).into_owned(),
            body: serde_json::from_slice(reply.body()).unwrap_or_default(),
        }
    }

    fn detectors(&self, region: &str) -> Seen {
        self.see(signed("guardduty", region, "GET", "/detector"), &Value::Null)
    }

    /// An operation on the detector of Ireland.
    fn guardduty(&self, method: &str, path: &str, body: &Value) -> Seen {
        let detector = self.ireland(|it| it.detector_id.clone()).unwrap_or_default();
        let path = format!("/detector/{detector}{path}");
        self.see(signed("guardduty", IRELAND, method, &path), body)
    }

    fn create(&self, ids: &[&str]) -> Seen {
        let detail = |id| json!({ "accountId": id, "email": "new-account@example.com" });
        let details: Vec<_> = ids.iter().map(detail).collect();
        self.guardduty("POST", "/member", &json!({ "accountDetails": details }))
    }

    fn get(&self, id: &str) -> Value {
        let body = json!({ "accountIds": [id] });
        self.guardduty("POST", "/member/get", &body).body
    }

    fn status(&self, id: &str) -> String {
        let status = &self.get(id)["members"][0]["relationshipStatus"];
        status.as_str().unwrap_or("none").to_owned()
    }

    fn organizations(&self, operation: &str, body: &Value) -> Value {
        let target = format!("AWSOrganizationsV20161128.{operation}");
        let request = signed("organizations", "us-east-1", "POST", "/");
        self.see(request.header("x-amz-target", target), body).body
    }

    fn regions(&self, body: &Value) -> Value {
        let request = signed("account", "us-east-1", "POST", "/listRegions");
        self.see(request, body).body
    }

    fn sqs(&self, operation: &str, mut body: Value) -> Seen {
        body["QueueUrl"] = json!(RETRY_QUEUE_URL);
        let target = format!("AmazonSQS.{operation}");
        let request = signed("sqs", IRELAND, "POST", "/");
        self.see(request.header("x-amz-target", target), &body)
    }

    fn send(&self, entries: &Value) -> Seen {
        self.sqs("SendMessageBatch", json!({ "Entries": entries }))
    }
}

fn signed(service: &str, region: &str, method: &str, path: &str) -> http::request::Builder {
    let scope = format!("Credential=AKIDEXAMPLE/20260101/{region}/{service}/aws4_request, x");
    let request = Request::builder().method(method).uri(path);
    request.header("authorization", scope)
}

/// What is said of the accounts that were left unprocessed.
fn unprocessed(seen: &Seen) -> Vec<(&str, &str)> {
    let list = seen.body["unprocessedAccounts"].as_array().into_iter();
    let texts = list.flatten().map(|entry| {
        let part = |name| entry[name].as_str().unwrap_or_default();
        (part("accountId"), part("result"))
    });
    texts.collect()
}

#[test]
fn a_request_without_a_signature_is_refused() {
    let seen = At::start().see(Request::builder(), &Value::Null);
    assert_eq!((seen.status, seen.error.as_str()), (403, "MissingAuthenticationTokenException"));
}

#[test]
fn every_call_is_logged() {
    let aws = At::start().at(3);
    aws.cloud.lock().latency = Duration::from_millis(20);
    aws.create(&[NEW_ACCOUNT, OTHER_ACCOUNT]);
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
    assert_eq!(aws.cloud.lock().calls.last().cloned(), Some(expected));
}

#[test]
fn every_region_has_its_own_detector_if_it_is_switched_on_and_has_guardduty() {
    let aws = At::start();
    let one = aws.detectors(IRELAND).body["detectorIds"].clone();
    let other = aws.detectors("us-east-1").body["detectorIds"].clone();
    assert!(one[0].is_string() && other[0].is_string() && one != other);
    aws.ireland(|it| it.detector_id = None);
    let seen = aws.detectors(IRELAND);
    assert_eq!((seen.status, &seen.body["detectorIds"]), (200, &json!([])));
    aws.ireland(|it| it.enabled_for_admin = false);
    for region in [IRELAND, "eu-nowhere-9"] {
        let seen = aws.detectors(region);
        assert_eq!((seen.status, seen.error.as_str()), (403, "UnrecognizedClientException"));
    }
}

#[test]
fn a_created_member_is_enabled_at_once_or_in_its_time() {
    let aws = At::start();
    assert_eq!(aws.create(&[NEW_ACCOUNT]).body, json!({ "unprocessedAccounts": [] }));
    let member = &aws.get(NEW_ACCOUNT)["members"][0];
    for (name, expected) in [
        ("relationshipStatus", "Enabled"),
        ("email", "new-account@example.com"),
        ("administratorId", ADMIN_ACCOUNT),
        ("updatedAt", "2026-01-01T00:00:00Z"),
    ] {
        assert_eq!(member[name], expected);
    }
    aws.ireland(|it| it.enables_after = Duration::from_secs(90));
    aws.create(&[OTHER_ACCOUNT]);
    let status = |seconds| aws.at(seconds).status(OTHER_ACCOUNT);
    assert_eq!([89, 90].map(status), ["Created", "Enabled"]);
}

#[test]
fn each_account_that_cannot_be_a_member_has_its_own_text() {
    let (closed, nobody) = ("777788889999", "999999999999");
    let aws = At::with_members(&[(OTHER_ACCOUNT, "Enabled")]);
    let mut account = Account::active("closed@example.com");
    account.set_state("SUSPENDED");
    let closed_account = (closed.to_owned(), account);
    aws.cloud.lock().organization.accounts.extend([closed_account]);
    aws.ireland(|it| it.management_enabled = false);
    aws.ireland(|it| it.member_limit = 1);
    let all = [ADMIN_ACCOUNT, MANAGEMENT_ACCOUNT, nobody, closed, OTHER_ACCOUNT, NEW_ACCOUNT];
    let outside = "The request is rejected because the account is not part of the organization.";
    let expected = [
        (
            ADMIN_ACCOUNT,
            "The request is rejected because an account cannot become a member of itself.",
        ),
        (
            MANAGEMENT_ACCOUNT,
            "Operation failed because your organization master must first enable GuardDuty to be added as a member",
        ),
        (nobody, outside),
        (closed, outside),
        (
            OTHER_ACCOUNT,
            "The request is rejected because the given account ID is already a member or associated member of the current account.",
        ),
        (
            NEW_ACCOUNT,
            "The request is rejected because the current account cannot create anymore members since it cannot exceed the maximum number of allowed members.",
        ),
    ];
    assert_eq!(unprocessed(&aws.create(&all)), expected);
    assert_eq!(aws.ireland(|it| it.touched_enabled.len()), 1);
    // Where the limit is lifted, the good one among the bad becomes a member.
    aws.ireland(|it| it.member_limit = 2);
    assert_eq!(unprocessed(&aws.create(&all)), expected[..5]);
    assert_eq!(aws.status(NEW_ACCOUNT), "Enabled");
    // Of whom GuardDuty knows nothing it says so.
    let said = aws.get(nobody)["unprocessedAccounts"][0]["result"].clone();
    assert_eq!(
        said,
        "The request is rejected because the given account ID is not an associated member of account the current account."
    );
}

#[test]
fn the_organization_configuration_tells_of_the_limit_and_the_delegated_administrator() {
    let aws = At::with_members(&[(OTHER_ACCOUNT, "Enabled")]);
    let admin = || aws.guardduty("GET", "/admin", &Value::Null);
    aws.ireland(|it| "NEW".clone_into(&mut it.auto_enable));
    assert_eq!(admin().body["autoEnableOrganizationMembers"], "NEW");
    assert_eq!(admin().body["memberAccountLimitReached"], false);
    aws.ireland(|it| it.member_limit = 1);
    assert_eq!(admin().body["memberAccountLimitReached"], true);
    aws.ireland(|it| it.is_administrator = false);
    assert_eq!(admin().error, "BadRequestException");
    let seen = aws.create(&[NEW_ACCOUNT]);
    assert_eq!(
        unprocessed(&seen),
        [(
            NEW_ACCOUNT,
            "The request is rejected because the current account cannot create members since it is already an associated member of another master account."
        )]
    );
}

#[test]
fn a_removed_member_is_taken_back_and_a_suspended_one_stays_suspended_until_it_is_resumed() {
    let aws = At::with_members(&[(NEW_ACCOUNT, "Removed"), (OTHER_ACCOUNT, "Disabled")]);
    aws.create(&[NEW_ACCOUNT, OTHER_ACCOUNT]);
    assert_eq!([NEW_ACCOUNT, OTHER_ACCOUNT].map(|id| aws.status(id)), ["Enabled", "Disabled"]);
    let body = json!({ "accountIds": [OTHER_ACCOUNT, MANAGEMENT_ACCOUNT] });
    let seen = aws.guardduty("POST", "/member/start", &body);
    let left = unprocessed(&seen).into_iter().map(|(id, _)| id);
    assert_eq!(left.collect::<Vec<_>>(), [MANAGEMENT_ACCOUNT]);
    assert_eq!(aws.status(OTHER_ACCOUNT), "Enabled");
    assert_eq!(aws.ireland(|it| it.touched_enabled.len()), 0);
}

#[test]
fn one_bad_address_fails_the_whole_call() {
    let aws = At::start();
    let body = json!({ "accountDetails": [
        { "accountId": OTHER_ACCOUNT, "email": "other@example.com" },
        { "accountId": NEW_ACCOUNT, "email": "o'brien@example.com" },
    ]});
    let seen = aws.guardduty("POST", "/member", &body);
    let message = "The request is rejected because an invalid or out-of-range value is specified as an input parameter.";
    assert_eq!(seen.body, json!({ "type": "InvalidInputException", "message": message }));
    assert!(aws.ireland(|it| it.members.is_empty()));
}

#[test]
fn a_page_is_as_long_as_it_can_be_the_last_has_no_token_and_departed_members_are_on_request() {
    let aws = At::start();
    for (id, status) in (0..50).flat_map(|_| ["Enabled", "Removed"]).enumerate() {
        let id = format!("{id:012}");
        let member = Member::new("a@example.com", status);
        aws.ireland(|it| it.members.insert(id.clone(), member));
        let accounts = &mut aws.cloud.lock().organization.accounts;
        accounts.insert(id, Account::active("a@example.com"));
    }
    let pages = |list: &str, token: &str, page: &dyn Fn(&Value) -> Value| {
        let (mut pages, mut next) = (Vec::new(), Value::Null);
        loop {
            let body = page(&next);
            pages.push(body[list].as_array().map_or(0, Vec::len));
            next = body[token].clone();
            if next.is_null() {
                return pages;
            }
        }
    };
    let members = |only_associated: &str| {
        pages("members", "nextToken", &|next| {
            let token = next.as_str().map(|next| format!("&nextToken={next}"));
            let path =
                format!("/member?onlyAssociated={only_associated}{}", token.unwrap_or_default());
            aws.guardduty("GET", &path, &Value::Null).body
        })
    };
    assert_eq!(members("false"), [50, 50]);
    assert_eq!(members("true"), [50]);
    let accounts = pages("Accounts", "NextToken", &|next| {
        aws.organizations("ListAccounts", &json!({ "NextToken": next }))
    });
    assert_eq!(accounts, [20, 20, 20, 20, 20, 4]);
}

#[test]
fn what_an_account_lacks_is_left_out() {
    let aws = At::start();
    let input = json!({ "AccountId": NEW_ACCOUNT });
    let mut expected = json!({
        "Id": NEW_ACCOUNT,
        "Arn": "arn:aws:organizations::111122223333:account/o-exampleorgid/444455556666",
        "Email": "new-account@example.com",
        "Name": "An account",
        "Status": "ACTIVE",
        "State": "ACTIVE",
        "JoinedMethod": "CREATED",
        "JoinedTimestamp": 1_767_225_600,
    });
    assert_eq!(aws.organizations("DescribeAccount", &input)["Account"], expected);
    if let Some(account) = aws.cloud.lock().organization.accounts.get_mut(NEW_ACCOUNT) {
        account.set_state("PENDING_ACTIVATION");
        account.email = None;
    }
    expected["State"] = json!("PENDING_ACTIVATION");
    if let Value::Object(members) = &mut expected {
        members.retain(|name, _| !["Status", "Email"].contains(&name.as_str()));
    }
    assert_eq!(aws.organizations("DescribeAccount", &input)["Account"], expected);
}

#[test]
fn regions_are_listed_by_their_opt_in_status() {
    let aws = At::start();
    let off = ("af-south-1".to_owned(), "DISABLED".to_owned());
    aws.cloud.lock().account.statuses.extend([off]);
    let names = |body: &Value| {
        let regions = body["Regions"].as_array().into_iter().flatten();
        regions.map(|region| region["RegionName"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&aws.regions(&json!({}))).len(), 5);
    let mut input =
        json!({ "RegionOptStatusContains": ["ENABLED", "ENABLED_BY_DEFAULT"], "MaxResults": 3 });
    let first = aws.regions(&input);
    assert_eq!(names(&first), ["ap-southeast-2", "eu-central-1", "eu-west-1"]);
    input["NextToken"] = first["NextToken"].clone();
    let last = json!({ "RegionName": "us-east-1", "RegionOptStatus": "ENABLED_BY_DEFAULT" });
    assert_eq!(aws.regions(&input), json!({ "Regions": [last] }));
}

#[test]
fn a_message_is_sent_received_and_deleted() {
    let aws = At::start();
    let attributes = json!({ "a": { "DataType": "String", "StringValue": "b" } });
    let sent = aws
        .send(&json!([{ "Id": "1", "MessageBody": "hello", "MessageAttributes": attributes }]))
        .body["Successful"][0]
        .clone();
    assert_eq!(sent["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
    // Length and name, length and type, 1, length and value; hashed by another tool.
    assert_eq!(sent["MD5OfMessageAttributes"], "bef8bf215374a0a228d67533b1a488be");
    let aws = aws.at(2);
    let everything =
        json!({ "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"] });
    let receive = || aws.sqs("ReceiveMessage", everything.clone()).body;
    let message = receive()["Messages"][0].clone();
    let receipt = message["ReceiptHandle"].clone();
    let expected = json!({
        "MessageId": sent["MessageId"],
        "ReceiptHandle": receipt,
        "MD5OfBody": sent["MD5OfMessageBody"],
        "Body": "hello",
        "Attributes": {
            "ApproximateFirstReceiveTimestamp": "1767225602000",
            "ApproximateReceiveCount": "1",
            "SenderId": ADMIN_ACCOUNT,
            "SentTimestamp": "1767225600000",
        },
        "MD5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "MessageAttributes": attributes,
    });
    assert_eq!(message, expected);
    assert_eq!(receive(), json!({}));
    // Another handle deletes nothing, without an error.
    for (handle, left) in [(json!("receipt-0-of-x"), 1), (receipt, 0)] {
        let seen = aws.sqs("DeleteMessage", json!({ "ReceiptHandle": handle }));
        assert_eq!((seen.status, seen.text.as_str()), (200, ""));
        assert_eq!(aws.depth().total(), left);
    }
}

#[test]
fn a_bad_entry_fails_alone_and_a_bad_batch_as_a_whole() {
    let aws = At::start();
    let good = json!({ "Id": "good", "MessageBody": "x", "DelaySeconds": 900 });
    let late = json!({ "Id": "late", "MessageBody": "x", "DelaySeconds": 901 });
    let seen = aws.send(&json!([good, good]));
    assert_eq!(seen.error, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct;Sender");
    assert_eq!(aws.depth().total(), 0);
    let seen = aws.send(&json!([late, good]));
    assert_eq!(seen.body["Successful"][0]["Id"], "good");
    assert_eq!(seen.body["Failed"][0]["Id"], "late");
    assert_eq!((aws.depth().delayed, aws.depth().total()), (1, 1));
}

#[test]
fn the_visibility_of_a_message_in_flight_changes_and_a_bad_entry_fails_alone() {
    let aws = At::start();
    aws.send(&json!([{ "Id": "1", "MessageBody": "x" }]));
    let received = aws.sqs("ReceiveMessage", json!({})).body;
    let receipt = &received["Messages"][0]["ReceiptHandle"];
    let change = |now: u64, handles: &[&Value]| {
        let entries = handles.iter().enumerate().map(|(number, handle)| {
            json!({ "Id": number.to_string(), "ReceiptHandle": handle, "VisibilityTimeout": 60 })
        });
        let entries: Vec<_> = entries.collect();
        let body = json!({ "Entries": entries });
        aws.at(now).sqs("ChangeMessageVisibilityBatch", body).body
    };
    let seen = change(0, &[receipt, &json!("nonsense"), &json!("receipt-0-of-x")]);
    assert_eq!(seen["Successful"], json!([{ "Id": "0" }]));
    let codes = [0, 1].map(|index| seen["Failed"][index]["Code"].clone());
    assert_eq!(codes, ["ReceiptHandleIsInvalid", "InvalidParameterValue"]);
    assert_eq!([59, 60].map(|now| aws.at(now).depth().visible), [0, 1]);
    assert_eq!(change(60, &[receipt])["Failed"][0]["Code"], "MessageNotInflight");
    let later = FaultKind::Unprocessed("later".to_owned());
    let fault = Fault::always("ChangeMessageVisibilityBatch", later);
    aws.cloud.lock().faults.push(fault);
    assert_eq!(change(0, &[receipt])["Failed"][0]["Code"], "InternalError");
}

// Faults

fn error(status: u16, code: Option<&str>) -> FaultKind {
    FaultKind::Error { status, code: code.map(str::to_owned), message: "no".to_owned() }
}

#[test]
fn an_error_has_no_effect_and_strikes_as_often_as_it_is_set() {
    let kind = error(500, Some("InternalServerErrorException"));
    let aws = At::with_fault(Fault::always("CreateMembers", kind).from(2).first(2));
    let statuses = [(); 4].map(|()| aws.create(&[NEW_ACCOUNT]).status);
    assert_eq!(statuses, [200, 500, 500, 200]);
    let faults: Vec<_> = aws.cloud.lock().calls.iter().map(|call| call.fault).collect();
    assert_eq!(faults, [false, true, true, false]);
    let fresh = At::with_fault(Fault::always("CreateMembers", error(403, None)));
    let seen = fresh.create(&[NEW_ACCOUNT]);
    assert_eq!((seen.status, seen.error.as_str(), seen.text.as_str()), (403, "", "no"));
    assert_eq!(fresh.status(NEW_ACCOUNT), "none");
}

#[test]
fn the_runbooks_move_task_brings_dead_letters_to_the_retry_queue() {
    let arn = |url: &str| {
        let name = url.rsplit('/').next().unwrap();
        format!("arn:aws:sqs:eu-west-1:{ADMIN_ACCOUNT}:{name}")
    };
    let (dead, retry) = (arn(DEAD_LETTER_QUEUE_URL), arn(RETRY_QUEUE_URL));
    let aws = At::start();
    let draft = Draft::text("x".to_owned());
    aws.cloud.lock().queues.send(Duration::ZERO, DEAD_LETTER_QUEUE_URL, draft).unwrap();
    for (source, destination, status) in [
        (retry.as_str(), dead.as_str(), 400),
        (dead.as_str(), "arn:aws:sqs:eu-west-1:222222222222:nowhere", 400),
        (dead.as_str(), retry.as_str(), 200),
    ] {
        let body = json!({ "SourceArn": source, "DestinationArn": destination });
        let seen = aws.sqs("StartMessageMoveTask", body);
        assert_eq!(seen.status, status, "{}", seen.text);
        assert_eq!(aws.depth().total(), usize::from(status == 200));
    }
}

#[test]
fn a_fault_keeps_to_its_region_and_account() {
    let always = Fault::always("CreateMembers", FaultKind::Drop { effect: false });
    let elsewhere = At::with_fault(always.clone().in_region("us-east-1"));
    assert_eq!(elsewhere.create(&[NEW_ACCOUNT]).status, 200);
    let somebody = At::with_fault(always.in_region(IRELAND).on_account(OTHER_ACCOUNT));
    assert_eq!(somebody.create(&[NEW_ACCOUNT]).status, 200);
    assert_eq!(somebody.create(&[MANAGEMENT_ACCOUNT, OTHER_ACCOUNT]).status, 0);
}

#[test]
fn what_a_fault_leaves_unprocessed_has_no_effect_and_the_rest_has() {
    let fault = |operation| {
        let kind = FaultKind::Unprocessed("Internal error".to_owned());
        Fault::always(operation, kind).on_account(NEW_ACCOUNT)
    };
    let aws = At::with_fault(fault("CreateMembers"));
    let seen = aws.create(&[NEW_ACCOUNT, OTHER_ACCOUNT]);
    assert_eq!(unprocessed(&seen), [(NEW_ACCOUNT, "Internal error")]);
    assert_eq!([NEW_ACCOUNT, OTHER_ACCOUNT].map(|id| aws.status(id)), ["none", "Enabled"]);

    let aws = At::with_fault(fault("GetMembers").first(1));
    aws.create(&[NEW_ACCOUNT]);
    assert_eq!(aws.get(NEW_ACCOUNT)["unprocessedAccounts"][0]["result"], "Internal error");
    assert_eq!(aws.status(NEW_ACCOUNT), "Enabled");

    let aws = At::with_fault(fault("SendMessageBatch"));
    let seen = aws.send(&json!([{ "Id": "a", "MessageBody": NEW_ACCOUNT }, { "Id": "b", "MessageBody": OTHER_ACCOUNT }]),
    );
    let failed = json!({ "Id": "a", "SenderFault": false, "Code": "InternalError", "Message": "Internal error" });
    assert_eq!(seen.body["Failed"], json!([failed]));
    assert_eq!(seen.body["Successful"][0]["Id"], "b");
    assert_eq!(aws.depth().total(), 1);
}

#[test]
fn an_answer_that_is_late_lost_or_unreadable_comes_after_the_effect_unless_it_is_lost_before() {
    let delay = Duration::from_secs(9);
    for (kind, status, text, member) in [
        (FaultKind::Delay(delay), Some(200), r#"{"unprocessedAccounts":[]}"#, "Enabled"),
        (FaultKind::Drop { effect: false }, None, "", "none"),
        (FaultKind::Drop { effect: true }, None, "", "Enabled"),
        (FaultKind::Garbage, Some(200), "<html>garbage", "Enabled"),
        (FaultKind::Empty, Some(200), "", "Enabled"),
        (FaultKind::WithoutUnprocessedAccounts, Some(200), "{}", "Enabled"),
    ] {
        let took = if kind == FaultKind::Delay(delay) { delay } else { Duration::ZERO };
        let aws = At::with_fault(Fault::always("CreateMembers", kind.clone()));
        assert_eq!(aws.create(&[NEW_ACCOUNT]).text, text, "{kind:?}");
        let call =
            aws.cloud.lock().calls.last().cloned().map(|call| (call.status, call.took, call.fault));
        assert_eq!(call, Some((status, took, true)), "{kind:?}");
        assert_eq!(aws.status(NEW_ACCOUNT), member, "{kind:?}");
    }
}
