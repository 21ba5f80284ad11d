"""Rules for the claims of workloads: what they let in, and the traps that they do not step into.

The claims are made up after what GitHub ("OpenID Connect reference", read 2026-11), GitLab ("ID token authentication",
payload of 18.9) and Kubernetes ("Managing service accounts", bound tokens) document; repositories, numbers and subjects
are invented.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from apis import ISSUER, Api
from py_identity_model import (
    AuthenticatedPrincipal,
    ClaimsValidationError,
    ConfigurationException,
    InsufficientScopeException,
    Requirement,
    SigningKey,
    WorkloadRule,
    combine_claims_validators,
    require_claims,
    require_github_job,
    require_gitlab_job,
    require_kubernetes_workload,
)
from py_identity_model._core.jose.jws import sign_compact

GITHUB: dict[str, Any] = {
    "jti": "example-id",
    "sub": "repo:acme/shop:ref:refs/heads/main",
    "aud": "https://api.example.com",
    "ref": "refs/heads/main",
    "sha": "7" * 40,
    "repository": "acme/shop",
    "repository_owner": "acme",
    "repository_owner_id": "65",
    "repository_id": "74",
    "repository_visibility": "private",
    "run_id": "9",
    "run_number": "10",
    "run_attempt": "2",
    "runner_environment": "github-hosted",
    "actor": "ada",
    "actor_id": "12",
    "workflow": "Deploy",
    "head_ref": "",
    "base_ref": "",
    "event_name": "push",
    "ref_type": "branch",
    "ref_protected": "true",
    "workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
    "job_workflow_ref": "acme/ci/.github/workflows/release.yml@refs/heads/main",
    "iss": "https://token.actions.githubusercontent.com",
}
GITLAB: dict[str, Any] = {
    "namespace_id": "72",
    "namespace_path": "acme",
    "project_id": "20",
    "project_path": "acme/shop",
    "user_login": "ada",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "runner_environment": "gitlab-hosted",
    "sha": "7" * 40,
    "project_visibility": "private",
    "ci_config_ref_uri": "gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main",
    "iss": "https://gitlab.com",
    "sub": "project_path:acme/shop:ref_type:branch:ref:main",
    "aud": "https://api.example.com",
}
CLUSTER = "https://oidc.eks.eu-west-1.amazonaws.com/id/C1"
KUBERNETES: dict[str, Any] = {
    "iss": CLUSTER,
    "sub": "system:serviceaccount:shop:orders",
    "aud": ["https://api.example.com"],
    "kubernetes.io": {
        "namespace": "shop",
        "node": {"name": "n1", "uid": "u-node"},
        "pod": {"name": "orders-7f", "uid": "u-pod"},
        "serviceaccount": {"name": "orders", "uid": "u-account"},
    },
}
REPOSITORY = {"repository": "acme/shop", "repository_id": "74"}
PROJECT = {"project_path": "acme/shop", "project_id": "20"}
WORKFLOW = "acme/ci/.github/workflows/release.yml@refs/heads/main"


def github(**more: Any) -> WorkloadRule:
    """Return a rule for the repository."""
    return require_github_job(**REPOSITORY, **more)


def gitlab(**more: Any) -> WorkloadRule:
    """Return a rule for the project."""
    return require_gitlab_job(**PROJECT, **more)


github_rule = github(ref="refs/heads/main")
gitlab_rule = gitlab(ref="refs/heads/main")
kubernetes_rule = require_kubernetes_workload(issuer=CLUSTER, namespace="shop", serviceaccount="orders")


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    """Return claims of which one is missing."""
    return {each: value for each, value in claims.items() if each != name}


def refusal(rule: WorkloadRule, claims: dict[str, Any]) -> ClaimsValidationError:
    """Return what a rule refuses claims with."""
    with pytest.raises(ClaimsValidationError) as error:
        rule(claims)
    return error.value


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        (github_rule, GITHUB),
        (require_github_job(repository_id="74", ref=["refs/heads/main", "refs/tags/v1"]), GITHUB),
        (
            require_github_job(repository_id=["74", "75"], environment="production"),
            {**GITHUB, "environment": "production"},
        ),
        (github(ref="refs/heads/main", workflow=WORKFLOW), GITHUB),
        (github(allow_any_ref=True), {**GITHUB, "ref": "refs/heads/anything"}),
        (
            require_github_job(repository="acme/shop", allow_repository_by_name_alone=True, ref="refs/heads/main"),
            GITHUB,
        ),
        (
            github(ref="refs/heads/main", events="workflow_run"),
            {**GITHUB, "event_name": "workflow_run"},
        ),
        (github(ref="refs/heads/main", runner_environment="github-hosted"), GITHUB),
        (
            github(ref="refs/heads/main", issuer="https://ghe.example.com/_services/token"),
            {**GITHUB, "iss": "https://ghe.example.com/_services/token"},
        ),
        # A subject of the new form, and one that the owner made up: the rule reads neither.
        (github_rule, {**GITHUB, "sub": "repo:acme@65/shop@74:ref:refs/heads/main"}),
        (github_rule, {**GITHUB, "sub": "whatever:they:like"}),
        (gitlab_rule, GITLAB),
        (gitlab_rule, without(GITLAB, "ref_path")),
        (
            gitlab(ref="refs/tags/v1"),
            {**GITLAB, "ref": "v1", "ref_type": "tag", "ref_path": "refs/tags/v1"},
        ),
        (
            require_gitlab_job(project_id="20", environment="production"),
            {**GITLAB, "environment": "production", "environment_protected": "true"},
        ),
        (
            gitlab(allow_any_ref=True, allow_unprotected_ref=True),
            {**GITLAB, "ref_protected": "false"},
        ),
        (require_gitlab_job(project_path="acme/shop", allow_project_by_name_alone=True, ref="refs/heads/main"), GITLAB),
        (gitlab(ref="refs/heads/main", sources=["web", "push"]), GITLAB),
        (
            gitlab(ref="refs/heads/main", issuer="https://git.example.com"),
            {**GITLAB, "iss": "https://git.example.com"},
        ),
        (kubernetes_rule, KUBERNETES),
        (kubernetes_rule, without(KUBERNETES, "kubernetes.io")),
        (
            require_kubernetes_workload(
                issuer=CLUSTER, namespace="shop", serviceaccount=["web", "orders"], serviceaccount_uid="u-account"
            ),
            KUBERNETES,
        ),
    ],
)
def test_what_is_meant_is_let_in(rule: WorkloadRule, claims: dict[str, Any]) -> None:
    """One line for each platform; of a request's principal it answers yes."""
    rule(dict(claims))
    assert rule(AuthenticatedPrincipal(claims)) is True


