"""The embedded provider itself: documents, keys, tokens, forgeries, faults."""

from __future__ import annotations

import json
import threading

import anyio
import pytest

from py_identity_model._core.base.flow import Request
from py_identity_model._core.jose.algorithms import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS, KeyRefused
from py_identity_model._core.jose.jws import half_hash, parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model.exceptions import ConfigurationException, TransportException
from py_identity_model.sync._validation import TokenValidator
from py_identity_model.testing import FAULTS, FORGERIES, TOKENS, EmbeddedProvider, Fault, transport_of
from py_identity_model.testing._keys import pooled_key

NOW = 1_700_000_000.75


def provider_of(**options):
    return EmbeddedProvider(**{"algorithms": ["ES256"], "clock": lambda: NOW, **options})


def fetch(provider, endpoint, **options):
    return provider.handle(Request("GET", provider.url(endpoint), **options))


def read(reply):
    return json.loads(reply.body)


def verifies(provider, token):
    jws = parse_compact(token)
    for jwk in provider.key_set()["keys"]:
        if jwk["kid"] == jws.header["kid"]:
            return prepare(import_key(jwk), jws.header["alg"]).verify(jws.signing_input, jws.signature)
    return None


# ---- documents


@pytest.mark.parametrize(
    ("issuer", "paths"),
    [
        (
            "https://id.example.com",
            ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
        ),
        ("https://id.example.com/", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]),
        (
            "https://id.example.com/tenant/7",
            [
                "/tenant/7/.well-known/openid-configuration",
                "/.well-known/openid-configuration/tenant/7",
                "/.well-known/oauth-authorization-server/tenant/7",
            ],
        ),
    ],
)
def test_metadata_is_served_wherever_the_specifications_look_for_it(issuer, paths):
    """Metadata is found at the appended and at the inserted well-known paths, with the issuer to the letter."""
    provider = provider_of(issuer=issuer)
    for path in paths:
        document = read(provider.handle(Request("GET", f"https://id.example.com{path}")))
        assert document["issuer"] == issuer
        assert document["jwks_uri"] == issuer.rstrip("/") + "/jwks"
        assert document["id_token_signing_alg_values_supported"] == ["ES256"]


def test_every_address_in_the_metadata_answers():
    """No endpoint of the metadata leads nowhere."""
    provider = provider_of()
    for name, url in provider.configuration().items():
        if name.endswith(("_endpoint", "_uri")):
            assert provider.handle(Request("GET", url)).status != 404, name
    assert provider.count("nowhere") == 0


def test_metadata_can_be_changed_and_thinned():
    """Members given by the test replace or remove the provider's own."""
    provider = provider_of(metadata={"extra": 1, "userinfo_endpoint": None}, jwks_path="/keys/all.json")
    document = provider.configuration()
    assert document["extra"] == 1
    assert "userinfo_endpoint" not in document
    assert document["jwks_uri"] == "https://id.example.com/keys/all.json"
    assert fetch(provider, "jwks").status == 200


def test_documents_carry_caching_headers_and_answer_304():
    """Who shows the current ETag gets 304 without a body, until the keys change."""
    provider = provider_of(cache_control="max-age=60")
    first = fetch(provider, "jwks")
    assert first.header("cache-control") == "max-age=60"
    again = fetch(provider, "jwks", headers=(("If-None-Match", f'"other", W/{first.header("etag")}'),))
    assert (again.status, again.body, again.header("etag")) == (304, b"", first.header("etag"))
    provider.rotate()
    assert fetch(provider, "jwks", headers=(("If-None-Match", first.header("etag")),)).status == 200
    assert provider_of(cache_control=None).handle(Request("GET", provider.url("jwks"))).header("cache-control") is None


def test_documents_are_only_read():
    """A POST to a document is refused with the methods that are allowed."""
    provider = provider_of()
    reply = provider.handle(Request("POST", provider.url("jwks")))
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")


