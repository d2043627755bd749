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
            // Whatever stands in the URL stands in the log too.
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Err("leave user and password out of the URL: the simulated world sends none".into())
            }
            Ok(url) if url.scheme() == "http" => Ok(Alerts::To(url)),
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
    fn a_url_with_a_password_is_refused_and_nothing_of_it_repeated() {
        assert_eq!(parse("none"), Ok(Alerts::None));
        let url = reqwest::Url::parse("http://127.0.0.1:9093").unwrap();
        assert_eq!(parse("http://127.0.0.1:9093"), Ok(Alerts::To(url)));
        for bad in ["http://me:hush@host:9093", "http://hush@host", "https://host", "hush"] {
            let said = parse(bad).unwrap_err();
            assert!(!said.contains("hush"), "{bad}: {said}");
        }
    }
}