MERGE_REQUEST = {"pipeline_source": "merge_request_event", "ref_path": "refs/merge-requests/1/head"}


@pytest.mark.parametrize(
    ("rule", "claims", "claim"),
    [
        # ---- GitHub
        (github_rule, {**GITHUB, "event_name": "pull_request", "ref": "refs/pull/3/merge"}, "ref"),
        (github_rule, {**GITHUB, "event_name": "pull_request"}, "event_name"),
        # Set off by a stranger, it runs on the branch of the repository itself.
        (github_rule, {**GITHUB, "event_name": "pull_request_target"}, "event_name"),
        (github_rule, {**GITHUB, "event_name": "issue_comment"}, "event_name"),
        (github_rule, {**GITHUB, "event_name": "workflow_run"}, "event_name"),
        (github_rule, without(GITHUB, "event_name"), "event_name"),
        (github(allow_any_ref=True), {**GITHUB, "event_name": "pull_request"}, "event_name"),
        (github(ref="refs/heads/main", events="release"), GITHUB, "event_name"),
        (github_rule, {**GITHUB, "ref": "refs/tags/main", "ref_type": "tag"}, "ref"),
        (github_rule, {**GITHUB, "ref": "main"}, "ref"),
        (github_rule, {**GITHUB, "ref": "refs/heads/main2"}, "ref"),
        (github_rule, {**GITHUB, "ref": "refs/heads/MAIN"}, "ref"),
        (github_rule, without(GITHUB, "ref"), "ref"),
        # The name was given up, and somebody else made a repository of that name.
        (github_rule, {**GITHUB, "repository_id": "9999"}, "repository_id"),
        (github_rule, {**GITHUB, "repository": "acme/shop-renamed"}, "repository"),
        (github_rule, {**GITHUB, "repository": "evil/shop"}, "repository"),
        (github_rule, {**GITHUB, "repository": "acme/shopping"}, "repository"),
        (github_rule, without(GITHUB, "repository_id"), "repository_id"),
        (github_rule, {**GITHUB, "repository_id": 74}, "repository_id"),
        (github_rule, {**GITHUB, "repository_id": ["74", "9999"]}, "repository_id"),
        # A subject that says what the rule wants, of another repository.
        (github_rule, {**GITHUB, "repository": "evil/x", "repository_id": "1", "sub": GITHUB["sub"]}, "repository_id"),
        (github(environment="production"), GITHUB, "environment"),
        (
            github(environment="production"),
            {**GITHUB, "environment": "Production"},
            "environment",
        ),
        (github(environment="production"), {**GITHUB, "environment": None}, "environment"),
        # Whoever may call a public workflow has its job_workflow_ref.
        (
            github(ref="refs/heads/main", workflow=WORKFLOW),
            {**GITHUB, "repository": "evil/x", "repository_id": "1"},
            "repository_id",
        ),
        (
            github(ref="refs/heads/main", workflow=WORKFLOW),
            {**GITHUB, "job_workflow_ref": WORKFLOW.replace("main", "fix"), "workflow_ref": WORKFLOW},
            "job_workflow_ref",
        ),
        (
            github(ref="refs/heads/main", runner_environment="github-hosted"),
            {**GITHUB, "runner_environment": "self-hosted"},
            "runner_environment",
        ),
        # Another trusted issuer that lets its users choose claims.
        (github_rule, {**GITHUB, "iss": "https://id.example.com"}, "iss"),
        # ---- GitLab
        # A fork's branch is called main too.
        (gitlab_rule, {**GITLAB, **MERGE_REQUEST}, "pipeline_source"),
        (gitlab_rule, {**GITLAB, "ref_path": "refs/merge-requests/1/head"}, "ref"),
        (gitlab_rule, without(GITLAB, "pipeline_source"), "pipeline_source"),
        (gitlab(ref="refs/heads/main", sources="web"), GITLAB, "pipeline_source"),
        (gitlab_rule, {**GITLAB, "ref_type": "tag", "ref_path": "refs/tags/main"}, "ref"),
        (gitlab_rule, {**without(GITLAB, "ref_path"), "ref_type": "tag"}, "ref"),
        (gitlab_rule, without(GITLAB, "ref_type"), "ref"),
        (gitlab_rule, without(GITLAB, "ref"), "ref"),
        (gitlab_rule, {**GITLAB, "ref": "feature", "ref_path": "refs/heads/feature"}, "ref"),
        (gitlab_rule, {**GITLAB, "ref_protected": "false"}, "ref_protected"),
        (gitlab_rule, without(GITLAB, "ref_protected"), "ref_protected"),
        (gitlab(allow_any_ref=True), {**GITLAB, "ref_protected": "false"}, "ref_protected"),
        # A project of the same group, or whose path begins with it.
        (gitlab_rule, {**GITLAB, "project_path": "acme/other", "project_id": "21"}, "project_id"),
        (gitlab_rule, {**GITLAB, "project_path": "acme/shop/evil"}, "project_path"),
        (gitlab_rule, {**GITLAB, "project_id": "21"}, "project_id"),
        (gitlab(environment="production"), GITLAB, "environment"),
        # Any branch may name an environment that is not protected.
        (
            gitlab(environment="production"),
            {**GITLAB, "environment": "production", "environment_protected": "false"},
            "environment_protected",
        ),
        (gitlab_rule, {**GITLAB, "iss": "https://git.example.com"}, "iss"),
        # ---- Kubernetes
        (kubernetes_rule, {**KUBERNETES, "iss": CLUSTER.replace("C1", "C2")}, "iss"),
        (kubernetes_rule, {**KUBERNETES, "sub": "system:serviceaccount:shop:orders2"}, "sub"),
        (kubernetes_rule, {**KUBERNETES, "sub": "system:serviceaccount:shopping:orders"}, "sub"),
        (kubernetes_rule, {**KUBERNETES, "sub": "system:node:orders"}, "sub"),
        (kubernetes_rule, without(KUBERNETES, "sub"), "sub"),
        (kubernetes_rule, {**KUBERNETES, "kubernetes.io": {"namespace": "other"}}, "kubernetes.io"),
        (kubernetes_rule, {**KUBERNETES, "kubernetes.io": "shop"}, "kubernetes.io"),
        (
            kubernetes_rule,
            {**KUBERNETES, "kubernetes.io": {"namespace": "shop", "serviceaccount": 1}},
            "kubernetes.io",
        ),
        (
            require_kubernetes_workload(
                issuer=CLUSTER, namespace="shop", serviceaccount="orders", serviceaccount_uid="u-former"
            ),
            KUBERNETES,
            "uid",
        ),
        (
            require_kubernetes_workload(
                issuer=CLUSTER, namespace="shop", serviceaccount="orders", serviceaccount_uid="u-account"
            ),
            without(KUBERNETES, "kubernetes.io"),
            "kubernetes.io",
        ),
    ],
)
def test_a_trap_is_not_stepped_into(rule: WorkloadRule, claims: dict[str, Any], claim: str) -> None:
    """The refusal names the claim; who a request is from gets 403, as it is known who that is."""
    error = refusal(rule, claims)
    assert error.claim == claim
    with pytest.raises(InsufficientScopeException) as forbidden:
        rule(AuthenticatedPrincipal(claims))
    assert (forbidden.value.code, forbidden.value.claim) == (error.code, claim)
    assert forbidden.value.client_error.status == 403


