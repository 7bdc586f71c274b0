//! A saved report as one HTML page: nothing is loaded, no script runs, and shade is never the only sign.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::saved_report::{Counts, Judgement, Region, SavedReport};

const STYLE: &str = "
:root { color-scheme: light; --ink: #1a1a1a; --line: #b5b5b5; --full: #1b6e53; --gap: #b3261e; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { border: 2px solid; padding: .6rem 1rem; font-weight: 600; }
.covered { border-color: var(--full); } .gap, .incomplete { border-color: var(--gap); border-style: double; border-width: 4px; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td, dd { overflow-wrap: anywhere; } td:first-child { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { font-weight: 600; } dd { margin: 0; }
svg { display: block; } .note { color: #444; }
@media screen and (max-width: 48rem) { table { display: block; overflow-x: auto; } dl { grid-template-columns: 1fr; } }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; } }
";

/// The width of a Region's bar, in CSS pixels.
const BAR: usize = 220;

/// The whole page.
pub(crate) fn page(report: &SavedReport) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "GuardDuty coverage, " (report.ended_at) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "GuardDuty coverage of the organization" }
                (verdict(report))
                (scope(report))
                @if !report.regions.is_empty() { (coverage(report)) }
                (blocks(report))
                (open(report))
                (causes(report))
                (plans(report))
                (exclusions(report))
            }
        }
    }
    .into_string()
}

fn verdict(report: &SavedReport) -> Markup {
    let class = match report.judgement() {
        Judgement::Covered => "verdict covered",
        Judgement::Gap => "verdict gap",
        Judgement::Incomplete => "verdict incomplete",
    };
    html! { p class=(class) { (report.headline()) } }
}

fn scope(report: &SavedReport) -> Markup {
    let unknown = |count: Option<usize>| {
        count.map_or_else(|| "unknown".to_owned(), |count| count.to_string())
    };
    html! {
        dl {
            dt { "Compared" } dd { (report.started_at) " to " (report.ended_at) }
            dt { "Run" } dd { @if report.dry_run { "dry run, nothing was changed" } @else { "missing accounts were enrolled" } }
            dt { "Accounts of the organization" } dd { (unknown(report.accounts_listed)) }
            dt { "Accounts to protect" } dd { (unknown(report.accounts_expected)) }
            dt { "Regions" } dd { (report.regions.len()) }
            dt { "Organizations policy for GuardDuty" }
            dd {
                @match report.effective_policy.as_ref().and_then(|policy| policy.in_force) {
                    Some(true) => { "in force: auto-enable settings may not count" }
                    Some(false) => { "none in force" }
                    None => { "unknown" }
                }
            }
            dt { "Lost protection" } dd { (unknown(report.lost_protection)) " accounts × Regions" }
            dt { "Announced by no event" } dd { (unknown(report.missed_joins)) " accounts" }
        }
    }
}

/// A row with a bar for each Region: the protected part is filled, the gap is hatched.
fn coverage(report: &SavedReport) -> Markup {
    html! {
        h2 { "Coverage by Region" }
        svg width="0" height="0" aria-hidden="true" {
            defs {
                pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="6" height="6" fill="#fff" {}
                    rect width="3" height="6" fill="#b3261e" {}
                }
            }
        }
        p class="note" {
            "Filled: protected. Hatched: not protected, or not known to be. Empty: nothing to protect. "
            "Left out: accounts that are not to be protected here, all of them where a Region is uncovered. Stale: members that are not in the organization."
        }
        table {
            thead { tr {
                th { "Region" } th { "Coverage" }
                @for title in ["protected", "of", "open", "left out", "stale"] { th class="number" { (title) } }
                th { "auto-enable" } th { "Remark" }
            } }
            tbody {
                @for (name, region) in &report.regions {
                    tr {
                        td { (name) } td { (bar(region)) }
                        @for number in [region.covered(), region.to_cover(), region.gap(), region.left_out(), region.stale] {
                            td class="number" { (number) }
                        }
                        td { (region.auto_enable.as_deref().unwrap_or("unknown")) }
                        td { (region.remark()) }
                    }
                }
            }
        }
    }
}

fn bar(region: &Region) -> Markup {
    let (covered, all) = (region.covered(), region.to_cover());
    // What is open is never too thin to see.
    let filled = match BAR.saturating_mul(covered).checked_div(all) {
        None => 0,
        Some(width) if covered < all => width.min(BAR - 6),
        Some(width) => width,
    };
    let open = if all == 0 { 0 } else { BAR - filled };
    html! {
        svg width=(BAR) height="14" role="img" aria-label={ (covered) " of " (all) " protected" } {
            rect width=(filled) height="14" fill="#1b6e53" {}
            rect x=(filled) width=(open) height="14" fill="url(#hatch)" {}
            rect x="0.5" y="0.5" width=(BAR - 1) height="13" fill="none" stroke="#1a1a1a" {}
        }
    }
}

/// What could not be compared or is uncovered.
fn blocks(report: &SavedReport) -> Markup {
    let rows: Vec<_> = report.blocks().collect();
    html! {
        @if !rows.is_empty() {
            h2 { "What could not be compared, or is uncovered" }
            table {
                thead { tr { th { "Where" } th { "Reason" } th { "AWS's words" } th { "What to do" } } }
                tbody {
                    @for (place, blocked) in rows {
                        tr {
                            td { (place) } td { (blocked.reason) }
                            td { (blocked.result.as_deref().unwrap_or_default()) } td { (blocked.remedy) }
                        }
                    }
                }
            }
        }
    }
}

