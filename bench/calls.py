"""What it costs to have the token of a request put there: the auth object with a token that is still good."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import httpx2

from py_identity_model import OAuthClient
from py_identity_model.testing import EmbeddedProvider

#: Microseconds that a request may cost at most.
LIMIT = 15.0
API = "https://api.example.com"


def auth() -> Any:
    """Return an auth object that has its token, and the provider that it came from."""
    provider = EmbeddedProvider(access_token_lifetime=86400)
    credentials = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    client = OAuthClient(provider.issuer, **credentials, http_client=provider.transport)
    made = client.auth(scope="orders", resource=API)
    httpx2.Client(auth=made, transport=httpx2.MockTransport(lambda request: httpx2.Response(200))).get(API)
    return made


def asked(made: Any) -> Callable[[Any, Any], None]:
    """Return what a client of httpx2 does with it for each request."""

    def call(request: Any, response: Any) -> None:
        flow = made.sync_auth_flow(request)
        next(flow)
        try:
            flow.send(response)
        except StopIteration:
            return
        raise AssertionError("the request was to be sent again")

    return call


def measure(*, seconds: float) -> list[dict[str, Any]]:
    """Time the best of many short runs."""
    call, request, response = asked(auth()), httpx2.Request("GET", API + "/items"), httpx2.Response(200)
    response.request = request
    best, end = float("inf"), perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < end:
        begun = perf_counter_ns()
        for _ in range(100):
            call(request, response)
        best = min(best, (perf_counter_ns() - begun) / 100)
    return [{"auth object": "httpx2, a good token", "us_min": round(best / 1000, 2), "at_most_us": LIMIT}]


__all__ = ["LIMIT", "asked", "auth", "measure"]
