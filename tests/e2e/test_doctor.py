"""The doctor at the real provider: over TLS with a CA of its own, with what the provider does to strangers."""

from __future__ import annotations

from e2e import driver
from py_identity_model import HTTPClient, examine


def test_the_doctor_knows_what_the_provider_is_and_offers(provider: driver.Provider) -> None:
    """Nothing of it fails; what is offered is seen, and what is tried at it leaves it well."""
    with HTTPClient(verify=str(provider.ca_file)) as http_client:
        found = examine(provider.mtls_issuer, active=True, http_client=http_client)
    print(found)
    assert found.kind == "provider"
    assert found.of("fail") == (), str(found)
    verdicts = {one.code: one.verdict for one in found.findings}
    assert {verdicts[code] for code in ("tls_version", "tls_certificate", "pkce", "issuer", "clock")} == {"pass"}


def test_a_ca_that_is_not_trusted_is_told_by_name(provider: driver.Provider) -> None:
    """Without the CA nothing is examined, and the certificate is named as the cause."""
    found = examine(provider.mtls_issuer)
    assert not found.answered
    assert "tls_failed" in found.causes
    assert {"certificate_chain", "certificate_self_signed"} & set(found.causes), str(found)
