"""Programs that are wrong: a type checker must refuse each line that says so, and no other."""

import httpx
import httpx2

from py_identity_model import (
    ClientCredentialsTokenRequest,
    Decryption,
    DiscoveryDocumentRequest,
    DPoPKey,
    HTTPClient,
    JwksRequest,
    LoginClient,
    MtlsClientAuth,
    PrivateKeyJwt,
    Reply,
    Request,
    TokenIntrospector,
    TokenValidationConfig,
    TokenValidator,
    aio,
    get_discovery_document,
    get_jwks,
    request_client_credentials_token,
    validate_token,
)
from py_identity_model.testing import EmbeddedProvider

ISSUER = "https://id.example.com"
JWKS = JwksRequest(address=f"{ISSUER}/jwks")
CONFIG = TokenValidationConfig(perform_disco=True, audience="api")


def answer(request: Request) -> Reply:
    return Reply(200, url=request.url)


async def answer_later(request: Request) -> Reply:
    return answer(request)


def answer_with_text(request: Request) -> str:
    return request.url


def answer_url(url: str) -> Reply:
    return Reply(200, url=url)


def wrong_colour() -> None:
    get_jwks(JWKS, httpx2.AsyncClient())  # wrong
    get_jwks(JWKS, httpx.AsyncClient())  # wrong
    get_jwks(JWKS, aio.HTTPClient())  # wrong
    get_jwks(JWKS, answer_later)  # wrong
    validate_token("token", CONFIG, ISSUER, http_client=httpx2.AsyncClient())  # wrong
    TokenValidator(ISSUER, audience="api", http_client=httpx.AsyncClient())  # wrong
    TokenIntrospector(f"{ISSUER}/introspect", "api", http_client=answer_later)  # wrong
    HTTPClient(httpx2.AsyncClient())  # wrong


async def wrong_colour_async() -> None:
    await aio.get_jwks(JWKS, httpx2.Client())  # wrong
    await aio.get_jwks(JWKS, httpx.Client())  # wrong
    await aio.get_jwks(JWKS, HTTPClient())  # wrong
    aio.TokenValidator(ISSUER, audience="api", http_client=httpx2.Client())  # wrong
    aio.TokenIntrospector(f"{ISSUER}/introspect", "api", http_client=httpx.Client())  # wrong
    aio.HTTPClient(httpx.Client())  # wrong
    get_jwks(JWKS).keys.count(await aio.get_jwks(JWKS))  # wrong


def nonsense() -> None:
    get_jwks(JWKS, "https://proxy.example.com")  # wrong
    get_jwks(JWKS, httpx2.Client)  # wrong
    get_jwks(JWKS, object())  # wrong
    get_jwks(JWKS, answer_with_text)  # wrong
    get_jwks(JWKS, answer_url)  # wrong
    get_jwks(JWKS, {"timeout": 5})  # wrong
    get_jwks(JWKS, http_cliemt=answer)  # wrong
    get_jwks(JWKS, timeout=5)  # wrong
    get_jwks(f"{ISSUER}/jwks")  # wrong
    get_jwks(DiscoveryDocumentRequest(address=ISSUER))  # wrong


def misspelt_names(name: str) -> None:
    TokenValidator(ISSUER, audience="api", kind="acess_token")  # wrong
    TokenValidator(ISSUER, audience="api", kind="id token")  # wrong
    TokenValidator(ISSUER, audience="api", engine="fast")  # wrong
    TokenValidator(ISSUER, audience="api", algorithms=["RS265"])  # wrong
    TokenValidator(ISSUER, audience="api", algorithms=["none"])  # wrong
    TokenValidator(ISSUER, audience="api", algorithms=[name])  # wrong
    TokenValidationConfig(perform_disco=True, audience="api", algorithms=["es256"])  # wrong
    PrivateKeyJwt("-----BEGIN PRIVATE KEY-----", algorithm="HS256")  # wrong
    DPoPKey("HS256")  # wrong
    Decryption("-----BEGIN PRIVATE KEY-----", algs=["RSA1_5"])  # wrong
    EmbeddedProvider(algorithms=["RS1"])  # wrong
    TokenIntrospector(f"{ISSUER}/introspect", "api", client_secrt="s")  # wrong


def misspelt_expectations(validator: TokenValidator) -> None:
    validator.validate("token", nonse="n-1")  # wrong
    validator.validate("token", max_age="300")  # wrong
    validator.validate("token", nonce=7)  # wrong


def careless_reading(validator: TokenValidator) -> None:
    response = request_client_credentials_token(ClientCredentialsTokenRequest(f"{ISSUER}/token", "app"))
    print(response.acess_token)  # wrong
    print(response.refresh_token.upper())  # wrong
    print(get_discovery_document(DiscoveryDocumentRequest(address=ISSUER)).token_endpont)  # wrong
    print([outcome["sub"] for outcome in validator.validate_many(["a", "b"])])  # wrong
    print(validator.validate("token").sub)  # wrong
    print(validator.validate(b"token"))  # wrong


async def forgotten_await(validator: aio.TokenValidator) -> None:
    print((await validator.validate("token"))["sub"])
    print(validator.validate("token")["sub"])  # wrong
    print(aio.get_jwks(JWKS).keys)  # wrong


def half_a_client() -> None:
    ClientCredentialsTokenRequest(f"{ISSUER}/token")  # wrong
    MtlsClientAuth("client.pem")  # wrong
    LoginClient(ISSUER, "app", "https://app.example.com/callback")  # wrong
    TokenValidator(ISSUER, audience=7)  # wrong
