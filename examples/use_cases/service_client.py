"""A service that calls an API: OIDC_ISSUER=https://id.example.com CLIENT_SECRET=... python service_client.py"""

import os

import httpx2

from py_identity_model import OAuthClient

client = OAuthClient(os.environ["OIDC_ISSUER"], client_id="orders-service", client_secret=os.environ["CLIENT_SECRET"])
with httpx2.Client(auth=client.auth(scope="inventory.read", resource="https://inventory.example.com")) as http:
    print(http.get("https://inventory.example.com/items").raise_for_status().json())
