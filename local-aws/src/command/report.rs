//! What a session has shown, for a person or as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::MutexGuard;

use local_aws::{Call, DEAD_LETTER_QUEUE_URL, Message, RETRY_QUEUE_URL, State};
use serde_json::{Value, json};

use crate::layout::{clock, items, members, plain, table, texts};
use crate::session::{Finished, Session};

const QUEUES: [(&str, &str); 2] =
    [("dead letters", DEAD_LETTER_QUEUE_URL), ("retry queue", RETRY_QUEUE_URL)];

/// What a session has shown.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    session: &'a Session,
    state: MutexGuard<'a, State>,
    log: Option<Vec<String>>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(session: &'a Session, with_log: bool) -> Self {
        Self { session, state: session.cloud.lock(), log: session.log(with_log) }
    }

    /// Account → Region → relationship status.
    fn members(&self) -> BTreeMap<&str, BTreeMap<&str, &str>> {
        let now = self.session.now();
        let mut members: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (region, guardduty) in &self.state.guardduty {
            for (id, member) in &guardduty.members {
                let regions = members.entry(id.as_str()).or_default();
                regions.insert(region.as_str(), member.status(now));
            }
        }
        members
    }

    fn messages(&self, url: &str) -> impl Iterator<Item = &Message> {
        self.state.queues.alive(self.session.now(), url)
    }

    pub(crate) fn json(&self) -> Value {
        let calls = self.state.calls.iter().map(|call| {
            json!({
                "at": call.at.as_secs_f64(),
                "took": call.took.as_secs_f64(),
                "service": call.service,
                "operation": call.operation,
                "region": call.region,
                "accounts": call.accounts,
                "status": call.status,
                "error": call.error,
                "fault": call.fault,
            })
        });
        let message = |message: &Message| {
            json!({
                "messageId": message.id,
                "sent": message.sent.as_secs_f64(),
                "visibleAt": message.visible_at.as_secs_f64(),
                "receiveCount": message.receive_count,
                "body": body(&message.body),
                "attributes": message.attributes,
            })
        };
        let queues = QUEUES.map(|(name, url)| {
            let messages: Vec<_> = self.messages(url).map(message).collect();
            (name, messages)
        });
        json!({
            "invocations": self.session.invocations,
            "notes": self.session.notes,
            "calls": calls.collect::<Vec<_>>(),
            "queues": BTreeMap::from(queues),
            "members": self.members(),
            "log": self.log,
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finished) in (1..).zip(&self.session.invocations) {
            let (at, what) = (clock(finished.at), what(finished));
            writeln!(f, "Invocation {number} at {at}, {what}\n{}", outcome(finished))?;
            let notes = self.session.notes.iter();
            for note in notes.filter(|note| note.after_invocation == number) {
                writeln!(f, "{}\n", note.note)?;
            }
        }
        writeln!(f, "Calls ({})\n{}", self.state.calls.len(), calls(&self.state.calls))?;
        let all = self.state.guardduty.len();
        let members = self.members().into_iter().map(|(account, regions)| {
            let (enabled, others): (Vec<_>, Vec<_>) =
                regions.into_iter().partition(|(_, status)| *status == "Enabled");
            let others = others.iter().map(|(region, status)| format!("{region} {status}"));
            let enabled = format!("Enabled in {} of {all} Regions", enabled.len());
            [account.to_owned(), enabled, others.collect::<Vec<_>>().join(", ")]
        });
        write!(f, "Members of GuardDuty\n{}", table(members))?;
        for (name, url) in QUEUES {
            let rows = self.messages(url).map(|message| {
                let mut row = vec![
                    format!("sent {}", clock(message.sent)),
                    format!("visible {}", clock(message.visible_at)),
                    format!("received {} times", message.receive_count),
                ];
                row.extend(summary(&body(&message.body)));
                row
            });
            let rows: Vec<_> = rows.collect();
            write!(f, "\nIn the {name}: {}\n{}", rows.len(), table(rows))?;
        }
        f.write_str(&log(self.log.as_deref()))
    }
}

/// The log of the function, where it is shown.
pub(crate) fn log(lines: Option<&[String]>) -> String {
    let shown = lines.map(|lines| table(lines.iter().map(|line| [line])));
    shown.map_or(String::new(), |lines| format!("\nLog of the function\n{lines}"))
}

/// Pairs that are not enabled or were just enrolled, a row for each: the Region, and what is said of an account in it.
pub(crate) fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str, &'a Value)>) -> String {
    let mut pairs = pairs.peekable();
    let titles = ["account", "Region", "outcome", "reason", "result"].map(str::to_owned);
    let titles = pairs.peek().map(|_| titles);
    let rows = pairs.map(|(account, region, pair)| {
        let [outcome, reason, result] = texts(pair, ["outcome", "reason", "result"]);
        [account.to_owned(), region.to_owned(), outcome, reason, result]
    });
    table(titles.into_iter().chain(rows))
}

