"""The node's network: wiring of Pods, and in time the service proxy, policies and flows.

Owns links, routes and rules that carry the instance's name. Knows nothing of the store.
"""
