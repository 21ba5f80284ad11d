"""Orders, protected by mozilla-django-oidc in REST framework: OIDC_ISSUER=... gunicorn mozilla_oidc:app"""

import base64
import json
import os
import time

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.wsgi import get_wsgi_application
from django.urls import path

ISSUER = os.environ["OIDC_ISSUER"]
settings.configure(
    SECRET_KEY="for sessions, which this API has none of",
    ALLOWED_HOSTS=["api.example.com", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    OIDC_OP_TOKEN_ENDPOINT=f"{ISSUER}/token",
    OIDC_OP_USER_ENDPOINT=f"{ISSUER}/userinfo",
    OIDC_RP_CLIENT_ID="api",
    OIDC_RP_CLIENT_SECRET="unused",
    OIDC_DRF_AUTH_BACKEND=f"{__name__}.Callers",
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["mozilla_django_oidc.contrib.drf.OIDCAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
app = get_wsgi_application()

from mozilla_django_oidc.auth import OIDCAuthenticationBackend  # noqa: E402 # these read the settings
from rest_framework.exceptions import NotAuthenticated, PermissionDenied  # noqa: E402
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Caller:
    is_authenticated = True

    def __init__(self, claims):
        self.claims = claims


class Callers(OIDCAuthenticationBackend):
    def get_or_create_user(self, access_token, id_token, payload):
        self.get_userinfo(access_token, id_token, payload)  # the provider tells whether it is valid
        body = access_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if claims["aud"] != os.environ["OIDC_AUDIENCE"]:
            raise SuspiciousOperation("for another")
        return Caller(claims)


def requires(*scopes):
    class Scopes(BasePermission):
        def has_permission(self, request, view):
            return set(scopes) <= set(request.user.claims.get("scope", "").split())

    return [IsAuthenticated, Scopes]


class View(APIView):
    def get(self, request):
        return Response({"subject": request.user.claims["sub"] if request.auth else None})


class Orders(View):
    def get_permissions(self):
        writing = self.request.method == "POST"
        return [one() for one in requires("orders.read", *(["orders.write"] if writing else []))]

    post = View.get


class WhoAmI(View):
    permission_classes = (AllowAny,)


class Reports(View):
    permission_classes = (IsAuthenticated,)

    def get(self, request):
        if not {"auditor", "owner"} & set(request.user.claims.get("roles", ())):
            raise PermissionDenied
        return super().get(request)


class Payments(APIView):
    permission_classes = requires("pay")

    def post(self, request):
        claims = request.user.claims
        if claims.get("acr") != "phr" or time.time() - claims.get("auth_time", 0) > 300:
            raise NotAuthenticated
        return Response({"subject": claims["sub"]})


urlpatterns = [
    path("orders", Orders.as_view()),
    path("whoami", WhoAmI.as_view()),
    path("reports", Reports.as_view()),
    path("payments", Payments.as_view()),
]
