"""The three patches that clients send: JSON patch, merge patch, strategic merge patch.

Each is a pure function of a tree and a patch (and, for the strategic one, the Schema): it changes neither, and what it
returns shares nothing with them, so that it may be conformed in place. Refusals are `StatusError` with upstream's
codes. What a patch makes of an object is judged afterwards, by `conform` and by validation.
"""

from podling.api.patch.json6902 import json_patch
from podling.api.patch.merge import copied, merge_patch
from podling.api.patch.strategic import go_text, strategic_merge_patch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

__all__ = [
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_MERGE_PATCH",
    "copied",
    "go_text",
    "json_patch",
    "merge_patch",
    "strategic_merge_patch",
]
