//! One process, measured from its start to its last event.

use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use decisions::region::COMMERCIAL;
use local_aws::function::{self, Log};
use local_aws::loopback::Loopback;
use local_aws::{Cloud, Invocation, Setup, TestAuthority, Usage};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::contender::{Contender, HERE, Kind};
use crate::proxy::Proxy;
use crate::scenario::Scenario;
use crate::share::{GROUPS, Share};

const EVENT: &str = include_str!("../../events/create-account-result.json");

/// Longer than a start or an event takes that does not hang.
const LONGEST: Duration = Duration::from_mins(1);

/// The first of the new accounts' ids; the others count up from it.
const FIRST_ID: u64 = 700_000_000_000;

/// Waits to be let go, and becomes the program: in its control group from its first instruction, and with its start
/// measured from there.
const STARTER: &str = "echo && read -r _ && exec \"$@\" </dev/null";

/// What was measured of one process. Memory is in MB of 1,048,576 bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    pub(crate) start_ms: f64,
    pub(crate) first: Event,
    /// CPU time until the first event is done.
    pub(crate) cold_cpu_ms: f64,
    pub(crate) warm: Vec<Event>,
    /// CPU time of a further event, on the average.
    pub(crate) warm_cpu_ms: f64,
    pub(crate) peak_memory_mb: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) ms: f64,
    /// How many AWS calls were made.
    pub(crate) calls: u32,
    /// The longest chain of round trips. `None` where there is no delay, and with a share of the CPU, where what happens
    /// to end late is taken for a chain.
    pub(crate) round_trips: Option<u32>,
}

/// The authority of a run, in files for programs that trust it: with the roots of this machine, which are as many as on
/// Lambda, and alone for Node.js, which has roots inside.
pub(crate) struct Trust {
    authority: TestAuthority,
    folder: TempDir,
}

impl Trust {
    pub(crate) fn new() -> io::Result<Self> {
        let (authority, folder) = (TestAuthority::new()?, TempDir::new()?);
        let roots = openssl_probe::probe().cert_file.map(fs::read_to_string);
        let own = authority.certificate();
        let all = roots.transpose()?.unwrap_or_default() + "\n" + own;
        fs::write(folder.path().join("all.pem"), all)?;
        fs::write(folder.path().join("own.pem"), own)?;
        Ok(Self { authority, folder })
    }
}

/// A process at work.
struct Run {
    cloud: Cloud,
    loopback: Loopback,
    /// `None` where there is no delay.
    proxy: Option<Proxy>,
    contender: Kind,
    scenario: Scenario,
    process: u32,
}

impl Sample {
    /// Runs a process of its own in a cloud of its own, and kills it.
    pub(crate) async fn take(
        contender: &Contender,
        scenario: Scenario,
        trust: &Trust,
        warm: u32,
    ) -> io::Result<Self> {
        let regions = COMMERCIAL.iter().take(scenario.regions.into());
        let regions: Vec<_> = regions.copied().map(str::to_owned).collect();
        let listed = if scenario.asks_for_regions { "all".to_owned() } else { regions.join(",") };
        let mut setup = Setup { regions, ..Setup::instant() };
        let new = (0..=warm).map(|n| (account(n), format!("aws+{n}@example.com")));
        setup.accounts.extend(new);
        let cloud = Cloud::new(&setup);
        let mut loopback = Loopback::start(&cloud, 0).await?;
        let server = loopback.listen_over_tls(&trust.authority).await?;
        let takes = Duration::from_millis(scenario.round_trip.into());
        let proxy = match scenario.round_trip {
            0 => None,
            _ => Some(Proxy::start(server, takes).await?),
        };
        let aws = proxy.as_ref().map_or(server, |proxy| proxy.address);
        let file = |name| trust.folder.path().join(name);
        let mut child = function::command("/bin/sh", loopback.address())
            .args(["-c", STARTER, "sh"])
            .args(&contender.command)
            .env("AWS_ENDPOINT_URL", format!("https://{aws}"))
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("REGIONS", listed)
            .env("PYTHONPATH", format!("{HERE}/bench/boto3"))
            .env("SSL_CERT_FILE", file("all.pem"))
            .env("AWS_CA_BUNDLE", file("all.pem"))
            .env("NODE_EXTRA_CA_CERTS", file("own.pem"))
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::piped())
            .spawn()?;
        let (process, contender) = (child.id().unwrap_or_default(), contender.kind);
        let mut run = Run { cloud, loopback, proxy, contender, scenario, process };
        let share = scenario.memory.map(|memory| Share::new(GROUPS, memory)).transpose()?;
        let log = Log::default();
        log.collect(child.stderr.take());
        let (Some(output), Some(mut input)) = (child.stdout.take(), child.stdin.take()) else {
            return Err(io::Error::other("it has no input and output"));
        };
        let mut output = BufReader::new(output);
        output.read_line(&mut String::new()).await?;
        if let Some(share) = &share {
            share.add(process)?;
        }
        let before = run.usage()?.cpu;
        let started = Instant::now();
        input.write_all(b"\n").await?;
        log.collect(Some(output));
        let ended = tokio::select! {
            biased;
            ended = run.events(started, before, warm) => ended,
            status = child.wait() => Err(io::Error::other(format!("it ended: {}", status?))),
        };
        // Its control group cannot be removed before its end.
        child.kill().await?;
        ended.map_err(|error| {
            let lines = log.lines();
            let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
            io::Error::other(format!("{error}\n{}", last.join("\n")))
        })
    }
}

