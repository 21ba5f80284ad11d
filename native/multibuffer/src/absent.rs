//! What there is where the library was not linked: nothing.

use crate::{Curve, Modulus, Point, Verdict, LANES, MAX_MODULUS};

/// There are no lanes.
#[derive(Clone, Copy, Debug)]
pub enum Lanes {}

impl Lanes {
    pub fn get() -> Option<Self> {
        None
    }

    pub fn rsa_65537(
        self,
        _moduli: [&Modulus; LANES],
        _numbers: [&[u8]; LANES],
        _out: &mut [[u8; MAX_MODULUS]; LANES],
    ) -> bool {
        match self {}
    }

    pub fn ecdsa(
        self,
        _curve: Curve,
        _keys: [&Point; LANES],
        _signatures: [&[u8]; LANES],
        _digests: [&[u8]; LANES],
    ) -> [Verdict; LANES] {
        match self {}
    }

    pub fn ed25519(
        self,
        _keys: [&[u8; 32]; LANES],
        _signatures: [&[u8; 64]; LANES],
        _messages: [&[u8]; LANES],
    ) -> [Verdict; LANES] {
        match self {}
    }
}
