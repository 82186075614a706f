"""Which role each endpoint needs. What is not listed here is refused, whoever asks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from monai_sfda.label.server.roles import Role

Methods = frozenset[str]
READ: Methods = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Rule:
    """Who may call one path.

    Attributes:
        methods: of HTTP.
        path: with `{}` for one part of it and `{*}` for all the rest.
        role: that is needed; None: nobody has to be logged in.
    """

    methods: Methods
    path: str
    role: Role | None

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule speaks of a request."""
        return method in self.methods and _pattern(self.path).fullmatch(path) is not None


def _rule(methods: str, path: str, role: Role | None) -> Rule:
    wanted = frozenset(methods.split())
    return Rule(wanted | {"HEAD"} if "GET" in wanted else wanted, path, role)


RULES: tuple[Rule, ...] = (
    # nobody has to be logged in
    _rule("GET", "/health", None),
    _rule("GET", "/health/live", None),
    _rule("GET", "/auth/", None),
    _rule("POST", "/auth/token", None),
    _rule("GET POST", "/login", None),
    _rule("GET", "/favicon.ico", None),
    # the login itself
    _rule("GET", "/auth/token/valid", "user"),
    _rule("POST", "/logout", "user"),
    _rule("GET DELETE", "/auth/blocked", "admin"),
    # pages
    _rule("GET", "/", "user"),
    _rule("GET", "/docs", "user"),
    _rule("GET", "/openapi.json", "user"),
    _rule("GET", "/ohif/{*}", "user"),
    _rule("GET", "/proxy/dicom/{*}", "user"),
    _rule("GET", "/health/details", "admin"),
    _rule("GET", "/logs/", "admin"),
    _rule("GET", "/logs/gpu", "admin"),
    # segment and correct
    _rule("GET", "/info/", "user"),
    _rule("POST", "/infer/{}", "user"),
    _rule("GET", "/sfda/uncertainty/{}", "user"),
    _rule("PUT", "/session/", "user"),
    _rule("GET DELETE", "/session/{}", "user"),
    _rule("POST", "/activelearning/{}", "user"),
    # many studies at once
    _rule("GET", "/batch/infer", "user"),
    _rule("POST", "/batch/infer/{}", "adapter"),
    _rule("DELETE", "/batch/infer", "adapter"),
    _rule("GET", "/scoring/", "user"),
    _rule("POST DELETE", "/scoring/", "adapter"),
    _rule("POST", "/scoring/{}", "adapter"),
    # the datastore
    _rule("GET", "/datastore/", "user"),
    _rule("PUT", "/datastore/", "user"),
    _rule("DELETE", "/datastore/", "admin"),
    _rule("GET PUT", "/datastore/image", "user"),
    _rule("DELETE", "/datastore/image", "admin"),
    _rule("GET PUT", "/datastore/image/info", "user"),
    _rule("GET PUT", "/datastore/label", "user"),
    _rule("DELETE", "/datastore/label", "admin"),
    _rule("GET PUT", "/datastore/label/info", "user"),
    _rule("PUT", "/datastore/updatelabelinfo", "user"),
    _rule("GET", "/datastore/dataset", "admin"),
    # adaptation
    _rule("GET", "/train/", "user"),
    _rule("POST DELETE", "/train/", "adapter"),
    _rule("POST", "/train/{}", "adapter"),
    _rule("GET", "/sfda/", "user"),
    _rule("GET", "/sfda/jobs", "user"),
    _rule("GET", "/sfda/jobs/{}/log", "admin"),
    _rule("GET", "/sfda/jobs/{}", "user"),
    _rule("GET", "/sfda/jobs/{}/report", "user"),
    _rule("POST", "/sfda/jobs", "adapter"),
    _rule("POST", "/sfda/jobs/preview", "adapter"),
    _rule("POST", "/sfda/jobs/{}/stop", "adapter"),
    _rule("POST", "/sfda/jobs/{}/resume", "adapter"),
    _rule("POST", "/sfda/jobs/{}/publish_last", "approver"),
    _rule("DELETE", "/sfda/jobs/{}", "admin"),
    _rule("GET", "/sfda/models", "user"),
    _rule("GET", "/sfda/models/{*}", "user"),
    _rule("POST", "/sfda/models/{}/versions/{}/activate", "approver"),
    _rule("POST", "/sfda/models/{}/rollback", "approver"),
    # which study next
    _rule("GET", "/sfda/drift", "user"),
    _rule("GET", "/sfda/drift/page", "user"),
    _rule("GET", "/sfda/scores", "user"),
)


def rule_for(method: str, path: str, rules: Iterable[Rule] = RULES) -> Rule | None:
    """The rule for a request; a path that only lacks its last slash is taken as if it had one."""
    known = tuple(rules)
    for candidate in (path, f"{path}/"):
        for rule in known:
            if rule.matches(method, candidate):
                return rule
    return None


def methods_of(path: str, rules: Iterable[Rule] = RULES) -> Methods:
    """The methods that some rule allows on a path."""
    known = tuple(rules)
    found = [rule.methods for rule in known for candidate in (path, f"{path}/") if _at(rule, candidate)]
    return frozenset().union(*found)


def _at(rule: Rule, path: str) -> bool:
    return _pattern(rule.path).fullmatch(path) is not None


_patterns: dict[str, re.Pattern[str]] = {}


def _pattern(path: str) -> re.Pattern[str]:
    if path not in _patterns:
        text = re.escape(path).replace(r"\{\*\}", ".*").replace(r"\{\}", "[^/]+")
        _patterns[path] = re.compile(text)
    return _patterns[path]
