"""Orders, protected by Authlib: OIDC_ISSUER=... OIDC_AUDIENCE=... flask --app authlib_flask run"""

import os
import time

import requests
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from flask import Flask, abort, make_response
from joserfc.jwk import KeySet

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


app = Flask(__name__)
protect = ResourceProtector()
protect.register_token_validator(Tokens(ISSUER, os.environ["OIDC_AUDIENCE"]))


@app.get("/orders")
@protect("orders.read")
def orders():
    return {"subject": current_token["sub"]}


@app.post("/orders")
@protect(["orders.read orders.write"])
def order():
    return {"subject": current_token["sub"]}


@app.get("/whoami")
@protect(optional=True)
def whoami():
    return {"subject": current_token["sub"] if current_token else None}


@app.get("/reports")
@protect()
def reports():
    if not {"auditor", "owner"} & set(current_token.get("roles", ())):
        abort(make_response("", 403, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}))
    return {"subject": current_token["sub"]}


@app.post("/payments")
@protect("pay")
def payments():
    if current_token.get("acr") != "phr" or time.time() - current_token.get("auth_time", 0) > 300:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="phr", max_age="300"'
        abort(make_response("", 401, {"WWW-Authenticate": challenge}))
    return {"subject": current_token["sub"]}
