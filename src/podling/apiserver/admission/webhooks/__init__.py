"""Admission webhooks: servers of others that may change or refuse a write.

`matching` says whom a write concerns, `review` what is sent and what an answer means: both are pure. `calling` does the
talking, behind the seam in `destination`; `dispatch` holds it together. Knows no kind but the two configurations, which
no webhook is ever asked about.
"""

from podling.apiserver.admission.webhooks.dispatch import Webhooks

__all__ = ["Webhooks"]
