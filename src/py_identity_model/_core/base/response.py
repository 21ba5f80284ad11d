"""Requests and responses as values, and the guard that keeps a failed response from being read as a good one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from ..._arguments import explains_arguments
from ...exceptions import FailedResponseAccessError, NetworkException, PyIdentityModelException
from .flow import Flow, Request
from .secret import Redacted
from .urls import parse_url

R = TypeVar("R", bound="BaseResponse")

#: The default of a field that is there in every successful response. Its type says so: read in a failed one it raises,
#: so that nobody gets to see the None.
GUARDED: Any = None


class HTTPHeaders(Protocol):
    """The header fields of a response of httpx2 or httpx."""

    def multi_items(self) -> Iterable[tuple[str, str]]:
        """Return name and value of each, also of those that are repeated."""
        ...


class HTTPResponse(Protocol):
    """A response of httpx2 or httpx, described by what is read of it: either may not be installed."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> HTTPHeaders:
        """The header fields."""
        ...

    @property
    def content(self) -> bytes:
        """The body."""
        ...


@dataclass(repr=False)
class BaseRequest(Redacted):
    """A request for a network operation.

    Attributes:
        address: The URL of the endpoint.
        backchannel: Where the provider is reached from here, if not at its public addresses: ``http://keycloak:8080``.
            The request goes there, and is about *address* all the same. Rules about https apply to it as well.
    """

    address: str
    backchannel: str | None = field(default=None, kw_only=True)


def by_backchannel(made: Request, request: BaseRequest, *, require_https: bool = True) -> Request:
    """Return *made*, sent by the backchannel of *request* if it has one.

    Raises:
        ConfigurationException: The backchannel is no URL that may be used; with ``https_required``, a plain http one.
    """
    if request.backchannel is None:
        return made
    parse_url(request.backchannel, "backchannel", require_https=require_https, allow_query=False)
    return replace(made, backchannel=request.backchannel, public_only=False)


@dataclass(repr=False)
class BaseResponse(Redacted):
    """The answer of a network operation; it never raises for what the provider or the network did.

    Attributes:
        is_successful: Whether the data fields hold an answer.
        error: What went wrong, in words; None if nothing did.
        error_code: The provider's OAuth ``error`` (RFC 6749 5.2), or else the stable ``code`` of ``exception``.
        error_description: The provider's own explanation, if it gave one.
        error_uri: A page of the provider about the error, if it named one.
        status_code: The HTTP status, if a reply came at all.
        exception: What :meth:`raise_for_error` raises.

    Reading a data field of a failed response raises :class:`FailedResponseAccessError`.
    """

    is_successful: bool
    error: str | None = None
    error_code: str | None = field(default=None, kw_only=True)
    error_description: str | None = field(default=None, kw_only=True)
    error_uri: str | None = field(default=None, kw_only=True)
    status_code: int | None = field(default=None, kw_only=True)
    exception: PyIdentityModelException | None = field(default=None, kw_only=True, repr=False, compare=False)

    _guarded: ClassVar[frozenset[str]] = frozenset()
    _pickles: ClassVar[bool] = True  # what came from a provider is kept in sessions and sent to workers

    if not TYPE_CHECKING:  # or a type checker would take any name for an attribute

        def __getattribute__(self, name: str) -> Any:
            get = object.__getattribute__
            if name in get(self, "_guarded") and not get(self, "is_successful"):
                raise FailedResponseAccessError(name, get(self, "error"))
            return get(self, name)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__eq__ = BaseResponse.__eq__  # type: ignore[method-assign] # or dataclass() makes one that trips the guard

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _compared(self) == _compared(other)

    @property
    def needs_new_login(self) -> bool:
        """Whether only a new login of the user helps: a refresh token is dead, or the login has failed."""
        return self.exception is not None and self.exception.needs_new_login

    def raise_for_error(self) -> None:
        """Raise the exception behind a failed response; do nothing for a successful one.

        Raises:
            PyIdentityModelException: The response is not successful.
        """
        if self.is_successful:
            return
        raise self.exception or NetworkException(self.error or "the request failed", status_code=self.status_code)

    @classmethod
    @explains_arguments
    def failed(cls: type[R], exception: PyIdentityModelException, **facts: object) -> R:
        """Return the response that tells of *exception*; *facts* are further fields."""
        said = {name: getattr(exception, name, None) for name in ("error_description", "error_uri", "status_code")}
        code = getattr(exception, "error", None) or exception.code
        values: dict[str, Any] = {
            "error_code": code,
            **{name: value for name, value in said.items() if value is not None},
            **facts,
        }
        values = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        for f in fields(cls):
            if f.name not in values and f.default is MISSING and f.default_factory is MISSING:
                values[f.name] = None
        values.update(is_successful=False, error=str(exception), exception=exception)
        return cls(**values)


def _compared(response: Any) -> list[Any]:
    return [object.__getattribute__(response, f.name) for f in fields(response) if f.compare]


def answered(kind: type[R], flow: Callable[[], Flow[R]]) -> Flow[R]:
    """Run *flow*; a refusal or failure becomes a failed response of *kind*.

    Mistakes of the caller (:class:`ConfigurationException`) become one too: published code looks at ``is_successful``.
    """
    try:
        return (yield from flow())
    except PyIdentityModelException as error:
        return kind.failed(error)


__all__ = ["GUARDED", "BaseRequest", "BaseResponse", "HTTPHeaders", "HTTPResponse", "answered", "by_backchannel"]
