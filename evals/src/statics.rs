use workflow::fact::{FactPattern, ValuePattern};
use workflow::{Predicate, Template};

/// Templates as a runbook would hold them: chosen by the name of the alert alone.
///
/// The facts by which a template judges whether to be used go; those that only fill a hole (a revision, a container)
/// stay, for without them there is nothing to run.
pub fn by_alert_name(templates: &[Template]) -> Vec<Template> {
    const BOOK: [(&str, &[&str]); 4] = [
        (
            "undo-rollout",
            &[
                "KubeDeploymentRolloutStuck",
                "KubeContainerWaiting",
                "KubeDeploymentReplicasMismatch",
            ],
        ),
        ("restart-workload", &["KubePodNotReady", "KubePodCrashLooping", "HighRequestErrorRate"]),
        ("double-memory", &["ContainerMemoryHigh", "KubePodOOMKilled"]),
        ("scale-up", &["NoRequestsReceived"]),
    ];
    let firing = |alerts: &[&str]| FactPattern {
        subject: "$target".into(),
        kind: None,
        predicate: Predicate::Firing,
        key: None,
        value: Some(ValuePattern::In {
            r#in: alerts.iter().map(|alert| (*alert).into()).collect(),
        }),
    };
    let mut chosen = Vec::new();
    for (name, alerts) in BOOK {
        if let Some(template) = templates.iter().find(|template| template.metadata.name == name) {
            let mut template = template.clone();
            // The alert's name takes the place of every fact that tells when to use it; what fills a hole stays.
            template.spec.matches.retain(fills_a_hole);
            template.spec.matches.insert(0, firing(alerts));
            chosen.push(template);
        }
    }
    chosen
}

/// Whether a pattern is there to find a value and not to judge.
fn fills_a_hole(pattern: &FactPattern) -> bool {
    let is_hole = |word: &str| word.starts_with('$');
    pattern.key.as_deref().is_some_and(is_hole)
        || matches!(&pattern.value, Some(ValuePattern::Is(serde_json::Value::String(word))) if is_hole(word))
        || pattern.subject != "$target"
}
