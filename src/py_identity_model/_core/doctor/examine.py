"""The flow of an examination: what is asked of a server, and who judges what came.

Without ``active`` only what any client sends is sent: fetches of public documents, a request without a token, with a
token that is none, and a preflight. Whatever fails, what can still be examined is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ..._refusals import bounded, must_be
from ...exceptions import ConfigurationException, PyIdentityModelException, printable
from ...settings import Settings
from ..base.budget import within_budget
from ..base.flow import Call, Flow, Request, get, now
from ..base.transport import bare
from ..base.urls import parse_url
from ..mcp.discovery import metadata_places
from ..mcp.strangers import guarded, named
from ..resource.resource_metadata import WELL_KNOWN, resource_metadata_url
from . import active, api, connection, mcp
from .connection import TlsFacts
from .findings import Examination, Finding, ServerKind
from .issuer import issuer, issuer_form
from .keys import first_rsa, is_key_set, key_findings, kids
from .known import habits
from .metadata import Document, Places, found, library_verdict, members, places_of, read
from .mistaken import is_mistaken, neighbours
from .offers import offers
from .visit import MOST_BYTES, USER_AGENT, Answer, Visit, scheme_of, unanswered, watched

#: Looks at the TLS of a host: its name, the port, and the seconds that it may take.
TlsProbe = Callable[[str, int, float], TlsFacts]

KINDS: Final[tuple[ServerKind, ...]] = ("provider", "api", "mcp")
#: Seconds that an examination may take: unless told otherwise, at least and at most.
SECONDS, LEAST, MOST = 60.0, 1.0, 600.0
#: Authorization servers of a resource that are examined.
_SERVERS: Final = 2
_NO_TOKEN: Final = "py-identity-model.doctor.no-token"
_ORIGIN: Final = "https://py-identity-model-doctor.invalid"


class Wish(NamedTuple):
    """What is to be examined, and how."""

    url: str
    kind: ServerKind | None = None
    active: bool = False
    fapi: bool = False
    seconds: float = SECONDS
    #: Whether what the server names may be on networks of one's own.
    private: bool = False


@dataclass
class _Case:
    """One examination under way."""

    wish: Wish
    visit: Visit
    settings: Settings
    probe: TlsProbe | None
    wall: float
    findings: list[Finding] = field(default_factory=list)
    #: The documents and key sets of providers that were found, for what is tried afterwards.
    documents: list[tuple[Document, Answer | None]] = field(default_factory=list)

    def note(self, subject: str, found: Iterable[Finding]) -> None:
        """Keep findings about *subject*."""
        self.findings.extend(replace(one, subject=bare(subject)) for one in found)


def examined(wish: Wish, settings: Settings, probe: TlsProbe | None = None) -> Flow[Examination]:
    """Examine a provider, an API or an MCP server.

    Args:
        wish: What, and how.
        settings: Sizes of key sets.
        probe: Looks at TLS; None where there is no connection of one's own to look at.

    Raises:
        ConfigurationException: The address is none, or the kind or the seconds are not.
    """
    _check(wish)
    clock = yield from now()
    visit = Visit(wish.url, named([wish.url], anywhere=wish.private))
    case = _Case(wish, visit, settings, probe, clock.wall)
    walk = guarded(watched(_walked(case), visit), visit.known)
    kind = yield from within_budget(walk, clock.steady, wish.seconds)
    return Examination(printable(bare(wish.url)), kind, tuple(case.findings))


def _check(wish: Wish) -> None:
    parse_url(wish.url, "url", require_https=False)
    if wish.kind is not None and wish.kind not in KINDS:
        raise must_be("kind", "provider, api or mcp", wish.kind)
    bounded(wish.seconds, "seconds", float, LEAST, MOST, unit="seconds")


def _walked(case: _Case) -> Flow[ServerKind | None]:
    url = case.wish.url
    kind = case.wish.kind or (yield from _kind_of(case))
    if kind == "provider":
        there = yield from _provider(case, url, own=True)
    else:
        there = yield from _resource(case, url, kind == "mcp")
    if there:
        case.note(url, [connection.clock(case.visit.ticks)])
    return kind if there else case.wish.kind


def _reached(case: _Case, first: Answer) -> Flow[bool]:
    """Judge the way to the server itself."""
    url = case.wish.url
    case.note(url, [connection.answers(first), connection.https(url)])
    if scheme_of(url) == "https":
        case.note(url, connection.tls((yield from _tls(case)), case.wall))
    return connection.something_answered(first)


def _tls(case: _Case) -> Flow[TlsFacts | None]:
    if case.probe is None:
        return None
    parts, probe = urlsplit(case.wish.url), case.probe
    port, seconds = parts.port or 443, min(10.0, case.wish.seconds)
    facts: TlsFacts = yield Call(lambda: probe(parts.hostname or "", port, seconds))
    return facts


# ---------------------------------------------------------------------------------------------------------------------
# What it is


def _kind_of(case: _Case) -> Flow[ServerKind]:
    """Tell what an address is: by its spelling, by metadata beside it, by how it refuses."""
    parts = urlsplit(case.wish.url)
    last = parts.path.rstrip("/").rpartition("/")[2]
    if f"/.well-known/{WELL_KNOWN}" in parts.path:
        return "api"
    try:
        places = places_of(case.wish.url)
    except ConfigurationException:  # a query, which no issuer has
        return "api"
    if places.document:
        return "provider"
    if last in ("mcp", "sse"):
        return "mcp"
    for url in places.urls:
        answer = yield from case.visit.fetch(url)
        document = read(answer)
        if unanswered(answer) or (document is not None and "issuer" in document.raw):
            return "provider"
    answer = yield from case.visit.ask(_knock(case.wish.url, for_mcp=False))
    if answer.status != 401 and is_mistaken(case.wish.url):
        return "provider"
    return _by_answer(answer, at_root=parts.path in ("", "/"))


def _by_answer(answer: Answer, *, at_root: bool) -> ServerKind:
    reply = answer.reply
    if reply is None or reply.status == 404 or (at_root and reply.status >= 500):
        return "provider"
    if at_root and reply.status == 403 and reply.media_type == "text/html":
        return "provider"  # a firewall, with a page of its own
    if reply.status == 200 and is_key_set(reply.body):
        return "provider"
    if reply.status in (400, 405, 406) and b'"jsonrpc"' in reply.body[:4096]:
        return "mcp"
    page = reply.media_type == "text/html" or 300 <= reply.status < 400
    return "provider" if page and reply.status < 400 and (at_root or reply.status < 300) else "api"


# ---------------------------------------------------------------------------------------------------------------------
# A provider


def _provider(case: _Case, url: str, *, own: bool, for_mcp: bool = False) -> Flow[bool]:
    """Examine a provider; *own* is the one that was named, others are those of a resource."""
    try:
        places = places_of(url)
    except PyIdentityModelException as error:
        if own:
            raise
        case.note(url, [api.SERVERS.failed(error.message, "authorization_server_no_issuer")])
        return False
    answers: list[Answer] = []
    for place in places.urls:
        answer = yield from case.visit.fetch(place)
        answers.append(answer)
        if unanswered(answer):  # nor would the same host a moment later
            break
    if own and not (yield from _reached(case, next(filter(connection.something_answered, answers), answers[0]))):
        return False
    documents = [document for one in answers if (document := read(one)) is not None]
    elsewhere = None if documents else (yield from _elsewhere(case, url))
    case.note(url, found(places, answers, documents, elsewhere))
    if documents:
        yield from _documented(case, url, places, documents[0], for_mcp)
    return True


def _elsewhere(case: _Case, url: str) -> Flow[Document | None]:
    """Look for metadata near an address that has none: above it, and where providers have it by default."""
    for place in neighbours(url):
        document = read((yield from case.visit.fetch(place)))
        if document is not None and document.issuer:
            return document
    return None


def _documented(case: _Case, url: str, places: Places, document: Document, for_mcp: bool) -> Flow[None]:
    case.note(url, [issuer(places.issuers, document.raw.get("issuer"))])
    if document.issuer:
        case.note(url, [issuer_form(document.issuer)])
    case.note(url, members(document, library_verdict(document, places)))
    case.note(url, habits(document))
    answer: Answer | None = None
    where = document.text("jwks_uri")
    if where is not None:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        answer = yield from case.visit.ask(get(where, headers, limit=MOST_BYTES))
    if where is not None or document.is_openid or "jwks_uri" in document.raw:
        case.note(url, key_findings(document, answer, case.settings, case.wall))
    case.note(url, offers(document, for_mcp=for_mcp, fapi=case.wish.fapi))
    if for_mcp:
        case.note(url, [mcp.authorization_server(document)])
    case.documents.append((document, answer))
    if case.wish.active and case.wish.kind in (None, "provider") and url == case.wish.url:
        yield from _tried_at_provider(case, document)


def _tried_at_provider(case: _Case, document: Document) -> Flow[None]:
    """Do what leaves a trace at a provider."""
    ask, noted = case.visit.ask, []
    if (url := document.text("registration_endpoint")) is not None:
        answer = yield from ask(active.registration_request(url))
        deletion = active.deletion_request(answer)
        deleted = None if deletion is None else (yield from ask(deletion))
        noted.append(active.registration(answer, deleted))
    code = {"grant_type": "authorization_code", "code": "none", "redirect_uri": active.CALLBACK}
    login = {"client_id": active.CLIENT, "response_type": "code", "redirect_uri": active.CALLBACK}
    if (url := document.text("token_endpoint")) is not None:
        noted.append(active.token_errors((yield from ask(active.form(url, {**code, "client_id": active.CLIENT})))))
    if (url := document.text("pushed_authorization_request_endpoint")) is not None:
        noted.append(active.par_errors((yield from ask(active.form(url, login)))))
    if (url := document.text("introspection_endpoint")) is not None:
        noted.append(active.open_introspection((yield from ask(active.form(url, {"token": _NO_TOKEN})))))
    if (url := document.text("authorization_endpoint")) is not None:
        query = active.form(url, login).body.decode()
        sent = get(f"{url}{'&' if '?' in url else '?'}{query}", {"User-Agent": USER_AGENT}, limit=MOST_BYTES)
        noted.append(active.open_redirect((yield from ask(sent))))
    case.note(case.wish.url, noted)


# ---------------------------------------------------------------------------------------------------------------------
# A resource: an API, or an MCP server


def _resource(case: _Case, given: str, for_mcp: bool) -> Flow[bool]:
    url = _resource_of(given)
    bare_answer = yield from case.visit.ask(_knock(url, for_mcp=for_mcp))
    if not (yield from _reached(case, bare_answer)):
        return False
    mark = "&" if "?" in url else "?"
    visits = api.Visits(
        bare_answer,
        (yield from case.visit.ask(_knock(url, for_mcp=for_mcp, token=_NO_TOKEN))),
        (yield from case.visit.ask(_knock(f"{url}{mark}access_token={_NO_TOKEN}", for_mcp=for_mcp))),
        (yield from case.visit.ask(_preflight(url, for_mcp))),
    )
    case.note(given, api.refusals(visits))
    published = yield from _published(case, url, visits, for_mcp)
    if for_mcp:
        case.note(given, mcp.server(bare_answer, published))
    servers = published.servers[:_SERVERS] if published is not None else ()
    for server in servers:
        yield from _provider(case, server, own=False, for_mcp=for_mcp)
    if case.wish.active:
        yield from _forged(case, url, visits, published, for_mcp)
    return True


def _resource_of(url: str) -> str:
    """Return the resource whose metadata is at *url*, or *url* itself."""
    before, mark, path = url.partition(f"/.well-known/{WELL_KNOWN}")
    return before + path if mark else url


def _knock(url: str, *, for_mcp: bool, token: str | None = None) -> Request:
    headers = [("User-Agent", USER_AGENT), ("Accept", "application/json, text/event-stream" if for_mcp else "*/*")]
    if token is not None:
        headers.append(("Authorization", f"Bearer {token}"))
    if not for_mcp:
        return Request("GET", url, tuple(headers), limit=MOST_BYTES)
    headers += [("Content-Type", "application/json"), ("MCP-Protocol-Version", mcp.REVISION)]
    asked = {"protocolVersion": mcp.REVISION, "capabilities": {}, "clientInfo": {"name": USER_AGENT, "version": "1"}}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": asked})
    return Request("POST", url, (*headers, ("Mcp-Method", "initialize")), body, limit=MOST_BYTES)


def _preflight(url: str, for_mcp: bool) -> Request:
    headers = (
        ("Origin", _ORIGIN),
        ("Access-Control-Request-Method", "POST" if for_mcp else "GET"),
        ("Access-Control-Request-Headers", "authorization"),
        ("User-Agent", USER_AGENT),
    )
    return Request("OPTIONS", url, headers, limit=MOST_BYTES)


def _published(case: _Case, url: str, visits: api.Visits, for_mcp: bool) -> Flow[api.Published | None]:
    """Find the metadata of a resource, and judge it."""
    challenges = api.challenges(visits.bare)
    where = resource_metadata_url(challenges)
    try:
        places: Sequence[str] = [place.url for place in metadata_places(bare(url), challenges)]
    except PyIdentityModelException:  # plain http: RFC 9728 knows none
        places = []
    answers: list[Answer] = []
    for place in places:
        answer = yield from case.visit.fetch(place)
        answers.append(answer)
        if api.published([answer]) is not None:
            break
    if not answers:
        case.note(case.wish.url, [api.METADATA.skipped("not looked for where there is no https")])
        return None
    found_here = api.published(answers)
    told = api.describes_itself(bare(url), where, answers, found_here, required=for_mcp)
    case.note(case.wish.url, told)
    return found_here


def _forged(case: _Case, url: str, visits: api.Visits, published: api.Published | None, for_mcp: bool) -> Flow[None]:
    """Send tokens that nobody may accept."""
    tried: dict[str, Answer] = {}
    if case.documents:
        document, keys = case.documents[0]
        about = published.raw.get("resource") if published is not None else None
        audience = about if isinstance(about, str) else bare(url)
        kid = next(iter(kids(keys)), None)
        for name, token in active.forgeries(document.issuer, audience, kid, first_rsa(keys), case.wall):
            tried[name] = yield from case.visit.ask(_knock(url, for_mcp=for_mcp, token=token))
    case.note(case.wish.url, active.forged(tried, visits.bare, visits.malformed))


__all__ = ["KINDS", "LEAST", "MOST", "SECONDS", "TlsProbe", "Wish", "examined"]
