"""Django's door: settings and their checks, users of the database, middleware, mixin, REST framework, OpenAPI."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views import View
from django.views.generic import TemplateView

import snippets
import test_framework_pages as pages
from py_identity_model import AuthenticatedPrincipal, Requirement, ResourceServer, TokenValidator, aio
from py_identity_model.testing import EmbeddedProvider

BACKEND = "py_identity_model.integrations.django_auth.PrincipalBackend"
URLS: Any = types.ModuleType("urls_of_test_door_django")
if not settings.configured:
    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF=URLS.__name__,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:door?mode=memory&cache=shared"}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "drf_spectacular",
            "py_identity_model.integrations.django",
        ],
        MIDDLEWARE=[
            "py_identity_model.integrations.django.PrincipalMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["py_identity_model.integrations.django_rest.TokenAuthentication"],
            "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        },
        PY_IDENTITY_MODEL={},
    )
sys.modules[URLS.__name__] = URLS
django.setup()

from django.contrib.auth.models import User  # noqa: E402 # models want the settings
from django.core.management import call_command  # noqa: E402
from drf_spectacular.generators import SchemaGenerator  # noqa: E402
from rest_framework.permissions import IsAdminUser, IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from py_identity_model.exceptions import ConfigurationException  # noqa: E402
from py_identity_model.integrations.django import ProtectMixin, protect  # noqa: E402
from py_identity_model.integrations.django_auth import username_of  # noqa: E402
from py_identity_model.integrations.django_rest import requires  # noqa: E402

READ = Requirement(scopes=["orders.read"])


def said(request: HttpRequest) -> JsonResponse:
    """Answer with who it is for the door, and for Django."""
    principal = request.principal
    return JsonResponse({"subject": principal and principal.subject, "user": str(getattr(request, "user", None))})


async def said_in_loop(request: HttpRequest) -> JsonResponse:
    """Answer in the event loop."""
    return said(request)


class Mixed(ProtectMixin, View):
    """A view with a method that demands more."""

    requirement = READ
    requirements = types.MappingProxyType({"POST": Requirement(scopes=["orders.write"])})

    async def get(self, request: HttpRequest) -> JsonResponse:
        """Read."""
        return said(request)

    async def post(self, request: HttpRequest) -> JsonResponse:
        """Write."""
        return said(request)


class Rest(APIView):
    """A view of REST framework."""

    permission_classes = (requires(READ),)

    def get(self, request: Any) -> Response:
        """Read."""
        return Response({"subject": request.auth.subject, "pk": request.user.pk})


class Authenticated(Rest):
    """One that wants anybody."""

    permission_classes = (IsAuthenticated,)


class Either(Rest):
    """One with two ways in."""

    permission_classes = (requires(READ) | IsAdminUser,)


asyncio.run(sync_to_async(lambda: None)())  # asgiref keeps the thread that this begins

URLS.urlpatterns = [
    path("plain", said),
    path("sync", protect(READ)(said)),
    path("async", protect(READ)(said_in_loop)),
    path("optional", protect(optional=True)(said)),
    path("mixed", Mixed.as_view()),
    path("rest", Rest.as_view()),
    path("authenticated", Authenticated.as_view()),
    path("either", Either.as_view()),
]


@pytest.fixture(scope="module")
def provider() -> EmbeddedProvider:
    """A provider without a network."""
    return EmbeddedProvider()


@pytest.fixture(params=["blocking", "awaiting"])
def door(request: pytest.FixtureRequest, provider: EmbeddedProvider) -> Iterator[None]:
    """Settings with a resource server of either API."""
    validator = (TokenValidator if request.param == "blocking" else aio.TokenValidator)(
        provider.issuer, audience="api", http_client=provider.transport
    )
    server = ResourceServer if request.param == "blocking" else aio.ResourceServer
    with override_settings(PY_IDENTITY_MODEL={"RESOURCE_SERVER": server(validator)}):
        yield


@pytest.fixture
def users(provider: EmbeddedProvider) -> Iterator[dict[str, Any]]:
    """Users in a database, made by the backend; what the settings say may be changed."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    User.objects.all().delete()
    validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
    said: dict[str, Any] = {"RESOURCE_SERVER": ResourceServer(validator)}
    with override_settings(PY_IDENTITY_MODEL=said, AUTHENTICATION_BACKENDS=[BACKEND]):
        yield said


