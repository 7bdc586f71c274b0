//! The part of AWS that `guardduty-enroller` talks to, on this machine: GuardDuty, Organizations, SQS, Account
//! Management and Lambda's own delivery rules.
//!
//! The core is a state machine without clock or I/O: [`Cloud::handle`] takes a request and the time, and answers.
//! [`in_process`] puts it under an AWS SDK client inside a test; the command of this crate, `src/command/`, puts it behind
//! a socket, runs the function against it and shows what happened.
//!
//! What real AWS does but nobody has documented is marked `ASSUMED` where it is decided.

mod account;
mod account_id;
mod call;
mod cloud;
mod epoch;
mod fault;
pub mod function;
mod guardduty;
pub mod in_process;
mod input;
pub mod lambda;
pub mod loopback;
mod member;
mod message;
mod organization;
mod page;
mod protocol;
mod queue_address;
mod queues;
mod rate;
mod refusal;
mod runtime_api;
mod setup;
mod sqs;
mod sqs_input;
mod state;
mod tls;
mod usage;

pub use account::OptRegions;
pub use call::Call;
pub use cloud::{Answer, Cloud};
pub use epoch::Epoch;
pub use fault::{CodeIn, Fault, FaultKind, FaultSyntax, Shape, TextIn};
pub use guardduty::{ADDRESSES, GuardDuty};
pub use lambda::{FunctionError, Invocation, Lambda, Mapping};
pub use member::Member;
pub use message::{Attribute, Draft, Message};
pub use organization::{Account, Organization};
pub use queues::{DEAD_LETTER_QUEUE_URL, Depth, Queue, QueueProblem, Queues, RETRY_QUEUE_URL};
pub use rate::Rate;
pub use setup::{ADMIN_ACCOUNT, MANAGEMENT_ACCOUNT, NEW_ACCOUNT, OTHER_ACCOUNT, REGIONS, Setup};
pub use state::State;
pub use tls::TestAuthority;
pub use usage::Usage;
