"""Orders, protected by Authlib in Django: OIDC_ISSUER=... OIDC_AUDIENCE=... gunicorn authlib_django:app"""

import os
import time

import requests
from authlib.integrations.django_oauth2 import ResourceProtector
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import path
from joserfc.jwk import KeySet

settings.configure(
    SECRET_KEY="for sessions, which this API has none of",
    ALLOWED_HOSTS=["api.example.com", "127.0.0.1"],
    ROOT_URLCONF=__name__,
)
app = get_wsgi_application()
ISSUER = os.environ["OIDC_ISSUER"]


class Tokens(JWTBearerTokenValidator):
    keys = None

    def get_jwks(self):
        if self.keys is None:
            metadata = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()
            self.keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
        return self.keys

    def authenticate_token(self, token_string):
        try:
            return super().authenticate_token(token_string)
        except InvalidTokenError:
            self.keys = None  # there may be new ones
            return super().authenticate_token(token_string)


protect = ResourceProtector()
protect.register_token_validator(Tokens(ISSUER, os.environ["OIDC_AUDIENCE"]))


def said(request):
    return JsonResponse({"subject": request.oauth_token["sub"] if request.oauth_token else None})


reading, writing, whoami = (
    protect("orders.read")(said),
    protect(["orders.read orders.write"])(said),
    protect(optional=True)(said),
)


def orders(request):
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    return (writing if request.method == "POST" else reading)(request)


@protect()
def reports(request):
    if not {"auditor", "owner"} & set(request.oauth_token.get("roles", ())):
        return HttpResponse("", status=403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    return said(request)


@protect("pay")
def payments(request):
    if request.oauth_token.get("acr") != "phr" or time.time() - request.oauth_token.get("auth_time", 0) > 300:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="phr", max_age="300"'
        return HttpResponse("", status=401, headers={"WWW-Authenticate": challenge})
    return said(request)


urlpatterns = [
    path("orders", orders),
    path("whoami", whoami),
    path("reports", reports),
    path("payments", payments),
]
