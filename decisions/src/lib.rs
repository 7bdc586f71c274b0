//! What guardduty-enroller decides, from an invocation's JSON to one [`outcome::Outcome`] per (account, Region) pair.
//!
//! The crate is `no_std`, so the compiler refuses a clock, a file, a socket, or an environment variable here: what is
//! decided depends on the arguments alone. The AWS SDK, the runtime, and the log are in the package above.

#![no_std]
#![allow(missing_docs, reason = "a name that says it all needs no sentence")]

#[macro_use]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod account;
mod body;
pub mod call_error;
pub mod cause;
pub mod classify;
pub mod configuration;
pub mod enrollment;
pub mod event;
pub mod exclusions;
pub mod ledger;
pub mod membership;
pub mod message;
pub mod operation;
pub mod outcome;
pub mod pair;
pub mod plans;
pub mod policy;
pub mod queued_pair;
pub mod reason;
pub mod redacted;
pub mod region;
pub mod report;
pub mod retry;
pub mod roster;
pub mod status;
pub mod timestamp;
pub mod uncovered;
