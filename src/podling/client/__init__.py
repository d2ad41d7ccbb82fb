"""How components see the cluster: one `Client` over Kubernetes resources, informers, the event recorder.

Owns the words between a component and an API server, wherever that stands. The HTTP transport, kubeconfigs, waiting
and events are modules of their own, imported by who uses them.
"""

from podling.client.client import ApiClient, Client, Listing
from podling.client.informer import Informer, Informers
from podling.client.transport import Answer, Call, ListPage, Selection, Transport, WatchEvent

__all__ = [
    "Answer",
    "ApiClient",
    "Call",
    "Client",
    "Informer",
    "Informers",
    "ListPage",
    "Listing",
    "Selection",
    "Transport",
    "WatchEvent",
]
