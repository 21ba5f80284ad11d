"""The page of ``examples/bff``, served by Django."""

import secrets

from bff_shared import PAGE, PROXIED
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest
from django.urls import include, path

settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.csrf.CsrfViewMiddleware",
        "py_identity_model.integrations.django_login.LoginMiddleware",
    ],
    PY_IDENTITY_MODEL_LOGIN="bff_shared.login",
)
app = get_wsgi_application()

from py_identity_model.integrations.django_login import proxy  # noqa: E402 # it reads the settings


def page(request: HttpRequest, name: str = "index.html") -> FileResponse:
    """Serve the page."""
    return FileResponse((PAGE / name).open("rb"))


urlpatterns = [
    path("", include("py_identity_model.integrations.django_login")),
    proxy("/api", **PROXIED),
    path("", page),
    path("app.css", page, {"name": "app.css"}),
    path("app.js", page, {"name": "app.js"}),
]
