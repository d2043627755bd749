use cluster::{Change, Difference};
use serde_json::Value;
use workflow::{Candidate, Evidence, Provenance, Source};

/// Why a candidate is proposed, in sentences that name the evidence: what is wrong, what changed, where the idea comes
/// from, and what it does.
pub fn explain(candidate: &Candidate, evidence: &Evidence) -> Vec<String> {
    let mut sentences = Vec::new();
    match &evidence.target {
        Some(target) => {
            let health = evidence
                .health_of(target)
                .map_or_else(|| "of unknown health".to_string(), ToString::to_string);
            sentences
                .push(format!("{} fires for {target}, which is {health}.", plain(&evidence.alert)));
        }
        None => sentences.push(format!(
            "{} fires, and no object was found that it is about.",
            plain(&evidence.alert)
        )),
    }
    sentences.push(match &candidate.source {
        Source::Retrieval { execution, similarity, rank, origin } => format!(
            "Execution {execution}{} was like this one ({:.0} %, rank {rank}) and was resolved this way.",
            elsewhere(origin),
            similarity * 100.0
        ),
        Source::Template { name, .. } => format!("The template `{name}` is made for these facts."),
        Source::Reversal { differences } => {
            let what = if differences.len() == 1 { "one change".to_string() } else { format!("{} changes", differences.len()) };
            format!("It turns back {what} made since the workload was last healthy.")
        }
        Source::Model { name } => format!("The model {} proposed it.", plain(name)),
        Source::Demonstration { corrected } => format!("A person gave it as the correction of plan {corrected}."),
        Source::DoNothing => "It waits and watches.".into(),
        Source::Escalate => "It asks a person.".into(),
    });
    sentences.extend(candidate.because.iter().map(|because| plain(because)));
    for step in &candidate.workflow.spec.steps {
        sentences.push(format!("Step `{}`: {}.", step.id, told(&step.action, &step.arguments)));
    }
    sentences
}

/// One difference as a sentence.
pub(crate) fn changed(difference: &Difference) -> String {
    let object = &difference.object;
    match &difference.change {
        Change::Created => format!("{object} is new since it was last healthy"),
        Change::Deleted => format!("{object} is gone since it was last healthy"),
        Change::Field { path, before, after, .. } => {
            format!(
                "`{}` of {object} went from {} to {} since it was last healthy",
                plain(path),
                shown(before.as_ref()),
                shown(after.as_ref())
            )
        }
    }
}

/// Where an execution was made, said behind its id where it was not made here.
pub(crate) fn elsewhere(origin: &Provenance) -> String {
    match origin {
        Provenance::Live => String::new(),
        Provenance::Import(name) => format!(" (not made here: imported from `{}`)", plain(name)),
        Provenance::Feedback(who) => format!(" (as {} said it should be)", plain(who)),
    }
}

fn told(action: &str, arguments: &workflow::Args) -> String {
    let target =
        arguments.get("target").and_then(Value::as_object).map_or_else(String::new, |target| {
            let text = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or_default();
            format!(" {} {}/{}", text("kind"), text("namespace"), text("name"))
        });
    let others: Vec<String> = arguments
        .iter()
        .filter(|(name, _)| *name != "target")
        .map(|(name, value)| format!("{name} = {}", shown(Some(value))))
        .collect();
    let others =
        if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    format!("{action}{}{}", plain(&target), others)
}

/// A value for people, cut short.
fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".into() };
    let text = plain(&value.to_string());
    if text.chars().count() <= 80 {
        format!("`{text}`")
    } else {
        format!("`{}…`", text.chars().take(79).collect::<String>())
    }
}

/// Text out of an alert or a cluster without what could act on a terminal, a page or a reader: controls, marks of
/// direction, invisible letters; at most 256 characters.
pub(crate) fn plain(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if is_hidden(c) { '·' } else { c }).take(256).collect()
}
