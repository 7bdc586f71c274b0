//! What the measured processes trust: the roots of this machine, as many as on Lambda, and the authority of the run.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use local_aws::TestAuthority;

/// Where systems keep their roots in one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authority, and files for programs to read. They are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) authority: TestAuthority,
    /// How many roots of this machine are in the bundle.
    pub(crate) roots: usize,
    folder: PathBuf,
}

impl Trust {
    pub(crate) fn new() -> io::Result<Self> {
        let authority = TestAuthority::new()?;
        let bundles = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let mut bundles = bundles
            .into_iter()
            .chain(BUNDLES.map(|path| Path::new(path).to_owned()));
        let roots = bundles
            .find_map(|path| fs::read_to_string(path).ok())
            .unwrap_or_default();
        let folder = env::temp_dir().join(format!("local-aws-bench-{}", process::id()));
        fs::create_dir_all(&folder)?;
        let trust = Self {
            roots: roots.matches("BEGIN CERTIFICATE").count(),
            folder,
            authority,
        };
        fs::write(trust.authority_file(), trust.authority.certificate())?;
        let all = format!("{roots}\n{}", trust.authority.certificate());
        fs::write(trust.bundle_file(), all)?;
        Ok(trust)
    }

    /// The run's authority alone, for programs that add it to roots of their own.
    pub(crate) fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// All roots, as the file of a system would have them.
    pub(crate) fn bundle_file(&self) -> PathBuf {
        self.folder.join("bundle.pem")
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
