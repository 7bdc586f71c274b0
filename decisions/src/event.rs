//! What came in: the raw JSON of an invocation. An operator's call, a reconcile and a batch are recognized by the
//! member that only they have, events by `eventSource` and `eventName` alone.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::account::{AccountId, Email};
use crate::message::Message;
use crate::redacted::Redacted;
use crate::timestamp::Timestamp;

/// The most accounts per operator's call. Ours: with 34 Regions and everything failing they are 3,400 records, 340 calls
/// of SQS.
const MAX_ACCOUNTS_PER_CALL: usize = 100;

/// What an invocation asks for. It has no `Debug`: the bodies of a batch can hold addresses.
pub enum Event {
    /// Accounts are to be enrolled in every Region.
    NewAccounts(NewAccounts),
    /// A known event that names no account to enroll.
    Ignored(Ignored),
    /// A batch of the retry queue.
    Batch(Vec<Message>),
    /// The whole organization is to be compared with GuardDuty.
    Reconcile(Reconcile),
}

/// An event that names no account to enroll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Why there is nothing to enroll.
    pub why: String,
    /// Whether the event has a layout that this version knows. Without, an account may have joined unseen.
    pub layout_known: bool,
}

/// What a reconcile is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reconcile {
    /// Only compare: no call that changes anything is made.
    #[serde(default)]
    pub dry_run: bool,
    /// Read the protection plans of each member too: a call more for each 50 of them.
    #[serde(default)]
    pub plans: bool,
}

/// Accounts to enroll in every Region: those of an event, or of an operator's call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccounts {
    /// Whether a person named them in a call, and no event.
    pub is_call: bool,
    /// The accounts, each once, in the event's order.
    pub accounts: Vec<NewAccount>,
    /// The `id` of EventBridge's envelope.
    pub event_id: Option<String>,
    /// The event's `eventTime`, else the `time` of EventBridge's envelope.
    pub time: Option<Timestamp>,
}

/// An account to enroll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    pub id: AccountId,
    /// Its e-mail address: CloudTrail masks it, but a pipeline may not. It serves only if Organizations returns none.
    pub email: Option<Email>,
}

/// The input is of an unknown kind, or names no usable account id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEvent(String);

const ORGANIZATIONS: &str = "organizations.amazonaws.com";
const CONTROL_TOWER: &str = "controltower.amazonaws.com";

/// What the function takes, for the end of an error message.
const EXPECTED: &str = "expected an EventBridge event with detail.eventSource and detail.eventName, \
     {\"accounts\": [\"<12-digit id>\", …]}, {\"reconcile\": {}}, or a batch of the retry queue";

impl Event {
    /// Reads the payload of an invocation.
    ///
    /// ```
    /// use decisions::event::Event;
    ///
    /// let Event::NewAccounts(new) = Event::parse(r#"{"accounts": ["444455556666"]}"#)? else {
    ///     panic!("an operator's call names accounts to enroll");
    /// };
    /// assert_eq!(new.accounts.len(), 1);
    /// # Ok::<(), decisions::event::InvalidEvent>(())
    /// ```
    ///
    /// # Errors
    /// If it is not JSON, of an unknown kind, or without a usable 12-digit account id.
    pub fn parse(payload: &str) -> Result<Self, InvalidEvent> {
        let value: Value = serde_json::from_str(payload).map_err(|error| {
            InvalidEvent(format!(
                "the event is not JSON (line {}, column {}); {EXPECTED}",
                error.line(),
                error.column()
            ))
        })?;
        Self::of(&value)
    }

    /// Reads an event that is JSON already.
    ///
    /// # Errors
    /// If it is of an unknown kind, or without a usable 12-digit account id.
    pub fn of(value: &Value) -> Result<Self, InvalidEvent> {
        let Value::Object(event) = value else {
            return Err(InvalidEvent(format!("the event is {}; {EXPECTED}", kind(value))));
        };
        if let Some(accounts) = event.get("accounts") {
            return operator_call(event, accounts).map(Self::NewAccounts);
        }
        if let Some(request) = event.get("reconcile") {
            return reconcile(event, request).map(Self::Reconcile);
        }
        if let Some(records) = event.get("Records") {
            return batch(records).map(Self::Batch);
        }
        match event.get("detail") {
            Some(Value::Object(detail)) => from_event_bridge(event, detail),
            Some(other) => Err(InvalidEvent(format!("detail is {}; {EXPECTED}", kind(other)))),
            None => Err(InvalidEvent(format!(
                "the event has no detail, accounts, reconcile or Records; {EXPECTED}"
            ))),
        }
    }
}

