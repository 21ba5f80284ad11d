"""Sessions bound to a key that the browser holds (Device Bound Session Credentials, W3C draft): experimental.

A browser that can makes a key at the login, and from then on has to show every few minutes that it still holds it: it
gets a second cookie for so long. Stolen cookies are worth nothing soon after. A browser that cannot does nothing, and
its session is as it was.

========  =====================================  =======  ==========================================================
state     event                                  next     what happens
========  =====================================  =======  ==========================================================
free      a login                                free     the browser is offered to make a key
free      a proof with a key                     bound    the key is remembered; the second cookie is set
bound     a request with both cookies            bound
bound     a request without the second cookie    bound    nobody is logged in, and an alarm: the cookie was stolen
bound     a refresh without a proof              bound    403 and a challenge
bound     a refresh with a proof of the key      bound    the second cookie is set anew
========  =====================================  =======  ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...exceptions import TokenValidationException
from ..base.flow import Flow, now
from ..base.secret import same_text
from ..base.store import AnyStore, digest_of
from ..base.strict_json import StrictJSONError, loads_object
from ..jose.algorithms import KeyRefused
from ..jose.jws import CompactJws, parse_compact
from ..jose.verification_keys import PRIVATE_MEMBERS, import_key, prepare
from .audit import Audit
from .cookies import Cookies
from .index import Entry
from .messages import Headers, WebAnswer, WebRequest, json_answer
from .records import Held, Lifetimes, Record
from .sealing import Seal
from .stored_sessions import StoredSessions

#: The kind of cookie that shows that the browser had the key a moment ago.
KIND = "bound"
#: Seconds that it lasts, and seconds that a challenge does.
SHOWN_FOR, CHALLENGE_FOR = 600.0, 300.0
#: Algorithms of such keys, the preferred one first.
ALGORITHMS = ("ES256", "RS256")
MAX_PROOF = 8192
_TYPE = "dbsc+jwt"
#: The field with a proof: as the draft names it now, and as it did.
_PROOF = ("secure-session-response", "sec-session-response")


class BoundSessions(StoredSessions):
    """Sessions in a store, bound to keys where browsers have some.

    Args:
        store: The store.
        seal: Returns it with values sealed under a key.
        cookies: How cookies are set.
        lifetimes: How long sessions live.
        audit: Hears of proofs that fail, and of cookies without their key.
        path: The public path by which browsers prove their keys.
        origin: The origin of the application.
    """

    def __init__(
        self,
        store: AnyStore,
        seal: Seal,
        cookies: Cookies,
        lifetimes: Lifetimes,
        audit: Audit,
        path: str,
        origin: str,
    ) -> None:
        super().__init__(store, seal, cookies, lifetimes)
        self._audit, self._path, self._origin = audit, path, origin
        self._bound = cookies.named(KIND)

    # ---- sessions, as all others know them

    def create(self, record: Record, issued_at: float, tokens: str) -> Flow[tuple[Held, list[Entry]]]:
        """Begin a session; its browser is offered to make a key, or shows the one that it has under the new id.

        Args:
            record: What it remembers.
            issued_at: When its ID token was issued, in seconds since 1970.
            tokens: Where its tokens are, as a digest.

        Raises:
            SessionEnded: The provider ended it meanwhile.
            StoreException: The store cannot answer.
        """
        held, surplus = yield from super().create(record, issued_at, tokens)
        more = self._offer(held) if record.bound_to is None else self._shown(held)
        return held._replace(headers=(*held.headers, more)), surplus

    def find(self, request: WebRequest) -> Flow[Held | None]:
        """Return the session of a request; None also where its key has to be shown, and was not.

        Raises:
            StoreException: The store cannot answer.
        """
        held = yield from super().find(request)
        if held is None or held.record.bound_to is None:
            return held
        if _is_current(request.cookie(self._bound), "bound", held):
            return held
        self._audit.theft_suspected("device_key_not_shown", issuer=held.record.issuer)
        return None

    # ---- what browsers ask for by themselves

    def prove(self, request: WebRequest) -> Flow[WebAnswer]:
        """Answer a browser that registers a key, or shows that it still has it.

        Raises:
            StoreException: The store cannot answer.
        """
        held = yield from super().find(request)
        if held is None:
            return json_answer(401, {"error": "login_required"})
        proof = next((value for name in _PROOF if (value := request.header(name)) is not None), None)
        if proof is None:
            return self._challenged(held)
        key = _proven(proof, held)
        if key is None:
            self._audit.denied("device_proof_invalid", "session_key")
            return self._challenged(held)
        if held.record.bound_to is None:
            record = msgspec.structs.replace(held.record, bound_to=key)
            if not (yield from self._changed(held, record)):
                return self._challenged(held)
        held = held._replace(at=(yield from now()).wall)
        return json_answer(200, self._instructions(held), (self._shown(held),))

    def _challenged(self, held: Held) -> WebAnswer:
        challenge = ("secure-session-challenge", f'"{_stamp("challenge", held, CHALLENGE_FOR)}";id="{_name(held)}"')
        return json_answer(403, {"error": "proof_required"}, (challenge,))

    def _offer(self, held: Held) -> tuple[str, str]:
        algorithms = " ".join(ALGORITHMS)
        challenge = _stamp("challenge", held, CHALLENGE_FOR)
        return "secure-session-registration", f'({algorithms});path="{self._path}";challenge="{challenge}"'

    def _shown(self, held: Held) -> tuple[str, str]:
        return self._cookies.setting(self._bound, _stamp("bound", held, SHOWN_FOR), SHOWN_FOR)

    def _instructions(self, held: Held) -> dict[str, Any]:
        """Return what the browser is told of the session: which cookie to keep fresh, and where."""
        attributes = "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if self._cookies.secure else "")
        return {
            "session_identifier": _name(held),
            "refresh_url": self._path,
            "scope": {"origin": self._origin, "include_site": False, "scope_specification": []},
            "credentials": [{"type": "cookie", "name": self._bound, "attributes": attributes}],
        }

    def cleared(self, request: WebRequest) -> Headers:
        """Return the headers that take away what the browser has of a session."""
        more = (self._cookies.clearing(self._bound),) if request.cookie(self._bound) is not None else ()
        return (*super().cleared(request), *more)

    def outlived(self, request: WebRequest) -> Headers:
        """Return nothing: where the key was not shown there is a session still, and the browser may show it later."""
        return ()


def _name(held: Held) -> str:
    return digest_of("device session", held.record.tokens)[:32]


def _stamp(kind: str, held: Held, seconds: float) -> str:
    """Return a value that only this application makes, for this session and so many seconds."""
    until = str(int(held.at + seconds))
    return f"{until}.{digest_of('device', kind, held.id, until)}"


def _is_current(stamp: object, kind: str, held: Held) -> bool:
    until, _, _ = stamp.partition(".") if isinstance(stamp, str) else ("", "", "")
    if not until.isascii() or not until.isdigit() or len(until) > 12 or int(until) <= held.at:
        return False
    return same_text(str(stamp), f"{until}.{digest_of('device', kind, held.id, until)}")


def _proven(proof: str, held: Held) -> dict[str, Any] | None:
    """Return the key that signed *proof* for this session: the session's own, if it has one."""
    try:
        jws = parse_compact(proof.strip(' "'), max_token=MAX_PROOF, max_header=MAX_PROOF // 2)
        claims = loads_object(jws.payload)
        if jws.header.get("typ") != _TYPE or not _is_current(claims.get("jti"), "challenge", held):
            return None
        jwk = held.record.bound_to or _offered(jws.header, claims)
        return jwk if jwk is not None and _signed(jws, jwk) else None
    except (TokenValidationException, StrictJSONError, KeyRefused):
        return None


def _offered(header: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any] | None:
    found = header.get("jwk", claims.get("key"))
    if not isinstance(found, dict) or PRIVATE_MEMBERS & found.keys():
        return None
    return {str(name): value for name, value in found.items()}


def _signed(jws: CompactJws, jwk: Mapping[str, Any]) -> bool:
    alg = jws.header.get("alg")
    return alg in ALGORITHMS and prepare(import_key(jwk), str(alg)).verify(jws.signing_input, jws.signature)


__all__ = ["ALGORITHMS", "KIND", "BoundSessions"]
