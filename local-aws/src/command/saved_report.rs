//! A reconcile's report that somebody saved, read back for people: what it says, in numbers that add up.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use comfy_table::{Cell, CellAlignment, Row};
use decisions::reason::Reason;
use serde::Deserialize;

use crate::layout::table;

/// How many accounts a terminal shows. A page and a CSV have all that the report names.
const ACCOUNTS_SHOWN: usize = 20;

/// The columns of a Region.
const COLUMNS: [&str; 9] = [
    "Region",
    "to protect",
    "protected",
    "open",
    "left out",
    "lost",
    "stale",
    "auto-enable",
    "remark",
];

/// A report as the function writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedReport {
    pub(crate) dry_run: bool,
    pub(crate) started_at: String,
    pub(crate) ended_at: String,
    pub(crate) complete: bool,
    pub(crate) gap: Option<usize>,
    pub(crate) accounts_listed: Option<usize>,
    pub(crate) accounts_expected: Option<usize>,
    pub(crate) accounts_left_out: BTreeMap<String, usize>,
    pub(crate) excluded_accounts: Vec<String>,
    pub(crate) accounts_without_paths: usize,
    pub(crate) lost_protection: Option<usize>,
    pub(crate) missed_joins: Option<usize>,
    pub(crate) missed_accounts: Vec<String>,
    pub(crate) effective_policy: Option<EffectivePolicy>,
    pub(crate) uncovered_regions: usize,
    pub(crate) plans_that_differ: Vec<String>,
    pub(crate) blocked: Option<Blocked>,
    pub(crate) regions: BTreeMap<String, Region>,
}

/// One Region's part.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Region {
    pub(crate) blocked: Option<Blocked>,
    pub(crate) uncovered: Option<Blocked>,
    pub(crate) expected: usize,
    pub(crate) enabled: usize,
    pub(crate) enrolled: usize,
    pub(crate) causes: BTreeMap<String, usize>,
    pub(crate) lost_protection: usize,
    pub(crate) lost_accounts: Vec<String>,
    pub(crate) missing: usize,
    pub(crate) not_enabled: BTreeMap<String, usize>,
    pub(crate) skipped: BTreeMap<String, usize>,
    pub(crate) not_attempted: usize,
    pub(crate) stale: usize,
    pub(crate) auto_enable: Option<String>,
    pub(crate) plans: BTreeMap<String, Plan>,
    pub(crate) plans_of_members: Option<PlansOfMembers>,
    pub(crate) accounts: Vec<Account>,
}

/// The Organizations policy for GuardDuty.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EffectivePolicy {
    pub(crate) in_force: Option<bool>,
}

/// A protection plan of the organization in a Region.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    pub(crate) auto_enable: Option<String>,
    pub(crate) enabled_accounts: Option<u32>,
}

/// How the members of a Region stand to the organization's setting.
#[derive(Debug, Deserialize)]
pub(crate) struct PlansOfMembers {
    pub(crate) read: usize,
    pub(crate) unread: usize,
    pub(crate) differing: usize,
    pub(crate) accounts: Vec<DifferingMember>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DifferingMember {
    pub(crate) account_id: String,
    pub(crate) plans: BTreeMap<String, String>,
    pub(crate) managed_by_policy: bool,
}

/// Why something could not be compared.
#[derive(Debug, Deserialize)]
pub(crate) struct Blocked {
    pub(crate) reason: String,
    pub(crate) result: Option<String>,
    pub(crate) remedy: String,
}

/// An account that is not enabled.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    #[serde(rename = "accountId")]
    pub(crate) id: String,
    pub(crate) cause: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) result: Option<String>,
}

/// What a pipeline is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Everything was compared, and nothing is missing.
    Covered,
    /// Everything was compared, and something is missing.
    Gap,
    /// Something was not compared, so nobody knows.
    Incomplete,
}

