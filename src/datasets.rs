//! What the binary carries with it: worlds, scenarios, templates, sample history.

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

/// The world of this name.
///
/// # Errors
/// If there is no such world.
pub(crate) fn world(name: &str) -> Result<WorldFile> {
    let text = find(WORLDS, name)
        .with_context(|| format!("there is no world `{name}`; there is: {}", names(WORLDS)))?;
    let file = WorldFile::parse(text).with_context(|| format!("world `{name}`"))?;
    match file.spec.base.clone() {
        None => Ok(file),
        Some(base) => file.on(&world(&base)?).with_context(|| format!("world `{name}`")),
    }
}

/// The scenario of the starter suite that this name (its family) stands for.
///
/// # Errors
/// If there is no such scenario.
pub(crate) fn scenario(name: &str) -> Result<ScenarioFile> {
    let text = find(STARTER, name)
        .with_context(|| format!("there is no family `{name}`; there are: {}", names(STARTER)))?;
    ScenarioFile::parse(text).with_context(|| format!("scenario `{name}`"))
}

/// The fault families of the starter suite.
pub(crate) fn families() -> Vec<&'static str> {
    STARTER.iter().map(|(name, _)| *name).collect()
}

/// Every scenario of the starter suite.
///
/// # Errors
/// Never, as long as the embedded files are whole.
pub(crate) fn starter() -> Result<Vec<ScenarioFile>> {
    STARTER.iter().map(|(name, _)| scenario(name)).collect()
}

/// The built-in templates.
///
/// # Errors
/// Never, as long as the embedded files are whole.
pub(crate) fn templates(catalogue: &Catalogue) -> Result<Vec<Template>> {
    let read = |(name, text): &(&str, &str)| {
        let parsed = workflow::validate::validate_template(text, catalogue, &Limits::default());
        parsed
            .value
            .with_context(|| format!("template `{name}` is not valid: {:?}", parsed.diagnostics))
    };
    TEMPLATES.iter().map(read).collect()
}

/// The templates in a folder: each file of it that is called `.yaml` or `.yml`, in the order of their names.
///
/// # Errors
/// Where the folder or a file cannot be read, or a file holds no valid template: with all that is wrong with it.
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
            format!("{path} is no valid template: `chiron workflow lint {path}` says why")
        })
    };
    paths.iter().map(template).collect()
}

/// Guardrails out of a file of the operator.
///
/// # Errors
/// Where it cannot be read or is not valid.
pub(crate) fn guardrails(file: &Path) -> Result<Guardrails> {
    let path = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {path}"))?;
    let parsed = workflow::validate::validate_guardrails(&text, &Limits::default());
    parsed.value.with_context(|| {
        format!("{path} holds no valid guardrails: `chiron workflow lint {path}` says why")
    })
}

/// Executions made with the simulator, brought in as history that says so.
///
/// # Errors
/// Never, as long as the embedded file is whole.
pub(crate) fn history() -> Result<Vec<PastExecution>> {
    let read = |(i, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("line {} of the sample history", i + 1))
    };
    STARTER_HISTORY.lines().enumerate().map(read).collect()
}

/// Name of the sample history, as the record says it.
pub(crate) const HISTORY: &str = "simulator/starter.jsonl";

fn find(files: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    files.iter().find(|(other, _)| *other == name).map(|(_, text)| *text)
}

fn names(files: &[(&str, &str)]) -> String {
    files.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
