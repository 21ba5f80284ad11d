//! Chosen claims of many tokens as Arrow columns, without a Python object per token.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::claims::Claim;
use crate::json::Value;

/// Integers up to this one, and the negatives of them, are the same number as floats.
const MAX_EXACT: u64 = 1 << 53;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Float,
    Bool,
    Texts,
    /// As `Texts`, and a string alone is a list of it: `aud` (RFC 7519 4.1.3).
    OneOrMore,
}

/// A claim as a column of one type; `null` where the token does not have it.
pub struct Column {
    name: String,
    kind: Kind,
    len: usize,
    validity: Vec<u8>,
    /// Where each value ends, and in a list each item.
    ends: Vec<i32>,
    item_ends: Vec<i32>,
    data: Vec<u8>,
}

impl Column {
    /// None if there is no such type.
    pub fn new(name: String, kind: &str, rows: usize) -> Option<Self> {
        let kind = match kind {
            "str" => Kind::Text,
            "int" => Kind::Integer,
            "float" => Kind::Float,
            "bool" => Kind::Bool,
            "list[str]" if name == "aud" => Kind::OneOrMore,
            "list[str]" => Kind::Texts,
            _ => return None,
        };
        Some(Self {
            name,
            kind,
            len: 0,
            validity: Vec::with_capacity(rows / 8 + 1),
            ends: vec![0],
            item_ends: vec![0],
            data: Vec::new(),
        })
    }

    /// The value of this claim, if the token has it and it fits; `Err` if it has another one.
    fn fitting<'c, 'a>(&self, claims: &'c [Claim<'a>]) -> Result<Option<&'c Value<'a>>, ()> {
        let Some(claim) = claims.iter().find(|claim| claim.name == self.name) else {
            return Ok(None);
        };
        let texts = |items: &[Value]| items.iter().all(|item| item.text().is_some());
        let fits = match (&claim.value, self.kind) {
            (Value::Text(_), Kind::Text | Kind::OneOrMore) => true,
            (Value::Integer(_), Kind::Integer) => true,
            (Value::Integer(integer), Kind::Float) => integer.unsigned_abs() <= MAX_EXACT,
            (Value::Bool(_), Kind::Bool) => true,
            (Value::List(items), Kind::Texts | Kind::OneOrMore) => texts(items),
            _ => false,
        };
        fits.then_some(Some(&claim.value)).ok_or(())
    }

    fn push(&mut self, value: Option<&Value>) {
        let bit = self.len % 8;
        if bit == 0 {
            self.validity.push(0);
        }
        if let Some(last) = self.validity.last_mut() {
            *last |= u8::from(value.is_some()) << bit;
        }
        match self.kind {
            Kind::Text => {
                if let Some(Value::Text(text)) = value {
                    self.data.extend_from_slice(text.as_bytes());
                }
                self.ends.push(place(self.data.len()));
            }
            Kind::Integer => {
                let integer = value.and_then(Value::integer).unwrap_or(0);
                self.data.extend_from_slice(&integer.to_le_bytes());
            }
            Kind::Float => {
                let integer = value.and_then(Value::integer).unwrap_or(0);
                self.data.extend_from_slice(&(integer as f64).to_le_bytes());
            }
            Kind::Bool => {
                if bit == 0 {
                    self.data.push(0);
                }
                if let Some(last) = self.data.last_mut() {
                    *last |= u8::from(value == Some(&Value::Bool(true))) << bit;
                }
            }
            Kind::Texts | Kind::OneOrMore => {
                let items = match value {
                    Some(Value::List(items)) => items.as_slice(),
                    Some(one) => std::slice::from_ref(one),
                    None => &[],
                };
                for text in items.iter().filter_map(Value::text) {
                    self.data.extend_from_slice(text.as_bytes());
                    self.item_ends.push(place(self.data.len()));
                }
                self.ends.push(place(self.item_ends.len() - 1));
            }
        }
        self.len += 1;
    }

    /// The buffers, as Arrow has them: which rows have a value, where values end, where items end, and the values.
    pub fn buffers<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let places = |ends: &[i32]| {
            let octets: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
            PyBytes::new(py, &octets)
        };
        let mut buffers = vec![PyBytes::new(py, &self.validity)];
        if matches!(self.kind, Kind::Text | Kind::Texts | Kind::OneOrMore) {
            buffers.push(places(&self.ends));
        }
        if matches!(self.kind, Kind::Texts | Kind::OneOrMore) {
            buffers.push(places(&self.item_ends));
        }
        buffers.push(PyBytes::new(py, &self.data));
        buffers
    }

    fn has_room(&self, len: usize) -> bool {
        i32::try_from(self.data.len().max(self.item_ends.len()) + len).is_ok()
    }
}

