//! The foreign calls. The declarations are those of the headers in `ipp-crypto-include` (crypto_mb 2.3, interface 13.3):
//! `cpu_features.h`, `rsa.h`, `ec_nistp256.h`, `ec_nistp384.h`, `ec_nistp521.h` and `ed25519.h`.

use std::ptr;
use std::sync::OnceLock;

use crate::{Curve, Modulus, Point, Verdict, LANES, MAX_MODULUS};

// The object files of the functions below also hold their sisters for OpenSSL's numbers, which nothing here calls, and
// with them these names. They are given to the linker, seen nowhere else, and end the process if they are ever reached.
std::arch::global_asm!(
    ".macro never name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name, @function",
    "\\name: ud2",
    ".endm",
    "never BN_bin2bn",
    "never BN_bn2lebinpad",
    "never BN_is_word",
    "never BN_num_bits",
    "never ECDSA_SIG_get0",
    ".purgem never",
);

/// `mbx_status`: four bits for each lane, the first lane in the lowest ones (`status.h`).
type Status = u32;

const OK: Status = 0;
const SIGNATURE_ERR: Status = 8;

/// `enum MBX_ALGO` and `enum MBX_WIDTH`, the values that are asked for.
const MBX_ALGO_RSA_2K: u32 = 1;
const MBX_ALGO_EC_NIST_P256: u32 = 5;
const MBX_WIDTH_MB8: u64 = 8;

type Octets = [*const u8; LANES];
type Words = [*const u64; LANES];
type Ecdsa = unsafe extern "C" fn(
    pa_sign_r: *const Octets,
    pa_sign_s: *const Octets,
    pa_msg: *const Octets,
    pa_pubx: *const Words,
    pa_puby: *const Words,
    pa_pubz: *const Words,
    p_buffer: *mut u8,
) -> Status;

// C's `const T* const name[8]` is a pointer to the first of eight pointers, as `*const [*const T; 8]` is.
unsafe extern "C" {
    fn mbx_is_crypto_mb_applicable(cpu_features: u64) -> i32;
    fn mbx_get_algo_info(algo: u32) -> u64;
    fn mbx_rsa_public_mb8(
        from_pa: *const Octets,
        to_pa: *const [*mut u8; LANES],
        n_pa: *const Words,
        rsa_bitlen: i32,
        m: *const RsaMethod,
        p_buffer: *mut u8,
    ) -> Status;
    fn mbx_nistp256_ecdsa_verify_mb8(
        pa_sign_r: *const Octets,
        pa_sign_s: *const Octets,
        pa_msg: *const Octets,
        pa_pubx: *const Words,
        pa_puby: *const Words,
        pa_pubz: *const Words,
        p_buffer: *mut u8,
    ) -> Status;
    fn mbx_nistp384_ecdsa_verify_mb8(
        pa_sign_r: *const Octets,
        pa_sign_s: *const Octets,
        pa_msg: *const Octets,
        pa_pubx: *const Words,
        pa_puby: *const Words,
        pa_pubz: *const Words,
        p_buffer: *mut u8,
    ) -> Status;
    fn mbx_nistp521_ecdsa_verify_mb8(
        pa_sign_r: *const Octets,
        pa_sign_s: *const Octets,
        pa_msg: *const Octets,
        pa_pubx: *const Words,
        pa_puby: *const Words,
        pa_pubz: *const Words,
        p_buffer: *mut u8,
    ) -> Status;
    fn mbx_ed25519_verify_mb8(
        pa_sign_r: *const [*const [u8; 32]; LANES],
        pa_sign_s: *const [*const [u8; 32]; LANES],
        pa_msg: *const Octets,
        msg_len: *const [u32; LANES],
        pa_public_key: *const [*const [u8; 32]; LANES],
    ) -> Status;
}

/// `mbx_RSA_Method`, of which only the null pointer is handed over.
#[repr(C)]
struct RsaMethod {
    _opaque: [u8; 0],
}

/// The proof that the library's functions run on this processor, and that each ran once before.
#[derive(Clone, Copy, Debug)]
pub struct Lanes(());

