//! The algorithm table, and a public key made ready for exactly one row of it.

use aws_lc_rs::digest::{self, digest, SHA256, SHA384, SHA512};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    EcdsaVerificationAlgorithm, ParsedPublicKey, PqdsaVerificationAlgorithm, RsaParameters,
    VerificationAlgorithm, ECDSA_P256K1_SHA256_ASN1, ECDSA_P256_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_44, ML_DSA_65, ML_DSA_87,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
};

use multibuffer::Lanes;

use crate::der;
use crate::lanes::{LaneKey, Padding};

/// One JWS algorithm: its registered name and how its signatures are checked.
pub struct Algorithm {
    pub name: &'static str,
    family: Family,
}

enum Family {
    Rsa(&'static RsaParameters, &'static digest::Algorithm, Padding),
    Ecdsa(
        &'static EcdsaVerificationAlgorithm,
        &'static digest::Algorithm,
        Curve,
    ),
    Ed25519,
    /// The verification, its AlgorithmIdentifier, and the octets of a signature.
    MlDsa(&'static PqdsaVerificationAlgorithm, &'static [u8], usize),
    Hmac(hmac::Algorithm),
}

/// The curve's AlgorithmIdentifier, the octets of one coordinate, and its name for the lanes where there are any.
type Curve = (&'static [u8], usize, Option<multibuffer::Curve>);

use Family::{Ecdsa, Ed25519, Hmac, MlDsa, Rsa};

const fn row(name: &'static str, family: Family) -> Algorithm {
    Algorithm { name, family }
}

/// RFC 7518 3.1, RFC 8037 3.1, RFC 8812 3.2, RFC 9864 2.2 and the ML-DSA registrations.
pub static ALGORITHMS: [Algorithm; 18] = [
    row(
        "RS256",
        Rsa(&RSA_PKCS1_2048_8192_SHA256, &SHA256, Padding::Pkcs1),
    ),
    row(
        "RS384",
        Rsa(&RSA_PKCS1_2048_8192_SHA384, &SHA384, Padding::Pkcs1),
    ),
    row(
        "RS512",
        Rsa(&RSA_PKCS1_2048_8192_SHA512, &SHA512, Padding::Pkcs1),
    ),
    row(
        "PS256",
        Rsa(&RSA_PSS_2048_8192_SHA256, &SHA256, Padding::Pss),
    ),
    row(
        "PS384",
        Rsa(&RSA_PSS_2048_8192_SHA384, &SHA384, Padding::Pss),
    ),
    row(
        "PS512",
        Rsa(&RSA_PSS_2048_8192_SHA512, &SHA512, Padding::Pss),
    ),
    row(
        "ES256",
        Ecdsa(
            &ECDSA_P256_SHA256_ASN1,
            &SHA256,
            (der::P256, 32, Some(multibuffer::Curve::P256)),
        ),
    ),
    row(
        "ES384",
        Ecdsa(
            &ECDSA_P384_SHA384_ASN1,
            &SHA384,
            (der::P384, 48, Some(multibuffer::Curve::P384)),
        ),
    ),
    row(
        "ES512",
        Ecdsa(
            &ECDSA_P521_SHA512_ASN1,
            &SHA512,
            (der::P521, 66, Some(multibuffer::Curve::P521)),
        ),
    ),
    row(
        "ES256K",
        Ecdsa(
            &ECDSA_P256K1_SHA256_ASN1,
            &SHA256,
            (der::SECP256K1, 32, None),
        ),
    ),
    row("EdDSA", Ed25519),
    row("Ed25519", Ed25519),
    row("ML-DSA-44", MlDsa(&ML_DSA_44, der::ML_DSA_44, 2420)),
    row("ML-DSA-65", MlDsa(&ML_DSA_65, der::ML_DSA_65, 3309)),
    row("ML-DSA-87", MlDsa(&ML_DSA_87, der::ML_DSA_87, 4627)),
    row("HS256", Hmac(hmac::HMAC_SHA256)),
    row("HS384", Hmac(hmac::HMAC_SHA384)),
    row("HS512", Hmac(hmac::HMAC_SHA512)),
];

/// The longest signature of the table (ML-DSA-87).
pub const MAX_SIGNATURE: usize = 4627;

/// Why a key cannot be prepared. Never says anything about the key's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownAlgorithm,
    WrongKey,
}

