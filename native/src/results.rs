//! What a batch hands out: dicts, payloads that were judged, or columns.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::batch::Board;
use crate::claims::Terms;
use crate::columns::{push, Column};
use crate::compact;
use crate::making::{fresh, Maker};

/// What is said of a token: nothing; that its claims are beyond doubt good; that its signature is, and no more.
const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const VERIFIED: u8 = 2;

/// What is said of each token, and the payloads of those whose signature is good.
pub type Payloads<'py> = (Bound<'py, PyBytes>, Vec<Option<Bound<'py, PyBytes>>>);
/// What is said of each token, the payloads of those that are merely verified, and the buffers of each column.
pub type Columns<'py> = (
    Bound<'py, PyBytes>,
    Bound<'py, PyDict>,
    Vec<Vec<Bound<'py, PyBytes>>>,
);

/// Tokens as Python has them, or as Arrow does: their octets in a row, and where each begins and the last one ends.
#[derive(FromPyObject)]
pub enum Texts<'py> {
    Arrow(Bound<'py, PyBytes>, Bound<'py, PyBytes>),
    Strings(Vec<Bound<'py, PyString>>),
}

impl Texts<'_> {
    /// The texts; None for what is none, or is longer than `longest` octets.
    pub fn all(&self, longest: usize) -> Vec<Option<&str>> {
        let short = |text: &&str| text.len() <= longest;
        match self {
            Self::Strings(strings) => {
                let text = |string| super::text(string).filter(short);
                strings.iter().map(text).collect()
            }
            Self::Arrow(octets, places) => {
                let octets = octets.as_bytes();
                let place = |four: &[u8]| {
                    four.iter()
                        .rev()
                        .fold(0, |sum, &octet| sum << 8 | usize::from(octet))
                };
                let places: Vec<usize> = places.as_bytes().chunks_exact(4).map(place).collect();
                // The octets are those from the first place on.
                let first = places.first().copied().unwrap_or(0);
                let text = |between: &[usize]| {
                    let end = between[1].checked_sub(first)?;
                    let text = octets.get(between[0].checked_sub(first)?..end)?;
                    std::str::from_utf8(text).ok().filter(short)
                };
                places.windows(2).map(text).collect()
            }
        }
    }
}

/// The claims of a verified payload if they are good beyond doubt, else the payload for Python to judge.
pub fn claims_or_bytes<'py>(
    py: Python<'py>,
    terms: Option<&Terms>,
    segment: &[u8],
    now: f64,
) -> Option<Bound<'py, PyAny>> {
    let Some(terms) = terms else {
        return super::payload_bytes(py, segment).map(Bound::into_any);
    };
    let payload = decoded(segment)?;
    let claims = terms.judge(&payload, now);
    let dict = claims.and_then(|claims| fresh(py, terms, &claims));
    Some(dict.map_or_else(|| PyBytes::new(py, &payload).into_any(), Bound::into_any))
}

/// As `claims_or_bytes` for every token of the board, in their order.
pub fn dicts<'py>(
    py: Python<'py>,
    terms: Option<&Terms>,
    board: &Board,
    len: usize,
    now: f64,
) -> Vec<Option<Bound<'py, PyAny>>> {
    let mut maker = terms.map(|terms| Maker::new(py, terms));
    in_turns(py, board, len, |at| {
        let segment = board.payload(at)?;
        let (Some(maker), Some(terms)) = (&mut maker, terms) else {
            return super::payload_bytes(py, segment).map(Bound::into_any);
        };
        let payload = decoded(segment)?;
        let claims = terms.judge(&payload, now);
        let dict = claims.and_then(|claims| maker.dict(&claims));
        Some(dict.map_or_else(|| PyBytes::new(py, &payload).into_any(), Bound::into_any))
    })
}

/// What is said of every token of the board, and the payloads.
pub fn payloads<'py>(
    py: Python<'py>,
    terms: Option<&Terms>,
    board: &Board,
    len: usize,
    now: f64,
) -> Payloads<'py> {
    let mut said = vec![UNKNOWN; len];
    let payloads = in_turns(py, board, len, |at| {
        let payload = super::payload_bytes(py, board.payload(at)?)?;
        let good = terms.is_some_and(|terms| terms.judge(payload.as_bytes(), now).is_some());
        said[at] = if good { GOOD } else { VERIFIED };
        Some(payload)
    });
    (PyBytes::new(py, &said), payloads)
}

/// What is said of every token of the board, and columns with a row for each; all without the GIL.
pub fn columns<'py>(
    py: Python<'py>,
    terms: Option<&Terms>,
    board: &Board,
    len: usize,
    now: f64,
    mut columns: Vec<Column>,
) -> PyResult<Columns<'py>> {
    let mut said = Vec::with_capacity(len);
    let mut others: Vec<(usize, Vec<u8>)> = Vec::new();
    py.detach(|| {
        board.with_helpers(|| {
            while said.len() < len {
                let end = (said.len() + STRETCH).min(len);
                board.verify_until(end);
                for at in said.len()..end {
                    let payload = board.payload(at).and_then(decoded);
                    let claims = payload.as_ref().zip(terms);
                    let claims = claims.and_then(|(payload, terms)| terms.judge(payload, now));
                    let size = payload.as_ref().map_or(0, Vec::len);
                    let word = match (push(&mut columns, claims.as_deref(), size), &payload) {
                        (true, _) => GOOD,
                        (false, Some(_)) => VERIFIED,
                        (false, None) => UNKNOWN,
                    };
                    drop(claims); // It borrows from the payload.
                    said.push(word);
                    if let (VERIFIED, Some(payload)) = (word, payload) {
                        others.push((at, payload));
                    }
                }
            }
        });
    });
    let payloads = PyDict::new(py);
    for (at, payload) in others {
        payloads.set_item(at, PyBytes::new(py, &payload))?;
    }
    let buffers = columns.iter().map(|column| column.buffers(py)).collect();
    Ok((PyBytes::new(py, &said), payloads, buffers))
}

/// Tokens that are verified before their claims are read: as many as stay in the processor's cache.
const STRETCH: usize = 512;

/// Answers for all tokens, made with the GIL; it is released while they are verified.
fn in_turns<T>(
    py: Python,
    board: &Board,
    len: usize,
    mut answer: impl FnMut(usize) -> Option<T>,
) -> Vec<Option<T>> {
    let mut answers = Vec::with_capacity(len);
    board.with_helpers(|| {
        while answers.len() < len {
            let end = super::halfway(answers.len(), len);
            py.detach(|| board.verify_until(end));
            for at in answers.len()..end {
                answers.push(answer(at));
            }
        }
        answers
    })
}

fn decoded(segment: &[u8]) -> Option<Vec<u8>> {
    let mut payload = vec![0; compact::decoded_len(segment.len())?];
    compact::decode(segment, &mut payload).then_some(payload)
}