def test_requests_are_counted_by_endpoint():
    """Counters tell endpoints, unknown paths and other hosts apart; forgetting sets them to zero."""
    provider = provider_of()
    fetch(provider, "jwks")
    fetch(provider, "jwks")
    assert provider.handle(Request("GET", "https://id.example.com/favicon.ico")).status == 404
    with pytest.raises(TransportException):
        provider.handle(Request("GET", "https://evil.example.com/jwks"))
    counts = {name: provider.count(name) for name in ("jwks", "discovery", "nowhere", "elsewhere")}
    assert counts == {"jwks": 2, "discovery": 0, "nowhere": 1, "elsewhere": 1}
    assert provider.count() == 4
    assert [each.endpoint for each in provider.requests] == ["jwks", "jwks", "nowhere", "elsewhere"]
    provider.forget_requests()
    assert (provider.count(), provider.requests) == (0, ())


def test_counting_holds_under_threads():
    """No request is lost when many threads ask at once, and only one key is made."""
    provider = EmbeddedProvider("https://threads.example.com", algorithms=["ES384"])
    threads = [threading.Thread(target=fetch, args=(provider, "jwks")) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.count("jwks") == 50
    assert len(provider.key_set()["keys"]) == 1


@pytest.mark.parametrize(
    ("code", "mistake"),
    [
        ("url_invalid", lambda: EmbeddedProvider("id.example.com")),
        ("policy_invalid", lambda: EmbeddedProvider(algorithms=[])),
        ("policy_invalid", lambda: EmbeddedProvider(algorithms="RS256")),
        ("alg_unsupported", lambda: provider_of().mint(alg="XS256")),
        ("kind_unknown", lambda: provider_of().mint("refresh_token")),
        ("forgery_unknown", lambda: provider_of().forge("magic")),
        ("fault_unknown", lambda: provider_of().play("magic")),
        ("fault_unknown", lambda: provider_of().play("slow", minutes=1)),
        ("endpoint_unknown", lambda: provider_of().play("slow", on="jwk")),
        ("endpoint_unknown", lambda: provider_of().count("jwk")),
        ("endpoint_unknown", lambda: provider_of().url("jwk")),
        ("key_unknown", lambda: provider_of().remove_key("nobody")),
        ("user_code_unknown", lambda: provider_of().approve_device("BCDF")),
        ("user_code_unknown", lambda: provider_of().deny_device("BCDF")),
    ],
)
def test_mistakes_of_the_test_author_are_named(code, mistake):
    """A misspelled name is a configuration error with a code, never silently nothing."""
    with pytest.raises(ConfigurationException) as refusal:
        mistake()
    assert refusal.value.code == code


# ---- keys


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_every_algorithm_signs(alg):
    """Each asymmetric algorithm has a published key that verifies the provider's tokens."""
    provider = provider_of()
    token = provider.mint(alg=alg)
    assert parse_compact(token).header["alg"] == alg
    assert verifies(provider, token)


@pytest.mark.parametrize("alg", SYMMETRIC_ALGORITHMS)
def test_symmetric_algorithms_sign_with_the_client_secret(alg):
    """HS* tokens verify under the client's secret, which no key set shows."""
    provider = provider_of()
    jws = parse_compact(provider.mint("id_token", alg=alg))
    signature = SigningKey.from_secret(provider.client_secret, alg).sign(jws.signing_input)
    assert jws.signature == signature
    assert [key["kty"] for key in provider.key_set()["keys"]] == ["EC"]


def test_keys_live_as_long_as_the_process_but_are_shared_by_no_two_issuers():
    """The same issuer gets the same key again; another issuer's key of the same name is another key."""
    one, again, other = provider_of(), provider_of(), provider_of(issuer="https://other.example.com")
    assert one.signing_key() is again.signing_key()
    assert one.signing_key().kid == other.signing_key().kid
    assert not verifies(other, one.mint())
    with pytest.raises(ConfigurationException):
        pooled_key("anyone", "HS256", 1)


def test_rotation_keeps_or_drops_the_previous_keys():
    """After a rotation the new key signs; old tokens verify only if the old key was kept."""
    provider = provider_of()
    old = provider.mint()
    provider.rotate()
    assert verifies(provider, old)
    assert verifies(provider, provider.mint())
    provider.rotate(keep_previous=False)
    assert verifies(provider, old) is None
    assert [key["kid"] for key in provider.key_set()["keys"]] == ["es256-3"]


def test_rotation_of_one_algorithm_leaves_the_others():
    """Only the algorithm that is named gets a new key."""
    provider = provider_of(algorithms=["ES256", "Ed25519"])
    provider.rotate("Ed25519", keep_previous=False)
    assert [key["kid"] for key in provider.key_set()["keys"]] == ["es256-1", "ed25519-2"]


def test_a_key_can_sign_before_it_is_published():
    """A key held back signs at once and shows in the key set after publish()."""
    provider = provider_of()
    provider.rotate(publish=False)
    token = provider.mint()
    assert verifies(provider, token) is None
    provider.publish()
    assert verifies(provider, token)


def test_a_removed_key_is_gone_and_an_older_one_signs():
    """After remove_key the previous key signs again."""
    provider = provider_of()
    provider.rotate()
    provider.remove_key("es256-2")
    assert provider.signing_key().kid == "es256-1"
    assert [key["kid"] for key in provider.key_set()["keys"]] == ["es256-1"]


def test_keys_of_ones_own_can_be_added_and_described_at_will():
    """An added key signs, under another name if wanted, and its published members can be changed or removed."""
    provider = provider_of()
    own = SigningKey.generate("ES256", kid="mine")
    provider.add_key(own, kid="renamed", jwk={"alg": None, "use": None, "x5t": "abc"})
    shown = provider.key_set()["keys"][-1]
    assert (shown["kid"], shown["x5t"]) == ("renamed", "abc")
    assert not {"alg", "use", "d"} & set(shown)
    assert verifies(provider, provider.mint())
    assert parse_compact(provider.mint()).header["kid"] == "renamed"


# ---- tokens


def test_access_tokens_are_complete_and_on_the_provider_s_clock():
    """An access token has everything RFC 9068 2.2 asks for."""
    provider = provider_of(audience="api", subject="ada", client_id="web")
    token = provider.mint(expires_in=60, roles=["admin"], scope=None)
    claims = provider.claims_of(token)
    assert claims.pop("jti")
    assert claims == {
        "iss": "https://id.example.com",
        "aud": "api",
        "sub": "ada",
        "client_id": "web",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "roles": ["admin"],
    }
    assert parse_compact(token).header == {"alg": "ES256", "typ": "at+jwt", "kid": "es256-1"}


def test_headers_can_be_changed_and_removed():
    """Header parameters given by the test win; None removes one."""
    header = parse_compact(provider_of().mint(headers={"kid": None, "typ": "JWT", "x": 1})).header
    assert header == {"alg": "ES256", "typ": "JWT", "x": 1}


@pytest.mark.parametrize("kind", TOKENS)
def test_every_kind_has_its_typ_and_its_audience(kind):
    """Tokens for clients are addressed to the client, tokens for APIs to the API."""
    provider = provider_of()
    token = provider.mint(kind)
    claims, header = provider.claims_of(token), parse_compact(token).header
    assert claims["aud"] == (provider.client_id if TOKENS[kind].for_client else provider.audience)
    assert header["typ"] == TOKENS[kind].typ
    assert claims["iss"] == provider.issuer


def test_id_tokens_hash_what_they_are_issued_with():
    """Access token, code and state become the three half hashes."""
    provider = provider_of()
    claims = provider.claims_of(provider.mint("id_token", access_token="at", code="c", state="s", nonce="n"))
    hashes = {"at_hash": "at", "c_hash": "c", "s_hash": "s"}
    assert {name: claims[name] for name in hashes} == {n: half_hash("ES256", v) for n, v in hashes.items()}
    assert claims["nonce"] == "n"
    assert not {"access_token", "code", "state"} & set(claims)


def test_the_clock_of_an_id_token_is_the_time_of_the_login():
    """auth_time is there unless the test says otherwise."""
    provider = provider_of()
    assert provider.claims_of(provider.mint("id_token"))["auth_time"] == int(NOW)
    assert "auth_time" not in provider.claims_of(provider.mint("id_token", auth_time=None))


# ---- forgeries


@pytest.fixture(scope="module", params=["ES256", "RS256", "Ed25519"])
def forger(request):
    """A provider whose keys are made once for all its forgeries."""
    return EmbeddedProvider(
        f"https://{request.param}.example.com", algorithms=[*dict.fromkeys((request.param, "ES256"))]
    )


@pytest.mark.parametrize("name", FORGERIES)
def test_every_forgery_is_refused_as_its_row_says(name, forger):
    """A validator accepts the good token and refuses each forgery with the exception and code of its row."""
    provider, row = forger, FORGERIES[name]
    with TokenValidator(provider.issuer, audience=provider.audience, http_client=provider.transport) as validator:
        validator.validate(provider.mint())
        with pytest.raises(row.refused_with) as refusal:
            validator.validate(provider.forge(name))
    assert (type(refusal.value), refusal.value.code) == (row.refused_with, row.code)
    assert provider.count("elsewhere") == 0


def test_forgeries_start_from_the_token_that_is_asked_for():
    """Options of the good token reach the forgery."""
    provider = provider_of()
    assert provider.claims_of(provider.forge("alg_none", subject="ada", scope="write"))["scope"] == "write"


# ---- faults


def test_a_fault_lasts_as_long_as_its_block():
    """Inside the block the provider fails, behind it all is well."""
    provider = provider_of()
    with provider.fault("outage") as playing:
        with pytest.raises(TransportException) as failure:
            fetch(provider, "jwks")
        assert failure.value.code == "connect_failed"
    assert fetch(provider, "jwks").status == 200
    assert playing.hits == 1


def test_a_fault_can_be_played_a_number_of_times():
    """After so many requests the provider recovers by itself."""
    provider = provider_of()
    playing = provider.play(500, times=2)
    assert [fetch(provider, "jwks").status for _ in range(3)] == [500, 500, 200]
    assert playing.hits == 2


def test_faults_end_with_recover():
    """recover() stops every fault, also those without an end."""
    provider = provider_of()
    provider.play("503", times=None)
    assert fetch(provider, "jwks").status == 503
    provider.recover()
    assert fetch(provider, "jwks").status == 200


def test_a_fault_concerns_one_endpoint_if_asked():
    """Only the endpoint that is named misbehaves."""
    provider = provider_of()
    with provider.fault("404", on="jwks"):
        assert (fetch(provider, "jwks").status, fetch(provider, "discovery").status) == (404, 200)


def test_faults_combine():
    """Two faults at once both strike."""
    provider = provider_of()
    with provider.fault("unusable_key"), provider.fault("wrong_content_type", content_type="text/plain"):
        reply = fetch(provider, "jwks")
    assert reply.header("content-type") == "text/plain"
    assert len(read(reply)["keys"]) == 5


def test_a_fault_can_be_made_by_hand():
    """Any function from Answer to Answer is a fault."""
    provider = provider_of()
    with provider.fault(Fault("late", lambda answer: answer, frozenset({"jwks"}))) as playing:
        fetch(provider, "jwks")
        fetch(provider, "discovery")
    assert playing.hits == 1


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("outage", {}, "connect_failed"),
        ("truncated", {}, "protocol_error"),
        ("huge", {}, "response_too_large"),
        ("gzip_bomb", {"size": 1000}, "encoding_refused"),
    ],
)
def test_faults_of_the_wire_are_transport_errors_in_process(name, options, code):
    """What would be no usable reply on a socket is none in the process either."""
    provider = provider_of()
    with provider.fault(name, **options), pytest.raises(TransportException) as failure:
        fetch(provider, "jwks")
    assert failure.value.code == code