impl SavedReport {
    /// Reads the file that `aws lambda invoke` wrote.
    ///
    /// # Errors
    /// Says why it is not a report, or not one of this version.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            if error.is_eof() {
                format!(
                    "the file ends too early ({error}): it was cut off, so ask for the report again"
                )
            } else {
                format!("it is not JSON ({error})")
            }
        })?;
        if let Some(message) = value.get("errorMessage").and_then(serde_json::Value::as_str) {
            return Err(format!("it is the error of an invocation, not a report: {message}"));
        }
        // `cargo local reconcile --json` has the report in a document of its own.
        let value = value.get("report").cloned().unwrap_or(value);
        if value.get("regions").is_none() {
            return Err(
                "it has no `regions`, so it is not the report of a reconcile: save the reply of {\"reconcile\": {}}"
                    .to_owned(),
            );
        }
        let report: Self = serde_json::from_value(value)
            .map_err(|error| format!("it is the report of another version ({error})"))?;
        report.check()?;
        Ok(report)
    }

    /// The numbers of a report that nobody changed add up.
    fn check(&self) -> Result<(), String> {
        let gap: usize = self.regions.values().map(Region::gap).sum();
        if self.blocked.is_none() && self.gap != Some(gap) {
            return Err(format!(
                "its gap is {:?}, but its Regions' gaps add up to {gap}",
                self.gap
            ));
        }
        for (name, region) in &self.regions {
            let counted = region.covered() + region.gap() + region.left_out();
            if counted != region.expected {
                let expected = region.expected;
                return Err(format!(
                    "{name} expects {expected} accounts, but {counted} are counted"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn judgement(&self) -> Judgement {
        match self.gap {
            _ if !self.complete => Judgement::Incomplete,
            Some(0) => Judgement::Covered,
            Some(_) => Judgement::Gap,
            None => Judgement::Incomplete,
        }
    }

    /// The report in one sentence.
    pub(crate) fn headline(&self) -> String {
        let pairs: usize = self.regions.values().map(Region::to_cover).sum();
        let covered: usize = self.regions.values().map(Region::covered).sum();
        let uncovered = match self.uncovered_regions {
            0 => String::new(),
            1 => " 1 Region is uncovered.".to_owned(),
            count => format!(" {count} Regions are uncovered."),
        };
        let dry = if self.dry_run { " Nothing was changed: it was a dry run." } else { "" };
        let dry = uncovered + dry;
        match self.judgement() {
            Judgement::Incomplete if self.regions.is_empty() => {
                format!("Nothing could be compared.{dry}")
            }
            Judgement::Incomplete => format!(
                "Not everything could be compared: at least {covered} of {pairs} accounts × Regions are protected.{dry}"
            ),
            Judgement::Covered => {
                format!("All {pairs} accounts × Regions are protected by GuardDuty.{dry}")
            }
            Judgement::Gap => format!(
                "{covered} of {pairs} accounts × Regions are protected by GuardDuty; {} are not.{dry}",
                pairs - covered
            ),
        }
    }

    /// What could not be compared or is uncovered, with why.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&str, &Blocked)> {
        let whole = self.blocked.iter().map(|blocked| ("the organization", blocked));
        let regions = self.regions.iter();
        whole.chain(regions.filter_map(|(name, region)| {
            Some((name.as_str(), region.blocked.as_ref().or(region.uncovered.as_ref())?))
        }))
    }

    /// Every account that the report names as not enabled, with its Region.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&String, &Account)> {
        let regions = self.regions.iter();
        regions
            .flat_map(|(name, region)| region.accounts.iter().map(move |account| (name, account)))
    }
}

impl SavedReport {
    /// A row for each Region.
    pub(crate) fn regions_as_csv(&self) -> io::Result<String> {
        let rows = self.regions.iter().map(|(name, region)| region.cells(name).to_vec());
        csv(&COLUMNS, rows)
    }

    /// A row for each account that the report names as not protected.
    pub(crate) fn accounts_as_csv(&self) -> io::Result<String> {
        let columns =
            ["Region", "account", "cause", "outcome", "reason", "AWS's words", "what to do"];
        let rows = self.open().map(|(region, account)| {
            let given = [&account.cause, &account.outcome, &account.reason, &account.result];
            let given = given.map(|text| text.clone().unwrap_or_default());
            let mut cells = vec![region.clone(), account.id.clone()];
            cells.extend(given);
            cells.push(account.remedy().to_owned());
            cells
        });
        csv(&columns, rows)
    }
}

/// A cell that a spreadsheet would take for a formula gets a quote before it.
fn csv(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.write_record(row.into_iter().map(|cell| {
            if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                format!("'{cell}")
            } else {
                cell
            }
        }))?;
    }
    let bytes = writer.into_inner().map_err(io::Error::other)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

impl fmt::Display for SavedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  {} to {}", self.headline(), self.started_at, self.ended_at)?;
        if let (Some(listed), Some(expected)) = (self.accounts_listed, self.accounts_expected) {
            write!(f, "  {listed} accounts listed, {expected} to protect")?;
            if !self.accounts_left_out.is_empty() {
                write!(f, ", left out: {}", Counts(&self.accounts_left_out))?;
            }
            writeln!(f)?;
        }
        if let (Some(lost), Some(missed)) = (self.lost_protection, self.missed_joins) {
            writeln!(f, "  lost protection: {lost}, announced by no event: {missed}")?;
        }
        let rows = self.regions.iter().map(|(name, region)| region.cells(name));
        let rows = [COLUMNS.map(str::to_owned)].into_iter().chain(rows).map(|cells| {
            Row::from(cells.into_iter().enumerate().map(|(column, cell)| {
                let side = if (1..7).contains(&column) {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                Cell::new(cell).set_alignment(side)
            }))
        });
        if !self.regions.is_empty() {
            write!(f, "\n{}", table(rows))?;
        }
        if !self.plans_that_differ.is_empty() {
            let names = self.plans_that_differ.join(", ");
            writeln!(f, "\nProtection plans whose setting differs between Regions: {names}")?;
        }
        for (place, blocked) in self.blocks() {
            let words =
                blocked.result.as_ref().map(|words| format!(" ({words})")).unwrap_or_default();
            writeln!(
                f,
                "\nNot compared: {place}, {}{words}\n  what to do: {}",
                blocked.reason, blocked.remedy
            )?;
        }
        let open: Vec<_> = self.open().collect();
        if !open.is_empty() {
            let shown = open.len().min(ACCOUNTS_SHOWN);
            writeln!(f, "\nNot protected, {shown} of {}", self.gap.unwrap_or(open.len()))?;
            f.write_str(&table(open.iter().take(shown).map(|(region, account)| {
                let given = [&account.cause, &account.reason, &account.result];
                let given = given.map(|text| text.as_deref().unwrap_or("-"));
                Row::from([[account.id.as_str(), region.as_str()].as_slice(), &given].concat())
            })))?;
            let mut remedies: BTreeMap<&str, &str> = BTreeMap::new();
            for (_, account) in &open {
                remedies
                    .entry(account.reason.as_deref().unwrap_or("missing"))
                    .or_insert(account.remedy());
            }
            writeln!(f, "\nWhat to do")?;
            f.write_str(&table(remedies.into_iter().map(|(reason, remedy)| [reason, remedy])))?;
        }
        Ok(())
    }
}

