//! Dicts of claims that were found good, with as little as possible made anew.
//!
//! Keys are made once per key set. A batch also keeps the dict of the token before: where the next one has the same
//! names, only values that differ are put in, and a copy of it is handed out. Lists and objects can be changed by those
//! who get them, so each dict has its own.

use std::sync::PoisonError;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};

use crate::claims::{Claim, Terms};
use crate::json::Value;

/// Claim names beyond those of the first token that are remembered as Python strings, and the longest of them.
const MAX_NAMES: usize = 256;
const MAX_NAME: usize = 32;
/// A claim that differed so often is not compared with the token before any more.
const MISSES: u8 = 4;

/// Makes the dicts of a batch.
pub struct Maker<'py, 't> {
    py: Python<'py>,
    terms: &'t Terms,
    /// The dict of the token before, which nobody else has, and where its names stand among the first token's.
    before: Option<Bound<'py, PyDict>>,
    shape: Vec<usize>,
    values: Vec<Before<'py>>,
}

/// The value that a claim had in the token before.
#[derive(Default)]
struct Before<'py> {
    text: String,
    made: Option<Bound<'py, PyString>>,
    misses: u8,
}

impl<'py, 't> Maker<'py, 't> {
    pub fn new(py: Python<'py>, terms: &'t Terms) -> Self {
        Self {
            py,
            terms,
            before: None,
            shape: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The claims as a dict of its own; None if Python has no memory left.
    pub fn dict(&mut self, claims: &[Claim]) -> Option<Bound<'py, PyDict>> {
        let same = self.shape.len() == claims.len()
            && self
                .shape
                .iter()
                .zip(claims)
                .all(|(at, claim)| claim.known == Some(*at));
        match &self.before {
            Some(before) if same => {
                let before = before.clone();
                let made = self.update(&before, claims).and(before.copy().ok());
                if made.is_none() {
                    self.before = None; // It may have been left half way.
                }
                made
            }
            _ => self.begin(claims),
        }
    }

    fn begin(&mut self, claims: &[Claim]) -> Option<Bound<'py, PyDict>> {
        let dict = fresh(self.py, self.terms, claims)?;
        let shape: Option<Vec<usize>> = claims.iter().map(|claim| claim.known).collect();
        let Some(shape) = shape else {
            return Some(dict); // It has names of its own, as few tokens do.
        };
        self.shape = shape;
        self.values.clear();
        self.values.resize_with(claims.len(), Before::default);
        self.before = Some(dict.copy().ok()?);
        Some(dict)
    }

    fn update(&mut self, dict: &Bound<'py, PyDict>, claims: &[Claim]) -> Option<()> {
        for ((claim, at), before) in claims.iter().zip(&self.shape).zip(&mut self.values) {
            let value = match &claim.value {
                Value::Text(text) => match before.take(self.py, text) {
                    Some(value) => value.into_any(),
                    None => continue,
                },
                other => {
                    before.forget();
                    made(self.py, other)?
                }
            };
            let key = key(self.py, self.terms, *at)?;
            dict.set_item(key, value).ok()?;
        }
        Some(())
    }
}

impl<'py> Before<'py> {
    /// The dict gets another value than a string: none that was there before is there any more.
    fn forget(&mut self) {
        self.made = None;
    }

    /// The string for `text`, or None if the dict has it already.
    fn take(&mut self, py: Python<'py>, text: &str) -> Option<Bound<'py, PyString>> {
        if self.misses == MISSES {
            return Some(PyString::new(py, text));
        }
        if self.made.is_some() && self.text == text {
            self.misses = 0;
            return None;
        }
        self.misses += u8::from(self.made.is_some());
        self.text.clear();
        self.text.push_str(text);
        let made = PyString::new(py, text);
        self.made = Some(made.clone());
        Some(made)
    }
}

/// The claims as a dict, for a token that is alone.
pub fn fresh<'py>(py: Python<'py>, terms: &Terms, claims: &[Claim]) -> Option<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for claim in claims {
        let value = made(py, &claim.value)?;
        match claim.known {
            Some(at) => dict.set_item(key(py, terms, at)?, value),
            None => dict.set_item(other_key(py, terms, claim.name), value),
        }
        .ok()?;
    }
    Some(dict)
}

/// The name that stands at `at` in the first good token.
fn key<'a, 'py>(py: Python<'py>, terms: &'a Terms, at: usize) -> Option<&'a Bound<'py, PyString>> {
    let name = terms.first().get(at)?;
    // Not made inside the cell's lock: Python may let another thread run meanwhile.
    if name.string.get().is_none() {
        let _ = name.string.set(PyString::new(py, &name.text).unbind());
    }
    name.string.get().map(|string| string.bind(py))
}

fn other_key<'py>(py: Python<'py>, terms: &Terms, name: &str) -> Bound<'py, PyString> {
    let names = terms.names.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known.bind(py).clone();
    }
    let full = names.len() >= MAX_NAMES || name.len() > MAX_NAME;
    // No Python object is made while the lock is held.
    drop(names);
    let string = PyString::new(py, name);
    if !full {
        let kept = string.clone().unbind();
        let mut names = terms.names.write().unwrap_or_else(PoisonError::into_inner);
        names.entry(name.into()).or_insert(kept);
    }
    string
}

fn made<'py>(py: Python<'py>, value: &Value) -> Option<Bound<'py, PyAny>> {
    Some(match value {
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Integer(integer) => PyInt::new(py, *integer).into_any(),
        Value::Bool(said) => PyBool::new(py, *said).to_owned().into_any(),
        Value::Null => py.None().into_bound(py),
        Value::List(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| made(py, item)).collect();
            PyList::new(py, items?).ok()?.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, value) in members {
                dict.set_item(name, made(py, value)?).ok()?;
            }
            dict.into_any()
        }
    })
}