def bearer(provider: EmbeddedProvider, scope: str = "orders.read", **claims: Any) -> dict[str, str]:
    """Return the header of a request with a token."""
    token = provider.mint(**{"audience": "api", "subject": "ada", "scope": scope} | claims)
    return {"authorization": f"Bearer {token}"}


def get(where: str, headers: dict[str, str] | None = None, method: str = "get") -> list[Any]:
    """Send a request under WSGI and under ASGI, and return both answers."""
    csrf = {"enforce_csrf_checks": True}
    awaited = asyncio.run(getattr(AsyncClient(**csrf), method)(where, headers=headers or {}))
    return [getattr(Client(**csrf), method)(where, headers=headers or {}), awaited]


@pytest.mark.parametrize("where", ["/sync", "/async", "/mixed", "/rest"])
def test_a_view_of_any_kind_is_protected(where: str, door: None, provider: EmbeddedProvider) -> None:
    """Blocking or async, a function or a class, under WSGI and ASGI: the same."""
    for answer in get(where, bearer(provider)):
        assert (answer.status_code, answer.json()["subject"]) == (200, "ada")
    for answer in get(where):
        assert (answer.status_code, answer.content) == (401, b"")
        sent = [value for name, value in answer.items() if name.lower() == "www-authenticate"]
        assert sent[0] == 'Bearer scope="orders.read"'
        assert sent[1].startswith("DPoP ")
    for answer in get(where, bearer(provider, "other")):
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")


def test_a_method_may_demand_more_and_head_is_as_get(door: None, provider: EmbeddedProvider) -> None:
    """What a token grants is what lets it in; no cookie is asked for."""
    for answer in get("/mixed", bearer(provider), "post"):
        assert (answer.status_code, 'scope="orders.read orders.write"' in answer["www-authenticate"]) == (403, True)
    for answer in get("/mixed", bearer(provider, "orders.read orders.write"), "post"):
        assert answer.status_code == 200
    for answer in get("/mixed", None, "head"):
        assert answer.status_code == 401


def test_methods_that_do_not_exist_are_told() -> None:
    """A requirement for a method that is written otherwise would protect nothing."""
    with pytest.raises(Exception, match="requirements must be"):
        Mixed.as_view(requirements={"post": READ})


def test_the_middleware_knows_everybody_and_refuses_bad_tokens(door: None, provider: EmbeddedProvider) -> None:
    """A view that asks nothing finds who it is; a token that is not valid passes nowhere."""
    for where in ("/plain", "/optional"):
        assert [a.json()["subject"] for a in (*get(where), *get(where, bearer(provider)))] == [None] * 2 + ["ada"] * 2
        assert [a.status_code for a in get(where, {"authorization": "Bearer x.y.z"})] == [401, 401]
    # A cookie may come without the user's will; a token does not.
    assert [a.status_code for a in get("/optional", None, "post")] == [403, 403]
    assert [a.status_code for a in get("/plain", bearer(provider), "post")] == [200, 200]


def test_all_views_can_be_protected_at_once(provider: EmbeddedProvider) -> None:
    """Paths are excluded by name; REST framework's views are among all."""
    api = ResourceServer(TokenValidator(provider.issuer, audience="api", http_client=provider.transport))
    said = {"RESOURCE_SERVER": api, "PROTECT_ALL": True, "EXCLUDE": ["/optional"]}
    with override_settings(PY_IDENTITY_MODEL=said):
        assert [a.status_code for w in ("/plain", "/either", "/optional") for a in get(w)] == [401] * 4 + [200] * 2


def test_permissions_of_rest_framework_combine(door: None, provider: EmbeddedProvider) -> None:
    """What is not refused by this door alone is answered with challenges too."""
    for where in ("/authenticated", "/either"):
        assert [a.status_code for a in get(where, bearer(provider))] == [200, 200]
        for answer in get(where):
            assert (answer.status_code, answer.content) == (401, b"")
            assert answer["www-authenticate"].startswith("Bearer, DPoP")
    assert [a.status_code for a in get("/either", bearer(provider, "other"))] == [403, 403]
    assert get("/rest", bearer(provider))[0].json()["pk"] == f"{provider.issuer}|ada"