/// A key parsed once, for exactly one algorithm. Immutable, and free to be shared by threads.
pub struct Verifier {
    algorithm: &'static Algorithm,
    key: Prepared,
    signature_len: usize,
    lane: Option<LaneKey>,
}

// Where there is a digest, taking it first and verifying that is 0.1 to 0.2 µs faster in AWS-LC than
// handing it the whole message, which sets up one context more.
enum Prepared {
    Rsa(ParsedPublicKey, &'static digest::Algorithm),
    Ecdsa(ParsedPublicKey, &'static digest::Algorithm),
    Whole(ParsedPublicKey),
    Symmetric(Box<hmac::Key>),
}

impl Verifier {
    /// Prepares a SubjectPublicKeyInfo, or for `HS*` the secret itself, for the algorithm `name`.
    pub fn new(name: &str, key: &[u8]) -> Result<Self, Refusal> {
        let algorithm = ALGORITHMS
            .iter()
            .find(|algorithm| algorithm.name == name)
            .ok_or(Refusal::UnknownAlgorithm)?;
        let octets = key;
        let (key, signature_len) = match algorithm.family {
            Rsa(parameters, digest, _) => {
                let (key, signature_len) = rsa(parameters, key)?;
                (Prepared::Rsa(key, digest), signature_len)
            }
            Ecdsa(verification, digest, (identifier, width, _)) => {
                let key = parse(verification, key, identifier)?;
                (Prepared::Ecdsa(key, digest), 2 * width)
            }
            Ed25519 => {
                let key = parse(&ED25519, key, der::ED25519)?;
                (Prepared::Whole(key), 64)
            }
            MlDsa(verification, identifier, signature_len) => {
                let key = parse(verification, key, identifier)?;
                (Prepared::Whole(key), signature_len)
            }
            Hmac(algorithm) => symmetric(algorithm, key)?,
        };
        Ok(Self {
            algorithm,
            key,
            signature_len,
            lane: Lanes::get().and_then(|_| lane_key(&algorithm.family, octets)),
        })
    }

    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name
    }

    /// The exact number of octets a signature under this key has.
    pub fn signature_len(&self) -> usize {
        self.signature_len
    }

    /// The number of base64url characters that such a signature is written in.
    pub fn encoded_signature_len(&self) -> usize {
        (self.signature_len * 4).div_ceil(3)
    }

    /// The same key for eight signatures at once, where there are lanes for it.
    pub fn lane(&self) -> Option<&LaneKey> {
        self.lane.as_ref()
    }

    /// A rough price of one verification in microseconds, to decide how many threads pay.
    pub fn cost(&self) -> usize {
        match self.key {
            Prepared::Symmetric(_) => 1,
            _ => 16,
        }
    }

    /// Whether `signature`, in the form JWS carries it, is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        if signature.len() != self.signature_len {
            return false;
        }
        match &self.key {
            Prepared::Rsa(key, algorithm) => key
                .verify_digest_sig(&digest(algorithm, message), signature)
                .is_ok(),
            Prepared::Ecdsa(key, algorithm) => {
                // AWS-LC verifies the ASN.1 form only. Its own conversion costs 0.6 µs more than this.
                let mut buffer = [0; der::MAX_ECDSA_SIGNATURE];
                let signature = der::ecdsa_signature(signature, &mut buffer);
                key.verify_digest_sig(&digest(algorithm, message), signature)
                    .is_ok()
            }
            Prepared::Whole(key) => key.verify_sig(message, signature).is_ok(),
            Prepared::Symmetric(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// Of a key that AWS-LC accepted: a point lies on its curve, an RSA key is of a size that is allowed.
fn lane_key(family: &Family, spki: &[u8]) -> Option<LaneKey> {
    match *family {
        Rsa(_, digest, padding) => LaneKey::rsa(der::public_key(spki, der::RSA)?, padding, digest),
        Ecdsa(_, digest, (identifier, _, curve)) => {
            LaneKey::ecdsa(curve?, der::public_key(spki, identifier)?, digest)
        }
        Ed25519 => LaneKey::ed25519(der::public_key(spki, der::ED25519)?),
        MlDsa(..) | Hmac(_) => None,
    }
}

fn parse(
    verification: &'static dyn VerificationAlgorithm,
    spki: &[u8],
    identifier: &[u8],
) -> Result<ParsedPublicKey, Refusal> {
    // AWS-LC also takes raw points, PKCS#1 and trailing octets: one form only is allowed here.
    der::public_key(spki, identifier).ok_or(Refusal::WrongKey)?;
    ParsedPublicKey::new(verification, spki).map_err(|_| Refusal::WrongKey)
}

fn rsa(
    parameters: &'static RsaParameters,
    spki: &[u8],
) -> Result<(ParsedPublicKey, usize), Refusal> {
    let pkcs1 = der::public_key(spki, der::RSA).ok_or(Refusal::WrongKey)?;
    let bits = RsaParameters::public_modulus_len(pkcs1).map_err(|_| Refusal::WrongKey)?;
    if !(parameters.min_modulus_len()..=parameters.max_modulus_len()).contains(&bits) {
        return Err(Refusal::WrongKey);
    }
    let key = parse(parameters, spki, der::RSA)?;
    Ok((key, bits.div_ceil(8) as usize))
}

fn symmetric(algorithm: hmac::Algorithm, secret: &[u8]) -> Result<(Prepared, usize), Refusal> {
    let signature_len = algorithm.digest_algorithm().output_len();
    // RFC 7518 3.2: a key of the same size as the hash output or larger MUST be used.
    if secret.len() < signature_len {
        return Err(Refusal::WrongKey);
    }
    Ok((
        Prepared::Symmetric(Box::new(hmac::Key::new(algorithm, secret))),
        signature_len,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_algorithm_is_refused() {
        for name in ["", "none", "rs256", "RS1", "ES256 ", "Ed448"] {
            assert_eq!(
                Verifier::new(name, &[0; 64]).err(),
                Some(Refusal::UnknownAlgorithm)
            );
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, algorithm) in ALGORITHMS.iter().enumerate() {
            assert!(ALGORITHMS[index + 1..]
                .iter()
                .all(|other| other.name != algorithm.name));
        }
    }

    #[test]
    fn no_family_but_hmac_takes_bytes_that_are_no_public_key() {
        for algorithm in &ALGORITHMS {
            let refused = Verifier::new(algorithm.name, &[0; 64]).is_err();
            assert_eq!(refused, !algorithm.name.starts_with("HS"));
        }
    }

    #[test]
    fn a_secret_shorter_than_the_hash_is_refused() {
        for (name, size) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
            assert!(Verifier::new(name, &vec![7; size]).is_ok());
            assert_eq!(
                Verifier::new(name, &vec![7; size - 1]).err(),
                Some(Refusal::WrongKey)
            );
        }
    }

    #[test]
    fn a_signature_of_another_length_is_refused() {
        let verifier = Verifier::new("HS256", &[7; 32]).unwrap();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), b"message");
        assert!(verifier.verify(b"message", tag.as_ref()));
        assert!(!verifier.verify(b"message", &tag.as_ref()[..31]));
        assert!(!verifier.verify(b"message", &[tag.as_ref(), b"\0"].concat()));
        assert!(!verifier.verify(b"other", tag.as_ref()));
    }
}
