use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::duration::Duration;

/// Behaviour of the program in an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// Ports on which the program listens after startup.
    #[serde(default)]
    pub listens: Vec<Listener>,
    /// Time from the start of the container until the program listens. Default: 3 s.
    #[serde(default = "Behaviour::default_startup")]
    pub startup: Duration,
    /// Working set after startup, in MiB. Default: 32.
    #[serde(default = "Behaviour::default_memory")]
    #[serde(rename = "memoryMiB")]
    pub memory_mib: f64,
    /// Growth of the working set, in MiB per hour.
    #[serde(default)]
    #[serde(rename = "growthMiBPerHour")]
    pub growth_mib_per_hour: f64,
    /// Required environment variables.
    #[serde(default)]
    pub config: Vec<RequiredConfig>,
    /// Requests that the program sends to Services after startup.
    #[serde(default)]
    pub calls: Vec<ServiceCall>,
    /// Log lines that the program writes after startup.
    #[serde(default)]
    pub logs: Vec<String>,
}

impl Behaviour {
    fn default_startup() -> Duration {
        Duration::from_secs(3)
    }

    fn default_memory() -> f64 {
        32.0
    }

    /// Returns whether the program listens on `port`.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        self.listens.iter().any(|listener| listener.port == port)
    }

    /// Returns whether an HTTP GET of `path` on `port` succeeds.
    pub(crate) fn serves(&self, port: u16, path: &str) -> bool {
        self.listens.iter().any(|listener| {
            listener.port == port && listener.paths.iter().any(|served| served == path)
        })
    }

    /// Returns the message with which the program exits because of `env`, or `None` if `env` is valid.
    pub(crate) fn env_error(
        &self,
        env: &BTreeMap<String, String>,
        is_service: impl Fn(&str) -> bool,
    ) -> Option<String> {
        self.config.iter().find_map(|setting| setting.env_error(env, &is_service))
    }
}

/// A port on which a program listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    pub port: u16,
    /// Paths that respond with 200; others respond with 404.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// An environment variable that a program requires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredConfig {
    /// Name of the variable.
    pub env: String,
    pub must_be: ValueConstraint,
}

/// Constraint on the value of a required environment variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ValueConstraint {
    /// A string that is not empty.
    Text {},
    /// An integer in [`min`, `max`].
    Integer { min: i64, max: i64 },
    /// One of these strings.
    OneOf(Vec<String>),
    /// `scheme://host[:port][/…]` with one of these schemes; the host is a Service in the namespace.
    Url { schemes: Vec<String> },
}

impl RequiredConfig {
    fn env_error(
        &self,
        env: &BTreeMap<String, String>,
        is_service: &impl Fn(&str) -> bool,
    ) -> Option<String> {
        let name = &self.env;
        let Some(value) = env.get(name) else {
            return Some(format!("fatal: required setting {name} is not set"));
        };
        let problem = match &self.must_be {
            ValueConstraint::Text {} => value.is_empty().then(|| "must not be empty".to_string()),
            ValueConstraint::Integer { min, max } => match value.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => None,
                Ok(_) => Some(format!("must be between {min} and {max}")),
                Err(_) => Some("is not an integer".into()),
            },
            ValueConstraint::OneOf(allowed) => {
                (!allowed.contains(value)).then(|| format!("must be one of {}", allowed.join(", ")))
            }
            ValueConstraint::Url { schemes } => url_error(value, schemes, is_service),
        };
        problem.map(|problem| format!("fatal: invalid setting {name}={value:?}: {problem}"))
    }
}

fn url_error(
    value: &str,
    schemes: &[String],
    is_service: &impl Fn(&str) -> bool,
) -> Option<String> {
    let Some((scheme, rest)) = value.split_once("://") else { return Some("is not a URL".into()) };
    if !schemes.iter().any(|known| known == scheme) {
        return Some(format!("has the scheme {scheme}, expected {}", schemes.join(" or ")));
    }
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let service = host.split('.').next().unwrap_or_default();
    (!is_service(service)).then(|| format!("lookup {host}: no such host"))
}

/// Requests from a program to a Service in its namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceCall {
    /// Name of the Service.
    pub service: String,
    /// Port of the Service.
    pub port: u16,
    /// Requests per minute of the whole workload, while at least one of its pods is ready.
    pub requests_per_minute: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_error_describes_the_invalid_variable() {
        let setting = |must_be| RequiredConfig { env: "X".into(), must_be };
        let url = || setting(ValueConstraint::Url { schemes: vec!["redis".into()] });
        let cases = [
            (setting(ValueConstraint::Text {}), None, Some("fatal: required setting X is not set")),
            (setting(ValueConstraint::Text {}), Some("a"), None),
            (setting(ValueConstraint::Integer { min: 1, max: 9 }), Some("9"), None),
            (
                setting(ValueConstraint::Integer { min: 1, max: 9 }),
                Some("10"),
                Some("fatal: invalid setting X=\"10\": must be between 1 and 9"),
            ),
            (
                setting(ValueConstraint::Integer { min: 1, max: 9 }),
                Some("many"),
                Some("fatal: invalid setting X=\"many\": is not an integer"),
            ),
            (
                setting(ValueConstraint::OneOf(vec!["info".into()])),
                Some("loud"),
                Some("fatal: invalid setting X=\"loud\": must be one of info"),
            ),
            (url(), Some("redis://cache:6379/0"), None),
            (
                url(),
                Some("redis://cash:6379"),
                Some("fatal: invalid setting X=\"redis://cash:6379\": lookup cash: no such host"),
            ),
            (url(), Some("cache"), Some("fatal: invalid setting X=\"cache\": is not a URL")),
        ];
        for (setting, value, expected) in cases {
            let env = value.map(|value| ("X".to_string(), value.to_string())).into_iter().collect();
            assert_eq!(
                setting.env_error(&env, &|service: &str| service == "cache").as_deref(),
                expected,
                "{setting:?} {value:?}"
            );
        }
    }
}
