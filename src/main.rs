//! The Lambda function: reads its configuration, builds its clients, takes invocations.

use std::process::ExitCode;

use decisions::configuration::Configuration;
use guardduty_enroller::handler::Handler;
use guardduty_enroller::observe::{log_format, metrics};
use guardduty_enroller::{aws, runtime};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let variable = |name: &str| std::env::var(name).ok();
    log_format::start(variable);
    metrics::start()?;
    match Configuration::read(variable) {
        Ok(configuration) => {
            for region in configuration.unknown_regions() {
                tracing::warn!(%region, "REGIONS names a Region that this version does not know");
            }
            runtime::serve(Handler::new(configuration, &aws::load().await)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            tracing::error!("{error}");
            runtime::cannot_start(&error).await?;
            Ok(ExitCode::FAILURE)
        }
    }
}
