use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::duration::Span;

/// What the program in an image does once it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// What it listens on, once it has started up.
    #[serde(default)]
    pub listens: Vec<Listener>,
    /// From the start of the container until it listens.
    #[serde(default = "Behaviour::default_startup")]
    pub startup: Span,
    /// Working set once it listens, in MiB.
    #[serde(default = "Behaviour::default_memory")]
    #[serde(rename = "memoryMiB")]
    pub memory_mib: f64,
    /// What the working set grows by, in MiB an hour.
    #[serde(default)]
    #[serde(rename = "growthMiBPerHour")]
    pub growth_mib_per_hour: f64,
    /// The environment that it insists on.
    #[serde(default)]
    pub config: Vec<Setting>,
    /// The Services that it calls while it serves.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// The lines that it writes when it has started up.
    #[serde(default)]
    pub logs: Vec<String>,
}

impl Behaviour {
    fn default_startup() -> Span {
        Span::from_secs(3)
    }

    fn default_memory() -> f64 {
        32.0
    }

    /// Whether it listens on `port`.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        self.listens.iter().any(|listener| listener.port == port)
    }

    /// Whether it answers an HTTP GET of `path` on `port` with a good status.
    pub(crate) fn serves(&self, port: u16, path: &str) -> bool {
        self.listens.iter().any(|listener| {
            listener.port == port && listener.paths.iter().any(|served| served == path)
        })
    }

    /// What it says before it exits because of `env`, if it cannot run with it.
    pub(crate) fn objection(
        &self,
        env: &BTreeMap<String, String>,
        is_service: impl Fn(&str) -> bool,
    ) -> Option<String> {
        self.config.iter().find_map(|setting| setting.objection(env, &is_service))
    }
}

/// One port, and the paths that are served there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// Paths that are answered well; every other one is not found.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// One environment variable that a program insists on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// Its name.
    pub env: String,
    /// What its value must be.
    pub must_be: Shape,
}

/// What a value must be for a program to accept it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Shape {
    /// Any text but the empty one.
    Text {},
    /// A whole number within these bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// One of these words.
    OneOf(Vec<String>),
    /// `scheme://host[:port][/…]` with one of these schemes, the host being a Service of the namespace.
    Url {
        /// The schemes.
        schemes: Vec<String>,
    },
}

impl Setting {
    fn objection(
        &self,
        env: &BTreeMap<String, String>,
        is_service: &impl Fn(&str) -> bool,
    ) -> Option<String> {
        let name = &self.env;
        let Some(value) = env.get(name) else {
            return Some(format!("fatal: required setting {name} is not set"));
        };
        let complaint = match &self.must_be {
            Shape::Text {} => value.is_empty().then(|| "must not be empty".to_string()),
            Shape::Integer { min, max } => match value.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => None,
                Ok(_) => Some(format!("must be between {min} and {max}")),
                Err(_) => Some("is not an integer".into()),
            },
            Shape::OneOf(words) => {
                (!words.contains(value)).then(|| format!("must be one of {}", words.join(", ")))
            }
            Shape::Url { schemes } => url_complaint(value, schemes, is_service),
        };
        complaint.map(|complaint| format!("fatal: invalid setting {name}={value:?}: {complaint}"))
    }
}

fn url_complaint(
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

/// Requests from a program to a Service of its namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// The Service.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// Requests a minute of the workload as a whole, while one of its pods is ready.
    pub requests_per_minute: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_is_wrong_with_its_settings() {
        let setting = |must_be| Setting { env: "X".into(), must_be };
        let url = || setting(Shape::Url { schemes: vec!["redis".into()] });
        let cases = [
            (setting(Shape::Text {}), None, Some("fatal: required setting X is not set")),
            (setting(Shape::Text {}), Some("a"), None),
            (setting(Shape::Integer { min: 1, max: 9 }), Some("9"), None),
            (
                setting(Shape::Integer { min: 1, max: 9 }),
                Some("10"),
                Some("fatal: invalid setting X=\"10\": must be between 1 and 9"),
            ),
            (
                setting(Shape::Integer { min: 1, max: 9 }),
                Some("many"),
                Some("fatal: invalid setting X=\"many\": is not an integer"),
            ),
            (
                setting(Shape::OneOf(vec!["info".into()])),
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
                setting.objection(&env, &|service: &str| service == "cache").as_deref(),
                expected,
                "{setting:?} {value:?}"
            );
        }
    }
}
