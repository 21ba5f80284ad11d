"""What came of an attack: what got in, what made the API stumble, which mistakes that shows, and what mends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from .._forgeries import Severity
from .attempts import BESIDE

#: ``let_in``: as a good token. ``refused``: as it should be. ``fault``: a status of 500 and more, or no answer.
#: ``unclear``: another status, which may be that of the route.
AttackOutcome: TypeAlias = Literal["let_in", "refused", "fault", "unclear"]
#: ``nothing_proven``: a good token was not let in either.
AttackVerdict: TypeAlias = Literal["held", "let_in", "faults", "nothing_proven"]


@dataclass(frozen=True, slots=True)
class AttackResult:
    """What came of one attempt.

    Attributes:
        name: Which one: a key of :data:`FORGERIES`, alone or with the place where the token was, or another name.
        place: Where the token was.
        summary: What was done, in words.
        severity: ``high`` where somebody gets in who must not, ``low`` where a token is read in a wrong way.
        outcome: ``let_in``, ``refused``, ``fault`` or ``unclear``.
        status: The status of the answer; 0 for none.
    """

    name: str
    place: str
    summary: str
    severity: Severity
    outcome: AttackOutcome
    status: int


class Kind(NamedTuple):
    """A mistake: the attempts that show it, by the beginnings of their names, and what mends it."""

    starts: tuple[str, ...]
    title: str
    remedy: str


#: Mistakes, the worst first. An attempt shows the first one that it begins like.
MISTAKES: dict[str, Kind] = {
    "open": Kind(("no_token", "word_empty", "word_null", "word_undefined"), "No token is needed", "Guard the route."),
    "proxy_headers": Kind(
        ("proxy_",),
        "A header says who the user is",
        "Take such headers from your proxy only, which has to strip those of others.",
    ),
    "path": Kind(("path_",), "Another spelling of the path is not guarded", "Guard routes, not texts of paths."),
    "alg_none": Kind(("alg_",), "Unsigned tokens are accepted", "Name the algorithms that you accept; never none."),
    "key_confusion": Kind(
        ("hs256_", "hs384_", "hs512_", "kid_path", "kid_sql"),
        "A public key, or a word that anybody knows, is taken for a shared secret",
        "Accept asymmetric algorithms only, and check that the algorithm fits the key.",
    ),
    "signature": Kind(
        ("wrong_key", "tampered", "signature_", "es256_", "unknown_key", "kid_", "encrypted", "two_parts"),
        "Signatures are not verified",
        "Verify each signature with a key that the provider published.",
    ),
    "key_of_token": Kind(
        ("embedded_", "jku", "x5u"),
        "The token brings its own key",
        "Ignore jwk, jku, x5c and x5u: keys come from the metadata of the issuer.",
    ),
    "issuer": Kind(("wrong_issuer", "issuer_"), "The issuer is not checked", "Compare iss as a text, whole."),
    "audience": Kind(
        ("wrong_audience", "audience_"),
        "The audience is not checked, or not whole",
        "Demand the name of this API in aud: the tokens of every other API get in here.",
    ),
    "expiry": Kind(("expired", "exp_"), "The end of a token is not checked", "Demand exp, a number in the future."),
    "not_before": Kind(("not_yet_valid", "nbf_"), "The beginning of a token is not checked", "Check nbf."),
    "kind": Kind(
        ("id_token", "logout_token", "userinfo_", "introspection_", "authorization_response", "typ_"),
        "Tokens of another kind are accepted",
        "Check typ, and demand what access tokens have (RFC 9068 4): an ID token is for the client.",
    ),
    "critical": Kind(("crit", "b64_"), "Critical headers are ignored", "Refuse what crit names and you do not know."),
    "place": Kind(
        ("token_in_", "two_tokens", "word_no_scheme"),
        "Tokens are read where none belongs, or several at once",
        "Read the one header Authorization, and refuse requests with more (RFC 6750 2, RFC 9700 4.3.2).",
    ),
    "reading": Kind(("",), "Tokens are read in another way than specified", "Use a strict parser of tokens and JSON."),
}


class Weakness(NamedTuple):
    """A mistake that an attack shows.

    Attributes:
        name: Its key: ``audience``, ``signature``, ``key_confusion`` and so on.
        title: What is wrong.
        remedy: What mends it.
        severity: The worst of what got in.
        attempts: What got in by it.
    """

    name: str
    title: str
    remedy: str
    severity: Severity
    attempts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttackReport:
    """What came of an attack.

    Attributes:
        url: The API.
        control: The status for a good token; 0 for no answer.
        control_let_in: Whether that was let in, without which nothing is proven.
        results: What came of each attempt.
        notes: What else was noticed, in words.
    """

    url: str
    control: int
    control_let_in: bool
    results: tuple[AttackResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def let_in(self) -> tuple[AttackResult, ...]:
        """What got in."""
        return tuple(each for each in self.results if each.outcome == "let_in")

    @property
    def faults(self) -> tuple[AttackResult, ...]:
        """What was answered with 500 and more, or not at all."""
        return tuple(each for each in self.results if each.outcome == "fault")

    @property
    def verdict(self) -> AttackVerdict:
        """``held``, ``let_in``, ``faults``, or ``nothing_proven``."""
        if not self.control_let_in and not self.let_in:
            return "nothing_proven"
        return "let_in" if self.let_in else "faults" if self.faults else "held"

    @property
    def weaknesses(self) -> tuple[Weakness, ...]:
        """The mistakes that this shows, the worst first."""
        shown: dict[str, list[AttackResult]] = {}
        for each in self.let_in:
            shown.setdefault(mistake_of(each), []).append(each)
        return tuple(_weakness(name, shown[name]) for name in MISTAKES if name in shown)

    def fails(self, on: Severity | Literal["fault"] = "high") -> bool:
        """Tell whether the API failed.

        Args:
            on: ``high`` for what lets somebody in who must not, ``low`` for what reads tokens in a wrong way too,
                ``fault`` for answers of 500 and more as well.
        """
        wanted = ("high",) if on == "high" else ("high", "low")
        return any(each.severity in wanted for each in self.let_in) or (on == "fault" and bool(self.faults))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "url": self.url,
            "verdict": self.verdict,
            "control": {"status": self.control, "let_in": self.control_let_in},
            "sent": len(self.results),
            "weaknesses": [each._asdict() | {"attempts": list(each.attempts)} for each in self.weaknesses],
            "faults": [each.name for each in self.faults],
            "notes": list(self.notes),
            "results": [{name: getattr(each, name) for name in _MEMBERS} for each in self.results],
        }

    def lines(self) -> Iterator[str]:
        """Yield it as text for people."""
        if self.verdict == "nothing_proven":
            yield f"{self.url}: the API refuses everything, a good token too ({self.control}): nothing is proven"
        else:
            counted = f"{len(self.results)} attempts, {len(self.let_in)} let in, {len(self.faults)} with a fault"
            yield f"{self.url}: {_WORDS[self.verdict]}; {counted}"
        for weakness in self.weaknesses:
            yield ""
            yield f"{weakness.severity.upper()}  {weakness.title}"
            yield f"      {weakness.remedy}"
            yield from self._shown(weakness.attempts)
        if self.faults:
            yield ""
            yield "FAULT The API breaks on what it should refuse"
            yield "      Whatever cannot be read is 401, or 400: nobody should make a program raise from outside."
            yield from self._shown(tuple(each.name for each in self.faults))
        yield from (f"\nnote  {note}" for note in self.notes)

    def _shown(self, names: tuple[str, ...]) -> Iterator[str]:
        for each in self.results:
            if each.name in names:
                yield f"      {each.status or 'none':>4}  {each.name}: {each.summary}"


_WORDS = {"held": "held", "let_in": "let in what it must refuse", "faults": "held, and broke"}
_MEMBERS = ("name", "place", "summary", "severity", "outcome", "status")


def mistake_of(result: AttackResult) -> str:
    """Return which mistake an attempt shows that got in."""
    if result.place in BESIDE:
        return "place"
    return next(name for name, kind in MISTAKES.items() if result.name.startswith(kind.starts))


def _weakness(name: str, shown: list[AttackResult]) -> Weakness:
    worst: Severity = "high" if any(each.severity == "high" for each in shown) else "low"
    return Weakness(name, MISTAKES[name].title, MISTAKES[name].remedy, worst, tuple(each.name for each in shown))


__all__ = ["MISTAKES", "AttackOutcome", "AttackReport", "AttackResult", "AttackVerdict", "Weakness", "mistake_of"]
