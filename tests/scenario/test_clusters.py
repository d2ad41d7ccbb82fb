"""Whole clusters: bursts, namespaces that go, servers and controllers that die and come back."""

from __future__ import annotations

import asyncio
from collections import Counter

from podling.api.resources import CONFIG_MAPS, LEASES, NAMESPACES, NODES, PODS
from podling.client.wait import gone, ready
from podling.testing.cluster import SimulatedCluster
from tests.scenario.lives import display, pod


def all_ready(cluster: SimulatedCluster, count: int) -> bool:
    pods = cluster.list(PODS)
    return len(pods) == count and all(ready().holds(found) for found in pods)


def tasks() -> Counter[str]:
    return Counter(task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task())


def test_a_burst_leaves_no_task(run):
    """300 Pods on 3 nodes, spread over all, no node beyond its 110, all Ready; once they are gone the tasks are those from before."""

    async def main():
        async with SimulatedCluster(3, seed=2) as cluster:
            await cluster.advance(1)
            before = tasks()
            await cluster.apply([pod(f"web-{n}", {"startLatency": 1}) for n in range(300)])
            await cluster.run_until(lambda: all_ready(cluster, 300), 30)
            spread = Counter(p.spec.node_name for p in cluster.list(PODS))
            assert len(spread) == 3 and min(spread.values()) >= 90 and max(spread.values()) <= 110
            addresses = [p.status.pod_ip for p in cluster.list(PODS)]
            assert len(set(addresses)) == 300
            await cluster.client.delete_collection(PODS, "default")
            await cluster.run_until(lambda: not cluster.list(PODS), 40)
            await cluster.advance(5)
            assert tasks() == before
            for node in cluster.nodes.values():
                assert await node.runtime.list_sandboxes() == []
            assert cluster.failures == 0

    run(main())


def test_more_pods_than_room(run):
    """What does not fit waits with the reason told, and runs when others have gone."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            asks = [{"name": "c", "image": "busybox", "resources": {"requests": {"cpu": "1"}}}]
            await cluster.apply([pod(f"web-{n}", containers=asks) for n in range(10)])
            await cluster.advance(10)
            waiting = [p.metadata.name for p in cluster.list(PODS) if p.status.phase == "Pending"]
            assert len(waiting) == 2
            (condition,) = cluster.get(PODS, waiting[0]).status.conditions
            assert condition.message.startswith("0/2 nodes are available: 2 Insufficient cpu.")
            running = [p.metadata.name for p in cluster.list(PODS) if p.status.phase == "Running"]
            for name in running[:2]:
                await cluster.client.delete(PODS, name, "default")
            await cluster.run_until(lambda: all_ready(cluster, 8), 60)
            assert cluster.failures == 0

    run(main())


def test_a_namespace_goes_with_what_is_in_it(run):
    """Its Pods end with their grace, its ConfigMaps go after them, it goes last; nothing can be made in it meanwhile."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            settings = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "settings", "namespace": "team"},
                "data": {"mode": "x"},
            }
            deaf = [pod(f"web-{n}", {"ignoresSigterm": True}, namespace="team") for n in range(4)]
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
            await cluster.apply([namespace, settings, *deaf, pod("other")])
            await cluster.run_until(lambda: all_ready(cluster, 5))
            await cluster.client.delete(NAMESPACES, "team")
            began = cluster.clock.monotonic()
            await cluster.advance(29)
            held = cluster.get(NAMESPACES, "team")
            assert held.status.phase == "Terminating"
            remaining = next(c for c in held.status.conditions if c.type == "NamespaceContentRemaining")
            assert "pods. has 4 resource instances" in remaining.message
            assert {display(cluster, f"web-{n}", "team") for n in range(4)} == {"Terminating"}
            assert cluster.get(CONFIG_MAPS, "settings", "team") is not None
            await cluster.wait(NAMESPACES, "team", gone())
            assert cluster.clock.monotonic() - began <= 36
            assert [p.metadata.name for p in cluster.list(PODS)] == ["other"]
            assert cluster.list(CONFIG_MAPS, "team") == []
            assert not [
                line
                for line in cluster.log()
                if "/team/" in line and " create " in line and float(line.split()[0]) > began and "events/" not in line
            ]
            left = [key for key in last_keys(cluster) if "/team" in key]
            assert left == []
            assert cluster.failures == 0

    run(main())


