"""What the API server passes on to kubelets and Pods: logs, exec, attach, port-forward and the proxy paths."""

from podling.apiserver.kubelet_proxy.connections import LocalNodes, RemoteNodes
from podling.apiserver.kubelet_proxy.proxy import ConnectionProxy

__all__ = ["ConnectionProxy", "LocalNodes", "RemoteNodes"]