/// `{"accounts": ["444455556666", …]}` and nothing else: a misspelt option must not pass unseen.
fn operator_call(
    event: &Map<String, Value>,
    accounts: &Value,
) -> Result<NewAccounts, InvalidEvent> {
    if let Some(other) = event.keys().find(|key| *key != "accounts") {
        return Err(InvalidEvent(format!(
            "a call with accounts takes nothing else, but has {}",
            quoted(other)
        )));
    }
    let Some(listed) = accounts.as_array().filter(|listed| !listed.is_empty()) else {
        return Err(InvalidEvent(format!(
            "accounts is {}; expected a list of at least one 12-digit account id, each a string",
            kind(accounts)
        )));
    };
    if listed.len() > MAX_ACCOUNTS_PER_CALL {
        return Err(InvalidEvent(format!(
            "accounts has {} ids; one call takes up to {MAX_ACCOUNTS_PER_CALL}: split it",
            listed.len()
        )));
    }
    let accounts = Vec::with_capacity(listed.len());
    let mut new = NewAccounts { is_call: true, accounts, event_id: None, time: None };
    for (index, value) in listed.iter().enumerate() {
        let id = account_id(value, &format!("accounts[{index}]"))?;
        if new.accounts.iter().all(|known| known.id != id) {
            new.accounts.push(NewAccount { id, email: None });
        }
    }
    Ok(new)
}

/// `{"reconcile": {"dryRun": true, "plans": true}}` and nothing else.
fn reconcile(event: &Map<String, Value>, request: &Value) -> Result<Reconcile, InvalidEvent> {
    let expected =
        "expected {\"reconcile\": {}}, in it at most \"dryRun\" and \"plans\", true or false";
    if event.len() > 1 {
        return Err(InvalidEvent(format!("a reconcile takes nothing else; {expected}")));
    }
    if !request.is_object() {
        return Err(InvalidEvent(format!("reconcile is {}; {expected}", kind(request))));
    }
    serde_json::from_value(request.clone()).map_err(|error| {
        InvalidEvent(format!("reconcile: {}; {expected}", Redacted::new(&error.to_string())))
    })
}

/// The messages of a batch. Their bodies are read one by one, so that a bad one spoils no other.
fn batch(records: &Value) -> Result<Vec<Message>, InvalidEvent> {
    let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
    let from_sqs =
        |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    if records.is_empty() || !records.iter().all(from_sqs) {
        return Err(InvalidEvent(format!(
            "Records is not a batch of messages whose eventSource is \"aws:sqs\"; {EXPECTED}"
        )));
    }
    let messages = records.iter().enumerate().map(|(index, record)| {
        let message = Message::of(record);
        // Without its id a message can be neither acknowledged nor reported as failed.
        message.ok_or_else(|| InvalidEvent(format!("Records[{index}] has no messageId")))
    });
    messages.collect()
}

fn from_event_bridge(
    event: &Map<String, Value>,
    detail: &Map<String, Value>,
) -> Result<Event, InvalidEvent> {
    let source = name(detail, "eventSource")?;
    let event_name = name(detail, "eventName")?;
    let found = match (source, event_name) {
        (ORGANIZATIONS, "AccountJoinedOrganization") => joined_organization(event, detail)?,
        (ORGANIZATIONS, "CreateAccountResult")
        | (CONTROL_TOWER, "CreateManagedAccount" | "UpdateManagedAccount")
            if is_api_call(event, detail) =>
        {
            let name = quoted(event_name);
            nothing(format!("{name} of {source} is an API call; the service event follows"))
        }
        (ORGANIZATIONS, "CreateAccountResult") => created(&details(detail)?)?,
        (CONTROL_TOWER, "CreateManagedAccount") => {
            managed(&details(detail)?, "createManagedAccountStatus")?
        }
        (CONTROL_TOWER, "UpdateManagedAccount") => {
            managed(&details(detail)?, "updateManagedAccountStatus")?
        }
        (ORGANIZATIONS | CONTROL_TOWER, other) => {
            nothing(format!("{} of {source} is not the join of an account", quoted(other)))
        }
        _ => {
            return Err(InvalidEvent(format!(
                "detail.eventSource {} with detail.eventName {} is not known; expected an event of {ORGANIZATIONS} or {CONTROL_TOWER}",
                quoted(source),
                quoted(event_name)
            )));
        }
    };
    Ok(match found {
        Found::Nothing(ignored) => Event::Ignored(ignored),
        Found::Account(account) => Event::NewAccounts(NewAccounts {
            is_call: false,
            accounts: vec![account],
            event_id: text(event, "id"),
            time: time(detail, "eventTime").or_else(|| time(event, "time")),
        }),
    })
}

