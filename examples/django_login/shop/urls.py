"""Pages: one for everybody, others for who is logged in, and the admin for staff."""

import os

from django.contrib import admin
from django.http import HttpResponse, JsonResponse
from django.template import engines
from django.urls import include, path
from django.views import View

from py_identity_model.integrations.django_login import RequireMixin, proxy, require
from py_identity_model.integrations.django_login_users import have_staff_log_in

HOME = """<!doctype html><html lang="en"><title>Orders</title><h1>Orders</h1>
{% if request.login_session %}<p>Hello {{ request.login_session.subject }}. <a href="/logout">Log out</a></p>
{% else %}<p><a href="/login?next=/account">Log in</a></p>{% endif %}</html>"""
ACCOUNT = """<!doctype html><html lang="en"><title>Account</title>
<h1>Account of {{ request.login_session.subject }}</h1>
<form method="post" action="/name"><label>Name <input name="name"></label>{% csrf_token %}<button>Save</button></form>
<a href="/logout">Log out</a></html>"""


def page(request, template):
    return HttpResponse(engines["django"].from_string(template).render({}, request))


def home(request):
    return page(request, HOME)


@require()
def account(request):
    return page(request, ACCOUNT)


class Name(RequireMixin, View):
    def post(self, request):
        return JsonResponse({"subject": request.login_session.subject, "name": request.POST["name"]})


@require(acr=["phr"], max_age=300)
def payments(request):
    return JsonResponse({"subject": request.login_session.subject})


@require()
def profile(request):
    return JsonResponse({"subject": request.login_session.userinfo().claims["sub"]})


have_staff_log_in(admin.site)
urlpatterns = [
    path("", include("py_identity_model.integrations.django_login")),
    proxy("/api", to=os.environ.get("API_URL", "https://api.example.com")),  # for scripts of pages
    path("", home),
    path("account", account),
    path("name", Name.as_view()),
    path("payments", payments),
    path("profile", profile),
    path("admin/", admin.site.urls),
]
