//! The native engine of py-identity-model: prepared keys, and compact JWS opened with them.
//!
//! Only the cryptography and the decoding around it live here. Policy, claims and the reasons of a
//! refusal stay in Python, which asks again on its own, slower path whenever the answer is None.
#![forbid(unsafe_code)]

mod algorithm;
mod batch;
mod claims;
mod columns;
mod compact;
mod der;
mod json;
mod lanes;
mod making;
mod results;

use std::collections::HashMap;

use multibuffer::{Lanes, LANES};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFrozenSet, PyString};

use crate::algorithm::{Refusal, Verifier, ALGORITHMS};
use crate::batch::Board;
use crate::claims::{GivenTerms, Terms};
use crate::columns::Column;
use crate::compact::Parts;
use crate::json::{plain, Reader};
use crate::lanes::Job;
use crate::results::Texts;

/// A public key, or a shared secret, prepared once for exactly one algorithm.
#[pyclass(frozen, module = "py_identity_model_native")]
struct Key(Verifier);

#[pymethods]
impl Key {
    #[new]
    fn new(alg: &str, spki: &[u8]) -> PyResult<Self> {
        let prepared = Verifier::new(alg, spki).map(Self);
        prepared.map_err(|refusal| {
            PyValueError::new_err(match refusal {
                Refusal::UnknownAlgorithm => {
                    "expected one of ALGORITHMS, got another algorithm".to_owned()
                }
                Refusal::WrongKey if alg.starts_with("HS") => {
                    format!("expected a secret as long as the hash of {alg}, got a shorter one")
                }
                Refusal::WrongKey => {
                    format!("expected a SubjectPublicKeyInfo in DER fit for {alg}, got another key")
                }
            })
        })
    }

    /// Whether this key made `signature` over `signing_input`. Holds the GIL.
    #[pyo3(signature = (signing_input, signature, /))]
    fn verify(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        self.0.verify(signing_input, signature)
    }

    /// The payload of a well-formed compact JWS with a good signature, else None. Holds the GIL.
    #[pyo3(signature = (token, /))]
    fn open<'py>(&self, token: &Bound<'py, PyString>) -> Option<Bound<'py, PyBytes>> {
        open(token.py(), &self.0, text(token)?)
    }

    fn __repr__(&self) -> String {
        format!("Key({:?})", self.0.algorithm())
    }
}

/// Keys by the exact header segment that leads to each. Finding them here saves Python 0.2 µs.
#[pyclass(frozen, module = "py_identity_model_native")]
struct Opener {
    keys: HashMap<String, Py<Key>>,
    terms: Option<Terms>,
    lanes: Option<Lanes>,
}

#[pymethods]
impl Opener {
    #[new]
    #[pyo3(signature = (keys, terms = None, multibuffer = true))]
    fn new(keys: HashMap<String, Py<Key>>, terms: Option<GivenTerms>, multibuffer: bool) -> Self {
        Self {
            keys,
            terms: terms.and_then(Terms::new),
            lanes: lanes_if(multibuffer),
        }
    }

