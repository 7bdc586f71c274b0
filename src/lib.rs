//! Makes every new account of an AWS organization a `GuardDuty` member, in every Region.
//!
//! An invocation's JSON comes in as an [`event::Event`]. The enroller names the (account, Region) pairs, asks
//! Organizations and, in all Regions at once, `GuardDuty`, and gives each pair exactly one
//! [`outcome::Outcome`]. What is not `Enabled` goes out to a queue as a [`record::Record`].

pub mod account;
pub mod configuration;
pub mod enabled_regions;
pub mod event;
pub mod failure;
pub mod guardduty;
pub mod organization;
pub mod outcome;
pub mod queue;
pub mod record;
pub mod region;
pub mod text;
pub mod verdict;
pub mod aws;
pub mod enroller;
pub mod enrollment;
