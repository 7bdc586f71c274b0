//! The command line of the benchmark.

use std::path::PathBuf;

use clap::Args;

const ABOUT: &str = "\
Measures the function as a process of its own, beside what a user would pick instead.

The function is its release build. AWS is the simulation of this command, over TLS, with a test authority made for the
run. Figures are compared within one run only: repetitions of everything that is compared take turns.";

const EXPLANATION: &str = "\
What is measured
  start         from the start of the process until it asks for its first event
  first event   from handing it over until the reply, with every connection still to be made
  warm          each further event; every event names another new account
  CPU           user and system time; peak memory is the most that was resident at a time
  round trips   the longest chain of round trips one after another

A round trip is a delay of the connection: making it costs one, and so does each turn of the client. The share of the
CPU is a control group's, which needs root and a file system of control groups that can be written to; 1,769 MB are one
processor, as on Lambda.

The peers are installed by bench/setup; those that are not there are left out. There is no DNS: all Regions answer at
one address, in the order of the requests and each at once.

Examples
  cargo local bench
  cargo local bench --repetitions 3 --no-peers
  cargo local bench --bin /tmp/opt-s,/tmp/opt-3 --no-peers --memory none
  cargo local bench --quick

The exit code is 0 when everything could be run, whatever the figures.";

#[derive(Debug, Args)]
#[command(long_about = ABOUT, after_help = EXPLANATION)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Measuring {
    /// How often everything is measured, in turns
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,
    /// How many further events each process gets
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) warm: u32,
    /// How long a round trip takes; the last one is also measured with the shares of the CPU
    #[arg(
        long,
        value_name = "MILLIS,…",
        value_delimiter = ',',
        default_value = "0,50"
    )]
    pub(crate) round_trip: Vec<u64>,
    /// How many Regions; the peers and the shares of the CPU get 17 of them, or else the last
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,17,34", value_parser = clap::value_parser!(u32).range(1..=34))]
    pub(crate) regions: Vec<u32>,
    /// The memory sizes whose share of the CPU is measured, in MB, or `none`
    #[arg(
        long,
        value_name = "MB,…",
        value_delimiter = ',',
        default_value = "128,256,512"
    )]
    pub(crate) memory: Vec<Memory>,
    /// Measure these binaries instead of building one
    #[arg(long = "bin", value_name = "PATH,…", value_delimiter = ',')]
    pub(crate) binaries: Vec<PathBuf>,
    /// Leave out boto3 and Node.js
    #[arg(long)]
    pub(crate) no_peers: bool,
    /// Also build the function from nothing, in a folder of its own, to see how long that takes
    #[arg(long)]
    pub(crate) clean_build: bool,
    /// Try the benchmark in seconds: one repetition of little, with the build that is there. The figures say nothing
    #[arg(long, conflicts_with_all = ["repetitions", "warm", "round_trip", "regions", "memory", "clean_build"])]
    pub(crate) quick: bool,
    /// Everything, each repetition included, as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// A memory size in MB, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) Option<u32>);

impl std::str::FromStr for Memory {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "none" => Ok(Self(None)),
            Ok(size) if (128..=1_769).contains(&size) => Ok(Self(Some(size))),
            _ => Err("write a size from 128 to 1769, or `none`"),
        }
    }
}

impl Measuring {
    /// What `--quick` stands for.
    pub(crate) fn resolved(self) -> Self {
        if !self.quick {
            return self;
        }
        Self {
            repetitions: 1,
            warm: 3,
            round_trip: vec![0, 5],
            regions: vec![1, 2],
            memory: Vec::new(),
            no_peers: true,
            ..self
        }
    }
}
