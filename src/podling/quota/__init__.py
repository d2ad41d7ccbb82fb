"""Whether an object fits into what its namespace may use: ResourceQuotas, pure.

Owns what each kind of object is charged for, which quotas it concerns, the refusals in upstream's words, and the
reckoning of a quota's status from the objects there are. The API server charges by it, the controller reckons by it.
Must not know I/O, clocks or asyncio. To count a kind in a way of its own, write an `Evaluator` and name it in
`evaluators`.
"""
