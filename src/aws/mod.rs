//! AWS at the edge: each SDK crate in one file, and what every client shares: one HTTP client, and a time limit on each
//! call.

pub(crate) mod error;
pub(crate) mod guardduty;
pub(crate) mod organizations;
pub(crate) mod regions;
pub(crate) mod sqs;

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;

/// The settings of all clients, read from the environment that Lambda sets. Makes no call.
pub async fn load() -> SdkConfig {
    // One connection pool for all Regions and services. ring rather than aws-lc: aws-lc collects entropy for some 30 ms
    // of CPU at its first handshake, which is half a second at 128 MB.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let loaded =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).load().await;
    limited(&loaded)
}

/// The same settings with a limit on every call; the SDK has none of its own for a whole operation.
///
/// The numbers are ours, and assume that AWS answers within a second as a rule. A slow Region must not use up the time
/// of the function, because a pair can wait longer in the retry queue, at no cost.
#[must_use]
pub fn limited(settings: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    settings
        .to_builder()
        .timeout_config(timeouts)
        // Replies are a few kilobytes: the attempt's limit covers a body that stalls.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}
