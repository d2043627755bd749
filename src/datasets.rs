//! Data embedded in the binary: worlds, scenarios, templates and sample history.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use simulator::{ScenarioFile, WorldFile};
use workflow::{Catalogue, Guardrails, Limits, PastExecution, Template};

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../datasets/", $folder, "/", $name, ".yaml")))),+]
    };
}

const WORLDS: &[(&str, &str)] = files!("worlds": "chaos", "shop", "shop-busy");

const STARTER: &[(&str, &str)] = files!("scenarios/starter":
    "bad-image", "crash-after-bad-config", "missing-config-key", "wrong-service-selector", "wrong-target-port", "scaled-to-zero",
    "memory-limit-too-low", "wrong-readiness-probe", "nothing-wrong");

const TEMPLATES: &[(&str, &str)] = files!("templates":
    "double-memory", "restart-workload", "restore-image", "restore-missing-key", "restore-readiness-probe", "restore-service-selector",
    "restore-setting", "restore-target-port", "scale-up", "undo-bad-image", "undo-crashing-rollout", "undo-rollout");

const STARTER_HISTORY: &str = include_str!("../datasets/history/starter.jsonl");

/// Returns the world with this name.
///
/// # Errors
/// If the world does not exist.
pub(crate) fn world(name: &str) -> Result<WorldFile> {
    let text = find(WORLDS, name).with_context(|| {
        format!("the world `{name}` does not exist; use one of: {}", names(WORLDS))
    })?;
    let file = WorldFile::parse(text).with_context(|| format!("world `{name}`"))?;
    match file.spec.base.clone() {
        None => Ok(file),
        Some(base) => file.extend(&world(&base)?).with_context(|| format!("world `{name}`")),
    }
}

/// Returns the scenario of the starter suite for this fault family.
///
/// # Errors
/// If the family does not exist.
pub(crate) fn scenario(name: &str) -> Result<ScenarioFile> {
    let text = find(STARTER, name).with_context(|| {
        format!("the fault family `{name}` does not exist; use one of: {}", names(STARTER))
    })?;
    ScenarioFile::parse(text).with_context(|| format!("scenario `{name}`"))
}

/// Returns the fault families of the starter suite.
pub(crate) fn families() -> Vec<&'static str> {
    STARTER.iter().map(|(name, _)| *name).collect()
}

/// Returns all scenarios of the starter suite.
///
/// # Errors
/// If an embedded file is invalid.
pub(crate) fn starter() -> Result<Vec<ScenarioFile>> {
    STARTER.iter().map(|(name, _)| scenario(name)).collect()
}

/// Returns the built-in templates.
///
/// # Errors
/// If an embedded file is invalid.
pub(crate) fn templates(catalogue: &Catalogue) -> Result<Vec<Template>> {
    let read = |(name, text): &(&str, &str)| {
        let parsed = workflow::validate::validate_template(text, catalogue, &Limits::default());
        parsed
            .value
            .with_context(|| format!("template `{name}` is not valid: {:?}", parsed.diagnostics))
    };
    TEMPLATES.iter().map(read).collect()
}

/// Reads the templates in a folder: all `.yaml` and `.yml` files, in the order of their names.
///
/// # Errors
/// If the folder or a file cannot be read, or a file is not a valid template.
pub(crate) fn templates_in(folder: &Path, catalogue: &Catalogue) -> Result<Vec<Template>> {
    let read = || {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
        Ok::<_, std::io::Error>(paths)
    };
    let mut paths =
        read().with_context(|| format!("cannot read the templates in {}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml"));
    paths.sort();
    let template = |path: &PathBuf| {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = workflow::validate::validate_template(&text, catalogue, &Limits::default());
        parsed.value.with_context(|| {
            let path = path.display();
            format!("{path} is not a valid template; run `chiron lint {path}` for details")
        })
    };
    paths.iter().map(template).collect()
}

/// Reads guardrails from a file.
///
/// # Errors
/// If the file cannot be read or is not valid.
pub(crate) fn guardrails(file: &Path) -> Result<Guardrails> {
    let path = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {path}"))?;
    let parsed = workflow::validate::validate_guardrails(&text, &Limits::default());
    parsed.value.with_context(|| {
        format!("{path} does not contain valid guardrails; run `chiron lint {path}` for details")
    })
}

/// Returns the sample history: executions generated with the simulator.
///
/// # Errors
/// If the embedded file is invalid.
pub(crate) fn history() -> Result<Vec<PastExecution>> {
    let read = |(i, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("line {} of the sample history", i + 1))
    };
    STARTER_HISTORY.lines().enumerate().map(read).collect()
}

/// Name of the sample history in the record.
pub(crate) const HISTORY: &str = "simulator/starter.jsonl";

fn find(files: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    files.iter().find(|(other, _)| *other == name).map(|(_, text)| *text)
}

fn names(files: &[(&str, &str)]) -> String {
    files.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
