//! One process, measured from its start to its last event.

use std::time::Duration;
use std::{env, io};

use local_aws::loopback::Loopback;
use local_aws::{Chain, Cloud, FunctionError, Invocation, RoundTrips, Setup};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::bench::contender::{Contender, Kind};
use crate::bench::figure::percentile;
use crate::bench::scenario::Scenario;
use crate::bench::share::{ControlGroups, Share};
use crate::bench::trust::Trust;
use crate::function::{self, Log};
use crate::regions::Regions;
use crate::usage::Usage;

const EVENT: &str = include_str!("../../../../events/create-account-result.json");
const IGNORED_EVENT: &str = include_str!("../../../../events/create-account-api-call.json");

const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:222222222222:function:guardduty-enroller";

/// Longer than a start or an event takes that does not hang.
const LONGEST: Duration = Duration::from_mins(1);

/// The first of the new accounts' ids; the others count up from it.
const FIRST_ID: u64 = 700_000_000_000;

/// What one process came to.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// From the start of the process until it asked for its first event.
    pub(crate) start: Duration,
    /// CPU time until the first event is done.
    pub(crate) cold_cpu: Duration,
    pub(crate) first: Event,
    pub(crate) warm: Vec<Event>,
    /// CPU time of a further event, on the average.
    pub(crate) warm_cpu: Duration,
    /// CPU time of this program meanwhile: what AWS does, which is part of every time without delay.
    pub(crate) local_aws_warm_cpu: Duration,
    /// In MB of 1,048,576 bytes.
    pub(crate) peak_memory: f64,
    /// An event that the function ignores, and a malformed one; only of the function.
    pub(crate) ignored: Option<Event>,
    pub(crate) malformed: Option<Event>,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) took: Duration,
    /// How many AWS calls were made.
    pub(crate) calls: usize,
    /// The longest chain of round trips; `None` where there is no delay.
    pub(crate) round_trips: Option<Chain>,
}

impl Event {
    /// How long so many of the round trips take that the event had, in milliseconds.
    pub(crate) fn network(&self, count: u32) -> Option<f64> {
        let Chain { length, took } = self.round_trips?;
        let length = u32::try_from(length).ok()?;
        Some(millis(took.checked_div(length)? * count))
    }
}

