//! The destination of the alerts of a simulated world.

use simulator::AlertMode;

/// Destination of simulated alerts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AlertDestination {
    /// Alerts are not evaluated.
    None,
    /// The engine.
    Internal,
    /// An Alertmanager.
    Alertmanager(reqwest::Url),
}

impl AlertDestination {
    /// Returns the alert mode of the world.
    pub(crate) fn mode(&self) -> AlertMode {
        match self {
            Self::None => AlertMode::None,
            Self::Internal => AlertMode::Internal,
            Self::Alertmanager(_) => AlertMode::External,
        }
    }
}

/// Parses a destination.
///
/// # Errors
/// If it is not one of the accepted values.
pub(crate) fn parse(text: &str) -> Result<AlertDestination, String> {
    match text {
        "none" => Ok(AlertDestination::None),
        "internal" => Ok(AlertDestination::Internal),
        url => match reqwest::Url::parse(url) {
            // The URL is written to the log, so it must not contain credentials.
            Ok(url) if !url.username().is_empty() || url.password().is_some() => Err(
                "remove user and password from the URL: the simulated world sends no credentials"
                    .into(),
            ),
            Ok(url) if url.scheme() == "http" => Ok(AlertDestination::Alertmanager(url)),
            Ok(_) | Err(_) => {
                Err("use `none`, `internal`, or the http:// URL of an Alertmanager".into())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_with_credentials_is_refused_and_not_echoed() {
        assert_eq!(parse("none"), Ok(AlertDestination::None));
        let url = reqwest::Url::parse("http://127.0.0.1:9093").unwrap();
        assert_eq!(parse("http://127.0.0.1:9093"), Ok(AlertDestination::Alertmanager(url)));
        for bad in ["http://me:hush@host:9093", "http://hush@host", "https://host", "hush"] {
            let message = parse(bad).unwrap_err();
            assert!(!message.contains("hush"), "{bad}: {message}");
        }
    }
}
