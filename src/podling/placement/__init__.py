"""The scheduler's rules: does this Pod fit this Node, and how well. Pure.

`PendingPod` and `NodeInfo` are what the rules look at, `Snapshot` is a moment of the cluster, `plugins/`
holds one rule a file, `profile.DEFAULT` is the list of them, `fitting.decide` applies it. The DaemonSet
controller, the kubelet's admission and insight ask the same rules through `fitting.refusal`.
"""
