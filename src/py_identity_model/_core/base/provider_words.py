"""What a provider says in its own words: kept long enough to hold the cause, made safe to print, free of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

from ...exceptions import printable
from .secret import REDACTED, Redacted, Secret, exposed

#: Characters of a provider's explanation that are kept; of a longer one both ends, as the cause may stand last.
MAX_REASON = 1024
#: A text shorter than this is no secret that could be told from a word.
LEAST_SECRET = 8

#: The codes that norms register; they say what happened, whatever a secret may be called.
REGISTERED_ERRORS = frozenset(
    # RFC 6749 4.1.2.1, 5.2 and 7.2; RFC 6750 3.1; RFC 7009 2.2.1; RFC 8628 3.5
    {"invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope"}
    | {"server_error", "temporarily_unavailable", "invalid_client", "invalid_grant", "unsupported_grant_type"}
    | {"invalid_token", "insufficient_scope", "unsupported_token_type"}
    | {"authorization_pending", "slow_down", "expired_token"}
    # OpenID Connect Core 3.1.2.6; CIBA Core 11, 12 and 13; Native SSO and Unmet Authentication Requirements
    | {"interaction_required", "login_required", "account_selection_required", "consent_required"}
    | {"invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported"}
    | {"registration_not_supported", "need_info", "request_denied", "request_submitted", "transaction_failed"}
    | {"expired_login_hint_token", "unknown_user_id", "missing_user_code", "invalid_user_code"}
    | {"invalid_binding_message", "unmet_authentication_requirements"}
    # RFC 7591 3.2.2; RFC 8707 2; RFC 9396 5; RFC 9449 5 and 8; RFC 9470 3; attestation-based client authentication
    | {"invalid_redirect_uri", "invalid_client_metadata", "invalid_software_statement"}
    | {"unapproved_software_statement", "invalid_target", "invalid_authorization_details", "invalid_dpop_proof"}
    | {"use_dpop_nonce", "insufficient_user_authentication", "use_attestation_challenge", "invalid_client_attestation"}
)


def provider_words(value: object, secrets: Iterable[str] = (), *, limit: int = MAX_REASON) -> str | None:
    """Return text that came from a provider as one safe, bounded line; None if it is no text.

    Args:
        value: What stood in the provider's answer.
        secrets: Texts to black out, should the provider repeat them.
        limit: Characters kept, apart from the mark of a gap; of a longer text both ends are.
    """
    if not isinstance(value, str) or not value:
        return None
    text = without_secrets(value, secrets)
    if len(text) > limit:
        end = limit // 3
        text = f"{text[: limit - end]} ... {text[-end:]}"
    return printable(text, len(text))


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with each of *secrets* blacked out where it stands whole, also in the encoding of forms and URLs.

    A registered error code is left alone, and so is a secret that is too short to be told from a word, or that is only
    a part of one: a client whose secret is ``client`` must still be told of ``invalid_client``.
    """
    if text in REGISTERED_ERRORS:
        return text
    for secret in secrets:
        if len(secret) < LEAST_SECRET:
            continue
        for form in sorted({secret, quote(_whole(secret), safe=""), quote_plus(_whole(secret))}, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", REDACTED, text)
    return text


def secrets_of(request: Redacted) -> list[str]:
    """Return the texts of *request* that must not come back in a message, should the provider repeat them."""
    values = (getattr(request, name, None) for name in request._redacted)
    flat = (text for value in values for text in (value.values() if isinstance(value, Mapping) else (value,)))
    found = [exposed(text) for text in flat if isinstance(text, str | Secret)]
    found += getattr(request, "_sent", ())
    return sorted((text for text in found if len(text) >= LEAST_SECRET), key=len, reverse=True)


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair has no encoding


__all__ = ["LEAST_SECRET", "MAX_REASON", "REGISTERED_ERRORS", "provider_words", "secrets_of", "without_secrets"]
