//! Text of alerts, clusters and people as a terminal may be given it: nothing of it steers the terminal, or hides what it
//! is (bad-inputs A13).

/// Text that stands on one line: what a terminal would obey, and what is written without being seen, is escaped.
pub(crate) fn line(text: &str) -> String {
    escaped(text, steers)
}

/// Text of several lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && steers(c))
}

/// Whether a character is a control, changes the direction of others, or has no width.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn escaped(text: &str, steers: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
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

    #[test]
    fn a13_what_steers_a_terminal_or_hides_text_is_escaped_and_all_else_is_as_it_was() {
        assert_eq!(line("\u{1b}[2Jgone\u{9b}31m"), r"\u{1b}[2Jgone\u{9b}31m");
        assert_eq!(line("ok\nstatus  approved"), r"ok\u{a}status  approved");
        assert_eq!(line("a\u{202e}txt.exe\u{200b}"), r"a\u{202e}txt.exe\u{200b}");
        assert_eq!(lines("one\ntwo\r"), "one\ntwo\\u{d}");
        let plain = "Größe 漢字 \u{1f525} %-_/\\";
        assert_eq!((line(plain), lines(plain)), (plain.into(), plain.into()));
    }
}