def test_openapi_names_the_scheme_and_the_scopes(door: None) -> None:
    """Documents say where a token is had, and what an operation needs."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    assert document["components"]["securitySchemes"]["access_token"]["type"] in ("oauth2", "openIdConnect")
    assert {"access_token": ["orders.read"]} in document["paths"]["/rest"]["get"]["security"]


def test_a_principal_put_on_a_request_is_looked_at_only_for_what_is_demanded() -> None:
    """Tests of a view need no token; a proof is never taken twice."""
    request = HttpRequest()
    request.principal = AuthenticatedPrincipal({"iss": "i", "sub": "ada", "scope": "orders.read"})
    api = ResourceServer(TokenValidator("https://id.example.com", audience="api"))
    with override_settings(PY_IDENTITY_MODEL={"RESOURCE_SERVER": api}):
        assert protect(READ)(said)(request).status_code == 200
        assert protect(scopes=["other"])(said)(request).status_code == 403


# ---- users


def test_a_user_is_made_once_and_known_by_issuer_and_subject(users: Any, provider: EmbeddedProvider) -> None:
    """Another's name or address makes nobody that user."""
    User.objects.create_user("ada", "ada@example.com", "secret")
    claims = {"email": "ada@example.com", "email_verified": True, "preferred_username": "ada"}
    made = {get("/sync", bearer(provider, **claims))[0].json()["user"] for _ in range(2)}
    assert made == {username_of(AuthenticatedPrincipal({"iss": provider.issuer, "sub": "ada"}))}
    assert User.objects.count() == 2


def test_claims_and_roles_are_written_where_they_differ(users: Any, provider: EmbeddedProvider) -> None:
    """Groups that the settings do not name are left alone."""
    users |= {"USER_CLAIMS": {"email": "email"}, "USER_GROUPS": {"auditor": "Auditors"}}
    with override_settings(PY_IDENTITY_MODEL=dict(users)):
        get("/sync", bearer(provider, email="a@example.com", roles=["auditor"]))
        user = User.objects.get()
        assert (user.email, [group.name for group in user.groups.all()]) == ("a@example.com", ["Auditors"])
        user.groups.create(name="Others")
        get("/sync", bearer(provider, email="b@example.com", roles=[]))
        user.refresh_from_db()
        assert (user.email, [group.name for group in user.groups.all()]) == ("b@example.com", ["Others"])


def test_who_is_no_user_is_refused(users: Any, provider: EmbeddedProvider) -> None:
    """A user that is not there, or not active, or that somebody registered with a password, is nobody."""
    name = username_of(AuthenticatedPrincipal({"iss": provider.issuer, "sub": "ada"}))
    user = User.objects.create_user(name, password="chosen by a stranger")
    assert [a.status_code for a in get("/sync", bearer(provider))] == [401, 401]
    user.set_unusable_password()
    user.save()
    assert get("/sync", bearer(provider))[0].status_code == 200
    User.objects.update(is_active=False)
    assert get("/sync", bearer(provider))[0].status_code == 401
    with override_settings(PY_IDENTITY_MODEL=users | {"USER_CREATE": False}):
        assert get("/sync", bearer(provider, subject="bob"))[0].status_code == 401
        machine = get("/sync", bearer(provider, subject="job", client_id="job"))[0]
    assert (machine.status_code, User.objects.count()) == (200, 1)


def test_other_claims_find_a_user_only_where_that_is_asked_for(users: Any, provider: EmbeddedProvider) -> None:
    """An address counts if it was verified."""
    User.objects.create_user("ada", "ada@example.com", "secret")
    users |= {"USER_CREATE": False, "ALLOW_USER_LOOKUP_BY_CLAIMS_THAT_MAY_BE_REASSIGNED": {"email": "email"}}
    with override_settings(PY_IDENTITY_MODEL=users):
        assert get("/sync", bearer(provider, email="ada@example.com"))[0].status_code == 401
        answer = get("/sync", bearer(provider, email="ada@example.com", email_verified=True))[0]
        assert answer.json()["user"] == "ada"


# ---- settings


def faults(**said: Any) -> list[str]:
    """Return what ``manage.py check`` says."""
    with override_settings(PY_IDENTITY_MODEL=said):
        return [each.msg for each in run_checks() if (each.id or "").startswith("py_identity_model")]


