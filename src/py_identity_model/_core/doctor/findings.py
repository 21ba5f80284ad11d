"""What an examination says: one finding for each check, and the table that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any, Final, Literal, TypeAlias

from ...exceptions import printable

#: ``pass``; ``warn``: it works, and somebody will be hurt; ``fail``: it is broken, or not safe; ``skipped``: not
#: offered, or not examined, and why.
FindingVerdict: TypeAlias = Literal["pass", "warn", "fail", "skipped"]
#: What was examined.
ServerKind: TypeAlias = Literal["provider", "api", "mcp"]

#: Columns of the table for people.
WIDTH: Final = 80
_VERDICT: Final = 9
_CODE: Final = 23
#: Characters of a text that a server had a part in.
_MOST: Final = 400

#: Where the norms are, by how their names begin.
_NORMS: Final = {
    "OpenID Connect Core": "https://openid.net/specs/openid-connect-core-1_0.html",
    "OpenID Connect Discovery": "https://openid.net/specs/openid-connect-discovery-1_0.html",
    "OpenID Connect RP-Initiated Logout": "https://openid.net/specs/openid-connect-rpinitiated-1_0.html",
    "OpenID Connect Back-Channel Logout": "https://openid.net/specs/openid-connect-backchannel-1_0.html",
    "FAPI 2.0": "https://openid.net/specs/fapi-security-profile-2_0-final.html",
    "Client ID Metadata Document": "https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/",
    "MCP 2026-07-28": "https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization",
    "Fetch": "https://fetch.spec.whatwg.org/#cors-preflight-fetch",
}


def link_of(reference: str) -> str:
    """Return the address of a section of a norm.

    >>> link_of("RFC 9728 3.3")
    'https://www.rfc-editor.org/rfc/rfc9728#section-3.3'
    """
    name, number, *section = [*reference.split(" "), ""][:3]
    if name == "RFC":
        return f"https://www.rfc-editor.org/rfc/rfc{number}" + (f"#section-{section[0]}" if section[0] else "")
    return next(url for norm, url in _NORMS.items() if reference.startswith(norm))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to.

    Attributes:
        code: The stable name of the check, such as ``issuer`` or ``key_strength``.
        verdict: ``pass``, ``warn``, ``fail``, or ``skipped``: not offered, or not examined.
        subject: What it is about: an address.
        seen: What was seen.
        why: Why it matters.
        remedy: How to mend it; empty where nothing is to be mended.
        reference: The norm, with its section.
        link: Where that is.
        cause: The stable name of what is the matter, where it is known better than by the check, such as
            ``issuer_trailing_slash``.
    """

    code: str
    verdict: FindingVerdict
    subject: str
    seen: str
    why: str
    remedy: str
    reference: str
    link: str
    cause: str | None = None

    def __post_init__(self) -> None:
        # Servers have a part in these: nothing that they say moves a terminal's cursor, or fills a screen.
        for name in ("subject", "seen", "remedy"):
            object.__setattr__(self, name, printable(getattr(self, name), _MOST))

    def _lines(self) -> Iterator[str]:
        yield from _folded(f"  {self.verdict:<{_VERDICT}}{self.code:<{_CODE}}", self.seen)
        if self.verdict in ("pass", "skipped"):
            return
        for label, text in (("why", self.why), ("mend", self.remedy), ("see", f"{self.reference}, {self.link}")):
            yield from _folded(f"{'':<{_VERDICT + 2}}{label:<6}", text)


