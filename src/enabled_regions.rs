//! The Regions that are enabled for the administrator account: the only place that calls the Account SDK.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_account::Client;
use aws_sdk_account::types::RegionOptStatus;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::{self, Failure};
use crate::region::{Coverage, Region};

/// How long the answer counts. Ours: a burst of events asks once, and a Region that was opted into is covered soon.
const FRESH: Duration = Duration::from_mins(10);

/// The most Regions on a page of `ListRegions` (Account Management API reference).
const REGIONS_A_PAGE: i32 = 50;

/// What `account:ListRegions` says; asked only with `REGIONS=all`.
///
/// Rather than `ec2:DescribeRegions`: the answer is the same, without EC2's SDK crate (AWS's largest) and
/// without an EC2 permission in the role of a security function.
#[derive(Debug)]
pub struct EnabledRegions {
    client: Client,
    known: Mutex<Option<(Instant, Arc<BTreeSet<Region>>)>>,
}

impl EnabledRegions {
    /// Makes no call.
    #[must_use]
    pub fn new(aws: &SdkConfig) -> Self {
        Self {
            client: Client::new(aws),
            known: Mutex::default(),
        }
    }

    /// The Regions that `coverage` stands for.
    ///
    /// # Errors
    /// With [`Coverage::All`], where AWS did not name the enabled Regions: no pair can be named then.
    pub async fn covered(&self, coverage: &Coverage) -> Result<Arc<BTreeSet<Region>>, Failure> {
        match coverage {
            Coverage::Listed(regions) => Ok(Arc::clone(regions)),
            Coverage::All => self.get().await,
        }
    }

    /// Every Region that is enabled, by default or by opting in. Where the call failed or named no Region at all, it
    /// is made anew the next time.
    async fn get(&self) -> Result<Arc<BTreeSet<Region>>, Failure> {
        let mut known = self.known.lock().await;
        if let Some((asked, regions)) = known.as_ref()
            && asked.elapsed() < FRESH
        {
            return Ok(Arc::clone(regions));
        }
        let asked = Instant::now();
        let regions = Arc::new(self.list().await?);
        *known = Some((asked, Arc::clone(&regions)));
        Ok(regions)
    }

    async fn list(&self) -> Result<BTreeSet<Region>, Failure> {
        let mut regions = BTreeSet::new();
        let mut page = None;
        loop {
            let reply = self
                .client
                .list_regions()
                .region_opt_status_contains(RegionOptStatus::Enabled)
                .region_opt_status_contains(RegionOptStatus::EnabledByDefault)
                .max_results(REGIONS_A_PAGE)
                .set_next_token(page.clone())
                .send()
                .await?;
            let names = reply.regions().iter().filter_map(|r| r.region_name());
            regions.extend(names.filter_map(Region::named));
            page = failure::next_page(page.as_deref(), reply.next_token())?;
            if page.is_none() {
                break;
            }
        }
        if regions.is_empty() {
            // An account always has enabled Regions: an empty list would end every pair without a word.
            return Err(Failure::no_answer("ListRegions named no Region"));
        }
        Ok(regions)
    }
}
