//! Upper bounds of the size of a value, in each dimension that cost depends on.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

/// Fixed bytes per value, in addition to its text and elements.
pub(super) const OVERHEAD: u64 = 32;

/// Upper bounds of the size of a value.
#[derive(Clone, Debug)]
pub(super) struct ValueSize<'a> {
    /// Total bytes, including elements and overhead.
    pub(super) total: u64,
    /// Bytes of its text, for strings and bytes.
    pub(super) text: u64,
    /// Number of elements, for lists and maps.
    pub(super) length: u64,
    /// Upper bound of the value, for numbers with a known bound.
    pub(super) number: Option<u64>,
    /// Bound of the elements of a list, or of the values of unknown keys of a map.
    pub(super) each: Option<Rc<ValueSize<'a>>>,
    /// Bounds of the values of known keys, for maps.
    pub(super) fields: Option<Rc<BTreeMap<&'a str, Rc<ValueSize<'a>>>>>,
    /// Bytes of the longest key, for maps.
    pub(super) key: Option<u64>,
}

impl<'a> ValueSize<'a> {
    /// Returns the size of a value without text or elements.
    pub(super) fn scalar() -> Self {
        Self {
            total: OVERHEAD,
            text: 0,
            length: 0,
            number: None,
            each: None,
            fields: None,
            key: None,
        }
    }

    pub(super) fn number(number: Option<u64>) -> Self {
        Self { number, ..Self::scalar() }
    }

    pub(super) fn text(bytes: u64) -> Self {
        Self { total: bytes.saturating_add(OVERHEAD), text: bytes, ..Self::scalar() }
    }

    /// Returns the size of a list of at most `length` elements with `total` bytes in total.
    pub(super) fn list(length: u64, each: Rc<ValueSize<'a>>, total: u64) -> Self {
        Self { total: total.saturating_add(OVERHEAD), length, each: Some(each), ..Self::scalar() }
    }

    pub(super) fn list_of(length: u64, each: Rc<ValueSize<'a>>) -> Self {
        let total = length.saturating_mul(each.total);
        Self::list(length, each, total)
    }

    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null | Value::Bool(_) => Self::scalar(),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Self::number(Some(u64::try_from(int).unwrap_or(0))),
                None => Self::scalar(),
            },
            Value::String(text) => Self::text(text.len() as u64),
            Value::Array(items) => {
                let mut each: Option<ValueSize<'a>> = None;
                let mut total = 0_u64;
                for item in items {
                    let item = Self::of(item);
                    total = total.saturating_add(item.total);
                    each = Some(each.map_or_else(|| item.clone(), |each| each.or(&item)));
                }
                Self::list(items.len() as u64, Rc::new(each.unwrap_or_else(Self::scalar)), total)
            }
            Value::Object(members) => {
                let mut fields = BTreeMap::new();
                let (mut total, mut key) = (OVERHEAD, 0);
                for (name, value) in members {
                    let value = Self::of(value);
                    total = total
                        .saturating_add(OVERHEAD + name.len() as u64)
                        .saturating_add(value.total);
                    key = key.max(name.len() as u64);
                    fields.insert(name.as_str(), Rc::new(value));
                }
                Self {
                    total,
                    length: members.len() as u64,
                    fields: Some(Rc::new(fields)),
                    key: Some(key),
                    ..Self::scalar()
                }
            }
        }
    }

    /// Returns the bounds of a value that is one or the other.
    pub(super) fn or(&self, other: &Self) -> Self {
        fn either<'a>(
            one: &Option<Rc<ValueSize<'a>>>,
            other: &Option<Rc<ValueSize<'a>>>,
        ) -> Option<Rc<ValueSize<'a>>> {
            match (one, other) {
                (Some(one), Some(other)) if Rc::ptr_eq(one, other) => Some(one.clone()),
                (Some(one), Some(other)) => Some(Rc::new(one.or(other))),
                (one, other) => one.clone().or_else(|| other.clone()),
            }
        }
        let fields = match (&self.fields, &other.fields) {
            (Some(one), Some(other)) if Rc::ptr_eq(one, other) => Some(one.clone()),
            (Some(one), Some(other)) => {
                let mut fields = (**one).clone();
                for (name, size) in other.iter() {
                    let size = fields
                        .get(name)
                        .map_or_else(|| size.clone(), |known| Rc::new(known.or(size)));
                    fields.insert(name, size);
                }
                Some(Rc::new(fields))
            }
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self {
            total: self.total.max(other.total),
            text: self.text.max(other.text),
            length: self.length.max(other.length),
            // If either side is not a number or has no bound, the result has no bound.
            number: self.number.zip(other.number).map(|(one, other)| one.max(other)),
            each: either(&self.each, &other.each),
            fields,
            key: self.key.max(other.key),
        }
    }

    pub(super) fn joined(sizes: impl IntoIterator<Item = Rc<ValueSize<'a>>>) -> Rc<ValueSize<'a>> {
        let mut sizes = sizes.into_iter();
        let Some(first) = sizes.next() else { return Rc::new(Self::scalar()) };
        sizes.fold(first, |all, size| Rc::new(all.or(&size)))
    }

    /// Returns the size of the value of a known key.
    pub(super) fn field(&self, name: &str) -> Rc<ValueSize<'a>> {
        let known = self.fields.as_ref().and_then(|fields| fields.get(name));
        Self::joined(known.into_iter().chain(&self.each).cloned())
    }

    /// Returns the size of the value at an unknown index or key.
    pub(super) fn element(&self) -> Rc<ValueSize<'a>> {
        Self::joined(
            self.fields.iter().flat_map(|fields| fields.values()).chain(&self.each).cloned(),
        )
    }

    /// Returns the size of what a comprehension iterates over: the elements of a list, the keys of a map.
    pub(super) fn iterated(&self) -> Self {
        let keys = self.key.map(|bytes| Rc::new(Self::text(bytes)));
        let Some(keys) = keys else { return self.clone() };
        let total = self.length.saturating_mul(keys.total).max(self.total);
        let each = Self::joined(self.each.iter().cloned().chain([keys]));
        Self { total, each: Some(each), fields: None, key: None, ..self.clone() }
    }

    /// Returns the size of an accumulator after `iterations` steps that each add to it. The CEL macros accumulate booleans
    /// and counts, which do not grow.
    pub(super) fn accumulated(&self, iterations: u64) -> Self {
        let iterations = iterations.max(1);
        let grows = self.text > 0 || self.length > 0;
        Self {
            total: if grows { self.total.saturating_mul(iterations) } else { self.total },
            text: self.text.saturating_mul(iterations),
            length: self.length.saturating_mul(iterations),
            number: None,
            ..self.clone()
        }
    }
}
