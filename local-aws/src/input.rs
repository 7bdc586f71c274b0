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
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::serialization(
                "Start of structure or map found where not expected.",
            )),
            Err(error) => Err(Refusal::serialization(format!(
                "The request body is no JSON: {error}"
            ))),
        }
    }

    pub(crate) fn of(value: &Value) -> Result<Self, Refusal> {
        match value {
            Value::Object(members) => Ok(Self(members.clone())),
            _ => Err(Refusal::serialization(
                "Unexpected value where a structure was expected.",
            )),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), Value::String(value));
    }

    /// `null` is the same as absent in all JSON protocols.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn string(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    /// Query parameters arrive as text, members of a body as numbers: both are accepted.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number
                .as_i64()
                .map(Some)
                .ok_or_else(|| wrong_type(name, "an integer")),
            Some(Value::String(text)) => text
                .parse()
                .map(Some)
                .map_err(|_| wrong_type(name, "an integer")),
            Some(_) => Err(wrong_type(name, "an integer")),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&[Value]>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(wrong_type(name, "a list")),
        }
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Option<Vec<&str>>, Refusal> {
        let Some(items) = self.list(name)? else {
            return Ok(None);
        };
        items
            .iter()
            .map(|item| {
                item.as_str()
                    .ok_or_else(|| wrong_type(name, "a list of strings"))
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    pub(crate) fn map(&self, name: &str) -> Result<Option<&Map<String, Value>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(wrong_type(name, "a map")),
        }
    }
}

fn wrong_type(name: &str, expected: &str) -> Refusal {
    Refusal::serialization(format!("The member {name} must be {expected}."))
}
