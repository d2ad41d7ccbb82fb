"""All workers of a node: each Pod has one, from when it is heard of until nothing is left of it.

Owns which Pods have a worker, by uid, and passes on what is heard: changes of objects, hints of the runtime. Knows
neither informer nor plan. Invariants: two workers never share a uid; a worker that fails is started anew after a pause
and harms no other; a Pod of the same name but another uid waits for nobody (upstream lets both be, the older ending).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import Pod
    from podling.kubelet.worker import PodWorker
    from podling.runtime.protocol import Runtime

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class PodWorkers:
    """Gives each Pod its worker. `make` builds one, admission included."""

    def __init__(self, make: Callable[[Pod], PodWorker], clock: Clock, supervisor: Supervisor) -> None:
        self._make = make
        self._clock = clock
        self._supervisor = supervisor
        self._workers: dict[str, PodWorker] = {}
        self._vanished: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[PodWorker]:
        return iter(list(self._workers.values()))

    def pods(self) -> dict[str, Pod]:
        """Return the Pods that take room here, by uid.

        Not those that the API no longer has, though their workers are not done yet: the scheduler may have given their
        room away at the same instant.
        """
        return {uid: worker.pod for uid, worker in self._workers.items() if uid not in self._vanished}

    def get(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def update(self, pod: Pod) -> None:
        """Hear of a Pod of this node, new or changed."""
        worker = self._workers.get(pod.metadata.uid)
        if worker is None:
            worker = self._workers[pod.metadata.uid] = self._make(pod)
            name = f"pod {pod.metadata.namespace}/{pod.metadata.name}"
            self._supervisor.job(name, self._work(pod.metadata.uid, worker))
        else:
            worker.update(pod)

    def vanish(self, uid: str) -> None:
        """Hear that the API no longer has a Pod."""
        worker = self._workers.get(uid)
        if worker is not None:
            self._vanished[uid] = None
            worker.update(None)

    def kick(self, uid: str) -> None:
        """Hear that something changed about a Pod in the runtime."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.kick()

    async def follow(self, runtime: Runtime) -> None:
        """Pass the runtime's hints on, for ever; whoever falls behind looks at everything again."""
        while True:
            events = runtime.events()
            for worker in self:
                worker.kick()
            async for event in events:
                self.kick(event.uid)
            await self._clock.sleep(0)

    async def _work(self, uid: str, worker: PodWorker, pause: float = _FIRST_PAUSE) -> None:
        try:
            await worker.run()
        except Exception:
            name = f"pod {worker.pod.metadata.namespace}/{worker.pod.metadata.name}"
            if not self._supervisor.is_stopping:
                self._supervisor.job(name, self._again(uid, worker, pause))
            raise
        self._workers.pop(uid, None)
        self._vanished.pop(uid, None)

    async def _again(self, uid: str, worker: PodWorker, pause: float) -> None:
        await self._clock.sleep(pause)
        await self._work(uid, worker, min(2 * pause, _LONGEST_PAUSE))
