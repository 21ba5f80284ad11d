"""Flask: people log in, and ``current_session`` says who they are.

login = FlaskLogin(WebLogin(client, store=SqliteStore("sessions.db"), base_url="https://app.example.com"))
login.init_app(app)

@app.get("/account")
@login.require()
def account(): return {"subject": current_session.subject}
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from .._core.base.scopes import Scopes
from .._core.web_login.messages import MAX_FORM, WebAnswer, WebRequest
from .._core.web_login.session import SessionBase
from .._core.web_login.visits import Demand, demand
from ..exceptions import ConfigurationException
from ..sync._clients import HTTPClient
from ..sync._web_login import Session
from ._packages import framework_missing
from ._web_login import AnyLogin, LoginRefused, answered, blocking_login, demanded, page_headers, request_of_environ

try:
    from flask import Blueprint, Flask, Response, after_this_request, current_app, g, request
    from werkzeug.exceptions import RequestEntityTooLarge
    from werkzeug.local import LocalProxy
    from werkzeug.wsgi import get_input_stream
except ImportError:
    raise framework_missing("Flask", "flask") from None

from ._flask_proxy import proxy_blueprint
from ._web_proxy_blocking import BlockingProxy

F = TypeVar("F", bound=Callable[..., Any])

_NAME = "py_identity_model_login"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class FlaskLogin:
    """The routes of a login as a blueprint, and sessions for views.

    Attributes:
        login: The web login.
        blueprint: Its routes; :meth:`init_app` registers them. What checks forms for the whole application, such as
            ``CSRFProtect`` of Flask-WTF, has to exempt it: the routes check theirs.
    """

    def __init__(self, login: AnyLogin, app: Flask | None = None) -> None:
        """Have people log in.

        Args:
            login: A ``WebLogin`` of the blocking API.
            app: The application; or call :meth:`init_app` later.

        Raises:
            ConfigurationException: It is none, or one that must be awaited.
        """
        self.login: AnyLogin = blocking_login(login, "Flask")
        self.blueprint: Blueprint = Blueprint("login", __name__)
        for path, methods in self.login.routes.items():
            name = path.strip("/").replace("/", "_").replace(".", "_")
            self.blueprint.add_url_rule(path, name, self._serve, methods=[*methods])
        self.blueprint.app_errorhandler(LoginRefused)(_answer_refusal)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Add the routes of the login, as its ``paths`` and ``base_url`` say, and ``current_session`` for templates."""
        app.extensions[_NAME] = self
        app.register_blueprint(self.blueprint)
        app.context_processor(_for_templates)

    def proxy(
        self,
        prefix: str,
        *,
        to: str,
        scopes: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        allow_insecure_http: bool = False,
        http_client: HTTPClient | None = None,
    ) -> Blueprint:
        """Return a blueprint by which pages call an API: ``app.register_blueprint(login.proxy("/api", to=...))``.

        Every request must bring the header ``X-CSRF: 1``. Bodies and server-sent events are streamed, and each takes a
        thread of the server while it lasts. A WebSocket is answered with 501: WSGI has none. What checks forms for the
        whole application, such as ``CSRFProtect`` of Flask-WTF, has to exempt the blueprint.

        Args:
            prefix: The path below which requests are for the API: ``/api``.
            to: The address of the API.
            scopes: The scopes of its tokens; those of the login if None.
            resource: What its tokens are for (RFC 8707).
            allow_insecure_http: Whether the API may be http on another machine than this one.
            http_client: A client for the API; by default one with connections for it alone.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        rule = self.login._proxy(
            prefix, to=to, scopes=scopes, resource=resource, allow_insecure_http=allow_insecure_http
        )
        return proxy_blueprint(BlockingProxy(self.login, rule, http_client))

    def _serve(self) -> Response:
        return _response(answered(self.login, _bounded_request()))

    def session(self) -> Session | None:
        """Return who is logged in; None for nobody.

        Raises:
            LoginRefused: The store is away, or another site sent the request; it is answered by itself.
        """
        return cast("Session | None", self._find(Demand(), optional=True))

    def require(
        self, *, acr: str | Iterable[str] | None = None, max_age: int | None = None, csrf: bool = True
    ) -> Callable[[F], F]:
        """Let only users who are logged in come to a view, blocking or async; others are sent to the login.

        For all views of a blueprint: ``blueprint.before_request(login.require()(lambda: None))``.

        Args:
            acr: Authentication context classes, any one of which will do.
            max_age: Seconds since the user authenticated, at most.
            csrf: Whether requests that change something must show that a page of ours sent them.

        Raises:
            ConfigurationException: The demands could never be met.
        """
        wanted = demand(acr, max_age, csrf=csrf)

        def requiring(view: F) -> F:
            if inspect.iscoroutinefunction(view):

                @wraps(view)
                async def awaiting(*args: Any, **kwargs: Any) -> Any:
                    self._find(wanted)
                    return await view(*args, **kwargs)

                return awaiting  # type: ignore[return-value] # it has the signature of *view*

            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                self._find(wanted)
                return view(*args, **kwargs)

            return guarded  # type: ignore[return-value] # it has the signature of *view*

        return requiring

    def _find(self, wanted: Demand, *, optional: bool = False) -> SessionBase | None:
        found = demanded(self.login, _request(), wanted, optional=optional)
        g.login_session = found
        if found is not None:

            @after_this_request
            def tell(response: Response) -> Response:
                for name, value in page_headers(found, response.headers.keys()):
                    response.headers.add(name, value)
                return response

        return found


def _current() -> SessionBase | None:
    """Return the session of the request at hand, found once."""
    if "login_session" not in g:
        door = current_app.extensions.get(_NAME)
        if not isinstance(door, FlaskLogin):
            raise ConfigurationException(
                "The application has no login", claim="app", expected="FlaskLogin(login).init_app(app)"
            )
        door.session()
    return cast("SessionBase | None", g.login_session)


#: Who is logged in at the request at hand; falsy for nobody.
current_session: Session = cast(Session, LocalProxy(_current))


def _for_templates() -> dict[str, object]:
    return {"current_session": current_session}


def _request() -> WebRequest:
    """Return the request at hand as a value; of its body only a form is read, which views find as always."""
    bare = request_of_environ(request.environ)
    by_header = bare.header("x-csrf-token") or bare.header("x-csrf")
    if bare.is_safe or by_header or request.mimetype not in _FORMS:
        return bare
    return request_of_environ(request.environ, fields=tuple(request.form.items(multi=True)))


def _bounded_request() -> WebRequest:
    """Return a request to the login itself, whose forms are small, with its body."""
    length = request.content_length
    if length is None:
        stream = get_input_stream(request.environ, max_content_length=MAX_FORM)
        return request_of_environ(request.environ, stream.read())
    if length > MAX_FORM:
        raise RequestEntityTooLarge
    # Empty, if the form was read before: by what checks all forms of the application.
    body = request.get_data() or urlencode([*request.form.items(multi=True)]).encode()
    return request_of_environ(request.environ, body)


def _answer_refusal(refusal: LoginRefused) -> Response:
    return _response(refusal.answer)


def _response(made: WebAnswer) -> Response:
    response = Response(made.body, made.status)
    del response.headers["content-type"]
    for name, value in made.headers:
        response.headers.add(name, value)
    return response


__all__ = ["FlaskLogin", "current_session"]
