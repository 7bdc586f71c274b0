//! One invocation from its payload to its reply: tells the jobs apart, and does an event's.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use serde_json::{Value, json};
use tokio::time::timeout_at;
use tracing::info;

use crate::batch::Batch;
use crate::configuration::Configuration;
use crate::enroller::Enroller;
use crate::event::{Event, InvalidEvent, Join};
use crate::invocation::Invocation;
use crate::journal;
use crate::metrics;
use crate::pair::{PairEndings, Pairs};
use crate::queue::Queue;
use crate::reconcile::Reconciler;
use crate::record::{self, Origin, Record};
use crate::reply;
use crate::retry;

/// Why an invocation failed. Lambda runs an asynchronous one again, then hands it to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input is none that the function knows.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// A pair could not be handed on, or not even be named.
    #[error(
        "{0}. Nothing is lost: Lambda runs an event again and then keeps it in the dead-letter queue; a call that waits for its reply must be made again"
    )]
    NotHandedOn(String),
}

/// Handles invocations. Built once per environment.
#[derive(Debug)]
pub struct Handler {
    enroller: Enroller,
    retries: Queue,
    dead_letters: Queue,
    configuration: Configuration,
    aws: SdkConfig,
}

impl Handler {
    /// Makes no call.
    #[must_use]
    pub fn new(configuration: Configuration, aws: &SdkConfig) -> Self {
        Self {
            retries: Queue::new(aws, &configuration.retry_queue_url),
            dead_letters: Queue::new(aws, &configuration.dead_letter_queue_url),
            enroller: Enroller::new(configuration.clone(), aws),
            configuration,
            aws: aws.clone(),
        }
    }

    /// Handles one invocation and returns its reply.
    ///
    /// # Errors
    /// Only where the input is none that the function knows, or where a pair could not be handed on. A pair that
    /// GuardDuty refused is no error: it stands in the reply and in the dead-letter queue.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Value, Error> {
        let event = Event::parse(payload)?;
        let reply = self.answer(event, invocation).await;
        metrics::flush();
        reply
    }

    async fn answer(&self, event: Event, invocation: &Invocation) -> Result<Value, Error> {
        match event {
            Event::Ignored(why) => {
                info!(cause = why, "ignored");
                Ok(reply::ignored(&why))
            }
            Event::Join(join) => self.join(join, invocation).await,
            Event::Batch(messages) => {
                let batch = Batch {
                    enroller: &self.enroller,
                    retries: &self.retries,
                    dead_letters: &self.dead_letters,
                    invocation,
                };
                Ok(reply::not_done(batch.work(&messages).await))
            }
            Event::Reconcile(request) => {
                let reconciler = Reconciler::new(&self.configuration, &self.aws, request);
                let report = reconciler.run(invocation.cutoff()).await;
                metrics::reconcile(&report);
                Ok(json!(report))
            }
        }
    }

    /// Enrolls the accounts of an event in every Region.
    async fn join(&self, join: Join, invocation: &Invocation) -> Result<Value, Error> {
        let cutoff = invocation.cutoff();
        let regions = self.enroller.regions(cutoff).await.map_err(|failure| {
            Error::NotHandedOn(format!(
                "REGIONS is `all`, but account:ListRegions named no Regions ({failure}), so no pair could be named"
            ))
        })?;
        let mut pairs = Pairs::default();
        pairs.add_join(&join, &regions);
        let endings = self.enroller.enroll(pairs, cutoff).await;
        journal::summary(&endings);
        metrics::pairs(&endings);

        let event_id = join.event_id;
        let origin = Origin {
            event_id: event_id.or_else(|| Some(invocation.request_id.clone())),
            event_time: join.time.filter(|text| record::is_timestamp(text)),
            first_failed_at: None,
            attempts: 1,
        };
        let now = SystemTime::now();
        let since = origin.event_time.as_deref();
        let seconds = metrics::seconds_to_protected(since, now, endings.iter());
        metrics::protected(&seconds);
        self.hand_on(&endings, &origin, now, invocation).await?;
        Ok(reply::pairs(&endings))
    }

    /// Hands on each pair that is not done: to the retry queue where it can heal by itself, else to the dead-letter queue.
    async fn hand_on(
        &self,
        endings: &PairEndings,
        origin: &Origin,
        now: SystemTime,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let (mut retries, mut letters) = (Vec::new(), Vec::new());
        for (pair, ending) in endings {
            let heals = ending.outcome.heals_by_itself();
            let records = if heals { &mut retries } else { &mut letters };
            records.extend(Record::of(pair, ending, origin, now));
        }
        journal::dead_letters(&letters);
        let send = async {
            tokio::join!(
                self.retries.send(&retries, retry::backoff(origin.attempts)),
                self.dead_letters.send(&letters, Duration::ZERO),
            )
        };
        match timeout_at(invocation.last_answer(), send).await {
            Err(_) => Err(Error::NotHandedOn(
                "SQS did not answer before the deadline".to_owned(),
            )),
            Ok((Err(not_sent), _) | (_, Err(not_sent))) => {
                Err(Error::NotHandedOn(not_sent.to_string()))
            }
            Ok((Ok(()), Ok(()))) => {
                metrics::dead_letters(letters.len());
                Ok(())
            }
        }
    }
}