impl Region {
    /// What a table says of it, in the order of [`COLUMNS`].
    fn cells(&self, name: &str) -> [String; COLUMNS.len()] {
        let numbers = [
            self.to_cover(),
            self.covered(),
            self.gap(),
            self.left_out(),
            self.lost_protection,
            self.stale,
        ];
        let [to_cover, covered, gap, left_out, lost, stale] =
            numbers.map(|number| number.to_string());
        let auto_enable = self.auto_enable.clone().unwrap_or_default();
        let remark = self.remark();
        [name.to_owned(), to_cover, covered, gap, left_out, lost, stale, auto_enable, remark]
    }

    /// In a word, why the Region was not compared to the end.
    pub(crate) fn remark(&self) -> String {
        match (&self.blocked, &self.uncovered) {
            (Some(blocked), _) => blocked.reason.clone(),
            (None, Some(uncovered)) => format!("uncovered: {}", uncovered.reason),
            (None, None) => String::new(),
        }
    }

    pub(crate) fn covered(&self) -> usize {
        self.enabled + self.enrolled
    }

    pub(crate) fn gap(&self) -> usize {
        self.missing + self.not_attempted + self.not_enabled.values().sum::<usize>()
    }

    pub(crate) fn left_out(&self) -> usize {
        self.skipped.values().sum()
    }

    pub(crate) fn to_cover(&self) -> usize {
        self.covered() + self.gap()
    }
}

impl Account {
    /// What a person does about it.
    pub(crate) fn remedy(&self) -> &'static str {
        let reason =
            Reason::ALL.iter().find(|reason| Some(reason.code()) == self.reason.as_deref());
        reason
            .map_or("Start a reconcile that enrolls: {\"reconcile\": {}}", |reason| reason.remedy())
    }
}

