//! The programs that are compared.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use local_aws::function::{NAME, Profile};
use serde::Serialize;

use crate::arguments::Arguments;

/// The repository.
pub(crate) const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const FLOOR: &str = "floor";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    /// The Lambda runtime alone.
    Floor,
    /// What a user would pick instead.
    Peer,
}

/// A program that can be measured.
#[derive(Debug, Serialize)]
pub(crate) struct Contender {
    #[serde(rename = "program")]
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) kind: Kind,
    /// The program and its arguments.
    #[serde(skip)]
    pub(crate) command: Vec<OsString>,
}

impl Contender {
    pub(crate) fn new(name: &str, kind: Kind, command: impl Into<Vec<OsString>>) -> Self {
        let (name, command) = (name.to_owned(), command.into());
        Self { name, kind, command }
    }

    /// The function in the builds that are named, or else as it is, with the floor; then the peers that are installed.
    pub(crate) async fn all(arguments: &Arguments) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for path in &arguments.binaries {
            let program = path.canonicalize()?.into_os_string();
            all.push(Self::new(&path.to_string_lossy(), Kind::Function, [program]));
        }
        if all.is_empty() {
            let profile = if arguments.quick { Profile::Same } else { Profile::Release };
            for (program, name, kind) in
                [(NAME, NAME, Kind::Function), (FLOOR, "the runtime alone", Kind::Floor)]
            {
                profile.build(program).await?;
                all.push(Self::new(name, kind, [profile.path(program)?.into()]));
            }
        }
        let here = |path| Path::new(HERE).join(path).into_os_string();
        let python = here(".venv/boto3/bin/python");
        let mut boto3 = vec![python.clone()];
        boto3.extend(["-m", "awslambdaric", "function.handler"].map(OsString::from));
        let node = ["node".into(), here("bench/node/function.mjs")];
        let peers = [
            (Self::new("boto3", Kind::Peer, boto3), python),
            (Self::new("Node.js", Kind::Peer, node), here("bench/node/node_modules")),
        ];
        for (peer, needed) in peers.into_iter().filter(|_| !arguments.no_peers) {
            if Path::new(&needed).exists() {
                all.push(peer);
            } else {
                crate::say(&format!("{} is left out: bench/setup has not installed it", peer.name));
            }
        }
        Ok(all)
    }
}
