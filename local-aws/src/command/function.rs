//! The real function as a child process: how it is built, what environment it gets, and what it prints.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use local_aws::{ADMIN_ACCOUNT, DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::usage::Usage;

const NAME: &str = "guardduty-enroller";
const FLOOR: &str = "floor";

/// How the names of the variables begin that cargo sets for a program that it runs, beside `CARGO` itself.
const OUTER: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Which build of the function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// In the profile that this program was built in, beside it.
    Beside,
    /// As it is deployed.
    Release,
}

/// The function's process. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Function {
    child: Child,
}

/// What the function has printed, line by line, over all its processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn collect(&self, output: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(output) = output else { return };
        let lines = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
    }
}

/// The variables that make a program use the cloud at this address.
pub(crate) fn variables(address: SocketAddr) -> [(&'static str, String); 8] {
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

/// The variables that Lambda sets itself.
pub(crate) fn lambda_variables(address: SocketAddr) -> [(&'static str, String); 7] {
    [
        ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", NAME.to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{NAME}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
    ]
}

impl Program {
    pub(crate) fn path(self) -> io::Result<PathBuf> {
        let here = env::current_exe()?;
        Ok(match (self, here.parent().and_then(Path::parent)) {
            (Self::Release, Some(target)) => target.join("release").join(NAME),
            _ => here.with_file_name(NAME),
        })
    }

    fn is_release(self) -> io::Result<bool> {
        let path = self.path()?;
        Ok(path
            .parent()
            .is_some_and(|folder| folder.ends_with("release")))
    }

    /// The floor of the benchmark, in the same profile.
    pub(crate) fn floor(self) -> io::Result<PathBuf> {
        Ok(self.path()?.with_file_name(FLOOR))
    }

    /// Builds the function.
    pub(crate) async fn build(self, say: impl Fn(&str)) -> io::Result<()> {
        say(&format!("building {NAME} (the first time takes minutes) …"));
        self.cargo(&["--bin", NAME]).await
    }

    /// Builds the function and the floor of the benchmark, which so share the crates that they have in common.
    pub(crate) async fn build_with_floor(self, say: impl Fn(&str)) -> io::Result<()> {
        say(&format!("building {NAME} (the first time takes minutes) …"));
        let both = ["--package", NAME, "--package", FLOOR];
        self.cargo(&[&both[..], &["--bin", NAME, "--bin", FLOOR]].concat())
            .await
    }

    /// Builds the function with everything that it needs in another folder.
    pub(crate) async fn build_in(self, folder: &Path) -> io::Result<()> {
        let folder = folder.to_string_lossy();
        self.cargo(&["--bin", NAME, "--target-dir", &folder]).await
    }

    async fn cargo(self, what: &[&str]) -> io::Result<()> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet"])
            .args(what)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // What the cargo that runs this program has told it. Build scripts ask for some of it (ring's does), and would
        // run anew, with a build of all that hangs on them: here, and again at the next cargo outside.
        for (name, _) in env::vars_os() {
            if OUTER
                .iter()
                .any(|outer| name.to_string_lossy().starts_with(outer))
            {
                cargo.env_remove(name);
            }
        }
        if self.is_release()? {
            cargo.arg("--release");
        }
        let status = cargo.kill_on_drop(true).status().await?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "{} does not build",
                what.join(" ")
            )))
        }
    }
}

impl Function {
    /// Starts the function with nothing in its environment but what it would have on Lambda.
    pub(crate) fn start(
        program: Program,
        address: SocketAddr,
        extra: &[(String, String)],
        log: &Log,
    ) -> io::Result<Self> {
        let program = program.path()?;
        let mut command = Command::new(&program);
        let kept = env::vars()
            .filter(|(name, _)| name == "PATH" || name == "HOME" || name.starts_with("SSL_"));
        command
            .env_clear()
            .envs(kept)
            .envs(lambda_variables(address))
            .envs(variables(address))
            .envs(extra.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", program.display())))?;
        log.collect(child.stdout.take());
        log.collect(child.stderr.take());
        Ok(Self { child })
    }

    /// Waits for the function to end by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What the process has used so far, while it lives.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::of(self.child.id()?)
    }
}
