//! One invocation from its payload to its reply: tells which job it is.

use aws_config::SdkConfig;
use decisions::configuration::Configuration;
use decisions::event::Event;
use serde_json::{Value, json};

use crate::aws::sqs::Queues;
use crate::enroll::all_regions::Enroller;
use crate::invocation::{Error, Invocation};
use crate::jobs::{enroll, reconcile, retry_batch};
use crate::observe::{logs, metrics, reply};

/// Handles invocations. Built once per environment.
#[derive(Debug)]
pub struct Handler {
    enroller: Enroller,
    queues: Queues,
    configuration: Configuration,
    aws: SdkConfig,
}

impl Handler {
    /// Builds all clients, without a call.
    #[must_use]
    pub fn new(configuration: Configuration, aws: &SdkConfig) -> Self {
        Self {
            queues: Queues::new(aws, &configuration),
            enroller: Enroller::new(configuration.clone(), aws),
            configuration,
            aws: aws.clone(),
        }
    }

    /// The same with new clients, which remember nothing.
    pub(crate) fn renewed(&self) -> Self {
        Self::new(self.configuration.clone(), &self.aws)
    }

    /// Handles one invocation and returns its reply.
    ///
    /// # Errors
    /// Only if the input is of an unknown kind, or a pair could not be sent to a queue. A pair that GuardDuty refused is
    /// not an error: it is in the reply and in the dead-letter queue.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Value, Error> {
        let event = Event::parse(payload)?;
        let reply = self.answer(event, invocation).await;
        metrics::flush();
        reply
    }

    async fn answer(&self, event: Event, invocation: &Invocation) -> Result<Value, Error> {
        let (enroller, queues) = (&self.enroller, &self.queues);
        match event {
            Event::Ignored(ignored) => {
                logs::ignored(&ignored);
                metrics::ignored(&ignored);
                Ok(reply::ignored(&ignored.why))
            }
            Event::NewAccounts(new) => enroll::run(enroller, queues, new, invocation).await,
            Event::Batch(messages) => {
                let response = retry_batch::run(enroller, queues, &messages, invocation).await;
                Ok(json!(response))
            }
            Event::Reconcile(request) => {
                let cutoff = invocation.cutoff();
                let report = reconcile::run(&self.configuration, &self.aws, request, cutoff).await;
                Ok(json!(report))
            }
        }
    }
}
