"""The two engines: who opens a compact JWS with keys that are ready.

An engine is handed a table from header segments to prepared keys and answers with a reader: a function from a token to
its payload, or to its claims where those are what everybody's claims are every day. A reader says None to whatever it
does not know or does not find good; why is for the careful path to tell. So both engines give the same verdicts: what
neither takes is judged by the same code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from ...exceptions import ConfigurationException
from ...settings import ENGINES, EngineName, MultibufferName
from ..base.base64url import FROM_SEGMENT, LAST, LONG, TAIL, b64url_decode, decode_quoted
from ..jose.algorithms import Verify
from ..jose.verification_keys import PreparedKey
from .claim_checks import Terms
from .payload import peek, peek_issuer

#: From a token and the time to its claims, if they are everyday's, else to its payload, for others to judge.
Answer = dict[str, Any] | bytes | None
#: It takes what :meth:`Engine.peek` gave for the same token as a third argument, if that is something.
Reader = Callable[..., Answer]
#: The same for many tokens at once, on up to so many threads; 0 means as many as pay.
ManyReader = Callable[[Sequence[str], float, int], list[Answer]]
#: Tokens, or their octets in a row and 32-bit places of where each begins and the last one ends.
RawTokens = list[str] | tuple[bytes, bytes]
#: What a :class:`Judge` says of a token whose claims hold by the terms.
GOOD = 1
#: Keys by the exact header segment that leads to each.
KeyTable = Mapping[str, PreparedKey]


class Judge(Protocol):
    """Reads many tokens without making dicts. Of each it says :data:`GOOD`, or 2: its signature is good; or 0."""

    def payloads_many(self, tokens: Sequence[str], now: float, threads: int, /) -> tuple[bytes, Sequence[bytes | None]]:
        """Return what is said of each token, and the payloads of those whose signature is good."""
        ...

    def columns_many(
        self, tokens: RawTokens, longest: int, now: float, columns: Sequence[tuple[str, str]], threads: int, /
    ) -> tuple[bytes, dict[int, bytes], list[list[bytes]]]:
        """Do the same with tokens of up to *longest* octets, but return claims of good ones as Arrow's buffers."""
        ...


class Readers(NamedTuple):
    """How an engine reads with one table of keys: one token, many, or many without dicts where it can."""

    one: Reader
    many: ManyReader
    judge: Judge | None = None


class _Row(NamedTuple):
    """What is known of a token by its header segment: where its segments begin and end, and who verifies it."""

    #: The dot before the payload, and from the end the one before the signature.
    start: int
    cut: int
    #: What the signature's last character may be, and what the decoder wants behind it.
    last: frozenset[int]
    tail: bytes
    verify: Verify


_DOT = ord(".")


def _row(header: str, key: PreparedKey) -> _Row:
    characters = (key.signature_length * 4 + 2) // 3
    return _Row(len(header), -characters - 1, LAST[characters & 3], TAIL[characters & 3], key.verify)


class Engine(Protocol):
    """What both engines offer."""

    name: Literal["pure", "native"]
    #: Whether it verifies eight signatures of a batch at once.
    multibuffer: bool

    def peek(self, token: str) -> tuple[str | None, bytes | None]:
        """Return the unverified ``iss`` of a token, to choose the keys by, and what spares the reader a look at it."""
        ...

    def readers(self, table: KeyTable, terms: Terms | None) -> Readers:
        """Return readers that may judge everyday claims by *terms*, and never do without."""
        ...


class PureEngine:
    """``cryptography`` verifies, Python does the rest. It is always there."""

    name: Literal["pure", "native"] = "pure"
    multibuffer = False
    peek = staticmethod(peek)

    def readers(self, table: KeyTable, terms: Terms | None) -> Readers:
        """Return readers in Python, which leave all claims to be judged by others, and use no threads."""
        rows = {header.encode(): _row(header, key) for header, key in table.items()}

        # One flat function: each call of another one would cost more than what it does.
        def open_token(token: str, _now: float = 0.0, payload: bytes | None = None) -> bytes | None:
            try:
                data = token.encode("ascii")
                start, cut, last, tail, verify = rows[data[: data.index(_DOT)]]
                # Both segments with the dot before them, which the decoder has to find there, and nowhere else.
                octets = decode_quoted(data[cut:].translate(FROM_SEGMENT) + tail)
                if data[-1] not in last or not verify(data[:cut], octets):
                    return None
                if payload is not None:  # of this token, between its first dot and its last: the same segment
                    return payload
                segment = data[start:cut]
                length = len(segment) - 1
                if length > LONG:
                    return b64url_decode(segment[1:])
                if segment[-1] not in LAST[length & 3]:
                    return None
                return decode_quoted(segment.translate(FROM_SEGMENT) + TAIL[length & 3])
            except (KeyError, IndexError, ValueError):  # another header; too short; no base64url
                return None

        def open_all(tokens: Sequence[str], _now: float, _threads: int) -> list[Answer]:
            return [open_token(token) for token in tokens]

        return Readers(open_token, open_all)


