"""Orders, protected by flask-jwt-extended: OIDC_ISSUER=... OIDC_AUDIENCE=... flask --app jwt_extended run"""

import os
import time
from functools import wraps

import requests
from flask import Flask, abort, make_response
from flask_jwt_extended import JWTManager, get_jwt, get_jwt_identity, jwt_required
from jwt import PyJWKClient
from jwt.exceptions import PyJWKClientError

ISSUER = os.environ["OIDC_ISSUER"]
app = Flask(__name__)
app.config.update(
    JWT_DECODE_ALGORITHMS=["RS256"],
    JWT_ALGORITHM="RS256",
    JWT_DECODE_ISSUER=ISSUER,
    JWT_DECODE_AUDIENCE=os.environ["OIDC_AUDIENCE"],
)
manager = JWTManager(app)
keys = None


def refused(status, error=""):
    return make_response("", status, {"WWW-Authenticate": f"Bearer {error}".strip()})


@manager.decode_key_loader
def key_of(header, payload):
    global keys
    if keys is None:
        metadata = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()
        keys = PyJWKClient(metadata["jwks_uri"])
    return keys.get_signing_key(header["kid"]).key


manager.unauthorized_loader(lambda reason: refused(401))
manager.invalid_token_loader(lambda reason: refused(401, 'error="invalid_token"'))
manager.expired_token_loader(lambda header, payload: refused(401, 'error="invalid_token"'))
app.register_error_handler(PyJWKClientError, lambda error: refused(401, 'error="invalid_token"'))


def protect(*scopes):
    def decorate(view):
        @wraps(view)
        @jwt_required()
        def call():
            if not set(scopes) <= set(get_jwt().get("scope", "").split()):
                abort(refused(403, f'error="insufficient_scope", scope="{" ".join(scopes)}"'))
            return view()

        return call

    return decorate


@app.get("/orders")
@protect("orders.read")
def orders():
    return {"subject": get_jwt_identity()}


@app.post("/orders")
@protect("orders.read", "orders.write")
def order():
    return {"subject": get_jwt_identity()}


@app.get("/whoami")
@jwt_required(optional=True)
def whoami():
    return {"subject": get_jwt_identity()}


@app.get("/reports")
@protect()
def reports():
    if not {"auditor", "owner"} & set(get_jwt().get("roles", ())):
        abort(refused(403, 'error="insufficient_scope"'))
    return {"subject": get_jwt_identity()}


@app.post("/payments")
@protect("pay")
def payments():
    if get_jwt().get("acr") != "phr" or time.time() - get_jwt().get("auth_time", 0) > 300:
        abort(refused(401, 'error="insufficient_user_authentication", acr_values="phr", max_age="300"'))
    return {"subject": get_jwt_identity()}
