"""The kubelet's own server: upstream's kubelet API, over TLS for others and over a unix socket in this process."""

from podling.kubelet.server.lookup import PodLookup
from podling.kubelet.server.server import KubeletServer

__all__ = ["KubeletServer", "PodLookup"]
