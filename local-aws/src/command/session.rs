//! One session of the command: the cloud, the function, and everything that was delivered.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use local_aws::function::{self, Log, NAME, Profile};
use local_aws::loopback::Loopback;
use local_aws::{
    Cloud, DEAD_LETTER_QUEUE_URL, FunctionError, Invocation, Lambda, RETRY_QUEUE_URL, Usage,
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::process::Child;

use crate::layout::seconds;

/// A function that sends itself messages for ever is stopped after this many steps.
const MOST_STEPS: usize = 500;

/// How the template feeds the function from the retry queue.
const BATCH_SIZE: usize = 1_000;
const WINDOW: Duration = Duration::from_secs(5);

/// One session of the command.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) cloud: Cloud,
    log: Log,
    pub(crate) invocations: Vec<Finished>,
    pub(crate) notes: Vec<Note>,
    loopback: Loopback,
    lambda: Lambda,
    profile: Profile,
    variables: Vec<(String, String)>,
    /// The running function; none before the first invocation and after a crash.
    function: Option<Child>,
}

/// One invocation with what came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finished {
    #[serde(serialize_with = "seconds")]
    pub(crate) at: Duration,
    #[serde(serialize_with = "seconds")]
    pub(crate) took: Duration,
    pub(crate) request_id: String,
    pub(crate) attempt: usize,
    pub(crate) event: Value,
    /// How many messages it sent to the dead-letter queue.
    pub(crate) dead_letters: usize,
    #[serde(flatten, serialize_with = "ended")]
    pub(crate) outcome: Result<Value, FunctionError>,
    /// The pairs of its messages that GuardDuty calls `Enabled` afterwards.
    #[serde(skip)]
    pub(crate) enabled: BTreeSet<[String; 2]>,
    /// What the function's process had used by then since its start; `None` where it has ended or there is no `/proc`.
    #[serde(skip)]
    pub(crate) usage: Option<Usage>,
}

/// What happened between invocations.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    pub(crate) after_invocation: usize,
    pub(crate) note: String,
}

fn ended<S: Serializer>(
    outcome: &Result<Value, FunctionError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match outcome {
        Ok(reply) => serializer.collect_map([("reply", reply)]),
        Err(error) => serializer.collect_map([("error", error)]),
    }
}

