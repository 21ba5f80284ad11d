"""What is tried: forged tokens, good ones in wrong places, requests without any, other ways to the path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import quote

from .._forgeries import FORGERIES, Severity
from .target import Shot, Target

#: Where a token is put.
Place: TypeAlias = Literal[
    "header", "lower-case scheme", "query", "cookie", "behind a good one", "before a good one", "nowhere"
]
Mint = Callable[[str | None], str]

#: Places beside a good token.
BESIDE: tuple[Place, ...] = ("behind a good one", "before a good one")
#: Forgeries that are tried in a place where not even a good token got in.
SAMPLE = ("alg_none", "tampered", "wrong_key", "expired", "wrong_audience", "wrong_issuer", "id_token")
#: Headers by which proxies tell applications who a user is; nobody else may (RFC 9700 4.13).
_OF_PROXIES = (
    *("X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-Request-User", "X-User", "X-User-Id", "X-Subject"),
    *("X-Forwarded-Email", "X-WEBAUTH-USER", "Cf-Access-Authenticated-User-Email", "X-Goog-Authenticated-User-Email"),
    *("X-MS-CLIENT-PRINCIPAL-ID", "X-MS-CLIENT-PRINCIPAL-NAME", "x-amzn-oidc-identity"),
)
_FROM_HERE = ("X-Forwarded-For", "X-Real-Ip", "Client-Ip", "True-Client-Ip", "X-Originating-Ip")
#: Words that stand where a token belongs, and that careless comparisons take for one.
_WORDS = {"empty": "Bearer ", "null": "Bearer null", "undefined": "Bearer undefined", "no_scheme": "{token}"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing that is tried.

    Attributes:
        name: Names it in reports.
        place: Where the token is.
        summary: What was done, in words.
        severity: What it means if it gets in.
        shoot: Makes the request.
        same_body: Whether it only got in if the answer is that to a good token.
    """

    name: str
    place: Place
    summary: str
    severity: Severity
    shoot: Callable[[], Shot] = field(repr=False)
    same_body: bool = False


class Range:
    """Makes requests to one API.

    Args:
        target: The API.
        method: The method.
        headers: Headers of each request, such as a content type.
        body: The body of each request.
        mint: Makes a token: the good one for None, otherwise the forgery of that name.
    """

    def __init__(
        self, target: Target, method: str, headers: Iterable[tuple[str, str]], body: bytes, mint: Mint
    ) -> None:
        self._target, self._method, self._body, self._mint = target, method, body, mint
        sized = method not in ("GET", "HEAD") or body
        length = (("Content-Length", str(len(body))),) if sized else ()
        self._headers = (*headers, *length)

    def shot(self, place: Place, name: str | None) -> Shot:
        """Return a request with a token in a place.

        Args:
            place: Where it is.
            name: Which forgery; None for a good token.
        """
        token = "" if place == "nowhere" else self._mint(name)
        match place:
            case "header":
                return self._with(("Authorization", f"Bearer {token}"))
            case "lower-case scheme":
                return self._with(("authorization", f"bearer {token}"))
            case "query":
                return self._with(query=f"access_token={quote(token, safe='')}")
            case "cookie":
                return self._with(("Cookie", f"access_token={quote(token, safe='')}"))
            case "behind a good one":
                return self._with(("Authorization", f"Bearer {self._mint(None)}"), ("Authorization", f"Bearer {token}"))
            case "before a good one":
                return self._with(("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {self._mint(None)}"))
            case _:
                return self._with()

    def _with(
        self, *headers: tuple[str, str], query: str = "", method: str | None = None, path: str | None = None
    ) -> Shot:
        asked = "&".join(filter(None, (self._target.query, query)))
        where = self._target.path if path is None else path
        common = (("Host", self._target.authority), ("User-Agent", "py-identity-model attack"), ("Connection", "close"))
        sent = f"{where}?{asked}" if asked else where
        return Shot(method or self._method, sent, (*common, *self._headers, *headers), self._body)

    # ---- what is tried

    def forgeries(self, place: Place, names: Iterable[str] = FORGERIES) -> Iterator[Attempt]:
        """Yield forged tokens in a place."""
        for name in names:
            row = FORGERIES[name]
            called = name if place == "header" else f"{name}, {place}"
            # Beside a good token: whichever of two it takes, an API must not choose.
            severity: Severity = "low" if place in BESIDE else row.severity
            yield Attempt(called, place, row.summary, severity, lambda name=name: self.shot(place, name))  # type: ignore[misc] # mypy cannot see the default's type

    def good_in_wrong_places(self) -> Iterator[Attempt]:
        """Yield a good token where RFC 9700 4.3.2 and RFC 6750 2 do not want one."""
        for place, what in (("query", "in the query, where logs and histories keep it"), ("cookie", "in a cookie")):
            yield self._good(f"token_in_{place}", place, f"a good token {what}")
        yield self._good("two_tokens", "behind a good one", "two good tokens, each in a header of its own")

    def _good(self, name: str, place: str, summary: str) -> Attempt:
        where: Place = place  # type: ignore[assignment] # one of the above
        return Attempt(name, where, summary, "low", lambda: self.shot(where, None))

    def without(self) -> Iterator[Attempt]:
        """Yield requests without a token, with words in its place, and with headers that only proxies may send."""
        yield self._none("no_token", "no token at all")
        yield self._none("no_token_head", "no token, and the method HEAD", method="HEAD")
        for name, text in _WORDS.items():
            severity: Severity = "low" if "{token}" in text else "high"
            summary = f"{text.format(token='a good token')!r} in the header"
            yield Attempt(f"word_{name}", "header", summary, severity, lambda text=text: self._word(text))  # type: ignore[misc] # as above
        for header in _OF_PROXIES:
            yield self._none(f"proxy_{header.lower()}", f"no token, and the header {header}", (header, "admin"))
        for header in _FROM_HERE:
            yield self._none(
                f"header_{header.lower()}", f"no token, and {header} of this machine", (header, "127.0.0.1")
            )

    def paths(self) -> Iterator[Attempt]:
        """Yield other spellings of the path without a token: a gate before the router may not know them."""
        path = self._target.path
        head, _, last = path.rpartition("/")
        for name, other in {
            "slash": f"{path}/",
            "slashes": f"/{path}",
            "dot": f"{head}/./{last}",
            "dots": f"{head}/x/../{last}",
            "encoded": f"{head}/%{ord(last[:1] or '/'):02x}{last[1:]}",
            "encoded_slash": f"{head}%2f{last}",
            "semicolon": f"{path};x=y",
            "capitals": f"{head}/{last.upper()}",
            "nul": f"{path}%00",
            "json": f"{path}.json",
        }.items():
            if other != path:
                yield self._none(f"path_{name}", f"no token, and the path spelled {other}", path=other)
        for name in ("X-Original-URL", "X-Rewrite-URL"):
            yield self._none(f"path_{name.lower()}", f"no token, the path in {name}", (name, path), path="/")

    def _word(self, text: str) -> Shot:
        return self._with(("Authorization", text.format(token=self._mint(None))))

    def _none(
        self,
        name: str,
        summary: str,
        *headers: tuple[str, str],
        method: str | None = None,
        path: str | None = None,
    ) -> Attempt:
        shot = self._with(*headers, method=method, path=path)
        return Attempt(name, "nowhere", summary, "high", lambda: shot, same_body=path is not None)


__all__ = ["BESIDE", "SAMPLE", "Attempt", "Mint", "Place", "Range"]
