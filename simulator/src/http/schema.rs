//! The kinds that the server describes: fields, types, descriptions, and their numbers in protobuf.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The data, and whose it is: see its head.
const TEXT: &str = include_str!("kinds.tsv");

/// All types by name.
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(TEXT));

/// Types by name, each a list of fields.
pub(super) struct Schema(BTreeMap<&'static str, Type>);

/// One type.
pub(super) struct Type {
    /// Group and version where objects are of this type: `apps/v1`.
    pub(super) api_version: Option<&'static str>,
    pub(super) description: String,
    pub(super) fields: Vec<Field>,
}

/// One field of a type.
pub(super) struct Field {
    /// Its number in protobuf, where it has one of its own.
    pub(super) number: Option<u32>,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) flags: &'static str,
    pub(super) description: String,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Int32,
    Int64,
    Double,
    Bool,
    /// Bytes, as base64 in JSON.
    Bytes,
    /// A time in whole seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
    Quantity,
    IntOrText,
    /// Any JSON, kept as its text in protobuf.
    Raw,
    /// Names of managed fields: any JSON, kept as its text in protobuf.
    Fields,
    /// A value of another type.
    Of(&'static str),
    List(Box<Self>),
    Map(Box<Self>),
}

impl Shape {
    fn parse(text: &'static str) -> Self {
        if let Some(item) = text.strip_prefix("[]") {
            return Self::List(Box::new(Self::parse(item)));
        }
        if let Some(item) = text.strip_prefix("{}") {
            return Self::Map(Box::new(Self::parse(item)));
        }
        match text {
            "string" => Self::Text,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "double" => Self::Double,
            "bool" => Self::Bool,
            "bytes" => Self::Bytes,
            "time" => Self::Time,
            "microtime" => Self::MicroTime,
            "quantity" => Self::Quantity,
            "intorstring" => Self::IntOrText,
            "raw" => Self::Raw,
            "fields" => Self::Fields,
            name => Self::Of(name),
        }
    }

    /// The type at the bottom of lists and maps, where it is one of ours.
    pub(super) fn bottom(&self) -> Option<&'static str> {
        match self {
            Self::Of(name) => Some(name),
            Self::List(item) | Self::Map(item) => item.bottom(),
            Self::Text
            | Self::Int32
            | Self::Int64
            | Self::Double
            | Self::Bool
            | Self::Bytes
            | Self::Time
            | Self::MicroTime
            | Self::Quantity
            | Self::IntOrText
            | Self::Raw
            | Self::Fields => None,
        }
    }
}

impl Field {
    pub(super) fn is(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|known| known == flag)
    }

    /// What stands after `flag=`.
    pub(super) fn value(&self, flag: &str) -> Option<&'static str> {
        self.flags.split(' ').find_map(|known| known.strip_prefix(flag)?.strip_prefix('='))
    }
}

impl Schema {
    fn parse(text: &'static str) -> Self {
        let mut types: BTreeMap<&'static str, Type> = BTreeMap::new();
        let mut last = "";
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&'static str> = line.split('\t').collect();
            match parts[..] {
                ["", number, name, shape, flags, description] => {
                    let known = types.get_mut(last).expect("a field stands below its type");
                    known.fields.push(Field {
                        number: number.parse().ok(),
                        name,
                        shape: Shape::parse(shape),
                        flags,
                        description: unescaped(description),
                    });
                }
                [name, api_version, description] => {
                    last = name;
                    let api_version = Some(api_version).filter(|version| *version != "-");
                    types.insert(
                        name,
                        Type {
                            api_version,
                            description: unescaped(description),
                            fields: Vec::new(),
                        },
                    );
                }
                _ => unreachable!("the data file has lines of three or six parts: {line}"),
            }
        }
        Self(types)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Type> {
        self.0.get(name)
    }

    /// The type of objects of this kind.
    pub(super) fn of_kind(&self, api_version: &str, kind: &str) -> Option<(&'static str, &Type)> {
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
    fn every_type_that_a_field_names_is_described() {
        for (name, known) in &SCHEMA.0 {
            for field in &known.fields {
                if let Some(bottom) = field.shape.bottom() {
                    assert!(SCHEMA.get(bottom).is_some(), "{name}.{}: {bottom}", field.name);
                }
            }
        }
        let (name, pod) = SCHEMA.of_kind("v1", "Pod").unwrap();
        assert_eq!((name, pod.fields.len()), ("core.v1.Pod", 3));
    }
}
