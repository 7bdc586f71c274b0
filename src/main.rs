//! The Lambda function: reads its configuration, builds its clients, takes invocations.

use guardduty_enroller::configuration::Configuration;
use guardduty_enroller::handler::Handler;
use guardduty_enroller::{aws, logging, metrics, runtime};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let variable = |name: &str| std::env::var(name).ok();
    logging::start(variable);
    metrics::start()?;
    match Configuration::read(variable) {
        Ok(configuration) => runtime::serve(Handler::new(configuration, &aws::load().await)).await,
        Err(error) => {
            tracing::error!("{error}");
            runtime::cannot_start(&error).await?;
            Err(error.into())
        }
    }
}
