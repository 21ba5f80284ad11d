"""Django's door to a web login, in process: views, the middleware, users of the database, groups and the admin."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.views import View

import py_identity_model.aio as awaitable
import test_door_django as doors
from login_world import BASE, KEY, LoginWorld
from proxy_cases import upstream
from py_identity_model import ConfigurationException, Request
from py_identity_model.integrations import django_login
from py_identity_model.integrations.django_login import RequireMixin, proxy, require, web_login
from py_identity_model.stores import MemoryStore

assert doors.URLS.__name__ == settings.ROOT_URLCONF  # it sets Django up, which models want

from django.contrib.auth.models import Group, User  # noqa: E402

from py_identity_model.integrations._django_linking import EmailLinking  # noqa: E402
from py_identity_model.integrations.django_login_users import LoginUsers, have_staff_log_in  # noqa: E402

# One for all: tests of another file bring this one along.
MODULE: Any = sys.modules.setdefault("login_of_test_door_django", types.ModuleType("login_of_test_door_django"))
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
DOOR = "py_identity_model.integrations.django_login.LoginMiddleware"


def said(request: HttpRequest) -> JsonResponse:
    """Answer with who it is for the login, and for Django."""
    session = request.login_session
    return JsonResponse(
        {
            "subject": session.subject if session else None,
            "csrf": session.csrf_token if session else None,
            "user": request.user.pk,
            "staff": request.user.is_staff,
        }
    )


class Fresh(RequireMixin, View):
    """A view that demands a fresh login."""

    max_age = 300

    def get(self, request: HttpRequest) -> JsonResponse:
        """Read."""
        return said(request)


class Site:
    """What is asked of an admin site."""

    name = "admin"

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user is staff."""
        return bool(request.user.is_active and request.user.is_staff)


SITE: Any = Site()
have_staff_log_in(SITE)