@pytest.mark.parametrize(
    ("name", "options", "holds"),
    [
        ("400", {}, lambda r: r.status == 400),
        ("404", {}, lambda r: r.status == 404),
        ("429", {"retry_after": 3}, lambda r: (r.status, r.header("retry-after")) == (429, "3")),
        ("500", {}, lambda r: (r.status, r.header("retry-after")) == (500, None)),
        ("503", {}, lambda r: (r.status, r.header("retry-after")) == (503, "1")),
        ("html", {}, lambda r: r.status == 200 and r.header("content-type") == "text/html"),
        ("wrong_content_type", {}, lambda r: r.header("content-type") == "application/octet-stream"),
        ("invalid_json", {}, lambda r: r.body.startswith(b"{") and r.body.endswith(b",")),
        ("empty_body", {}, lambda r: (r.status, r.body) == (200, b"")),
        ("duplicate_members", {}, lambda r: r.body.count(b'"keys": [') == 2 and read(r)["keys"]),
        ("redirect", {}, lambda r: (r.status, r.header("location")) == (302, "https://elsewhere.example.com/")),
        ("empty_key_set", {}, lambda r: read(r) == {"keys": []}),
        ("symmetric_key", {}, lambda r: [k["kty"] for k in read(r)["keys"]] == ["oct", "EC"]),
        ("private_key_members", {}, lambda r: ["d" in k for k in read(r)["keys"]] == [True, False]),
        ("unusable_key", {}, lambda r: len(read(r)["keys"]) == 5),
        ("all_keys_unusable", {}, lambda r: len(read(r)["keys"]) == 4),
        ("slow", {"seconds": 0.001}, lambda r: r.status == 200),
        ("drip", {"seconds": 0.001}, lambda r: r.status == 200),
        ("wrong_issuer", {}, lambda r: "issuer" not in read(r)),
    ],
)
def test_every_other_fault_is_a_reply(name, options, holds):
    """Each fault shows in the reply of the key set as its row says, and JSON without an object is left alone."""
    provider = provider_of()
    with provider.fault(name, **options):
        assert holds(fetch(provider, "jwks"))
        provider.handle(Request("GET", "https://id.example.com/nothing"))