fn open(report: &SavedReport) -> Markup {
    let gap: usize = report.regions.values().map(Region::gap).sum();
    let named = report.open().count();
    html! {
        @if gap > 0 {
            h2 { "Open gaps" }
            @if named < gap { p class="note" { "The report names " (named) " of " (gap) "." } }
            table {
                thead { tr {
                    th { "Account" } th { "Region" } th { "Cause" } th { "Reason" } th { "AWS's words" } th { "What to do" }
                } }
                tbody {
                    @for (region, account) in report.open() {
                        tr {
                            td { (account.id) } td { (region) }
                            td { (account.cause.as_deref().unwrap_or_default()) }
                            td { (account.reason.as_deref().unwrap_or("not attempted")) }
                            td { (account.result.as_deref().unwrap_or_default()) } td { (account.remedy()) }
                        }
                    }
                }
            }
        }
    }
}

/// Why accounts were not enabled when their Region was compared, and which had been protected before.
fn causes(report: &SavedReport) -> Markup {
    let found = report.regions.iter().filter(|(_, region)| !region.causes.is_empty());
    let rows: Vec<_> = found.collect();
    html! {
        @if !rows.is_empty() {
            h2 { "Why accounts were not protected when the run began" }
            table {
                thead { tr { th { "Region" } th { "Causes" } th { "Lost protection" } } }
                tbody {
                    @for (name, region) in rows {
                        tr {
                            td { (name) } td { (Counts(&region.causes)) }
                            td {
                                @if region.lost_protection > 0 { (region.lost_protection) ": " (region.lost_accounts.join(", ")) }
                            }
                        }
                    }
                }
            }
        }
        @if !report.missed_accounts.is_empty() {
            h2 { "Accounts that no event announced" }
            p { (report.missed_accounts.join(", ")) }
        }
    }
}

/// Each plan's settings with the Regions that have them, and the members that differ if they were asked for.
fn plans(report: &SavedReport) -> Markup {
    let mut found: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for (region, part) in &report.regions {
        for (name, plan) in &part.plans {
            let setting = plan.auto_enable.as_deref().unwrap_or("unknown");
            let on =
                plan.enabled_accounts.map_or_else(|| "?".to_owned(), |count| count.to_string());
            let regions = found.entry(name).or_default().entry(setting).or_default();
            regions.push(format!("{region} ({on})"));
        }
    }
    let asked = report
        .regions
        .iter()
        .filter_map(|(region, part)| Some((region, part.plans_of_members.as_ref()?)));
    let asked: Vec<_> = asked.collect();
    html! {
        @if !found.is_empty() {
            h2 { "Protection plans" }
            p class="note" {
                "The organization's setting for new members, with the Regions that have it. In brackets: accounts that have the "
                "plan on, by GuardDuty's own statistics, which lag. An asterisk: the setting differs between Regions."
            }
            table {
                thead { tr { th { "Plan" } th { "Setting" } th { "Regions" } } }
                tbody {
                    @for (name, settings) in &found {
                        @for (setting, regions) in settings {
                            tr {
                                td { (name) @if report.plans_that_differ.iter().any(|other| other == name) { " *" } }
                                td { (setting) } td { (regions.join(", ")) }
                            }
                        }
                    }
                }
            }
        }
        @for (region, members) in &asked {
            @if members.differing > 0 || members.unread > 0 {
                p {
                    "In " (region) ", " (members.differing) " of " (members.read) " members differ from the setting"
                    @if members.unread > 0 { "; " (members.unread) " could not be read" } "."
                }
                ul {
                    @for member in &members.accounts {
                        li {
                            (member.account_id) ":"
                            @for (plan, status) in &member.plans { " " (plan) " " (status) }
                            @if member.managed_by_policy { " (managed by a policy)" }
                        }
                    }
                }
            }
        }
    }
}

fn exclusions(report: &SavedReport) -> Markup {
    let skipped = report.regions.iter().filter(|(_, region)| !region.skipped.is_empty());
    let skipped: Vec<_> = skipped.collect();
    html! {
        @if !report.accounts_left_out.is_empty() || !skipped.is_empty() {
            h2 { "Left out" }
            @if !report.accounts_left_out.is_empty() { p { "In every Region: " (Counts(&report.accounts_left_out)) "." } }
            @if !report.excluded_accounts.is_empty() { p { "Excluded: " (report.excluded_accounts.join(", ")) } }
            @for (name, region) in skipped { p { "In " (name) ": " (Counts(&region.skipped)) "." } }
        }
        @if report.accounts_without_paths > 0 {
            p {
                (report.accounts_without_paths)
                " accounts have no organizational unit in AWS's answer. They are protected although they may be excluded."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved_report::tests::text;

    #[test]
    fn a_page_has_all_that_the_report_says_and_loads_nothing() {
        let page = page(&SavedReport::read(&text(34)).unwrap());
        for words in [
            "3365 of 3366 accounts × Regions are protected by GuardDuty; 1 are not.",
            "99 of 99 protected",
            "98 of 99 protected",
            "email-rejected",
            "S3_DATA_EVENTS *",
            "member-region-disabled 1",
            "000000000007",
        ] {
            assert!(page.contains(words), "{words}");
        }
        for loaded in ["<script", "http://", "https://", "src=", "@import", "<link"] {
            assert!(!page.contains(loaded), "{loaded}");
        }
    }

    #[test]
    fn words_of_aws_are_text_not_tags() {
        let page = page(&SavedReport::read(&text(1)).unwrap());
        assert!(page.contains("&lt;b&gt;odd&lt;/b&gt; words"));
        assert!(!page.contains("<b>"));
    }
}
