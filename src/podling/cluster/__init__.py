"""The one composition root: the components of a process, built, wired, started and stopped.

Owns the options of a cluster, the layout of its data folder, and the order in which components come and go. Nothing
else in Podling constructs a component. Importing this package loads neither components nor libraries: `compose` does,
when a cluster is made.
"""

from podling.cluster.data_dir import AlreadyRunning, DataDir, NewerData
from podling.cluster.options import Options

__all__ = ["AlreadyRunning", "DataDir", "NewerData", "Options"]