def test_every_fault_has_a_test():
    """The two tables above name every fault there is."""
    marks = [
        mark
        for test in (
            test_faults_of_the_wire_are_transport_errors_in_process,
            test_every_other_fault_is_a_reply,
        )
        for mark in test.pytestmark
    ]
    assert {row[0] for mark in marks for row in mark.args[1]} == set(FAULTS)


def test_the_wrong_issuer_is_one_of_metadata():
    """Metadata names another issuer, key sets do not change."""
    provider = provider_of()
    with provider.fault("wrong_issuer", issuer="https://x.example.com"):
        assert read(fetch(provider, "discovery"))["issuer"] == "https://x.example.com"


def test_no_unusable_key_can_be_used():
    """Every key of the poisoned sets is one that import refuses."""
    provider = provider_of()
    with provider.fault("all_keys_unusable"):
        keys = read(fetch(provider, "jwks"))["keys"]
    for key in keys:
        with pytest.raises(KeyRefused):
            import_key(key)


# ---- transports without a network


def test_delays_are_real_in_a_transport():
    """Latency and slowness pass before the reply; handle() itself never waits."""
    provider = provider_of(latency=0.01)
    answer = provider.answer(Request("GET", provider.url("jwks")))
    assert answer.delay == 0.01
    with provider.fault("slow", seconds=0.02), provider.fault("drip", seconds=0.02):
        answer = provider.answer(Request("GET", provider.url("jwks")))
        assert answer.delay == pytest.approx(0.03)
        assert provider.transport(Request("GET", provider.url("jwks"))).status == 200


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_transport_waits_without_blocking(backend):
    """async_transport answers on both kinds of event loop."""
    provider = provider_of(latency=0.001)
    reply = anyio.run(provider.async_transport, Request("GET", provider.url("jwks")), backend=backend)
    assert (reply.status, reply.url) == (200, provider.url("jwks"))


def test_several_providers_share_one_transport():
    """Each issuer's host reaches its own provider; any other host is nowhere."""
    one, two = provider_of(issuer="https://one.example.com"), provider_of(issuer="https://two.example.com")
    transport = transport_of(one, two)
    assert read(transport(Request("GET", two.url("discovery"))))["issuer"] == two.issuer
    with pytest.raises(TransportException) as failure:
        transport(Request("GET", "https://three.example.com/"))
    assert failure.value.code == "dns_failed"
    assert (one.count(), two.count()) == (0, 1)
