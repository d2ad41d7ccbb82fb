"""Who called whom, as it was observed, and why what is not possible is not.

Owns the call graph: flows that the nodes' kernels saw, attributed to Pods and Services, added up, kept as `Call`
objects. Knows the cluster through `Client` and informers, and what happened through `client.flows.FlowSink`; it asks
no kernel.
"""
