//! Payloads as issuers write them every day, straight into a dict, and judged on the way.
//!
//! Only what is beyond doubt is answered here: plain JSON whose claims are what the policy asks for. Whatever
//! else a payload holds (escapes, fractions, deep nesting, a member twice, a claim that is not as it must be)
//! makes the answer None, and Python, which alone refuses and explains, reads the payload itself.

use std::collections::{HashMap, HashSet};
use std::sync::{OnceLock, PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};

/// Seconds since 1970 beyond which a NumericDate is no date.
const MAX_DATE: i64 = 1_000_000_000_000;
/// OpenID Connect Core 2.
const MAX_SUBJECT: usize = 255;
/// Objects and arrays inside one another; deeper ones are for Python.
const MAX_DEPTH: usize = 8;
/// Claim names remembered as Python strings, and the longest of them.
const MAX_NAMES: usize = 256;
const MAX_NAME: usize = 32;

/// What a member name means to the policy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Plain,
    Issuer,
    Audience,
    Expires,
    NotBefore,
    Issued,
    Subject,
    Identifier,
    SaidType,
    SaidUse,
    Forbidden,
}

/// What the claims must be, as Python's `everyday` has it.
pub struct Terms {
    // A few, and mostly one: comparing is faster than hashing.
    issuers: Vec<String>,
    audiences: Vec<String>,
    forbidden: HashSet<String>,
    required: Vec<String>,
    leeway: f64,
    ahead: f64,
    /// What a token may say of itself in `typ` and in `token_use`.
    types: Vec<String>,
    uses: Vec<String>,
    /// The names of the first good token in its order, which is the order of the next ones too.
    first: OnceLock<Vec<Name>>,
    names: RwLock<HashMap<Box<str>, Name>>,
}

/// A member name, as a Python string that is made once, and what it means.
struct Name {
    text: Box<str>,
    string: Py<PyString>,
    role: Role,
    /// Its bit among those that are required, or none.
    bit: u32,
}

impl Name {
    fn clone(&self, py: Python) -> Self {
        Self {
            text: self.text.clone(),
            string: self.string.clone_ref(py),
            role: self.role,
            bit: self.bit,
        }
    }
}

/// The fields of Python's `Terms`, by name.
#[derive(FromPyObject)]
pub struct GivenTerms {
    issuers: HashSet<String>,
    audiences: HashSet<String>,
    forbidden: HashSet<String>,
    required: Vec<String>,
    leeway: f64,
    ahead: f64,
    #[pyo3(default)]
    types: Vec<String>,
    #[pyo3(default)]
    uses: Vec<String>,
}

impl Terms {
    /// None if more claims are required than there are bits to count them in.
    pub fn new(given: GivenTerms) -> Option<Self> {
        (given.required.len() <= 31).then(|| Self {
            issuers: given.issuers.into_iter().collect(),
            audiences: given.audiences.into_iter().collect(),
            forbidden: given.forbidden,
            required: given.required,
            leeway: given.leeway,
            ahead: given.ahead,
            types: given.types,
            uses: given.uses,
            first: OnceLock::new(),
            names: RwLock::new(HashMap::new()),
        })
    }