fn body(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// What the function was given.
fn what(finished: &Finished) -> String {
    let took = clock(finished.took);
    let event = &finished.event;
    if event.get("Records").is_some_and(Value::is_array) {
        let count = items(event, "Records").count();
        return format!("{count} message(s) of a queue, took {took}");
    }
    format!("{} (run {} of 3), took {took}", name_of(event), finished.attempt)
}

/// What an event calls itself.
fn name_of(event: &Value) -> &str {
    let name = event.pointer("/detail/eventName").or_else(|| event.get("detail-type"));
    name.and_then(Value::as_str).unwrap_or("event")
}

/// What the function made of it.
fn outcome(finished: &Finished) -> String {
    let letters = match finished.dead_letters {
        0 => String::new(),
        letters => format!("  → {letters} message(s) to the dead-letter queue\n"),
    };
    let reply = match &finished.outcome {
        Err(error) => {
            return format!("  failed: {}: {}\n{letters}", error.error_type, error.message);
        }
        Ok(reply) => reply,
    };
    if let Some(why) = reply.get("ignored") {
        return format!("  ignored: {}\n{letters}", plain(why));
    }
    if reply.get("batchItemFailures").is_some_and(Value::is_array) {
        return batch(&finished.event, reply, &finished.enabled) + &letters;
    }
    let accounts = items(reply, "accounts");
    let shown = pairs(accounts.flat_map(|account| {
        let id = account.get("accountId").and_then(Value::as_str).unwrap_or_default();
        members(account, "regions").map(move |(region, pair)| (id, region.as_str(), pair))
    }));
    if shown.is_empty() { format!("  reply: {reply}\n{letters}") } else { shown + &letters }
}

/// What became of each message of a batch.
fn batch(event: &Value, reply: &Value, enabled: &BTreeSet<[String; 2]>) -> String {
    let rows = items(event, "Records").map(|record| {
        let id = record.get("messageId");
        let mut failures = items(reply, "batchItemFailures");
        let comes_back = failures.any(|failure| failure.get("itemIdentifier") == id);
        let [text] = texts(record, ["body"]);
        let body = body(&text);
        let pair = texts(&body, ["accountId", "region"]);
        if !comes_back && enabled.contains(&pair) {
            return [vec!["enabled".to_owned()], pair.into()].concat();
        }
        let mut row = vec![if comes_back { "comes back" } else { "acknowledged" }.to_owned()];
        row.extend(summary(&body));
        row
    });
    table(rows)
}

/// The calls as a table.
pub(crate) fn calls(calls: &[Call]) -> String {
    let rows = calls.iter().map(|call| {
        let status = call.status.map(|status| status.to_string());
        [
            clock(call.at),
            clock(call.took),
            call.service.clone(),
            call.operation.clone(),
            call.region.clone(),
            status.unwrap_or("dropped".to_owned()),
            call.error.clone().unwrap_or_default(),
            if call.fault { "fault" } else { "" }.to_owned(),
        ]
    });
    table(rows)
}

/// A message in one line: the pair it speaks of, the event Lambda has given up, or its text. `--json` has it in full.
fn summary(body: &Value) -> Vec<String> {
    if body.get("accountId").is_some() {
        return texts(body, ["accountId", "region", "outcome", "reason", "result"]).into();
    }
    if let (Some(event), Some(response)) = (body.get("requestPayload"), body.get("responsePayload"))
    {
        let error = texts(response, ["errorType", "errorMessage"]);
        return vec![format!("given up: {}", name_of(event)), error.join(": ")];
    }
    vec![plain(body)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use local_aws::FunctionError;

    use super::*;

    #[test]
    fn an_invocation_is_shown_with_what_it_was_given_and_what_came_of_it() {
        let mut finished = Finished {
            enabled: BTreeSet::new(),
            at: Duration::ZERO,
            took: Duration::from_millis(160),
            request_id: "id-1".to_owned(),
            event: json!({ "detail": { "eventName": "CreateAccountResult" } }),
            attempt: 2,
            outcome: Err(FunctionError::new("Bad", "no")),
            dead_letters: 0,
            usage: None,
        };
        let heading = "CreateAccountResult (run 2 of 3), took 0.160 s";
        assert_eq!(what(&finished), heading);
        assert_eq!(outcome(&finished), "  failed: Bad: no\n");
        let ending = json!({ "outcome": "refused", "reason": "unknown", "result": "Words" });
        finished.outcome = Ok(json!({
            "accounts": [{ "accountId": "444455556666", "regions": { "eu-west-1": ending } }],
        }));
        assert_eq!(
            outcome(&finished),
            "  account       Region     outcome  reason   result
  444455556666  eu-west-1  refused  unknown  Words
"
        );
    }

    #[test]
    fn a_message_is_summed_up_in_one_line() {
        let pair = json!({ "accountId": "444455556666", "region": "eu-west-1", "outcome": "refused", "reason": "unknown", "result": null });
        assert_eq!(summary(&pair), ["444455556666", "eu-west-1", "refused", "unknown", ""]);
        let given_up = json!({
            "requestPayload": { "detail": { "eventName": "CreateAccountResult" } },
            "responsePayload": { "errorType": "Bad", "errorMessage": "no" },
        });
        assert_eq!(summary(&given_up), ["given up: CreateAccountResult", "Bad: no"]);
        assert_eq!(summary(&json!("hello")), ["hello"]);
    }

    #[test]
    fn a_batch_shows_which_messages_come_back() {
        let event = json!({ "Records": [{ "messageId": "1", "body": "a" }, { "messageId": "2", "body": "b" }] });
        let reply = json!({ "batchItemFailures": [{ "itemIdentifier": "2" }] });
        let none = BTreeSet::new();
        assert_eq!(batch(&event, &reply, &none), "  acknowledged  a\n  comes back    b\n");
    }

    #[test]
    fn a_batch_shows_what_became_of_a_pair_and_not_what_its_message_said_before() {
        let pair =
            json!({ "accountId": "444455556666", "region": "eu-west-1", "outcome": "deferred" });
        let event = json!({ "Records": [{ "messageId": "1", "body": pair.to_string() }] });
        let reply = json!({ "batchItemFailures": [] });
        let enabled = BTreeSet::from([["444455556666", "eu-west-1"].map(str::to_owned)]);
        assert_eq!(batch(&event, &reply, &enabled), "  enabled  444455556666  eu-west-1\n");
    }
}
