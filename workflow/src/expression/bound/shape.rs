//! How large a value may be, in each of the ways in which work depends on it.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

/// What every value takes beside its text and elements, in bytes.
pub(super) const OVERHEAD: u64 = 32;

/// Bounds of a value.
#[derive(Clone, Debug)]
pub(super) struct Shape<'a> {
    /// Bytes in all, with elements and overhead.
    pub(super) total: u64,
    /// Bytes of text, if it is a string or bytes.
    pub(super) text: u64,
    /// Elements, if it is a list or a map.
    pub(super) length: u64,
    /// The number, if it is one and something is known of it.
    pub(super) number: Option<u64>,
    /// What the elements of a list, or the values under unknown keys of a map, may be.
    pub(super) each: Option<Rc<Shape<'a>>>,
    /// What stands under known keys, if it may be a map.
    pub(super) fields: Option<Rc<BTreeMap<&'a str, Rc<Shape<'a>>>>>,
    /// Bytes of the longest key, if it may be a map.
    pub(super) key: Option<u64>,
}

impl<'a> Shape<'a> {
    /// A value without text or elements.
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

    /// A list of at most `length` such elements, of `total` bytes in all.
    pub(super) fn list(length: u64, each: Rc<Shape<'a>>, total: u64) -> Self {
        Self { total: total.saturating_add(OVERHEAD), length, each: Some(each), ..Self::scalar() }
    }

    pub(super) fn list_of(length: u64, each: Rc<Shape<'a>>) -> Self {
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
                let mut each: Option<Shape<'a>> = None;
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

    /// The bounds of a value that is one or the other.
    pub(super) fn or(&self, other: &Self) -> Self {
        fn either<'a>(
            one: &Option<Rc<Shape<'a>>>,
            other: &Option<Rc<Shape<'a>>>,
        ) -> Option<Rc<Shape<'a>>> {
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
                for (name, shape) in other.iter() {
                    let shape = fields
                        .get(name)
                        .map_or_else(|| shape.clone(), |known| Rc::new(known.or(shape)));
                    fields.insert(name, shape);
                }
                Some(Rc::new(fields))
            }
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self {
            total: self.total.max(other.total),
            text: self.text.max(other.text),
            length: self.length.max(other.length),
            // Where one side is no number, it has no value as one; where it is an unknown one, nothing is known.
            number: self.number.zip(other.number).map(|(one, other)| one.max(other)),
            each: either(&self.each, &other.each),
            fields,
            key: self.key.max(other.key),
        }
    }

    pub(super) fn joined(shapes: impl IntoIterator<Item = Rc<Shape<'a>>>) -> Rc<Shape<'a>> {
        let mut shapes = shapes.into_iter();
        let Some(first) = shapes.next() else { return Rc::new(Self::scalar()) };
        shapes.fold(first, |all, shape| Rc::new(all.or(&shape)))
    }

    /// What stands under a known key.
    pub(super) fn field(&self, name: &str) -> Rc<Shape<'a>> {
        let known = self.fields.as_ref().and_then(|fields| fields.get(name));
        Self::joined(known.into_iter().chain(&self.each).cloned())
    }

    /// What stands at an unknown index or key.
    pub(super) fn element(&self) -> Rc<Shape<'a>> {
        Self::joined(
            self.fields.iter().flat_map(|fields| fields.values()).chain(&self.each).cloned(),
        )
    }

    /// What a comprehension walks: the elements of a list, the keys of a map.
    pub(super) fn walked(&self) -> Self {
        let keys = self.key.map(|bytes| Rc::new(Self::text(bytes)));
        let Some(keys) = keys else { return self.clone() };
        let total = self.length.saturating_mul(keys.total).max(self.total);
        let each = Self::joined(self.each.iter().cloned().chain([keys]));
        Self { total, each: Some(each), fields: None, key: None, ..self.clone() }
    }

    /// What may have become of an accumulator that a step adds to in every round. The macros of the language accumulate
    /// booleans and counts, which do not grow.
    pub(super) fn grown(&self, rounds: u64) -> Self {
        let rounds = rounds.max(1);
        let grows = self.text > 0 || self.length > 0;
        Self {
            total: if grows { self.total.saturating_mul(rounds) } else { self.total },
            text: self.text.saturating_mul(rounds),
            length: self.length.saturating_mul(rounds),
            number: None,
            ..self.clone()
        }
    }
}
