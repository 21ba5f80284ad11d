"""Tests of a protected API, without a provider and without a token: pytest test_orders.py"""

from fastapi.testclient import TestClient
from protect_fastapi import app

from py_identity_model.testing import authenticated

client = TestClient(app)


def test_a_reader_sees_orders() -> None:
    with authenticated(app, subject="ada", scopes=["orders.read"]):
        assert client.get("/orders").json() == {"subject": "ada"}


def test_nobody_else_does() -> None:
    assert client.get("/orders").status_code == 401
    with authenticated(app, subject="ada", scopes=["invoices.read"]):
        assert client.get("/orders").status_code == 403
