//! What a session has shown, for a person or as JSON.

use std::collections::BTreeMap;

use local_aws::{Call, DEAD_LETTER_QUEUE_URL, Message, RETRY_QUEUE_URL};
use serde_json::{Value, json};

use crate::layout::{clock, indented, member, plain, table};
use crate::session::{Finished, Session};

const QUEUES: [(&str, &str); 2] = [
    ("dead letters", DEAD_LETTER_QUEUE_URL),
    ("retry queue", RETRY_QUEUE_URL),
];

/// Everything there is to tell.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    invocations: &'a [Finished],
    notes: &'a [(usize, String)],
    calls: Vec<Call>,
    queues: Vec<(&'static str, Vec<Message>)>,
    /// Account → Region → relationship status.
    members: BTreeMap<String, BTreeMap<String, String>>,
    regions: usize,
    log: Option<Vec<String>>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(session: &'a Session, with_log: bool) -> Self {
        let now = session.now();
        let state = session.cloud.lock();
        let mut members: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (region, guardduty) in &state.guardduty {
            for (id, member) in &guardduty.members {
                members
                    .entry(id.clone())
                    .or_default()
                    .insert(region.clone(), member.status(now).to_owned());
            }
        }
        let failed = session.has_failed();
        Self {
            invocations: &session.invocations,
            notes: &session.notes,
            calls: state.calls.clone(),
            queues: QUEUES
                .map(|(name, url)| (name, state.queues.alive(now, url).cloned().collect()))
                .into(),
            members,
            regions: state.guardduty.len(),
            // Without an answer the log is all there is.
            log: (with_log || failed).then(|| session.log.lines()),
        }
    }

    pub(crate) fn json(&self) -> String {
        let invocations: Vec<_> = self
            .invocations
            .iter()
            .map(|finished| {
                let mut shown = json!({
                    "at": finished.at.as_secs_f64(),
                    "took": finished.took.as_secs_f64(),
                    "requestId": finished.invocation.request_id,
                    "attempt": finished.invocation.attempt,
                    "event": finished.invocation.payload,
                    "deadLetters": finished.dead_letters,
                });
                let (name, value) = match &finished.outcome {
                    Ok(reply) => ("reply", reply.clone()),
                    Err(error) => ("error", json!(error)),
                };
                if let Value::Object(members) = &mut shown {
                    members.insert(name.to_owned(), value);
                }
                shown
            })
            .collect();
        let calls: Vec<_> = self
            .calls
            .iter()
            .map(|call| {
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
            })
            .collect();
        let queues: serde_json::Map<_, _> = self
            .queues
            .iter()
            .map(|(name, messages)| {
                (
                    (*name).to_owned(),
                    messages.iter().map(message_json).collect(),
                )
            })
            .collect();
        let document = json!({
            "invocations": invocations,
            "notes": self.notes.iter().map(|(after, note)| json!({ "afterInvocation": after, "note": note })).collect::<Vec<_>>(),
            "calls": calls,
            "queues": queues,
            "members": self.members,
            "log": self.log,
        });
        format!("{document:#}\n")
    }

    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        for (number, finished) in self.invocations.iter().enumerate() {
            lines.push(format!(
                "Invocation {} at {}, {}",
                number + 1,
                clock(finished.at),
                what(finished)
            ));
            let mut came_of_it = outcome(finished);
            if finished.dead_letters > 0 {
                came_of_it = format!(
                    "{came_of_it}  → {} message(s) to the dead-letter queue\n",
                    finished.dead_letters
                );
            }
            lines.push(came_of_it);
            let notes = self.notes.iter().filter(|(after, _)| *after == number + 1);
            lines.extend(notes.map(|(_, note)| format!("{note}\n")));
        }
        lines.push(format!(
            "Calls ({})\n{}",
            self.calls.len(),
            calls(&self.calls)
        ));
        lines.push(self.members());
        for (name, messages) in &self.queues {
            lines.push(queue(name, messages));
        }
        if let Some(log) = &self.log {
            lines.push(format!("Log of the function\n{}", indented(log)));
        }
        lines.join("\n")
    }

    fn members(&self) -> String {
        let rows = self.members.iter().map(|(account, regions)| {
            let enabled = regions
                .values()
                .filter(|status| status.as_str() == "Enabled")
                .count();
            let others: Vec<_> = regions
                .iter()
                .filter(|(_, status)| status.as_str() != "Enabled")
                .map(|(region, status)| format!("{region} {status}"))
                .collect();
            vec![
                account.clone(),
                format!("Enabled in {enabled} of {} Regions", self.regions),
                others.join(", "),
            ]
        });
        let rows: Vec<_> = rows.collect();
        format!("Members of GuardDuty\n{}", table(&rows))
    }
}

fn message_json(message: &Message) -> Value {
    json!({
        "messageId": message.id,
        "sent": message.sent.as_secs_f64(),
        "visibleAt": message.visible_at.as_secs_f64(),
        "receiveCount": message.receive_count,
        "body": body(message),
        "attributes": message.attributes,
    })
}

/// The body as JSON if it is, else as text.
fn body(message: &Message) -> Value {
    serde_json::from_str(&message.body).unwrap_or_else(|_| Value::String(message.body.clone()))
}