impl Sample {
    /// So many percent of the further events took no longer, in milliseconds.
    pub(crate) fn warm_percentile(&self, percent: usize) -> Option<f64> {
        percentile(self.warm.iter().map(|event| millis(event.took)), percent)
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Where processes are measured.
pub(crate) struct Place {
    pub(crate) trust: Trust,
    pub(crate) control_groups: Option<ControlGroups>,
    /// How many further events each process gets.
    pub(crate) warm: u32,
}

impl Place {
    /// Runs a process of its own in a cloud of its own, and kills it.
    pub(crate) async fn measure(
        &self,
        contender: &Contender,
        scenario: Scenario,
    ) -> io::Result<Sample> {
        let cloud = Cloud::new(&self.setup(scenario));
        let round_trips = RoundTrips::new(scenario.round_trip);
        let mut loopback = Loopback::start(&cloud, 0, FUNCTION_ARN).await?;
        let aws = loopback
            .listen_over_tls(&self.trust.authority, &round_trips)
            .await?;
        let share = match (scenario.memory, &self.control_groups) {
            (Some(memory), Some(groups)) => Some(Share::new(groups, memory)?),
            _ => None,
        };
        let group = share.as_ref().map(Share::processes);
        let mut command = contender.command(group.as_deref());
        let regions = if scenario.asks_for_regions {
            "all".to_owned()
        } else {
            regions(scenario).join(",")
        };
        command
            .envs(env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .envs(function::lambda_variables(loopback.address()))
            .envs(function::variables(aws))
            .envs([
                ("AWS_ENDPOINT_URL", format!("https://{aws}")),
                ("AWS_DEFAULT_REGION", "eu-west-1".to_owned()),
                ("REGIONS", regions),
            ])
            .envs(contender.variables(&self.trust));
        let mut started = Instant::now();
        let mut child = command.spawn()?;
        let process = child.id().unwrap_or_default();
        let log = Log::default();
        log.collect(child.stderr.take());
        let mut output = child.stdout.take().map(BufReader::new);
        if let (Some(output), Some(_)) = (&mut output, &share) {
            output.read_line(&mut String::new()).await?;
            started = Instant::now();
            if let Some(mut input) = child.stdin.take() {
                input.write_all(b"\n").await?;
            }
        }
        log.collect(output);

        let mut run = Run {
            contender,
            scenario,
            cloud,
            round_trips,
            loopback,
            process,
        };
        let why = tokio::select! {
            biased;
            sample = run.events(started, self.warm) => match sample {
                Ok(sample) => {
                    // Its control group cannot be removed before its end.
                    child.kill().await?;
                    return Ok(sample);
                }
                Err(error) => error.to_string(),
            },
            status = child.wait() => format!("it ended: {}", status?),
        };
        let _ = child.kill().await;
        let lines = log.lines();
        let last = lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or_default();
        Err(io::Error::other(format!(
            "{}, {scenario}: {why}\n{}",
            contender.name,
            last.join("\n")
        )))
    }

    fn setup(&self, scenario: Scenario) -> Setup {
        let mut setup = Setup {
            regions: regions(scenario),
            ..Setup::default()
        };
        let new = (0..=self.warm).map(|n| (account(n), format!("aws+{n}@example.com")));
        setup.accounts.extend(new);
        setup
    }
}

/// A process at work.
struct Run<'a> {
    contender: &'a Contender,
    scenario: Scenario,
    cloud: Cloud,
    round_trips: RoundTrips,
    loopback: Loopback,
    process: u32,
}

impl Run<'_> {
    async fn events(&mut self, started: Instant, warm: u32) -> io::Result<Sample> {
        let asked = timeout(LONGEST, self.loopback.asked()).await?;
        let start = asked.duration_since(started);
        let first = self.enroll(0).await?;
        let (cold, own_cold) = (usage(self.process)?, usage(std::process::id())?);
        let mut events = Vec::new();
        for number in 1..=warm {
            events.push(self.enroll(number).await?);
        }
        let (warmed, own_warmed) = (usage(self.process)?, usage(std::process::id())?);
        let (mut ignored, mut malformed) = (None, None);
        if self.contender.kind == Kind::Function {
            let (event, reply) = self.event(serde_json::from_str(IGNORED_EVENT)?).await;
            reply.map_err(|error| io::Error::other(error.message))?;
            ignored = Some(event);
            let (event, reply) = self.event(json!({ "accounts": "malformed" })).await;
            if let Ok(reply) = reply {
                return Err(io::Error::other(format!(
                    "it took the malformed event: {reply}"
                )));
            }
            malformed = Some(event);
        }
        Ok(Sample {
            start,
            cold_cpu: cold.cpu,
            first,
            warm: events,
            warm_cpu: warmed.cpu.saturating_sub(cold.cpu) / warm,
            local_aws_warm_cpu: own_warmed.cpu.saturating_sub(own_cold.cpu) / warm,
            peak_memory: warmed.peak_memory,
            ignored,
            malformed,
        })
    }

    /// Hands over an event of a new account, and looks whether it is enrolled afterwards.
    async fn enroll(&mut self, number: u32) -> io::Result<Event> {
        let mut payload: Value = serde_json::from_str(EVENT)?;
        let path = "/detail/serviceEventDetails/createAccountStatus/accountId";
        let account = account(number);
        if let Some(id) = payload.pointer_mut(path) {
            *id = Value::from(account.as_str());
        }
        let (event, reply) = self.event(payload).await;
        let reply = reply.map_err(|error| io::Error::other(error.message))?;
        let expected = match self.contender.kind {
            Kind::Floor => return Ok(event),
            Kind::Function => event.calls,
            Kind::Peer(_) => calls(self.scenario, number),
        };
        let state = self.cloud.lock();
        let is_enrolled = state.guardduty.values().all(|guardduty| {
            let member = guardduty.members.get(&account);
            member.is_some_and(|member| member.relationship_status == "Enabled")
        });
        if !is_enrolled || event.calls != expected {
            return Err(io::Error::other(format!(
                "account {account} after {} calls (of {expected}): {reply}",
                event.calls
            )));
        }
        Ok(event)
    }

    async fn event(&mut self, payload: Value) -> (Event, Result<Value, FunctionError>) {
        let before = self.calls();
        let _ = self.round_trips.take_longest_chain();
        let invocation = Invocation {
            request_id: format!("00000000-0000-4000-8000-{before:012}"),
            payload,
            timeout: LONGEST,
            attempt: 1,
        };
        let sent = Instant::now();
        let reply = timeout(LONGEST, self.loopback.invoke(&invocation)).await;
        let reply = reply.unwrap_or_else(|_| {
            let taken = self.loopback.was_taken();
            let what = if taken { "answer" } else { "take" };
            let message = format!("it did not {what} an event within {} s", LONGEST.as_secs());
            Err(FunctionError::new("Sandbox.Timedout", message))
        });
        let event = Event {
            took: sent.elapsed(),
            calls: self.calls() - before,
            round_trips: self.round_trips.take_longest_chain(),
        };
        (event, reply)
    }

    fn calls(&self) -> usize {
        self.cloud.lock().calls.len()
    }
}

fn usage(process: u32) -> io::Result<Usage> {
    Usage::of(process).ok_or_else(|| io::Error::other("/proc does not say what a process has used"))
}

/// The calls that the task needs: `DescribeAccount`, then in each Region `GetMembers`, `CreateMembers`, `GetMembers`,
/// and `ListDetectors` in front of the first event.
fn calls(scenario: Scenario, number: u32) -> usize {
    let in_a_region = if number == 0 { 4 } else { 3 };
    1 + regions(scenario).len() * in_a_region
}

fn regions(scenario: Scenario) -> Vec<String> {
    let count = usize::try_from(scenario.regions).unwrap_or(usize::MAX);
    Regions::first(count).0
}

fn account(number: u32) -> String {
    (FIRST_ID + u64::from(number)).to_string()
}
