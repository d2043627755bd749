//! Rules for names. Names are used in files, URLs, logs and shells, so only letters, digits and dashes are allowed.

use std::collections::BTreeMap;

use super::code::Code;
use super::finding::{Finding, Path, truncated};

/// Maximum length of a name: that of a DNS label.
const MAX_LENGTH: usize = 63;
/// Device names on Windows, with any extension.
const WINDOWS_DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks the name of a manifest or a step.
pub(super) fn check(name: &str, path: &Path) -> Option<Finding> {
    let invalid = |what: &str| {
        let hint = match looks_like(name) {
            Some(plain) => format!("did you mean `{plain}`, in ASCII letters?"),
            None => format!(
                "use lower-case letters, digits and dashes, at most {MAX_LENGTH} characters, starting and ending with a letter or digit"
            ),
        };
        Some(Finding::error(
            Code::InvalidName,
            path.clone(),
            format!("the name `{}` {what}", truncated(name, 64)),
            hint,
        ))
    };
    if name.is_empty() {
        return invalid("is empty");
    }
    if name.contains(['/', '\\']) || name.contains("..") {
        return invalid("is a path");
    }
    if let Some(c) =
        name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        return invalid(&format!(
            "contains {}",
            c.escape_unicode().to_string().replace("\\u{", "U+").replace('}', "").to_uppercase()
        ));
    }
    if name.len() > MAX_LENGTH {
        return invalid(&format!("has {} characters", name.len()));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return invalid("starts or ends with a dash");
    }
    let is_port = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    if WINDOWS_DEVICES.contains(&name) || is_port("com") || is_port("lpt") {
        return invalid("is a device name on Windows");
    }
    None
}

/// Checks that a name is an identifier that expressions can use.
pub(super) fn check_identifier(name: &str, path: &Path) -> Option<Finding> {
    let is_identifier = name.len() <= MAX_LENGTH
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_identifier {
        return None;
    }
    let hint = format!(
        "use letters, digits and `_`, at most {MAX_LENGTH} characters, starting with a letter"
    );
    Some(Finding::error(
        Code::InvalidName,
        path.clone(),
        format!("the name `{}` cannot be used in expressions", truncated(name, 64)),
        hint,
    ))
}

/// Checks that names are unique and cannot be confused with one another.
pub(super) fn check_unique<'a>(
    what: &str,
    names: impl Iterator<Item = (&'a str, Path)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<&str, Path> = BTreeMap::new();
    let mut skeletons: BTreeMap<String, &str> = BTreeMap::new();
    for (name, path) in names {
        if let Some(first) = seen.get(name) {
            let message =
                format!("duplicate {what} `{}`; first used at {first}", truncated(name, 64));
            findings.push(Finding::error(Code::DuplicateName, path, message, "use a unique name"));
            continue;
        }
        seen.insert(name, path.clone());
        if name.len() <= MAX_LENGTH {
            match skeletons.get(&skeleton(name)) {
                Some(other) => {
                    let message = format!("the {what} `{name}` looks like `{other}`");
                    findings.push(Finding::warning(
                        Code::Confusable,
                        path,
                        message,
                        "choose names that cannot be confused",
                    ));
                }
                None => {
                    skeletons.insert(skeleton(name), name);
                }
            }
        }
    }
    findings
}

/// Returns the Unicode TR 39 skeleton of a name: names with equal skeletons are confusable.
fn skeleton(name: &str) -> String {
    unicode_security::confusable_detection::skeleton(name).collect()
}

/// Returns the ASCII string that a non-ASCII string looks like.
fn looks_like(name: &str) -> Option<String> {
    if name.is_ascii() || name.len() > 4 * MAX_LENGTH {
        return None;
    }
    let plain = skeleton(name);
    plain.is_ascii().then_some(plain)
}
