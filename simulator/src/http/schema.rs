//! The schemas of built-in kinds: fields, types, descriptions and protobuf field numbers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The schema data. The head of the file names its source and license.
const KINDS_TSV: &str = include_str!("kinds.tsv");

/// The schemas of all types, by name.
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(KINDS_TSV));

/// The schemas of types, by type name.
pub(super) struct Schema(BTreeMap<&'static str, TypeSchema>);

/// The schema of one type.
pub(super) struct TypeSchema {
    /// The group and version, if the type is a kind: `apps/v1`.
    pub(super) api_version: Option<&'static str>,
    pub(super) description: String,
    pub(super) fields: Vec<FieldSchema>,
}

/// The schema of one field.
pub(super) struct FieldSchema {
    /// The protobuf field number. `None`: not in protobuf.
    pub(super) number: Option<u32>,
    pub(super) name: &'static str,
    pub(super) field_type: FieldType,
    pub(super) flags: &'static str,
    pub(super) description: String,
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    String,
    Int32,
    Int64,
    Double,
    Bool,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A time with a precision of seconds.
    Time,
    /// A time with a precision of microseconds.
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON, stored as text in protobuf.
    Raw,
    /// `fieldsV1`: any JSON, stored as text in protobuf.
    Fields,
    /// A reference to another type.
    Ref(&'static str),
    List(Box<Self>),
    Map(Box<Self>),
}

impl FieldType {
    fn parse(text: &'static str) -> Self {
        if let Some(item) = text.strip_prefix("[]") {
            return Self::List(Box::new(Self::parse(item)));
        }
        if let Some(item) = text.strip_prefix("{}") {
            return Self::Map(Box::new(Self::parse(item)));
        }
        match text {
            "string" => Self::String,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "double" => Self::Double,
            "bool" => Self::Bool,
            "bytes" => Self::Bytes,
            "time" => Self::Time,
            "microtime" => Self::MicroTime,
            "quantity" => Self::Quantity,
            "intorstring" => Self::IntOrString,
            "raw" => Self::Raw,
            "fields" => Self::Fields,
            name => Self::Ref(name),
        }
    }

    /// Returns the referenced type of a field, or of the items of its lists and maps.
    pub(super) fn element_type(&self) -> Option<&'static str> {
        match self {
            Self::Ref(name) => Some(name),
            Self::List(item) | Self::Map(item) => item.element_type(),
            Self::String
            | Self::Int32
            | Self::Int64
            | Self::Double
            | Self::Bool
            | Self::Bytes
            | Self::Time
            | Self::MicroTime
            | Self::Quantity
            | Self::IntOrString
            | Self::Raw
            | Self::Fields => None,
        }
    }
}

impl FieldSchema {
    pub(super) fn is(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|known| known == flag)
    }

    /// Returns the value of `flag=value`.
    pub(super) fn value(&self, flag: &str) -> Option<&'static str> {
        self.flags.split(' ').find_map(|known| known.strip_prefix(flag)?.strip_prefix('='))
    }
}

impl Schema {
    fn parse(text: &'static str) -> Self {
        let mut types: BTreeMap<&'static str, TypeSchema> = BTreeMap::new();
        let mut last = "";
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&'static str> = line.split('\t').collect();
            match parts[..] {
                ["", number, name, field_type, flags, description] => {
                    let known = types.get_mut(last).expect("a field follows its type");
                    known.fields.push(FieldSchema {
                        number: number.parse().ok(),
                        name,
                        field_type: FieldType::parse(field_type),
                        flags,
                        description: unescaped(description),
                    });
                }
                [name, api_version, description] => {
                    last = name;
                    let api_version = Some(api_version).filter(|version| *version != "-");
                    types.insert(
                        name,
                        TypeSchema {
                            api_version,
                            description: unescaped(description),
                            fields: Vec::new(),
                        },
                    );
                }
                _ => unreachable!("a line of kinds.tsv has three or six columns: {line}"),
            }
        }
        Self(types)
    }

    pub(super) fn get(&self, name: &str) -> Option<&TypeSchema> {
        self.0.get(name)
    }

    /// Returns the type of a kind.
    pub(super) fn of_kind(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Option<(&'static str, &TypeSchema)> {
        let mut found = self.0.iter().filter(|(name, known)| {
            known.api_version == Some(api_version) && name.rsplit('.').next() == Some(kind)
        });
        found.next().map(|(name, known)| (*name, known))
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_contains_every_referenced_type() {
        for (name, known) in &SCHEMA.0 {
            for field in &known.fields {
                if let Some(element_type) = field.field_type.element_type() {
                    assert!(
                        SCHEMA.get(element_type).is_some(),
                        "{name}.{}: {element_type}",
                        field.name
                    );
                }
            }
        }
        let (name, pod) = SCHEMA.of_kind("v1", "Pod").unwrap();
        assert_eq!((name, pod.fields.len()), ("core.v1.Pod", 3));
    }
}
