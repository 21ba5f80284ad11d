//! A compact JWS (RFC 7515 7.1), from its text to its verified payload.

use base64_simd::{Out, URL_SAFE_NO_PAD};

use crate::algorithm::{Verifier, MAX_SIGNATURE};

/// Room for every signature but those of ML-DSA and of RSA keys above 4096 bits.
const USUAL_SIGNATURE: usize = 512;

/// Checks form and signature; returns the payload segment, still encoded.
pub fn verified_payload<'a>(verifier: &Verifier, token: &'a str) -> Option<&'a [u8]> {
    let (header, _) = token.split_once('.')?;
    // The length of the signature is known beforehand, and with it the place of the second dot.
    let token = token.as_bytes();
    let second = token
        .len()
        .checked_sub(verifier.encoded_signature_len() + 1)?;
    let payload = token.get(header.len() + 1..second)?;
    let (signing_input, signature) = token.split_at(second);
    let signature = signature.strip_prefix(b".")?;
    if header.is_empty() || payload.is_empty() {
        return None;
    }
    let good = if verifier.signature_len() <= USUAL_SIGNATURE {
        check::<USUAL_SIGNATURE>(verifier, signing_input, signature)
    } else {
        check::<MAX_SIGNATURE>(verifier, signing_input, signature)
    };
    good.then_some(payload)
}

fn check<const ROOM: usize>(verifier: &Verifier, signing_input: &[u8], signature: &[u8]) -> bool {
    let mut room = [0; ROOM];
    let octets = &mut room[..verifier.signature_len()];
    decode(signature, octets) && verifier.verify(signing_input, octets)
}

/// The octets that `len` base64url characters stand for, or None if no octets are written so.
pub fn decoded_len(len: usize) -> Option<usize> {
    (len % 4 != 1).then_some(len / 4 * 3 + (len % 4 * 3) / 4)
}

/// Decodes canonical base64url without padding (RFC 7515 2) into exactly `out`.
///
/// RFC 4648 3.5: bits beyond the last octet must be zero, so that one value has one spelling.
pub fn decode(text: &[u8], out: &mut [u8]) -> bool {
    let len = out.len();
    match URL_SAFE_NO_PAD.decode(text, Out::from_slice(out)) {
        Ok(decoded) => decoded.len() == len,
        Err(_) => false,
    }
}