class NativeEngine:
    """AWS-LC verifies, in Rust, without giving up the GIL for a single token."""

    name: Literal["pure", "native"] = "native"

    def __init__(self, native: Any, multibuffer: bool = True) -> None:
        self._native = native
        self._pure = PureEngine()
        able = getattr(native, "MULTIBUFFER", False)  # builds before there were lanes do not know the word
        self.multibuffer: bool = able and multibuffer
        self._switch = {"multibuffer": False} if able and not multibuffer else {}
        self._peek: Callable[[str], str | None] = getattr(native, "peek_issuer", peek_issuer)

    def peek(self, token: str) -> tuple[str | None, bytes | None]:
        """Return the issuer as Rust sees it, or Python where that is not plain; the reader decodes for itself."""
        return self._peek(token) or peek_issuer(token), None

    def readers(self, table: KeyTable, terms: Terms | None) -> Readers:
        """Return readers in Rust; headers of algorithms it lacks go to the pure engine."""
        ours, others = self._split(table)
        opener = self._native.Opener(ours, terms, **self._switch)
        if not others:
            # Older ones have no columns, and leave it to Python whether a claim that must be there is null.
            return Readers(opener.read, opener.read_many, opener if hasattr(opener, "columns_many") else None)
        read, read_many, read_other = opener.read, opener.read_many, self._pure.readers(others, terms).one

        def read_either(token: str, now: float) -> Answer:
            answer: Answer = read(token, now)
            return answer if answer is not None else read_other(token, now)

        def read_all(tokens: Sequence[str], now: float, threads: int) -> list[Answer]:
            answers = read_many(tokens, now, threads)
            return [read_other(t, now) if a is None else a for t, a in zip(tokens, answers, strict=True)]

        return Readers(read_either, read_all)

    def _split(self, table: KeyTable) -> tuple[dict[str, Any], dict[str, PreparedKey]]:
        known = self._native.ALGORITHMS
        ours, others = {}, {}
        for header, key in table.items():
            # In both engines EdDSA may mean Ed448 (RFC 8037 3.1), which AWS-LC lacks.
            if key.alg in known and not (key.alg == "EdDSA" and key.signature_length != 64):
                ours[header] = self._native.Key(key.alg, key.spki)
            else:
                others[header] = key
        return ours, others


def select_engine(wanted: EngineName = "auto", multibuffer: MultibufferName = "auto") -> Engine:
    """Return the engine of that name; ``auto`` takes the native one where it is installed.

    With *multibuffer* ``off`` it verifies the signatures of a batch one by one, even where eight at once are possible.

    Raises:
        ConfigurationException: There is no such engine, or the native one is asked for and not installed.

    >>> select_engine("pure").name
    'pure'
    """
    if wanted not in ENGINES:
        raise ConfigurationException(
            f"engine must be one of {', '.join(ENGINES)}", code="engine_unknown", claim="engine", expected=ENGINES
        )
    if wanted == "pure":
        return PureEngine()
    try:
        native = importlib.import_module("py_identity_model_native")
    except ImportError:
        if wanted == "native":
            raise ConfigurationException(
                "The native engine is not installed",
                code="engine_missing",
                claim="engine",
                expected="py-identity-model-native",
                hint="pip install 'py-identity-model[native]'",
            ) from None
        return PureEngine()
    return NativeEngine(native, multibuffer != "off")


__all__ = [
    "GOOD",
    "Answer",
    "Engine",
    "Judge",
    "KeyTable",
    "ManyReader",
    "NativeEngine",
    "PureEngine",
    "RawTokens",
    "Reader",
    "Readers",
    "select_engine",
]
