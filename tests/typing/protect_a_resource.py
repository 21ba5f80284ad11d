"""A resource server with tokens of all sorts: sender-constrained, opaque, scoped; in both APIs."""

from collections.abc import Mapping
from typing import Any, assert_type

from py_identity_model import (
    AuthenticationRequirement,
    ChallengePolicy,
    Decryption,
    DPoPProof,
    DPoPValidator,
    InboundRequest,
    ProtectedResourceMetadata,
    PyIdentityModelException,
    Refusal,
    TokenIntrospector,
    TokenValidator,
    aio,
    authenticate_token,
    build_refusal,
    check_authentication,
    check_scopes,
    check_sender,
    read_token,
    serve_resource_metadata,
)

VALIDATOR = TokenValidator("https://id.example.com", audience="api")
INTROSPECTOR = TokenIntrospector("https://id.example.com/introspect", "api", client_secret="s")
DPOP = DPoPValidator(algorithms=("ES256", "EdDSA"))


def serve(method: str, url: str, headers: list[tuple[str, str]]) -> Mapping[str, Any] | Refusal:
    request = InboundRequest(method, url, tuple(headers))
    try:
        presented = read_token(request)
        claims = authenticate_token(presented.token, VALIDATOR.validate, INTROSPECTOR, audience="api")
        assert_type(check_sender(request, presented, claims, dpop=DPOP), DPoPProof | None)
        check_scopes(claims, "orders.read")
        check_authentication(claims, AuthenticationRequirement(acr_values=("mfa",), max_age=300), wall=0.0)
    except PyIdentityModelException as error:
        return build_refusal(error, ChallengePolicy(realm="orders"))
    return claims


async def serve_async(request: InboundRequest, validator: aio.TokenValidator) -> Mapping[str, Any]:
    presented = read_token(request)
    introspector = aio.TokenIntrospector("https://id.example.com/introspect", "api", client_secret="s")
    claims = await aio.authenticate_token(presented.token, validator.validate, introspector, audience={"api"})
    await aio.check_sender(request, presented, claims, dpop=DPOP)
    return claims


def metadata() -> bytes:
    return serve_resource_metadata(ProtectedResourceMetadata(resource="https://api.example.com")).body


OPEN = Decryption([{"kty": "oct", "k": "c2VjcmV0"}], algs=["dir"], encs=("A256GCM",))
