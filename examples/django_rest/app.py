"""Orders, protected. OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com gunicorn app:app"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

settings.configure(
    SECRET_KEY="for sessions, which this API has none of",
    ALLOWED_HOSTS=["api.example.com", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "drf_spectacular",
        "py_identity_model.integrations.django",
    ],
    PY_IDENTITY_MODEL={},  # all of it is in the environment
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["py_identity_model.integrations.django_rest.TokenAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    },
)
app = get_wsgi_application()

from drf_spectacular.views import SpectacularAPIView  # noqa: E402 # these read the settings
from rest_framework.permissions import AllowAny  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from py_identity_model.integrations.django_rest import requires  # noqa: E402


class View(APIView):
    def get(self, request):
        return Response({"subject": request.auth.subject if request.auth else None})


class Orders(View):
    def get_permissions(self):
        writing = self.request is not None and self.request.method == "POST"
        return [requires(scopes=["orders.read", "orders.write"] if writing else ["orders.read"])()]

    post = View.get


class WhoAmI(View):
    permission_classes = (AllowAny,)


class Reports(View):
    permission_classes = (requires(any_role=["auditor", "owner"]),)


class Payments(APIView):
    permission_classes = (requires(scopes=["pay"], acr_values=["phr"], max_age=300),)
    post = View.get


urlpatterns = [
    path("", include("py_identity_model.integrations.django")),
    path("openapi", SpectacularAPIView.as_view()),
    path("orders", Orders.as_view()),
    path("whoami", WhoAmI.as_view()),
    path("reports", Reports.as_view()),
    path("payments", Payments.as_view()),
]