fn text(event: &Map<String, Value>, key: &str) -> Option<String> {
    let value = event.get(key)?.as_str()?;
    Some(Redacted::new(value).to_string())
}

fn time(event: &Map<String, Value>, key: &str) -> Option<Timestamp> {
    event.get(key)?.as_str()?.parse().ok()
}

/// What a known event says.
enum Found {
    Account(NewAccount),
    Nothing(Ignored),
}

fn nothing(why: String) -> Found {
    Found::Nothing(Ignored { why, layout_known: true })
}

/// Control Tower logs an API call under the name of its service event. An API call has no details.
fn is_api_call(event: &Map<String, Value>, detail: &Map<String, Value>) -> bool {
    let is_empty = match detail.get("serviceEventDetails") {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Object(object)) => object.is_empty(),
        Some(_) => false,
    };
    let is = |object: &Map<String, Value>, key, kind| {
        object.get(key).and_then(Value::as_str).map(|text| text == kind)
    };
    let by_type = is(detail, "eventType", "AwsApiCall");
    let by_detail_type = is(event, "detail-type", "AWS API Call via CloudTrail");
    is_empty && by_type.or(by_detail_type).unwrap_or(false)
}

/// `serviceEventDetails`: an object, or the same as a JSON string, as some pipelines hand it on.
fn details(detail: &Map<String, Value>) -> Result<Map<String, Value>, InvalidEvent> {
    match detail.get("serviceEventDetails") {
        Some(Value::String(text)) => {
            let parsed = serde_json::from_str(text).unwrap_or(Value::Null);
            object(Some(&parsed), "serviceEventDetails (a string)")
        }
        other => object(other, "serviceEventDetails"),
    }
}

/// An account id and, perhaps, an address from one object.
fn joined(object: &Map<String, Value>, path: &str) -> Result<NewAccount, InvalidEvent> {
    let id = object.get("accountId").unwrap_or(&Value::Null);
    Ok(NewAccount { id: account_id(id, &format!("{path}.accountId"))?, email: email(object) })
}

/// How deep below `detail` an account id is looked for, in objects, lists and texts of JSON.
const DEEPEST: usize = 6;

/// The layout of this event is not published: the id is looked for everywhere. The management account is never taken,
/// and more than one id is an error, never a choice.
fn joined_organization(
    event: &Map<String, Value>,
    detail: &Map<String, Value>,
) -> Result<Found, InvalidEvent> {
    let mut search = Search::default();
    search.object("", detail, DEEPEST);
    let id = |object: &Map<String, Value>, key| object.get(key).and_then(id_of);
    let management = [id(detail, "recipientAccountId"), id(event, "account")];
    search.others.extend(management.into_iter().flatten());
    let mut found = search.candidates;
    found.retain(|account| !search.others.contains(&account.id));
    // The caller is the management account too, unless it is another one: then it may be the account that joined.
    let caller = detail.get("userIdentity").and_then(Value::as_object);
    if let Some(caller) = caller.and_then(|caller| id(caller, "accountId")) {
        let is_management = management == [None; 2];
        if is_management || found.iter().any(|account| account.id != caller) {
            found.retain(|account| account.id != caller);
        }
    }
    let mut found = found.into_iter();
    let Some(account) = found.next() else {
        return Ok(Found::Nothing(Ignored {
            why: "AccountJoinedOrganization names no account that joined: its layout is unknown"
                .to_owned(),
            layout_known: false,
        }));
    };
    match found.find(|other| other.id != account.id) {
        None => Ok(Found::Account(account)),
        Some(other) => Err(InvalidEvent(format!(
            "AccountJoinedOrganization names two accounts, {} and {}",
            account.id, other.id
        ))),
    }
}

