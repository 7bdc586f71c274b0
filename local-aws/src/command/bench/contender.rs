//! The programs that are measured beside each other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::bench::trust::Trust;

/// The repository.
pub(crate) const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    /// The Lambda runtime alone.
    Floor,
    Peer(Peer),
}

/// What a user would pick instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Boto3,
    Node,
}

/// A program that can be measured.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    arguments: Vec<OsString>,
}

impl Contender {
    pub(crate) fn binary(name: &str, kind: Kind, program: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            program,
            arguments: Vec::new(),
        }
    }

    /// A peer, or what is missing for it.
    pub(crate) fn peer(peer: Peer) -> Result<Self, String> {
        let here = Path::new(HERE);
        let (name, program, needed, arguments) = match peer {
            Peer::Boto3 => {
                let program = here.join(".venv/boto3/bin/python");
                let arguments = ["-m", "awslambdaric", "function.handler"];
                (
                    "boto3",
                    program.clone(),
                    program,
                    arguments.map(OsString::from).to_vec(),
                )
            }
            Peer::Node => {
                let script = here.join("bench/node/function.mjs").into();
                let needed = here.join("bench/node/node_modules");
                (
                    "Node.js",
                    found("node").unwrap_or_default(),
                    needed,
                    vec![script],
                )
            }
        };
        if !needed.exists() || !program.exists() {
            return Err(format!(
                "{name} is left out: bench/setup has not installed it"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            kind: Kind::Peer(peer),
            program,
            arguments,
        })
    }

    /// What starts the program; in a control group, if there is one. Then it prints an empty line when it is in the group,
    /// and starts once it has read one.
    pub(crate) fn command(&self, group: Option<&Path>) -> Command {
        let mut command = match group {
            // The shell becomes the program, which so is in the group from its first instruction.
            Some(processes) => {
                let mut shell = Command::new("/bin/sh");
                shell
                    .arg("-c")
                    .arg("echo $$ >\"$0\" && echo && read -r _ && exec \"$@\" </dev/null")
                    .arg(processes)
                    .arg(&self.program);
                shell
            }
            None => Command::new(&self.program),
        };
        command
            .args(&self.arguments)
            .env_clear()
            .stdin(group.map_or_else(Stdio::null, |_| Stdio::piped()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// What the program's environment has beside that of every function.
    pub(crate) fn variables(&self, trust: &Trust) -> Vec<(&'static str, OsString)> {
        let bundle = || trust.bundle_file().into();
        match self.kind {
            Kind::Function | Kind::Floor => vec![("SSL_CERT_FILE", bundle())],
            Kind::Peer(Peer::Boto3) => vec![
                ("AWS_CA_BUNDLE", bundle()),
                ("REQUESTS_CA_BUNDLE", bundle()),
                ("PYTHONPATH", Path::new(HERE).join("bench/boto3").into()),
            ],
            // Node.js has roots of its own inside, as many.
            Kind::Peer(Peer::Node) => {
                vec![("NODE_EXTRA_CA_CERTS", trust.authority_file().into())]
            }
        }
    }

    /// How large the program is, and how large as a deployment package; only of binaries.
    pub(crate) async fn sizes(&self) -> io::Result<Option<Sizes>> {
        if matches!(self.kind, Kind::Peer(_)) {
            return Ok(None);
        }
        let binary = fs::metadata(&self.program)?.len();
        // The same compression as in a .zip file, whose own entry for the file is as long within some 100 bytes.
        let mut gzip = Command::new("gzip");
        gzip.arg("--stdout").arg(&self.program);
        let zip = gzip.output().await?.stdout.len();
        Ok(Some(Sizes { binary, zip }))
    }
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) binary: u64,
    pub(crate) zip: usize,
}

fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.exists())
}
