//! Detects non-finite numbers, which `serde_json` would silently write as null.

use std::fmt::{self, Display};

use serde::{Serialize, ser};

/// A number that is not finite, with its path.
#[derive(Debug, thiserror::Error)]
pub(crate) struct NotFinite {
    path: Vec<String>,
    number: String,
}

impl Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        write!(f, "`{}` is {}; only finite numbers can be recorded", path.join("."), self.number)
    }
}

impl ser::Error for NotFinite {
    fn custom<T: Display>(message: T) -> Self {
        Self { path: Vec::new(), number: message.to_string() }
    }
}

/// Checks that every number in `value` is finite.
pub(crate) fn check_finite<T: Serialize + ?Sized>(value: &T) -> Result<(), NotFinite> {
    value.serialize(FiniteChecker)
}

/// A serializer that checks numbers and produces no output.
struct FiniteChecker;

/// The next element of a sequence, map or struct.
struct PathSegment {
    index: usize,
    key: String,
}

impl PathSegment {
    fn new() -> Self {
        Self { index: 0, key: String::new() }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotFinite> {
        let index = self.index;
        self.index += 1;
        check_at(index, value)
    }
}

fn check_at<T: Serialize + ?Sized>(segment: impl Display, value: &T) -> Result<(), NotFinite> {
    value.serialize(FiniteChecker).map_err(|mut error| {
        error.path.push(segment.to_string());
        error
    })
}

macro_rules! accept {
    ($($method:ident: $kind:ty;)*) => {$(
        fn $method(self, _: $kind) -> Result<(), NotFinite> {
            Ok(())
        }
    )*};
}

impl ser::Serializer for FiniteChecker {
    type Ok = ();
    type Error = NotFinite;
    type SerializeSeq = PathSegment;
    type SerializeTuple = PathSegment;
    type SerializeTupleStruct = PathSegment;
    type SerializeTupleVariant = PathSegment;
    type SerializeMap = PathSegment;
    type SerializeStruct = PathSegment;
    type SerializeStructVariant = PathSegment;

    accept! {
        serialize_bool: bool; serialize_char: char; serialize_str: &str; serialize_bytes: &[u8]; serialize_unit_struct: &'static str;
        serialize_i8: i8; serialize_i16: i16; serialize_i32: i32; serialize_i64: i64; serialize_i128: i128;
        serialize_u8: u8; serialize_u16: u16; serialize_u32: u32; serialize_u64: u64; serialize_u128: u128;
    }

    fn serialize_f32(self, number: f32) -> Result<(), NotFinite> {
        self.serialize_f64(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), NotFinite> {
        if number.is_finite() {
            Ok(())
        } else {
            Err(NotFinite { path: Vec::new(), number: number.to_string() })
        }
    }

    fn serialize_none(self) -> Result<(), NotFinite> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), NotFinite> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotFinite> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), NotFinite> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotFinite> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotFinite> {
        check_at(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }

    fn serialize_tuple(self, _: usize) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<PathSegment, NotFinite> {
        Ok(PathSegment::new())
    }
}

macro_rules! sequences {
    ($($name:ident: $method:ident;)*) => {$(
        impl ser::$name for PathSegment {
            type Ok = ();
            type Error = NotFinite;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotFinite> {
                self.item(value)
            }
            fn end(self) -> Result<(), NotFinite> {
                Ok(())
            }
        }
    )*};
}

sequences! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

macro_rules! structs {
    ($($name:ident;)*) => {$(
        impl ser::$name for PathSegment {
            type Ok = ();
            type Error = NotFinite;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), NotFinite> {
                check_at(key, value)
            }
            fn end(self) -> Result<(), NotFinite> {
                Ok(())
            }
        }
    )*};
}

structs! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for PathSegment {
    type Ok = ();
    type Error = NotFinite;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotFinite> {
        self.key = serde_json::to_value(key).map_or_else(
            |_| "?".into(),
            |key| key.as_str().map_or_else(|| key.to_string(), Into::into),
        );
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotFinite> {
        check_at(std::mem::take(&mut self.key), value)
    }

    fn end(self) -> Result<(), NotFinite> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Sample {
        reward: Option<f64>,
        rates: BTreeMap<String, Vec<f64>>,
    }

    #[test]
    fn non_finite_number_is_reported_with_path() {
        let mut sample =
            Sample { reward: Some(0.5), rates: BTreeMap::from([("a".into(), vec![1.0, 2.0])]) };
        assert!(check_finite(&sample).is_ok());
        sample.rates.insert("b".into(), vec![0.0, f64::INFINITY]);
        assert_eq!(
            check_finite(&sample).unwrap_err().to_string(),
            "`rates.b.1` is inf; only finite numbers can be recorded"
        );
        sample.reward = Some(f64::NAN);
        assert_eq!(
            check_finite(&sample).unwrap_err().to_string(),
            "`reward` is NaN; only finite numbers can be recorded"
        );
    }
}
