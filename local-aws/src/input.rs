//! The members of a request, read by name with their JSON type checked.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The members of one request: its JSON body, and for REST protocols also path labels and query parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input(Map<String, Value>);

impl Input {
    /// An empty body counts as `{}`, which is how the SDK sends an operation without members.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| Refusal::serialization(format!("The request body: {error}")))
    }

    pub(crate) fn of(value: &Value) -> Result<Self, Refusal> {
        let members = value.as_object().cloned().map(Self);
        members.ok_or_else(|| Refusal::serialization("A structure was expected."))
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// `null` is the same as absent in all JSON protocols.
    fn get<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let wrong = || Refusal::serialization(format!("The member {name} must be {expected}."));
        let value = self.0.get(name).filter(|value| !value.is_null());
        value.map(|value| read(value).ok_or_else(wrong)).transpose()
    }

    pub(crate) fn string(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.get(name, "a string", Value::as_str)
    }

    /// Query parameters arrive as text, members of a body as numbers: both are accepted.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.get(name, "an integer", |value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        })
    }

    /// Without the member the list is empty.
    pub(crate) fn list(&self, name: &str) -> Result<&[Value], Refusal> {
        let list = self.get(name, "a list", |value| value.as_array())?;
        Ok(list.map_or(&[], Vec::as_slice))
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Vec<&str>, Refusal> {
        let strings = self.get(name, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        });
        strings.map(Option::unwrap_or_default)
    }

    pub(crate) fn map(&self, name: &str) -> Result<Option<&Map<String, Value>>, Refusal> {
        self.get(name, "a map", Value::as_object)
    }
}
