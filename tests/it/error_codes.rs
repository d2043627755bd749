//! The list of error codes and its documentation.

use workflow::ErrorCode;

#[test]
fn error_codes_are_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    let text = std::fs::read_to_string(path).unwrap();
    let tables = &text[text.find("## HTTP API").unwrap()..text.find("## Validator").unwrap()];
    let documented: Vec<&str> = tables
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(code, _)| code))
        .collect();
    for code in ErrorCode::ALL {
        assert!(documented.contains(&code.as_str()), "{code} is missing in docs/errors.md");
    }
    for code in documented {
        let is_listed = ErrorCode::ALL.iter().any(|known| known.as_str() == code);
        assert!(is_listed, "{code} in docs/errors.md is not an error code");
    }
}
