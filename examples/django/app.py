"""Orders, protected. OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com uvicorn app:asgi

Or under WSGI: gunicorn --preload --workers 2 app:wsgi
"""

from typing import ClassVar

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import include, path
from django.views import View

from py_identity_model import Requirement
from py_identity_model.integrations.django import ProtectMixin, protect

settings.configure(
    SECRET_KEY="for sessions, which this API has none of",
    ALLOWED_HOSTS=["api.example.com", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["py_identity_model.integrations.django"],
    MIDDLEWARE=[
        "py_identity_model.integrations.django.PrincipalMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    PY_IDENTITY_MODEL={},  # all of it is in the environment
)
asgi, wsgi = get_asgi_application(), get_wsgi_application()


def said(request):
    return JsonResponse({"subject": request.principal.subject if request.principal else None})


class Orders(ProtectMixin, View):
    requirement = Requirement(scopes=["orders.read"])
    requirements: ClassVar = {"POST": Requirement(scopes=["orders.write"])}

    def get(self, request):
        return said(request)

    def post(self, request):
        return said(request)


whoami = protect(optional=True)(said)


@protect(any_role=["auditor", "owner"])
def reports(request):
    return said(request)


@protect(scopes=["pay"], acr_values=["phr"], max_age=300)
async def payments(request):
    return said(request)


urlpatterns = [
    path("", include("py_identity_model.integrations.django")),
    path("orders", Orders.as_view()),
    path("whoami", whoami),
    path("reports", reports),
    path("payments", payments),
]
