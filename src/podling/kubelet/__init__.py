"""The agent of one node: takes the Pods bound to it and brings them to life, tells of them, and ends them.

Owns the shell around `lifecycle`: facts in, the plan's actions out, each organ small. The way of a Pod through it:
`config` hears of it, `workers` gives it a worker, `worker` asks `lifecycle.plan` what is due and lets `effects`
perform it, `status` writes what is so. Knows the cluster through a `Client`, the machine through a `Runtime`, a
`PodNetwork` and a `Host`; decides nothing that `lifecycle` decides.
"""
