"""Points of Edwards and Montgomery curves under which everyone can sign, or all agree (RFC 8032 5, RFC 7748 5 and 6).

``cryptography`` takes any 32 or 57 octets for a public key. Under a point of small order a signature holds without a
private key (64 of 64 messages under the identity), and an agreement with one gives the same secret to everybody.
"""

from __future__ import annotations

from typing import NamedTuple


class _Curve(NamedTuple):
    """The curve ``a*x^2 + y^2 = 1 + d*x^2*y^2`` over the numbers below *p*."""

    p: int
    a: int
    d: int
    #: ``y`` of every point whose order divides the cofactor.
    small: frozenset[int]


_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1
#: One of the two ``y`` of the points of order 8; the other is its negative.
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7

_EDWARDS = {
    "Ed25519": _Curve(
        _P25519,
        -1,
        -121665 * pow(121666, -1, _P25519),
        frozenset({0, 1, _P25519 - 1, _Y8, _P25519 - _Y8}),
    ),
    "Ed448": _Curve(_P448, 1, -39081, frozenset({0, 1, _P448 - 1})),
}
#: ``u = (1 + y) / (1 - y)`` of the same points, and of those on the twist: whatever is agreed with them is zero.
_MONTGOMERY = {
    "X25519": (
        _P25519,
        frozenset({0, 1, _P25519 - 1, *((1 + y) * pow(1 - y, -1, _P25519) % _P25519 for y in (_Y8, -_Y8))}),
    ),
    "X448": (_P448, frozenset({0, 1, _P448 - 1})),
}


def signing_point_fault(crv: str, octets: bytes) -> str | None:
    """Return why a public key of Ed25519 or Ed448 must not be used; None where it may.

    >>> signing_point_fault("Ed25519", b"\\x01" + bytes(31))
    'okp_point_small_order'
    """
    curve = _EDWARDS[crv]
    number = int.from_bytes(octets, "little")
    # RFC 8032 5.1.2, 5.2.2: y, and the lowest bit of x in the highest bit.
    y = number & ~(1 << (8 * len(octets) - 1))
    if y >= curve.p:  # RFC 8032 5.1.3, 5.2.3: decoding fails
        return "okp_point_not_canonical"
    if y in curve.small:
        return "okp_point_small_order"
    squared = y * y % curve.p
    ratio = (squared - 1) * (curve.d * squared - curve.a) % curve.p
    # Euler: a number that is no square leaves -1, and then no x belongs to this y.
    return None if pow(ratio, (curve.p - 1) // 2, curve.p) == 1 else "okp_point_invalid"


def agreement_point_fault(crv: str, octets: bytes) -> str | None:
    """Return why a public key of X25519 or X448 must not be used; None where it may.

    >>> agreement_point_fault("X25519", bytes(32))
    'okp_point_small_order'
    """
    p, small = _MONTGOMERY[crv]
    number = int.from_bytes(octets, "little")
    # RFC 7748 5: the highest bit of X25519 is masked, and numbers beyond p are taken for what is left of them.
    u = number & ~(1 << 255) if crv == "X25519" else number
    return "okp_point_small_order" if u % p in small else None


__all__ = ["agreement_point_fault", "signing_point_fault"]
