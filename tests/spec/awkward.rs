//! AWS at its most awkward: members that take their time or end as something else, lists that lag, refusals, and errors
//! in odd shapes.

use std::time::Duration;

use crate::ledger::Lines;
use crate::world::{ONE_REGION, World, outcome, pair, pick};
use local_aws::{CodeIn, Fault, FaultKind, NEW_ACCOUNT, OTHER_ACCOUNT, Setup, Shape, TextIn};
use serde_json::json;

const REGION: &str = "eu-west-1";
const MINUTE: Duration = Duration::from_mins(1);

fn one_region() -> World {
    World::with(&ONE_REGION)
}

async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_on_its_way_is_pending_whatever_its_status_is() {
    for status in ["Created", "Invited", "EmailVerificationInProgress"] {
        let world = one_region();
        let region = world.region(REGION);
        region.enables_after(MINUTE);
        region.new_members_are(status);
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, REGION), "pending: not-yet-enabled");
        let result = &pair(&reply, NEW_ACCOUNT, REGION)["result"];
        assert_eq!(result, &json!(format!("relationshipStatus is {status}")));
        sleep(MINUTE).await;
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, REGION), "already-enabled");
        assert_eq!(region.enabled_since(NEW_ACCOUNT), Some(MINUTE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_ends_in_a_status_with_a_reason_of_its_own_calls_nobody_for_what_nobody_can_do()
 {
    for (status, expected, letters) in [
        ("AccountSuspended", "skipped: account-suspended", 0),
        ("RegionDisabled", "skipped: member-region-disabled", 0),
        ("CannotCreateDetectorInOrgMaster", "refused: management-account-not-enabled", 1),
    ] {
        let world = one_region();
        world.region(REGION).new_members_end_as(status);
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, REGION), expected);
        let result = &pair(&reply, NEW_ACCOUNT, REGION)["result"];
        assert_eq!(result, &json!(format!("relationshipStatus is {status}")));
        assert_eq!(world.dead_letters().len(), letters);
        assert!(world.retries().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_the_list_does_not_show_yet_is_not_created_twice() {
    let world = World::of_reconcile(&Setup::default(), &ONE_REGION);
    world.region(REGION).lists_late_by(MINUTE);
    for (listed, enrolled) in [(0, 3), (0, 0), (3, 0)] {
        let report = world.invoke(&json!({"reconcile": {}})).await.unwrap();
        let region = &report["regions"][REGION];
        assert_eq!((&report["gap"], &region["enrolled"]), (&json!(0), &json!(enrolled)));
        assert_eq!(region["enabled"], 3 - enrolled, "{listed} are listed");
        assert_eq!(world.touched_members(), 0);
        sleep(MINUTE / 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_longer_the_more_accounts_it_has_is_waited_for() {
    let mut world = one_region();
    world.region(REGION).takes_per_account(Duration::from_secs(3));
    world.deliver(&json!({ "accounts": [NEW_ACCOUNT, OTHER_ACCOUNT] })).await;
    let took: Vec<_> = world.calls("CreateMembers").iter().map(|call| call.took).collect();
    assert_eq!(took, [Duration::from_secs(6)]);
    for account in [NEW_ACCOUNT, OTHER_ACCOUNT] {
        assert_eq!(world.region(REGION).enabled_since(account), Some(Duration::from_secs(2)));
    }
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_denied_region_and_a_denied_organization_are_refused_in_awss_words() {
    let denied = one_region();
    denied.region(REGION).is_denied();
    let not_delegated = one_region();
    not_delegated.organizations_denies();
    for (world, expected, words) in [
        (
            denied,
            "refused: access-denied",
            "guardduty:ListDetectors with an explicit deny in a service control policy",
        ),
        (
            not_delegated,
            "refused: not-administrator",
            "You don't have permissions to access this resource.",
        ),
    ] {
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, REGION), expected);
        let result = pair(&reply, NEW_ACCOUNT, REGION)["result"].to_string();
        assert!(result.contains(words), "{result}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_guardduty_enabled_by_itself_is_left_alone() {
    let joined = "777788889999";
    for (waits, expected) in [(MINUTE / 2, "enrolled"), (MINUTE, "already-enabled")] {
        let world = one_region();
        sleep(MINUTE).await;
        world.joins(joined);
        world.region(REGION).auto_enables_new_after(MINUTE);
        world.region(REGION).enables_after(Duration::ZERO);
        sleep(waits).await;
        let reply = world.enroll(&[joined]).await;
        assert_eq!(outcome(&reply, joined, REGION), expected);
        assert_eq!(world.region(REGION).enabled_since(joined), Some(MINUTE + waits));
        // It was there before the start.
        assert_eq!(world.region(REGION).enabled_since(OTHER_ACCOUNT), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_guardduty_enables_between_the_look_and_the_write_is_left_alone() {
    // Organizations takes its time, or a write for two accounts fails slowly because of one of them.
    let slow = FaultKind::Delay(Duration::from_secs(4));
    for operation in ["DescribeAccount", "CreateMembers", "GetMembers"] {
        let world = one_region();
        world.region(REGION).auto_enables_all_after(Duration::from_secs(3));
        world.change(OTHER_ACCOUNT, |account| account.email = Some("o'brien@example.com".into()));
        world.fault(Fault::always(operation, slow.clone()).first(1));
        let reply = world.enroll(&[NEW_ACCOUNT, OTHER_ACCOUNT]).await;
        assert_eq!(outcome(&reply, NEW_ACCOUNT, REGION), "already-enabled", "{operation}");
        assert_eq!(world.touched_members(), 0, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_finds_all_accounts_that_guardduty_enabled_by_itself() {
    let world = World::of_reconcile(&Setup::default(), &ONE_REGION);
    world.region(REGION).auto_enables_all_after(MINUTE);
    sleep(MINUTE).await;
    let report = world.invoke(&json!({ "reconcile": {} })).await.unwrap();
    assert_eq!(report["regions"][REGION]["enabled"], 3);
    assert_eq!(world.count("CreateMembers"), 0);
    assert_eq!(world.region(REGION).enabled_since(OTHER_ACCOUNT), Some(MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_says_whom_somebody_else_made_a_member_meanwhile() {
    let lines = Lines::record();
    let world = World::of_reconcile(&Setup::default(), &ONE_REGION);
    world.region(REGION).auto_enables_all_after(MINUTE);
    // The list does not show yet what GetMembers knows.
    world.region(REGION).lists_late_by(Duration::from_secs(30));
    sleep(MINUTE + Duration::from_secs(1)).await;
    let report = world.invoke(&json!({ "reconcile": {} })).await.unwrap();
    let region = &report["regions"][REGION];
    assert_eq!(region["causes"], json!({"made-meanwhile": 3}));
    assert_eq!(pick(region, ["enabled", "enrolled", "lostProtection"]), json!([3, 0, 0]));
    assert_eq!(report["missedJoins"], 0);
    let told = lines.ledger();
    assert_eq!(told.len(), 3);
    for line in told {
        assert_eq!(pick(&line, ["alreadyEnabled", "enrolled"]), json!([REGION, null]));
        assert_eq!(line["causes"], format!("{REGION}:made-meanwhile"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_understood_wherever_it_has_its_code_and_its_text() {
    let throttled = "deferred: throttled";
    let texts = [
        (TextIn::Lowercase, throttled),
        (TextIn::Capitalized, throttled),
        (TextIn::Html, throttled),
    ];
    for code in [CodeIn::Header, CodeIn::Type, CodeIn::Code, CodeIn::Nowhere] {
        for (text, expected) in texts {
            let world = one_region();
            let kind = FaultKind::OddError {
                status: 400,
                code: Some("ThrottlingException".to_owned()),
                message: "Rate exceeded".to_owned(),
                shape: Shape { code, text },
            };
            world.fault(Fault::always("CreateMembers", kind));
            let reply = world.enroll(&[NEW_ACCOUNT]).await;
            assert_eq!(outcome(&reply, NEW_ACCOUNT, REGION), expected, "{code:?} {text:?}");
        }
    }
}
