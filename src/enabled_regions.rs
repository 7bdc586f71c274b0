//! The Regions that are enabled for the administrator account: the only place that calls the Account SDK.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_account::Client;
use aws_sdk_account::types::RegionOptStatus;
use tokio::sync::OnceCell;

use crate::failure::Failure;
use crate::region::Region;

/// What `account:ListRegions` says; asked once while the environment lives, and only with `REGIONS=all`.
///
/// Rather than `ec2:DescribeRegions`: the answer is the same, without EC2's SDK crate (AWS's largest) and
/// without an EC2 permission in the role of a security function.
#[derive(Debug)]
pub struct EnabledRegions {
    client: Client,
    known: OnceCell<BTreeSet<Region>>,
}

impl EnabledRegions {
    /// Makes no call.
    #[must_use]
    pub fn new(aws: &SdkConfig) -> Self {
        Self {
            client: Client::new(aws),
            known: OnceCell::new(),
        }
    }

    /// Every Region that is enabled, by default or by opting in.
    ///
    /// # Errors
    /// Where the call failed or named no Region at all; it is made anew the next time.
    pub async fn get(&self) -> Result<&BTreeSet<Region>, Failure> {
        self.known.get_or_try_init(|| self.list()).await
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
                .max_results(50)
                .set_next_token(page)
                .send()
                .await?;
            let names = reply.regions().iter().filter_map(|r| r.region_name());
            regions.extend(names.filter_map(Region::named));
            page = reply.next_token().map(str::to_owned);
            if page.is_none() {
                break;
            }
        }
        if regions.is_empty() {
            // An account always has enabled Regions: an empty list would end every pair without a word.
            return Err(Failure::NoAnswer("ListRegions named no Region".to_owned()));
        }
        Ok(regions)
    }
}
