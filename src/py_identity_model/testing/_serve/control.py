"""The control API of a served issuer: JSON over HTTP, for tests in any language; never for a page of another site.

Each row of :data:`CALLS` is a method and a path below ``{issuer}/_control``, and the function that answers. A browser
sends no JSON across sites without asking first, and is never allowed to: a page that a developer visits cannot drive
the provider beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from ..._core.base.flow import Reply, Request, media_type_of
from ...exceptions import ConfigurationException
from .._documents import DOCUMENTS
from .._endpoints import ENDPOINTS
from .._faults import FAULTS
from .._forgeries import FORGERIES
from .bodies import Shape, invalid, read_shape, shaped
from .clock import LAST_SECOND
from .exchanges import LONGEST_WAIT, MOST, Exchange
from .issuer import MOST_FAULTS, MOST_USERS, ServedIssuer
from .logins import NextLogin
from .messages import from_here, header, json_answer, own_origins, query_of
from .rules import ClientRow

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Seconds = Annotated[float, msgspec.Meta(ge=-1e10, le=1e10)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=LAST_SECOND)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class LoginBody(Shape):
    """The next login."""

    subject: Text | None = None
    claims: dict[str, Any] = msgspec.field(default_factory=dict)
    acr: Text | None = None
    amr: tuple[Text, ...] = ()
    auth_time: Annotated[int, msgspec.Meta(ge=0, le=int(LAST_SECOND))] | None = None
    error: Text | None = None
    error_description: Text | None = None
    times: Count | None = 1
    when: dict[str, str] = msgspec.field(default_factory=dict)


class TokenBody(Shape):
    """A token to be minted."""

    kind: Text = "access_token"
    subject: Text | None = None
    audience: Text | list[Text] | None = None
    client_id: Text | None = None
    expires_in: Seconds = 300
    alg: Text | None = None
    headers: dict[str, Any] = msgspec.field(default_factory=dict)
    claims: dict[str, Any] = msgspec.field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return the arguments of ``mint_claims`` beside the kind and the claims."""
        named = ("subject", "audience", "client_id", "expires_in", "alg", "headers")
        return {name: getattr(self, name) for name in named}


class ForgeryBody(Shape):
    """A token that every API must refuse."""

    name: Text
    subject: Text | None = None
    audience: Text | list[Text] | None = None
    client_id: Text | None = None
    alg: Text | None = None


class FaultBody(Shape):
    """A fault to be played."""

    fault: Text
    times: Count | None = 1
    on: Text | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)


class ClockBody(Shape):
    """A change of the time."""

    now: Moment | None = None
    advance: Seconds | None = None
    frozen: bool | None = None


class RotationBody(Shape):
    """A new key."""

    alg: Text | None = None
    keep_previous: bool = True
    publish: bool = True


class DeviceBody(Shape):
    """What the user of a device decides."""

    approve: bool
    subject: Text | None = None


class RequestsQuery(Shape):
    """Which recorded requests are asked for."""

    endpoint: str | None = None
    method: str | None = None
    client_id: str | None = None
    after: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100
    wait: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT)] = 0

    def wants(self, exchange: Exchange) -> bool:
        """Tell whether an exchange is one of them."""
        pairs = (
            (self.endpoint, exchange.endpoint),
            (self.method, exchange.request.method),
            (self.client_id, exchange.client_id),
        )
        return exchange.number > self.after and all(asked in (None, found) for asked, found in pairs)


Answering = Callable[[ServedIssuer, Request, str], Reply]
_DONE = Reply(204, (("cache-control", "no-store"),))


def control(issuer: ServedIssuer, request: Request, path: str) -> Reply:
    """Answer one request to the control API; *path* is what follows ``/_control``."""
    if not from_here(request, own_origins(request, issuer.origins())):
        return _error(403, invalid("cross_site", "Pages of other sites do not control this provider", "origin"))
    found = {method: (answer, part) for method, answer, part in _matching(path)}
    if not found:
        return _error(404, invalid("path_unknown", "The control API has no such path", "path"))
    if request.method not in found:
        return Reply(405, (("allow", ", ".join(found)),))
    is_json = media_type_of(header(request, "content-type")) == "application/json"
    if request.method != "GET" and not is_json:
        told = "Send content-type: application/json, even without a body"
        return _error(415, invalid("content_type_invalid", told, "content-type", expected="application/json"))
    answer, part = found[request.method]
    try:
        return answer(issuer, request, part)
    except ConfigurationException as error:
        return _error(400, error)