    /// The claims of an everyday payload that is good at the time `now`.
    pub fn read<'py>(
        &self,
        py: Python<'py>,
        payload: &[u8],
        now: f64,
    ) -> Option<Bound<'py, PyDict>> {
        if !is_plain(payload) {
            return None;
        }
        let text = std::str::from_utf8(payload).ok()?;
        let mut reader = Reader { py, text, at: 0 };
        let claims = self.claims(&mut reader, now)?;
        reader.skip_space();
        (reader.at == text.len()).then_some(claims)
    }

    fn claims<'py>(&self, reader: &mut Reader<'py, '_>, now: f64) -> Option<Bound<'py, PyDict>> {
        let claims = PyDict::new(reader.py);
        let latest = now + self.ahead;
        let (mut issuer, mut subject) = (None, None);
        let (mut audience_good, mut expires_good, mut issued_good) = (false, false, false);
        let mut missing: u32 = (1 << self.required.len()) - 1;
        let mut count = 0;
        let first = self.first.get();
        reader.skip_space();
        reader.take(b'{')?;
        reader.skip_space();
        if reader.peek()? == b'}' {
            return None; // No exp.
        }
        loop {
            reader.skip_space();
            let name = reader.string()?;
            let known = first.and_then(|names| names.get(count));
            let (key, role, bit) = match known.filter(|known| *known.text == *name) {
                Some(known) => (known.string.bind(reader.py).clone(), known.role, known.bit),
                None => self.name(reader.py, name),
            };
            reader.skip_space();
            reader.take(b':')?;
            reader.skip_space();
            let value = reader.value(1)?;
            match role {
                Role::Plain => {}
                Role::Issuer => {
                    let text = value.text()?;
                    issuer = is_one_of(text, &self.issuers).then_some(text);
                }
                Role::Audience => audience_good = is_one_of(value.sole_text()?, &self.audiences),
                Role::Expires => {
                    let expires = value.integer()?;
                    expires_good = expires <= MAX_DATE && now - self.leeway < expires as f64;
                }
                Role::NotBefore | Role::Issued => {
                    let date = value.integer()?;
                    if date < -MAX_DATE || date as f64 > latest {
                        return None;
                    }
                    issued_good |= role == Role::Issued;
                }
                Role::Subject => {
                    let text = value.text()?;
                    if text.is_empty() || text.chars().count() > MAX_SUBJECT {
                        return None;
                    }
                    subject = Some(text);
                }
                Role::Identifier => {
                    value.text()?;
                }
                Role::SaidType => is_one_of(value.text()?, &self.types).then_some(())?,
                Role::SaidUse => is_one_of(value.text()?, &self.uses).then_some(())?,
                Role::Forbidden => return None,
            }
            missing &= !bit;
            claims.set_item(key, value.into_python(reader.py)?).ok()?;
            count += 1;
            reader.skip_space();
            match reader.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        // A member that came twice took the place of the first.
        let good = audience_good && expires_good && issued_good && missing == 0;
        // A token about its own issuer is a client's assertion, and one about nobody needs a longer look.
        let known = issuer.is_some() && subject.is_some() && issuer != subject;
        if !good || !known || claims.len() != count {
            return None;
        }
        if first.is_none() {
            self.remember_order(&claims);
        }
        Some(claims)
    }

    fn remember_order(&self, claims: &Bound<PyDict>) {
        let keys = claims.keys(); // Made before the lock is held.
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let known = keys.iter().map_while(|key| {
            let key = key.cast_into::<PyString>().ok()?;
            let name = names.get(key.to_str().ok()?)?;
            Some(name.clone(key.py()))
        });
        let known = known.collect();
        drop(names);
        let _ = self.first.set(known); // Another thread may have been first.
    }

    /// A name as a Python string, the same one each time where it is short, its role, and its bit.
    fn name<'py>(&self, py: Python<'py>, name: &str) -> (Bound<'py, PyString>, Role, u32) {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return (known.string.bind(py).clone(), known.role, known.bit);
        }
        let full = names.len() >= MAX_NAMES || name.len() > MAX_NAME;
        // No Python object is made while the lock is held.
        drop(names);
        let (string, role) = (PyString::new(py, name), self.role(name));
        let place = self.required.iter().position(|required| required == name);
        let bit = place.map_or(0, |place| 1 << place);
        if !full {
            let known = Name {
                text: name.into(),
                string: string.clone().unbind(),
                role,
                bit,
            };
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            names.entry(name.into()).or_insert(known);
        }
        (string, role, bit)
    }

    fn role(&self, name: &str) -> Role {
        match name {
            _ if self.forbidden.contains(name) => Role::Forbidden,
            "iss" => Role::Issuer,
            "aud" => Role::Audience,
            "exp" => Role::Expires,
            "nbf" => Role::NotBefore,
            "iat" => Role::Issued,
            "sub" => Role::Subject,
            "jti" => Role::Identifier,
            "typ" => Role::SaidType,
            "token_use" => Role::SaidUse,
            _ => Role::Plain,
        }
    }
}

