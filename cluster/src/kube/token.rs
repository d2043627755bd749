use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use http::HeaderValue;

/// A bearer token in a file that somebody renews: read again for every request, so that no run outlives its token.
///
/// `kube` reads such a file too, but keeps what it read for most of a minute and takes a line break at the end for a
/// part of the token.
pub(super) struct TokenFile {
    path: PathBuf,
    /// The last header that could be made, for the moment in which the file is being replaced.
    last: Mutex<Option<HeaderValue>>,
}

impl TokenFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), last: Mutex::new(None) }
    }

    /// The `Authorization` header as of now.
    pub(super) fn header(&self) -> Result<HeaderValue, String> {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let read = fs::read_to_string(&self.path)
            .map_err(|error| format!("the token file {}: {error}", self.path.display()))
            .and_then(|token| bearer(token.trim()));
        match (read, &*last) {
            (Ok(header), _) => Ok(last.insert(header).clone()),
            (Err(_), Some(header)) => Ok(header.clone()),
            (Err(why), None) => Err(why),
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    if token.is_empty() {
        return Err("the token file is empty".into());
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "the token file holds no bearer token".to_string())?;
    header.set_sensitive(true);
    Ok(header)
}
