"""Clients of redis-py for one server, for one behind sentinels and for a cluster; and what their errors mean.

=============================================  ================================================================
address                                        what it leads to
=============================================  ================================================================
``redis://host:6379/0``, ``unix:///path``      one server
``redis+sentinel://a:26379,b:26379/name/0``    the master that the sentinels know under that name
``redis://a:6379,b:6379`` with ``cluster``     a cluster, found by the first of these nodes that answers
=============================================  ================================================================

``rediss`` in place of ``redis`` is TLS, to sentinels and nodes too. Certificates are always verified.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from ..exceptions import ConfigurationException, StoreException
from ._memory import store_full

if TYPE_CHECKING:
    from types import ModuleType

Kind = Literal["one", "sentinels", "cluster"]
SENTINEL = "+sentinel"
SCHEMES = "redis:// rediss:// unix:// redis+sentinel:// rediss+sentinel://"
#: Ports where none is given.
PORTS: Mapping[Kind, int] = {"one": 6379, "cluster": 6379, "sentinels": 26379}
#: Values of redis-py's options that would turn off what must stay on, and why.
REFUSED: Mapping[str, tuple[tuple[object, ...], str]] = {
    "ssl_cert_reqs": (
        (None, "none", "optional", ssl.CERT_NONE, ssl.CERT_OPTIONAL),
        "the server's certificate is always verified; name a private CA with ssl_ca_certs",
    ),
    "ssl_check_hostname": (
        (False,),
        "the server's name is always verified; issue certificates for the names or addresses that are told",
    ),
    "decode_responses": ((True, "True", "true", "1", "yes"), "values are bytes"),
}


class Address(NamedTuple):
    """Where the store is: what is there, the hosts, the master's name at the sentinels, and options of redis-py."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    service: str
    options: dict[str, Any]


def read_address(url: str, cluster: bool, options: Mapping[str, object]) -> Address:
    """Read a URL, and refuse what no store can have.

    Raises:
        ConfigurationException: It is no URL of a store, or an option would turn a check off.
    """
    if not isinstance(url, str):
        raise unusable("url", SCHEMES)
    scheme, _, rest = url.partition("://")
    kind: Kind = "cluster" if cluster else "sentinels" if scheme.endswith(SENTINEL) else "one"
    authority, slash, tail = rest.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    service = ""
    if kind == "sentinels":
        service, slash, tail = tail.partition("/")
        service, mark, query = service.partition("?")
        tail += mark + query
    plain = scheme.removesuffix(SENTINEL)
    first = hosts.split(",")[0]
    told = _parsed(url if kind == "one" else f"{plain}://{userinfo}{at}{first}{slash or '/'}{tail}")
    told.pop("connection_class", None)
    found = () if plain == "unix" else tuple(_host(one, kind) for one in hosts.split(","))
    if kind == "one" and len(found) > 1:
        raise unusable("url", "one host, or redis+sentinel://, or cluster=True")
    if kind == "sentinels" and not service:
        raise unusable("url", "the name of the master after the sentinels: redis+sentinel://host:26379/name")
    if kind == "cluster" and plain == "unix":
        raise unusable("url", "redis:// or rediss:// for a cluster")
    for name in ("host", "port", *(("db",) if kind == "cluster" else ())):
        told.pop(name, None)
    _check_options({**options, **told})
    secured = {"ssl": True, "ssl_check_hostname": True} if plain == "rediss" else {}
    return Address(kind, found, unquote(service), {**secured, **options, **told})


