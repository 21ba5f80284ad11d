//! A compact JWS (RFC 7515 7.1), from its text to its verified payload.

use base64_simd::{Out, URL_SAFE_NO_PAD};

use crate::algorithm::{Verifier, MAX_SIGNATURE};

/// Room for every signature but those of ML-DSA and of RSA keys above 4096 bits.
const USUAL_SIGNATURE: usize = 512;

/// A token taken apart. The segments are still encoded, and not checked beyond their dots.
pub struct Parts<'a> {
    pub signing_input: &'a [u8],
    pub payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits a token whose signature is of the length that this verifier's signatures have.
    pub fn of(verifier: &Verifier, token: &'a str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        // The length of the signature is known beforehand, and with it the place of the second dot.
        // A third one would lie in a segment that is still to be decoded, where no dot passes.
        let token = token.as_bytes();
        let second = token
            .len()
            .checked_sub(verifier.encoded_signature_len() + 1)?;
        let payload = token.get(header.len() + 1..second)?;
        let (signing_input, signature) = token.split_at(second);
        let signature = signature.strip_prefix(b".")?;
        (!header.is_empty() && !payload.is_empty()).then_some(Self {
            signing_input,
            payload,
            signature,
        })
    }

    /// Whether the signature is canonical base64url and good.
    pub fn verified(&self, verifier: &Verifier) -> bool {
        if verifier.signature_len() <= USUAL_SIGNATURE {
            self.verified_in::<USUAL_SIGNATURE>(verifier)
        } else {
            self.verified_in::<MAX_SIGNATURE>(verifier)
        }
    }

    /// The signature itself, if it is canonical base64url of exactly the octets that there is room for.
    pub fn decode_signature(&self, out: &mut [u8]) -> bool {
        decode(self.signature, out)
    }

    fn verified_in<const ROOM: usize>(&self, verifier: &Verifier) -> bool {
        let mut room = [0; ROOM];
        let octets = &mut room[..verifier.signature_len()];
        self.decode_signature(octets) && verifier.verify(self.signing_input, octets)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::hmac;

    const SECRET: [u8; 32] = [7; 32];

    fn verifier() -> Verifier {
        Verifier::new("HS256", &SECRET).unwrap()
    }

    fn signed(signing_input: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        let tag = hmac::sign(&key, signing_input.as_bytes());
        format!(
            "{signing_input}.{}",
            URL_SAFE_NO_PAD.encode_to_string(tag.as_ref())
        )
    }

    fn opened(token: &str) -> Option<Vec<u8>> {
        let verifier = verifier();
        let parts = Parts::of(&verifier, token)?;
        let mut payload = vec![0; decoded_len(parts.payload.len())?];
        (parts.verified(&verifier) && decode(parts.payload, &mut payload)).then_some(payload)
    }

    #[test]
    fn a_good_token_is_opened() {
        assert_eq!(opened(&signed("e30.e30")).as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn every_other_last_character_of_the_signature_is_refused() {
        let token = signed("e30.e30");
        let (start, last) = token.split_at(token.len() - 1);
        for character in (0..128_u8).map(char::from) {
            let good = opened(&format!("{start}{character}")).is_some();
            assert_eq!(good, last == character.to_string());
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let token = signed("e30.e30");
        for end in 0..token.len() {
            assert_eq!(opened(&token[..end]), None);
        }
        for extra in ["=", "A", ".", " ", "\0", "\n", "é"] {
            assert_eq!(opened(&format!("{token}{extra}")), None);
        }
    }

    #[test]
    fn segments_must_be_three_and_not_empty_even_if_signed() {
        for signing_input in ["", ".", "e30", ".e30", "e30.", "e30..e30", "e30.e30.e30"] {
            assert_eq!(opened(&signed(signing_input)), None, "{signing_input}");
        }
    }

    #[test]
    fn a_signed_payload_must_be_canonical() {
        for payload in [
            "e3", "e31", "e30=", "e+0", "e/0", "e30\n", " e30", "é30", "a",
        ] {
            assert_eq!(
                opened(&signed(&format!("e30.{payload}"))),
                None,
                "{payload}"
            );
        }
    }

    #[test]
    fn every_length_and_every_character_decode_as_the_slow_way_says() {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for len in 0..200 {
            let text: Vec<u8> = (0..len).map(|at| ALPHABET[(at * 7 + len) % 64]).collect();
            let bits: Vec<u8> = text
                .iter()
                .map(|digit| ALPHABET.iter().position(|other| other == digit).unwrap())
                .flat_map(|value| (0..6).rev().map(move |bit| (value >> bit & 1) as u8))
                .collect();
            let octets: Vec<u8> = bits
                .chunks_exact(8)
                .map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | bit))
                .collect();
            let rest = &bits[octets.len() * 8..];
            let canonical = rest.len() < 6 && rest.iter().all(|&bit| bit == 0);
            let mut out = vec![0; octets.len()];
            assert_eq!(decode(&text, &mut out), canonical, "{len}");
            assert_eq!(decoded_len(len), (len % 4 != 1).then_some(octets.len()));
            if canonical {
                assert_eq!(out, octets);
            }
            for at in 0..len {
                for hostile in (0..=255_u8).filter(|octet| !ALPHABET.contains(octet)) {
                    let mut text = text.clone();
                    text[at] = hostile;
                    assert!(!decode(&text, &mut out), "{hostile} at {at} of {len}");
                }
            }
        }
    }
}
