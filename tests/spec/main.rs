//! What the function does, over a small AWS, in one process and in virtual time. Test names are sentences: their list is
//! the specification. The real process is in `tests/process.rs`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking; matrices and tables are printed"
)]

mod any_input;
mod awkward;
mod docs;
mod enroll;
mod events;
mod faults;
mod ledger;
mod permissions;
mod reconcile;
mod retry;
mod scale;
mod schedules;
mod slow;
mod week;
mod world;
