//! Parses the User-Agent of a request.

use cluster::Agent;

/// Parses `chiron/<version> (run=…; step=…; key=…; epoch=…)`, as [`Agent`] formats it. Other clients have the default agent.
pub(super) fn agent(header: Option<&str>) -> Agent {
    let mut agent = Agent::default();
    let Some(comment) = header.filter(|header| header.starts_with("chiron/")) else { return agent };
    let Some((_, comment)) = comment.split_once('(') else { return agent };
    for pair in comment.trim_end_matches(')').split(';') {
        let Some((name, value)) = pair.trim().split_once('=') else { continue };
        match name {
            "run" => agent.run = value.into(),
            "step" => agent.step = value.into(),
            "key" => agent.effect_key = value.into(),
            "epoch" => agent.epoch = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    agent
}

/// Returns the default field manager of a request: the first word of its User-Agent.
pub(super) fn manager(header: Option<&str>) -> String {
    let word = header.unwrap_or_default().split('/').next().unwrap_or_default();
    let printable: String = word.chars().filter(|c| !c.is_control()).take(128).collect();
    if printable.is_empty() { "unknown".into() } else { printable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_parses_its_own_format() {
        let written = Agent {
            run: "run_01J".into(),
            step: "restart".into(),
            effect_key: "sha256:ab".into(),
            epoch: 7,
        };
        assert_eq!(agent(Some(&written.to_string())), written);
        assert_eq!(agent(Some("kubectl/v1.36.3 (linux/amd64) kubernetes/abc")), Agent::default());
        assert_eq!(manager(Some("kubectl/v1.36.3 (linux/amd64)")), "kubectl");
    }
}
