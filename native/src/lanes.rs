//! Eight signatures at once: which ones may go there, and what counts as a good one.
//!
//! A lane must say what AWS-LC says. The library behind it is asked for what it does exactly: powers modulo n, and
//! sums of multiples of points. Whatever is at the edge of its domain (numbers out of range, keys of small order) is
//! not handed to it: the answer for those is None, and AWS-LC judges.

use aws_lc_rs::digest::{self, digest, Context, Digest};
use multibuffer::{Curve, Lanes, Modulus, Point, Verdict, LANES, MAX_MODULUS};

use crate::der;

/// What may share eight lanes: the same operation on numbers of the same size. Keys and hashes may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Class {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    P256,
    P384,
    P521,
    Ed25519,
}

pub const CLASSES: usize = 7;

impl Class {
    /// The price of eight lanes, however many of them are filled, in microseconds.
    pub fn cost(self) -> usize {
        [45, 90, 160, 165, 620, 680, 95][self as usize]
    }
}

/// Signatures that must be there for eight lanes to take less time than one after the other: they take the time of two
/// and a little, of every class.
pub const WORTH: usize = 3;

/// How RSA signatures are padded (RFC 8017 9).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    Pkcs1,
    Pss,
}

/// A public key that there are lanes for.
pub struct LaneKey {
    class: Class,
    kind: Kind,
}

enum Kind {
    /// The modulus for the library, and for comparing.
    Rsa(Modulus, Box<[u8]>, Padding, &'static digest::Algorithm),
    Ecdsa(Curve, Box<Point>, &'static digest::Algorithm),
    Ed25519([u8; 32]),
}

impl LaneKey {
    /// Takes an RSAPublicKey that AWS-LC accepted.
    pub fn rsa(pkcs1: &[u8], padding: Padding, digest: &'static digest::Algorithm) -> Option<Self> {
        let (modulus, exponent) = der::rsa_numbers(pkcs1)?;
        if exponent != [1, 0, 1] {
            return None;
        }
        let class = match modulus.len() {
            256 => Class::Rsa2048,
            384 => Class::Rsa3072,
            512 => Class::Rsa4096,
            _ => return None,
        };
        let kind = Kind::Rsa(Modulus::new(modulus)?, modulus.into(), padding, digest);
        Some(Self { class, kind })
    }

    /// Takes the octets of a point (SEC 1 2.3.3) that AWS-LC accepted as one of this curve.
    pub fn ecdsa(curve: Curve, point: &[u8], digest: &'static digest::Algorithm) -> Option<Self> {
        let coordinates = point.strip_prefix(&[4])?;
        if coordinates.len() != 2 * curve.width() {
            return None;
        }
        let (x, y) = coordinates.split_at(curve.width());
        let class = match curve {
            Curve::P256 => Class::P256,
            Curve::P384 => Class::P384,
            Curve::P521 => Class::P521,
        };
        let kind = Kind::Ecdsa(curve, Box::new(Point::new(x, y)?), digest);
        Some(Self { class, kind })
    }

    /// Takes a key that is canonical and of no small order.
    pub fn ed25519(key: &[u8]) -> Option<Self> {
        let key: [u8; 32] = key.try_into().ok()?;
        (!is_odd(&key)).then_some(Self {
            class: Class::Ed25519,
            kind: Kind::Ed25519(key),
        })
    }

    pub fn class(&self) -> Class {
        self.class
    }
}

/// One signature, of the length that this key's signatures have, over one message.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub key: &'a LaneKey,
    pub message: &'a [u8],
    pub signature: &'a [u8],
}

/// One job for each lane, all of one class; there may be fewer than there are lanes.
type Jobs<'a> = [Option<Job<'a>>; LANES];

/// Judges up to eight signatures; None is for AWS-LC to judge.
pub fn judge(lanes: Lanes, jobs: &Jobs) -> [Option<bool>; LANES] {
    let Some(first) = jobs.iter().flatten().next() else {
        return [None; LANES];
    };
    let found = match &first.key.kind {
        Kind::Rsa(modulus, ..) => rsa(lanes, modulus.width(), jobs),
        Kind::Ecdsa(curve, ..) => ecdsa(lanes, *curve, jobs),
        Kind::Ed25519(_) => ed25519(lanes, jobs),
    };
    found.unwrap_or([None; LANES])
}

