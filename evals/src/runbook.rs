use workflow::fact::{FactPattern, ValuePattern};
use workflow::{Predicate, Template};

/// Returns the templates as a static runbook would use them: selected by the name of the alert only.
///
/// Fact patterns that decide whether a template applies are removed. Patterns that only fill a placeholder (a revision, a
/// container) are kept, because the steps need their values.
pub fn runbook_templates(templates: &[Template]) -> Vec<Template> {
    const RUNBOOK: [(&str, &[&str]); 4] = [
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
    for (name, alerts) in RUNBOOK {
        if let Some(template) = templates.iter().find(|template| template.metadata.name == name) {
            let mut template = template.clone();
            // The alert name replaces all patterns that decide whether the template applies.
            template.spec.matches.retain(fills_placeholder);
            template.spec.matches.insert(0, firing(alerts));
            chosen.push(template);
        }
    }
    chosen
}

/// Returns whether a pattern binds a placeholder.
fn fills_placeholder(pattern: &FactPattern) -> bool {
    let is_placeholder = |text: &str| text.starts_with('$');
    pattern.key.as_deref().is_some_and(is_placeholder)
        || matches!(&pattern.value, Some(ValuePattern::Is(serde_json::Value::String(text))) if is_placeholder(text))
        || pattern.subject != "$target"
}
