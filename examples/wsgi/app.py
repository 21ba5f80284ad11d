"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com gunicorn app:app"""

import json

from py_identity_model import ResourceServer
from py_identity_model.integrations.wsgi import ResourceServerMiddleware, principal_of

api = ResourceServer.from_env()


def subject(environ, start_response):
    user = principal_of(environ)
    start_response("200 OK", [("content-type", "application/json")])
    body = json.dumps({"subject": user.subject if user else None}).encode()
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def not_found(environ, start_response):
    start_response("404 Not Found", [("content-length", "0")])
    return []


reading = ResourceServerMiddleware(subject, api, scopes=["orders.read"])
writing = ResourceServerMiddleware(subject, api, scopes=["orders.read", "orders.write"])
ROUTES = {
    ("GET", "/orders"): reading,
    ("HEAD", "/orders"): reading,
    ("OPTIONS", "/orders"): reading,
    ("POST", "/orders"): writing,
    ("GET", "/whoami"): ResourceServerMiddleware(subject, api, optional=True),
    ("GET", "/reports"): ResourceServerMiddleware(subject, api, any_role=["auditor", "owner"]),
    ("POST", "/payments"): ResourceServerMiddleware(subject, api, scopes=["pay"], acr_values=["phr"], max_age=300),
}
# Every other path needs a token, but for metadata, health and readiness, which any of these answers.
others = ResourceServerMiddleware(not_found, api)


def app(environ, start_response):
    route = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]), others)
    return route(environ, start_response)
