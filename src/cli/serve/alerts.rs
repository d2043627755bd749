//! Where the alerts of a simulated world go.

use simulator::AlertMode;

/// Where the world's alerts go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Alerts {
    /// Nowhere: none is made.
    None,
    /// Straight to the engine.
    Internal,
    /// To an Alertmanager.
    To(reqwest::Url),
}

impl Alerts {
    /// What the world does with them.
    pub(crate) fn mode(&self) -> AlertMode {
        match self {
            Self::None => AlertMode::None,
            Self::Internal => AlertMode::Internal,
            Self::To(_) => AlertMode::External,
        }
    }
}

/// Reads what the command line says.
///
/// # Errors
/// What can be said, where it is something else.
pub(crate) fn parse(text: &str) -> Result<Alerts, String> {
    match text {
        "none" => Ok(Alerts::None),
        "internal" => Ok(Alerts::Internal),
        url => match reqwest::Url::parse(url) {
            Ok(url) if url.scheme() == "http" => Ok(Alerts::To(url)),
            Ok(_) | Err(_) => {
                Err("use `none`, `internal`, or the http:// URL of an Alertmanager".into())
            }
        },
    }
}
