"""The way to a server: whether it answers, TLS and its certificate, and its clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ..base.urls import is_loopback
from .findings import Check, Finding
from .visit import Answer, Tick, host_of, scheme_of

ANSWERS: Final = Check(
    "answers",
    "whether anything answers",
    "nothing else can be examined, and no client gets any further",
    "look at the address, the name service and the firewall between here and there",
    "RFC 9110 15",
)
HTTPS: Final = Check(
    "https",
    "https",
    "over plain http anybody on the way reads tokens, and replaces keys by his own",
    "serve it by https; behind a proxy that ends TLS, name the public https address",
    "RFC 6750 5.3",
)
TLS_VERSION: Final = Check(
    "tls_version",
    "the version of TLS",
    "versions before 1.2 are broken; clients of today refuse them",
    "offer TLS 1.3 and 1.2, and nothing older",
    "RFC 9325 3.1.1",
)
CERTIFICATE: Final = Check(
    "tls_certificate",
    "the certificate: trusted, of this name, and for how long",
    "the day it expires nobody gets a token, and no key is fetched",
    "renew it, and have that done by a machine (ACME)",
    "RFC 5280 4.1.2.5",
)
CLOCK: Final = Check(
    "clock",
    "the clock of the server, by its Date header",
    "tokens are good by the clock: with clocks that differ they are refused as not yet valid, or live too long",
    "let both machines keep time by NTP; leeway bridges seconds",
    "RFC 9110 6.6.1",
)

_DAY: Final = 86400.0
#: Days before its end that a certificate is told of.
SOON: Final = 21
#: Seconds that clocks may differ.
_A_LITTLE, _TOO_MUCH = 5.0, 60.0


class TlsFacts(NamedTuple):
    """What a handshake showed."""

    #: ``TLSv1.3`` and so on; None where there was none.
    version: str | None = None
    #: When the certificate ends, in seconds since 1970.
    not_after: float | None = None
    #: What was wrong with it, in OpenSSL's words.
    refused: str | None = None
    #: Why it could not be looked at.
    unknown: str | None = None


def answers(first: Answer) -> Finding:
    """Judge whether a server answers at all."""
    if first.reply is not None:
        return ANSWERS.passed(first.words)
    code = getattr(first.error, "code", None)
    if str(code) in _ANSWERED:
        return ANSWERS.passed(first.words)
    return ANSWERS.failed(first.words, code, _NO_ANSWER.get(str(code)))


#: What went wrong only after something had answered.
_ANSWERED: Final = frozenset(
    {"redirect_cross_host", "redirect_insecure", "redirect_limit", "redirect_location_missing"}
    | {"redirect_location_invalid", "response_too_large", "encoding_refused"}
)
_NO_ANSWER: Final = {
    "dns_failed": "the name is not known here: a typing error, a name of another network (in a container, a cluster), "
    "or a record that is missing",
    "connect_failed": "nothing listens there, or a firewall is between: from inside a container, localhost is the "
    "container itself",
    "tls_failed": "the certificate is not trusted here: a private CA is trusted by SSL_CERT_FILE or verify=PATH; the "
    "server must send its whole chain; the name must be in it",
    "timeout": "it takes longer than this examination waits",
    "proxy_failed": "HTTPS_PROXY leads nowhere; NO_PROXY names hosts that are reached directly",
}


def https(url: str) -> Finding:
    """Judge the scheme of an address."""
    if scheme_of(url) == "https":
        return HTTPS.passed("https")
    if is_loopback(host_of(url)):
        return HTTPS.passed("plain http on this very machine, for development")
    return HTTPS.failed("plain http")


def tls(facts: TlsFacts | None, wall: float) -> Iterator[Finding]:
    """Judge a handshake."""
    if facts is None or (facts.version is None and facts.refused is None):
        reason = "not looked at" if facts is None else facts.unknown or "there was no handshake"
        yield TLS_VERSION.skipped(reason)
        yield CERTIFICATE.skipped(reason)
        return
    yield _version(facts)
    yield _certificate(facts, wall)


def _version(facts: TlsFacts) -> Finding:
    if facts.version is None:
        return TLS_VERSION.skipped("no handshake that could be finished")
    return TLS_VERSION.passed(facts.version)


def _certificate(facts: TlsFacts, wall: float) -> Finding:
    if facts.refused is not None:
        cause, remedy = next(
            ((name, text) for words, name, text in _REFUSED if words in facts.refused.lower()), (None, None)
        )
        return CERTIFICATE.failed(facts.refused, cause, remedy)
    if facts.not_after is None:
        return CERTIFICATE.passed("trusted")
    days = (facts.not_after - wall) / _DAY
    if days < 0:
        return CERTIFICATE.failed(f"it ended {-days:.0f} days ago", "certificate_expired")
    if days < SOON:
        return CERTIFICATE.warned(f"trusted; it ends in {days:.0f} days", "certificate_ends_soon")
    return CERTIFICATE.passed(f"trusted; it ends in {days:.0f} days")


#: What OpenSSL says, in part; the cause; what mends it.
_REFUSED: Final = (
    ("expired", "certificate_expired", "renew the certificate"),
    ("not yet valid", "certificate_not_yet_valid", "look at the clocks here and there"),
    ("mismatch", "certificate_name", "have a certificate made for the name that clients use (subjectAltName)"),
    ("not valid for", "certificate_name", "have a certificate made for the name that clients use (subjectAltName)"),
    (
        "self-signed",
        "certificate_self_signed",
        "take a certificate of a CA that clients trust, or name the CA here: SSL_CERT_FILE, verify=PATH",
    ),
    (
        "unable to get local issuer",
        "certificate_chain",
        (
            "the server leaves out its intermediate certificate (send the whole chain), or its CA is private: "
            "SSL_CERT_FILE, verify=PATH"
        ),
    ),
)


def clock(ticks: Sequence[Tick]) -> Finding:
    """Judge the clock of a server by the answer that binds it closest."""
    if not ticks:
        return CLOCK.skipped("no answer had a date")
    offset = min((tick.offset for tick in ticks), key=abs)
    words = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the clock here"
    if abs(offset) > _TOO_MUCH:
        return CLOCK.failed(words, "clocks_differ")
    if abs(offset) > _A_LITTLE:
        return CLOCK.warned(words, "clocks_differ", f"let both keep time by NTP; leeway={abs(offset):.0f} bridges it")
    return CLOCK.passed("as the clock here" if abs(offset) < 1 else words)


CHECKS: Final = (ANSWERS, HTTPS, TLS_VERSION, CERTIFICATE, CLOCK)


def something_answered(answer: Answer) -> bool:
    """Tell whether a server is there, be its answer of use or not."""
    return answer.reply is not None or getattr(answer.error, "code", None) in _ANSWERED


__all__ = ["CHECKS", "SOON", "TlsFacts", "answers", "clock", "https", "something_answered", "tls"]
