"""The whole group of Ed25519 (RFC 8032 5.1): with the points of small order that signatures have no business with."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point: TypeAlias = tuple[int, int]

NEUTRAL: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    """Add two points; the law has no exceptions."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def multiply(number: int, point: Point) -> Point:
    """Add a point to itself so many times."""
    total = NEUTRAL
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def encode(point: Point) -> bytes:
    """Write a point as RFC 8032 5.1.2 does."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def with_y(y: int) -> Point:
    """Return the point of that y whose x is even; ValueError if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        raise ValueError(f"no point has the y {y}")
    return (P - x if x & 1 else x), y


BASE = with_y(4 * pow(5, -1, P) % P)


def _generator_of_order_eight() -> Point:
    for y in range(2, 100):
        try:
            point = multiply(ORDER, with_y(y))
        except ValueError:
            continue
        if multiply(4, point) != NEUTRAL:
            return point
    raise AssertionError("one of two points has a component of order eight")


_EIGHTH = _generator_of_order_eight()
#: The points whose order divides eight.
TORSION = [multiply(number, _EIGHTH) for number in range(8)]
#: Every encoding of such a point: with each sign where x is zero, and with p added to y where that fits.
SMALL_ENCODINGS = sorted(
    {
        (y | sign << 255).to_bytes(32, "little")
        for x, low in TORSION
        for y in (low, low + P)
        for sign in ((x & 1,) if x else (0, 1))
        if y < 2**255
    }
)


def scalar(key: bytes, point: bytes, message: bytes, secret: int, nonce: int) -> bytes:
    """Return S of a signature whose R and key are the given octets (RFC 8032 5.1.6, step 5)."""
    digest = int.from_bytes(hashlib.sha512(point + key + message).digest(), "little") % ORDER
    return ((nonce + digest * secret) % ORDER).to_bytes(32, "little")