/// A row more; with `claims` only if each column has a place for its own, else of nulls. Says whether they were taken.
pub fn push(columns: &mut [Column], claims: Option<&[Claim]>, payload: usize) -> bool {
    let fits = |column: &Column, claims: &[Claim]| column.fitting(claims).is_ok();
    let claims = claims.filter(|claims| {
        columns
            .iter()
            .all(|column| fits(column, claims) && column.has_room(payload))
    });
    for column in columns {
        let value = claims.and_then(|claims| column.fitting(claims).ok().flatten());
        column.push(value);
    }
    claims.is_some()
}

/// `has_room` was asked before, so there is one.
fn place(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::tests::{terms, GOOD};

    fn taken(name: &str, kind: &str, value: &str) -> (bool, Column) {
        let payload = GOOD.replace('}', &format!(",\"z\":{value}}}"));
        let claims = terms().judge(payload.as_bytes(), 150.0).unwrap();
        let mut columns = [Column::new(name.to_owned(), kind, 1).unwrap()];
        let taken = push(&mut columns, Some(&claims), payload.len());
        let [column] = columns;
        (taken, column)
    }

    #[test]
    fn a_column_takes_what_fits_and_nothing_else() {
        for (kind, value, fits) in [
            ("str", "\"é\"", true),
            ("str", "5", false),
            ("str", "null", false),
            ("str", "[\"a\"]", false),
            ("int", "-5", true),
            ("int", "\"5\"", false),
            ("int", "true", false),
            ("float", "9007199254740992", true),
            ("float", "-9007199254740993", false),
            ("float", "\"1\"", false),
            ("bool", "true", true),
            ("bool", "1", false),
            ("list[str]", "[]", true),
            ("list[str]", "[\"a\",\"\"]", true),
            ("list[str]", "\"a\"", false),
            ("list[str]", "[\"a\",1]", false),
            ("list[str]", "{}", false),
        ] {
            let (taken, column) = taken("z", kind, value);
            assert_eq!(taken, fits, "{kind} {value}");
            assert_eq!(column.validity, [u8::from(fits)]);
        }
        let (taken, column) = taken("aud", "list[str]", "1");
        assert!(taken && column.data == b"a" && column.ends == [0, 1]);
    }

    #[test]
    fn there_are_no_other_types() {
        assert!(Column::new("z".to_owned(), "bytes", 1).is_none());
    }

    #[test]
    fn rows_stand_at_their_places() {
        let payload = GOOD.replace('}', ",\"z\":[\"p\",\"qr\"],\"b\":true}");
        let terms = terms();
        let claims = terms.judge(payload.as_bytes(), 150.0).unwrap();
        let names = [
            ("z", "list[str]"),
            ("sub", "str"),
            ("b", "bool"),
            ("exp", "int"),
            ("none", "str"),
        ];
        let column = |(name, kind): (&str, &str)| Column::new(name.to_owned(), kind, 20).unwrap();
        let mut columns = names.map(column);
        for row in 0..20 {
            let claims = (row % 3 == 0).then_some(&claims[..]);
            assert_eq!(push(&mut columns, claims, 1), claims.is_some());
        }
        let [z, sub, b, exp, none] = columns;
        assert_eq!(z.validity, [0b0100_1001, 0b1001_0010, 0b0000_0100]);
        assert_eq!(z.ends[..5], [0, 2, 2, 2, 4]);
        assert_eq!(z.item_ends[..4], [0, 1, 3, 4]);
        assert_eq!(sub.data, b"sssssss");
        assert_eq!(sub.ends[18..], [6, 7, 7]);
        assert_eq!(b.data, z.validity);
        assert_eq!(exp.data.len(), 160);
        assert_eq!(none.validity, [0, 0, 0]);
    }
}