impl Lanes {
    /// The lanes of this processor, or None if it has none. Asked once.
    pub fn get() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        let found = *FOUND.get_or_init(|| {
            let usable = is_applicable();
            if usable {
                Self(()).run_once();
            }
            usable
        });
        found.then_some(Self(()))
    }

    /// The library looks at the first call of each function for the variant to take, and writes its choice down
    /// without a lock: later calls, from however many threads, only read it.
    fn run_once(self) {
        let (point, zeros) = (
            Point {
                x: [0; 9],
                y: [0; 9],
            },
            [0; 132],
        );
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let width = curve.width();
            self.ecdsa(
                curve,
                [&point; 8],
                [&zeros[..2 * width]; 8],
                [&zeros[..width]; 8],
            );
        }
        self.ed25519([&[0; 32]; 8], [&[0; 64]; 8], [&[]; 8]);
        if let Some(modulus) = Modulus::new(&[0xff; 256]) {
            self.rsa_65537([&modulus; 8], [&[0; 256]; 8], &mut [[0; MAX_MODULUS]; 8]);
        }
    }

    /// Writes each number to the power of 65537 modulo its modulus to the beginning of its `out`, as big-endian
    /// octets. False, and nothing worth reading in `out`, if the library refuses.
    ///
    /// # Panics
    ///
    /// The moduli are not of one width, or a number is not as wide as they are.
    pub fn rsa_65537(
        self,
        moduli: [&Modulus; LANES],
        numbers: [&[u8]; LANES],
        out: &mut [[u8; MAX_MODULUS]; LANES],
    ) -> bool {
        let width = moduli[0].width();
        assert!(moduli.iter().all(|modulus| modulus.width() == width));
        assert!(numbers.iter().all(|number| number.len() == width));
        let from = numbers.map(<[u8]>::as_ptr);
        let to = out.each_mut().map(|room| room.as_mut_ptr());
        let n = moduli.map(|modulus| modulus.0.as_ptr());
        // SAFETY: `rsa_bitlen` is 2048, 3072 or 4096, which `Modulus::new` sees to. The library reads `rsa_bitlen / 8`
        // octets, that is `width`, behind each of `from` and `n`, and all are that long, as asserted; it writes as many
        // behind each of `to`, where there are 512, and no two of them overlap. The arrays of pointers and what they
        // point to live until the call returns. Null pointers for the method and for the scratch room are allowed:
        // the library then takes its own.
        let status = unsafe {
            mbx_rsa_public_mb8(
                &from,
                &to,
                &n,
                width as i32 * 8,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        status == OK
    }

    /// Verifies ECDSA signatures, r and s side by side, over message representatives of the curve's width.
    ///
    /// The caller answers for each key being a point of the curve, and for r, s and the representative being in the
    /// range from 1 to the order less 1.
    ///
    /// # Panics
    ///
    /// A signature or a representative is not of the curve's width.
    pub fn ecdsa(
        self,
        curve: Curve,
        keys: [&Point; LANES],
        signatures: [&[u8]; LANES],
        digests: [&[u8]; LANES],
    ) -> [Verdict; LANES] {
        let width = curve.width();
        assert!(signatures
            .iter()
            .all(|signature| signature.len() == 2 * width));
        assert!(digests.iter().all(|digest| digest.len() == width));
        let verify: Ecdsa = match curve {
            Curve::P256 => mbx_nistp256_ecdsa_verify_mb8,
            Curve::P384 => mbx_nistp384_ecdsa_verify_mb8,
            Curve::P521 => mbx_nistp521_ecdsa_verify_mb8,
        };
        let r = signatures.map(|signature| signature[..width].as_ptr());
        let s = signatures.map(|signature| signature[width..].as_ptr());
        let digest = digests.map(<[u8]>::as_ptr);
        let x = keys.map(|point| point.x.as_ptr());
        let y = keys.map(|point| point.y.as_ptr());
        // SAFETY: The library reads `width` octets behind each of `r`, `s` and `digest`, which are that long, as
        // asserted, and `width` octets behind each of `x` and `y`, where there are 72. It writes nothing. The arrays of
        // pointers and what they point to live until the call returns. A null pointer in the place of `pa_pubz` says
        // that the points are affine, and the scratch room is not used.
        let status = unsafe { verify(&r, &s, &digest, &x, &y, ptr::null(), ptr::null_mut()) };
        verdicts(status)
    }

    /// Verifies Ed25519 signatures (RFC 8032 5.1.7, without the cofactor).
    ///
    /// The caller answers for S being less than the order, which the library compares word by word and not as a number,
    /// and for the keys being canonical.
    ///
    /// The library's sources show one more difference from RFC 8032, out of reach of any test: where the hash of R, key
    /// and message is less than 2^125 in its lowest 208 bits once it is reduced, or that plus the order once or twice,
    /// it is reduced wrongly. Less than one message in 2^80 has such a hash, and only the owner of the key can make a signature
    /// that is then found good: nobody else gains by it.
    ///
    /// # Panics
    ///
    /// A message is longer than 2^31 - 65 octets.
    pub fn ed25519(
        self,
        keys: [&[u8; 32]; LANES],
        signatures: [&[u8; 64]; LANES],
        messages: [&[u8]; LANES],
    ) -> [Verdict; LANES] {
        // The library keeps lengths in an `int`.
        assert!(messages
            .iter()
            .all(|message| message.len() < i32::MAX as usize - 64));
        let r = signatures.map(|signature| signature[..32].as_ptr().cast());
        let s = signatures.map(|signature| signature[32..].as_ptr().cast());
        let text = messages.map(<[u8]>::as_ptr);
        let len = messages.map(|message| message.len() as u32);
        let key = keys.map(ptr::from_ref);
        // SAFETY: The library reads 32 octets behind each of `r`, `s` and `key`, which are that long, and behind each
        // of `text` as many as `len` says, which are the lengths of these slices; a slice without octets has a pointer
        // that is not null, behind which nothing is read. It writes nothing. The arrays and what they point to live
        // until the call returns.
        let status = unsafe { mbx_ed25519_verify_mb8(&r, &s, &text, &len, &key) };
        verdicts(status)
    }
}

/// Whether the processor and the system have all of what the eight-lane functions are compiled for.
fn is_applicable() -> bool {
    // The library's own list lacks VBMI, which its conversions use.
    let own = is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2");
    // SAFETY: Takes and returns numbers; reads the processor's features. Zero means those of this processor.
    own && unsafe { mbx_is_crypto_mb_applicable(0) } != 0
        && has_lanes(MBX_ALGO_RSA_2K)
        && has_lanes(MBX_ALGO_EC_NIST_P256)
}

/// Not zero for P-256 on the AVX-512 path only: with AVX-IFMA alone the library has RSA and nothing else.
fn has_lanes(algorithm: u32) -> bool {
    // SAFETY: Takes and returns numbers. The argument is a value of the enumeration. It is called under the lock of
    // `Lanes::get` only, as it may write down which path the library takes.
    let widths = unsafe { mbx_get_algo_info(algorithm) };
    widths & MBX_WIDTH_MB8 != 0
}

fn verdicts(status: Status) -> [Verdict; LANES] {
    std::array::from_fn(|lane| match status >> (4 * lane) & 0xf {
        OK => Verdict::Good,
        SIGNATURE_ERR => Verdict::Bad,
        _ => Verdict::Unjudged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_four_bits() {
        let mut wanted = [Verdict::Good; LANES];
        assert_eq!(verdicts(0), wanted);
        (wanted[1], wanted[6], wanted[7]) = (Verdict::Bad, Verdict::Unjudged, Verdict::Unjudged);
        assert_eq!(verdicts(0x9100_0080), wanted);
    }

    #[test]
    fn powers_are_right_in_every_lane() {
        let Some(lanes) = Lanes::get() else { return };
        for width in [256, 384, 512] {
            // Modulo n = 2^k - 1 a power of two stays one: (2^i)^65537 = 2^(i * 65537 mod k).
            let modulus = Modulus::new(&vec![0xff; width]).unwrap();
            let numbers: Vec<Vec<u8>> = (0..LANES)
                .map(|lane| power_of_two(lane * 131 + 1, width))
                .collect();
            let mut out = [[0xaa; MAX_MODULUS]; LANES];
            assert!(lanes.rsa_65537(
                [&modulus; LANES],
                std::array::from_fn(|lane| &numbers[lane][..]),
                &mut out
            ));
            for (lane, found) in out.iter().enumerate() {
                let exponent = (lane * 131 + 1) * 65537 % (width * 8);
                assert_eq!(found[..width], power_of_two(exponent, width));
                assert!(found[width..].iter().all(|&octet| octet == 0xaa));
            }
        }
    }

    fn power_of_two(exponent: usize, width: usize) -> Vec<u8> {
        let mut number = vec![0; width];
        number[width - 1 - exponent / 8] = 1 << (exponent % 8);
        number
    }

    #[test]
    #[should_panic]
    fn moduli_of_two_widths_are_refused() {
        let Some(lanes) = Lanes::get() else { panic!() };
        let (short, long) = (
            Modulus::new(&[0xff; 256]).unwrap(),
            Modulus::new(&[0xff; 384]).unwrap(),
        );
        let moduli = std::array::from_fn(|lane| if lane == 7 { &short } else { &long });
        lanes.rsa_65537(moduli, [&[0; 384]; 8], &mut [[0; MAX_MODULUS]; 8]);
    }
}
