"""What this library and others do as they come: each cell of the README's comparison is the outcome of a check here.

``python -m bench.facts`` in the benchmark's environment runs every check on the installed versions and writes
``docs/assets/bench/facts.json``; names after it choose libraries. A test holds the README to what came out. A check is
given no options beyond what a call needs: it asks what happens by default. ``-``: not what a library is for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import pkgutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Seconds that the clocks are put forward by, for everything that is imported from here on.
AHEAD = [0.0]
_time, _monotonic = time.time, time.monotonic
time.time = lambda: _time() + AHEAD[0]
time.monotonic = lambda: _monotonic() + AHEAD[0]

from py_identity_model.testing import EmbeddedProvider  # noqa: E402 # it reads the clocks as they are then

warnings.simplefilter("ignore")

ROOT = Path(__file__).resolve().parent.parent
FACTS = ROOT / "docs" / "assets" / "bench" / "facts.json"
#: Column -> the package whose version counts, and the module that it is.
PEERS = {
    "py-identity-model": "py_identity_model",
    "PyJWT": "jwt",
    "python-jose": "jose",
    "joserfc": "joserfc",
    "Authlib": "authlib",
    "MSAL": "msal",
}
AUDIENCE = "https://api.example.com"
Decode = Callable[[EmbeddedProvider, str], Any]


# ---- how each validates a token, in its own shortest way


def _ours(provider: EmbeddedProvider, token: str) -> Any:
    from py_identity_model import TokenValidator

    return TokenValidator(provider.issuer, AUDIENCE, http_client=provider.transport).validate(token)


def _key(provider: EmbeddedProvider, token: str) -> dict[str, Any]:
    import base64

    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    return next(key for key in provider.key_set()["keys"] if key["kid"] == header["kid"])


def _pyjwt(provider: EmbeddedProvider, token: str) -> Any:
    import jwt

    key = jwt.PyJWK(_key(provider, token)).key
    return jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=provider.issuer)


def _jose(provider: EmbeddedProvider, token: str) -> Any:
    from jose import jwt

    return jwt.decode(token, _key(provider, token), algorithms=["RS256"], audience=AUDIENCE, issuer=provider.issuer)


def _joserfc(provider: EmbeddedProvider, token: str) -> Any:
    from joserfc import jwk, jwt

    claims = jwt.decode(token, jwk.import_key(_key(provider, token)), algorithms=["RS256"]).claims
    jwt.JWTClaimsRegistry(iss={"value": provider.issuer}, aud={"value": AUDIENCE}).validate(claims)
    return claims


def _authlib(provider: EmbeddedProvider, token: str) -> Any:
    from authlib.jose import JsonWebKey, JsonWebToken

    options = {"iss": {"value": provider.issuer}, "aud": {"value": AUDIENCE}}
    key = JsonWebKey.import_key(_key(provider, token))
    claims = JsonWebToken(["RS256"]).decode(token, key, claims_options=options)
    claims.validate()
    return claims


DECODE: dict[str, Decode] = {
    "py-identity-model": _ours,
    "PyJWT": _pyjwt,
    "python-jose": _jose,
    "joserfc": _joserfc,
    "Authlib": _authlib,
}


def accepts(peer: str, token: Callable[[EmbeddedProvider], str]) -> bool:
    """Whether a library takes a token, given issuer and audience and nothing else; a good one has to pass."""
    provider = EmbeddedProvider(audience=AUDIENCE, algorithms=("RS256",))
    DECODE[peer](provider, provider.mint())
    try:
        DECODE[peer](provider, token(provider))
    except Exception:  # whatever it raises, it is a refusal
        return False
    return True


def refuses(token: Callable[[EmbeddedProvider], str]) -> Callable[[str], str]:
    """Make the check that a library refuses a token."""
    return lambda peer: "-" if peer not in DECODE else "no" if accepts(peer, token) else "yes"


# ---- what there is


def module_names(peer: str) -> list[str]:
    """Return the modules of a library."""
    root = importlib.import_module(PEERS[peer])
    return [found.name for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}.", onerror=lambda _: None)]


def source_of(peer: str) -> str:
    """Return all source code of a library."""
    root = Path(importlib.import_module(PEERS[peer]).__path__[0])
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py")))


def knows(*words: str) -> Callable[[str], str]:
    """Make the check that a library's code has one of the words, as names of standards are spelt."""
    return lambda peer: "yes" if any(word in source_of(peer) for word in words) else "no"


def has_module(*ends: str) -> Callable[[str], str]:
    """Make the check that a library has a module for one of several things."""
    return lambda peer: "yes" if any(f".{end}" in name for name in module_names(peer) for end in ends) else "no"


def is_awaited(peer: str) -> str:
    """Whether there is something in it to be awaited."""
    return "yes" if "async def " in source_of(peer) else "no"


def from_the_issuer(peer: str) -> str:
    """Whether tokens are validated with the issuer's address alone: metadata and keys are found by discovery."""
    if peer == "py-identity-model":
        provider = EmbeddedProvider(audience=AUDIENCE)
        _ours(provider, provider.mint())
        return "yes" if provider.count("discovery") == 1 else "no"
    return (
        "-" if peer == "MSAL" else "no" if "well-known" not in source_of(peer) or peer != "Authlib" else "logins only"
    )


