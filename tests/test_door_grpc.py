"""The door of gRPC: interceptors of both servers on a real loopback connection, calls of all four kinds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from door_world import DoorWorld, renewed_nonce
from doors import EXAMPLES, Issuer, free_port, settings
from py_identity_model import ProxyPolicy, Requirement
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.integrations.grpc import (
    HEALTH,
    REFLECTION,
    AsyncResourceServerInterceptor,
    ResourceServerInterceptor,
    current_principal,
)

SOURCE = str(EXAMPLES.parent / "src")
ONCE, OUT, IN, BOTH = ("/shop.Orders/Once", "/shop.Orders/Out", "/shop.Orders/In", "/shop.Orders/Both")
KINDS = {ONCE: "unary_unary", OUT: "unary_stream", IN: "stream_unary", BOTH: "stream_stream"}
WRITE, CHECK = "/shop.Orders/Write", "/grpc.health.v1.Health/Check"


def who() -> bytes:
    """Return who the call at hand is from."""
    user = current_principal.get()
    return (user.subject or "").encode() if user else b"nobody"


def out(request: Any, context: Any) -> Iterator[bytes]:
    """Answer twice."""
    yield who()
    yield who()


async def aio_once(request: Any, context: Any) -> bytes:
    """Answer once."""
    return who()


async def aio_out(request: Any, context: Any) -> Any:
    """Answer twice."""
    yield who()
    yield who()


async def aio_in(requests: Any, context: Any) -> bytes:
    """Answer once all is there."""
    return who() * len([each async for each in requests])


async def aio_write(request: Any, context: Any) -> None:
    """Answer twice by the context."""
    await context.write(who())
    await context.write(who())


BLOCKING = {
    "unary_unary": lambda request, context: who(),
    "unary_stream": out,
    "stream_unary": lambda requests, context: who() * len(list(requests)),
    "stream_stream": out,
}
AWAITING = {"unary_unary": aio_once, "unary_stream": aio_out, "stream_unary": aio_in, "stream_stream": aio_out}


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc] # gRPC brings no types
    """The methods of the server."""

    def __init__(self, behaviours: dict[str, Any], writing: Any) -> None:
        self._behaviours, self._writing = behaviours, writing

    def service(self, details: Any) -> Any:
        """Return what serves a method."""
        if details.method == WRITE:
            return grpc.unary_stream_rpc_method_handler(self._writing)
        kind = KINDS.get(details.method) or ("unary_unary" if details.method == CHECK else None)
        return kind and getattr(grpc, f"{kind}_rpc_method_handler")(self._behaviours[kind])


class Served(NamedTuple):
    """A server to call."""

    world: DoorWorld
    port: int

    def call(self, method: str = ONCE, *metadata: tuple[str, str], kind: str | None = None) -> list[bytes]:
        """Call a method, and return all its answers."""
        kind = kind or KINDS.get(method, "unary_unary")
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            sent = iter([b"a", b"b"]) if kind.startswith("stream") else b"a"
            made = getattr(channel, kind)(method)(sent, metadata=metadata, timeout=30)
            return list(made) if kind.endswith("stream") else [made]

    def bearer(self, **claims: Any) -> tuple[str, str]:
        """Return metadata with a good token."""
        return "authorization", self.world.bearer(**claims)["Authorization"]

    def refused(self, method: str = ONCE, *metadata: tuple[str, str], kind: str | None = None) -> grpc.RpcError:
        """Return the error of a call."""
        with pytest.raises(grpc.RpcError) as failed:
            self.call(method, *metadata, kind=kind)
        return failed.value


Serve = Callable[..., Served]


@pytest.fixture(params=["blocking", "aio"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Start servers of one kind, with an interceptor of these settings."""
    stops: list[Callable[[], Any]] = []

    def start(api: Any = None, **options: Any) -> Served:
        world = DoorWorld()
        begin = _blocking if request.param == "blocking" else _awaiting
        made = (world.blocking if request.param == "blocking" else world.awaiting)(**(api or {}))
        port, stop = begin(made, options)
        stops.append(stop)
        return Served(world, port)

    yield start
    for stop in stops:
        stop()


