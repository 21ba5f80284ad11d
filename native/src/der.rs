//! The little DER this crate needs: one shape of public key in, ECDSA signatures out.

/// AlgorithmIdentifiers (RFC 3279 2.3.1, RFC 5480 2.1.1, RFC 8410 3, RFC 9881 2).
pub const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
pub const P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
pub const P521: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
pub const SECP256K1: &[u8] =
    b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a";
pub const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
pub const ML_DSA_44: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11";
pub const ML_DSA_65: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12";
pub const ML_DSA_87: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13";

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

/// The key inside a SubjectPublicKeyInfo of exactly this AlgorithmIdentifier, with nothing after it.
pub fn public_key<'a>(spki: &'a [u8], identifier: &[u8]) -> Option<&'a [u8]> {
    let body = whole(spki, SEQUENCE)?;
    let bits = whole(body.strip_prefix(identifier)?, BIT_STRING)?;
    bits.strip_prefix(&[0]) // RFC 5480 2.2: the number of unused bits is always zero.
}

/// The modulus and the public exponent of an RSAPublicKey (RFC 8017 A.1.1), without leading zeros.
pub fn rsa_numbers(pkcs1: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = whole(pkcs1, SEQUENCE)?;
    let (modulus, exponent) = cut(body)?;
    Some((unsigned(modulus)?, unsigned(exponent)?))
}

/// An element and what follows it.
fn cut(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = match *input.get(1)? {
        0x82 => 4 + usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?])),
        0x81 => 3 + usize::from(*input.get(2)?),
        len => 2 + usize::from(len),
    };
    input.split_at_checked(header)
}

/// The digits of an INTEGER that is positive and minimal.
fn unsigned(integer: &[u8]) -> Option<&[u8]> {
    match *whole(integer, INTEGER)? {
        [0, ref digits @ ..] if digits.first()? & 0x80 != 0 => Some(digits),
        [1..=0x7f, ..] => whole(integer, INTEGER),
        _ => None,
    }
}

/// The contents of `input` if it is one element of type `tag` and nothing else.
fn whole(input: &[u8], tag: u8) -> Option<&[u8]> {
    let (len, contents) = match *input.strip_prefix(&[tag])? {
        [0x82, high, low, ref contents @ ..] if high != 0 => {
            (usize::from(u16::from_be_bytes([high, low])), contents)
        }
        [0x81, len @ 0x80..=0xff, ref contents @ ..] => (usize::from(len), contents),
        [len @ 0..=0x7f, ref contents @ ..] => (usize::from(len), contents),
        _ => return None,
    };
    (contents.len() == len).then_some(contents)
}

/// Two 66-octet integers with a leading zero each, their headers, and a header of three octets.
pub const MAX_ECDSA_SIGNATURE: usize = 3 + 2 * (2 + 1 + 66);

/// Writes r and s, side by side as RFC 7518 3.4 has them, as the ASN.1 that AWS-LC parses.
pub fn ecdsa_signature<'a>(raw: &[u8], out: &'a mut [u8; MAX_ECDSA_SIGNATURE]) -> &'a [u8] {
    let (r, s) = raw.split_at(raw.len() / 2);
    let middle = integer(r, out, 3);
    let end = integer(s, out, middle);
    let len = (end - 3) as u8; // At most 138.
    let start = if len < 0x80 { 1 } else { 0 };
    out[start] = SEQUENCE;
    if start == 0 {
        out[1] = 0x81;
    }
    out[2] = len;
    &out[start..end]
}

/// Writes one unsigned big-endian number as a minimal INTEGER and returns where it ends.
fn integer(number: &[u8], out: &mut [u8; MAX_ECDSA_SIGNATURE], at: usize) -> usize {
    let zeros = number.iter().take_while(|&&octet| octet == 0).count();
    let digits = &number[zeros.min(number.len() - 1)..];
    let sign = usize::from(digits[0] >> 7);
    let start = at + 2 + sign;
    let end = start + digits.len();
    out[at] = INTEGER;
    out[at + 1] = (digits.len() + sign) as u8; // At most 67.
    out[at + 2] = 0;
    out[start..end].copy_from_slice(digits);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spki() -> Vec<u8> {
        [&[0x30, 42][..], ED25519, &[0x03, 33, 0], &[9; 32]].concat()
    }

    #[test]
    fn the_key_is_found() {
        assert_eq!(public_key(&spki(), ED25519), Some(&[9; 32][..]));
    }

    #[test]
    fn another_identifier_is_refused() {
        assert_eq!(public_key(&spki(), P256), None);
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let good = spki();
        for end in 0..good.len() {
            assert_eq!(public_key(&good[..end], ED25519), None);
        }
        assert_eq!(public_key(&[&good[..], &[0]].concat(), ED25519), None);
    }

    #[test]
    fn lengths_must_be_minimal() {
        assert_eq!(whole(&[0x30, 0x81, 1, 7], SEQUENCE), None);
        assert_eq!(whole(&[0x30, 0x82, 0, 1, 7], SEQUENCE), None);
        assert_eq!(whole(&[0x30, 0x80, 7, 0, 0], SEQUENCE), None);
        assert_eq!(whole(&[0x30, 1, 7], SEQUENCE), Some(&[7][..]));
    }

    #[test]
    fn numbers_of_rsa_keys_are_minimal_and_positive() {
        let good = [0x30, 9, 2, 2, 0, 0x81, 2, 3, 1, 0, 1];
        assert_eq!(rsa_numbers(&good), Some((&[0x81][..], &[1, 0, 1][..])));
        for end in 0..good.len() {
            assert_eq!(rsa_numbers(&good[..end]), None);
        }
        for bad in [
            &[0x30, 9, 2, 2, 0, 0x71, 2, 3, 1, 0, 1][..],
            &[0x30, 9, 2, 2, 0x81, 1, 2, 3, 1, 0, 1],
            &[0x30, 9, 2, 2, 1, 1, 2, 3, 0, 0, 1],
            &[0x30, 9, 2, 2, 1, 1, 3, 3, 1, 0, 1],
            &[0x30, 6, 2, 1, 1, 2, 0, 0],
            &[0x30, 5, 2, 1, 0, 2, 0],
        ] {
            assert_eq!(rsa_numbers(bad), None);
        }
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        let mut out = [0xaa; MAX_ECDSA_SIGNATURE];
        assert_eq!(
            ecdsa_signature(&[0, 1, 0x80, 0], &mut out),
            [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]
        );
        assert_eq!(
            ecdsa_signature(&[0, 0, 0, 0], &mut out),
            [0x30, 6, 2, 1, 0, 2, 1, 0]
        );
    }

    #[test]
    fn the_longest_signature_fits() {
        let mut out = [0; MAX_ECDSA_SIGNATURE];
        let der = ecdsa_signature(&[0xff; 132], &mut out);
        assert_eq!(der.len(), MAX_ECDSA_SIGNATURE);
        assert_eq!(der[..6], [0x30, 0x81, 138, 2, 67, 0]);
    }
}