def one_fetch_for_many(peer: str) -> str:
    """Whether 16 threads that meet an unknown key together cause one request for the key set."""
    import threading

    provider = EmbeddedProvider(audience=AUDIENCE, algorithms=("RS256",))
    token = provider.mint()
    if peer == "py-identity-model":
        from py_identity_model import TokenValidator

        with provider.serve() as running:
            validate = TokenValidator(running.issuer, AUDIENCE).validate
            _together(lambda: validate(provider.mint()), threading)
    elif peer == "PyJWT":
        import jwt

        with provider.serve():
            client = jwt.PyJWKClient(provider.url("jwks"))
            _together(lambda: client.get_signing_key_from_jwt(token), threading)
    else:
        return "-"  # they fetch no key sets
    return "yes" if provider.count("jwks") == 1 else "no"


def _together(call: Callable[[], Any], threading: Any) -> None:
    barrier = threading.Barrier(16)

    def run() -> None:
        barrier.wait()
        call()

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def survives_an_outage(peer: str) -> str:
    """Whether tokens of a known key are still validated when the keys are due and the provider is away."""
    if peer not in ("py-identity-model", "PyJWT"):
        return "-"  # they keep no key sets
    provider = EmbeddedProvider(audience=AUDIENCE, algorithms=("RS256",))
    with provider.serve(), contextlib.ExitStack() as later:
        validate = _remembering(peer, provider)
        validate(provider.mint())
        later.callback(AHEAD.__setitem__, 0, 0.0)
        fetched = provider.count("jwks")
        AHEAD[0] += 7200
        provider.play("500")
        try:
            validate(provider.mint())
        except Exception:  # whatever it raises, the token was good
            return "no"
        deadline = time.perf_counter() + 10  # the key set is due: somebody must have asked for it by then
        while provider.count("jwks") == fetched and time.perf_counter() < deadline:
            time.sleep(0.01)
        assert provider.count("jwks") > fetched
    return "yes"


def _remembering(peer: str, provider: EmbeddedProvider) -> Callable[[str], Any]:
    if peer == "py-identity-model":
        from py_identity_model import TokenValidator

        return TokenValidator(provider.issuer, AUDIENCE).validate
    import jwt

    return jwt.PyJWKClient(provider.url("jwks")).get_signing_key_from_jwt


#: Row of the table -> the check of it.
CHECKS: Mapping[str, Callable[[str], str]] = {
    "keys found from the issuer's address": from_the_issuer,
    "refuses a token that never expires": refuses(lambda provider: provider.mint(exp=None)),
    "refuses an ID token sent as an access token": refuses(
        lambda provider: provider.mint("id_token", audience=AUDIENCE, nonce="n")
    ),
    "refuses a logout token sent as an access token": refuses(
        lambda provider: provider.mint("logout_token", audience=AUDIENCE)
    ),
    "refuses a token without `iss`": refuses(lambda provider: provider.mint(iss=None)),
    "refuses a token without `aud`": refuses(lambda provider: provider.mint(aud=None)),
    "one fetch of keys, however many threads wait": one_fetch_for_many,
    "known keys serve while the provider is away": survives_an_outage,
    "async as well": is_awaited,
    "ML-DSA signatures": knows("ML-DSA", "ML_DSA", "MLDSA"),
    "JWE": knows("RSA-OAEP"),
    "protects FastAPI": has_module("fastapi"),
    "protects Flask": has_module("flask", "flask_oauth2"),
    "protects Django": has_module("django", "django_oauth2"),
    "client credentials": knows("client_credentials"),
    "login with PKCE": knows("code_challenge"),
    "device grant": knows("device_code"),
    "introspection (RFC 7662)": knows("introspection_endpoint", "introspect_token"),
    "DPoP (RFC 9449)": knows("dpop", "DPoP"),
    "pushed authorization requests (RFC 9126)": knows("pushed_authorization_request_endpoint"),
    "provider for tests": has_module("testing"),
}


def main(arguments: Sequence[str] = ()) -> None:
    """Run every check on the libraries that are there, or on those that are named, and tell what came out.

    Only what was found out about all of them is written down.
    """
    versions: dict[str, str] = {}
    table: dict[str, dict[str, str]] = {name: {} for name in CHECKS}
    for peer in arguments or PEERS:
        versions[peer] = importlib.metadata.version(peer)
        for name, check in CHECKS.items():
            table[name][peer] = check(peer)
    found = {"versions": versions, "facts": table}
    if not arguments:
        FACTS.write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")
    print("\n".join(rows(found)))


def rows(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines of the comparison as a Markdown table."""
    peers = list(facts["versions"])
    head = ["| by default | " + " | ".join(peers) + " |", "|---|" + "---|" * len(peers)]
    return [
        *head,
        *(f"| {name} | {' | '.join(cells[peer] for peer in peers)} |" for name, cells in facts["facts"].items()),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
