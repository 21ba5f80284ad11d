"""One login under way: everything that ties the response to the request, kept until the user comes back, used once.

RFC 9700 2.1, 4.4.2, 4.7.1: state, nonce, PKCE verifier and issuer are new for each login and bound to the user agent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Self

import msgspec

from ..._arguments import explains_arguments
from ..._refusals import because
from ...exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
)
from ..base.flow import Flow
from ..base.secret import Redacted, Secret, exposed
from ..base.shapes import Date, SomeTexts, Text, Texts, WholeSeconds
from ..base.store import AnyStore, ask, digest_of, pack, unpack
from ..base.strict_json import StrictJSONError, loads_object
from ..binding.replay import UsedValues, first_use

#: Characters of a serialised transaction at most.
MAX_TRANSACTION = 32 * 1024
#: The topic of logins under way.
TOPIC = "logins"
_VERSION = 1


@dataclass(frozen=True, kw_only=True, repr=False)
class LoginTransaction(Redacted):
    """What a client remembers of a login while the user is at the provider.

    Keep it where only the user's own browser leads to it and nobody else can write: in the server's session, or in an
    encrypted cookie. It holds secrets.

    Attributes:
        issuer: The provider that was asked.
        client_id: The client that asked.
        redirect_uri: Where the user comes back to.
        response_type: What was asked for.
        response_mode: How the response must come: ``query``, ``fragment``, ``form_post``, or one of these and ``.jwt``.
        scope: The scope that was asked for.
        state: Ties the response to this transaction.
        nonce: Ties the ID token to it; None without ``openid``.
        code_verifier: Ties the code to it; None if no code was asked for.
        max_age: Seconds since the user last authenticated, as asked for.
        acr_values: The authentication contexts that will do; None if any will.
        expected_sub: The user that has to come back; None if anyone may.
        iss_required: Whether the response must name its issuer (RFC 9207 2.4).
        resource: Where the tokens will be used (RFC 8707).
        dpop_jkt: Thumbprint of the DPoP key that the code is bound to.
        binding: Digest of what ties this to one user agent; None where the place it is kept does that.
        created_at: When it began, in seconds since 1970.
        expires_at: When it ends, in seconds since 1970.
        data: What the application wants to know afterwards, such as the page to return to.
    """

    issuer: str
    client_id: str
    redirect_uri: str
    response_type: str
    response_mode: str
    scope: str
    state: str
    nonce: str | None
    code_verifier: str | None
    created_at: float
    expires_at: float
    max_age: int | None = None
    acr_values: tuple[str, ...] | None = None
    expected_sub: str | None = None
    iss_required: bool = False
    resource: tuple[str, ...] = ()
    dpop_jkt: str | None = None
    binding: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    _pickles = True  # it waits in the session of the browser for its answer
    _redacted = frozenset({"state", "nonce", "code_verifier", "binding", "data"})

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, secrets included."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        listed = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return {"version": _VERSION, **values, **listed, "data": dict(self.data)}

    def to_string(self) -> str:
        """Return everything as JSON text, secrets included."""
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    @classmethod
    @explains_arguments
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the transaction that :meth:`to_dict` made these values of.

        Raises:
            AuthorizeCallbackException: They are no such values; the code is ``transaction_invalid``.
        """
        members = dict(values) if isinstance(values, Mapping) else {}
        version = members.pop("version", None)
        if version != _VERSION or isinstance(version, bool) or members.keys() != _FIELDS.keys():
            raise _refused("its members are not the expected ones")
        for name, kind in _FIELDS.items():
            try:
                members[name] = msgspec.convert(members[name], kind)
            except msgspec.ValidationError:
                raise _refused(f"{name} is malformed", name) from None
        return cls(**members)

    @classmethod
    @explains_arguments
    def from_string(cls, text: str | bytes) -> Self:
        """Return the transaction that :meth:`to_string` made this text of.

        Raises:
            AuthorizeCallbackException: It is no such text; the code is ``transaction_invalid``.
        """
        members: dict[str, Any] | None = None
        try:
            members = loads_object(text, max_size=MAX_TRANSACTION) if isinstance(text, str | bytes) else None
        except StrictJSONError:
            pass  # it holds the text, so nothing is raised in its context
        if members is None:
            raise _refused("it is no JSON object")
        return cls.from_dict(members)

    def __reduce__(self) -> Any:
        raise ConfigurationException(
            "A login transaction cannot be pickled: it holds secrets",
            code="secret_not_picklable",
            hint="to_string() makes a text for the session",
        )


