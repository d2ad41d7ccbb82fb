"""The cluster's DNS: answers from `reach.names` over UDP and TCP, and forwards what is not the cluster's.

Knows Services, slices and namespaces through informers, sockets through the node's `Host`. Which names there are is
decided in `reach`; here they become packets.
"""
