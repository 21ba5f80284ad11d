//! Eight public-key operations at once, one in each lane of the vector unit: a safe face for *crypto_mb* of Intel's
//! Cryptography Primitives (Apache-2.0).
//!
//! This crate alone of the engine has `unsafe` in it, and nothing but the foreign calls: what a signature must be like
//! is decided by its caller. All inputs are public (signatures, public keys, messages, and hashes of these), so nothing
//! here or there has to take the same time for all of them.
//!
//! [`Lanes`] is the proof that the calls may be made: it is only to be had where the library was linked and the
//! processor has what the library's AVX-512 path is compiled for. Elsewhere the type has no values.

/// Operations that are done at once.
pub const LANES: usize = 8;

/// The longest RSA modulus that there are lanes for, in octets.
pub const MAX_MODULUS: usize = 512;

/// What the library says of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// The signature is not this key's over this message.
    Bad,
    /// It did not look: a parameter was not to its liking, which is for others to judge.
    Unjudged,
}

/// The NIST curves that there are lanes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Octets of a coordinate, and of r, of s and of the message representative.
    pub const fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// Words of a coordinate of the widest curve.
const WORDS: usize = 9;

/// An affine point, its coordinates in words of 64 bits, the least significant one first.
#[derive(Clone, PartialEq, Eq)]
pub struct Point {
    x: [u64; WORDS],
    y: [u64; WORDS],
}

impl Point {
    /// Takes big-endian coordinates of at most 72 octets. Whether the point lies on a curve is not looked at.
    pub fn new(x: &[u8], y: &[u8]) -> Option<Self> {
        let (mut point, long) = (
            Self {
                x: [0; WORDS],
                y: [0; WORDS],
            },
            WORDS * 8,
        );
        if x.len() > long || y.len() > long {
            return None;
        }
        write_words(x, &mut point.x);
        write_words(y, &mut point.y);
        Some(point)
    }
}

/// An odd modulus of 2048, 3072 or 4096 bits, in words of 64 bits, the least significant one first.
#[derive(Clone, PartialEq, Eq)]
pub struct Modulus(Box<[u64]>);

impl Modulus {
    /// Takes a big-endian number without leading zeros. None if there are no lanes for such a one.
    pub fn new(number: &[u8]) -> Option<Self> {
        let (first, last) = (*number.first()?, *number.last()?);
        // Montgomery's multiplication needs an odd modulus, and the sizes are exact: the highest bit is set.
        if !matches!(number.len(), 256 | 384 | 512) || first & 0x80 == 0 || last & 1 == 0 {
            return None;
        }
        let mut words = vec![0; number.len() / 8];
        write_words(number, &mut words);
        Some(Self(words.into()))
    }

    /// Its octets, and those of a signature.
    pub fn width(&self) -> usize {
        self.0.len() * 8
    }
}

fn write_words(number: &[u8], words: &mut [u64]) {
    for (word, octets) in words.iter_mut().zip(number.rchunks(8)) {
        *word = octets
            .iter()
            .fold(0, |word, &octet| word << 8 | u64::from(octet));
    }
}

#[cfg(crypto_mb)]
mod linked;
#[cfg(crypto_mb)]
pub use linked::Lanes;

#[cfg(not(crypto_mb))]
mod absent;
#[cfg(not(crypto_mb))]
pub use absent::Lanes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian() {
        let mut words = [9; 2];
        write_words(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &mut words);
        assert_eq!(words, [0x0304_0506_0708_090a, 0x0102]);
    }

    #[test]
    fn only_odd_moduli_of_exact_sizes_have_lanes() {
        for (len, some) in [
            (128, false),
            (255, false),
            (256, true),
            (257, false),
            (384, true),
            (512, true),
            (1024, false),
        ] {
            let mut number = vec![0xff; len];
            assert_eq!(
                Modulus::new(&number).map(|modulus| modulus.width()),
                some.then_some(len)
            );
            number[len - 1] = 0xfe;
            assert!(Modulus::new(&number).is_none());
            number[len - 1] = 0xff;
            number[0] = 0x7f;
            assert!(Modulus::new(&number).is_none());
        }
        assert!(Modulus::new(&[]).is_none());
    }

    #[test]
    fn coordinates_must_fit() {
        assert!(Point::new(&[1; 72], &[1; 72]).is_some());
        assert!(Point::new(&[1; 73], &[1; 72]).is_none());
        assert!(Point::new(&[1; 72], &[1; 73]).is_none());
    }
}
