//! GuardDuty takes its time, loses answers, and stumbles over single accounts: nothing that is only slow calls anybody, and
//! no account holds up others.

use std::time::Duration;

use local_aws::{Fault, FaultKind, NEW_ACCOUNT, OTHER_ACCOUNT, Setup};
use serde_json::{Value, json};

use crate::world::{
    ONE_REGION, REGIONS, World, bare, error, event, hangs, id, ids, operator, outcome, pairs, pick,
    tally,
};

const RECONCILE_TIMEOUT: Duration = Duration::from_mins(15);

/// A GuardDuty that calls a new member `Enabled` only this many seconds later, in all Regions.
fn takes(world: &World, seconds: u64) {
    for region in world.regions() {
        world.region(&region).enables_after(Duration::from_secs(seconds));
    }
}

fn organization(accounts: usize) -> World {
    let mut setup = Setup { regions: vec![REGIONS[0].to_owned()], ..Setup::default() };
    setup.accounts.truncate(2);
    setup.accounts.extend((0..accounts).map(|n| (id(n), format!("a{n}@example.com"))));
    let world = World::of_reconcile(&setup, &[("EXCLUDED_ACCOUNTS", "111122223333")]);
    world.change("111122223333", |account| account.set_state("ACTIVE"));
    world
}

async fn reconcile(world: &World, timeout: Duration) -> Value {
    let payload = json!({"reconcile": {}}).to_string();
    let report = world.invoke_raw(&payload, timeout).await.unwrap();
    report["regions"][REGIONS[0]].clone()
}

