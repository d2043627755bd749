use std::collections::BTreeMap;

use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::{Digest, Object};

/// The HMAC key for digests of Secret values. Without the key, a digest cannot be used to verify a guessed value.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

/// Annotation in which `kubectl apply` stores the whole applied object, including the values of a Secret.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl SecretKey {
    /// Creates a key from 32 secret random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the keyed digest of a value (HMAC-SHA-256).
    pub fn digest(&self, value: &[u8]) -> Digest {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(value);
        Digest::from_bytes(mac.finalize().into_bytes().into())
    }

    /// Replaces every value of a Secret by its keyed digest; returns other objects unchanged.
    ///
    /// Equal values have equal digests, in `data` and `stringData` alike, so that a changed value is visible without
    /// disclosing the value itself. Implementations of [`crate::Cluster`] call this on every object that they return.
    pub fn redact(&self, object: &Object) -> Object {
        if object.kind().kind != "Secret" || object.kind().api_version != "v1" {
            return object.clone();
        }
        let mut redacted = object.clone();
        if let Some(Value::Object(data)) = object.field("data") {
            redacted = redacted.with_field(
                "data",
                self.redact_map(data, |text| {
                    from_base64(text).unwrap_or_else(|| text.as_bytes().to_vec())
                }),
            );
        }
        if let Some(Value::Object(data)) = object.field("stringData") {
            redacted = redacted
                .with_field("stringData", self.redact_map(data, |text| text.as_bytes().to_vec()));
        }
        if let Some(applied) = object.metadata().annotations.get(LAST_APPLIED) {
            let mut metadata = redacted.metadata().clone();
            metadata
                .annotations
                .insert(LAST_APPLIED.into(), self.digest(applied.as_bytes()).to_string());
            redacted = redacted.with_metadata(metadata);
        }
        redacted
    }

    fn redact_map(&self, data: &Map<String, Value>, bytes: impl Fn(&str) -> Vec<u8>) -> Value {
        let digest = |value: &Value| match value {
            Value::String(text) => self.digest(&bytes(text)),
            other => self.digest(other.to_string().as_bytes()),
        };
        let redacted: BTreeMap<&String, String> =
            data.iter().map(|(key, value)| (key, digest(value).to_string())).collect();
        serde_json::to_value(redacted).expect("a map from strings to strings is valid JSON")
    }
}

/// Omits the key.
impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Standard base64 with padding, as Go's decoder and thus the API server accepts it: the unused bits of the last character may
/// have any value.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Decodes base64, ignoring ASCII white space; `None` if `text` is not valid base64.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(fields: Value) -> Object {
        let mut value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "annotations": {LAST_APPLIED: "hunter2"}}});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Object::from_value(value).unwrap()
    }

    #[test]
    fn redact_removes_all_secret_values() {
        let key = SecretKey::from_bytes([7; 32]);
        let redacted = key.redact(&secret(
            json!({"data": {"password": "aHVudGVyMg=="}, "stringData": {"password": "hunter2"}}),
        ));
        let text = redacted.to_value().to_string();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert_eq!(
            redacted.at("/data/password"),
            redacted.at("/stringData/password"),
            "`data` and `stringData` of one value have the same digest"
        );
    }

    #[test]
    fn digest_depends_on_key() {
        let of = |byte| SecretKey::from_bytes([byte; 32]).digest(b"hunter2");
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(of(1), Digest::of(b"hunter2"));
    }

    #[test]
    fn digest_is_hmac_sha256() {
        // RFC 4231, test case 1. Its key has 20 bytes; HMAC pads shorter keys with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let digest = SecretKey::from_bytes(key).digest(b"Hi There");
        assert_eq!(
            digest.hex(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn from_base64_rejects_invalid_input() {
        for bad in ["a", "ab=c", "====", "a b!"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
        assert_eq!(from_base64("aHVu\ndGVyMg==").unwrap(), b"hunter2");
        assert_eq!(from_base64("").unwrap(), b"");
        assert_eq!(from_base64("aR==").unwrap(), b"i", "unused trailing bits are ignored");
    }

    #[test]
    fn redact_keeps_other_kinds_unchanged() {
        let config = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})).unwrap();
        assert!(SecretKey::from_bytes([0; 32]).redact(&config).ptr_eq(&config));
    }
}
