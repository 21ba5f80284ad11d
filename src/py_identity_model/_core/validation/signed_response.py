"""Answers that come as a JWT, signed and perhaps encrypted (RFC 9701, OpenID Connect Core 5.3.2)."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from ..._arguments import checks_arguments
from ..._refusals import must_be
from ..base.flow import Flow
from .claim_checks import Claims
from .config import TokenValidationConfig, Validators
from .id_token import NOTHING_EXPECTED, IdTokenExpectation
from .token_kinds import ID_TOKEN, Kind, texts
from .validator import Validator

if TYPE_CHECKING:
    from ..jose.jwe import Decryption


@dataclass(frozen=True, slots=True)
class SignedResponsePolicy:
    """Demand that an endpoint signs its answer. An answer that is not signed is refused then.

    Attributes:
        token_validation_config: What to check; its ``audience`` is the ``client_id`` that asks, its ``algorithms`` what
            the client is registered with.
        disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
        decryption: Keys and algorithms, if the answer is encrypted as well. One that is not is refused then.
    """

    token_validation_config: TokenValidationConfig
    disco_doc_address: str | None = None
    decryption: Decryption | None = field(default=None, repr=False)


def verify_signed(
    token: str, policy: SignedResponsePolicy, kind: Kind, validators: Validators, *, login: bool = False
) -> Flow[Claims]:
    """Decrypt *token* if that was agreed upon, verify it, and return its claims.

    Args:
        token: What came.
        policy: What it must be.
        kind: Its kind.
        validators: The validators of the API at hand.
        login: Whether it answers a login under way, whose number the application bounds: only then may it wait longer,
            and beside the places of others, for a key that is not known yet.

    Raises:
        TokenValidationException: It is refused.
        NetworkException: It cannot be verified right now.
        ConfigurationException: The policy cannot be used safely.
    """
    validator = validators(policy.token_validation_config, policy.disco_doc_address, kind)
    return (yield from validator.examine(decrypted(token, policy.decryption), login=login))


def decrypted(token: str, decryption: Decryption | None) -> str:
    """Return the signed token inside of *token*, or *token* itself where no encryption was agreed upon.

    Raises:
        TokenValidationException: It cannot be decrypted, or is not encrypted though it must be.
    """
    if decryption is None:
        return token
    from ..jose.jwe import decrypt_nested  # few agree upon it, and it loads as much as validation does

    return decrypt_nested(token, decryption)


@dataclass(frozen=True, slots=True)
class IdTokenPolicy:
    """What an ID token must be, for those who know it.

    Attributes:
        token_validation_config: What to check; its ``audience`` is the ``client_id``, its ``algorithms`` the registered
            ``id_token_signed_response_alg``.
        disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
        decryption: Keys and algorithms, if ID tokens are encrypted to the client. One that is not is refused then.
        trusted_audiences: Others that may stand beside the client in ``aud``.
        authorized_parties: Others that may be named in ``azp``.
    """

    token_validation_config: TokenValidationConfig
    disco_doc_address: str | None = None
    decryption: Decryption | None = field(default=None, repr=False)
    trusted_audiences: frozenset[str] = frozenset()
    authorized_parties: frozenset[str] = frozenset()

    @checks_arguments
    def __post_init__(self) -> None:
        for name in ("trusted_audiences", "authorized_parties"):
            object.__setattr__(self, name, texts(getattr(self, name), name))


class KnowsIdTokens(Protocol):
    """Whatever says what an ID token must be: a ``LoginClient`` does."""

    @property
    def id_token_policy(self) -> IdTokenPolicy:
        """What an ID token for it must be."""
        ...


def id_token_policy(given: TokenValidationConfig | KnowsIdTokens, address: str | None = None) -> IdTokenPolicy:
    """Return what an ID token must be, as a configuration or a client says.

    Raises:
        ConfigurationException: *given* is neither, or *address* stands beside a client, which knows it.
    """
    if isinstance(given, TokenValidationConfig):
        return IdTokenPolicy(given, address)
    policy = getattr(given, "id_token_policy", None)
    if not isinstance(policy, IdTokenPolicy):
        raise must_be("token_validation_config", "a TokenValidationConfig or a LoginClient", type(given).__name__)
    if address is not None:
        raise must_be("disco_doc_address", "left out: the client knows where the metadata is", address)
    return policy


def verify_id_token(
    token: str,
    policy: IdTokenPolicy,
    validators: Validators,
    expectation: IdTokenExpectation = NOTHING_EXPECTED,
    *,
    login: bool = False,
) -> Flow[Claims]:
    """Decrypt an ID token if that was agreed upon, verify it, and return its claims; *login* as :func:`verify_signed`.

    Raises:
        TokenValidationException: It is refused.
        NetworkException: It cannot be verified right now.
        ConfigurationException: The policy cannot be used safely.
    """
    validator = validators(policy.token_validation_config, policy.disco_doc_address, ID_TOKEN)
    if policy.trusted_audiences or policy.authorized_parties:
        validator = _with_parties(validator, policy)
    return (yield from validator.examine(decrypted(token, policy.decryption), expectation, login=login))


def _with_parties(validator: Validator, policy: IdTokenPolicy) -> Validator:
    """Return a validator that accepts the others that *policy* names; what it trusts is shared."""
    other = copy(validator)
    other.options = replace(
        validator.options,
        trusted_audiences=policy.trusted_audiences,
        authorized_parties=policy.authorized_parties,
    )
    return other


__all__ = [
    "IdTokenPolicy",
    "KnowsIdTokens",
    "SignedResponsePolicy",
    "decrypted",
    "id_token_policy",
    "verify_id_token",
    "verify_signed",
]