    /// As `open`, but a payload whose claims are beyond doubt good at the time `now` comes as a dict.
    #[pyo3(signature = (token, now, /))]
    fn read<'py>(&self, token: &Bound<'py, PyString>, now: f64) -> Option<Bound<'py, PyAny>> {
        let text = text(token)?;
        let verifier = self.verifier(text)?;
        let parts = Parts::of(verifier, text)?;
        if !parts.verified(verifier) {
            return None;
        }
        self.claims_or_bytes(token.py(), parts.payload, now)
    }

    /// As `read` for many tokens, with the GIL released while they are verified.
    #[pyo3(signature = (tokens, now, threads = 0))]
    fn read_many<'py>(
        &self,
        py: Python<'py>,
        tokens: Vec<Bound<'py, PyString>>,
        now: f64,
        threads: usize,
    ) -> Vec<Option<Bound<'py, PyAny>>> {
        let board = self.board(&tokens, threads);
        results::dicts(py, self.terms.as_ref(), &board, tokens.len(), now)
    }

    /// What is said of each token, and the payloads of those whose signature is good.
    ///
    /// An octet for each: 1 if its claims are beyond doubt good, 2 if that is left to the caller, else 0.
    #[pyo3(signature = (tokens, now, threads = 0))]
    fn payloads_many<'py>(
        &self,
        py: Python<'py>,
        tokens: Vec<Bound<'py, PyString>>,
        now: f64,
        threads: usize,
    ) -> results::Payloads<'py> {
        let board = self.board(&tokens, threads);
        results::payloads(py, self.terms.as_ref(), &board, tokens.len(), now)
    }

    /// As `payloads_many`, with claims of the good tokens as Arrow columns, and payloads of the others only.
    #[pyo3(signature = (tokens, longest, now, columns, threads = 0))]
    fn columns_many<'py>(
        &self,
        py: Python<'py>,
        tokens: Texts<'py>,
        longest: usize,
        now: f64,
        columns: Vec<(String, String)>,
        threads: usize,
    ) -> PyResult<results::Columns<'py>> {
        let texts = tokens.all(longest);
        let len = texts.len();
        let column = |(name, kind): (String, String)| {
            Column::new(name, &kind, len)
                .ok_or_else(|| PyValueError::new_err("expected a type of columns, got another"))
        };
        let columns = columns.into_iter().map(column).collect::<PyResult<_>>()?;
        let work = texts
            .into_iter()
            .map(|text| Some((self.verifier(text?)?, text?)));
        let board = Board::new(work.collect(), threads, self.lanes);
        results::columns(py, self.terms.as_ref(), &board, len, now, columns)
    }

    /// As `Key.open`, with the key of the token's header segment; None if there is none.
    #[pyo3(signature = (token, /))]
    fn open<'py>(&self, token: &Bound<'py, PyString>) -> Option<Bound<'py, PyBytes>> {
        let text = text(token)?;
        open(token.py(), self.verifier(text)?, text)
    }

    /// As the function `open_many`, with the key of each token's header segment.
    #[pyo3(signature = (tokens, threads = 0, then = None))]
    fn open_many<'py>(
        &self,
        py: Python<'py>,
        tokens: Vec<Bound<'py, PyString>>,
        threads: usize,
        then: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
        let work = tokens.iter().map(|token| {
            let text = text(token)?;
            Some((self.verifier(text)?, text))
        });
        open_all(py, Board::new(work.collect(), threads, self.lanes), then)
    }

    fn __len__(&self) -> usize {
        self.keys.len()
    }
}

impl Opener {
    fn claims_or_bytes<'py>(
        &self,
        py: Python<'py>,
        segment: &[u8],
        now: f64,
    ) -> Option<Bound<'py, PyAny>> {
        results::claims_or_bytes(py, self.terms.as_ref(), segment, now)
    }

    /// The tokens, each with the key of its header segment.
    fn board<'a>(&'a self, tokens: &'a [Bound<'_, PyString>], threads: usize) -> Board<'a> {
        let work = tokens.iter().map(|token| {
            let text = text(token)?;
            Some((self.verifier(text)?, text))
        });
        Board::new(work.collect(), threads, self.lanes)
    }

    fn verifier(&self, text: &str) -> Option<&Verifier> {
        let (header, _) = text.split_once('.')?;
        self.keys.get(header).map(|key| &key.get().0)
    }
}

/// The issuer that a token names, of which nothing is verified; None if it is not plain to see.
#[pyfunction]
#[pyo3(signature = (token, /))]
fn peek_issuer<'py>(token: &Bound<'py, PyString>) -> Option<Bound<'py, PyString>> {
    let (_, rest) = text(token)?.split_once('.')?;
    let (segment, _) = rest.rsplit_once('.')?;
    let mut payload = vec![0; compact::decoded_len(segment.len())?];
    if !compact::decode(segment.as_bytes(), &mut payload) {
        return None;
    }
    let mut issuer = None;
    Reader::of(plain(&payload)?).members(|name, value| {
        if name != "iss" {
            return Some(());
        }
        issuer = value.text();
        None // Far enough: whether it comes again is for those to see who judge the claims.
    });
    Some(PyString::new(token.py(), issuer?))
}

