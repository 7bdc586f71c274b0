//! The Regions that are enabled for the administrator account: the only place that calls the Account SDK.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_account::Client;
use aws_sdk_account::types::RegionOptStatus;
use decisions::call_error::{CallError, Failure};
use decisions::operation::Operation;
use decisions::region::{Coverage, Region};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::aws::error;
use crate::observe::logs;

/// How long an answer serves. Ours: a burst of events asks once, and a Region that was opted into is covered soon.
const FRESH: Duration = Duration::from_mins(10);

/// The most Regions on a page of `ListRegions` (Account Management API reference).
const REGIONS_PER_PAGE: i32 = 50;

/// What `account:ListRegions` says; asked only with `REGIONS=all`.
///
/// Rather than `ec2:DescribeRegions`: the answer is the same, without EC2's SDK crate (AWS's largest) and
/// without an EC2 permission in the role of a security function.
#[derive(Debug)]
pub(crate) struct EnabledRegions {
    client: Client,
    known: Mutex<Option<(Instant, Arc<BTreeSet<Region>>)>>,
}

impl EnabledRegions {
    pub(crate) fn new(aws: &SdkConfig) -> Self {
        Self { client: Client::new(aws), known: Mutex::default() }
    }

    /// The Regions that `coverage` means.
    ///
    /// # Errors
    /// With [`Coverage::All`], if AWS did not name the enabled Regions: no pair can be named then.
    pub(crate) async fn covered(
        &self,
        coverage: &Coverage,
    ) -> Result<Arc<BTreeSet<Region>>, CallError> {
        match coverage {
            Coverage::Listed(regions) => Ok(Arc::clone(regions)),
            Coverage::All => self.get().await,
        }
    }

    /// Every Region that is enabled, by default or by opting in. If the call fails, what was known before still serves, and
    /// the next event asks again.
    async fn get(&self) -> Result<Arc<BTreeSet<Region>>, CallError> {
        let mut known = self.known.lock().await;
        if let Some((asked, regions)) = known.as_ref()
            && asked.elapsed() < FRESH
        {
            return Ok(Arc::clone(regions));
        }
        let asked = Instant::now();
        match (self.list().await, known.as_ref()) {
            (Ok(regions), _) => {
                let regions = Arc::new(regions);
                *known = Some((asked, Arc::clone(&regions)));
                Ok(regions)
            }
            (Err(error), Some((_, regions))) => {
                logs::regions_from_before(&error);
                Ok(Arc::clone(regions))
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn list(&self) -> Result<BTreeSet<Region>, CallError> {
        let mut regions = BTreeSet::new();
        let mut page = None;
        let failed = error::of(Operation::ListRegions);
        loop {
            let call = self
                .client
                .list_regions()
                .region_opt_status_contains(RegionOptStatus::Enabled)
                .region_opt_status_contains(RegionOptStatus::EnabledByDefault)
                .max_results(REGIONS_PER_PAGE)
                .set_next_token(page.clone());
            let reply = call.send().await.map_err(|e| failed(error::failure(&e)))?;
            let names = reply.regions().iter().filter_map(|r| r.region_name());
            regions.extend(names.filter_map(Region::named));
            page = error::next_page(page.as_deref(), reply.next_token()).map_err(&failed)?;
            if page.is_none() {
                break;
            }
        }
        if regions.is_empty() {
            // An account always has enabled Regions: an empty list would end every pair without a word.
            return Err(failed(Failure::no_answer("the answer names no Region")));
        }
        Ok(regions)
    }
}
