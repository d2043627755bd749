//! Bodies in Kubernetes' protobuf, which kubectl sends where it knows a kind.
//!
//! The envelope is four bytes and a `runtime.Unknown`; what is within is read by the field numbers of the schema.
//! Kubernetes writes every plain field, zero or not, and means nothing by a zero; only what is a pointer in its own
//! types says something by being there.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Map, Value};

use super::schema::{Field, SCHEMA, Shape, Type};

/// The media type.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// How deep messages may lie in one another.
const DEPTH: usize = 64;

/// Bytes that are no object in protobuf.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadProtobuf {
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Prefix,
    #[error("unexpected end of a protobuf message")]
    End,
    #[error("protobuf: wire type {0} is not known")]
    WireType(u64),
    #[error("protobuf: messages lie too deep in one another")]
    Depth,
    #[error("protobuf: text is not UTF-8")]
    Text,
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    Kind { api_version: String, kind: String },
}

/// Reads an object in its envelope.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, BadProtobuf> {
    let envelope = bytes.strip_prefix(b"k8s\0").ok_or(BadProtobuf::Prefix)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for entry in entries(envelope)? {
        match entry {
            (1, Wire::Bytes(inner)) => {
                for entry in entries(inner)? {
                    match entry {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    // Options of a request are of no group of their own: they are written under the group that they are sent to.
    let found = match kind.as_str() {
        "DeleteOptions" => SCHEMA.get("meta.DeleteOptions"),
        _ => SCHEMA.of_kind(&api_version, &kind).map(|(_, known)| known),
    };
    let known = found.ok_or_else(|| BadProtobuf::Kind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    })?;
    let mut object = message(known, raw, 0)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

/// One value on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Result<u64, BadProtobuf> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(BadProtobuf::End)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BadProtobuf::End)
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], BadProtobuf> {
    let count = usize::try_from(count).map_err(|_| BadProtobuf::End)?;
    let (taken, rest) = bytes.split_at_checked(count).ok_or(BadProtobuf::End)?;
    *bytes = rest;
    Ok(taken)
}

/// The numbered values of a message, in order.
fn entries(mut bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, BadProtobuf> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = u32::try_from(key >> 3).map_err(|_| BadProtobuf::End)?;
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            1 => Wire::Bytes(take(&mut bytes, 8)?),
            2 => {
                let count = varint(&mut bytes)?;
                Wire::Bytes(take(&mut bytes, count)?)
            }
            5 => Wire::Bytes(take(&mut bytes, 4)?),
            other => return Err(BadProtobuf::WireType(other)),
        };
        entries.push((number, value));
    }
    Ok(entries)
}

fn message(known: &Type, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, BadProtobuf> {
    if depth > DEPTH {
        return Err(BadProtobuf::Depth);
    }
    let mut object = Map::new();
    for (number, wire) in entries(bytes)? {
        let Some(field) = known.fields.iter().find(|field| field.number == Some(number)) else {
            continue;
        };
        if field.is("inline") {
            let (Shape::Of(name), Wire::Bytes(bytes)) = (&field.shape, wire) else { continue };
            let inner = SCHEMA.get(name).expect("every type that a field names is described");
            object.extend(message(inner, bytes, depth + 1)?);
            continue;
        }
        match (&field.shape, wire) {
            (Shape::List(item), wire) => {
                if let Some(value) = value(item, wire, depth)? {
                    let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                    list.as_array_mut().expect("it was made a list").push(value);
                }
            }
            (Shape::Map(item), Wire::Bytes(bytes)) => {
                let (key, value) = pair(item, bytes, depth)?;
                let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                map.as_object_mut().expect("it was made a map").insert(key, value);
            }
            (shape, wire) => {
                let value = value(shape, wire, depth)?;
                if let Some(value) = value.filter(|value| means_something(field, value)) {
                    object.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(object)
}

/// Whether a plain value was meant: a zero is, only where the field can also be absent.
fn means_something(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(false) => field.is("p"),
        Value::Number(number) => number.as_i64() != Some(0) || field.is("p"),
        Value::String(text) => !text.is_empty() || field.is("p"),
        Value::Bool(true) | Value::Array(_) => true,
        // A message that is always written says nothing when it is empty, except where being there is all it says.
        Value::Object(map) => {
            !map.is_empty()
                || matches!(
                    field.name,
                    "emptyDir" | "selector" | "podSelector" | "namespaceSelector"
                )
        }
    }
}

fn pair(item: &Shape, bytes: &[u8], depth: usize) -> Result<(String, Value), BadProtobuf> {
    let (mut key, mut held) = (String::new(), None);
    for (number, wire) in entries(bytes)? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => held = value(item, wire, depth)?,
            _ => {}
        }
    }
    Ok((key, held.unwrap_or_else(|| "".into())))
}

/// One value; none where the wire does not carry such a one.
fn value(shape: &Shape, wire: Wire<'_>, depth: usize) -> Result<Option<Value>, BadProtobuf> {
    Ok(Some(match (shape, wire) {
        (Shape::Text, Wire::Bytes(bytes)) => text(bytes)?.into(),
        (Shape::Bytes, Wire::Bytes(bytes)) => BASE64.encode(bytes).into(),
        (Shape::Int32 | Shape::Int64, Wire::Number(number)) => (number as i64).into(),
        (Shape::Bool, Wire::Number(number)) => (number != 0).into(),
        (Shape::Double, Wire::Bytes(bytes)) => {
            let bytes: [u8; 8] = bytes.try_into().map_err(|_| BadProtobuf::End)?;
            f64::from_le_bytes(bytes).into()
        }
        (Shape::Time | Shape::MicroTime, Wire::Bytes(bytes)) => time(shape, bytes)?,
        (Shape::Quantity, Wire::Bytes(bytes)) => {
            let found = entries(bytes)?.into_iter().find_map(|entry| match entry {
                (1, Wire::Bytes(bytes)) => Some(text(bytes)),
                _ => None,
            });
            found.transpose()?.unwrap_or_default().into()
        }
        (Shape::IntOrText, Wire::Bytes(bytes)) => int_or_text(bytes)?,
        (Shape::Raw | Shape::Fields, Wire::Bytes(bytes)) => {
            let found = entries(bytes)?.into_iter().find_map(|entry| match entry {
                (1, Wire::Bytes(bytes)) => serde_json::from_slice(bytes).ok(),
                _ => None,
            });
            found.unwrap_or_default()
        }
        (Shape::Of(name), Wire::Bytes(bytes)) => {
            let known = SCHEMA.get(name).expect("every type that a field names is described");
            Value::Object(message(known, bytes, depth + 1)?)
        }
        _ => return Ok(None),
    }))
}

fn int_or_text(bytes: &[u8]) -> Result<Value, BadProtobuf> {
    let (mut is_text, mut number, mut held) = (false, 0, String::new());
    for entry in entries(bytes)? {
        match entry {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value as i64,
            (3, Wire::Bytes(bytes)) => held = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { held.into() } else { number.into() })
}

/// A time; none where it is zero.
fn time(shape: &Shape, bytes: &[u8]) -> Result<Value, BadProtobuf> {
    let (mut seconds, mut nanos) = (0, 0);
    for entry in entries(bytes)? {
        match entry {
            (1, Wire::Number(value)) => seconds = value as i64,
            (2, Wire::Number(value)) => nanos = value as i32,
            _ => {}
        }
    }
    let nanos = if *shape == Shape::Time { 0 } else { nanos };
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let at = jiff::Timestamp::new(seconds, nanos).map_err(|_| BadProtobuf::End)?;
    Ok(if *shape == Shape::Time { at.to_string() } else { format!("{at:.6}") }.into())
}

fn text(bytes: &[u8]) -> Result<String, BadProtobuf> {
    std::str::from_utf8(bytes).map(String::from).map_err(|_| BadProtobuf::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        field.extend(bytes);
        field
    }

    #[test]
    fn an_object_is_read_by_the_numbers_of_its_fields() {
        let metadata = [field(1, b"web"), field(3, b""), field(8, &[8, 0])].concat();
        let spec =
            [vec![8, 0], field(2, &field(1, &[field(1, b"app"), field(2, b"web")].concat()))]
                .concat();
        let deployment = [field(1, &metadata), field(2, &spec)].concat();
        let kind = [field(1, b"apps/v1"), field(2, b"Deployment")].concat();
        let bytes = [b"k8s\0".to_vec(), field(1, &kind), field(2, &deployment)].concat();
        let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}}});
        assert_eq!(decode(&bytes), Ok(expected));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        assert_eq!(decode(b"{}"), Err(BadProtobuf::Prefix));
        assert_eq!(decode(b"k8s\0\x0a\x7f"), Err(BadProtobuf::End));
        assert_eq!(decode(b"k8s\0\x0b"), Err(BadProtobuf::WireType(3)));
        assert!(matches!(decode(b"k8s\0"), Err(BadProtobuf::Kind { .. })));
        let mut deep = vec![0xff; 9];
        deep.insert(0, 0x0a);
        assert!(decode(&[b"k8s\0".to_vec(), deep].concat()).is_err());
    }
}
