//! The jobs of an invocation.

mod attempt;
pub(crate) mod enroll;
pub(crate) mod reconcile;
pub(crate) mod retry_batch;
