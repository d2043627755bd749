//! Request bodies in Kubernetes protobuf, which kubectl sends for built-in kinds.
//!
//! The envelope is four magic bytes and a `runtime.Unknown`. The object inside is decoded by the field numbers in the
//! schema. Kubernetes always encodes scalar fields, so a zero means absent, except for fields that are pointers in the
//! Go types.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Map, Value};

use super::schema::{FieldSchema, FieldType, SCHEMA, TypeSchema};

/// The media type of Kubernetes protobuf.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// The maximum nesting depth of messages.
const MAX_DEPTH: usize = 64;

/// The body is not a Kubernetes object in protobuf.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParseProtobufError {
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Prefix,
    #[error("unexpected end of a protobuf message")]
    End,
    #[error("protobuf: unknown wire type {0}")]
    WireType(u64),
    #[error("protobuf: messages are nested too deeply")]
    Depth,
    #[error("protobuf: string is not valid UTF-8")]
    Text,
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    Kind { api_version: String, kind: String },
}

/// Decodes an object in its envelope.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, ParseProtobufError> {
    let envelope = bytes.strip_prefix(b"k8s\0").ok_or(ParseProtobufError::Prefix)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for entry in entries(envelope)? {
        match entry {
            (1, WireValue::Bytes(inner)) => {
                for entry in entries(inner)? {
                    match entry {
                        (1, WireValue::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, WireValue::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, WireValue::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    // `DeleteOptions` carry the group and version of the deleted object.
    let found = match kind.as_str() {
        "DeleteOptions" => SCHEMA.get("meta.DeleteOptions"),
        _ => SCHEMA.of_kind(&api_version, &kind).map(|(_, type_schema)| type_schema),
    };
    let type_schema = found.ok_or_else(|| ParseProtobufError::Kind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    })?;
    let mut object = message(type_schema, raw, 0)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

/// A raw protobuf value.
#[derive(Clone, Copy)]
enum WireValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ParseProtobufError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(ParseProtobufError::End)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ParseProtobufError::End)
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], ParseProtobufError> {
    let count = usize::try_from(count).map_err(|_| ParseProtobufError::End)?;
    let (taken, rest) = bytes.split_at_checked(count).ok_or(ParseProtobufError::End)?;
    *bytes = rest;
    Ok(taken)
}

/// Splits a message into its numbered values, in order.
fn entries(mut bytes: &[u8]) -> Result<Vec<(u32, WireValue<'_>)>, ParseProtobufError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = u32::try_from(key >> 3).map_err(|_| ParseProtobufError::End)?;
        let value = match key & 7 {
            0 => WireValue::Number(varint(&mut bytes)?),
            1 => WireValue::Bytes(take(&mut bytes, 8)?),
            2 => {
                let count = varint(&mut bytes)?;
                WireValue::Bytes(take(&mut bytes, count)?)
            }
            5 => WireValue::Bytes(take(&mut bytes, 4)?),
            other => return Err(ParseProtobufError::WireType(other)),
        };
        entries.push((number, value));
    }
    Ok(entries)
}

fn message(
    type_schema: &TypeSchema,
    bytes: &[u8],
    depth: usize,
) -> Result<Map<String, Value>, ParseProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ParseProtobufError::Depth);
    }
    let mut object = Map::new();
    for (number, wire) in entries(bytes)? {
        let Some(field) = type_schema.fields.iter().find(|field| field.number == Some(number))
        else {
            continue;
        };
        if field.is("inline") {
            let (FieldType::Ref(name), WireValue::Bytes(bytes)) = (&field.field_type, wire) else {
                continue;
            };
            let inner = SCHEMA.get(name).expect("the schema contains every referenced type");
            object.extend(message(inner, bytes, depth + 1)?);
            continue;
        }
        match (&field.field_type, wire) {
            (FieldType::List(item), wire) => {
                if let Some(value) = value(item, wire, depth)? {
                    let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                    list.as_array_mut().expect("the entry is a list").push(value);
                }
            }
            (FieldType::Map(item), WireValue::Bytes(bytes)) => {
                let (key, value) = pair(item, bytes, depth)?;
                let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                map.as_object_mut().expect("the entry is a map").insert(key, value);
            }
            (field_type, wire) => {
                let value = value(field_type, wire, depth)?;
                if let Some(value) = value.filter(|value| is_set(field, value)) {
                    object.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(object)
}

/// Whether a decoded value counts as present. A zero value does only if the field is optional (a pointer in Go).
fn is_set(field: &FieldSchema, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(false) => field.is("p"),
        Value::Number(number) => number.as_i64() != Some(0) || field.is("p"),
        Value::String(text) => !text.is_empty() || field.is("p"),
        Value::Bool(true) | Value::Array(_) => true,
        // An empty message means absent, except for fields whose presence alone has a meaning.
        Value::Object(map) => {
            !map.is_empty()
                || matches!(
                    field.name,
                    "emptyDir" | "selector" | "podSelector" | "namespaceSelector"
                )
        }
    }
}

fn pair(
    item: &FieldType,
    bytes: &[u8],
    depth: usize,
) -> Result<(String, Value), ParseProtobufError> {
    let (mut key, mut content) = (String::new(), None);
    for (number, wire) in entries(bytes)? {
        match (number, wire) {
            (1, WireValue::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => content = value(item, wire, depth)?,
            _ => {}
        }
    }
    Ok((key, content.unwrap_or_else(|| "".into())))
}

/// Decodes one value, or returns `None` if the wire type does not fit the field type.
fn value(
    field_type: &FieldType,
    wire: WireValue<'_>,
    depth: usize,
) -> Result<Option<Value>, ParseProtobufError> {
    Ok(Some(match (field_type, wire) {
        (FieldType::String, WireValue::Bytes(bytes)) => text(bytes)?.into(),
        (FieldType::Bytes, WireValue::Bytes(bytes)) => BASE64.encode(bytes).into(),
        (FieldType::Int32 | FieldType::Int64, WireValue::Number(number)) => (number as i64).into(),
        (FieldType::Bool, WireValue::Number(number)) => (number != 0).into(),
        (FieldType::Double, WireValue::Bytes(bytes)) => {
            let bytes: [u8; 8] = bytes.try_into().map_err(|_| ParseProtobufError::End)?;
            f64::from_le_bytes(bytes).into()
        }
        (FieldType::Time | FieldType::MicroTime, WireValue::Bytes(bytes)) => {
            time(field_type, bytes)?
        }
        (FieldType::Quantity, WireValue::Bytes(bytes)) => {
            let found = entries(bytes)?.into_iter().find_map(|entry| match entry {
                (1, WireValue::Bytes(bytes)) => Some(text(bytes)),
                _ => None,
            });
            found.transpose()?.unwrap_or_default().into()
        }
        (FieldType::IntOrString, WireValue::Bytes(bytes)) => int_or_string(bytes)?,
        (FieldType::Raw | FieldType::Fields, WireValue::Bytes(bytes)) => {
            let found = entries(bytes)?.into_iter().find_map(|entry| match entry {
                (1, WireValue::Bytes(bytes)) => serde_json::from_slice(bytes).ok(),
                _ => None,
            });
            found.unwrap_or_default()
        }
        (FieldType::Ref(name), WireValue::Bytes(bytes)) => {
            let type_schema = SCHEMA.get(name).expect("the schema contains every referenced type");
            Value::Object(message(type_schema, bytes, depth + 1)?)
        }
        _ => return Ok(None),
    }))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ParseProtobufError> {
    let (mut is_text, mut number, mut content) = (false, 0, String::new());
    for entry in entries(bytes)? {
        match entry {
            (1, WireValue::Number(kind)) => is_text = kind == 1,
            (2, WireValue::Number(value)) => number = value as i64,
            (3, WireValue::Bytes(bytes)) => content = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { content.into() } else { number.into() })
}

/// Decodes a time. Null if it is zero.
fn time(field_type: &FieldType, bytes: &[u8]) -> Result<Value, ParseProtobufError> {
    let (mut seconds, mut nanos) = (0, 0);
    for entry in entries(bytes)? {
        match entry {
            (1, WireValue::Number(value)) => seconds = value as i64,
            (2, WireValue::Number(value)) => nanos = value as i32,
            _ => {}
        }
    }
    let nanos = if *field_type == FieldType::Time { 0 } else { nanos };
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let at = jiff::Timestamp::new(seconds, nanos).map_err(|_| ParseProtobufError::End)?;
    Ok(if *field_type == FieldType::Time { at.to_string() } else { format!("{at:.6}") }.into())
}

fn text(bytes: &[u8]) -> Result<String, ParseProtobufError> {
    std::str::from_utf8(bytes).map(String::from).map_err(|_| ParseProtobufError::Text)
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
    fn protobuf_object_decodes_by_field_number() {
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
    fn invalid_protobuf_is_rejected() {
        assert_eq!(decode(b"{}"), Err(ParseProtobufError::Prefix));
        assert_eq!(decode(b"k8s\0\x0a\x7f"), Err(ParseProtobufError::End));
        assert_eq!(decode(b"k8s\0\x0b"), Err(ParseProtobufError::WireType(3)));
        assert!(matches!(decode(b"k8s\0"), Err(ParseProtobufError::Kind { .. })));
        let endless_length = [&b"k8s\0\x0a"[..], &[0xff; 9]].concat();
        assert_eq!(decode(&endless_length), Err(ParseProtobufError::End));
    }
}
