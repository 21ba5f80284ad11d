"""An API: how it refuses without a token and with one that is none, and what it publishes about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ...exceptions import DiscoveryException, PyIdentityModelException, printable
from ..base.addresses import is_public_host
from ..base.strict_json import StrictJSONError, loads_object
from ..base.urls import is_below, is_loopback, origin
from ..binding.challenges import Challenge, challenges_of
from ..cache.freshness import told_lifetime
from ..resource.resource_metadata import ProtectedResourceMetadata, parse_resource_metadata
from .findings import Check, Finding
from .visit import Answer, host_of, scheme_of

REFUSAL: Final = Check(
    "refusal",
    "what a request without a token gets",
    "401 tells a client to get a token; after any other answer it gives up, or follows a redirect into a login page",
    "answer 401 with WWW-Authenticate: Bearer to each request without a token",
    "RFC 6750 3",
)
CHALLENGE: Final = Check(
    "challenge",
    "the challenge: WWW-Authenticate, readable, Bearer or DPoP",
    "a client learns from it that a token is wanted, of what kind, and where from",
    'send WWW-Authenticate: Bearer realm="...", with resource_metadata where there is metadata',
    "RFC 9110 11.6.1",
)
NO_ERROR: Final = Check(
    "challenge_error",
    "that the challenge names no error where no token came",
    "clients take invalid_token for a token that has ended, and renew in vain",
    "leave error out where the request had no token",
    "RFC 6750 3.1",
)
BAD_TOKEN: Final = Check(
    "malformed_token",
    "what a token that is none gets",
    "a client renews after 401 invalid_token; an error of the server means that strangers reach code they should not",
    'answer 401 with error="invalid_token" to whatever cannot be verified',
    "RFC 6750 3.1",
)
DETAIL: Final = Check(
    "refusal_detail",
    "that a refusal tells nothing of the inside",
    "traces show strangers which library, file and line refuses them",
    "answer with the error only, and write the cause into your log",
    "RFC 6750 5.2",
)
QUERY: Final = Check(
    "token_in_query",
    "that tokens in addresses are not taken",
    "addresses end up in histories, logs of proxies and Referer headers, and the tokens with them",
    "read tokens from the header Authorization only",
    "RFC 9700 4.3.2",
)
PREFLIGHT: Final = Check(
    "preflight",
    "that the preflight of a browser needs no token",
    "browsers send no token with it: an API that demands one cannot be called from any page of another origin",
    "let OPTIONS pass before tokens are demanded (the middleware for CORS goes outside that for tokens)",
    "Fetch",
)
REFUSAL_CACHE: Final = Check(
    "refusal_cache",
    "that a refusal is not kept by caches",
    "a refusal that is kept is given to those who have a good token",
    "send Cache-Control: no-store with 401 and 403",
    "RFC 9111 3",
)
METADATA: Final = Check(
    "resource_metadata",
    "metadata of the resource",
    "clients that know nothing of an API find its authorization servers and scopes there",
    "publish /.well-known/oauth-protected-resource, and name it in the challenge",
    "RFC 9728 3",
)
RESOURCE: Final = Check(
    "resource",
    "whether the metadata is about this resource",
    "a client must not use metadata of another resource: it would ask for a token for that",
    "write the address that clients use into resource, character by character",
    "RFC 9728 3.3",
)
SERVERS: Final = Check(
    "authorization_servers",
    "the authorization servers that the resource names",
    "without them clients do not know where tokens come from",
    "list the issuers in authorization_servers, exactly as their metadata names them",
    "RFC 9728 2",
)
CHECKS: Final = (
    REFUSAL,
    CHALLENGE,
    NO_ERROR,
    BAD_TOKEN,
    DETAIL,
    QUERY,
    PREFLIGHT,
    REFUSAL_CACHE,
    METADATA,
    RESOURCE,
    SERVERS,
)


class Visits(NamedTuple):
    """What an API answered."""

    bare: Answer
    malformed: Answer
    query: Answer
    preflight: Answer


def challenges(answer: Answer) -> tuple[Challenge, ...]:
    """Return the challenges of an answer."""
    return () if answer.reply is None else challenges_of(answer.reply)


def refusals(visits: Visits) -> Iterator[Finding]:
    """Judge how an API refuses."""
    yield _refusal(visits.bare)
    yield from _challenge(visits.bare)
    yield _malformed(visits)
    yield _detail(visits.malformed)
    yield _query(visits)
    yield _preflight(visits.preflight)
    yield _kept(visits.bare)


def _refusal(answer: Answer) -> Finding:
    status = answer.status
    if status == 401:
        return REFUSAL.passed(answer.words)
    if 200 <= status < 300:
        text = "demand a token; if this address is meant for everybody, examine another one"
        return REFUSAL.failed(f"{answer.words}: it answers without a token", "open_without_token", text)
    if 300 <= status < 400:
        return _redirected(answer)
    if status == 403:
        text = (
            "403 says that the token there is does not suffice: answer 401 where there is none (FastAPI: HTTPBearer "
            "before 0.122; Django REST: an authentication class with authenticate_header; Istio: a policy that "
            "demands a principal refuses so what RequestAuthentication lets pass)"
        )
        return REFUSAL.failed(answer.words, "forbidden_without_token", text)
    if status in (404, 405, 406, 415):
        text = "nothing was refused here: examine an address that answers GET, or an MCP server with --as mcp"
        return REFUSAL.warned(answer.words, "nothing_to_protect", text)
    if status >= 500:
        text = "look into its log: often the keys of the provider cannot be fetched from there, or a header is missing"
        return REFUSAL.failed(answer.words, "server_error", text)
    return REFUSAL.warned(answer.words, "refusal_other")


def _redirected(answer: Answer) -> Finding:
    where = answer.header("location") or ""
    words = f"{answer.status} to {printable(where, 80)}"
    if _path_of(where).rstrip("/") == _path_of(answer.url).rstrip("/") and host_of(where) in ("", host_of(answer.url)):
        if scheme_of(where) == "http":
            text = (
                "it sends clients from https to http, and their tokens with them: the program does not know that it is "
                "behind TLS (uvicorn: --proxy-headers and --forwarded-allow-ips)"
            )
            return REFUSAL.failed(words, "redirect_to_http", text)
        text = "only the slash at the end differs: clients lose the header Authorization on the way; call it as it is"
        return REFUSAL.warned(words, "redirect_slash", text)
    text = (
        "an API has no login page: answer 401 (Spring: HttpStatusEntryPoint; ASP.NET: OnRedirectToLogin; "
        "oauth2-proxy: --api-route; nginx: error_page)"
    )
    return REFUSAL.failed(words, "redirect_to_login", text)


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _challenge(answer: Answer) -> Iterator[Finding]:
    if answer.status != 401:
        yield CHALLENGE.skipped("there was no 401")
        return
    sent = answer.reply.header_values("www-authenticate") if answer.reply is not None else []
    read = challenges(answer)
    schemes = [one.scheme for one in read]
    if not sent:
        yield CHALLENGE.failed("there is none", "challenge_missing")
        return
    if not read:
        text = 'write it as RFC 9110 has it, values with : and / in quotes: Bearer name="value", name="value"'
        yield CHALLENGE.failed(f"it cannot be read: {sent[0]}", "challenge_unreadable", text)
        return
    if not any(one.has_scheme("Bearer") or one.has_scheme("DPoP") for one in read):
        yield CHALLENGE.failed(f"only {', '.join(schemes)}", "challenge_scheme")
        return
    yield CHALLENGE.passed(sent[0])
    error = next((one.get("error") for one in read if one.get("error")), None)
    yield NO_ERROR.held(error is None, "none is named", f"error={error}, though no token came")


def _malformed(visits: Visits) -> Finding:
    answer, status = visits.malformed, visits.malformed.status
    if 200 <= visits.bare.status < 300:
        return BAD_TOKEN.skipped("it answers without a token")
    if visits.bare.status in (404, 405, 406, 415):
        return BAD_TOKEN.skipped("nothing was refused here")
    if 200 <= status < 300:
        return BAD_TOKEN.failed(f"{answer.words}: it was let in", "bad_token_let_in", "verify tokens")
    if status >= 500:
        text = "catch what your JWT library raises for text that is no token, and answer 401"
        return BAD_TOKEN.failed(answer.words, "bad_token_breaks_server", text)
    if status != 401:
        return BAD_TOKEN.warned(answer.words, "bad_token_other_status")
    errors = [one.get("error") for one in challenges(answer)]
    if "invalid_token" not in errors:
        return BAD_TOKEN.warned("401 without error=invalid_token", "bad_token_without_error")
    return BAD_TOKEN.passed("401, invalid_token")


_TRACES: Final = (b"Traceback (most recent call last)", b"\n\tat ", b".java:", b"System.Exception", b"   at System.")


def _detail(answer: Answer) -> Finding:
    if answer.reply is None:
        return DETAIL.skipped("nothing answered")
    told = any(words in answer.reply.body[:20_000] for words in _TRACES)
    return DETAIL.held(not told, "no trace", "the body shows a trace of the program")


def _query(visits: Visits) -> Finding:
    bare, query = visits.bare, visits.query
    if bare.status != 401:
        return QUERY.skipped("there was no 401 to compare with")
    if 200 <= query.status < 300:
        return QUERY.failed("a request with access_token in its address is let in", "query_token_let_in")
    errors = [{one.get("error") for one in challenges(each)} for each in (bare, query)]
    if query.status == 401 and "invalid_token" in errors[1] - errors[0]:
        return QUERY.warned("the token in the address was looked at", "query_token_read")
    if query.status >= 500:
        return QUERY.warned(f"{query.words} for access_token in the address", "query_token_breaks_server")
    return QUERY.passed("it is not looked at" if query.status == 401 else query.words)


def _preflight(answer: Answer) -> Finding:
    status = answer.status
    if status in (401, 403):
        return PREFLIGHT.warned(answer.words, "preflight_refused")
    if 300 <= status < 400:
        return PREFLIGHT.warned(f"{status}: browsers follow no redirect there", "preflight_redirected")
    if not 200 <= status < 300 or not answer.header("access-control-allow-origin"):
        return PREFLIGHT.skipped(f"{answer.words}: not offered to pages of other origins")
    if not _allows_authorization(answer.header("access-control-allow-headers")):
        return PREFLIGHT.warned(
            "the header Authorization is not allowed (* does not name it)",
            "preflight_without_authorization",
            "name Authorization in Access-Control-Allow-Headers",
        )
    return PREFLIGHT.passed("no token is needed")


def _allows_authorization(allowed: str | None) -> bool:
    # Fetch, CORS-safelisted: Authorization is never covered by the wildcard.
    return "authorization" in [one.strip().lower() for one in (allowed or "").split(",")]


def _kept(answer: Answer) -> Finding:
    if answer.reply is None or answer.status not in (401, 403):
        return REFUSAL_CACHE.skipped("there was no refusal")
    value = answer.header("cache-control") or ""
    kept = told_lifetime(answer.reply, 0.0) > 0 or "public" in value.lower()
    return REFUSAL_CACHE.held(not kept, value or "it does not say, and 401 is not kept by itself", value)


# ---------------------------------------------------------------------------------------------------------------------
# What it publishes


class Published(NamedTuple):
    """Metadata of a resource that was found."""

    answer: Answer
    raw: Mapping[str, Any]

    @property
    def servers(self) -> tuple[str, ...]:
        """The authorization servers that it names."""
        listed = self.raw.get("authorization_servers")
        return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()


def published(answers: Sequence[Answer]) -> Published | None:
    """Return the first metadata among the answers."""
    for answer in answers:
        if answer.reply is not None and answer.status == 200:
            try:
                return Published(answer, loads_object(answer.reply.body))
            except StrictJSONError:
                continue
    return None


def describes_itself(
    url: str, named: str | None, answers: Sequence[Answer], found: Published | None, *, required: bool
) -> Iterator[Finding]:
    """Judge the metadata of a resource.

    Args:
        url: The resource.
        named: Where its challenge says that the metadata is.
        answers: What came from there and from the well-known addresses.
        found: The metadata, if there is any.
        required: Whether there has to be metadata, as MCP demands.
    """
    if found is None:
        yield _unpublished(named, answers, required)
        return
    yield from _where(named, found)
    about = found.raw.get("resource")
    cause = _resource_cause(url, about)
    if cause is None:
        yield RESOURCE.passed(str(about))
    else:
        yield RESOURCE.failed(f"this is {url}, the metadata is about {printable(about)}", *cause)
    yield from _faults(found)
    yield _servers(found)


def _unpublished(named: str | None, answers: Sequence[Answer], required: bool) -> Finding:
    tried = ", ".join(f"{one.shown}: {one.words}" for one in answers)
    if named is not None:
        return METADATA.failed(
            f"the challenge names it, and it is not there: {tried}",
            "resource_metadata_missing",
            "serve it at the address that the challenge names (mounted applications: at the root of the host)",
        )
    if required:
        return METADATA.failed(tried, "resource_metadata_missing")
    return METADATA.skipped("not published")


def _where(named: str | None, found: Published) -> Iterator[Finding]:
    kind = found.answer.reply.media_type if found.answer.reply is not None else ""
    if kind != "application/json":
        text = "send it as application/json"
        yield METADATA.warned(f"sent as {printable(kind, 60)}", "resource_metadata_media_type", text)
    elif named is None:
        text = f'add resource_metadata="{found.answer.shown}" to the challenge: many clients look nowhere else'
        yield METADATA.warned("published, and the challenge does not name it", "resource_metadata_not_named", text)
    elif found.answer.url != named:
        text = "serve it at the address that the challenge names, or correct that"
        yield METADATA.failed(
            f"the challenge names {printable(named)}, it is at {found.answer.shown}",
            "resource_metadata_elsewhere",
            text,
        )
    else:
        yield METADATA.passed(found.answer.url)


def _resource_cause(url: str, about: object) -> tuple[str, str | None] | None:
    """Return what is the matter with the ``resource`` of metadata; None where it is this one, or above it."""
    if not isinstance(about, str) or not about:
        return "resource_missing", "add resource: the address of the resource"
    if about == url:
        return None
    if about.rstrip("/") == url.rstrip("/"):
        text = "they differ only by a slash at the end: write the one that clients use (MCP: without)"
        return "resource_trailing_slash", text
    if not host_of(about):
        return "resource_no_url", "resource is an https address"
    try:
        if is_below(url, about):
            return None
    except PyIdentityModelException:
        return "resource_no_url", "resource is an https address"
    if about.partition("://")[2].rstrip("/") == url.partition("://")[2].rstrip("/"):
        text = "they differ only by http and https: have the proxy send X-Forwarded-Proto, or configure the address"
        return "resource_scheme", text
    if host_of(about) != host_of(url):
        inside = is_public_host(host_of(url)) and not is_public_host(host_of(about))
        if inside or is_loopback(host_of(about)):
            return "resource_internal_host", "it names an inner address: configure its public one"
        return "resource_other_host", None
    if origin(about) != origin(url):
        text = "only the port differs: have the proxy pass on Host and X-Forwarded-Port, or configure the address"
        return "resource_port", text
    return "resource_other_path", "they are of one host and differ by the path: name the path that clients use"


def _faults(found: Published) -> Iterator[Finding]:
    about = found.raw.get("resource")
    if not isinstance(about, str):
        return
    try:
        known: ProtectedResourceMetadata = parse_resource_metadata(found.raw, about)
    except DiscoveryException as error:
        yield METADATA.failed(error.message, error.code)
        return
    for name, fault in known.faults.items():
        yield METADATA.failed(f"{name}: {fault.message}", "resource_metadata_member")
    methods = found.raw.get("bearer_methods_supported")
    if isinstance(methods, list) and "query" in methods:
        yield QUERY.warned("the metadata offers tokens in addresses", "query_token_offered", "take query out")


def _servers(found: Published) -> Finding:
    if found.raw.get("authorization_servers") is None:
        return SERVERS.warned("none is named", "authorization_servers_missing")
    if not found.servers:
        return SERVERS.failed("the list is empty, or no list", "authorization_servers_missing")
    documents = [one for one in found.servers if "/.well-known/" in one]
    if documents:
        text = "name the issuer, not the address of its metadata: clients derive that, and compare the issuer"
        return SERVERS.failed(", ".join(documents), "authorization_server_is_metadata_address", text)
    return SERVERS.passed(", ".join(found.servers))


__all__ = [
    "CHECKS",
    "METADATA",
    "Published",
    "Visits",
    "challenges",
    "describes_itself",
    "published",
    "refusals",
]