/// Counts by word: `absent 3, removed 1`.
pub(crate) struct Counts<'a>(pub(crate) &'a BTreeMap<String, usize>);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(word, count)| format!("{word} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use decisions::account::AccountId;
    use decisions::membership::Membership;
    use decisions::outcome::Outcome;
    use decisions::plans::PlanName;
    use decisions::region::{COMMERCIAL, Region as Name};
    use decisions::report::{RegionReport, Report};
    use decisions::timestamp::Timestamp;

    use super::*;

    fn id(number: u64) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    /// The text of a report of this version, with a gap in the first Region and a name that a page must not take for tags.
    pub(crate) fn text(regions: usize) -> String {
        let parts = COMMERCIAL.iter().take(regions).enumerate().map(|(place, name)| {
            let mut part = RegionReport { enabled: 95, ..RegionReport::default() };
            for number in 0..3 {
                part.count(id(number), &Outcome::enrolled());
            }
            let refused = Outcome::because(Reason::EmailRejected).saying("<b>odd</b> words");
            if place == 0 {
                part.count(id(7), &refused);
            } else {
                part.count(id(7), &Outcome::already_enabled());
            }
            part.count(id(8), &Outcome::because(Reason::MemberRegionDisabled));
            part.close(100);
            part.plans.set(
                PlanName::new("S3_DATA_EVENTS"),
                Some(if place == 0 { "NONE" } else { "ALL" }),
            );
            part.plans.count(PlanName::new("S3_DATA_EVENTS"), Some(42));
            (Name::known(name).unwrap(), part)
        });
        let mut report = Report::new(
            false,
            Timestamp::since_1970(std::time::Duration::from_secs(1_790_000_001)),
        );
        report.compared(parts.collect());
        report.judged(&decisions::cause::Verdict::default());
        report.end(Timestamp::since_1970(std::time::Duration::from_secs(1_790_000_101)));
        serde_json::to_string(&report).unwrap()
    }

    #[test]
    fn a_report_of_this_version_is_read_and_judged() {
        let report = SavedReport::read(&text(34)).unwrap();
        assert_eq!(report.judgement(), Judgement::Gap);
        let wrapped = format!(r#"{{"report": {}, "calls": 1}}"#, text(34));
        assert!(SavedReport::read(&wrapped).is_ok());
        let headline = "3365 of 3366 accounts × Regions are protected by GuardDuty; 1 are not.";
        assert_eq!(report.headline(), headline);
        assert_eq!(report.plans_that_differ, ["S3_DATA_EVENTS"]);
        assert!(report.to_string().contains("differs between Regions: S3_DATA_EVENTS"));
        let (region, account) = report.open().next().unwrap();
        assert_eq!((region.as_str(), account.id.as_str()), (COMMERCIAL[0], "000000000007"));
        assert_eq!(account.remedy(), Reason::EmailRejected.remedy());
    }

    #[test]
    fn a_spreadsheet_has_a_row_for_each_region_or_open_account_and_takes_no_word_for_a_formula() {
        let hostile = text(2).replace("<b>odd</b> words", r#"=1+1, \"x\""#);
        let report = SavedReport::read(&hostile).unwrap();
        let regions = report.regions_as_csv().unwrap();
        assert_eq!(regions.lines().count(), 3);
        assert!(regions.contains("eu-west-1,99,99,0,1,0,0,,\n"), "{regions}");
        let accounts = report.accounts_as_csv().unwrap();
        assert_eq!(accounts.lines().count(), 2);
        let row = "000000000007,,refused,email-rejected,\"'=1+1, \"\"x\"\"\",";
        assert!(accounts.contains(row), "{accounts}");
    }

    #[test]
    fn a_dry_run_and_an_incomplete_run_are_called_so() {
        let mut part = RegionReport::default();
        part.count_missing(id(1), Membership::Absent);
        part.close(2);
        let mut report = Report::new(true, Timestamp::since_1970(std::time::Duration::ZERO));
        report.compared([(Name::known("eu-west-1").unwrap(), part)].into());
        report.end(Timestamp::since_1970(std::time::Duration::ZERO));
        let report = SavedReport::read(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(report.judgement(), Judgement::Incomplete);
        assert!(report.headline().ends_with("it was a dry run."), "{}", report.headline());
        assert!(report.open().next().unwrap().1.remedy().contains("reconcile"));
    }

    #[test]
    fn what_is_not_a_whole_report_of_this_version_gets_a_clear_word() {
        let good = text(2);
        let older = good.replace("\"causes\"", "\"older\"");
        let changed = good.replace("\"expected\":100", "\"expected\":101");
        let cut = &good[..good.len() / 2];
        for (text, words) in [
            (cut, "cut off"),
            ("no report", "not JSON"),
            (r#"{"errorType": "x", "errorMessage": "no time"}"#, "no time"),
            (r#"{"accounts": []}"#, "not the report of a reconcile"),
            (older.as_str(), "another version (missing field `causes`)"),
            (changed.as_str(), "expects 101 accounts, but 100 are counted"),
        ] {
            let error = SavedReport::read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
