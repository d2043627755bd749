use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The path and query of a request, with all parts percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestPath {
    text: String,
    has_query: bool,
}

impl RequestPath {
    /// Creates a path from a constant.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), has_query: false }
    }

    /// Appends a segment.
    pub(super) fn join(mut self, segment: &str) -> Self {
        self.text.push('/');
        self.text.extend(utf8_percent_encode(segment, ESCAPED));
        self
    }

    /// Appends a query parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, ESCAPED));
        self
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All characters except the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns whether a name is usable as a path segment. Other names could change the meaning of a path.
pub(super) fn is_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_percent_encodes_all_parts() {
        let path = RequestPath::new("/api/v1")
            .join("a b/c")
            .with("labelSelector", "a in (b,c)")
            .with("x", "é&");
        assert_eq!(
            path.to_string(),
            "/api/v1/a%20b%2Fc?labelSelector=a%20in%20%28b%2Cc%29&x=%C3%A9%26"
        );
    }

    #[test]
    fn is_segment_rejects_names_that_change_the_path() {
        for name in ["", ".", "..", "a/b", "a%2Fb"] {
            assert!(!is_segment(name), "{name}");
        }
        assert!(is_segment("system:node-reader") && is_segment("a.b-c"));
    }
}
