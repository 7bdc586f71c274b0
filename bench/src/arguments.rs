//! The command line.

use std::path::PathBuf;

use clap::Parser;

const EXPLANATION: &str = "\
The function is its release build. AWS is local-aws, over TLS. Milliseconds and MB are medians (least–most) of the
repetitions, which take turns. Ratios are times as much as the first program, within each repetition.
  start         from the start of the program until it asks for its first event
  first event   from handing it over until the reply, with every connection still to be made
  warm          each further event; every event names another new account
  round trips   the longest chain of round trips one after another
A round trip is a delay of the connection: making it costs one, and so does each turn of the client. The share of the
CPU takes root and control groups; 1,769 MB are one processor, as on Lambda. bench/setup installs the peers. There is no
DNS: all Regions answer at one address, in the order of the requests and each at once.

Examples
  cargo run --release -p bench -- --repetitions 3 --no-peers
  cargo run --release -p bench -- --bin OLD,NEW --no-peers --memory none";

/// Measures the function as a process of its own, together with what a user would pick instead
#[derive(Debug, Parser)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Arguments {
    /// How often everything is measured, in turns
    #[arg(long, default_value = "7", default_value_if("quick", "true", "1"))]
    pub(crate) repetitions: u32,
    /// How many further events each process gets
    #[arg(long, default_value = "30", default_value_if("quick", "true", "3"))]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) warm: u32,
    /// How many milliseconds a round trip takes; the last one is also measured with the shares of the CPU
    #[arg(long, value_delimiter = ',', default_value = "0,50")]
    #[arg(default_value_if("quick", "true", "0,5"))]
    pub(crate) round_trip: Vec<u32>,
    /// How many Regions; the peers and the shares of the CPU get 17 of them, or else the last
    #[arg(long, value_delimiter = ',', default_value = "1,17,34")]
    #[arg(default_value_if("quick", "true", "1,2"))]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=34))]
    pub(crate) regions: Vec<u8>,
    /// The memory sizes whose share of the CPU is measured, in MB, or `none`
    #[arg(long, value_delimiter = ',', value_parser = memory)]
    #[arg(default_value = "128,256,512", default_value_if("quick", "true", "none"))]
    pub(crate) memory: Vec<Option<u32>>,
    /// Measure these binaries instead of building one
    #[arg(long = "bin", value_name = "PATH,…", value_delimiter = ',')]
    pub(crate) binaries: Vec<PathBuf>,
    /// Leave out boto3 and Node.js
    #[arg(long, default_value_if("quick", "true", "true"))]
    pub(crate) no_peers: bool,
    /// Try the benchmark in seconds: little of everything, in the profile of this command. The figures say nothing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Each repetition of everything, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn memory(text: &str) -> Result<Option<u32>, &'static str> {
    match text.parse() {
        _ if text == "none" => Ok(None),
        Ok(size) if (128..=1_769).contains(&size) => Ok(Some(size)),
        _ => Err("write a size from 128 to 1769, or `none`"),
    }
}
