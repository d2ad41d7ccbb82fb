"""Probes performed: the shell around `lifecycle.probes`.

`wire` reaches ports, `http` and `grpc` speak, `checks` makes one check of a probe, `prober` keeps the probes of one
Pod's containers going, `lag` knows how late the node itself was.
"""
