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
        payload_bytes(token.py(), compact::verified_payload(&self.0, text)?)
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
#[pyfunction]
#[pyo3(signature = (keys, tokens, threads = 0))]
fn open_many<'py>(
    py: Python<'py>,
    keys: Vec<Bound<'py, Key>>,
    tokens: Vec<Bound<'py, PyString>>,
    threads: usize,
) -> PyResult<Vec<Option<Bound<'py, PyBytes>>>> {
    if keys.len() != tokens.len() {
        return Err(PyValueError::new_err(format!(
            "expected one key per token, got {} keys for {} tokens",
            keys.len(),
            tokens.len()
        )));
    }
    let work: Vec<_> = keys
        .iter()
        .zip(&tokens)
        .map(|(key, token)| (&key.get().0, token.to_str().ok()))
        .collect();
    let payloads = py.detach(|| batch::verified_payloads(&work, threads));
    Ok(payloads
        .into_iter()
        .map(|segment| payload_bytes(py, segment?))
        .collect())
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