def _blocking(api: Any, options: Any) -> tuple[int, Callable[[], Any]]:
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[ResourceServerInterceptor(api, **options)])
    server.add_generic_rpc_handlers((Methods(BLOCKING, out),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return port, lambda: server.stop(None).wait()


def _awaiting(api: Any, options: Any) -> tuple[int, Callable[[], Any]]:
    ready, loop, bound = threading.Event(), asyncio.new_event_loop(), []
    ended = asyncio.Event()

    async def main() -> None:
        server = grpc.aio.server(interceptors=[AsyncResourceServerInterceptor(api, **options)])
        server.add_generic_rpc_handlers((Methods(AWAITING, aio_write),))
        bound.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        ready.set()
        await ended.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(30)

    def stop() -> None:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()

    return bound[0], stop


def detail(error: Any, kind: Any) -> Any:
    """Return one of the details of an error."""
    for packed in rpc_status.from_call(error).details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


@pytest.mark.parametrize(
    ("method", "answers"), [(ONCE, [b"ada"]), (OUT, [b"ada"] * 2), (IN, [b"adaada"]), (BOTH, [b"ada"] * 2)]
)
def test_calls_of_all_four_kinds_pass_with_a_token_and_not_without(
    method: str, answers: list[bytes], serve: Serve
) -> None:
    """A method sees who called it, from its first answer to its last."""
    served = serve()
    assert served.call(method, served.bearer()) == answers
    assert served.refused(method).code() is grpc.StatusCode.UNAUTHENTICATED
    assert served.refused(method, ("authorization", "Bearer x.y.z")).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_method_that_writes_its_answers_is_guarded_too(serve: Serve) -> None:
    """In the aio API a method may write to its context in place of yielding."""
    served = serve()
    assert served.call(WRITE, served.bearer(), kind="unary_stream") == [b"ada"] * 2
    assert served.refused(WRITE, kind="unary_stream").code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_refusal_carries_the_challenge_and_details(serve: Serve) -> None:
    """Without a token, with a bad one, with too little: the code, the reason, the challenge, which request it was."""
    served = serve(scopes=["orders.write"])
    none = served.refused(ONCE, ("x-request-id", "call-1"))
    assert detail(none, error_details_pb2.ErrorInfo).reason == "TOKEN_REQUIRED"
    assert detail(none, error_details_pb2.RequestInfo).request_id == "call-1"
    told = [value for name, value in none.trailing_metadata() if name == "www-authenticate"]
    assert told[0] == 'Bearer scope="orders.write"'
    bad = served.refused(ONCE, ("authorization", f"Bearer {served.world.token(expires_in=-99)}"))
    assert (bad.code(), bad.details()) == (grpc.StatusCode.UNAUTHENTICATED, "The token is not valid")
    assert detail(bad, error_details_pb2.ErrorInfo).reason == "INVALID_TOKEN"
    less = served.refused(ONCE, served.bearer())
    assert less.code() is grpc.StatusCode.PERMISSION_DENIED
    assert detail(less, error_details_pb2.ErrorInfo).reason == "INSUFFICIENT_SCOPE"
    assert detail(less, error_details_pb2.RetryInfo) is None


def test_two_tokens_at_once_are_refused(serve: Serve) -> None:
    """Metadata may repeat a key; which of them would count?"""
    served = serve()
    error = served.refused(ONCE, served.bearer(), served.bearer())
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAUTHENTICATED, "The request is malformed")


def test_what_cannot_be_verified_now_says_when_to_come_back(serve: Serve) -> None:
    """UNAVAILABLE, with a RetryInfo that clients obey by themselves."""
    served = serve()
    served.world.provider.play("outage", times=None)
    error = served.refused(ONCE, served.bearer())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert detail(error, error_details_pb2.RetryInfo).retry_delay.seconds >= 1


def test_methods_demand_what_they_need(serve: Serve) -> None:
    """A service, a method of it, and everything else, each on top of the other."""
    methods = {"/shop.Orders/*": Requirement(scopes=["orders.read"]), OUT: Requirement(roles=["auditor"])}
    served = serve(methods=methods, claims={"tenant": "acme"})
    assert served.call(ONCE, served.bearer(tenant="acme")) == [b"ada"]
    assert served.refused(ONCE, served.bearer()).code() is grpc.StatusCode.PERMISSION_DENIED
    assert served.refused(ONCE, served.bearer(tenant="acme", scope="x")).code() is grpc.StatusCode.PERMISSION_DENIED
    assert served.refused(OUT, served.bearer(tenant="acme")).code() is grpc.StatusCode.PERMISSION_DENIED
    assert served.call(OUT, served.bearer(tenant="acme", roles=["auditor"])) == [b"ada"] * 2


def test_health_and_reflection_are_open_where_the_application_says_so(serve: Serve) -> None:
    """By default they need a token as everything does."""
    assert serve().refused(CHECK).code() is grpc.StatusCode.UNAUTHENTICATED
    served = serve(exclude=[HEALTH, *REFLECTION])
    assert served.call(CHECK) == [b"nobody"]
    assert served.refused(ONCE).code() is grpc.StatusCode.UNAUTHENTICATED
    assert served.refused("/shop.Orders/None").code() is grpc.StatusCode.UNIMPLEMENTED


def test_nobody_passes_where_that_is_enough(serve: Serve) -> None:
    """A call without a token is from nobody, also after one of somebody on the same thread."""
    served = serve(optional=True)
    assert served.call(ONCE, served.bearer()) == [b"ada"]
    assert [served.call(ONCE) for _ in range(4)] == [[b"nobody"]] * 4
    assert served.refused(ONCE, ("authorization", "Bearer x.y.z")).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_proof_is_of_the_address_that_clients_know(serve: Serve) -> None:
    """DPoP: a POST to the path of the method; the next nonce is told."""
    dpop, nonce = renewed_nonce()
    served = serve({"dpop": dpop, "proxies": ProxyPolicy(external_url="https://api.example.com")})
    signed = served.world.bound("POST", f"https://api.example.com{ONCE}", nonce)
    metadata = tuple((name.lower(), value) for name, value in signed.items())
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        answer, call = channel.unary_unary(ONCE).with_call(b"a", metadata=metadata, timeout=30)
        assert (answer, "dpop-nonce" in dict(call.trailing_metadata())) == (b"ada", True)
    assert served.refused(ONCE, *metadata).code() is grpc.StatusCode.UNAUTHENTICATED  # a proof is good once


def test_without_the_package_of_details_the_code_and_the_challenge_are_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """grpcio-status is a package of its own."""
    monkeypatch.setitem(sys.modules, "google.rpc", None)
    error = serve().refused(ONCE)
    keys = {name for name, _ in error.trailing_metadata()}
    assert (error.code(), "www-authenticate" in keys) == (grpc.StatusCode.UNAUTHENTICATED, True)
    assert "grpc-status-details-bin" not in keys


@pytest.mark.parametrize("name", ["Once", "/Once", "shop.Orders/Once", "/shop.Orders/", "/shop.*/Once"])
def test_a_method_that_is_not_named_as_grpc_does_is_refused(name: str) -> None:
    """A requirement under a wrong name would protect nothing."""
    with pytest.raises(ConfigurationException):
        ResourceServerInterceptor(DoorWorld().blocking(), methods={name: Requirement(scopes=["a"])})


def test_a_blocking_server_needs_a_blocking_validator() -> None:
    """It has no loop; that is said when it is built."""
    with pytest.raises(ConfigurationException) as failed:
        ResourceServerInterceptor(DoorWorld().awaiting())
    assert failed.value.code == "awaitable_refused"


@pytest.mark.parametrize("options", [[], ["--aio"]], ids=["blocking", "aio"])
def test_the_program_of_the_examples_serves_and_refuses(options: list[str]) -> None:
    """As a process of its own, blocking and aio: streams too, and health without a token."""
    issuer, port = Issuer(), free_port()
    with issuer.provider.serve():
        told = {**os.environ, **settings(issuer.provider.issuer), "ADDRESS": f"127.0.0.1:{port}", "PYTHONPATH": SOURCE}
        process = subprocess.Popen([sys.executable, "app.py", *options], cwd=EXAMPLES / "grpc", env=told)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
                check_program(channel, issuer)
        finally:
            process.terminate()
            process.wait(timeout=20)


def check_program(channel: Any, issuer: Issuer) -> None:
    """Call each method of the program with tokens that are good, that grant too little, and with none."""

    def call(method: str, *headers: tuple[str, str], kind: str = "unary_unary") -> Any:
        metadata = [(name.lower(), value) for name, value in headers]
        return getattr(channel, kind)(method)(b"{}", metadata=metadata, timeout=30)

    def code(*arguments: Any) -> Any:
        with pytest.raises(grpc.RpcError) as refused:
            call(*arguments)
        return refused.value.code()

    assert json.loads(call("/shop.Orders/List", issuer.bearer())) == {"subject": "ada"}
    stream = call("/shop.Orders/Follow", issuer.bearer(), kind="unary_stream")
    assert [json.loads(answer)["number"] for answer in stream] == [0, 1, 2]
    assert call("/shop.Orders/Create", issuer.bearer(scope="orders.read orders.write"))
    assert json.loads(call("/grpc.health.v1.Health/Check")) == {"status": "SERVING"}
    assert code("/shop.Orders/List") == grpc.StatusCode.UNAUTHENTICATED
    assert code("/shop.Orders/List", issuer.bearer(expires_in=-120)) == grpc.StatusCode.UNAUTHENTICATED
    assert code("/shop.Orders/List", issuer.bearer(), issuer.bearer()) == grpc.StatusCode.UNAUTHENTICATED
    assert code("/shop.Orders/Create", issuer.bearer()) == grpc.StatusCode.PERMISSION_DENIED
