//! One line of the call log.

use std::time::Duration;

/// One request the cloud has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Virtual time of arrival.
    pub at: Duration,
    /// How long the caller waited for the answer, if it did not give up before.
    pub took: Duration,
    /// The service named in the credential scope; empty when there was none.
    pub service: String,
    /// The operation; empty when the request named one that does not exist.
    pub operation: String,
    /// The Region named in the credential scope.
    pub region: String,
    /// The account ids in the request, in its order.
    pub accounts: Vec<String>,
    /// The HTTP status of the answer, or `None` when the connection dropped.
    pub status: Option<u16>,
    /// The error code of the answer.
    pub error: Option<String>,
    /// Whether a fault had a hand in it.
    pub fault: bool,
}
