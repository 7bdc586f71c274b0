//! A week in the life of an organization, in virtual time. The queries of the runbook, over the lines that the function wrote,
//! must tell what the small AWS knows: who was protected when, by which way and how fast; who lost protection; whom no event
//! announced.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use decisions::timestamp::Timestamp;
use local_aws::{ADMIN_ACCOUNT, Epoch, Fault, Setup};
use serde_json::{Value, json};

use crate::ledger::{Lines, Pair};
use crate::world::{REGIONS, World, bare, event};

/// A reconcile runs at the end of each: every 6 hours.
const SLOTS: u64 = 28;
const SLOT: Duration = Duration::from_hours(6);

/// The slots in which CloudTrail is switched off, and those in which a Region is down.
const TRAIL_IS_OFF: std::ops::Range<u64> = 8..12;
const REGION_IS_DOWN: std::ops::Range<u64> = 16..20;
const DOWN: &str = REGIONS[1];

/// What the small AWS and the people around it did.
struct Week {
    world: World,
    lines: Lines,
    epoch: Duration,
    created: u64,
    /// Each pair that became `Enabled`: how, and how long after the account joined.
    protected: BTreeMap<Pair, (&'static str, Duration)>,
    joined: BTreeMap<String, Duration>,
    lost: BTreeSet<Pair>,
    unannounced: BTreeSet<String>,
}

impl Week {
    fn new() -> Self {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut accounts = vec![(ADMIN_ACCOUNT.to_owned(), "security@example.com".to_owned())];
        accounts.extend((0..60).map(|n| (old(n), format!("old{n}@example.com"))));
        let regions = REGIONS[..3].iter().map(ToString::to_string).collect();
        let setup = Setup { accounts, regions, epoch: Epoch(epoch), ..Setup::default() };
        let world = World::for_any_job(&setup);
        for region in &REGIONS[..3] {
            world.region(region).set_enabled_members((0..60).map(old));
        }
        Self {
            world,
            lines: Lines::record(),
            epoch,
            created: 0,
            protected: BTreeMap::new(),
            joined: BTreeMap::new(),
            lost: BTreeSet::new(),
            unannounced: BTreeSet::new(),
        }
    }

    /// An account is created. Its event comes, or not.
    async fn create(&mut self, is_announced: bool) {
        let account = format!("{:012}", 700_000_000_000_u64 + self.created);
        self.created += 1;
        let now = self.world.elapsed();
        let at = self.epoch + now;
        self.world.joins(&account);
        self.world.change(&account, |it| it.joined_timestamp = at.as_secs());
        self.joined.insert(account.clone(), now);
        if !is_announced {
            self.unannounced.insert(account);
            return;
        }
        let mut event = event("create-account-result.json");
        event["id"] = json!(format!("event-{}", self.created));
        event["detail"]["eventTime"] = json!(Timestamp::since_1970(at));
        event["detail"]["serviceEventDetails"]["createAccountStatus"]["accountId"] = json!(account);
        self.world.deliver(&event).await;
        self.note("event");
    }

    /// Somebody takes a member out of GuardDuty in a Region.
    fn lose(&mut self, number: u64, region: &str, status: &str) {
        let account = old(number);
        self.world.region(region).set_member(&account, status);
        self.lost.insert((account, region.to_owned()));
    }

    /// Notes which pairs have become `Enabled`, by the way that has just been at work.
    fn note(&mut self, way: &'static str) {
        for (account, joined) in &self.joined {
            for region in &REGIONS[..3] {
                if let Some(since) = self.world.region(region).enabled_since(account) {
                    let pair = (account.clone(), (*region).to_owned());
                    self.protected.entry(pair).or_insert((way, since.saturating_sub(*joined)));
                }
            }
        }
    }

