"""Whose workload a token is of: rules for the claims of GitHub, GitLab and Kubernetes, without the traps.

None of them reads ``sub`` of GitHub and GitLab, whose form their users may choose; each claim is compared as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, overload

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import must_be
from ...exceptions import ClaimsValidationError, InsufficientScopeException, printable

#: One value, or several any of which will do.
OneOf: TypeAlias = "str | Iterable[str]"

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
GITLAB_ISSUER = "https://gitlab.com"
#: What people without any right in a repository can set off, with the code or on the branch of the repository.
GITHUB_BY_STRANGERS = frozenset(
    {"pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment"}
    | {"pull_request_comment", "issues", "issue_comment", "commit_comment", "discussion", "discussion_comment"}
    | {"fork", "watch", "gollum", "status", "workflow_run", "check_run", "check_suite"}
)
GITLAB_BY_STRANGERS = frozenset({"merge_request_event", "external_pull_request_event"})
_REF = re.compile(r"refs/(heads|tags)/(.+)\Z", re.DOTALL)
#: RFC 1123: what namespaces and service accounts are called.
_DNS = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


class HasClaims(Protocol):
    """Who a request is from: an :class:`AuthenticatedPrincipal`."""

    @property
    def claims(self) -> Mapping[str, Any]:
        """The validated claims."""
        ...


class _Demand(NamedTuple):
    claim: str
    values: frozenset[str]


_Check: TypeAlias = Callable[[Mapping[str, Any]], None]


class WorkloadRule:
    """Whose workload a token has to be of. It is a ``claims_validator``, and a ``check`` of a :class:`Requirement`."""

    __slots__ = ("_checks", "_demands", "_name")

    @checks_arguments
    def __init__(
        self,
        name: str,
        demands: Iterable[tuple[str, frozenset[str]]],
        checks: Iterable[Callable[[Mapping[str, Any]], None]] = (),
    ) -> None:
        self._name = name
        self._demands = tuple(demands)
        self._checks = tuple(checks)

    @overload
    def __call__(self, claims: dict[str, Any], /) -> None: ...

    @overload
    def __call__(self, claims: HasClaims, /) -> bool: ...

    def __call__(self, claims: dict[str, Any] | HasClaims, /) -> bool | None:
        """Accept the claims of a token, or who a request is from.

        Raises:
            ClaimsValidationError: The token is of another workload.
            InsufficientScopeException: The same of who a request is from: it is known, and may not do this.
        """
        if isinstance(claims, dict):
            self._judge(claims)
            return None
        try:
            self._judge(claims.claims)
        except ClaimsValidationError as error:
            facts = {name: getattr(error, name) for name in ("code", "claim", "expected", "actual", "hint")}
            raise InsufficientScopeException(error.reason, **facts) from None
        return True

    def _judge(self, claims: Mapping[str, Any]) -> None:
        for claim, values in self._demands:
            if not isinstance(claims.get(claim), str) or claims[claim] not in values:
                raise mismatch(claims, claim, values)
        for check in self._checks:
            check(claims)

    def __repr__(self) -> str:
        said = (f"{claim}={sorted(values)}" for claim, values in self._demands)
        return f"{self._name}({', '.join(said)})"


def mismatch(
    claims: Mapping[str, Any], claim: str, expected: Iterable[str], *, code: str = "workload_mismatch", **facts: Any
) -> ClaimsValidationError:
    """Return the refusal for a claim that says something else."""
    return ClaimsValidationError(
        f"The token is of another workload: {claim}",
        claim=claim,
        code=code,
        **facts,
        expected=[printable(value) for value in sorted(expected)],
        actual=printable(claims[claim]) if claim in claims else "absent",
    )


def exactly(name: str, value: object) -> frozenset[str]:
    """Return the values that are accepted: whole ones, as nothing here is a pattern.

    Raises:
        ConfigurationException: There is none, or one is no text or a pattern.
    """
    given: list[Any] = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [None]
    for one in given:
        if not isinstance(one, str) or not one or one != one.strip() or any(sign in one for sign in "*?"):
            raise must_be(name, "whole values: text without wildcards", one if isinstance(one, str) else None)
    if not given:
        raise must_be(name, "one value at least")
    return frozenset(given)


def demanded(**values: object) -> list[_Demand]:
    """Return a demand for each value that is not None, by the name of its claim."""
    return [_Demand(claim, exactly(claim, value)) for claim, value in values.items() if value is not None]


def full_refs(ref: OneOf) -> frozenset[str]:
    """Return refs by their full names, so that a branch is never taken for a tag of the same name.

    Raises:
        ConfigurationException: One is short, or of a pull or merge request.
    """
    refs = exactly("ref", ref)
    for one in refs:
        if not _REF.match(one):
            raise must_be("ref", "the full name of a branch or tag: refs/heads/main, refs/tags/v1", one)
    return refs


def allowed_events(claim: str, allowed: OneOf | None, by_strangers: frozenset[str]) -> _Check:
    """Return the check of what set a job off: what is allowed by name, or all that strangers cannot set off."""
    names = None if allowed is None else exactly(claim, allowed)

    def check(claims: Mapping[str, Any]) -> None:
        event = claims.get(claim)
        if not isinstance(event, str) or (event in by_strangers if names is None else event not in names):
            hint = "strangers can set this off; name it in the rule if that is meant"
            raise mismatch(claims, claim, names or {"set off from within"}, code="workload_event_refused", hint=hint)

    return check


def _by_id(name: str, by_name: object, by_id: object, *, allow: bool, hint: str) -> None:
    if by_id is None and by_name is None:
        raise must_be(name, "given, by its id or its name")
    if by_id is None and not allow:
        # A name that was given up, or renamed, can be taken by somebody else, whose tokens then carry it.
        raise must_be(f"{name}_id", "given beside the name, which can be taken over by somebody else", hint=hint)


# ---------------------------------------------------------------------------------------------------------------------
# The three platforms


@explains_arguments
def require_github_job(
    *,
    repository_id: OneOf | None = None,
    repository: OneOf | None = None,
    ref: OneOf | None = None,
    environment: OneOf | None = None,
    workflow: OneOf | None = None,
    events: OneOf | None = None,
    runner_environment: OneOf | None = None,
    issuer: str = GITHUB_ISSUER,
    allow_any_ref: bool = False,
    allow_repository_by_name_alone: bool = False,
) -> WorkloadRule:
    """Require that a token is of a certain job in GitHub Actions.

    Args:
        repository_id: The number of the repository, which stays when it is renamed.
        repository: Its name, ``owner/name``.
        ref: The branch or tag, by its full name: ``refs/heads/main``.
        environment: The environment that the job runs in.
        workflow: The file of the workflow that the job is defined in, and its ref (``job_workflow_ref``):
            ``acme/ci/.github/workflows/deploy.yml@refs/heads/main``. It may be another repository's, so it does not
            say whose job it is.
        events: What may have set the job off; by default all but what strangers can: pull requests, comments, and
            whatever follows from those.
        runner_environment: ``github-hosted`` or ``self-hosted``.
        issuer: The issuer; an enterprise server has its own.
        allow_any_ref: Whether any branch, tag and environment will do.
        allow_repository_by_name_alone: Whether the name is enough, although it can be taken over.

    Raises:
        ConfigurationException: The rule would let in more than it says: no repository, a name alone, neither ref nor
            environment, a wildcard, a short ref.

    >>> rule = require_github_job(repository="acme/shop", repository_id="74", ref="refs/heads/main")
    >>> job = {"iss": "https://token.actions.githubusercontent.com", "repository": "acme/shop", "repository_id": "74"}
    >>> rule({**job, "ref": "refs/heads/main", "event_name": "push"})
    """
    hint = "gh api repos/OWNER/NAME --jq .id"
    _by_id("repository", repository, repository_id, allow=allow_repository_by_name_alone, hint=hint)
    for name in () if repository is None else exactly("repository", repository):
        if name.count("/") != 1:
            raise must_be("repository", "owner/name", name)
    for name in () if workflow is None else exactly("workflow", workflow):
        if "@" not in name or "/.github/workflows/" not in name:
            raise must_be("workflow", "owner/name/.github/workflows/FILE@REF", name)
    if ref is None and environment is None and not allow_any_ref:
        raise must_be("ref", "given, or environment: any branch can be pushed to by those who may write at all")
    demands = demanded(
        iss=issuer,
        repository_id=repository_id,
        repository=repository,
        ref=None if ref is None else full_refs(ref),
        environment=environment,
        job_workflow_ref=workflow,
        runner_environment=runner_environment,
    )
    return WorkloadRule("require_github_job", demands, [allowed_events("event_name", events, GITHUB_BY_STRANGERS)])


@explains_arguments
def require_gitlab_job(
    *,
    project_id: OneOf | None = None,
    project_path: OneOf | None = None,
    ref: OneOf | None = None,
    environment: OneOf | None = None,
    sources: OneOf | None = None,
    issuer: str = GITLAB_ISSUER,
    allow_any_ref: bool = False,
    allow_unprotected_ref: bool = False,
    allow_project_by_name_alone: bool = False,
) -> WorkloadRule:
    """Require that a token is of a certain job in GitLab.

    Args:
        project_id: The number of the project, which stays when it is moved.
        project_path: Its path with all groups: ``acme/shop``. The path of a group (``namespace_path``) is no rule:
            whoever may make a project in the group would meet it.
        ref: The branch or tag, by its full name: ``refs/heads/main``.
        environment: The environment that the job deploys to; without a *ref* it must be a protected one.
        sources: What may have set the pipeline off (``pipeline_source``); by default all but merge requests, whose
            branch may be called like any of the project's.
        issuer: The address of the GitLab instance.
        allow_any_ref: Whether any branch, tag and environment will do.
        allow_unprotected_ref: Whether branches and tags will do that everybody who may push can change.
        allow_project_by_name_alone: Whether the path is enough, although it can be taken over.

    Raises:
        ConfigurationException: The rule would let in more than it says: no project, a path alone, neither ref nor
            environment, a wildcard, a short ref.

    >>> rule = require_gitlab_job(project_path="acme/shop", project_id="20", ref="refs/heads/main")
    >>> job = {"iss": "https://gitlab.com", "project_id": "20", "project_path": "acme/shop", "ref": "main"}
    >>> rule({**job, "ref_type": "branch", "ref_protected": "true", "pipeline_source": "push"})
    """
    hint = "the number below the project's name, on its page"
    _by_id("project", project_path, project_id, allow=allow_project_by_name_alone, hint=hint)
    for name in () if project_path is None else exactly("project_path", project_path):
        if "/" not in name:
            raise must_be("project_path", "group/project: a group alone is no project", name)
    if ref is None and environment is None and not allow_any_ref:
        raise must_be("ref", "given, or environment: any branch can be pushed to by those who may write at all")
    demands = demanded(iss=issuer, project_id=project_id, project_path=project_path, environment=environment)
    checks = [allowed_events("pipeline_source", sources, GITLAB_BY_STRANGERS)]
    checks += [_gitlab_ref(full_refs(ref))] if ref is not None else []
    checks += [] if allow_unprotected_ref else [_said_true("ref_protected")]
    checks += [_said_true("environment_protected")] if ref is None and environment is not None else []
    return WorkloadRule("require_gitlab_job", demands, checks)


def _gitlab_ref(refs: frozenset[str]) -> _Check:
    def check(claims: Mapping[str, Any]) -> None:
        kind = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(str(claims.get("ref_type")))
        whole = f"{kind}{claims.get('ref')}"
        if kind is None or whole not in refs or claims.get("ref_path", whole) != whole:
            raise mismatch({"ref": f"{claims.get('ref_type')} {claims.get('ref')}"}, "ref", refs)

    return check


def _said_true(claim: str) -> _Check:
    def check(claims: Mapping[str, Any]) -> None:
        if claims.get(claim) not in ("true", True):
            raise mismatch(claims, claim, {"true"}, code="workload_unprotected", hint="protect it in GitLab")

    return check


@explains_arguments
def require_kubernetes_workload(
    *, issuer: str, namespace: str, serviceaccount: OneOf, serviceaccount_uid: OneOf | None = None
) -> WorkloadRule:
    """Require that a token is of a certain service account in a Kubernetes cluster.

    Args:
        issuer: The issuer of the cluster: another cluster has namespaces and service accounts of the same names.
        namespace: The namespace.
        serviceaccount: The service account, or several in that namespace.
        serviceaccount_uid: Its uid, which another one of the same name does not have.

    Raises:
        ConfigurationException: A name cannot be one, such as a wildcard.

    >>> rule = require_kubernetes_workload(issuer="https://oidc.example.com/c1", namespace="shop", serviceaccount="web")
    >>> rule({"iss": "https://oidc.example.com/c1", "sub": "system:serviceaccount:shop:web"})
    """
    accounts = exactly("serviceaccount", serviceaccount)
    for name, value in (("namespace", namespace), *(("serviceaccount", one) for one in accounts)):
        if not isinstance(value, str) or not _DNS.match(value):
            raise must_be(name, "a name of Kubernetes, without wildcards", value)
    subjects = {f"system:serviceaccount:{namespace}:{account}" for account in accounts}
    uids = None if serviceaccount_uid is None else exactly("serviceaccount_uid", serviceaccount_uid)
    return WorkloadRule("require_kubernetes_workload", demanded(iss=issuer, sub=subjects), [_bound(namespace, uids)])


def _bound(namespace: str, uids: frozenset[str] | None) -> _Check:
    """Return the check of what the cluster says beside ``sub``: a token of today says it, an older one need not."""

    def check(claims: Mapping[str, Any]) -> None:
        told = claims.get("kubernetes.io")
        if told is None and uids is None:
            return
        facts: Any = told if isinstance(told, dict) else {}
        account: Any = facts.get("serviceaccount")
        account = account if isinstance(account, dict) else {}
        name = str(claims.get("sub")).rpartition(":")[2]
        if facts.get("namespace") != namespace or account.get("name") != name:
            raise mismatch(claims, "kubernetes.io", {f"{namespace}/{name}"})
        if uids is not None and account.get("uid") not in uids:
            raise mismatch({"uid": account.get("uid")}, "uid", uids)

    return check


__all__ = [
    "GITHUB_BY_STRANGERS",
    "GITHUB_ISSUER",
    "GITLAB_BY_STRANGERS",
    "GITLAB_ISSUER",
    "HasClaims",
    "OneOf",
    "WorkloadRule",
    "require_github_job",
    "require_gitlab_job",
    "require_kubernetes_workload",
]