impl Run {
    async fn events(
        &mut self,
        started: Instant,
        before: Duration,
        warm: u32,
    ) -> io::Result<Sample> {
        let asked = timeout(LONGEST, self.loopback.asked()).await;
        let asked = asked.map_err(|_| hangs("ask for"))?;
        let first = self.event(0).await?;
        let cold = self.usage()?.cpu;
        let mut events = Vec::new();
        for number in 1..=warm {
            events.push(self.event(number).await?);
        }
        let warmed = self.usage()?;
        Ok(Sample {
            start_ms: millis(asked - started),
            first,
            cold_cpu_ms: millis(cold.saturating_sub(before)),
            warm: events,
            warm_cpu_ms: millis(warmed.cpu.saturating_sub(cold) / warm),
            peak_memory_mb: warmed.peak_memory,
        })
    }

    /// Hands over an event of a new account, and looks whether it is enrolled afterwards.
    async fn event(&mut self, number: u32) -> io::Result<Event> {
        let account = account(number);
        let mut payload: Value = serde_json::from_str(EVENT)?;
        if let Some(status) = payload.pointer_mut("/detail/serviceEventDetails/createAccountStatus")
        {
            status["accountId"] = account.as_str().into();
        }
        let invocation = Invocation {
            request_id: format!("00000000-0000-4000-8000-{number:012}"),
            payload,
            timeout: LONGEST,
            attempt: 1,
        };
        let before = self.cloud.lock().calls.len();
        let chain = || self.proxy.as_ref().map(Proxy::take_longest_chain);
        chain();
        let sent = Instant::now();
        let reply = timeout(LONGEST, self.loopback.invoke(&invocation)).await;
        let (took, round_trips) = (sent.elapsed(), chain());
        let reply = reply
            .map_err(|_| hangs(if self.loopback.was_taken() { "answer" } else { "take" }))?
            .map_err(|error| io::Error::other(error.message))?;
        let state = self.cloud.lock();
        let is_enrolled = state.guardduty.values().all(|guardduty| {
            let member = guardduty.members.get(&account);
            member.is_some_and(|member| member.relationship_status == "Enabled")
        });
        if !is_enrolled && self.contender != Kind::Floor {
            return Err(io::Error::other(format!("account {account} is not enrolled: {reply}")));
        }
        Ok(Event {
            ms: millis(took),
            calls: u32::try_from(state.calls.len() - before).unwrap_or(u32::MAX),
            round_trips: round_trips.filter(|_| self.scenario.memory.is_none()),
        })
    }

    fn usage(&self) -> io::Result<Usage> {
        let unknown = || io::Error::other("/proc does not say what a process has used");
        Usage::of(self.process).ok_or_else(unknown)
    }
}

fn hangs(missing: &str) -> io::Error {
    let seconds = LONGEST.as_secs();
    io::Error::other(format!("it did not {missing} an event within {seconds} s"))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn account(number: u32) -> String {
    (FIRST_ID + u64::from(number)).to_string()
}