    async fn play(&mut self, slot: u64) {
        if slot == REGION_IS_DOWN.start {
            for operation in ["ListDetectors", "GetMembers", "CreateMembers", "ListMembers"] {
                self.world.fault(Fault::always(operation, bare(503)).in_region(DOWN));
            }
        }
        if slot == REGION_IS_DOWN.end {
            self.world.faults_end();
            self.world.redrive();
            self.world.settle().await;
            self.note("event");
        }
        for number in 0..=slot % 3 {
            let is_dropped = TRAIL_IS_OFF.contains(&slot)
                || ((slot + number) % 7 == 6 && !REGION_IS_DOWN.contains(&slot));
            self.create(!is_dropped).await;
        }
        let region = REGIONS[usize::try_from(slot % 3).unwrap()];
        match slot % 6 {
            1 => self.lose(slot, region, "Removed"),
            3 => self.lose(slot, region, "Resigned"),
            4 => self.lose(slot, region, "Disabled"),
            // An account is closed, another moves to another organization: nobody's loss.
            2 => self.world.change(&old(30 + slot), |it| it.set_state("CLOSED")),
            5 => self.world.leaves(&old(30 + slot)),
            _ => {}
        }
        let end = SLOT * u32::try_from(slot + 1).unwrap();
        tokio::time::sleep(end.saturating_sub(self.world.elapsed())).await;
        let payload = json!({"reconcile": {}}).to_string();
        let report = self.world.invoke_raw(&payload, Duration::from_mins(15)).await.unwrap();
        assert_eq!(report["complete"], !REGION_IS_DOWN.contains(&slot), "{report}");
        self.note("reconcile");
    }
}

fn old(number: u64) -> String {
    format!("{:012}", 600_000_000_000_u64 + number)
}

/// The queries of the runbook's section on this, in its order.
fn queries() -> Vec<&'static str> {
    let asked = include_str!("../../docs/operations.md").split("\nask '").skip(1);
    asked.map(|rest| rest.split('\'').next().unwrap()).collect()
}

/// Asks a query of the lines, in the part of the language that the runbook uses: the lines that pass the filter, with the
/// fields that it shows.
fn ask(query: &str, lines: &[Value]) -> Vec<BTreeMap<String, Value>> {
    let part = |command: &str| {
        let mut parts = query.split(" | ");
        parts.find_map(|part| part.strip_prefix(command)?.strip_prefix(' ')).unwrap()
    };
    let passes = |line: &&Value| {
        part("filter").split(" and ").all(|condition| {
            if let Some((field, wanted)) = condition.split_once(" = ") {
                return line[field] == wanted.trim_matches('"');
            }
            let field = condition.strip_prefix("ispresent(").unwrap().trim_end_matches(')');
            !line[field].is_null()
        })
    };
    let shown = |line: &Value| {
        let fields = part("fields").split(", ").filter(|field| !line[*field].is_null());
        fields.map(|field| (field.to_owned(), line[field].clone())).collect()
    };
    lines.iter().filter(passes).map(shown).collect()
}

fn regions(row: &BTreeMap<String, Value>, field: &str) -> Vec<String> {
    let names = row.get(field).and_then(Value::as_str).unwrap_or_default().split(',');
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn the_runbooks_queries_tell_of_a_week_what_the_small_aws_knows() {
    let mut week = Week::new();
    for slot in 0..SLOTS {
        week.play(slot).await;
    }
    let lines = week.lines.all();
    let [who, lost, missed] = queries()[..] else { panic!("three queries") };

    let mut agreed = 0;
    for account in week.joined.keys() {
        let rows = ask(&who.replace("444455556666", account), &lines);
        for region in &REGIONS[..3] {
            let pair = (account.clone(), (*region).to_owned());
            let (way, took) = week.protected[&pair];
            let enrolled = rows.iter().filter(|row| regions(row, "enrolled").contains(&pair.1));
            let [row] = enrolled.collect::<Vec<_>>()[..] else { panic!("{pair:?}: {rows:?}") };
            let told = match row["way"].as_str() {
                Some("event" | "retry") => "event",
                Some("reconcile") => "reconcile",
                other => panic!("{other:?}"),
            };
            assert_eq!(told, way, "{pair:?}: {row:?}");
            if way == "event" {
                // The line is written when the function has seen the member: at most 1.5 times as late, and after a retry's wait.
                let seconds = row["seconds"].as_f64().unwrap();
                let least = took.as_secs_f64() - 1.5;
                assert!(
                    (least..=least * 1.5 + 20.0).contains(&seconds),
                    "{pair:?}: {took:?} {row:?}"
                );
            }
            agreed += 1;
        }
    }
    let rows = ask(lost, &lines);
    let told = rows.iter().flat_map(|row| {
        let account = row["accountId"].as_str().unwrap();
        regions(row, "lost").into_iter().map(move |region| (account.to_owned(), region))
    });
    let lost: BTreeSet<_> = told.collect();
    assert_eq!(lost, week.lost);
    let rows = ask(missed, &lines);
    let told = rows.iter().map(|row| row["accountId"].as_str().unwrap().to_owned());
    let missed: Vec<_> = told.collect();
    // Each is told once.
    assert_eq!(missed, week.unannounced.iter().cloned().collect::<Vec<_>>());
    println!(
        "a week: {agreed} of {} pairs of {} new accounts agree on way and time, {} of {} lost pairs, {} of {} missed joins",
        week.protected.len(),
        week.joined.len(),
        lost.len(),
        week.lost.len(),
        missed.len(),
        week.unannounced.len(),
    );
}
