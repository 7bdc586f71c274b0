//! What the function shows: log lines, metrics, replies.

pub mod log_format;
pub(crate) mod logs;
pub mod metrics;
pub(crate) mod reply;
