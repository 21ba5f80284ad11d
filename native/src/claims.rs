//! Payloads as issuers write them every day, judged without Python.
//!
//! Only what is beyond doubt is answered here: plain JSON whose claims are what the policy asks for. Whatever
//! else a payload holds (escapes, fractions, deep nesting, a member twice, a claim that is not as it must be)
//! makes the answer None, and Python, which alone refuses and explains, reads the payload itself.

use std::collections::{HashMap, HashSet};
use std::sync::{OnceLock, RwLock};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::json::{plain, Reader, Value, MAX_MEMBERS};

/// Seconds since 1970 beyond which a NumericDate is no date.
const MAX_DATE: i64 = 1_000_000_000_000;
/// OpenID Connect Core 2.
const MAX_SUBJECT: usize = 255;

/// What a member name means to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Further names that occurred, as Python strings.
    pub names: RwLock<HashMap<Box<str>, Py<PyString>>>,
}

/// A member name, what it means, and the Python string for it once that was needed.
pub struct Name {
    pub text: Box<str>,
    role: Role,
    /// Its bit among those that are required, or none.
    bit: u32,
    pub string: OnceLock<Py<PyString>>,
}

/// A claim of a payload that was found good.
pub struct Claim<'a> {
    pub name: &'a str,
    /// Where the name stands among those of the first good token.
    pub known: Option<usize>,
    pub value: Value<'a>,
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

    /// The names of the first good token; none before there was one.
    pub fn first(&self) -> &[Name] {
        self.first.get().map_or(&[], Vec::as_slice)
    }

    /// The claims of an everyday payload that is good at the time `now`, in their order.
    pub fn judge<'a>(&self, payload: &'a [u8], now: f64) -> Option<Vec<Claim<'a>>> {
        let first = self.first();
        let mut claims: Vec<Claim> = Vec::with_capacity(first.len().max(16));
        let mut trial = Trial::new(self, now);
        let mut next = 0;
        Reader::of(plain(payload)?).members(|name, value| {
            let ahead = first.get(next..).unwrap_or_default();
            let known = ahead.iter().position(|known| *known.text == *name);
            let known = known.map(|further| next + further);
            let (role, bit) = match known {
                Some(at) => {
                    next = at + 1; // From here on, so those that are known are not the same twice.
                    (first[at].role, first[at].bit)
                }
                None => {
                    let twice = claims.iter().any(|other| other.name == name);
                    (!twice && claims.len() < MAX_MEMBERS).then(|| self.meaning(name))?
                }
            };
            trial.hear(role, bit, &value)?;
            claims.push(Claim { name, known, value });
            Some(())
        })?;
        trial.passed().then_some(())?;
        if self.first.get().is_none() {
            // Another thread may have been first.
            let _ = self.first.set(self.learned(&claims));
        }
        Some(claims)
    }

    fn learned(&self, claims: &[Claim]) -> Vec<Name> {
        let name = |claim: &Claim| {
            let (role, bit) = self.meaning(claim.name);
            Name {
                text: claim.name.into(),
                role,
                bit,
                string: OnceLock::new(),
            }
        };
        claims.iter().map(name).collect()
    }

    fn meaning(&self, name: &str) -> (Role, u32) {
        let place = self.required.iter().position(|required| required == name);
        (self.role(name), place.map_or(0, |place| 1 << place))
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

/// What is known of a payload so far.
struct Trial<'t, 'a> {
    terms: &'t Terms,
    now: f64,
    latest: f64,
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
    audience_good: bool,
    expires_good: bool,
    issued_good: bool,
    missing: u32,
}

impl<'t, 'a> Trial<'t, 'a> {
    fn new(terms: &'t Terms, now: f64) -> Self {
        Self {
            terms,
            now,
            latest: now + terms.ahead,
            issuer: None,
            subject: None,
            audience_good: false,
            expires_good: false,
            issued_good: false,
            missing: (1 << terms.required.len()) - 1,
        }
    }

    /// None if a claim is not as it must be.
    fn hear(&mut self, role: Role, bit: u32, value: &Value<'a>) -> Option<()> {
        let terms = self.terms;
        match role {
            Role::Plain => {}
            Role::Issuer => {
                let text = value.text()?;
                self.issuer = is_one_of(text, &terms.issuers).then_some(text);
            }
            Role::Audience => {
                self.audience_good = is_one_of(value.sole_text()?, &terms.audiences);
            }
            Role::Expires => {
                let expires = value.integer()?;
                self.expires_good = expires <= MAX_DATE && self.now - terms.leeway < expires as f64;
            }
            Role::NotBefore | Role::Issued => {
                let date = value.integer()?;
                if date < -MAX_DATE || date as f64 > self.latest {
                    return None;
                }
                self.issued_good |= role == Role::Issued;
            }
            Role::Subject => {
                let text = value.text()?;
                let long = text.len() > MAX_SUBJECT && text.chars().count() > MAX_SUBJECT;
                if text.is_empty() || long {
                    return None;
                }
                self.subject = Some(text);
            }
            Role::Identifier => {
                value.text()?;
            }
            Role::SaidType => is_one_of(value.text()?, &terms.types).then_some(())?,
            Role::SaidUse => is_one_of(value.text()?, &terms.uses).then_some(())?,
            Role::Forbidden => return None,
        }
        // Null says as little as nothing.
        if !matches!(value, Value::Null) {
            self.missing &= !bit;
        }
        Some(())
    }

    fn passed(&self) -> bool {
        let good = self.audience_good && self.expires_good && self.issued_good && self.missing == 0;
        // A token about its own issuer is a client's assertion, and one about nobody needs a longer look.
        let known = self.issuer.is_some() && self.subject.is_some() && self.issuer != self.subject;
        good && known
    }
}

fn is_one_of(text: &str, accepted: &[String]) -> bool {
    accepted.iter().any(|one| one == text)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const GOOD: &str = r#"{"iss":"i","aud":"a","sub":"s","iat":100,"exp":200,"scope":"x y"}"#;

    pub fn terms() -> Terms {
        let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Terms::new(GivenTerms {
            issuers: set(&["i", "j"]),
            audiences: set(&["a"]),
            forbidden: set(&["nonce"]),
            required: vec!["scope".to_owned()],
            leeway: 0.0,
            ahead: 10.0,
            types: vec!["Bearer".to_owned()],
            uses: vec![],
        })
        .unwrap()
    }

    fn good(terms: &Terms, payload: &str) -> bool {
        terms.judge(payload.as_bytes(), 150.0).is_some()
    }

    #[test]
    fn everyday_claims_are_good_in_any_order_and_company() {
        let terms = terms();
        for _ in 0..2 {
            assert!(good(&terms, GOOD));
            assert!(good(
                &terms,
                r#"{"exp":200,"scope":"x","iat":160,"sub":"s","aud":["a"],"iss":"j","typ":"Bearer"}"#
            ));
            assert!(good(&terms, &GOOD.replace("{", r#"{"extra":{"a":[1]},"#)));
        }
    }

    #[test]
    fn whatever_is_in_doubt_is_for_python() {
        let terms = terms();
        let odd = [
            ("\"iss\":\"i\"", "\"iss\":\"k\""),
            ("\"iss\":\"i\"", "\"iss\":[\"i\"]"),
            ("\"iss\":\"i\",", ""),
            ("\"a\"", "\"b\""),
            ("\"a\"", "[\"a\",\"b\"]"),
            ("\"a\"", "[]"),
            ("\"a\"", "null"),
            ("\"s\"", "\"i\""),
            ("\"s\"", "\"\""),
            ("\"s\"", "5"),
            ("\"sub\":\"s\",", ""),
            ("100", "161"),
            ("100", "\"100\""),
            ("100", "100.5"),
            ("\"iat\":100,", ""),
            ("200", "150"),
            ("200", "149"),
            ("200", "1000000000001"),
            ("200", "null"),
            ("\"exp\":200,", ""),
            ("\"x y\"", "null"),
            (",\"scope\":\"x y\"", ""),
            ("}", ",\"nonce\":\"n\"}"),
            ("}", ",\"jti\":1}"),
            ("}", ",\"typ\":\"ID\"}"),
            ("}", ",\"token_use\":\"id\"}"),
            ("}", ",\"nbf\":161}"),
            ("}", ",\"iss\":\"i\"}"),
            ("}", ",\"scope\":\"x y\"}"),
            ("}", ",\"z\":1,\"z\":1}"),
            ("{", "{\"exp\":200,"),
        ];
        for first in [false, true] {
            if first {
                assert!(good(&terms, GOOD)); // From here on names are known.
            }
            for (old, new) in odd {
                let payload = GOOD.replacen(old, new, 1);
                assert_ne!(payload, GOOD);
                assert!(!good(&terms, &payload), "{payload}");
            }
        }
    }

    #[test]
    fn known_names_are_told_by_their_places() {
        let terms = terms();
        let places = |payload: &str| -> Vec<Option<usize>> {
            let claims = terms.judge(payload.as_bytes(), 150.0).unwrap();
            claims.iter().map(|claim| claim.known).collect()
        };
        assert_eq!(places(GOOD), vec![None; 6]);
        assert_eq!(places(GOOD), (0..6).map(Some).collect::<Vec<_>>());
        let odd = GOOD.replace("\"sub\"", "\"z\":1,\"sub\"");
        assert_eq!(places(&odd)[2..4], [None, Some(2)]);
    }

    #[test]
    fn no_more_members_are_counted_than_are_cheap() {
        let terms = terms();
        let many = |count: usize| {
            let more: String = (0..count).map(|n| format!(",\"n{n}\":1")).collect();
            GOOD.replace("}", &format!("{more}}}"))
        };
        assert!(good(&terms, &many(MAX_MEMBERS - 6)));
        assert!(!good(&terms, &many(MAX_MEMBERS - 5)));
    }
}
