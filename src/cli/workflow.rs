//! `chiron workflow lint`: what the validator says of files, for people and for machines.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use workflow::validate::validate_manifest;
use workflow::{Catalogue, Diagnostic, Limits, Severity};

/// What the process ends with when a document is refused.
pub(crate) const REFUSED: u8 = 6;
/// Endings of the files that are looked for in folders.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Deepest folder that is looked into.
const FOLDERS: usize = 16;
/// Most characters of a source line that are shown.
const WIDTH: usize = 100;

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LintFormat {
    /// For people: file, line and column, the line itself, and a hint.
    #[default]
    Human,
    /// For machines: one JSON list.
    Json,
}

/// One finding with the file that it is about.
#[derive(Serialize)]
struct Finding<'a> {
    file: &'a str,
    #[serde(flatten)]
    diagnostic: &'a Diagnostic,
}

/// Validates workflows, templates and guardrails: files, folders of them, or standard input as `-`.
///
/// Ends with 6 if any is refused; warnings alone end with 0.
///
/// # Errors
/// If a path cannot be read, or the output cannot be written.
pub(crate) fn lint(paths: &[PathBuf], format: LintFormat) -> anyhow::Result<ExitCode> {
    let is_refused = lint_to(&mut std::io::stdout().lock(), paths, format, &actions::catalogue())?;
    Ok(if is_refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn lint_to(
    out: &mut dyn Write,
    paths: &[PathBuf],
    format: LintFormat,
    catalogue: &Catalogue,
) -> anyhow::Result<bool> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, FOLDERS, &mut files)?;
    }
    anyhow::ensure!(
        !files.is_empty(),
        "there is no manifest to check: no file there ends in {}",
        ENDINGS.join(" or ")
    );
    let limits = Limits::default();
    let (mut errors, mut warnings, mut is_first) = (0, 0, true);
    if format == LintFormat::Json {
        write!(out, "[")?;
    }
    for file in &files {
        let bytes = read(file, limits.document_bytes)?;
        let name = file.display().to_string();
        for diagnostic in &validate_manifest(&bytes, catalogue, &limits).diagnostics {
            match diagnostic.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            match format {
                LintFormat::Human => write_human(out, &name, diagnostic, &bytes)?,
                LintFormat::Json => {
                    write!(out, "{}", if is_first { "\n  " } else { ",\n  " })?;
                    serde_json::to_writer(&mut *out, &Finding { file: &name, diagnostic })?;
                }
            }
            is_first = false;
        }
    }
    match format {
        LintFormat::Human => {
            let plural = |count: usize| if count == 1 { "" } else { "s" };
            writeln!(
                out,
                "{} file{}, {errors} error{}, {warnings} warning{}",
                files.len(),
                plural(files.len()),
                plural(errors),
                plural(warnings)
            )?;
        }
        LintFormat::Json => writeln!(out, "{}]", if is_first { "" } else { "\n" })?,
    }
    Ok(errors > 0)
}

/// The files that `path` names, those of a folder in the order of their names.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.as_os_str() == "-" || !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = || format!("cannot look into the folder {}", path.display());
    anyhow::ensure!(
        depth > 0,
        "the folder {} lies too deep; name it on the command line",
        path.display()
    );
    let entries = std::fs::read_dir(path).with_context(unreadable)?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(unreadable)?;
    entries.sort();
    for entry in entries {
        // A link to a folder could lead back here.
        let is_folder = entry.is_dir() && !entry.is_symlink();
        let is_manifest = entry
            .extension()
            .is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)));
        if is_folder || (is_manifest && entry.is_file()) {
            collect(&entry, depth - 1, files)?;
        }
    }
    Ok(())
}

/// The bytes of a file, and no more of them than show that it is too long.
fn read(file: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = limit as u64 + 1;
    let result = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    result.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(bytes)
}

/// Writes a finding for people: file, line and column, the line itself, and a hint.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write_human(
    out: &mut dyn Write,
    file: &str,
    diagnostic: &Diagnostic,
    bytes: &[u8],
) -> std::io::Result<()> {
    let Diagnostic { code, severity, message, line, column, hint, .. } = diagnostic;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    writeln!(out, "{file}:{line}:{column}: {severity}[{code}] {message}")?;
    let margin = line.to_string().len();
    if let Some((shown, indent, length)) = source_line(bytes, *line, *column) {
        writeln!(out, "{:margin$} |", "")?;
        writeln!(out, "{line} | {shown}")?;
        writeln!(out, "{:margin$} | {:indent$}{}", "", "", "^".repeat(length))?;
    }
    if !hint.is_empty() {
        writeln!(out, "{:margin$} = hint: {hint}", "")?;
    }
    writeln!(out)
}

