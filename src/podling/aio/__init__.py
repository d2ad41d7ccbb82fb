"""The ground that every room stands on: clock, chance, supervised tasks, work queue, broadcast.

Owns the only readers of time and the only makers of randomness. Knows nothing of Kubernetes.
"""
