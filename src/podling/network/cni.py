"""Pods wired by CNI plugins, as their specification says, in place of our own wiring.

Owns the calls (ADD, CHECK, DEL, STATUS, VERSION: environment, standard input, chains with `prevResult`) and a record
for each Pod, from which everything is taken back later: also after a restart, and when the configuration has changed
meanwhile. What the plugins do in the kernel is theirs, and not looked into. GC is not called: it would take back what
another runtime of this machine has by the same network.

Invariants: a record is on disk before the first plugin is called, and goes after the last has been told DEL; the chain
is taken back in the reverse order; a chain that fails half way is taken back at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.client.seams import WiringFailed
from podling.lifecycle.traffic import UNBOUNDED
from podling.linux import files, namespaces
from podling.linux.netlink import Netlink
from podling.network import cni_config
from podling.network.cni_config import BadConfiguration, Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.lifecycle.traffic import Traffic
    from podling.linux.host import Host

log = logging.getLogger("podling.network.cni")

PLUGINS: Final = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"
"""Where plugins are looked for, unless `CNI_PATH` says otherwise."""
_INTERFACE: Final = "eth0"
_PATIENCE: Final = 60.0


class _Record(msgspec.Struct):
    uid: str
    namespace: str
    name: str
    netns: str
    network: str
    version: str
    plugins: tuple[dict[str, Any], ...]
    capabilities: dict[str, Any]
    checked: bool = True
    result: dict[str, Any] | None = None
    """What the last plugin of the chain returned; nothing while they are still being called."""

    @property
    def configuration(self) -> Network:
        """The network as it was when the Pod was added to it."""
        return Network(self.network, self.version, self.plugins, self.checked)


class CniPodNetwork:
    """`PodNetwork` by the plugins of a configuration."""

    def __init__(self, data: Path, configuration: Path, host: Host, path: str = "") -> None:
        """`configuration` is the folder of network configurations; `path` the folders of plugins, parted by colons."""
        self._records = records_folder(data)
        self._folder = configuration
        self._host = host
        self._path = path or os.environ.get("CNI_PATH") or PLUGINS
        self._network: Network | None = None

    async def start(self) -> None:
        """Read the configuration and ask its plugins whether they know it; `BadConfiguration` says what is wrong."""
        network = cni_config.read(self._folder)
        for plugin in network.plugins:
            question = msgspec.json.encode({"cniVersion": network.version})
            try:
                answer = await self._call("VERSION", plugin["type"], question, {})
            except WiringFailed as failure:
                raise BadConfiguration(str(failure)) from failure
            if network.version not in (answer.get("supportedVersions") or ()):
                raise BadConfiguration(f'plugin {plugin["type"]} does not support config version "{network.version}"')
            if network.knows_status:
                try:
                    await self._call("STATUS", plugin["type"], cni_config.request(network, plugin, {}, None), {})
                except WiringFailed as failure:
                    raise BadConfiguration(str(failure)) from failure
        self._records.mkdir(parents=True, exist_ok=True)
        self._network = network

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        """Add a Pod to the network; asked again, have the plugins check, and add it anew where its link is gone.

        What a plugin does not like is told in the log and no more: adding anew would change a living Pod's address, and
        plugins complain of what is none of theirs (portmap of IPv6 where there is none).
        """
        known = self._load(uid)
        if known is not None:
            if known.netns == netns and known.result is not None and await _is_linked(netns):
                await self._check(known)
                return cni_config.addresses_of(known.result)
            await self._delete(known)
        network = self._network
        if network is None:
            raise WiringFailed("cni plugin not initialized")
        record = _Record(
            uid,
            namespace,
            name,
            netns,
            network.name,
            network.version,
            tuple(dict(plugin) for plugin in network.plugins),
            cni_config.capabilities_of(traffic),
            network.checked,
        )
        self._save(record)
        try:
            result: dict[str, Any] | None = None
            for plugin in network.plugins:
                result = await self._ask("ADD", record, plugin, result)
            assert result is not None
            addresses = cni_config.addresses_of(result)
            if not addresses:
                raise WiringFailed(f"network {network.name} gave the Pod no address")
        except WiringFailed:
            with contextlib.suppress(WiringFailed):  # the first failure is the one to tell
                await self._delete(record)
            raise
        record.result = result
        self._save(record)
        return addresses

    async def detach(self, uid: str) -> None:
        """Take a Pod out of the network that it was added to."""
        record = self._load(uid)
        if record is not None:
            await self._delete(record)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        found = {}
        for path in sorted(self._records.glob("*.json")):
            try:
                record = self._load(path.stem)
            except WiringFailed as failure:
                log.warning("%s", failure)  # nothing of it can be taken back, and it is in nobody's way
                continue
            if record is not None:
                found[record.uid] = cni_config.addresses_of(record.result) if record.result is not None else []
        return found

    async def _check(self, record: _Record) -> None:
        if not record.checked or not record.configuration.tells_results:
            return
        try:
            for plugin in record.plugins:
                await self._ask("CHECK", record, plugin, record.result)
        except WiringFailed as failure:
            log.warning("network of pod %s/%s: %s", record.namespace, record.name, failure)

    async def _delete(self, record: _Record) -> None:
        told = record.result if record.configuration.tells_results else None
        for plugin in reversed(record.plugins):
            await self._ask("DEL", record, plugin, told)
        self._record_path(record.uid).unlink(missing_ok=True)

    async def _ask(
        self, command: str, record: _Record, plugin: Mapping[str, Any], previous: dict[str, Any] | None
    ) -> dict[str, Any]:
        asked = cni_config.request(record.configuration, plugin, record.capabilities, previous)
        # Plugins take back what they can where the namespace is gone, and are told so by an empty path.
        netns = record.netns if command != "DEL" or namespaces.pinned(record.netns) else ""
        words = {
            "CNI_CONTAINERID": record.uid,
            "CNI_NETNS": netns,
            "CNI_IFNAME": _INTERFACE,
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={record.namespace};K8S_POD_NAME={record.name};"
            f"K8S_POD_INFRA_CONTAINER_ID={record.uid};K8S_POD_UID={record.uid}",
        }
        return await self._call(command, str(plugin["type"]), asked, words)

    async def _call(self, command: str, plugin: str, asked: bytes, words: Mapping[str, str]) -> dict[str, Any]:
        folders = [folder for folder in self._path.split(":") if folder]
        program = next((path for folder in folders if (path := Path(folder) / plugin).is_file()), None)
        if program is None:
            raise WiringFailed(f'failed to find plugin "{plugin}" in path [{" ".join(folders)}]')
        environment = {
            "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin",
            "CNI_COMMAND": command,
            "CNI_PATH": ":".join(folders),
            **words,
        }
        where = f'plugin type="{plugin}" failed ({command.lower()})'
        try:
            done = await self._host.run([str(program)], stdin=asked, timeout=_PATIENCE, environment=environment)
        except TimeoutError as error:
            raise WiringFailed(f"{where}: no answer within {_PATIENCE:.0f} s") from error
        except OSError as error:
            raise WiringFailed(f"{where}: {error.strerror or error}") from error
        if done.code != 0:
            raise WiringFailed(f"{where}: {cni_config.complaint_of(done.stdout, done.stderr)}")
        if command in {"DEL", "CHECK", "STATUS"}:
            return {}  # that it ended well is the answer
        try:
            answer = msgspec.json.decode(done.stdout)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WiringFailed(f"{where}: its answer is no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise WiringFailed(f"{where}: its answer is no object")
        return answer

    def _record_path(self, uid: str) -> Path:
        return self._records / f"{uid}.json"

    def _load(self, uid: str) -> _Record | None:
        try:
            return msgspec.json.decode(self._record_path(uid).read_bytes(), type=_Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise WiringFailed(f"the record of pod {uid} is damaged: {error}") from error

    def _save(self, record: _Record) -> None:
        files.replace(self._record_path(record.uid), msgspec.json.encode(record))


async def _is_linked(netns: str) -> bool:
    def inside() -> bool:
        with Netlink() as netlink:
            return any(link.name == _INTERFACE for link in netlink.links())

    try:
        return await namespaces.inside_async(netns, inside)
    except FileNotFoundError:
        return False


def given(data: Path) -> Sequence[str]:
    """Return the addresses that the Pods of a node have been given, as far as records tell; blocks."""
    found: list[str] = []
    for path in sorted(records_folder(data).glob("*.json")):
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
            found += cni_config.addresses_of(record.result) if record.result is not None else ()
    return found


def records_folder(data: Path) -> Path:
    """Return where a node keeps who was added to which network."""
    return data / "network" / "cni"


async def teardown(data: Path, host: Host) -> None:
    """Take every Pod of a node out of its network, with no daemon running; a plugin that fails does not stop it."""
    network = CniPodNetwork(data, Path(), host)
    for path in sorted(records_folder(data).glob("*.json")):
        try:
            await network.detach(path.stem)
        except WiringFailed as failure:
            log.warning("pod %s: %s", path.stem, failure)
            path.unlink(missing_ok=True)
