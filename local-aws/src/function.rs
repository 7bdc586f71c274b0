//! The real function as a program: how it is built, what environment it gets, and what it prints.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::{ADMIN_ACCOUNT, DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL};

/// The function's program and package.
pub const NAME: &str = "guardduty-enroller";

/// How the names of the variables begin that cargo sets for a program that it runs; `CARGO` itself is needed.
const OUTER: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The profile in which programs of this workspace are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// That of the running program.
    Same,
    /// As the function is deployed.
    Release,
}

impl Profile {
    /// Where cargo puts a program.
    ///
    /// # Errors
    /// If it is not known where the running program is.
    pub fn path(self, program: &str) -> io::Result<PathBuf> {
        let mut folder = env::current_exe()?;
        folder.pop();
        if self == Self::Release {
            folder.set_file_name("release");
        }
        Ok(folder.join(program))
    }

    /// Builds a program, of the package of its name, and says so on standard error.
    ///
    /// # Errors
    /// If cargo fails.
    pub async fn build(self, program: &str) -> io::Result<()> {
        // A closed pipe is not a failure.
        let _ = writeln!(io::stderr(), "building {program} (the first time takes minutes) …");
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--package", program, "--bin", program])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // Build scripts ask for some of these (ring's does), and would run again with a build of all that hangs on them:
        // here, and once more at the next cargo outside.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if OUTER.iter().any(|outer| text.starts_with(outer)) {
                cargo.env_remove(name);
            }
        }
        if self.path("")?.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.kill_on_drop(true).status().await?;
        let failed = || io::Error::other(format!("{program} does not build"));
        status.success().then_some(()).ok_or_else(failed)
    }
}

/// What programs have printed, line by line.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the lines of an output until its end, in the background.
    pub fn collect(&self, output: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(output) = output else { return };
        let Self(lines) = self.clone();
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
}

/// The variables that make a program use the cloud at this address.
#[must_use]
pub fn variables(address: SocketAddr) -> [(&'static str, String); 8] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret".to_owned()),
        ("ADMIN_ACCOUNT_ID", ADMIN_ACCOUNT.to_owned()),
        ("REGIONS", "all".to_owned()),
        ("DEAD_LETTER_QUEUE_URL", DEAD_LETTER_QUEUE_URL.to_owned()),
        ("RETRY_QUEUE_URL", RETRY_QUEUE_URL.to_owned()),
    ]
}

/// A program with nothing in its environment but what it would have on Lambda, in the cloud at this address. It is killed
/// when its process is dropped.
pub fn command(program: impl AsRef<OsStr>, address: SocketAddr) -> Command {
    let kept = env::vars()
        .filter(|(name, _)| name == "PATH" || name == "HOME" || name.starts_with("SSL_"));
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(kept)
        .envs(variables(address))
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", NAME),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/guardduty-enroller"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}
