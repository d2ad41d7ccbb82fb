"""Kinds that users bring: from a CustomResourceDefinition to a `Record` like any other, and back.

    definition ─▶ naming.plan ─▶ status ─▶ Established ─▶ records.kind_of ─▶ routes, cache, discovery, OpenAPI, tables

`kinds` follows the definitions; all else here is a pure view of one. The verbs know nothing of this room.
"""