#: What each member must be.
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("issuer", "client_id", "redirect_uri", "response_type", "response_mode", "state"), Text),
    "scope": str,
    **dict.fromkeys(("nonce", "code_verifier", "expected_sub", "dpop_jkt", "binding"), Text | None),  # pyright: ignore[reportOperatorIssue] # at run time it is one
    **dict.fromkeys(("created_at", "expires_at"), Date),
    "max_age": WholeSeconds | None,  # pyright: ignore[reportOperatorIssue] # as above
    "acr_values": SomeTexts | None,  # pyright: ignore[reportOperatorIssue] # as above
    "iss_required": bool,
    "resource": Texts,
    "data": dict[str, Any],
}


_refused = partial(because, AuthorizeCallbackException, "transaction_invalid", "The login transaction cannot be read")


# ---------------------------------------------------------------------------------------------------------------------
# Stores


def store_key(state: str) -> str:
    """Return the key under which a login is kept: a digest, so that a store never sees the state itself."""
    return digest_of("login", state)


def binding_digest(binding: str | Secret) -> str:
    """Return what a transaction remembers of the value that ties it to a user agent.

    Raises:
        ConfigurationException: It is empty, or no text.
    """
    if not isinstance(binding, str | Secret) or not exposed(binding):
        raise ConfigurationException("binding must be text that is not empty", code="policy_invalid", claim="binding")
    return digest_of("login binding", exposed(binding))


def keep(store: AnyStore, transaction: LoginTransaction, wall: float) -> Flow[None]:
    """Keep a transaction in a store until it is taken or expires.

    Raises:
        StoreException: The store cannot answer.
    """
    key, value = store_key(transaction.state), pack(transaction.to_string().encode())
    yield from ask(store, lambda one: one.put(TOPIC, key, value, transaction.expires_at - wall))


def take(store: AnyStore, state: str) -> Flow[LoginTransaction]:
    """Take the transaction with *state* out of a store; a second caller finds nothing.

    Raises:
        AuthorizeCallbackException: There is none; the code is ``transaction_unknown``.
        StoreException: The store cannot answer.
    """
    key = store_key(state)
    value = unpack((yield from ask(store, lambda one: one.get(TOPIC, key))), topic=TOPIC)
    # Of several who read it, the one who made it go has it.
    if value is None or not (yield from ask(store, lambda one: one.delete(TOPIC, key))):
        raise AuthorizeCallbackException(
            "No login under way has this state",
            code="transaction_unknown",
            claim="state",
            hint="it was used already, took too long, or was begun elsewhere",
        )
    return LoginTransaction.from_string(value)


def use_once(used: AnyStore | UsedValues, transaction: LoginTransaction, wall: float) -> Flow[None]:
    """Refuse a transaction that was used before.

    Raises:
        AuthorizeCallbackException: It was; the code is ``transaction_used``.
        StoreException: The memory cannot answer.
    """
    left = max(1.0, transaction.expires_at - wall)
    if not (yield from first_use(used, store_key(transaction.state), left, transaction.created_at)):
        raise AuthorizeCallbackException(
            "This login was completed before", code="transaction_used", claim="state", hint="begin a new login"
        )


__all__ = [
    "MAX_TRANSACTION",
    "LoginTransaction",
    "binding_digest",
    "keep",
    "store_key",
    "take",
    "use_once",
]