def forbidden(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Answer who may not."""
    return HttpResponse("no", status=403)


MODULE.handler403 = forbidden


@pytest.fixture
def world(clock: Any) -> Iterator[LoginWorld]:
    """A provider, a database, and a project whose settings name the login of the world."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    User.objects.all().delete()
    made = LoginWorld("sync", clock)
    install(made, on_login=LoginUsers(groups={"auditor": "Auditors"}, roles=["roles"], staff="administrator"))
    middleware = ["django.middleware.csrf.CsrfViewMiddleware", DOOR]
    with override_settings(
        PY_IDENTITY_MODEL_LOGIN=f"{MODULE.__name__}.login",
        ROOT_URLCONF=MODULE.__name__,
        MIDDLEWARE=middleware,
        ALLOWED_HOSTS=["*"],
    ):
        MODULE.urlpatterns = [
            path("", include("py_identity_model.integrations.django_login")),
            path("account", require()(said)),
            path("open", said),
            path("fresh", Fresh.as_view()),
            path("admin/login", SITE.login),
            path("admin/logout", SITE.logout),
        ]
        yield made


def install(world: LoginWorld, **options: Any) -> None:
    """Have the project log in this way; before its URLs are read for the first time."""
    MODULE.login = world.process(**options)


def get(browser: Client, to: str, accept: str = "text/html") -> Any:
    """Show a page."""
    return browser.get(to, headers={"accept": accept, "host": "app.example.com"}, secure=True)


def post(browser: Client, to: str, data: Any, **headers: str) -> Any:
    """Send a form."""
    told = {"accept": "text/html", "host": "app.example.com", "origin": BASE, **headers}
    kind = "application/x-www-form-urlencoded"
    return browser.post(to, urlencode(data), content_type=kind, headers=told, secure=True)


def log_in(world: LoginWorld, to: str = "/account", browser: Client | None = None) -> tuple[Client, Any]:
    """Follow the redirects from a page to the provider and back to it."""
    browser = browser or Client(enforce_csrf_checks=True)
    response = get(browser, to)
    while response.status_code == 303:
        to = response.headers["location"]
        if to.startswith(world.provider.issuer):
            to = world.between(Request("GET", to)).header("location") or ""
        response = get(browser, to.removeprefix(BASE))
    return browser, response


def test_a_login_in_django(world: LoginWorld) -> None:
    """A view, the middleware, and a user of the database; a logout ends all of it."""
    browser = Client(enforce_csrf_checks=True)
    assert get(browser, "/open").json()["subject"] is None
    assert get(browser, "/account", "*/*").status_code == 401
    browser, account = log_in(world, browser=browser)
    user = User.objects.get()
    assert (account.json()["subject"], account.json()["user"]) == ("alice", user.pk)
    assert get(browser, "/open").json()["user"] == user.pk
    out = post(browser, "/logout", {"csrf_token": account.json()["csrf"]})
    assert (out.status_code, out.headers["location"].startswith(world.provider.issuer)) == (303, True)
    assert get(browser, "/open").json() == {"subject": None, "csrf": None, "user": None, "staff": False}


def test_step_up_in_django(world: LoginWorld) -> None:
    """A class-based view that demands a fresh login sends the browser there and back."""
    browser, _ = log_in(world)
    world.clock.advance(1000)
    assert get(browser, "/fresh").status_code == 303
    assert log_in(world, "/fresh", browser)[1].json()["subject"] == "alice"


def test_a_form_is_checked_once(world: LoginWorld) -> None:
    """By Django's CSRF middleware where it is there, else by the token of the session."""
    browser, account = log_in(world)
    assert post(browser, "/account", {}).status_code == 403
    with override_settings(MIDDLEWARE=[DOOR]):
        plain = Client()
        plain.cookies = browser.cookies
        token = account.json()["csrf"]
        assert post(plain, "/account", {"a": "b"}).status_code == 403
        assert post(plain, "/account", {"csrf_token": token}).json()["subject"] == "alice"
        assert post(plain, "/account", {}, **{"x-csrf": "1"}).status_code == 200
        assert post(plain, "/account", {"csrf_token": token}, origin="https://evil.example").status_code == 403


def test_pages_call_an_api_in_django(world: LoginWorld) -> None:
    """Below a path too, and Django's CSRF middleware does not stand in the way of the header that is demanded."""
    with upstream() as api:
        urls: Any = types.ModuleType("urls_of_a_proxy")
        urls.urlpatterns = [*MODULE.urlpatterns, proxy("/api", to=api.url)]
        sys.modules[urls.__name__] = urls
        with override_settings(ROOT_URLCONF=urls.__name__):
            browser, told = log_in(world)[0], {"accept": "*/*", "host": "app.example.com"}
            called: dict[str, Any] = {"headers": {**told, "x-csrf": "1"}, "secure": True, "SCRIPT_NAME": "/shop"}
            sent = browser.post("/api/a%20b?c=%zz", b"a" * 100_000, content_type="text/plain", **called)
            seen = json.loads(b"".join(sent.streaming_content))
            assert (seen["target"], seen["length"]) == ("/v1/a%20b?c=%zz", 100_000)
            assert browser.post("/api/a", **{**called, "headers": told}).status_code == 403
            assert Client().get("/api/a", **called).status_code == 401
            form = browser.post("/api/a", {"a": "b" * 5000}, **called)  # multipart
            assert json.loads(b"".join(form.streaming_content))["length"] > 5000
            assert browser.get("/apis", **called).status_code == 404


def test_roles_are_groups_and_staff(world: LoginWorld) -> None:
    """Each login brings groups and staff up to date; one that lost its roles is neither."""
    world.provider.more["roles"] = ["auditor", "administrator"]
    assert log_in(world)[1].json()["staff"] is True
    assert [group.name for group in User.objects.get().groups.all()] == ["Auditors"]
    world.provider.more["roles"] = []
    assert log_in(world)[1].json()["staff"] is False
    assert (User.objects.get().groups.count(), Group.objects.filter(name="Auditors").count()) == (0, 1)


LINKING: dict[str, Any] = {"issuer_field": "last_name", "subject_field": "first_name"}


def linking(world: LoginWorld, **changes: Any) -> Any:
    """Log in where users are linked by e-mail, with an address that the provider has verified; return the answer."""
    of = changes.pop("of", "https://id.example.com")
    world.provider.more |= {"email": "ada@example.com", "email_verified": True, **changes}
    install(world, on_login=LoginUsers(**LINKING, link_existing_users_by_verified_email_of=of))
    return log_in(world, browser=Client())[1]


def test_a_user_who_was_there_is_linked_by_a_verified_address_if_that_is_asked_for(world: LoginWorld) -> None:
    """Once and for good: later the address does not count any more; whoever registered it loses the password."""
    ada = User.objects.create_user("ada", "Ada@Example.com", "chosen by whoever registered")
    assert linking(world).json()["user"] == ada.pk
    ada.refresh_from_db()
    assert (ada.last_name, ada.first_name) == (world.provider.issuer, "alice")
    assert not ada.has_usable_password()
    User.objects.filter(pk=ada.pk).update(email="new@example.com")
    assert linking(world, email="other@example.com", email_verified=False).json()["user"] == ada.pk
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "said",
    [
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email_verified": None},
        {"email": ["ada@example.com"]},
        {"email": "\u0430da@example.com"},
        {"email": "ada@exa\u1e40ple.com"},
        {"email": "ada"},
        {"of": ["https://other.example.com"]},
    ],
)
def test_an_address_that_nobody_vouches_for_links_nobody(world: LoginWorld, said: dict[str, Any]) -> None:
    """It is a new user then, as it would be without the option."""
    ada = User.objects.create_user("ada", "ada@example.com")
    assert linking(world, **said).json()["user"] != ada.pk
    assert User.objects.count() == 2


