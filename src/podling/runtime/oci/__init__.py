"""The `oci` runtime: real containers on this machine.

Owns `<data>/pods/*/bundles` with the sandboxes' records beside them, `<data>/images` and `/run/podling/<instance>`.
Knows no Pod beyond its sandbox.
"""

from podling.runtime.oci.layout import Layout, instance_id
from podling.runtime.oci.teardown import teardown

__all__ = ["Layout", "instance_id", "teardown"]
