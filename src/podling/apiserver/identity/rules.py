"""Owns the arithmetic of RBAC rules: what a rule matches, what covers what, and how a rule is spelled out.

Pure: rules in, answers out. Must not know bindings, users or where rules are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.types.rbac_v1 import PolicyRule

_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule ready to be asked; the order of its words is kept for those who print it."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: PolicyRule) -> Rule:
        return cls(rule.verbs, rule.api_groups, rule.resources, rule.resource_names, rule.non_resource_urls)

    @classmethod
    def of_tree(cls, tree: Mapping[str, Any]) -> Rule:
        """Read a rule of a plain JSON tree, as handlers hold it before it is stored."""
        return cls(
            tuple(tree.get("verbs") or ()),
            tuple(tree.get("apiGroups") or ()),
            tuple(tree.get("resources") or ()),
            tuple(tree.get("resourceNames") or ()),
            tuple(tree.get("nonResourceURLs") or ()),
        )

    def to_tree(self) -> dict[str, Any]:
        """Return the PolicyRule, empty lists left out."""
        tree = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        return {key: list(words) for key, words in tree.items() if words}

    def matches_resource(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Whether the rule speaks of this verb on this resource; names are judged apart by `names`."""
        return _has(self.verbs, verb) and _has(self.groups, group) and self._has_resource(resource, subresource)

    def _has_resource(self, resource: str, subresource: str) -> bool:
        if not subresource:
            return _has(self.resources, resource)
        return any(r in (_ANY, f"{resource}/{subresource}", f"*/{subresource}") for r in self.resources)

    def matches_path(self, verb: str, path: str) -> bool:
        """Whether the rule speaks of this method on this path; a trailing `*` in a rule matches any rest."""
        return _has(self.verbs, verb) and any(_url_covers(url, path) for url in self.urls)

    def covers(self, other: Rule) -> bool:
        """Whether this rule grants all that `other`, a rule of one word each, grants."""
        if not (_has(self.verbs, other.verbs[0]) if other.verbs else True):
            return False
        if other.urls:
            return any(_url_covers(url, other.urls[0]) for url in self.urls)
        if not other.groups or not other.resources or not _has(self.groups, other.groups[0]):
            return False
        resource, _, subresource = other.resources[0].partition("/")
        if not self._has_resource(resource, subresource):
            return False
        return not self.names or (bool(other.names) and other.names[0] in self.names)

    def split(self) -> list[Rule]:
        """Return rules of one word each that together grant what this one grants."""
        parts = [
            Rule((verb,), (group,), (resource,), (name,) if name else ())
            for group in self.groups
            for resource in self.resources
            for verb in self.verbs
            for name in (self.names or ("",))
        ]
        parts += [Rule((verb,), urls=(url,)) for url in self.urls for verb in self.verbs]
        return parts

    def __str__(self) -> str:
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(words)}" for name, words in parts if words) + "}"


FULL_AUTHORITY: Final = (Rule((_ANY,), (_ANY,), (_ANY,)), Rule((_ANY,), urls=(_ANY,)))


def missing(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Return what of `wanted` no single rule of `owned` covers, in rules of one word each."""
    return [part for rule in wanted for part in rule.split() if not any(o.covers(part) for o in owned)]


def compact(parts: Iterable[Rule]) -> list[Rule]:
    """Return rules of one word each with the verbs of equal ones gathered, as upstream prints what is missing."""
    verbs: dict[Rule, list[str]] = {}
    for part in parts:
        verbs.setdefault(Rule((), part.groups, part.resources, part.names, part.urls), []).extend(part.verbs)
    return [
        Rule(tuple(dict.fromkeys(words)), of.groups, of.resources, of.names, of.urls) for of, words in verbs.items()
    ]


def quoted(words: Iterable[str]) -> str:
    """Return words as Go prints a slice with `%q`: `["a" "b"]`."""
    return "[" + " ".join(f'"{word}"' for word in words) + "]"


def _has(words: tuple[str, ...], word: str) -> bool:
    return _ANY in words or word in words


def _url_covers(pattern: str, path: str) -> bool:
    return pattern in (_ANY, path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))
