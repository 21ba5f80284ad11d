"""The blocking API: every public name."""

# Written by tools/exports.py.

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import shared
from ..lazy import lazy

if TYPE_CHECKING:
    from ..shared import *  # noqa: F403
    from .ciba import *  # noqa: F403
    from .client_metadata import *  # noqa: F403
    from .device import *  # noqa: F403
    from .dpop import *  # noqa: F403
    from .grants import *  # noqa: F403
    from .http_client import HTTPClient as HTTPClient
    from .introspection import *  # noqa: F403
    from .jarm import *  # noqa: F403
    from .login import *  # noqa: F403
    from .logout import *  # noqa: F403
    from .par import *  # noqa: F403
    from .protected_resource import *  # noqa: F403
    from .registration import *  # noqa: F403
    from .revocation import *  # noqa: F403
    from .token_exchange import *  # noqa: F403
    from .token_validation import *  # noqa: F403
    from .userinfo import *  # noqa: F403
    from .webfinger import *  # noqa: F403

#: Modules of this package, and what is public of each.
ROOMS = {
    "sync.ciba": "poll_ciba_token request_backchannel_authentication wait_for_ciba_token",
    "sync.client_metadata": "get_client_metadata_document",
    "sync.device": "poll_device_token request_device_authorization wait_for_device_token",
    "sync.dpop": "validate_dpop_proof",
    "sync.grants": (
        "refresh_token request_authorization_code_token request_client_credentials_token "
        "request_extension_grant_token request_jwt_bearer_token"
    ),
    "sync.http_client": "HTTPClient",
    "sync.introspection": "TokenIntrospector introspect_token",
    "sync.jarm": "process_jarm_response",
    "sync.login": "begin_login complete_login refresh_login",
    "sync.logout": "BackChannelLogoutReceiver validate_logout_token",
    "sync.par": "push_authorization_request",
    "sync.protected_resource": "authenticate_token check_sender get_protected_resource_metadata",
    "sync.registration": "delete_client read_client register_client update_client",
    "sync.revocation": "revoke_token",
    "sync.token_exchange": "exchange_token",
    "sync.token_validation": (
        "TokenValidator clear_discovery_cache clear_jwks_cache get_cache_counters get_discovery_document get_jwks "
        "validate_id_token validate_token"
    ),
    "sync.userinfo": "get_external_claims get_userinfo",
    "sync.webfinger": "discover_issuer",
}

if not TYPE_CHECKING:  # they would take any name for there
    __all__, __getattr__, __dir__ = lazy(globals(), ROOMS, shared.ROOMS)
