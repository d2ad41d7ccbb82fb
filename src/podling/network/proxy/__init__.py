"""Services in the rules of one node: the service proxy.

Owns the table `podling-<instance>-services`. What to send where is `reach.selection`'s to say; here it becomes elements
of maps, changed one by one, in a table whose rules are few and laid down once. Knows Services, EndpointSlices and its
own node, nothing of how Pods are wired.
"""