// Time.

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_a_guardduty_that_takes_seconds_and_needs_no_queue() {
    for delay in [1, 3, 5, 10] {
        let world = World::new();
        takes(&world, delay);
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        assert_eq!(tally(&reply), pairs([("enrolled", REGIONS.len())]), "{delay} s");
        assert!(world.queues_are_empty());
        assert_eq!(world.count("CreateMembers"), REGIONS.len());
        let bound = Duration::from_millis(delay * 1_500 + 1_000);
        assert!(world.elapsed() <= bound, "{delay} s: {:?}", world.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_guardduty_that_takes_longer_is_looked_at_again_from_the_queue_and_asked_once() {
    let mut world = World::with(&ONE_REGION);
    takes(&world, 100);
    world.deliver(&event("create-account-result.json")).await;
    assert_eq!(world.count("CreateMembers"), 1);
    assert!(world.region("eu-west-1").count_members() == (1, 1));
    assert!(world.queues_are_empty());
}

#[tokio::test(start_paused = true)]
async fn someone_who_calls_until_an_account_is_protected_sees_when_it_is_and_touches_no_enabled_member()
 {
    let world = World::new();
    takes(&world, 200);
    loop {
        let reply = world.enroll(&[NEW_ACCOUNT]).await;
        let tally = tally(&reply);
        let enabled = world.enabled_regions(NEW_ACCOUNT).len();
        let is_open =
            |outcome: &String| !["enrolled", "already-enabled"].contains(&outcome.as_str());
        assert_eq!(tally.keys().any(is_open), enabled < REGIONS.len(), "{tally:?}");
        if enabled == REGIONS.len() {
            break;
        }
        assert_eq!(tally, pairs([("pending: not-yet-enabled", REGIONS.len())]));
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    assert_eq!(world.touched_members(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stays_as_it_is_is_asked_for_once_more_before_a_person_is() {
    for status in ["Created", "created", "EmailVerificationInProgress"] {
        let mut world = World::with(&ONE_REGION);
        takes(&world, 1);
        world.region("eu-west-1").set_member(NEW_ACCOUNT, status);
        // So that nothing can be written at first.
        world.change(NEW_ACCOUNT, |account| account.email = None);
        world.submit(event("create-account-result.json"));
        world.drive(Duration::from_mins(2)).await;
        assert_eq!(world.retries().len(), 1, "{status}");
        world.change(NEW_ACCOUNT, |account| account.email = Some("good@example.com".to_owned()));
        world.settle().await;
        assert_eq!(world.count("CreateMembers"), 1, "{status}");
        assert_eq!(world.enabled_regions(NEW_ACCOUNT), ["eu-west-1".to_owned()].into(), "{status}");
        assert!(world.queues_are_empty(), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_waits_of_an_event_end_before_its_deadline() {
    let world = World::with(&ONE_REGION);
    takes(&world, 3_600);
    let reply = world.enroll(&[NEW_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("pending: not-yet-enabled", 1)]));
    let short = Duration::from_secs(15);
    let payload = operator(&[OTHER_ACCOUNT]).to_string();
    let start = world.elapsed();
    let reply = world.invoke_raw(&payload, short).await.unwrap();
    assert_eq!(tally(&reply), pairs([("pending: not-yet-enabled", 1)]));
    assert!(world.elapsed().saturating_sub(start) < short);
    assert_eq!(world.retries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_looks_once_more_before_it_calls_a_slow_guardduty_a_gap() {
    let world = organization(120);
    takes(&world, 8);
    let report = reconcile(&world, RECONCILE_TIMEOUT).await;
    assert_eq!(
        pick(&report, ["enrolled", "notEnabled", "notAttempted", "blocked"]),
        json!([120, {}, 0, null])
    );
    // 120 accounts, 50 per call, each once.
    assert_eq!(world.count("CreateMembers"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_counts_those_who_are_not_enabled_at_its_end_and_no_others() {
    let world = organization(10);
    takes(&world, 3_600);
    let report = reconcile(&world, RECONCILE_TIMEOUT).await;
    assert_eq!(pick(&report, ["enrolled", "notEnabled"]), json!([0, {"not-yet-enabled": 10}]));
}

// Answers that are lost.

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_looked_at_and_not_sent_again() {
    for kind in [FaultKind::Drop { effect: true }, FaultKind::Garbage, FaultKind::Empty, hangs()] {
        let ids = ids(20);
        let world = World::with_accounts(&ids, &ONE_REGION);
        world.fault(Fault::always("CreateMembers", kind.clone()).first(1));
        let reply = world.enroll(&ids).await;
        assert_eq!(tally(&reply), pairs([("enrolled", 20)]), "{kind:?}");
        assert_eq!(world.count("CreateMembers"), 1, "{kind:?}");
        assert_eq!(world.touched_members(), 0, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_gets_the_time_that_it_needs() {
    let ids = ids(50);
    let world = World::with_accounts(&ids, &ONE_REGION);
    world.fault(Fault::always("CreateMembers", FaultKind::Delay(Duration::from_secs(12))));
    let reply = world.enroll(&ids).await;
    assert_eq!(tally(&reply), pairs([("enrolled", 50)]));
    assert_eq!(world.count("CreateMembers"), 1);
}

// One account that spoils its calls.

/// What one account can do to a call.
fn spoiling() -> [FaultKind; 5] {
    [
        error(500, "InternalServerErrorException", "Internal server error."),
        error(403, "NeverHeardOf", "odd"),
        bare(503),
        FaultKind::Drop { effect: false },
        bare(400),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_account_that_spoils_its_calls_stops_no_other_in_an_event() {
    for kind in spoiling() {
        for operation in ["CreateMembers", "GetMembers"] {
            let ids = ids(50);
            let world = World::with_accounts(&ids, &ONE_REGION);
            world.fault(Fault::always(operation, kind.clone()).on_account(&ids[17]));
            let reply = world.enroll(&ids).await;
            let cell = format!("{operation} {kind:?}");
            assert_eq!(tally(&reply)["enrolled"], 49, "{cell}");
            assert!(outcome(&reply, &ids[17], "eu-west-1").starts_with("deferred"), "{cell}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_spoils_its_calls_stops_no_other_in_a_reconcile() {
    for kind in spoiling() {
        for operation in ["CreateMembers", "GetMembers"] {
            let world = organization(50);
            world.fault(Fault::always(operation, kind.clone()).on_account(&id(17)));
            let report = reconcile(&world, RECONCILE_TIMEOUT).await;
            assert_eq!(report["enrolled"], 49, "{operation} {kind:?}: {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_spoils_its_calls_stops_no_other_suspended_member() {
    let ids = ids(10);
    let variables = [("REGIONS", "eu-west-1"), ("RESUME_SUSPENDED_MEMBERS", "true")];
    for kind in spoiling() {
        let world = World::with_accounts(&ids, &variables);
        for id in &ids {
            world.region("eu-west-1").set_member(id, "Disabled");
        }
        let fault = Fault::always("StartMonitoringMembers", kind.clone());
        world.fault(fault.on_account(&ids[3]));
        let reply = world.enroll(&ids).await;
        assert_eq!(tally(&reply)["enrolled"], 9, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_number_of_addresses_that_guardduty_refuses_keeps_nobody_from_being_enrolled() {
    let world = organization(130);
    for number in 0..120 {
        world.change(&id(number), |account| {
            account.email = Some(format!("o'{number}@example.com"));
        });
    }
    // Time for a few calls, at one per second: those with a good address come first.
    let report = reconcile(&world, Duration::from_secs(14)).await;
    assert_eq!(report["enrolled"], 10, "{report}");
}

// Pages and lists that fail for a while.

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_for_a_while_ends_neither_its_region_nor_the_run() {
    for operation in ["ListMembers", "ListAccounts", "DescribeOrganizationConfiguration"] {
        for kind in [bare(503), FaultKind::Drop { effect: false }, hangs()] {
            let world = organization(60);
            // Three times as often as the SDK tries by itself.
            world.fault(Fault::always(operation, kind.clone()).first(9));
            let report = reconcile(&world, RECONCILE_TIMEOUT).await;
            let closed = pick(&report, ["enrolled", "blocked"]);
            assert_eq!(closed, json!([60, null]), "{operation} {kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_stays_down_is_blocked_by_its_own_reason_and_not_by_the_deadline() {
    let world = organization(3);
    world.fault(Fault::always("ListMembers", bare(503)));
    let report = reconcile(&world, RECONCILE_TIMEOUT).await;
    assert_eq!(report["blocked"]["reason"], "unavailable", "{report}");
}

#[tokio::test(start_paused = true)]
async fn regions_that_were_known_serve_on_while_their_list_fails() {
    let world = World::new();
    world.enroll(&[NEW_ACCOUNT]).await;
    tokio::time::sleep(Duration::from_mins(11)).await;
    world.fault(Fault::always("ListRegions", bare(503)));
    let reply = world.enroll(&[OTHER_ACCOUNT]).await;
    assert_eq!(tally(&reply), pairs([("enrolled", REGIONS.len())]));
}

// What is measured.

#[tokio::test(start_paused = true)]
#[ignore = "prints a table of docs/performance.md"]
async fn the_table_of_how_long_a_slow_guardduty_takes() {
    println!(
        "| GuardDuty takes | verified after | of the delay | CreateMembers per Region | queue messages |"
    );
    println!("|---:|---:|---:|---:|---:|");
    for delay in [0, 1, 3, 10, 30, 100] {
        let mut world = World::new();
        takes(&world, delay);
        world.submit(event("create-account-result.json"));
        let mut verified = None;
        let mut messages = 0;
        while world.step(Duration::from_hours(1)).await {
            messages = messages.max(world.retries().len());
            if world.queues_are_empty() && verified.is_none() {
                verified = Some(world.elapsed());
            }
        }
        let verified = verified.unwrap().as_secs_f64();
        let ratio = if delay == 0 {
            "–".to_owned()
        } else {
            format!("{:.2}", verified / f64::from(u32::try_from(delay).unwrap()))
        };
        let creates = world.count("CreateMembers") / REGIONS.len();
        println!("| {delay} s | {verified:.1} s | {ratio} | {creates} | {messages} |");
    }
}
