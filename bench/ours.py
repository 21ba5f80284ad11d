"""The candidates of this project, on both engines."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from py_identity_model import TokenValidationConfig, TokenValidator, aio, validate_token
from py_identity_model._core.validation.engine import select_engine
from py_identity_model.aio import _validation as aio_api
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.sync import _validation as sync_api

from .cases import AUDIENCE, Case

Validate = Callable[[str], Any]


def engines() -> tuple[str, ...]:
    """Return the engines that are installed."""
    try:
        select_engine("native")
    except ConfigurationException:
        return ("pure",)
    return "pure", "native"


def eight_at_once() -> str:
    """Tell whether batches are verified eight signatures at a time here, as the native engine says."""
    told = TokenValidator("https://id.example.com", AUDIENCE, engine="native").health()
    return "yes" if getattr(told, "multibuffer", False) else "no"


def _given(case: Case) -> dict[str, Any]:
    # A secret is published nowhere; everything else comes from the provider.
    return {"keys": case.jwk} if case.symmetric else {}


def validator(case: Case, engine: str) -> Validate:
    """``TokenValidator.validate``."""
    return TokenValidator(case.issuer, AUDIENCE, engine=engine, **_given(case)).validate


def async_validator(case: Case, engine: str) -> Validate:
    """``TokenValidator.validate``, awaited."""
    return aio.TokenValidator(case.issuer, AUDIENCE, engine=engine, **_given(case)).validate


def _config(case: Case) -> TokenValidationConfig:
    if case.symmetric:
        return TokenValidationConfig(
            perform_disco=False, key=case.jwk, audience=AUDIENCE, issuer=case.issuer, algorithms=[case.alg]
        )
    return TokenValidationConfig(perform_disco=True, audience=AUDIENCE)


def function(case: Case, engine: str) -> Validate:
    """``validate_token`` with configuration and address given each call."""
    config, address = _config(case), None if case.symmetric else case.issuer
    _compile_on(sync_api, engine, lambda: validate_token(case.token(), config, address))
    return Given(validate_token, config, address)  # type: ignore[return-value]


def async_function(case: Case, engine: str) -> Validate:
    """``validate_token``, awaited, with configuration and address given each call."""
    config, address = _config(case), None if case.symmetric else case.issuer
    _compile_on(aio_api, engine, lambda: asyncio.run(aio.validate_token(case.token(), config, address)))
    return Given(aio.validate_token, config, address)  # type: ignore[return-value]


class Given:
    """A function and the arguments that follow the token."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function, self.args = function, args

    def __call__(self, token: str) -> Any:
        return self.function(token, *self.args)


def plain(candidate: Any) -> Validate:
    """Return a candidate as a function that can be called without a loop."""
    function = candidate.function if isinstance(candidate, Given) else candidate
    if not inspect.iscoroutinefunction(function):
        return candidate  # type: ignore[no-any-return]
    return lambda token: asyncio.run(candidate(token))


def _compile_on(api_module: Any, engine: str, first: Callable[[], object]) -> None:
    """Make the first call, which compiles the configuration, with *engine* as the default one."""
    default = api_module.default_engine
    api_module.default_engine = lambda: select_engine(engine)
    try:
        first()
    finally:
        api_module.default_engine = default