/// Opens each token with the key beside it, with the GIL released, on up to `threads` threads.
///
/// With `then`, each payload goes through it on the calling thread while the others still verify.
#[pyfunction]
#[pyo3(signature = (keys, tokens, threads = 0, then = None, multibuffer = true))]
fn open_many<'py>(
    py: Python<'py>,
    keys: Vec<Bound<'py, Key>>,
    tokens: Vec<Bound<'py, PyString>>,
    threads: usize,
    then: Option<Bound<'py, PyAny>>,
    multibuffer: bool,
) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
    if keys.len() != tokens.len() {
        return Err(PyValueError::new_err(format!(
            "expected one key per token, got {} keys for {} tokens",
            keys.len(),
            tokens.len()
        )));
    }
    let pairs = keys.iter().zip(&tokens);
    let work = pairs.map(|(key, token)| Some((&key.get().0, text(token)?)));
    open_all(
        py,
        Board::new(work.collect(), threads, lanes_if(multibuffer)),
        then,
    )
}

/// The lanes of this processor, unless they are not wanted.
fn lanes_if(wanted: bool) -> Option<Lanes> {
    wanted.then(Lanes::get).flatten()
}

/// What the lanes say of one signature each, None where AWS-LC is to judge. For proofs that both agree.
#[pyfunction]
#[pyo3(signature = (jobs, /))]
fn judge(jobs: Vec<(Bound<Key>, Vec<u8>, Vec<u8>)>) -> PyResult<Vec<Option<bool>>> {
    let mut filled = [None; LANES];
    for ((key, message, signature), job) in jobs.iter().zip(&mut filled) {
        let verifier = &key.get().0;
        let fits = verifier
            .lane()
            .filter(|_| signature.len() == verifier.signature_len());
        *job = fits.map(|key| Job {
            key,
            message,
            signature,
        });
    }
    let mut classes = filled.iter().flatten().map(|job| job.key.class());
    let first = classes.next();
    if jobs.len() > LANES || classes.any(|class| Some(class) != first) {
        return Err(PyValueError::new_err(format!(
            "expected at most {LANES} keys, of one kind and size"
        )));
    }
    let found = Lanes::get().map_or([None; LANES], |lanes| lanes::judge(lanes, &filled));
    Ok(found[..jobs.len()].to_vec())
}

fn open_all<'py>(
    py: Python<'py>,
    board: Board,
    then: Option<Bound<'py, PyAny>>,
) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
    let len = board.len();
    let mut answers = Vec::with_capacity(len);
    board.with_helpers(|| {
        while answers.len() < len {
            let end = match then {
                Some(_) => halfway(answers.len(), len),
                None => len,
            };
            py.detach(|| board.verify_until(end));
            for at in answers.len()..end {
                let segment = board.payload(at);
                let payload = segment.and_then(|segment| payload_bytes(py, segment));
                answers.push(match (payload, &then) {
                    (Some(payload), Some(then)) => Some(then.call1((at, payload))?),
                    (payload, _) => payload.map(Bound::into_any),
                });
            }
        }
        Ok(answers)
    })
}

/// Where to take the GIL back next. Each time may mean waiting for another Python thread, so it is
/// done some log2(len) times only; and what is left to the end, with no helper at work, stays short.
fn halfway(done: usize, len: usize) -> usize {
    (done + ((len - done) / 2).max(32)).min(len)
}

/// The token's characters where they lie. A lone surrogate has no place in a token, nor in UTF-8.
fn text<'a>(token: &'a Bound<PyString>) -> Option<&'a str> {
    token.to_str().ok()
}

fn open<'py>(py: Python<'py>, verifier: &Verifier, token: &str) -> Option<Bound<'py, PyBytes>> {
    let parts = Parts::of(verifier, token)?;
    if !parts.verified(verifier) {
        return None;
    }
    payload_bytes(py, parts.payload)
}

/// Decodes a payload segment straight into a new `bytes`.
fn payload_bytes<'py>(py: Python<'py>, segment: &[u8]) -> Option<Bound<'py, PyBytes>> {
    let len = compact::decoded_len(segment.len())?;
    let mut good = false;
    let payload = PyBytes::new_with(py, len, |out| {
        good = compact::decode(segment, out);
        Ok(())
    });
    payload.ok().filter(|_| good)
}

#[pymodule(gil_used = false)]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::{judge, open_many, peek_issuer, Key, Opener};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let names = ALGORITHMS.iter().map(|algorithm| algorithm.name);
        module.add("ALGORITHMS", PyFrozenSet::new(module.py(), names)?)?;
        module.add("MULTIBUFFER", Lanes::get().is_some())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
