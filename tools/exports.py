"""Write the package doors, which export every public name, each loaded when it is first used.

Without an argument they are written; with --check it is said whether they are as this would write them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "py_identity_model"

#: Rooms whose names are the same in both APIs; None means all that the room lists in ``__all__``.
SHARED: dict[str, str | None] = {
    "exceptions": None,
    "observability": "Event Observer add_observer remove_observer",
    "settings": "Settings",
    "identity": "Claim ClaimType ClaimsIdentity ClaimsPrincipal Identity Principal to_principal",
    "cache_views": "CacheCounters",
    "validator_setup": "ValidatorHealth",
    "core.cache": "CacheInfo",
    "core.secret": "Secret",
    "core.response": "BaseRequest BaseResponse",
    "core.metadata": (
        "DiscoveryDocumentRequest DiscoveryDocumentResponse DiscoveryEndpoint DiscoveryErrorKind DiscoveryPolicy"
    ),
    "core.discovery_logic": "parse_discovery_url",
    "core.jwk": "JsonWebAlgorithmsKeyTypes JsonWebKey JsonWebKeyParameterNames jwks_from_dict",
    "core.jwks": "JwksRequest JwksResponse",
    "core.signing": "SigningKey",
    "core.jose": "jwk_thumbprint",
    "core.issuers": "IssuerTemplate TrustedIssuer",
    "core.key_sources": "IssuerHealth",
    "core.validation_config": "TokenValidationConfig",
    "core.claims_validators": (
        "ClaimsValidator combine_claims_validators require_claim_value require_claims require_scopes"
    ),
    "core.id_token": "check_refreshed_id_token",
    "core.client_auth": "ClientAttestation ClientAuthMethod MtlsClientAuth PrivateKeyJwt",
    "core.assertions": "JwtBearerAssertion",
    "core.token_response": "TokenResponse",
    "core.grants": (
        "AuthorizationCodeTokenRequest AuthorizationCodeTokenResponse ClientCredentialsTokenRequest "
        "ClientCredentialsTokenResponse ExtensionGrantTokenRequest ExtensionGrantTokenResponse JwtBearerTokenRequest "
        "JwtBearerTokenResponse RefreshTokenRequest RefreshTokenResponse"
    ),
    "core.device": ("DeviceAuthorizationRequest DeviceAuthorizationResponse DeviceTokenRequest DeviceTokenResponse"),
    "core.token_exchange": "ExchangeTokenType TokenExchangeRequest TokenExchangeResponse",
    "core.ciba": (
        "BackchannelAuthenticationRequest BackchannelAuthenticationResponse CibaNotification CibaTokenRequest "
        "CibaTokenResponse generate_client_notification_token parse_ciba_notification validate_ciba_push"
    ),
    "core.challenges": "Challenge ChallengePolicy Refusal build_challenge build_refusal parse_challenges",
    "core.inbound": "InboundRequest ProxyPolicy",
    "core.replay": "MemoryReplayStore ReplayStore",
    "dpop": None,
    "core.dpop_server": "DPoPNonces DPoPProof DPoPValidator normalize_htu",
    "mtls": None,
    "core.mtls": "client_certificate",
    "core.protected_resource": (
        "AuthenticationRequirement PresentedToken check_authentication check_scopes is_client_token parse_step_up "
        "read_token"
    ),
    "core.resource_metadata": (
        "ProtectedResourceMetadata ProtectedResourceMetadataRequest ProtectedResourceMetadataResponse ServedMetadata "
        "choose_authorization_server resource_metadata_url serve_resource_metadata"
    ),
    "core.authorization": (
        "AuthorizationRequest build_authorization_url generate_code_challenge generate_code_verifier generate_pkce_pair"
    ),
    "core.callback": (
        "AuthorizeCallbackResponse AuthorizeCallbackValidationResult StateValidationResult "
        "parse_authorize_callback_response validate_authorize_callback_issuer validate_authorize_callback_state"
    ),
    "core.par": "PushedAuthorizationRequest PushedAuthorizationResponse build_par_authorization_url",
    "core.jwe": "Decryption Encryption",
    "core.jarm": "extract_jarm_response_jwt is_jarm_response",
    "core.signed_response": "SignedResponsePolicy",
    "core.introspection": "TokenIntrospectionRequest TokenIntrospectionResponse",
    "core.revocation": "TokenRevocationRequest TokenRevocationResponse",
    "core.userinfo": "UserInfoRequest UserInfoResponse",
    "core.claim_sources": "ClaimsProvider ExternalClaimsResponse",
    "core.token_cache": "TokenCacheInfo",
    "core.login": "LoginClient LoginRequest LoginStart",
    "core.login_completion": "LoginResponse",
    "core.login_transaction": "LoginStore LoginTransaction MemoryLoginStore",
    "jar": None,
    "core.fapi": None,
    "fapi": "fapi_tls_context",
    "core.logout": (
        "EndSessionForm FrontChannelLogout LogoutAnswer SessionCheck SessionVerdict build_end_session_form "
        "build_end_session_url build_front_channel_answer build_session_check compute_session_state "
        "parse_front_channel_logout validate_front_channel_logout validate_post_logout_state"
    ),
    "core.backchannel_logout": "BackChannelLogout LogoutTokenPolicy build_logout_answer",
    "core.registration": (
        "ClientDeleteRequest ClientDeleteResponse ClientReadRequest ClientRegistrationRequest "
        "ClientRegistrationResponse ClientUpdateRequest registration_changes"
    ),
    "core.client_metadata": (
        "ClientMetadataDocumentRequest ClientMetadataDocumentResponse build_client_metadata_document "
        "serve_client_metadata_document validate_client_id_url"
    ),
    "core.third_party_login": "ThirdPartyLogin parse_initiate_login",
    "core.webfinger": "WebFingerRequest WebFingerResponse WebFingerTarget normalize_identifier",
}

#: Rooms that exist once for each API; all they list is exported.
DESKS = [
    "token_validation",
    "grants",
    "device",
    "token_exchange",
    "ciba",
    "dpop",
    "protected_resource",
    "par",
    "jarm",
    "introspection",
    "revocation",
    "userinfo",
    "login",
    "logout",
    "registration",
    "client_metadata",
    "webfinger",
]

ALL_SHARED = "shared"
#: What is written: module -> its first line.
DOORS = {
    "shared": "Every public name that is the same in both APIs, and where each is; the doors load what is used.",
    "sync/__init__": "The blocking API: every public name.",
    "aio/__init__": "The awaitable API: every public name.",
}


def names_of(room: str, wanted: str | None = None) -> list[str]:
    """Return the names that a room exports."""
    if wanted is not None:
        return wanted.split()
    tree = ast.parse((PACKAGE / (room.replace(".", "/") + ".py")).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    raise SystemExit(f"{room} has no __all__")


def homes(door: str) -> dict[str, list[str]]:
    """Return the public names that a door has of its own, by the room they come from."""
    if door == ALL_SHARED:
        return {room: names_of(room, wanted) for room, wanted in SHARED.items()}
    api = door.partition("/")[0]
    rooms = {f"{api}.{desk}": names_of(f"{api}.{desk}") for desk in DESKS}
    return {**rooms, f"{api}.http_client": ["HTTPClient"]}


def check() -> None:
    """Refuse a name that comes from two rooms of one API."""
    for door in DOORS:
        seen: dict[str, str] = {}
        for room, names in {**homes(ALL_SHARED), **homes(door)}.items():
            for name in names:
                if seen.setdefault(name, room) != room:
                    raise SystemExit(f"{name} comes from both {seen[name]} and {room}")


def render(door: str) -> str:
    """Return the text of one door."""
    rooms = homes(door)
    shared = door == ALL_SHARED
    inner = door.partition("/")[0] + "."
    own_client = inner + "http_client"
    relative = {room: "." + (room if shared else room.removeprefix(inner)) for room in rooms}
    lines = [f'"""{DOORS[door]}"""', "", "# Written by tools/exports.py.", "", "from __future__ import annotations", ""]
    lines += ["from typing import TYPE_CHECKING", ""]
    if shared:
        lines += ["if TYPE_CHECKING:"]
        lines += [
            f"    from {relative[room]} import {', '.join(sorted(names))}" for room, names in sorted(rooms.items())
        ]
    else:
        # Type checkers pass on what is imported by a star, or under its own name.
        lines += ["from .. import shared", "from ..lazy import lazy", "", "if TYPE_CHECKING:"]
        lines += ["    from ..shared import *  # noqa: F403"]
        lines += [f"    from {relative[room]} import *  # noqa: F403" for room in sorted(rooms) if room != own_client]
        lines += ["    from .http_client import HTTPClient as HTTPClient"]
    lines += ["", "#: Modules of this package, and what is public of each.", "ROOMS = {"]
    for room in sorted(rooms):
        lines += _entry(room, " ".join(sorted(rooms[room])))
    lines += ["}", ""]
    if shared:
        named = {n for names in rooms.values() for n in names}
        public = sorted(named, key=lambda n: (not n.isupper(), n[0].islower(), n))
        wrapped = textwrap.wrap(", ".join(f'"{name}"' for name in public), 115)
        lines += ["# fmt: off", "__all__ = [", *(f"    {line}" for line in wrapped), "]", "# fmt: on"]
    else:
        lines += ["if not TYPE_CHECKING:  # they would take any name for there"]
        lines += ["    __all__, __getattr__, __dir__ = lazy(globals(), ROOMS, shared.ROOMS)"]
    return tidy("\n".join([*lines, ""]), str(PACKAGE / f"{door}.py"))


def tidy(text: str, path: str) -> str:
    """Return *text* as ruff would have it."""
    for command in (["check", "--fix", "--quiet"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", path, "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _entry(room: str, joined: str) -> list[str]:
    line = f'    "{room}": "{joined}",'
    if len(line) <= 120:
        return [line]
    pieces, current = [], ""
    for name in joined.split():
        if current and len(current) + len(name) + 12 > 118:
            pieces.append(current + " ")
            current = name
        else:
            current = f"{current} {name}".strip()
    pieces.append(current)
    return [f'    "{room}": (', *(f'        "{piece}"' for piece in pieces), "    ),"]


def main() -> int:
    """Write or check the doors."""
    check()
    stale = []
    for door in DOORS:
        path = PACKAGE / f"{door}.py"
        text = render(door)
        if not path.exists() or path.read_text() != text:
            stale.append(str(path))
            if "--check" not in sys.argv:
                path.write_text(text)
    for path in stale:
        print(("not as tools/exports.py writes it: " if "--check" in sys.argv else "wrote ") + path)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
