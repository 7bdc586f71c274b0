//! What a cloud looks like at its start.

use std::time::Duration;

use decisions::region::COMMERCIAL;

use crate::epoch::Epoch;
use crate::guardduty::GuardDuty;

/// GuardDuty's delegated administrator: the account the function runs in.
pub const ADMIN_ACCOUNT: &str = "222222222222";
/// The organization's management account.
pub const MANAGEMENT_ACCOUNT: &str = "111122223333";
/// The account the sample events speak of.
pub const NEW_ACCOUNT: &str = "444455556666";
/// A further account of the organization.
pub const OTHER_ACCOUNT: &str = "555566667777";
/// The Regions of a cloud by default.
pub const REGIONS: [&str; 4] = [COMMERCIAL[0], COMMERCIAL[1], COMMERCIAL[2], COMMERCIAL[3]];

/// What a cloud looks like at its start. Everything can be changed later through [`crate::Cloud::lock`].
#[derive(Clone, Debug)]
pub struct Setup {
    /// GuardDuty's delegated administrator, in every Region.
    pub admin_account: String,
    /// The organization's management account.
    pub management_account: String,
    /// The Regions that exist and are switched on.
    pub regions: Vec<String>,
    /// Id and e-mail of the organization's accounts, the two above included. All start ACTIVE.
    pub accounts: Vec<(String, String)>,
    /// What GuardDuty is like in each Region; the detector is one of the Region's own.
    pub guardduty: GuardDuty,
    /// The content of the GuardDuty policy in force for the administrator's account.
    pub policy: Option<String>,
    /// How long every call takes.
    pub latency: Duration,
    /// What the wall clock shows at virtual time zero.
    pub epoch: Epoch,
}

impl Setup {
    /// A cloud whose GuardDuty takes no time.
    #[must_use]
    pub fn instant() -> Self {
        Self { guardduty: GuardDuty::new("").instant(), ..Self::default() }
    }
}

impl Default for Setup {
    fn default() -> Self {
        let account = |id: &str, name: &str| (id.to_owned(), format!("{name}@example.com"));
        Self {
            admin_account: ADMIN_ACCOUNT.to_owned(),
            management_account: MANAGEMENT_ACCOUNT.to_owned(),
            regions: REGIONS.map(str::to_owned).to_vec(),
            accounts: vec![
                account(MANAGEMENT_ACCOUNT, "management"),
                account(ADMIN_ACCOUNT, "security"),
                account(NEW_ACCOUNT, "new-account"),
                account(OTHER_ACCOUNT, "other-account"),
            ],
            guardduty: GuardDuty::new(""),
            policy: None,
            latency: Duration::ZERO,
            epoch: Epoch::default(),
        }
    }
}
