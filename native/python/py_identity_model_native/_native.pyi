from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar, final, overload

T = TypeVar("T")

class Terms(Protocol):
    """What everyday claims are. Read by name; what is missing of the last two says that nothing may be said there."""

    @property
    def issuers(self) -> frozenset[str]: ...
    @property
    def audiences(self) -> frozenset[str]: ...
    @property
    def forbidden(self) -> frozenset[str]: ...
    @property
    def required(self) -> tuple[str, ...]: ...
    @property
    def leeway(self) -> float: ...
    @property
    def ahead(self) -> float: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def uses(self) -> tuple[str, ...]: ...

__version__: Final[str]

ALGORITHMS: Final[frozenset[str]]
"""The JWS algorithms that can be verified. `EdDSA` stands for Ed25519 keys only."""

MULTIBUFFER: Final[bool]
"""Whether eight signatures can be verified at once here: the library was there at the build, and the processor has
AVX-512 with IFMA, VBMI and VBMI2."""

@final
class Key:
    """A public key, or a shared secret, prepared once for exactly one algorithm. Immutable; threads may share it."""

    def __new__(cls, alg: str, spki: bytes) -> Key:
        """Prepare a SubjectPublicKeyInfo in DER, or for `HS*` the secret itself.

        Raises ValueError if the algorithm is not in `ALGORITHMS` or the key does not fit it.
        """
    def verify(self, signing_input: bytes, signature: bytes, /) -> bool:
        """Tell whether this key made the signature, keeping the GIL. ECDSA signatures are r and s side by side."""
    def open(self, token: str, /) -> bytes | None:
        """Return the payload of a well-formed compact JWS with a good signature, else None, keeping the GIL.

        The header segment is covered by the signature and otherwise not looked at: which headers lead to this key is
        the caller's decision.
        """

@final
class Opener:
    """Keys by the exact header segment that leads to each: a snapshot of the mapping, immutable, shared by threads."""

    def __new__(cls, keys: dict[str, Key], terms: Terms | None = None, multibuffer: bool = True) -> Opener:
        """Take the keys, and what the claims must be for `read` to return them: the accepted issuers and audiences, the
        claims that must not and those that must be there, by how many seconds clocks may differ for `exp` and for
        `nbf` and `iat`, and what a token may say of itself in `typ` and in `token_use`. Without `multibuffer` no two
        signatures are verified at once, even where that can be done.
        """
    def read(self, token: str, now: float, /) -> dict[str, Any] | bytes | None:
        """Do as `open`, but return the claims themselves if they are beyond doubt what the terms ask for.

        The payload comes as bytes for the caller to judge if it is anything but plain JSON (an escape, a fraction, a
        member twice, deep nesting), if a claim is not as it must be, and without terms.
        """
    def read_many(self, tokens: Sequence[str], now: float, threads: int = 0) -> list[dict[str, Any] | bytes | None]:
        """Do as `read` for each token, verifying with the GIL released on up to `threads` threads."""
    def payloads_many(
        self, tokens: Sequence[str], now: float, threads: int = 0
    ) -> tuple[bytes, list[bytes | None]]:
        """Return what is said of each token, an octet for each, and the payloads of those whose signature is good.

        1 says that the claims are beyond doubt what the terms ask for, 2 that the caller must judge them, 0 that
        there is no good signature.
        """
    def columns_many(
        self,
        tokens: Sequence[str] | tuple[bytes, bytes],
        longest: int,
        now: float,
        columns: Sequence[tuple[str, str]],
        threads: int = 0,
    ) -> tuple[bytes, dict[int, bytes], list[list[bytes]]]:
        """Do as `payloads_many`, but return claims of the good tokens as the buffers of Arrow columns.

        A column is a claim and its type: `str`, `int`, `float`, `bool` or `list[str]`. Its buffers are those of Arrow:
        which rows have a value, where values end, in lists where items end, and the values. A token with a value that
        does not fit is left to the caller, as 2 says; its payload stands under its place, and its row is null. Tokens
        may come as Arrow has them: their octets, and 32-bit offsets. Those longer than `longest` octets are left out.
        Raises ValueError if there is no such type of columns.
        """
    def __len__(self) -> int: ...
    def open(self, token: str, /) -> bytes | None:
        """Do as `Key.open` with the key of the token's header segment, or return None if there is none."""
    @overload
    def open_many(self, tokens: Sequence[str], threads: int = 0, then: None = None) -> list[bytes | None]:
        """Do as the function `open_many` with the key of each token's header segment."""
    @overload
    def open_many(
        self, tokens: Sequence[str], threads: int = 0, *, then: Callable[[int, bytes], T]
    ) -> list[T | None]: ...

def judge(jobs: Sequence[tuple[Key, bytes, bytes]], /) -> list[bool | None]:
    """Tell what eight lanes say of up to eight signatures: of each key, over a message, by a signature in JWS's form.

    None is for what is not decided there: another kind of key, numbers out of range, no lanes on this processor. For
    proofs that a lane says what `Key.verify` says. Raises ValueError if the keys are not of one kind and size.
    """

@overload
def open_many(
    keys: Sequence[Key], tokens: Sequence[str], threads: int = 0, then: None = None, multibuffer: bool = True
) -> list[bytes | None]:
    """Open each token with the key at its place, the GIL released, and return the answers in order.

    `threads` is the most threads to use, the calling one included; 0 means one per core. Small batches use fewer.
    With `then`, each payload of a good token goes through `then(index, payload)` in order on the calling thread, while
    the other threads still verify, and its answer stands in the list instead; what it raises ends the batch.
    Without `multibuffer` no two signatures are verified at once, even where that can be done. Raises ValueError if the sequences differ in length.
    """

@overload
def open_many(
    keys: Sequence[Key],
    tokens: Sequence[str],
    threads: int = 0,
    *,
    then: Callable[[int, bytes], T],
    multibuffer: bool = True,
) -> list[T | None]: ...

def peek_issuer(token: str, /) -> str | None:
    """Return the `iss` of a token, of which nothing is verified; None if it is not plain to see.

    For choosing keys, and for nothing else.
    """
