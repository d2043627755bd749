//! `chiron lint`: validates manifests and prints the findings.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use workflow::validate::validate_manifest;
use workflow::{Catalogue, Diagnostic, Limits, Severity};

/// Exit code if a manifest has errors.
pub(crate) const EXIT_INVALID: u8 = 6;
/// Extensions of the files that are linted in folders.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// Maximum depth of nested folders.
const MAX_FOLDER_DEPTH: usize = 16;
/// Maximum number of characters printed of a source line.
const MAX_LINE_CHARS: usize = 100;

/// Output format of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LintFormat {
    /// Text: file, line and column, the source line, and a hint.
    #[default]
    Human,
    /// A JSON array.
    Json,
}

/// A finding with the name of its file.
#[derive(Serialize)]
struct Finding<'a> {
    file: &'a str,
    #[serde(flatten)]
    diagnostic: &'a Diagnostic,
}

/// Validates workflows, templates and guardrails in files, in folders, or on standard input (`-`).
///
/// Returns exit code 6 if a manifest has errors, else 0.
///
/// # Errors
/// If a path cannot be read, or the output cannot be written.
pub(crate) fn lint(paths: &[PathBuf], format: LintFormat) -> anyhow::Result<ExitCode> {
    let has_errors = lint_to(&mut std::io::stdout().lock(), paths, format, &actions::catalogue())?;
    Ok(if has_errors { ExitCode::from(EXIT_INVALID) } else { ExitCode::SUCCESS })
}

fn lint_to(
    out: &mut dyn Write,
    paths: &[PathBuf],
    format: LintFormat,
    catalogue: &Catalogue,
) -> anyhow::Result<bool> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, MAX_FOLDER_DEPTH, &mut files)?;
    }
    anyhow::ensure!(
        !files.is_empty(),
        "no manifest found: no file has the extension {}",
        EXTENSIONS.join(" or ")
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

/// Collects the files at `path`; those of a folder in the order of their names.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.as_os_str() == "-" || !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = || format!("cannot read the folder {}", path.display());
    anyhow::ensure!(
        depth > 0,
        "the folder {} is nested too deep; pass it as an argument",
        path.display()
    );
    let entries = std::fs::read_dir(path).with_context(unreadable)?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(unreadable)?;
    entries.sort();
    for entry in entries {
        // A symbolic link to a folder could form a cycle.
        let is_folder = entry.is_dir() && !entry.is_symlink();
        let is_manifest = entry.extension().is_some_and(|ending| {
            EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known))
        });
        if is_folder || (is_manifest && entry.is_file()) {
            collect(&entry, depth - 1, files)?;
        }
    }
    Ok(())
}

/// Reads a file, up to one byte more than `limit`, which is enough to detect that it is too long.
fn read(file: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let max_bytes = limit as u64 + 1;
    let result = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(max_bytes).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(max_bytes).read_to_end(&mut bytes))
    };
    result.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(bytes)
}

/// Writes a finding as text: file, line and column, the source line, and a hint.
///
/// # Errors
/// If the output cannot be written.
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

/// Returns the part of a line around a column, the indentation of that column in it, and the length of the token there.
fn source_line(bytes: &[u8], line: usize, column: usize) -> Option<(String, usize, usize)> {
    let bytes = bytes.split(|byte| *byte == b'\n').nth(line.checked_sub(1)?)?;
    let text = String::from_utf8_lossy(bytes);
    let at = column.checked_sub(1)?;
    // Control characters are replaced by spaces; a long line is truncated around the column.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let from = if at > MAX_LINE_CHARS * 3 / 4 { at - MAX_LINE_CHARS / 2 } else { 0 };
    let shown: Vec<char> = text.chars().skip(from).take(MAX_LINE_CHARS).map(plain).collect();
    let mut line: String = shown.iter().collect::<String>().trim_end().into();
    let mut indent = at - from;
    if from > 0 {
        line.insert(0, '…');
        indent += 1;
    }
    if text.chars().nth(from + MAX_LINE_CHARS).is_some() {
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
        let has_errors = lint_to(&mut out, &[path], format, &actions::catalogue()).unwrap();
        (String::from_utf8(out).unwrap(), has_errors)
    }

    #[test]
    fn finding_shows_position_source_line_and_hint() {
        let file = folder("broken/20-unknown-field.yaml");
        let (text, has_errors) = linted(file.clone(), LintFormat::Human);
        let expected = format!(
            "{}:12:7: error[CHI0123] unknown field `timeuot`\n   |\n12 |       timeuot: 30s\n   |       ^^^^^^^\n   = hint: did you mean `timeout`?\n\n1 file, 1 error, 0 warnings\n",
            file.display()
        );
        assert_eq!(text, expected);
        assert!(has_errors);
    }

    #[test]
    fn broken_manifests_give_the_expected_codes_as_json() {
        let (text, has_errors) = linted(folder("broken"), LintFormat::Json);
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
        assert!(has_errors);
    }

    #[test]
    fn built_in_templates_have_no_findings() {
        let (text, has_errors) = linted(folder("templates"), LintFormat::Human);
        assert!(!has_errors && text.ends_with(" 0 errors, 0 warnings\n"), "{text}");
    }

    #[test]
    fn long_lines_are_truncated_around_the_column() {
        let line = format!("{}here{}\u{7}", "x".repeat(500), "y".repeat(500));
        let (shown, indent, length) = source_line(line.as_bytes(), 1, 501).unwrap();
        assert_eq!(shown.chars().skip(indent).take(4).collect::<String>(), "here");
        assert!(
            shown.chars().count() <= MAX_LINE_CHARS + 2
                && length > 4
                && indent + length <= MAX_LINE_CHARS + 2
        );
        let (shown, indent, _) = source_line(b"a: \"\xff\x1b\"", 1, 5).unwrap();
        assert_eq!((shown.as_str(), indent), ("a: \"\u{fffd} \"", 4));
        assert_eq!(source_line(b"", 0, 0), None);
    }
}