def _parsed(url: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = module("redis.connection").parse_url(url)
    except ValueError:  # it holds the url, and with it a password
        pass
    else:
        return told
    raise unusable("url", SCHEMES)


def _host(text: str, kind: Kind) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return parts.hostname or "localhost", parts.port or PORTS[kind]
    except ValueError:
        pass
    raise unusable("url", "hosts with a port each: a:6379,b:6379")


def _check_options(options: Mapping[str, object]) -> None:
    for name, (refused, hint) in REFUSED.items():
        if name in options and options[name] in refused:
            raise ConfigurationException(
                f"A store takes no {name}={options[name]!r}", code="store_argument_invalid", claim=name, hint=hint
            )


def unusable(claim: str, expected: str) -> ConfigurationException:
    """Build the exception for an argument that no store takes; it shows nothing of the argument."""
    return ConfigurationException(
        f"A store takes as {claim} {expected}", code="store_argument_invalid", claim=claim, expected=expected
    )


def connect(address: Address, awaited: bool, timeout: float) -> Any:
    """Build the client. It waits no longer than it may, and asks once more where a connection had gone stale.

    Args:
        address: Where the store is.
        awaited: Whether it is to be awaited.
        timeout: Seconds for each step of connecting, and for each answer.
    """
    way = ".asyncio" if awaited else ""
    redis = module(f"redis{way}")
    given = dict(address.options)
    path, for_sentinels = given.pop("path", None), given.pop("sentinel_kwargs", {})
    waits = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "health_check_interval": 30}
    # Nothing is asked twice but where the connection broke; a script that ran unseen answers False the second time.
    retry = module(f"redis{way}.retry").Retry
    broken = (module("redis").exceptions.ConnectionError,)
    again, never = (retry(module("redis.backoff").NoBackoff(), tries, supported_errors=broken) for tries in (1, 0))
    options = {**waits, "retry": again, **given}
    if address.kind == "cluster":
        nodes = module(f"redis{way}.cluster")
        return nodes.RedisCluster(startup_nodes=[nodes.ClusterNode(*host) for host in address.hosts], **options)
    options["retry_on_error"] = []
    if address.kind == "one":
        host, port = address.hosts[0] if address.hosts else (None, None)
        place = {"unix_socket_path": path} if host is None else {"host": host, "port": port}
        return redis.Redis(**place, **options)
    # Sentinels have users of their own; the way to them is secured as the way to the master is.
    secured = {name: value for name, value in given.items() if name.startswith("ssl")}
    told = {**waits, "retry": never, **secured, **for_sentinels}
    sentinel = module(f"redis{way}.sentinel").Sentinel(list(address.hosts), sentinel_kwargs=told)
    return sentinel.master_for(address.service, redis_class=redis.Redis, **options)


def connected(client: Any) -> list[Any]:
    """Return all that has connections: the client, and those of the sentinels, which it does not close."""
    sentinel = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return [client, *getattr(sentinel, "sentinels", ())]


# ---------------------------------------------------------------------------------------------------------------------
# Errors

#: What the first word of a server's refusal means, where redis-py has no class for it.
WORDS = {
    "OOM": "store_full",
    "READONLY": "store_read_only",
    "MISCONF": "store_read_only",  # it cannot write to its disk, and so takes nothing
    "NOREPLICAS": "store_read_only",  # fewer replicas follow than it wants
    "NOPERM": "store_forbidden",
    "NOAUTH": "store_forbidden",
    "WRONGPASS": "store_forbidden",
    "BUSY": "store_busy",
}
SAID = {
    "store_read_only": "The store takes no writes now",
    "store_forbidden": "The store refuses this user",
    "store_busy": "The store is busy with something else",
    "store_failed": "The store failed",
}


def read_error(error: Exception) -> StoreException:
    """Return the exception for what redis-py raised; it holds nothing of what was sent."""
    known = module("redis").exceptions
    name = type(error).__name__
    if isinstance(error, known.AuthenticationError | known.NoPermissionError | known.AuthorizationError):
        return StoreException(f"The store refuses this user: {name}", code="store_forbidden")
    if isinstance(error, known.OutOfMemoryError):
        return store_full("redis")
    if isinstance(error, known.ReadOnlyError):
        return StoreException("The store is a replica that takes no writes", code="store_read_only")
    if isinstance(error, known.ResponseError) and not isinstance(error, known.ClusterDownError):
        code = WORDS.get(str(error).partition(" ")[0], "store_failed")
        return store_full("redis") if code == "store_full" else StoreException(f"{SAID[code]}: {name}", code=code)
    if any(isinstance(one, ssl.SSLError) for one in _chain(error)):
        return StoreException(
            "The TLS handshake with the store failed",
            code="store_tls_failed",
            hint="name the CA with ssl_ca_certs; the certificate must be for the host of the url",
        )
    return StoreException(f"The store does not answer: {name}", code="store_unavailable")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        yield from (one for one in found.args if isinstance(one, BaseException))
        found = found.__cause__ or found.__context__


def module(name: str) -> ModuleType:
    """Import a module of redis-py.

    Raises:
        ConfigurationException: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationException(
            "RedisStore needs redis-py",
            code="store_package_missing",
            claim="redis",
            expected="redis",
            hint="pip install 'py-identity-model[redis]'",
        ) from None


__all__ = ["Address", "connect", "connected", "module", "read_address", "read_error", "unusable"]