/// The account ids of an event whose layout is not known.
#[derive(Default)]
struct Search {
    candidates: Vec<NewAccount>,
    /// Accounts that are named as something else than the one that joined.
    others: BTreeSet<AccountId>,
}

impl Search {
    fn object(&mut self, name: &str, object: &Map<String, Value>, depth: usize) {
        for (key, value) in object {
            let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
            let key = key.to_ascii_lowercase();
            let is_id = match key.as_str() {
                "accountid" | "memberaccountid" | "account" | "memberaccount" => true,
                "id" => matches!(name, "account" | "accounts" | "memberaccount"),
                _ => false,
            };
            let of_another = ["management", "master", "govcloud"].iter().any(|w| key.contains(w));
            if key == "useridentity" {
                continue;
            }
            if of_another && key.contains("account") {
                let inside = value.as_object().into_iter().flat_map(Map::values);
                self.others.extend(inside.chain([value]).filter_map(id_of));
            } else if let Some(id) = id_of(value).filter(|_| is_id) {
                self.candidates.push(NewAccount { id, email: email(object) });
            } else {
                self.value(&key, value, depth);
            }
        }
    }

    fn value(&mut self, name: &str, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::Object(inside) => self.object(name, inside, depth),
            Value::Array(items) => items.iter().for_each(|item| self.value(name, item, depth)),
            Value::String(text) if text.trim_start().starts_with('{') => {
                let parsed = serde_json::from_str(text).unwrap_or(Value::Null);
                self.value(name, &parsed, depth);
            }
            _ => {}
        }
    }
}

fn id_of(value: &Value) -> Option<AccountId> {
    value.as_str()?.parse().ok()
}

/// A failed creation has no account, and nothing here can repair it.
fn created(details: &Map<String, Value>) -> Result<Found, InvalidEvent> {
    let key = "createAccountStatus";
    let status = object(details.get(key), key)?;
    if has_failed(&status) {
        return Ok(failure(&status, "failureReason"));
    }
    joined(&status, key).map(Found::Account)
}

/// Control Tower's failure can come before or after the account was made. With an id, Organizations is asked
/// what became of the account; without one there is nothing to enroll.
fn managed(details: &Map<String, Value>, key: &str) -> Result<Found, InvalidEvent> {
    let status = object(details.get(key), key)?;
    let path = format!("{key}.account");
    let account = object(status.get("account"), &path).and_then(|account| joined(&account, &path));
    match account {
        Err(_) if has_failed(&status) => Ok(failure(&status, "message")),
        other => other.map(Found::Account),
    }
}

fn has_failed(status: &Map<String, Value>) -> bool {
    status.get("state").and_then(Value::as_str) == Some("FAILED")
}

fn failure(status: &Map<String, Value>, why: &str) -> Found {
    let why = status.get(why).and_then(Value::as_str);
    let why = Redacted::new(why.unwrap_or("no reason given"));
    nothing(format!("no account came of it: {why}"))
}

fn email(object: &Map<String, Value>) -> Option<Email> {
    let keys = ["email", "accountEmail"];
    keys.iter().filter_map(|key| object.get(*key)?.as_str()).find_map(Email::unmasked)
}

fn name<'a>(detail: &'a Map<String, Value>, key: &str) -> Result<&'a str, InvalidEvent> {
    match detail.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            Err(InvalidEvent(format!("detail.{key} is {}; expected a string", kind(other))))
        }
        None => Err(InvalidEvent(format!("detail.{key} is missing; {EXPECTED}"))),
    }
}

fn object(value: Option<&Value>, path: &str) -> Result<Map<String, Value>, InvalidEvent> {
    match value {
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(other) => Err(InvalidEvent(format!("{path} is {}; expected an object", kind(other)))),
        None => Err(InvalidEvent(format!("{path} is missing"))),
    }
}

fn account_id(value: &Value, path: &str) -> Result<AccountId, InvalidEvent> {
    let wrong = |what: String| {
        InvalidEvent(format!("{path} is {what}; expected a string of exactly 12 digits"))
    };
    match value {
        Value::String(text) => text.parse().map_err(|_| wrong(quoted(text))),
        other => Err(wrong(kind(other))),
    }
}

/// A value of the event inside a message: without an address, and short.
fn quoted(text: &str) -> String {
    let safe = Redacted::new(text).to_string();
    match safe.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}…", safe.get(..end).unwrap_or_default()),
        None => format!("{safe:?}"),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "missing or null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}
