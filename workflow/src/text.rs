//! Untrusted text in messages: characters that hide something, length limits, and the causes of errors.

use std::error::Error;

/// Returns whether a character is a control character, has no width, or changes the direction of the text. Such characters can
/// hide or reorder what is shown, or control a terminal. Line breaks and tabs are control characters.
///
/// # Source
/// Unicode Technical Standard 55, *Unicode Source Code Handling*, and the default-ignorable code points of UAX 44.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns `text` with at most `max_chars` characters; an ellipsis is the last of them if the text was longer.
pub fn truncate(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.into();
    }
    let mut cut: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Returns the message of an error and the messages of its causes, joined by `: `. A cause whose message is the end of the text
/// so far is left out, because some errors include the message of their cause.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncate_counts_characters() {
        assert_eq!(truncate("äöü", 3), "äöü");
        assert_eq!(truncate("äöüß", 3), "äö…");
        assert_eq!(truncate("ab", 1), "…");
    }

    #[test]
    fn hidden_characters_are_those_that_a_reader_cannot_see() {
        for hidden in [
            '\u{0}',
            '\u{1b}',
            '\u{7f}',
            '\u{ad}',
            '\u{200b}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
        for visible in ['a', ' ', 'é', '\u{301}', '—', '🦀', '\u{fffd}'] {
            assert!(!is_hidden(visible), "{visible:?}");
        }
    }

    #[test]
    fn error_chain_leaves_out_a_repeated_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("{message}")]
        struct Layer {
            message: &'static str,
            source: Option<Box<Layer>>,
        }
        let cause =
            |message, source: Option<Layer>| Layer { message, source: source.map(Box::new) };
        let refused = cause("connection refused", None);
        let error = cause("cannot connect", Some(cause("tcp: connection refused", Some(refused))));
        assert_eq!(error_chain(&error), "cannot connect: tcp: connection refused");
    }
}
