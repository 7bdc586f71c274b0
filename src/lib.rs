//! Makes every new account of an AWS organization a GuardDuty member, in every Region.
//!
//! An invocation comes in through `runtime`, and the [`handler::Handler`] tells which of three `jobs` it is: the accounts
//! of an event are enrolled, a batch of the retry queue is tried again, or the whole organization is reconciled. `enroll`
//! does that in all Regions at once, `aws` makes the calls, and `observe` writes log lines, metrics and replies. What is
//! decided on the way is in the crate [`decisions`].
//!
//! `docs/architecture.md` has the pictures.

pub mod aws;
mod clock;
mod enroll;
pub mod handler;
pub mod invocation;
mod jobs;
pub mod observe;
pub mod runtime;
