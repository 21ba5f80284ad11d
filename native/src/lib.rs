//! The native engine of py-identity-model: prepared keys, and compact JWS opened with them.
//!
//! Only the cryptography and the decoding around it live here. Policy, claims and the reasons of a
//! refusal stay in Python, which asks again on its own, slower path whenever the answer is None.
#![forbid(unsafe_code)]

mod algorithm;
mod batch;
mod compact;
mod der;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFrozenSet, PyString};

use crate::algorithm::{Refusal, Verifier, ALGORITHMS};
use crate::batch::Board;
use crate::compact::Parts;

/// A public key, or a shared secret, prepared once for exactly one algorithm.
#[pyclass(frozen, module = "py_identity_model_native")]
struct Key(Verifier);

#[pymethods]
impl Key {
    #[new]
    fn new(alg: &str, spki: &[u8]) -> PyResult<Self> {
        Verifier::new(alg, spki)
            .map(Self)
            .map_err(|refusal| match refusal {
                Refusal::UnknownAlgorithm => {
                    PyValueError::new_err("expected one of ALGORITHMS, got another algorithm")
                }
                Refusal::WrongKey => PyValueError::new_err(format!(
                    "expected a public key (SubjectPublicKeyInfo) or secret fit for {alg}"
                )),
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
        // A lone surrogate cannot be written as UTF-8, and has no place in a token.
        let text = token.to_str().ok()?;
        let parts = Parts::of(&self.0, text)?;
        if !parts.verified(&self.0) {
            return None;
        }
        payload_bytes(token.py(), parts.payload)
    }

    fn __repr__(&self) -> String {
        format!("Key({:?})", self.0.algorithm())
    }
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

/// Opens each token with the key beside it, with the GIL released, on up to `threads` threads.
///
/// With `then`, each payload goes through it on the calling thread while the others still verify.
#[pyfunction]
#[pyo3(signature = (keys, tokens, threads = 0, then = None))]
fn open_many<'py>(
    py: Python<'py>,
    keys: Vec<Bound<'py, Key>>,
    tokens: Vec<Bound<'py, PyString>>,
    threads: usize,
    then: Option<Bound<'py, PyAny>>,
) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
    if keys.len() != tokens.len() {
        return Err(PyValueError::new_err(format!(
            "expected one key per token, got {} keys for {} tokens",
            keys.len(),
            tokens.len()
        )));
    }
    let work = keys
        .iter()
        .zip(&tokens)
        .map(|(key, token)| (&key.get().0, token.to_str().ok()));
    let board = Board::new(work.collect(), threads);
    let mut answers = Vec::with_capacity(tokens.len());
    board.with_helpers(|| {
        while answers.len() < tokens.len() {
            let end = then
                .as_ref()
                .map_or(tokens.len(), |_| halfway(answers.len(), tokens.len()));
            py.detach(|| board.verify_until(end));
            for at in answers.len()..end {
                let payload = board.payload(at);
                let payload = payload.and_then(|segment| payload_bytes(py, segment));
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

#[pymodule(gil_used = false)]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::{open_many, Key};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let names = ALGORITHMS.iter().map(|algorithm| algorithm.name);
        module.add("ALGORITHMS", PyFrozenSet::new(module.py(), names)?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
