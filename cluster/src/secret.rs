use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::{Digest, Object};

/// The key under which the values of Secrets are digested: without it, a digest confirms no guess of a value.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

/// What kubectl keeps of a Secret, values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl SecretKey {
    /// Takes 32 bytes that nobody else knows.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The keyed digest of a value: HMAC-SHA-256.
    pub fn digest(&self, value: &[u8]) -> Digest {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(value);
        Digest::from_bytes(mac.finalize().into_bytes().into())
    }

    /// Replaces every value of a Secret by its keyed digest; other objects come back as they are.
    ///
    /// Equal values give equal digests, in `data` and `stringData` alike, so that what changed can be seen and what it
    /// changed to cannot. Adapters call this on every object that they let through.
    pub fn hide(&self, object: &Object) -> Object {
        if object.kind().kind != "Secret" || object.kind().api_version != "v1" {
            return object.clone();
        }
        let mut hidden = object.clone();
        if let Some(Value::Object(data)) = object.field("data") {
            hidden = hidden.with_field(
                "data",
                self.hide_map(data, |text| {
                    from_base64(text).unwrap_or_else(|| text.as_bytes().to_vec())
                }),
            );
        }
        if let Some(Value::Object(data)) = object.field("stringData") {
            hidden = hidden
                .with_field("stringData", self.hide_map(data, |text| text.as_bytes().to_vec()));
        }
        if let Some(applied) = object.metadata().annotations.get(LAST_APPLIED) {
            let mut metadata = hidden.metadata().clone();
            metadata
                .annotations
                .insert(LAST_APPLIED.into(), self.digest(applied.as_bytes()).to_string());
            hidden = hidden.with_metadata(metadata);
        }
        hidden
    }

    fn hide_map(&self, data: &Map<String, Value>, bytes: impl Fn(&str) -> Vec<u8>) -> Value {
        let digest = |value: &Value| match value {
            Value::String(text) => self.digest(&bytes(text)),
            other => self.digest(other.to_string().as_bytes()),
        };
        let hidden: BTreeMap<&String, String> =
            data.iter().map(|(key, value)| (key, digest(value).to_string())).collect();
        serde_json::to_value(hidden).expect("texts under texts are JSON")
    }
}

/// Says nothing of the key.
impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Decodes standard base64 with padding, line breaks left out; none where `text` is not that.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in &digits[..digits.len() - padding] {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
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
    fn nothing_of_a_value_is_left() {
        let key = SecretKey::from_bytes([7; 32]);
        let hidden = key.hide(&secret(
            json!({"data": {"password": "aHVudGVyMg=="}, "stringData": {"password": "hunter2"}}),
        ));
        let text = hidden.to_value().to_string();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert_eq!(
            hidden.at("/data/password"),
            hidden.at("/stringData/password"),
            "both forms of a value have one digest"
        );
    }

    #[test]
    fn a_digest_depends_on_the_key() {
        let of = |byte| SecretKey::from_bytes([byte; 32]).digest(b"hunter2");
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(of(1), Digest::of(b"hunter2"));
    }

    #[test]
    fn the_digest_is_hmac_sha_256() {
        // RFC 4231, test case 1, whose key of 20 bytes HMAC pads with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let digest = SecretKey::from_bytes(key).digest(b"Hi There");
        assert_eq!(
            digest.hex(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn what_is_no_base64_is_digested_as_it_stands() {
        for bad in ["a", "ab=c", "====", "a b!"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
        assert_eq!(from_base64("aHVu\ndGVyMg==").unwrap(), b"hunter2");
        assert_eq!(from_base64("").unwrap(), b"");
    }

    #[test]
    fn other_objects_are_let_through_unchanged() {
        let config = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})).unwrap();
        assert!(SecretKey::from_bytes([0; 32]).hide(&config).is_same_value(&config));
    }
}
