//! Escapes control, bidirectional and zero-width characters in text from alerts, clusters and operators, so that it
//! cannot control the terminal or hide its content.

use workflow::text::is_hidden;

/// Escapes unsafe characters, including line breaks.
pub(crate) fn sanitize_line(text: &str) -> String {
    escaped(text, is_hidden)
}

/// Escapes unsafe characters, except line breaks.
pub(crate) fn sanitize_lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && is_hidden(c))
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bad-input row A13: control, bidirectional and zero-width characters are escaped.
    #[test]
    fn unsafe_characters_are_escaped_and_others_unchanged() {
        assert_eq!(sanitize_line("\u{1b}[2Jgone\u{9b}31m"), r"\u{1b}[2Jgone\u{9b}31m");
        assert_eq!(sanitize_line("ok\nstatus  approved"), r"ok\u{a}status  approved");
        assert_eq!(sanitize_line("a\u{202e}txt.exe\u{200b}"), r"a\u{202e}txt.exe\u{200b}");
        assert_eq!(sanitize_lines("one\ntwo\r"), "one\ntwo\\u{d}");
        let plain = "Größe 漢字 \u{1f525} %-_/\\";
        assert_eq!((sanitize_line(plain), sanitize_lines(plain)), (plain.into(), plain.into()));
    }
}
