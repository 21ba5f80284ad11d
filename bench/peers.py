"""The candidates of others. Each makes the same checks: signature, iss, aud, exp, nbf; who is absent takes no part.

Every maker returns a function from a token to its claims that raises for a token it refuses.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from .cases import AUDIENCE, Case

Validate = Callable[[str], Any]


#: What the candidates are called on a package index.
PACKAGES = ("pyjwt", "joserfc", "authlib", "python-jose", "jwcrypto", "ryjwt", "oxyjwt", "webtoken")


class Absent(Exception):
    """The candidate cannot do this algorithm."""


class NotInstalled(Absent):
    """The candidate is not installed."""


def _module(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        raise NotInstalled(str(error)) from None


def pyjwt_key(case: Case) -> Validate:
    """PyJWT with a key that is ready."""
    jwt = _module("jwt")
    key = jwt.PyJWK(case.jwk).key
    return partial(jwt.decode, key=key, algorithms=[case.alg], audience=AUDIENCE, issuer=case.issuer)


def pyjwt_client(case: Case) -> Validate:
    """PyJWT with ``PyJWKClient``, its cache warm."""
    if case.symmetric:
        raise Absent("a secret is published nowhere")
    jwt = _module("jwt")
    client = jwt.PyJWKClient(f"{case.issuer}/jwks")

    def validate(token: str) -> Any:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=[case.alg], audience=AUDIENCE, issuer=case.issuer)

    return validate


def joserfc(case: Case) -> Validate:
    """joserfc with a key that is ready."""
    jwt, jwk = _module("joserfc.jwt"), _module("joserfc.jwk")
    key = jwk.import_key(case.jwk)
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": case.issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )

    def validate(token: str) -> Any:
        claims = jwt.decode(token, key, algorithms=[case.alg]).claims
        registry.validate(claims)
        return claims

    return validate


def authlib(case: Case) -> Validate:
    """Authlib (``authlib.jose``) with a key that is ready."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jose = _module("authlib.jose")
        codec = jose.JsonWebToken([case.alg])
        key = jose.JsonWebKey.import_key(case.jwk)
    options = {
        "iss": {"essential": True, "value": case.issuer},
        "aud": {"essential": True, "value": AUDIENCE},
        "exp": {"essential": True},
    }

    def validate(token: str) -> Any:
        claims = codec.decode(token, key, claims_options=options)
        claims.validate()
        return claims

    return validate


def python_jose(case: Case) -> Validate:
    """python-jose with a key that is ready."""
    jwt, jwk = _module("jose.jwt"), _module("jose.jwk")
    key = jwk.construct(case.jwk, case.alg)
    return partial(jwt.decode, key=key, algorithms=[case.alg], audience=AUDIENCE, issuer=case.issuer)


def jwcrypto(case: Case) -> Validate:
    """jwcrypto with a key that is ready; it compares ``iss`` and ``aud`` itself."""
    jwt, jwk = _module("jwcrypto.jwt"), _module("jwcrypto.jwk")
    key = jwk.JWK.from_json(json.dumps(case.jwk))
    checks = {"iss": case.issuer, "aud": AUDIENCE, "exp": None, "nbf": None}

    def validate(token: str) -> Any:
        checked = jwt.JWT(jwt=token, key=key, algs=[case.alg], check_claims=checks, expected_type="JWS")
        return json.loads(checked.claims)

    return validate


def ryjwt(case: Case) -> Validate:
    """ryjwt with a key that is ready."""
    module = _module("ryjwt")
    given = {"algorithms": [case.alg], "audience": AUDIENCE, "issuer": case.issuer}
    if case.symmetric:
        from base64 import urlsafe_b64decode

        return module.SecretKey(urlsafe_b64decode(case.jwk["k"] + "=="), **given).decode
    assert case.made.pem is not None or case.jwk["kty"] == "AKP"
    return module.PublicKey(case.made.pem.decode(), **given).decode  # type: ignore[union-attr]


def oxyjwt(case: Case) -> Validate:
    """oxyjwt with a key that is ready."""
    module = _module("oxyjwt")
    key = module.PyJWK(case.jwk)
    given = {"algorithms": [case.alg], "audience": AUDIENCE, "issuer": case.issuer}
    ready = getattr(key, "key", key)
    return partial(module.decode, key=ready, **given)


def webtoken(case: Case) -> Validate:
    """webtoken with a key that is ready."""
    module = _module("webtoken")
    key = case.made.pem if case.made.pem is not None else module.PyJWK(case.jwk)
    return partial(module.decode, key=key, algorithms=[case.alg], audience=AUDIENCE, issuer=case.issuer)


#: Where the environment of the benchmark keeps the version that was published last; its name is taken by this project.
PUBLISHED = Path(sys.prefix) / "published" / "py_identity_model"


def _load_published() -> Any:
    name = "published_py_identity_model"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, PUBLISHED / "__init__.py", submodule_search_locations=[str(PUBLISHED)]
        )
        if spec is None or spec.loader is None or not PUBLISHED.is_dir():
            raise NotInstalled("the published version is not installed")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            del sys.modules[name]
            raise NotInstalled(str(error)) from None
    return sys.modules[name]


def published(case: Case) -> Validate:
    """The published py-identity-model: ``validate_token`` with discovery, its caches warm."""
    if case.symmetric:
        raise Absent("a secret is published nowhere")
    module = _load_published()
    config = module.TokenValidationConfig(
        perform_disco=True, audience=AUDIENCE, algorithms=[case.alg], issuer=case.issuer, require_https=False
    )
    address = f"{case.issuer}/.well-known/openid-configuration"
    return partial(module.validate_token, token_validation_config=config, disco_doc_address=address)


MAKERS: dict[str, Callable[[Case], Validate]] = {
    "PyJWT, ready key": pyjwt_key,
    "PyJWT, PyJWKClient": pyjwt_client,
    "joserfc": joserfc,
    "Authlib": authlib,
    "python-jose": python_jose,
    "jwcrypto": jwcrypto,
    "py-identity-model 4.1": published,
    "ryjwt": ryjwt,
    "oxyjwt": oxyjwt,
    "webtoken": webtoken,
}


def admit(validate: Callable[[str], Any], case: Case) -> str | None:
    """Return None for a candidate that accepts a good token and refuses the bad ones; else what it did wrong."""
    try:
        claims = validate(case.token())
    except Exception as error:  # whatever a peer raises, it does not take this token
        return f"refuses a good token: {type(error).__name__}: {error}"
    if claims["sub"] != case.claims()["sub"]:
        return "returns other claims"
    for name, token in case.forgeries().items():
        try:
            validate(token)
        except Exception:  # any refusal counts
            continue
        return f"accepts a token that is bad: {name}"
    return None
