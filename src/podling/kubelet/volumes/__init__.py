"""A Pod's volumes on the node: made, kept current, and removed.

Owns what each kind of volume is on disk. `prepare` is the way in; `payload` gathers what ConfigMaps, Secrets, the
Downward API and tokens project; `writer` lays files out so that readers see all of a new revision or none of it.
"""

from podling.kubelet.volumes.prepare import DiskVolumes as DiskVolumes
from podling.kubelet.volumes.prepare import SimulatedVolumes as SimulatedVolumes
from podling.kubelet.volumes.prepare import VolumeFailure as VolumeFailure
from podling.kubelet.volumes.prepare import Volumes as Volumes
