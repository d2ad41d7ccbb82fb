"""The kinds of Podling's own, in the form in which upstream publishes its: input of `generate_api.py`.

Invariant: a group ends in `.podling.dev`, and its definitions are named by it reversed, as a CustomResourceDefinition's
are.
"""

from __future__ import annotations

from typing import Any, Final

INSIGHT: Final = "dev.podling.insight.v1alpha1."
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _count(description: str) -> dict[str, Any]:
    return {"type": "integer", "format": "int64", "description": description}


def _ref(name: str, description: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}", "description": description}


_KIND: Final = {
    "apiVersion": _text("APIVersion defines the versioned schema of this representation of an object."),
    "kind": _text("Kind is a string value representing the REST resource this object represents."),
}

DEFINITIONS: Final[dict[str, dict[str, Any]]] = {
    f"{INSIGHT}Call": {
        "type": "object",
        "description": (
            "Call is what was observed of one caller calling one callee on one port: every new flow is a call. "
            "It lives in the caller's namespace, or the callee's where the caller is no Pod."
        ),
        "x-kubernetes-group-version-kind": [{"group": "insight.podling.dev", "version": "v1alpha1", "kind": "Call"}],
        "properties": {
            **_KIND,
            "metadata": _ref(f"{_META}ObjectMeta", "Standard object's metadata."),
            "caller": _ref(f"{INSIGHT}Party", "Who called."),
            "callee": _ref(f"{INSIGHT}Party", "Who was called: behind a Service, who answered for it."),
            "service": _text("The Service that was called, as NAMESPACE/NAME; empty for a direct call."),
            "port": {"type": "integer", "format": "int32", "description": "The port that was called."},
            "protocol": _text("TCP, UDP or SCTP."),
            "observed": _ref(f"{INSIGHT}Observed", "How often, how much, and what came of it."),
        },
        "required": ["caller", "callee", "port", "protocol"],
    },
    f"{INSIGHT}CallList": {
        "type": "object",
        "description": "CallList is a list of Calls.",
        "x-kubernetes-group-version-kind": [
            {"group": "insight.podling.dev", "version": "v1alpha1", "kind": "CallList"}
        ],
        "properties": {
            **_KIND,
            "metadata": _ref(f"{_META}ListMeta", "Standard list metadata."),
            "items": {
                "type": "array",
                "description": "The Calls.",
                "items": {"$ref": f"#/definitions/{INSIGHT}Call"},
            },
        },
        "required": ["items"],
    },
    f"{INSIGHT}Party": {
        "type": "object",
        "description": "Party is one end of a call.",
        "properties": {
            "kind": _text("Pod, Node, Outside, or Nobody: an address of the cluster that no Pod had."),
            "namespace": _text("The Pod's namespace."),
            "name": _text("The Pod's or the Node's name."),
            "uid": _text("The Pod's uid."),
        },
        "required": ["kind"],
    },
    f"{INSIGHT}Observed": {
        "type": "object",
        "description": "Observed counts the calls of one kind between two parties.",
        "properties": {
            "calls": _count("New flows."),
            "refused": _count("Of them: refused by the callee's machine."),
            "unanswered": _count("Of them: nothing ever came back."),
            "blocked": _count("Attempts that a NetworkPolicy stopped; none of them is among the calls."),
            "blockedBy": _text("The policy that stopped the last one, as NAMESPACE/NAME and direction."),
            "bytesSent": _count("Bytes from the caller, of flows that have ended."),
            "bytesReceived": _count("Bytes to the caller, of flows that have ended."),
            "firstSeen": _ref(f"{_META}MicroTime", "When the first was seen."),
            "lastSeen": _ref(f"{_META}MicroTime", "When the last was seen."),
        },
    },
}