/// A JSON value; strings still lie in the payload.
enum Value<'py, 'a> {
    Text(&'a str),
    Integer(i64),
    List(Bound<'py, PyList>, Option<&'a str>),
    Other(Bound<'py, PyAny>),
}

impl<'py, 'a> Value<'py, 'a> {
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, or the text that is alone in a list.
    fn sole_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_, sole) => *sole,
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    fn into_python(self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        Some(match self {
            Self::Text(text) => PyString::new(py, text).into_any(),
            Self::Integer(integer) => integer.into_pyobject(py).ok()?.into_any(),
            Self::List(list, _) => list.into_any(),
            Self::Other(other) => other,
        })
    }
}

struct Reader<'py, 'a> {
    py: Python<'py>,
    text: &'a str,
    at: usize,
}

impl<'py, 'a> Reader<'py, 'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes())
            .then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let string = self.text.get(self.at..)?.split_once('"')?.0;
        self.at += string.len() + 1;
        Some(string)
    }

    fn value(&mut self, depth: usize) -> Option<Value<'py, 'a>> {
        Some(match self.peek()? {
            b'"' => Value::Text(self.string()?),
            b'[' => self.list(depth)?,
            b'{' => Value::Other(self.object(depth)?),
            b'-' | b'0'..=b'9' => Value::Integer(self.integer()?),
            b't' => {
                self.word("true")?;
                Value::Other(PyBool::new(self.py, true).to_owned().into_any())
            }
            b'f' => {
                self.word("false")?;
                Value::Other(PyBool::new(self.py, false).to_owned().into_any())
            }
            b'n' => {
                self.word("null")?;
                Value::Other(self.py.None().into_bound(self.py))
            }
            _ => return None,
        })
    }

    /// An integer of at most 18 digits. What follows it must be what follows a value, or no one takes it.
    fn integer(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let start = self.at;
        let mut value: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let digits = &self.text.as_bytes()[start..self.at];
        match digits {
            [] => None,
            [b'0'] if negative => None, // Minus zero.
            [b'0', _, ..] => None,
            _ => Some(if negative { -value } else { value }),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value<'py, 'a>> {
        let depth = deeper(depth)?;
        self.take(b'[')?;
        self.skip_space();
        let mut items = Vec::new();
        let mut sole = None;
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.skip_space();
                let value = self.value(depth)?;
                sole = if items.is_empty() { value.text() } else { None };
                items.push(value.into_python(self.py)?);
                self.skip_space();
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        Some(Value::List(PyList::new(self.py, items).ok()?, sole))
    }

    fn object(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        let depth = deeper(depth)?;
        let members = PyDict::new(self.py);
        let mut count = 0;
        self.take(b'{')?;
        self.skip_space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(members.into_any());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            let value = self.value(depth)?.into_python(self.py)?;
            members.set_item(name, value).ok()?;
            count += 1;
            self.skip_space();
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        (members.len() == count).then(|| members.into_any())
    }
}

fn is_one_of(text: &str, accepted: &[String]) -> bool {
    accepted.iter().any(|one| one == text)
}

/// Whether there is no backslash and no control character, so that each string ends at the next quote.
fn is_plain(text: &[u8]) -> bool {
    // Without a branch, so that the compiler makes vector instructions of it.
    let odd = |octet: u8| u8::from(octet < 0x20) | u8::from(octet == b'\\');
    text.iter().fold(0, |found, &octet| found | odd(octet)) == 0
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}
