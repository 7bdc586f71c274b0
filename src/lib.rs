//! Makes every new account of an AWS organization a GuardDuty member, in every Region.
//!
//! An invocation's JSON comes in as an [`event::Event`], and the [`handler::Handler`] tells the jobs apart: an event
//! names (account, Region) [pairs](pair::Pair), a [`batch::Batch`] of the retry queue brings some back, a
//! [`reconcile::Reconciler`] compares the whole organization. The [`enroller::Enroller`] asks Organizations and, in all
//! Regions at once, GuardDuty, and gives each pair exactly one [`outcome::Outcome`]. A pair that is not done goes out
//! to a queue as a [`record::Record`], and [`retry`] says when a message of the retry queue is done.
//!
//! `docs/architecture.md` has the pictures.

pub mod account;
pub mod aws;
pub mod batch;
pub mod census;
pub mod configuration;
pub mod enabled_regions;
pub mod enroller;
pub mod enrollment;
pub mod event;
pub mod failure;
pub mod guardduty;
pub mod handler;
pub mod invocation;
pub mod journal;
pub mod logging;
pub mod metrics;
pub mod organization;
pub mod outcome;
pub mod pace;
pub mod pair;
pub mod queue;
pub mod reconcile;
pub mod record;
pub mod region;
pub mod reply;
pub mod report;
pub mod retry;
pub mod runtime;
pub mod standing;
pub mod text;
pub mod verdict;
