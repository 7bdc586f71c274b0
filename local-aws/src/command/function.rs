//! The real function as a child process.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use local_aws::Usage;
use local_aws::function::{Log, NAME, Profile, lambda_variables, variables};
use tokio::process::{Child, Command};

/// The function's process. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Function(Child);

impl Function {
    /// Starts the function with nothing in its environment but what it would have on Lambda.
    pub(crate) fn start(
        profile: Profile,
        address: SocketAddr,
        extra: &[(String, String)],
        log: &Log,
    ) -> io::Result<Self> {
        let program = profile.path(NAME)?;
        let kept = env::vars()
            .filter(|(name, _)| name == "PATH" || name == "HOME" || name.starts_with("SSL_"));
        let mut child = Command::new(&program)
            .env_clear()
            .envs(kept)
            .envs(lambda_variables(address))
            .envs(variables(address))
            .envs(extra.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", program.display())))?;
        log.collect(child.stdout.take());
        log.collect(child.stderr.take());
        Ok(Self(child))
    }

    /// Waits for the function to end by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }

    /// What the process has used so far, while it lives.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::of(self.0.id()?)
    }
}
