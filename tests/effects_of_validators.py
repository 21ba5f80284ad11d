"""For what a validator does beside validating one token, and each parameter of it: another value."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import py_identity_model as p
from effects import Case, Made, When, wait
from effects_of_functions import ISSUER, NOW
from effects_of_objects import OTHER, SITE, token
from py_identity_model._core.discovery.trust import Stores
from py_identity_model.settings import Settings
from py_identity_model.stores import MemoryStore

NAMED = {"jti": "j", "sid": "s", "sub": "ada"}
TOKEN, STRANGER = token(**NAMED), token(**NAMED | {"sub": "eve", "jti": "k", "sid": "t"})


class Counted:
    """Tokens that are counted as they are taken."""

    taken = 0

    def __iter__(self) -> Any:
        for each in (TOKEN, STRANGER, "x"):
            Counted.taken += 1
            yield each


def validator(door: Any, **more: Any) -> Any:
    """Return a validator for an API."""
    own = Stores("sync" if door is p else "aio", Settings())  # those of the process are emptied before the call
    return door.TokenValidator(ISSUER, "api", http_client=SITE, stores=own, **more)


def cached(door: Any) -> Any:
    """Return a validator that remembers two tokens."""
    made = validator(door, cache_tokens=10)
    for each in (TOKEN, STRANGER, TOKEN, STRANGER):
        wait(made.validate(each))
    return made


def drained(door: Any, stream: Any) -> Any:
    """Use a stream: how many tokens the first outcome took, and all outcomes."""
    if not inspect.isasyncgen(stream):
        Counted.taken = 0
        first = next(stream)
        return Counted.taken, first, list(stream)

    async def drain() -> Any:
        Counted.taken = 0
        first = await anext(stream)
        return Counted.taken, first, [each async for each in stream]

    return asyncio.run(drain())


def revoking(door: Any) -> Any:
    """Return a validator that can revoke."""
    return validator(door, store=MemoryStore())


def judged(made: Any) -> list[Any]:
    """Return how tokens are judged after a revocation, now and much later."""
    found = []
    for each in (TOKEN, STRANGER):
        try:
            found.append(wait(made.validate(each)))
        except p.PyIdentityModelException as error:
            found.append(error)
    return found


EVENT = {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}
SAID = {"jti": "e1", "sub": None, "scope": None, "exp": None, "events": EVENT}
SAID["sub_id"] = {"format": "iss_sub", "iss": ISSUER, "sub": "ada"}


def heard(door: Any, transmitter: Any) -> Any:
    """Use a transmitter: receive an event of it, and tell what was sent for that."""
    SITE.requests.clear()
    receiver = door.SecurityEventReceiver(transmitter, validator=validator(door), http_client=SITE)
    got = wait(receiver.receive(token("secevent+jwt", **SAID), "application/secevent+jwt", None))
    return got, list(SITE.requests)


def polled(door: Any, request: Any) -> Any:
    """Use a request: poll with it."""
    SITE.requests.clear()
    transmitter = p.Transmitter(ISSUER, "api", token_issuers=ISSUER)
    receiver = door.SecurityEventReceiver(transmitter, validator=validator(door), http_client=SITE)
    return wait(receiver.poll(request)), list(SITE.requests)


class Marked:
    """What refuses tokens, or cannot: it says which."""

    def __init__(self, works: bool) -> None:
        self.works = works

    def revoking(self, what: Any, lifetime: float) -> Any:
        """Refuse tokens, or fail."""
        yield from ()
        if not self.works:
            raise p.StoreException("away")

    refusing_revoked = revoking


def asked_to_revoke(door: Any, receiver: Any) -> Any:
    """Use a receiver of Global Token Revocation."""
    body = f'{{"sub_id": {{"format": "iss_sub", "iss": "{ISSUER}", "sub": "ada"}}}}'
    return wait(receiver.receive(body, "application/json", caller={"iss": ISSUER}))


BY_SUBJECT = {"jti": None, "sub": "ada"}
VALIDATORS: dict[str, Case] = {
    "Transmitter": Case(
        {"issuer": ISSUER, "audience": "api", "token_issuers": ISSUER},
        {"audience": "other", "discovery_policy": p.DiscoveryPolicy(require_public_addresses=True)},
        heard,
    ),
    "GlobalRevocationReceiver": Case({"validator": Marked(True)}, {"validator": Marked(False)}, asked_to_revoke),
    "PollRequest": Case(
        {"address": f"{ISSUER}/poll", "access_token": "t"},
        {
            "address": f"{ISSUER}/other",
            "access_token": "u",
            "backchannel": "https://inside.example.com",
            "allow_insecure_http": When(True, {"address": "http://id.example.com/poll"}),
        },
        polled,
    ),
    "TokenValidator.validate_many": Case({"tokens": [TOKEN, "x"]}, {"tokens": [STRANGER], "type": int}, of=validator),
    "TokenValidator.validate_columns": Case(
        {"tokens": [TOKEN, "x"], "claims": ["jti"]},
        {"tokens": [STRANGER], "claims": {"jti": int}},
        lambda door, table: table.to_pydict(),
        validator,
    ),
    "TokenValidator.validate_stream": Case(
        {"tokens": Made(Counted)}, {"tokens": [STRANGER], "type": int, "window": 1}, drained, validator
    ),
    "TokenValidator.invalidate": Case(
        {"sub": "nobody"},
        {
            "token": When(TOKEN, {"token": "x", "sub": None}),
            "iss": When(OTHER, {"sub": "ada", "iss": ISSUER}),
            "sub": "ada",
            "sid": When("s", {"sid": "nothing", "sub": None, "iss": ISSUER}),
            "jti": When("j", {"jti": "nothing", "sub": None, "iss": ISSUER}),
        },
        of=cached,
    ),
    "TokenValidator.revoke": Case(
        {"jti": "nothing"},
        {
            "token": When(TOKEN, {"jti": None, "token": STRANGER}),
            "jti": "j",
            "sid": When("s", {"jti": None, "sid": "nothing"}),
            "sub": When("ada", {"jti": None, "sub": "nobody"}),
            "iss": When(OTHER, BY_SUBJECT),
            "before": When(NOW - 1000.0, BY_SUBJECT),
        },
        of=revoking,
        left=judged,
    ),
}
