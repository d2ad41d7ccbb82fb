"""The node's images: references, archives, unpacking, pulling, and the store of them on disk.

Owns `<data>/images`. Knows nothing of containers beyond which images they stand on.
"""