/// Fills the lanes with what `of` makes of each job, and where that is None with what it makes of another, whose
/// answer is then nobody's. None if nothing is there for any lane.
fn fill<'a, T: Copy>(
    jobs: &Jobs<'a>,
    of: impl Fn(usize, &Job<'a>) -> Option<T>,
) -> Option<([T; LANES], [bool; LANES])> {
    let found: [Option<T>; LANES] =
        std::array::from_fn(|lane| jobs[lane].and_then(|job| of(lane, &job)));
    let other = found.into_iter().flatten().next()?;
    let filled = found.map(|own| own.unwrap_or(other));
    Some((filled, found.map(|own| own.is_some())))
}

fn answers(taken: [bool; LANES], verdicts: [Verdict; LANES]) -> [Option<bool>; LANES] {
    std::array::from_fn(|lane| match verdicts[lane] {
        Verdict::Good if taken[lane] => Some(true),
        Verdict::Bad if taken[lane] => Some(false),
        _ => None,
    })
}

// ---- RSA

fn rsa(lanes: Lanes, width: usize, jobs: &Jobs) -> Option<[Option<bool>; LANES]> {
    let (filled, taken) = fill(jobs, |_, job| match &job.key.kind {
        // RFC 8017 5.2.2: a representative is less than the modulus.
        Kind::Rsa(modulus, number, ..) if *job.signature < **number => {
            Some((modulus, job.signature))
        }
        _ => None,
    })?;
    let mut blocks = [[0; MAX_MODULUS]; LANES];
    let (moduli, signatures) = (filled.map(|each| each.0), filled.map(|each| each.1));
    if !lanes.rsa_65537(moduli, signatures, &mut blocks) {
        return None;
    }
    Some(std::array::from_fn(|lane| {
        let job = jobs[lane].filter(|_| taken[lane])?;
        is_padded(&mut blocks[lane][..width], &job)
    }))
}

/// Whether the block is what RFC 8017 9 makes of the job's message.
fn is_padded(block: &mut [u8], job: &Job) -> Option<bool> {
    let Kind::Rsa(_, _, padding, algorithm) = &job.key.kind else {
        return None;
    };
    let hash = digest(algorithm, job.message);
    match padding {
        Padding::Pkcs1 => is_pkcs1(block, hash.as_ref()),
        Padding::Pss => Some(is_pss(block, algorithm, hash.as_ref())),
    }
}

/// DigestInfo (RFC 8017 9.2, note 1) up to the hash, where the digits of SHA-256, SHA-384 and SHA-512 are to be set.
const DIGEST_INFO: [u8; 19] =
    *b"\x30\x00\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x00\x05\x00\x04\x00";

/// RFC 8017 8.2.2: the block is built from the message and compared as a whole. Nothing of it is parsed.
fn is_pkcs1(block: &[u8], hash: &[u8]) -> Option<bool> {
    let mut info = DIGEST_INFO;
    info[1] = 17 + hash.len() as u8;
    info[14] = match hash.len() {
        32 => 1,
        48 => 2,
        64 => 3,
        _ => return None,
    };
    info[18] = hash.len() as u8;
    let mut wanted = [0xff; MAX_MODULUS];
    let wanted = &mut wanted[..block.len()];
    let end = block.len().checked_sub(hash.len() + info.len())?;
    wanted[..2].copy_from_slice(&[0, 1]);
    wanted[end - 1] = 0;
    wanted[end..end + info.len()].copy_from_slice(&info);
    wanted[end + info.len()..].copy_from_slice(hash);
    Some(block == wanted)
}

/// RFC 8017 9.1.2 with a salt as long as the hash (RFC 7518 3.5), for a modulus of a multiple of eight bits.
fn is_pss(block: &mut [u8], algorithm: &'static digest::Algorithm, hash: &[u8]) -> bool {
    let len = hash.len();
    let (body, end) = block.split_at_mut(block.len() - len - 1);
    let Some(seed) = end.strip_suffix(&[0xbc]) else {
        return false;
    };
    if body[0] & 0x80 != 0 {
        return false;
    }
    unmask(body, algorithm, seed);
    body[0] &= 0x7f;
    let (padding, salt) = body.split_at(body.len() - len);
    let Some(zeros) = padding.strip_suffix(&[1]) else {
        return false;
    };
    let found = digest_of(algorithm, &[&[0; 8], hash, salt]);
    zeros.iter().all(|&octet| octet == 0) && found.as_ref() == seed
}

/// Adds MGF1 (RFC 8017 B.2.1) of the seed.
fn unmask(body: &mut [u8], algorithm: &'static digest::Algorithm, seed: &[u8]) {
    for (counter, part) in (0_u32..).zip(body.chunks_mut(algorithm.output_len())) {
        let mask = digest_of(algorithm, &[seed, &counter.to_be_bytes()]);
        for (octet, mask) in part.iter_mut().zip(mask.as_ref()) {
            *octet ^= mask;
        }
    }
}