def last_keys(cluster: SimulatedCluster) -> list[str]:
    """The keys that stand in the store, by its log."""
    held: dict[str, None] = {}
    for line in cluster.log():
        _, _, verb, key, _ = line.split(" ")
        if verb == "delete":
            held.pop(key)
        else:
            held[key] = None
    return list(held)


def test_components_outlive_their_api_server(run):
    """Killed for 20 s under load and started from its store: nothing restarts, what was deleted meanwhile ends."""

    async def main(forget: bool):
        async with SimulatedCluster(3) as cluster:
            await cluster.apply([pod(f"web-{n}") for n in range(12)])
            await cluster.run_until(lambda: all_ready(cluster, 12))
            before = {p.metadata.name: p.status.container_statuses[0].container_id for p in cluster.list(PODS)}
            await cluster.apply([pod(f"late-{n}", {"startLatency": 2}) for n in range(6)])
            await cluster.client.delete(PODS, "web-0", "default")
            await cluster.restart_api_server(20, forget_history=forget)
            await cluster.run_until(lambda: all_ready(cluster, 17), 90)
            for name, container in before.items():
                if name != "web-0":
                    status = cluster.get(PODS, name).status.container_statuses[0]
                    assert (status.container_id, status.restart_count) == (container, 0)
            # Everybody follows the new server: the scheduler, the kubelets, the controllers.
            await cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}])
            await cluster.advance(60)
            await cluster.apply([pod("after", namespace="team")])
            await cluster.wait(PODS, "after", ready(), "team", limit=5)
            await cluster.client.delete(PODS, "after", "team")
            await cluster.wait(PODS, "after", gone(), "team", limit=35)
            assert cluster.failures == 0

    run(main(forget=False))
    run(main(forget=True))


def test_a_server_that_dies_while_pods_are_made(run):
    """Every Pod whose creation was answered is there afterwards, once; all run."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            made: list[str] = []

            async def create() -> None:
                for number in range(40):
                    made.extend(it["metadata"]["name"] for it in await cluster.apply(pod(f"web-{number}")))

            creating = asyncio.create_task(create())
            while len(made) < 10:
                await asyncio.sleep(0)
            await cluster.restart_api_server(3)
            refused = (await asyncio.gather(creating, return_exceptions=True))[0]
            assert getattr(refused, "code", None) == 503
            assert 0 < len(made) < 40
            assert set(made) <= {p.metadata.name for p in cluster.list(PODS)}
            count = len(cluster.list(PODS))
            assert count <= len(made) + 1
            await cluster.run_until(lambda: all_ready(cluster, count), 60)

    run(main())


def test_scheduler_and_controllers_come_back(run):
    """Killed with work in hand, they go on from what is stored: no Pod is bound twice, none forgotten."""

    async def main():
        async with SimulatedCluster(3) as cluster:
            await cluster.apply([pod(f"web-{n}") for n in range(30)])
            await cluster.restart_scheduler(5)
            await cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}])
            await cluster.restart_controllers(5)
            await cluster.apply([pod("late", namespace="team")])
            await cluster.run_until(lambda: all_ready(cluster, 31), 60)
            bound = Counter(e.involved_object.name for e in cluster.events() if e.reason == "Scheduled")
            assert max(bound.values()) == 1
            assert cluster.failures == 0

    run(main())


def test_nodes_are_kept_alive(run):
    """Each node renews its lease every ten seconds, stops when its power is cut, and goes on when it is back."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            await cluster.advance(100)

            def renewed(name: str) -> str:
                return cluster.get(LEASES, name, "kube-node-lease").spec.renew_time[11:19]

            assert renewed("node-0") == renewed("node-1") == "22:15:00"
            await cluster.kill_node("node-1")
            await cluster.advance(100)
            assert (renewed("node-0"), renewed("node-1")) == ("22:16:40", "22:15:00")
            await cluster.restart_node("node-1")
            await cluster.advance(5)
            assert renewed("node-1") == "22:16:40"
            assert [node.metadata.name for node in cluster.list(NODES)] == ["node-0", "node-1"]

    run(main())
