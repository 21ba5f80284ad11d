"""Answers that come as a JWT, signed and perhaps encrypted (RFC 9701, OpenID Connect Core 5.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..base.flow import Flow
from ..jose.jwe import Decryption, decrypt_nested
from .claim_checks import Claims
from .config import TokenValidationConfig, Validators
from .token_kinds import Kind


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


def verify_signed(token: str, policy: SignedResponsePolicy, kind: Kind, validators: Validators) -> Flow[Claims]:
    """Decrypt *token* if that was agreed upon, verify it, and return its claims.

    Raises:
        TokenValidationException: It is refused.
        NetworkException: It cannot be verified right now.
        ConfigurationException: The policy cannot be used safely.
    """
    validator = validators(policy.token_validation_config, policy.disco_doc_address, kind)
    return (yield from validator.examine(decrypted(token, policy.decryption)))


def decrypted(token: str, decryption: Decryption | None) -> str:
    """Return the signed token inside of *token*, or *token* itself where no encryption was agreed upon.

    Raises:
        TokenValidationException: It cannot be decrypted, or is not encrypted though it must be.
    """
    return token if decryption is None else decrypt_nested(token, decryption)


__all__ = ["SignedResponsePolicy", "decrypted", "verify_signed"]
