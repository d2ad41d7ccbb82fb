"""A Pod's life, pure: what state it is in, what to do next, and what to tell of it.

Owns the rules of chapter one: the container's machine and the Pod's stages (`container`, `stages`), the plan for the
next step (`pod`), restarts and back-off, grace, conditions and status, QoS, cgroups and environments. Knows no
runtime, no API server, no clock and no task: it takes facts and the instant, and returns actions and the next
deadline. The kubelet drives it, the simulated runtime obeys it, the API server and insight explain with it.
"""
