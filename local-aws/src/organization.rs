//! AWS Organizations: the accounts of one organization, and the two operations that read them.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::{Map, Value, json};

use crate::account_id::is_account_id;
use crate::epoch::Epoch;
use crate::input::Input;
use crate::page;
use crate::refusal::Refusal;

/// `ListAccounts` gives at most this many accounts a page (service model: `MaxResults` 1..20).
const PAGE: usize = 20;

/// One organization.
#[derive(Clone, Debug)]
pub struct Organization {
    /// `o-…`.
    pub id: String,
    /// The account that owns the organization.
    pub management_account: String,
    /// Every account by its id.
    pub accounts: BTreeMap<String, Account>,
}

/// One account of the organization. What is `None` is left out of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The root user's address.
    pub email: Option<String>,
    /// The account's name.
    pub name: Option<String>,
    /// `PENDING_ACTIVATION`, `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE` or `CLOSED`.
    pub state: Option<String>,
    /// The retiring predecessor of `state`; its enum knows only `ACTIVE`, `SUSPENDED` and `PENDING_CLOSURE`.
    pub status: Option<String>,
    /// `CREATED` or `INVITED`.
    pub joined_method: String,
    /// When the account joined, as seconds since 1970.
    pub joined_timestamp: u64,
}

impl Account {
    /// An ACTIVE account that the organization has created.
    #[must_use]
    pub fn active(email: &str) -> Self {
        Self {
            email: Some(email.to_owned()),
            name: Some("An account".to_owned()),
            state: Some("ACTIVE".to_owned()),
            status: Some("ACTIVE".to_owned()),
            joined_method: "CREATED".to_owned(),
            joined_timestamp: Epoch::default().0.as_secs(),
        }
    }

    /// Sets `state`, and `status` as far as its shorter enum has a word for it.
    pub fn set_state(&mut self, state: &str) {
        self.state = Some(state.to_owned());
        self.status = ["ACTIVE", "SUSPENDED", "PENDING_CLOSURE"]
            .contains(&state)
            .then(|| state.to_owned());
    }

    pub(crate) fn is_active(&self) -> bool {
        self.state.as_deref().or(self.status.as_deref()) == Some("ACTIVE")
    }
}

impl Organization {
    /// The account as an operation shows it.
    fn show(&self, id: &str, account: &Account) -> Value {
        let mut shown = Map::new();
        shown.insert("Id".to_owned(), json!(id));
        shown.insert(
            "Arn".to_owned(),
            json!(format!(
                "arn:aws:organizations::{}:account/{}/{id}",
                self.management_account, self.id
            )),
        );
        let optional = [
            ("Email", &account.email),
            ("Name", &account.name),
            ("Status", &account.status),
            ("State", &account.state),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                shown.insert(name.to_owned(), json!(value));
            }
        }
        shown.insert("JoinedMethod".to_owned(), json!(account.joined_method));
        shown.insert(
            "JoinedTimestamp".to_owned(),
            json!(account.joined_timestamp),
        );
        Value::Object(shown)
    }

    pub(crate) fn handle(&self, operation: &str, input: &Input) -> Result<Value, Refusal> {
        match operation {
            "DescribeAccount" => self.describe_account(input),
            _ => self.list_accounts(input),
        }
    }

    fn describe_account(&self, input: &Input) -> Result<Value, Refusal> {
        let id = input.string("AccountId")?.unwrap_or_default();
        if !is_account_id(id) {
            return Err(invalid(
                "You provided a value that does not match the required pattern.",
            ));
        }
        let account = self.accounts.get(id).ok_or_else(|| {
            Refusal::new(
                400,
                "AccountNotFoundException",
                "You specified an account that doesn't exist.",
            )
        })?;
        Ok(json!({ "Account": self.show(id, account) }))
    }

    fn list_accounts(&self, input: &Input) -> Result<Value, Refusal> {
        let size = page::size(input.integer("MaxResults")?, PAGE).ok_or_else(|| {
            invalid("You provided a value that is outside the range of 1 to 20 for MaxResults.")
        })?;
        let after = page::after(input.string("NextToken")?, is_account_id)
            .ok_or_else(|| invalid("You provided a NextToken that is not valid."))?;
        let rest = self
            .accounts
            .range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        let (shown, token) = page::cut(rest, size);
        let accounts = shown.iter().map(|(id, account)| self.show(id, account));
        let mut answer = Map::new();
        answer.insert("Accounts".to_owned(), accounts.collect());
        if let Some(token) = token {
            answer.insert("NextToken".to_owned(), Value::String(token));
        }
        Ok(Value::Object(answer))
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidInputException", message)
}
