"""A pod that calls an API without a secret, by the token that Kubernetes mounts: python workload_identity.py"""

import os

import httpx2

from py_identity_model import KubernetesToken, OAuthClient

issuer = os.environ["OIDC_ISSUER"]
mounted = KubernetesToken("/var/run/secrets/provider/token", audience=issuer)
client = OAuthClient(issuer, client_id="orders-service", client_assertion=mounted)
with httpx2.Client(auth=client.auth(scope="inventory.read", resource="https://inventory.example.com")) as http:
    print(http.get("https://inventory.example.com/items").raise_for_status().json())
