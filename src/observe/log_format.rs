//! Log lines: JSON in a log group, text in a terminal, and no payload of anyone's.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Writes log lines to standard output as `LOG_FORMAT` says it, or else Lambda's logging configuration
/// (`AWS_LAMBDA_LOG_FORMAT`, `AWS_LAMBDA_LOG_LEVEL`), which not every partition has.
pub fn start(variable: impl Fn(&str) -> Option<String>) {
    let level =
        variable("AWS_LAMBDA_LOG_LEVEL").map_or(LevelFilter::INFO, |level| level_of(&level));
    let registry = tracing_subscriber::registry().with(filter(level));
    let lines = tracing_subscriber::fmt::layer().with_target(false);
    let format = variable("LOG_FORMAT").or_else(|| variable("AWS_LAMBDA_LOG_FORMAT"));
    // Lambda stamps plain lines itself.
    if format.is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        let json = lines.json().flatten_event(true).with_span_list(false);
        registry.with(json).init();
    } else {
        registry.with(lines.without_time().with_ansi(false)).init();
    }
}

/// Lambda's FATAL has no counterpart here; a level that is none reads as INFO.
fn level_of(level: &str) -> LevelFilter {
    if level.eq_ignore_ascii_case("fatal") {
        return LevelFilter::ERROR;
    }
    LevelFilter::from_str(level).unwrap_or(LevelFilter::INFO)
}

/// Only this program's own lines follow the level. The runtime and the SDK write whole payloads at TRACE, and a
/// request to `CreateMembers` has the account's e-mail address in it: they stay at INFO. The runtime is never above
/// it either, because its span has the request id of every line.
fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("lambda_runtime", LevelFilter::INFO)
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
        for target in ["aws_smithy_runtime::client", "lambda_runtime", "hyper", "aws_config"] {
            assert!(filter.would_enable(target, &Level::INFO));
            assert!(!filter.would_enable(target, &Level::DEBUG));
            assert!(!filter.would_enable(target, &Level::TRACE));
        }
    }

    #[test]
    fn a_higher_level_holds_for_everything() {
        let filter = filter(LevelFilter::ERROR);
        assert!(!filter.would_enable("guardduty_enroller::handler", &Level::INFO));
        assert!(!filter.would_enable("aws_config", &Level::INFO));
        assert!(filter.would_enable("lambda_runtime::layers::trace", &Level::INFO));
    }

    #[test]
    fn lambdas_own_names_of_levels_are_read() {
        for (name, level) in [
            ("TRACE", LevelFilter::TRACE),
            ("warn", LevelFilter::WARN),
            ("FATAL", LevelFilter::ERROR),
            ("nonsense", LevelFilter::INFO),
        ] {
            assert_eq!(level_of(name), level);
        }
    }
}
