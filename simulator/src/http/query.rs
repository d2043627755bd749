//! Query strings and percent encoding.

use percent_encoding::percent_decode_str;

use crate::api::StatusError;

/// The decoded parameters of a query string, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UrlQuery(Vec<(String, String)>);

impl UrlQuery {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, PlusDecoding::Space), decode(value, PlusDecoding::Space))
        });
        Self(pairs.collect())
    }

    /// Returns the first value of `name`, if it is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Parses a boolean as Kubernetes does: every value except `false` and `0` is true. Default: false.
    pub(super) fn is(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.is_some_and(|(_, value)| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// Parses an integer.
    ///
    /// # Errors
    /// Returns 400 if the value is not an integer.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, StatusError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            StatusError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        })
    }
}

/// How `+` is decoded: as a space in a query, literally in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PlusDecoding {
    Space,
    Literal,
}

/// Decodes percent encoding. Invalid sequences are kept.
pub(super) fn decode(text: &str, plus: PlusDecoding) -> String {
    let text = match plus {
        PlusDecoding::Space => text.replace('+', " "),
        PlusDecoding::Literal => text.into(),
    };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded_and_found_by_name() {
        let query =
            UrlQuery::parse("labelSelector=a%3Db%2Cc+in+%28d%29&limit=500&watch=1&x=%zz&pretty");
        assert_eq!(query.text("labelSelector"), Some("a=b,c in (d)"));
        assert_eq!(query.number("limit"), Ok(Some(500)));
        assert!(query.is("watch") && query.is("pretty") && !query.is("force"));
        assert_eq!(query.text("x"), Some("%zz"));
        assert_eq!(query.text("pretty"), None);
        let refused = UrlQuery::parse("limit=many").number("limit").unwrap_err();
        let expected = "strconv.ParseInt: parsing \"many\": invalid syntax";
        assert_eq!(refused, StatusError::bad_request(expected));
        assert!(
            UrlQuery::parse("watch=maybe").is("watch")
                && !UrlQuery::parse("watch=False").is("watch")
        );
    }
}
