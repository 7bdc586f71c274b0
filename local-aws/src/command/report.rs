//! What a session has shown, for a person or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use local_aws::{Attribute, Call, DEAD_LETTER_QUEUE_URL, Message, RETRY_QUEUE_URL};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::layout::{clock, items, members, plain, seconds, table, texts};
use crate::session::{Finished, Note, Session};

const QUEUES: [(&str, &str); 2] =
    [("dead letters", DEAD_LETTER_QUEUE_URL), ("retry queue", RETRY_QUEUE_URL)];

pub(crate) const PAIR: [&str; 5] = ["account", "Region", "outcome", "reason", "result"];

/// What a session has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    invocations: &'a [Finished],
    notes: &'a [Note],
    #[serde(serialize_with = "shown")]
    calls: Vec<Call>,
    queues: BTreeMap<&'static str, Vec<Waiting>>,
    /// Account → Region → relationship status.
    members: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(skip)]
    regions: usize,
    log: Option<Vec<String>>,
}

/// A message of a queue.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    message_id: String,
    #[serde(serialize_with = "seconds")]
    sent: Duration,
    #[serde(serialize_with = "seconds")]
    visible_at: Duration,
    receive_count: u32,
    /// As JSON if it is, else as text.
    body: Value,
    attributes: BTreeMap<String, Attribute>,
}

impl From<&Message> for Waiting {
    fn from(message: &Message) -> Self {
        Self {
            message_id: message.id.clone(),
            sent: message.sent,
            visible_at: message.visible_at,
            receive_count: message.receive_count,
            body: body(&message.body),
            attributes: message.attributes.clone(),
        }
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(session: &'a Session, with_log: bool) -> Self {
        let now = session.now();
        let state = session.cloud.lock();
        let mut members: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (region, guardduty) in &state.guardduty {
            for (id, member) in &guardduty.members {
                let regions = members.entry(id.clone()).or_default();
                regions.insert(region.clone(), member.status(now).to_owned());
            }
        }
        let alive = |url| state.queues.alive(now, url).map(Waiting::from).collect();
        Self {
            invocations: &session.invocations,
            notes: &session.notes,
            calls: state.calls.clone(),
            queues: QUEUES.map(|(name, url)| (name, alive(url))).into(),
            members,
            regions: state.guardduty.len(),
            log: session.log(with_log),
        }
    }

    fn members(&self) -> String {
        let rows = self.members.iter().map(|(account, regions)| {
            let (enabled, others): (Vec<_>, Vec<_>) =
                regions.iter().partition(|(_, status)| *status == "Enabled");
            let others = others.iter().map(|(region, status)| format!("{region} {status}"));
            [
                account.clone(),
                format!("Enabled in {} of {} Regions", enabled.len(), self.regions),
                others.collect::<Vec<_>>().join(", "),
            ]
        });
        table(rows)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finished) in (1..).zip(self.invocations) {
            let what = what(finished);
            writeln!(f, "Invocation {number} at {}, {what}", clock(finished.at))?;
            f.write_str(&outcome(finished))?;
            if finished.dead_letters > 0 {
                let letters = finished.dead_letters;
                writeln!(f, "  → {letters} message(s) to the dead-letter queue")?;
            }
            writeln!(f)?;
            for Note { note, .. } in
                self.notes.iter().filter(|note| note.after_invocation == number)
            {
                writeln!(f, "{note}\n")?;
            }
        }
        writeln!(f, "Calls ({})\n{}", self.calls.len(), calls(&self.calls))?;
        write!(f, "Members of GuardDuty\n{}", self.members())?;
        for (name, messages) in &self.queues {
            let rows = messages.iter().map(Waiting::row);
            write!(f, "\nIn the {name}: {}\n{}", messages.len(), table(rows))?;
        }
        if let Some(log) = &self.log {
            write!(f, "\nLog of the function\n{}", table(log.iter().map(|line| [line])))?;
        }
        Ok(())
    }
}

impl Waiting {
    fn row(&self) -> Vec<String> {
        let mut row = vec![
            format!("sent {}", clock(self.sent)),
            format!("visible {}", clock(self.visible_at)),
            format!("received {} times", self.receive_count),
        ];
        row.extend(summary(&self.body));
        row
    }
}

fn shown<S: Serializer>(calls: &[Call], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(calls.iter().map(|call| {
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
    }))
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
    let reply = match &finished.outcome {
        Err(error) => return format!("  failed: {}: {}\n", error.error_type, error.message),
        Ok(reply) => reply,
    };
    if let Some(why) = reply.get("ignored") {
        return format!("  ignored: {}\n", plain(why));
    }
    if reply.get("batchItemFailures").is_some_and(Value::is_array) {
        return batch(&finished.event, reply);
    }
    let mut rows = vec![PAIR.map(str::to_owned)];
    for account in items(reply, "accounts") {
        let [id] = texts(account, ["accountId"]);
        for (region, pair) in members(account, "regions") {
            let [outcome, reason, result] = texts(pair, ["outcome", "reason", "result"]);
            rows.push([id.clone(), region.clone(), outcome, reason, result]);
        }
    }
    if rows.len() == 1 {
        return format!("  reply: {reply}\n");
    }
    table(rows)
}

/// What became of each message of a batch.
fn batch(event: &Value, reply: &Value) -> String {
    let rows = items(event, "Records").map(|record| {
        let id = record.get("messageId");
        let mut failures = items(reply, "batchItemFailures");
        let comes_back = failures.any(|failure| failure.get("itemIdentifier") == id);
        let [text] = texts(record, ["body"]);
        let mut row = vec![if comes_back { "comes back" } else { "acknowledged" }.to_owned()];
        row.extend(summary(&body(&text)));
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
    use local_aws::FunctionError;

    use super::*;

    #[test]
    fn an_invocation_is_shown_with_what_it_was_given_and_what_came_of_it() {
        let mut finished = Finished {
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
        assert_eq!(batch(&event, &reply), "  acknowledged  a\n  comes back    b\n");
    }
}
