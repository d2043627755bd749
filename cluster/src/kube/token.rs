use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use http::HeaderValue;

/// A bearer token in a file that is renewed externally. It is read again for each request, so that a long run does not
/// use an expired token.
///
/// The `kube` crate also supports token files, but caches the token for almost a minute and does not trim a trailing line
/// break.
pub(super) struct TokenFile {
    path: PathBuf,
    /// The last valid header, used while the file is being replaced.
    last: Mutex<Option<HeaderValue>>,
}

impl TokenFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), last: Mutex::new(None) }
    }

    /// Returns the `Authorization` header with the current token.
    pub(super) fn header(&self) -> Result<HeaderValue, String> {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let read = fs::read_to_string(&self.path)
            .map_err(|error| format!("cannot read the token file {}: {error}", self.path.display()))
            .and_then(|token| bearer(token.trim()));
        match (read, &*last) {
            (Ok(header), _) => Ok(last.insert(header).clone()),
            (Err(_), Some(header)) => Ok(header.clone()),
            (Err(error), None) => Err(error),
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    if token.is_empty() {
        return Err("the token file is empty".into());
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "the token file contains no valid bearer token".to_string())?;
    header.set_sensitive(true);
    Ok(header)
}
