//! Log lines: JSON under Lambda, text in a terminal, and no payload of anyone's.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Writes log lines to standard output as Lambda's logging configuration says it (`AWS_LAMBDA_LOG_FORMAT`,
/// `AWS_LAMBDA_LOG_LEVEL`; a level that is none reads as INFO).
pub fn start(variable: impl Fn(&str) -> Option<String>) {
    let level = variable("AWS_LAMBDA_LOG_LEVEL")
        .and_then(|level| LevelFilter::from_str(&level).ok())
        .unwrap_or(LevelFilter::INFO);
    let registry = tracing_subscriber::registry().with(filter(level));
    let lines = tracing_subscriber::fmt::layer().with_target(false);
    // Lambda stamps plain lines itself.
    if variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        let json = lines.json().flatten_event(true).with_span_list(false);
        registry.with(json).init();
    } else {
        registry.with(lines.without_time().with_ansi(false)).init();
    }
}

/// Only this program's own lines follow the level. The runtime and the SDK write whole payloads at TRACE, and a
/// request to `CreateMembers` has the account's e-mail address in it: they stay at INFO.
fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_sdk_and_the_runtime_never_write_payloads() {
        let filter = filter(LevelFilter::TRACE);
        assert!(filter.would_enable("guardduty_enroller::handler", &Level::TRACE));
        for target in [
            "aws_smithy_runtime::client",
            "lambda_runtime",
            "hyper",
            "aws_config",
        ] {
            assert!(filter.would_enable(target, &Level::INFO));
            assert!(!filter.would_enable(target, &Level::DEBUG));
            assert!(!filter.would_enable(target, &Level::TRACE));
        }
    }

    #[test]
    fn a_higher_level_holds_for_everything() {
        let filter = filter(LevelFilter::ERROR);
        assert!(!filter.would_enable("guardduty_enroller::handler", &Level::INFO));
        assert!(!filter.would_enable("lambda_runtime", &Level::INFO));
    }
}