def test_check_names_every_fault() -> None:
    """One run tells all there is to mend, and no value that may be secret."""
    found = faults(
        ISSUER="canary", LEEWAY=True, EXCLUDE="docs", LOAD_USER="no.such", AUDIENCES=["a"], REALM="a\nb", ROLES=[1]
    )
    for key in ("ISSUER", "AUDIENCE", "LEEWAY", "EXCLUDE", "LOAD_USER", "AUDIENCES", "REALM", "ROLES"):
        assert any(f'PY_IDENTITY_MODEL["{key}"]' in each for each in found), key
    assert "canary" not in "".join(found)


def test_check_knows_the_user_model() -> None:
    """Rights, and what users are known by, are not for claims to change."""
    with override_settings(AUTHENTICATION_BACKENDS=[BACKEND]):
        claims = {"is_staff": "admin", "username": "preferred_username", "nick": "nickname", "email": "email"}
        found = faults(ISSUER="https://id.example.com", AUDIENCE="a", USER_CLAIMS=claims)
    assert len(found) == 3


def test_the_environment_is_behind_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings do not say comes from there."""
    assert len(faults(AUDIENCE=["a", "b"])) == 1
    monkeypatch.setenv("OIDC_ISSUER", "https://id.example.com")
    assert faults(AUDIENCE=["a", "b"]) == []


@pytest.mark.parametrize(
    ("module", "framework", "install"),
    [("django", "django", "django"), ("django_rest", "rest_framework", "djangorestframework")],
)
def test_a_missing_framework_gives_its_install_line(module: str, framework: str, install: str) -> None:
    """The error of the import says what to type."""
    code = f"import sys; sys.modules['{framework}'] = None; import py_identity_model.integrations.{module}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install {install})" in ended.stderr


def test_the_page_shows_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The views serve and refuse by the settings that the page shows, and what is excluded is open."""
    world = snippets.World(monkeypatch, pages.ISSUER)
    blocks = snippets.python_blocks(snippets.ROOT / "docs" / "protect" / "django.md")
    shown = world.run(next(block for block in blocks if "INSTALLED_APPS" in block.code))
    views = world.run(next(block for block in blocks if "class Reports" in block.code))
    urls = types.ModuleType("urls_of_the_page")
    urls.urlpatterns = [*views["urls"](), path("docs", lambda request: HttpResponse("open"))]  # type: ignore[attr-defined]
    names = ("INSTALLED_APPS", "MIDDLEWARE", "PY_IDENTITY_MODEL")
    with override_settings(ROOT_URLCONF=urls, **{name: shown[name] for name in names}):
        client = Client(enforce_csrf_checks=True)

        def get(headers: dict[str, str], path: str = "/orders") -> tuple[int, str, str]:
            answer = client.get(path, headers=headers)
            told = [value for name, value in answer.items() if name.lower() == "www-authenticate"]
            return answer.status_code, answer.content.decode(), ",".join(told)

        assert get(pages.bearer(world, scope="orders.read"))[:2] == (200, '{"subject": "ada"}')
        assert get(pages.bearer(world, roles=["owner"]), "/reports")[:2] == (200, '{"roles": ["owner"]}')
        assert [get({}, path)[0] for path in ("/healthz", "/docs", "/reports")] == [200, 200, 401]
        pages.refusals(get, world)
    world.forget()


@pytest.mark.parametrize("bases", [(View, ProtectMixin), (Rest, ProtectMixin), (TemplateView, ProtectMixin)])
def test_a_mixin_that_would_never_be_asked_is_refused(bases: tuple[type, ...]) -> None:
    """A class whose view comes before the mixin does not come to be, and its maker is told the order."""
    with pytest.raises(ConfigurationException, match="ProtectMixin before View") as refused:
        type("Orders", bases, {})
    assert refused.value.claim == "bases"


def test_a_mixin_may_come_after_others_that_lead_to_it() -> None:
    """What stands before it is not a view, or leads to a view that has the mixin in front."""
    assert issubclass(type("Orders", (types.new_class("Own"), ProtectMixin, View), {}), View)
    assert issubclass(type("More", (Mixed, TemplateView), {}), View)
    assert issubclass(type("Protected", (ProtectMixin,), {}), ProtectMixin)
