"""An API: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com gunicorn protect_django_rest:app"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["api.example.com"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "py_identity_model.integrations.django",
    ],
    PY_IDENTITY_MODEL={},  # all of it is in the environment
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["py_identity_model.integrations.django_rest.TokenAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
app = get_wsgi_application()

from rest_framework.response import Response  # noqa: E402 # these read the settings
from rest_framework.views import APIView  # noqa: E402

from py_identity_model.integrations.django_rest import requires  # noqa: E402


class Orders(APIView):
    permission_classes = (requires(scopes=["orders.read"]),)

    def get(self, request):
        return Response({"subject": request.auth.subject})


urlpatterns = [path("orders", Orders.as_view())]
