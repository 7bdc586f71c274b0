//! An error answer of a service, before it is written in that service's protocol.

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// The body is not JSON, or a member has the wrong JSON type. The same in all four services.
    pub(crate) fn serialization(what: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", what)
    }
}