def _matching(path: str) -> list[tuple[str, Answering, str]]:
    matched = ((method, answer, re.fullmatch(pattern, path)) for (method, pattern), answer in CALLS.items())
    return [
        (method, answer, unquote(match["part"]) if match.groups() else "") for method, answer, match in matched if match
    ]


def _error(status: int, error: ConfigurationException) -> Reply:
    facts = {"message": error.message, "field": error.claim, "expected": error.expected, "actual": error.actual}
    kept = {name: value for name, value in {**facts, "hint": error.hint}.items() if value is not None}
    return json_answer({"error": {"code": error.code, **kept}}, status)


# ---------------------------------------------------------------------------------------------------------------------
# What each call does


def _overview(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    counted = {name: issuer.count(name) for name in (*DOCUMENTS, *ENDPOINTS)}
    paths = sorted({pattern.replace("(?P<part>[^/]+)", "{}") for _, pattern in CALLS})
    broken = issuer.options.file.error
    return json_answer(
        {
            "issuer": issuer.issuer,
            "now": issuer.now(),
            "counts": {name: count for name, count in counted.items() if count},
            "faults": _playing(issuer),
            "next_logins": len(issuer.queue.all()),
            "claims_file": None if broken is None else {"code": broken.code, "message": broken.message},
            "links": [f"{issuer.issuer.rstrip('/')}/_control{path}" for path in paths],
        }
    )


def _queue_login(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, LoginBody)
    waiting = issuer.queue.add(NextLogin(**{name: getattr(body, name) for name in body.__struct_fields__}))
    if waiting < 0:
        raise invalid("too_many", "Too many logins wait already; DELETE clears them", "next-logins")
    return json_answer({"waiting": waiting}, 201)


def _show_logins(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    return json_answer({"next_logins": [asdict(login) for login in issuer.queue.all()]})


def _clear_logins(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.queue.clear()
    return _DONE


def _mint(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, TokenBody)
    token = issuer.mint_claims(body.kind, body.claims, **body.facts())
    return json_answer({"token": token, "claims": issuer.claims_of(token)}, 201)


def _show_forgeries(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    rows = {name: {"summary": row.summary, "code": row.code} for name, row in FORGERIES.items()}
    return json_answer({"forgeries": rows})


def _forge(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, ForgeryBody)
    facts = {name: getattr(body, name) for name in ("subject", "audience", "client_id") if getattr(body, name)}
    token = issuer.forge(body.name, alg=body.alg, **facts)  # type: ignore[arg-type]  # a wrong name is refused there
    row = FORGERIES[body.name]
    return json_answer({"token": token, "summary": row.summary, "code": row.code}, 201)


def _show_requests(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    asked = query_of(request)
    numbers = {name: _number(value, name) for name, value in asked.items() if name in ("after", "limit", "wait")}
    query = shaped({**asked, **numbers}, RequestsQuery)
    found = issuer.exchanges.await_some(query.wants, query.wait)[: query.limit]
    return json_answer({"requests": [each.as_dict() for each in found], "last": issuer.exchanges.last})


def _number(value: str, name: str) -> float:
    try:
        return int(value) if name != "wait" else float(value)
    except ValueError:
        raise invalid("field_invalid", "Expected a number", name) from None


def _clear_requests(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.exchanges.clear()
    issuer.forget_requests()
    return _DONE


def _playing(issuer: ServedIssuer) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "fault": each.fault.name,
            "on": None if each.fault.on is None else sorted(each.fault.on),
            "left": each.left,
            "hits": each.hits,
        }
        for number, each in issuer.faults_at_play().items()
    ]


def _show_faults(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    known = {
        name: {"summary": row.summary, "on": None if row.on is None else sorted(row.on)} for name, row in FAULTS.items()
    }
    return json_answer({"known": known, "playing": _playing(issuer)})


def _play(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, FaultBody)
    if len(issuer.faults_at_play()) >= MOST_FAULTS:
        raise invalid("too_many", "Too many faults are played already; DELETE stops them", "faults")
    for name, value in body.options.items():
        _check_option(name, value)
    return json_answer({"id": issuer.play_numbered(body.fault, body.times, body.on, body.options)}, 201)


#: The largest value of each option of a fault that is a number.
_LARGEST = {"seconds": 600.0, "size": 64.0 * 1024 * 1024, "retry_after": 1e9, "status": 599}


def _check_option(name: str, value: Any) -> None:
    field = f"options.{name}"
    if isinstance(value, str) and name not in ("seconds", "size", "status"):
        if not (value.isascii() and value.isprintable() and len(value) <= 2048):
            raise invalid("field_invalid", "Expected printable ASCII", field)
        return
    least, most = (100 if name == "status" else 0), _LARGEST.get(name, 0.0)
    if not _is_within(value, least, most, whole=name in ("size", "status")):
        raise invalid("field_invalid", f"Expected a number up to {most:g}", field, actual=value)


def _is_within(value: object, least: float, most: float, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return least <= value <= most and (isinstance(value, int) or not whole)


def _recover(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.recover()
    return _DONE


def _stop_fault(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    if not (part.isascii() and part.isdigit() and issuer.stop_fault(int(part[:9]))):
        raise invalid("fault_unknown", "No fault of that number is played", "id", actual=part)
    return _DONE


def _show_clock(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    clock = issuer.clock
    return json_answer({"now": clock.now(), "offset": clock.offset, "frozen": clock.frozen})


def _set_clock(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, ClockBody)
    issuer.clock.set(body.now, body.frozen)
    if body.advance is not None:
        issuer.clock.advance(body.advance)
    return _show_clock(issuer, request, part)


def _reset_clock(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.clock.reset()
    return _DONE


def _show_keys(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    keys = [{"kid": held.kid, "alg": held.key.alg, "published": held.published} for held in issuer.held_keys()]
    return json_answer({"keys": keys})


def _rotate(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, RotationBody)
    kid = issuer.rotate_bounded(body.alg, body.keep_previous, body.publish)  # type: ignore[arg-type]  # refused there
    return json_answer({"kid": kid}, 201)


def _publish(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.publish()
    return _DONE


def _remove_key(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.remove_key(part)
    return _DONE


def _show_users(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    return json_answer({"users": issuer.users()})


def _put_user(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    claims = read_shape(request.body, dict[str, Any])
    if len(issuer.accounts) >= MOST_USERS and part not in issuer.accounts:
        raise invalid("too_many", "Too many users are known already", "users")
    issuer.accounts[part] = {name: value for name, value in claims.items() if name != "sub"}
    return _DONE


def _delete_user(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    if issuer.accounts.pop(part, None) is None:
        raise invalid("user_unknown", "No such user was added over HTTP", "sub", actual=part)
    return _DONE


def _show_clients(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    return json_answer({"clients": {name: asdict(client) for name, client in issuer.clients().items()}})


def _put_client(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, ClientRow)
    if body.client_id not in ("", part):
        raise invalid("field_invalid", "The path names another client", "client_id")
    body.client_id = part
    issuer.add_client(body.client())
    return _DONE


def _decide_device(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    body = read_shape(request.body, DeviceBody)
    if body.approve:
        issuer.approve_device(part, subject=body.subject)
    else:
        issuer.deny_device(part)
    return _DONE


def _reload(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    found = issuer.options.file.reload()
    counts = {name: len(getattr(found, name)) for name in ("users", "clients", "rules", "issuers")}
    return json_answer(counts)


def _reset(issuer: ServedIssuer, request: Request, part: str) -> Reply:
    issuer.reset()
    return _DONE


_PART = "/(?P<part>[^/]+)"

#: Every call: its method, its path below ``_control``, and who answers.
CALLS: Mapping[tuple[str, str], Answering] = {
    ("GET", "/?"): _overview,
    ("GET", "/next-logins"): _show_logins,
    ("POST", "/next-logins"): _queue_login,
    ("DELETE", "/next-logins"): _clear_logins,
    ("POST", "/tokens"): _mint,
    ("GET", "/forgeries"): _show_forgeries,
    ("POST", "/forgeries"): _forge,
    ("GET", "/requests"): _show_requests,
    ("DELETE", "/requests"): _clear_requests,
    ("GET", "/faults"): _show_faults,
    ("POST", "/faults"): _play,
    ("DELETE", "/faults"): _recover,
    ("DELETE", f"/faults{_PART}"): _stop_fault,
    ("GET", "/clock"): _show_clock,
    ("PUT", "/clock"): _set_clock,
    ("DELETE", "/clock"): _reset_clock,
    ("GET", "/keys"): _show_keys,
    ("POST", "/keys/rotate"): _rotate,
    ("POST", "/keys/publish"): _publish,
    ("DELETE", f"/keys{_PART}"): _remove_key,
    ("GET", "/users"): _show_users,
    ("PUT", f"/users{_PART}"): _put_user,
    ("DELETE", f"/users{_PART}"): _delete_user,
    ("GET", "/clients"): _show_clients,
    ("PUT", f"/clients{_PART}"): _put_client,
    ("POST", f"/devices{_PART}"): _decide_device,
    ("POST", "/claims/reload"): _reload,
    ("POST", "/reset"): _reset,
}

__all__ = ["CALLS", "control"]
