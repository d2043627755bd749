use std::fmt::{self, Write as _};

/// The path and query of one request, every part escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// A path of our own code.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), has_query: false }
    }

    /// The path with one more segment.
    pub(super) fn at(mut self, segment: &str) -> Self {
        self.text.push('/');
        escape(segment, &mut self.text);
        self
    }

    /// The path with one more parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        escape(value, &mut self.text);
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("writing to a string");
        }
    }
}

/// Whether an object can have this name at all; another one could change what a path means.
pub(super) fn is_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_path_is_escaped() {
        let path =
            Path::new("/api/v1").at("a b/c").with("labelSelector", "a in (b,c)").with("x", "é&");
        assert_eq!(
            path.to_string(),
            "/api/v1/a%20b%2Fc?labelSelector=a%20in%20%28b%2Cc%29&x=%C3%A9%26"
        );
    }

    #[test]
    fn a_name_that_would_change_the_path_is_none() {
        for name in ["", ".", "..", "a/b", "a%2Fb"] {
            assert!(!is_segment(name), "{name}");
        }
        assert!(is_segment("system:node-reader") && is_segment("a.b-c"));
    }
}