/// What the function was given.
fn what(finished: &Finished) -> String {
    let took = clock(finished.took);
    let payload = &finished.invocation.payload;
    if let Some(records) = payload.get("Records").and_then(Value::as_array) {
        return format!("{} message(s) of a queue, took {took}", records.len());
    }
    let name = name_of(payload);
    format!(
        "{name} (run {} of 3), took {took}",
        finished.invocation.attempt
    )
}

/// What an event calls itself.
fn name_of(event: &Value) -> &str {
    let name = event
        .get("detail")
        .and_then(|detail| detail.get("eventName"));
    name.or_else(|| event.get("detail-type"))
        .and_then(Value::as_str)
        .unwrap_or("event")
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
    if let Some(failures) = reply.get("batchItemFailures").and_then(Value::as_array) {
        return batch(&finished.invocation.payload, failures);
    }
    let mut rows = Vec::new();
    for account in reply
        .get("accounts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let id = member(account, "accountId");
        for (region, pair) in account
            .get("regions")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let ending = ["outcome", "reason", "result"].map(|name| member(pair, name));
            rows.push([&[id.clone(), region.clone()], &ending[..]].concat());
        }
    }
    if rows.is_empty() {
        return format!("  reply: {reply}\n");
    }
    rows.insert(
        0,
        ["account", "Region", "outcome", "reason", "result"]
            .map(str::to_owned)
            .to_vec(),
    );
    table(&rows)
}

/// What became of each message of a batch.
fn batch(event: &Value, failures: &[Value]) -> String {
    let records = event.get("Records").and_then(Value::as_array);
    let rows = records.into_iter().flatten().map(|record| {
        let id = record.get("messageId");
        let comes_back = failures
            .iter()
            .any(|failure| failure.get("itemIdentifier") == id);
        let text = record
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut row = vec![
            if comes_back {
                "comes back"
            } else {
                "acknowledged"
            }
            .to_owned(),
        ];
        row.extend(summary(
            &serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        ));
        row
    });
    table(&rows.collect::<Vec<_>>())
}

/// The calls as a table.
pub(crate) fn calls(calls: &[Call]) -> String {
    let rows: Vec<_> = calls
        .iter()
        .map(|call| {
            vec![
                clock(call.at),
                clock(call.took),
                call.service.clone(),
                call.operation.clone(),
                call.region.clone(),
                call.status
                    .map_or_else(|| "dropped".to_owned(), |status| status.to_string()),
                call.error.clone().unwrap_or_default(),
                if call.fault { "fault" } else { "" }.to_owned(),
            ]
        })
        .collect();
    table(&rows)
}

fn queue(name: &str, messages: &[Message]) -> String {
    let rows: Vec<_> = messages
        .iter()
        .map(|message| {
            let mut row = vec![
                format!("sent {}", clock(message.sent)),
                format!("visible {}", clock(message.visible_at)),
                format!("received {} times", message.receive_count),
            ];
            row.extend(summary(&body(message)));
            row
        })
        .collect();
    format!("In the {name}: {}\n{}", messages.len(), table(&rows))
}

/// A message in one line: the pair it speaks of, the event Lambda has given up, or its text. `--json` has it in full.
fn summary(body: &Value) -> Vec<String> {
    if body.get("accountId").is_some() {
        return ["accountId", "region", "outcome", "reason", "result"]
            .map(|name| member(body, name))
            .to_vec();
    }
    if let (Some(event), Some(response)) = (body.get("requestPayload"), body.get("responsePayload"))
    {
        let error = ["errorType", "errorMessage"].map(|name| member(response, name));
        return vec![format!("given up: {}", name_of(event)), error.join(": ")];
    }
    vec![plain(body)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use local_aws::{FunctionError, Invocation};

    use super::*;

    #[test]
    fn an_invocation_is_told_with_what_it_was_given_and_what_came_of_it() {
        let mut finished = Finished {
            at: Duration::ZERO,
            took: Duration::from_millis(160),
            invocation: Invocation {
                request_id: "id-1".to_owned(),
                payload: json!({ "detail": { "eventName": "CreateAccountResult" } }),
                timeout: Duration::from_mins(1),
                attempt: 2,
            },
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
        assert_eq!(
            summary(&pair),
            ["444455556666", "eu-west-1", "refused", "unknown", ""]
        );
        let given_up = json!({
            "requestPayload": { "detail": { "eventName": "CreateAccountResult" } },
            "responsePayload": { "errorType": "Bad", "errorMessage": "no" },
        });
        assert_eq!(
            summary(&given_up),
            ["given up: CreateAccountResult", "Bad: no"]
        );
        assert_eq!(summary(&json!("hello")), ["hello"]);
    }

    #[test]
    fn a_batch_shows_which_messages_come_back() {
        let event = json!({ "Records": [{ "messageId": "1", "body": "a" }, { "messageId": "2", "body": "b" }] });
        let shown = batch(&event, &[json!({ "itemIdentifier": "2" })]);
        assert_eq!(shown, "  acknowledged  a\n  comes back    b\n");
    }
}