@pytest.mark.parametrize("taken", ["several", "staff", "superuser", "another", "half", "inactive"])
def test_a_user_who_may_not_be_linked_is_nobodys(world: LoginWorld, taken: str) -> None:
    """One of several with the address, staff, one of another identity: refused, and nobody is made beside them."""
    ada = User.objects.create_user("ada", "ada@example.com")
    changes = {
        "staff": {"is_staff": True},
        "superuser": {"is_superuser": True},
        "another": {"last_name": "https://id.example.com", "first_name": "bob"},
        "half": {"first_name": "bob"},
        "inactive": {"is_active": False},
    }
    if taken == "several":
        User.objects.create_user("other", "ADA@example.com")
    else:
        User.objects.filter(pk=ada.pk).update(**changes[taken])
    count = User.objects.count()
    assert linking(world).status_code == 403
    assert User.objects.count() == count


def test_of_two_logins_one_links(world: LoginWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process was faster between the look and the link: the user is the other's."""
    ada = User.objects.create_user("ada", "ada@example.com")
    looked = EmailLinking._is_taken

    def slow(self: EmailLinking, user: Any) -> bool:
        free = looked(self, user)
        User.objects.filter(pk=ada.pk).update(last_name="https://id.example.com", first_name="bob")
        return free

    monkeypatch.setattr(EmailLinking, "_is_taken", slow)
    assert linking(world).status_code == 403
    ada.refresh_from_db()
    assert ada.first_name == "bob"


@pytest.mark.parametrize(
    "options",
    [
        {"link_existing_users_by_verified_email_of": ["https://id.example.com"]},
        {**LINKING, "link_existing_users_by_verified_email_of": []},
        {**LINKING, "link_existing_users_by_verified_email_of": ""},
        {**LINKING, "link_existing_users_by_verified_email_of": [None]},
        {**LINKING, "link_existing_users_by_verified_email_of": ["google"]},
    ],
)
def test_a_link_needs_issuers_and_a_place(world: LoginWorld, options: dict[str, Any]) -> None:
    """Nobody is trusted by leaving a list empty, and a link has to be remembered."""
    with pytest.raises(ConfigurationException):
        LoginUsers(**options)


def test_staff_log_in_to_the_admin(world: LoginWorld) -> None:
    """Others are told no; where the login leads is a path of the site; the admin's logout is a logout."""
    browser = Client()
    assert log_in(world, "/admin/login?next=/open", browser)[1].status_code == 403
    world.provider.more["roles"] = ["administrator"]
    browser, _ = log_in(world, browser=Client())
    assert get(browser, "/admin/login?next=/open").headers["location"] == "/open"
    assert get(browser, "/admin/logout").headers["location"] == "/logout"
    assert post(browser, "/admin/logout", {}).headers["location"].startswith(world.provider.issuer)
    assert get(browser, "/account").status_code == 303


def test_a_user_who_is_not_active_is_nobody(world: LoginWorld) -> None:
    """From the next request on, and at the next login."""
    browser, _ = log_in(world)
    User.objects.update(is_active=False)
    assert get(browser, "/open").json()["user"] is None
    assert log_in(world, browser=Client())[1].status_code == 403


def test_a_name_that_somebody_took_is_not_theirs(world: LoginWorld) -> None:
    """A user with a password whose name is that of an identity keeps it, and the identity is refused."""
    log_in(world)
    user = User.objects.get()
    user.set_password("chosen")
    user.save()
    assert log_in(world, browser=Client())[1].status_code == 403


def test_a_session_in_a_cookie_lasts_longer_with_each_view(world: LoginWorld) -> None:
    """The headers of the session leave with whatever a view returns, also where only the middleware asked."""
    install(world, store=None, encryption_key=KEY, idle_lifetime=1000, on_login=LoginUsers())
    browser, _ = log_in(world)
    for where in ("/account", "/open"):
        world.clock.advance(600)
        assert "__Host-session" in get(browser, where).cookies


def test_a_store_that_is_away_is_503(world: LoginWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the view asks, and where it only looks."""
    browser, _ = log_in(world)
    monkeypatch.setattr(MemoryStore, "get", doors_away)
    assert [get(browser, where).status_code for where in ("/account", "/open")] == [503, 503]


def doors_away(*_: Any, **__: Any) -> Any:
    """Fail as a store does."""
    raise OSError("away")


def test_the_settings_name_a_login(world: LoginWorld) -> None:
    """Nothing, something else, and one that must be awaited are refused when the project starts."""
    MODULE.waiting = awaitable.WebLogin(
        awaitable.OAuthClient("https://id.example.com", client_id="app"), store=MemoryStore(), base_url=BASE
    )
    for wrong in ("", "nowhere.login", f"{MODULE.__name__}.waiting", f"{MODULE.__name__}.forbidden"):
        with override_settings(PY_IDENTITY_MODEL_LOGIN=wrong), pytest.raises(ConfigurationException):
            web_login()
    with pytest.raises(AttributeError):
        _ = django_login.nothing
    with pytest.raises(ConfigurationException):
        LoginUsers(claims={"password": "name"})
    with pytest.raises(ConfigurationException):
        LoginUsers(issuer_field="last_name")
