//! The accounts of an event or an operator's call: enrolled in every Region, and each pair that is not done goes to a
//! queue.

use decisions::event::NewAccounts;
use decisions::ledger::Ledger;
use decisions::retry::{self, Request};
use serde_json::Value;

use crate::aws::sqs::Queues;
use crate::enroll::all_regions::Enroller;
use crate::invocation::{Error, Invocation};
use crate::jobs::attempt::{attempt, send_dead_letters};
use crate::observe::{logs, reply};

/// Returns what became of each pair.
///
/// # Errors
/// If the Regions are not known, so that no pair can be named, or if a pair could not be sent to a queue.
pub(crate) async fn run(
    enroller: &Enroller,
    queues: &Queues,
    new: NewAccounts,
    invocation: &Invocation,
) -> Result<Value, Error> {
    let cutoff = invocation.cutoff();
    let regions = enroller.regions(cutoff).await.map_err(|error| {
        Error::NotEnqueued(format!(
            "REGIONS is `all`, but account:ListRegions named no Regions ({error}), so no pair could be named. If it lasts, name the Regions in REGIONS"
        ))
    })?;
    let request = Request::first(new, &invocation.request_id);
    let (outcomes, now) = attempt(enroller, &[&request], &regions, cutoff).await;
    let (retries, letters) = request.records(&outcomes, now);
    let mut ledger = Ledger::default();
    ledger.add(&request, &outcomes, false);
    logs::ledger(ledger.entries(), now);
    let wait = retry::backoff(request.origin.attempts);
    let sent = tokio::join!(
        queues.retries.send(&retries, wait, invocation.last_answer()),
        send_dead_letters(queues, &letters, invocation),
    );
    match sent {
        (Ok(()), Ok(())) => Ok(reply::pairs(&outcomes)),
        (Err(not_sent), _) | (_, Err(not_sent)) => Err(Error::NotEnqueued(not_sent.to_string())),
    }
}