/// The part of a line around a column, how far in the column stands, and how long the word there is.
fn source_line(bytes: &[u8], line: usize, column: usize) -> Option<(String, usize, usize)> {
    let bytes = bytes.split(|byte| *byte == b'\n').nth(line.checked_sub(1)?)?;
    let text = String::from_utf8_lossy(bytes);
    let at = column.checked_sub(1)?;
    // What a terminal would obey is shown as a space; a long line is cut around the column.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let from = if at > WIDTH * 3 / 4 { at - WIDTH / 2 } else { 0 };
    let shown: Vec<char> = text.chars().skip(from).take(WIDTH).map(plain).collect();
    let mut line: String = shown.iter().collect::<String>().trim_end().into();
    let mut indent = at - from;
    if from > 0 {
        line.insert(0, '…');
        indent += 1;
    }
    if text.chars().nth(from + WIDTH).is_some() {
        line.push('…');
    }
    let rest = shown.get(at - from..).unwrap_or_default();
    let is_end = |c: &char| c.is_whitespace() || ",:]}".contains(*c);
    let length = rest.iter().position(is_end).unwrap_or(rest.len()).max(1);
    Some((line, indent, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name)
    }

    fn linted(path: PathBuf, format: LintFormat) -> (String, bool) {
        let mut out = Vec::new();
        let is_refused = lint_to(&mut out, &[path], format, &actions::catalogue()).unwrap();
        (String::from_utf8(out).unwrap(), is_refused)
    }

    #[test]
    fn a_finding_shows_its_place_the_line_and_a_hint() {
        let file = folder("broken/20-unknown-field.yaml");
        let (text, is_refused) = linted(file.clone(), LintFormat::Human);
        let expected = format!(
            "{}:12:7: error[CHI0123] the field `timeuot` is not known here\n   |\n12 |       timeuot: 30s\n   |       ^^^^^^^\n   = hint: did you mean `timeout`?\n\n1 file, 1 error, 0 warnings\n",
            file.display()
        );
        assert_eq!(text, expected);
        assert!(is_refused);
    }

    #[test]
    fn a_folder_of_broken_manifests_gives_the_expected_codes_as_json() {
        let (text, is_refused) = linted(folder("broken"), LintFormat::Json);
        let found: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let found: Vec<String> = found
            .iter()
            .map(|found| {
                let file = Path::new(found["file"].as_str().unwrap()).file_name().unwrap();
                let word = |key: &str| found[key].as_str().unwrap().to_owned();
                let place = format!("{}\t{}", found["line"], found["column"]);
                format!("{}\t{}\t{}\t{place}", file.display(), word("code"), word("severity"))
            })
            .collect();
        let index = std::fs::read_to_string(folder("broken/index.tsv")).unwrap();
        assert_eq!(found, index.lines().skip(1).collect::<Vec<_>>());
        assert!(is_refused);
    }

    #[test]
    fn the_templates_that_are_delivered_have_no_findings() {
        let (text, is_refused) = linted(folder("templates"), LintFormat::Human);
        assert!(!is_refused && text.ends_with(" 0 errors, 0 warnings\n"), "{text}");
    }

    #[test]
    fn long_and_damaged_lines_are_cut_around_the_place() {
        let line = format!("{}here{}\u{7}", "x".repeat(500), "y".repeat(500));
        let (shown, indent, length) = source_line(line.as_bytes(), 1, 501).unwrap();
        assert_eq!(shown.chars().skip(indent).take(4).collect::<String>(), "here");
        assert!(shown.chars().count() <= WIDTH + 2 && length > 4 && indent + length <= WIDTH + 2);
        let (shown, indent, _) = source_line(b"a: \"\xff\x1b\"", 1, 5).unwrap();
        assert_eq!((shown.as_str(), indent), ("a: \"\u{fffd} \"", 4));
        assert_eq!(source_line(b"", 0, 0), None);
    }
}