def kubernetes(**given: Any) -> WorkloadRule:
    """Return a rule with something else."""
    return require_kubernetes_workload(**{"issuer": CLUSTER, "namespace": "shop", "serviceaccount": "orders", **given})


@pytest.mark.parametrize(
    ("make", "claim"),
    [
        (lambda: require_github_job(ref="refs/heads/main"), "repository"),
        (lambda: require_github_job(workflow=WORKFLOW, ref="refs/heads/main"), "repository"),
        (lambda: require_github_job(repository="acme/shop", ref="refs/heads/main"), "repository_id"),
        (lambda: github(), "ref"),
        (lambda: github(workflow=WORKFLOW), "ref"),
        (lambda: require_github_job(repository_id="*", ref="refs/heads/main"), "repository_id"),
        (lambda: require_github_job(repository="acme/*", repository_id="74", ref="refs/heads/main"), "repository"),
        (lambda: require_github_job(repository="acme", repository_id="74", ref="refs/heads/main"), "repository"),
        (lambda: github(ref="*"), "ref"),
        (lambda: github(ref="refs/heads/*"), "ref"),
        (lambda: github(ref="main"), "ref"),
        (lambda: github(ref="refs/heads/"), "ref"),
        (lambda: github(ref="refs/pull/3/merge"), "ref"),
        (lambda: github(ref=["refs/heads/main", ""]), "ref"),
        (lambda: github(ref=[]), "ref"),
        (lambda: github(environment=""), "environment"),
        (lambda: github(environment=" production"), "environment"),
        (lambda: github(ref="refs/heads/main", workflow="release.yml"), "workflow"),
        (lambda: github(ref="refs/heads/main", events="*"), "event_name"),
        (lambda: github(ref="refs/heads/main", issuer=""), "iss"),
        (lambda: require_github_job(repository_id=74, ref="refs/heads/main"), "repository_id"),  # type: ignore[arg-type]
        (lambda: require_gitlab_job(ref="refs/heads/main"), "project"),
        (lambda: require_gitlab_job(project_path="acme/shop", ref="refs/heads/main"), "project_id"),
        (lambda: require_gitlab_job(project_path="acme", project_id="20", ref="refs/heads/main"), "project_path"),
        (lambda: gitlab(), "ref"),
        (lambda: gitlab(ref="main"), "ref"),
        (lambda: gitlab(ref="refs/merge-requests/1/head"), "ref"),
        (lambda: require_gitlab_job(project_path="acme/*", project_id="20", ref="refs/heads/main"), "project_path"),
        (lambda: kubernetes(serviceaccount="*"), "serviceaccount"),
        (lambda: kubernetes(serviceaccount=[]), "serviceaccount"),
        (lambda: kubernetes(namespace="shop:orders"), "namespace"),
        (lambda: kubernetes(namespace=""), "namespace"),
        (lambda: kubernetes(namespace="*"), "namespace"),
        (lambda: kubernetes(issuer=""), "iss"),
        (lambda: kubernetes(serviceaccount_uid=""), "serviceaccount_uid"),
    ],
)
def test_a_rule_that_would_let_in_more_than_it_says_is_none(make: Callable[[], Any], claim: str) -> None:
    """Wildcards, names without a number, short refs, and neither ref nor environment are refused when it is made."""
    with pytest.raises(ConfigurationException) as error:
        make()
    assert error.value.claim == claim


