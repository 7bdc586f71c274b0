//! The function's own log lines, as a test reads them: the ledger above all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Once;

use serde_json::Value;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::prelude::*;

/// (account, Region).
pub(crate) type Pair = (String, String);

thread_local! {
    /// What is written on this thread, while somebody records it.
    static WRITTEN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| {
            if let Some(written) = written {
                written.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the function writes on this thread while this lives.
pub(crate) struct Lines;

impl Drop for Lines {
    fn drop(&mut self) {
        WRITTEN.set(None);
    }
}

impl Lines {
    /// One subscriber for all threads: one for each would switch those of the others off for moments.
    pub(crate) fn record() -> Self {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let is_recorded = dynamic_filter_fn(|event, _| {
                event.target().starts_with("guardduty_enroller")
                    && WRITTEN.with_borrow(Option::is_some)
            });
            let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
            let lines = lines.with_span_list(false).with_writer(|| Writer);
            tracing_subscriber::registry().with(lines.with_filter(is_recorded)).init();
        });
        WRITTEN.set(Some(Vec::new()));
        Self
    }

    /// All lines.
    #[expect(clippy::unused_self, reason = "it lives as long as the lines are recorded")]
    pub(crate) fn all(&self) -> Vec<Value> {
        let written = WRITTEN.with_borrow(|written| written.clone().unwrap_or_default());
        let lines = written.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).collect()
    }

    /// The lines of the ledger.
    pub(crate) fn ledger(&self) -> Vec<Value> {
        let lines = self.all().into_iter();
        lines.filter(|line| line["message"] == "ledger: what became of an account").collect()
    }

    /// How often the ledger says of each pair that it was enrolled, and that it was `Enabled` before.
    pub(crate) fn protected(&self) -> BTreeMap<Pair, (usize, usize)> {
        let mut protected: BTreeMap<Pair, (usize, usize)> = BTreeMap::new();
        for line in self.ledger() {
            let account = line["accountId"].as_str().expect("an account");
            let mut each = |member: &str, count: fn(&mut (usize, usize)) -> &mut usize| {
                for region in line[member].as_str().into_iter().flat_map(|all| all.split(',')) {
                    let pair = (account.to_owned(), region.to_owned());
                    *count(protected.entry(pair).or_default()) += 1;
                }
            };
            each("enrolled", |counts| &mut counts.0);
            each("alreadyEnabled", |counts| &mut counts.1);
        }
        protected
    }
}