impl Session {
    /// A function in this cloud, with these variables in its environment besides the usual ones.
    pub(crate) async fn start(
        cloud: Cloud,
        profile: Profile,
        timeout: Duration,
        variables: Vec<(String, String)>,
    ) -> io::Result<Self> {
        let mut lambda = Lambda::new(timeout).on_failure(DEAD_LETTER_QUEUE_URL).fed_by(
            RETRY_QUEUE_URL,
            BATCH_SIZE,
            WINDOW,
        );
        lambda.epoch = cloud.lock().epoch;
        let loopback = Loopback::start(&cloud, 0).await?;
        Ok(Self {
            cloud,
            log: Log::default(),
            invocations: Vec::new(),
            notes: Vec::new(),
            loopback,
            lambda,
            profile,
            variables,
            function: None,
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.loopback.now()
    }

    /// Whether the last invocation failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.invocations.last().is_none_or(|last| last.outcome.is_err())
    }

    /// The function's log if it is asked for, or if the last invocation failed: without an answer the log is all there is.
    pub(crate) fn log(&self, asked_for: bool) -> Option<Vec<String>> {
        (asked_for || self.has_failed()).then(|| self.log.lines())
    }

    /// Delivers the event once: a batch of SQS as it is, anything else as an asynchronous invocation.
    pub(crate) async fn deliver(&mut self, event: Value) -> io::Result<()> {
        if event.get("Records").is_some() {
            let invocation = Invocation {
                request_id: "00000000-0000-4000-b000-000000000001".to_owned(),
                payload: event,
                timeout: self.lambda.timeout,
                attempt: 1,
            };
            return self.invoke(invocation).await;
        }
        self.lambda.submit(self.now(), event);
        self.step().await
    }

    /// Runs everything that is due now or later, until nothing is left.
    pub(crate) async fn drive(&mut self) -> io::Result<()> {
        for _ in 0..MOST_STEPS {
            let Some(due) = self.lambda.next_due(&self.cloud.lock().queues) else {
                return Ok(());
            };
            self.loopback.skip_to(due);
            self.step().await?;
        }
        let note = format!("stopped after {MOST_STEPS} steps, with messages still waiting");
        self.note(note);
        Ok(())
    }

    /// What a person does who has removed the cause: all dead letters go round again.
    pub(crate) async fn redrive(&mut self) -> io::Result<()> {
        let now = self.now();
        self.cloud.lock().faults.clear();
        let moved = self.cloud.lock().queues.move_all(now, DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL);
        let moved = moved.map_err(|problem| io::Error::other(format!("{problem:?}")))?;
        let note = format!(
            "Redrive: the faults are over, {moved} dead letter(s) moved to the retry queue"
        );
        self.note(note);
        self.drive().await
    }

    async fn step(&mut self) -> io::Result<()> {
        let next = self.lambda.next(self.now(), &mut self.cloud.lock().queues);
        match next {
            Some(invocation) => self.invoke(invocation).await,
            None => Ok(()),
        }
    }

    async fn invoke(&mut self, invocation: Invocation) -> io::Result<()> {
        let at = self.now();
        let before = self.dead_letters();
        let (outcome, usage) = self.run(&invocation).await?;
        let now = self.now();
        self.lambda.finish(now, &mut self.cloud.lock().queues, &invocation, &outcome);
        let enabled = self.enabled(&invocation.payload);
        self.invocations.push(Finished {
            at,
            enabled,
            took: now.saturating_sub(at),
            request_id: invocation.request_id,
            attempt: invocation.attempt,
            event: invocation.payload,
            outcome,
            dead_letters: self.dead_letters().saturating_sub(before),
            usage,
        });
        Ok(())
    }

    /// The pairs of a batch's messages that are enabled members now.
    fn enabled(&self, batch: &Value) -> BTreeSet<[String; 2]> {
        let now = self.now();
        let cloud = self.cloud.lock();
        let records = batch.get("Records").and_then(Value::as_array).into_iter().flatten();
        let pairs = records.filter_map(|record| {
            let body: Value = serde_json::from_str(record.get("body")?.as_str()?).ok()?;
            let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
            Some([text("accountId")?, text("region")?])
        });
        let is_enabled = |[account, region]: &[String; 2]| {
            let member = cloud.guardduty.get(region).and_then(|there| there.members.get(account));
            member.is_some_and(|member| member.status(now) == "Enabled")
        };
        pairs.filter(is_enabled).collect()
    }

    fn note(&mut self, note: String) {
        let after_invocation = self.invocations.len();
        self.notes.push(Note { after_invocation, note });
    }

    fn dead_letters(&self) -> usize {
        let now = self.now();
        let state = self.cloud.lock();
        state.queues.depth(now, DEAD_LETTER_QUEUE_URL).total()
    }

    fn start_function(&self) -> io::Result<Child> {
        let program = self.profile.path(NAME)?;
        let mut command = function::command(&program, self.loopback.address());
        let started = command.envs(self.variables.iter().cloned()).spawn();
        let mut child =
            started.map_err(|error| io::Error::other(format!("{}: {error}", program.display())))?;
        self.log.collect(child.stdout.take());
        self.log.collect(child.stderr.take());
        Ok(child)
    }

    /// Runs one invocation as Lambda does: a function that ends or exceeds its timeout has failed, and the next
    /// invocation starts a new one.
    async fn run(
        &mut self,
        invocation: &Invocation,
    ) -> io::Result<(Result<Value, FunctionError>, Option<Usage>)> {
        let mut function = match self.function.take() {
            Some(function) => function,
            None => self.start_function()?,
        };
        let usage = |function: &Child| Usage::of(function.id()?);
        let outcome = tokio::select! {
            // An error that the function reports before it ends says more than its end.
            biased;
            outcome = self.loopback.invoke(invocation) => outcome,
            status = function.wait() => {
                let message = format!("the function ended: {}", status?);
                return Ok((Err(FunctionError::new("Runtime.ExitError", message)), None));
            }
            () = tokio::time::sleep(invocation.timeout) => {
                let message = format!("the function timed out after {} s", invocation.timeout.as_secs());
                return Ok((Err(FunctionError::new("Sandbox.Timedout", message)), usage(&function)));
            }
        };
        // Before the function may be killed: a process that has ended tells nothing.
        let usage = usage(&function);
        self.function = self.loopback.was_taken().then_some(function);
        Ok((outcome, usage))
    }
}