fn digest_of(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

// ---- ECDSA

/// The octets of a number on the widest curve.
const WIDEST: usize = Curve::P521.width();

fn ecdsa(lanes: Lanes, curve: Curve, jobs: &Jobs) -> Option<[Option<bool>; LANES]> {
    let (width, order) = (curve.width(), order(curve));
    let mut hashes = [[0; WIDEST]; LANES];
    for (job, room) in jobs.iter().zip(&mut hashes) {
        if let Some((job, Kind::Ecdsa(_, _, algorithm))) = job.map(|job| (job, &job.key.kind)) {
            let hash = digest(algorithm, job.message);
            // No hash of RFC 7518 3.4 is longer than the order of its curve: nothing is cut off.
            let start = width.checked_sub(hash.as_ref().len())?;
            room[start..width].copy_from_slice(hash.as_ref());
        }
    }
    let (filled, taken) = fill(jobs, |lane, job| match &job.key.kind {
        Kind::Ecdsa(_, point, _) => {
            let hash = &hashes[lane][..width];
            let (r, s) = job.signature.split_at_checked(width)?;
            let ranged = [r, s, hash].iter().all(|number| is_below(number, order));
            ranged.then_some((&**point, job.signature, hash))
        }
        _ => None,
    })?;
    let keys = filled.map(|each| each.0);
    let verdicts = lanes.ecdsa(
        curve,
        keys,
        filled.map(|each| each.1),
        filled.map(|each| each.2),
    );
    Some(answers(taken, verdicts))
}

/// Whether a number is in the range from 1 to the order less 1 (SEC 1 4.1.4). Both are of one length.
fn is_below(number: &[u8], order: &[u8]) -> bool {
    number.iter().any(|&octet| octet != 0) && number < order
}

/// The order of the curve's group (FIPS 186-4 D.1.2).
fn order(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => {
            b"\
            \xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
            \xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"
        }
        Curve::P384 => {
            b"\
            \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
            \xff\xff\xff\xff\xff\xff\xff\xff\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\
            \x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73"
        }
        Curve::P521 => {
            b"\x01\xff\
            \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
            \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa\
            \x51\x86\x87\x83\xbf\x2f\x96\x6b\x7f\xcc\x01\x48\xf7\x09\xa5\xd0\
            \x3b\xb5\xc9\xb8\x89\x9c\x47\xae\xbb\x6f\xb7\x1e\x91\x38\x64\x09"
        }
    }
}

// ---- Ed25519

/// RFC 8032 5.1: the order L, and the prime, with their least significant octet first as signatures have them.
const ORDER: [u8; 32] = *b"\
    \xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10";
const PRIME: [u8; 32] = *b"\
    \xed\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
    \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f";

/// The y of the points whose order divides eight, but that of the neutral element (1) and of those of order two and
/// four (-1 and 0).
const SMALL: [[u8; 32]; 2] = [
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
       \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
       \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

/// More than any token has; the library counts octets in an `int`.
const LONGEST: usize = 1 << 30;

fn ed25519(lanes: Lanes, jobs: &Jobs) -> Option<[Option<bool>; LANES]> {
    let (filled, taken) = fill(jobs, |_, job| match &job.key.kind {
        Kind::Ed25519(key) => {
            let signature: &[u8; 64] = job.signature.try_into().ok()?;
            let fits = is_less(&signature[32..], &ORDER) && job.message.len() <= LONGEST;
            fits.then_some((key, signature, job.message))
        }
        _ => None,
    })?;
    let keys = filled.map(|each| each.0);
    let verdicts = lanes.ed25519(keys, filled.map(|each| each.1), filled.map(|each| each.2));
    Some(answers(taken, verdicts))
}

/// Compares numbers whose least significant octet comes first.
fn is_less(number: &[u8], bound: &[u8; 32]) -> bool {
    number.iter().rev().lt(bound.iter().rev())
}

/// Whether an encoded key is not canonical (RFC 8032 5.1.3), or of small order.
fn is_odd(key: &[u8; 32]) -> bool {
    let mut y = *key;
    y[31] &= 0x7f;
    let (mut last, mut two) = (PRIME, [0; 32]);
    last[0] -= 1;
    two[0] = 2;
    // From p - 1, the y of order two, upwards all are odd; so are those of order four and one, which are 0 and 1.
    !is_less(&y, &last) || is_less(&y, &two) || SMALL.contains(&y)
}
