//! What names may be: they end in files, URLs, logs and shells, so that nothing but letters, digits and dashes passes.

use std::collections::BTreeMap;

use super::code::Code;
use super::finding::{Finding, Path, shown};

/// Longest name: that of a DNS label.
const LONGEST: usize = 63;
/// Names that are devices on Windows, whatever their ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The finding about a name of a manifest or a step that is none.
pub(super) fn check(name: &str, path: &Path) -> Option<Finding> {
    let bad = |what: &str| {
        let hint = match looks_like(name) {
            Some(plain) => format!("did you mean `{plain}`, in ASCII letters?"),
            None => format!(
                "use lower-case letters, digits and dashes, at most {LONGEST}, a letter or digit at both ends"
            ),
        };
        Some(Finding::error(
            Code::BadName,
            path.clone(),
            format!("the name `{}` {what}", shown(name, 64)),
            hint,
        ))
    };
    if name.is_empty() {
        return bad("is empty");
    }
    if name.contains(['/', '\\']) || name.contains("..") {
        return bad("is a path");
    }
    if let Some(c) =
        name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        return bad(&format!(
            "holds {}",
            c.escape_unicode().to_string().replace("\\u{", "U+").replace('}', "").to_uppercase()
        ));
    }
    if name.len() > LONGEST {
        return bad(&format!("has {} characters", name.len()));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return bad("begins or ends with a dash");
    }
    let is_port = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    if DEVICES.contains(&name) || is_port("com") || is_port("lpt") {
        return bad("is a device on some systems");
    }
    None
}

/// The finding about a name that expressions use and that is no identifier.
pub(super) fn check_identifier(name: &str, path: &Path) -> Option<Finding> {
    let is_good = name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_good {
        return None;
    }
    let hint = format!("use letters, digits and `_`, at most {LONGEST}, a letter first");
    Some(Finding::error(
        Code::BadName,
        path.clone(),
        format!("the name `{}` cannot be used in expressions", shown(name, 64)),
        hint,
    ))
}

/// The findings about names that are taken twice, and about those that look like one another.
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
                format!("the {what} `{}` is taken twice; first at {first}", shown(name, 64));
            findings.push(Finding::error(
                Code::DuplicateName,
                path,
                message,
                "give each a name of its own",
            ));
            continue;
        }
        seen.insert(name, path.clone());
        if name.len() <= LONGEST {
            match skeletons.get(&skeleton(name)) {
                Some(other) => {
                    let message = format!("the {what} `{name}` looks like `{other}`");
                    findings.push(Finding::warning(
                        Code::Confusable,
                        path,
                        message,
                        "choose names that nobody can mix up",
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

/// What a name looks like (Unicode TR 39): names with equal skeletons can be mixed up.
fn skeleton(name: &str) -> String {
    unicode_security::confusable_detection::skeleton(name).collect()
}

/// The ASCII text that a text with other letters imitates.
fn looks_like(name: &str) -> Option<String> {
    if name.is_ascii() || name.len() > 4 * LONGEST {
        return None;
    }
    let plain = skeleton(name);
    plain.is_ascii().then_some(plain)
}