@pytest.mark.parametrize("api", ["sync", "asyncio", "trio"])
def test_a_validator_and_a_gate_take_a_rule(api: str, clock: Any) -> None:
    """In one line, signature and all; rules of several platforms are combined like any others."""
    key = SigningKey.generate("ES256", kid="k1")
    door: Any = blocking if api == "sync" else awaitable
    rule = combine_claims_validators([github_rule, gitlab_rule], require="any")

    def judged(claims: dict[str, Any], rule: Any) -> Any:
        validator = door.TokenValidator(
            claims["iss"], "https://api.example.com", keys=key.public_jwk, kind="id_token", claims_validator=rule
        )
        said = {**claims, "iat": int(clock.wall), "exp": int(clock.wall) + 300}
        return Api(api).call(validator.validate, sign_compact(said, key))

    for claims in (GITHUB, GITLAB):
        assert judged(claims, rule)["sub"] == claims["sub"]
        with pytest.raises(ClaimsValidationError):
            judged({**claims, "ref": "refs/heads/other", "ref_path": "refs/heads/other"}, rule)
    assert judged(KUBERNETES, combine_claims_validators([kubernetes_rule, require_claims("sub")]))["iss"] == CLUSTER


def test_a_requirement_takes_a_rule() -> None:
    """As its check; what it shows of itself are the rule's own words."""
    assert Requirement(check=github_rule).alternatives[0].checks == (github_rule,)
    assert repr(github_rule) == (
        "require_github_job(iss=['https://token.actions.githubusercontent.com'], repository_id=['74'], "
        "repository=['acme/shop'], ref=['refs/heads/main'])"
    )
    assert ISSUER not in repr(github_rule)
