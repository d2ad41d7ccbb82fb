"""A runtime without containers: the same Protocol, on the injected clock, deterministic from its chance.

Owns the simulation of sandboxes, containers and images: `script` says how a container behaves, `state` is everything
that is so as one copyable value, `images` and `runtime` are the verbs. Knows no Pod and starts no process. Every
container walks through `lifecycle.container`'s machine, so what cannot happen to a real one cannot happen here.
"""

from podling.runtime.sim.images import SimImages as SimImages
from podling.runtime.sim.runtime import SimRuntime as SimRuntime
from podling.runtime.sim.script import SCRIPT_ANNOTATION as SCRIPT_ANNOTATION
from podling.runtime.sim.script import Answer as Answer
from podling.runtime.sim.script import Exec as Exec
from podling.runtime.sim.script import ImageScript as ImageScript
from podling.runtime.sim.script import Run as Run
from podling.runtime.sim.script import Script as Script
from podling.runtime.sim.state import SimState as SimState