@dataclass(frozen=True, slots=True)
class Examination:
    """What is wrong with a provider, an API or an MCP server. Its text is what ``py-identity-model doctor`` prints.

    Attributes:
        url: What was examined.
        kind: What it is: ``provider``, ``api`` or ``mcp``; None where it did not even answer.
        findings: What each check came to, in order.
    """

    url: str
    kind: ServerKind | None
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> FindingVerdict:
        """The worst of the verdicts: ``fail``, ``warn``, or ``pass``."""
        verdicts = {finding.verdict for finding in self.findings}
        return "fail" if "fail" in verdicts else "warn" if "warn" in verdicts else "pass"

    @property
    def answered(self) -> bool:
        """Whether anything answered at all."""
        return not any(one.code == "answers" and one.verdict == "fail" for one in self.findings)

    def of(self, *verdicts: FindingVerdict) -> tuple[Finding, ...]:
        """Return the findings with these verdicts.

        >>> Examination("https://id.example.com", "provider", ()).of("fail", "warn")
        ()
        """
        return tuple(finding for finding in self.findings if finding.verdict in verdicts)

    @property
    def causes(self) -> tuple[str, ...]:
        """The names of what is the matter, for each finding that fails or warns; its code where there is no other."""
        return tuple(dict.fromkeys(one.cause or one.code for one in self.of("fail", "warn")))

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON has it."""
        return {
            "url": printable(self.url, _MOST),
            "kind": self.kind,
            "verdict": self.verdict,
            "findings": [
                {name: value for name, value in asdict(one).items() if value is not None} for one in self.findings
            ],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self, *, brief: bool = False) -> Iterator[str]:
        subject: str | None = None
        for finding in self.of("fail", "warn") if brief else self.findings:
            if finding.subject != subject:
                subject = finding.subject
                yield from _folded("", subject)
            yield from finding._lines()
        counted = Counter(finding.verdict for finding in self.findings)
        yield ", ".join(f"{counted[one]} {word}" for one, word in _WORDS.items())


_WORDS: Final[dict[FindingVerdict, str]] = {
    "fail": "failed",
    "warn": "to look at",
    "pass": "passed",
    "skipped": "skipped",
}


def _folded(head: str, text: str) -> Iterator[str]:
    """Yield *text* after *head*, folded below its own beginning, within the width."""
    folded = wrap(text, WIDTH - len(head), break_on_hyphens=False) or ["-"]
    yield head + folded[0]
    yield from (" " * len(head) + line for line in folded[1:])


@dataclass(frozen=True, slots=True)
class Check:
    """A check, as the catalogue has it; it makes the findings.

    Attributes:
        name: Its stable name: the code of the findings.
        what: What is looked at, in a few words.
        why: Why it matters.
        remedy: What mends it, as a rule.
        reference: The norm, with its section.
    """

    name: str
    what: str
    why: str
    remedy: str
    reference: str

    def passed(self, seen: str, cause: str | None = None) -> Finding:
        """Return the finding that all is well."""
        return self._found("pass", seen, cause, "")

    def skipped(self, seen: str, cause: str | None = None) -> Finding:
        """Return the finding that it is not offered, or could not be examined."""
        return self._found("skipped", seen, cause, "")

    def warned(self, seen: str, cause: str | None = None, remedy: str | None = None) -> Finding:
        """Return the finding that somebody may come to harm."""
        return self._found("warn", seen, cause, remedy)

    def failed(self, seen: str, cause: str | None = None, remedy: str | None = None) -> Finding:
        """Return the finding that it is broken, or not safe."""
        return self._found("fail", seen, cause, remedy)

    def held(self, good: bool, seen: str, otherwise: str | None = None, *, fails: bool = False) -> Finding:
        """Return that all is well, or warn (or fail) with what is seen otherwise."""
        if good:
            return self.passed(seen)
        return (self.failed if fails else self.warned)(otherwise or seen)

    def _found(self, verdict: FindingVerdict, seen: str, cause: str | None, remedy: str | None) -> Finding:
        said = self.remedy if remedy is None else remedy
        return Finding(self.name, verdict, "", seen, self.why, said, self.reference, link_of(self.reference), cause)


__all__ = ["WIDTH", "Check", "Examination", "Finding", "FindingVerdict", "ServerKind", "link_of"]
