"""A CNI network configuration: found, read, checked, and made into what one plugin is told.

Owns the forms of the specification (0.3.0 to 1.1.0): lists of plugins and single ones, the capabilities that a plugin
declares, results and their addresses, errors. Runs nothing. A configuration is a user's: whatever is wrong with it is
told in a sentence that names the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.lifecycle.traffic import Traffic

VERSIONS: Final = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_ENDINGS: Final = (".conflist", ".conf", ".json")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_BURST: Final = (1 << 31) - 1
"""What upstream's runtimes give bandwidth plugins for bursts: all that fits."""


class BadConfiguration(Exception):  # an outcome that the command words for its user
    """There is no configuration, or it is none; says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network: its plugins in the order in which they add to it."""

    name: str
    version: str
    plugins: tuple[Mapping[str, Any], ...]
    checked: bool = True

    @property
    def knows_status(self) -> bool:
        """Whether STATUS exists: since 1.1.0."""
        return VERSIONS.index(self.version) >= VERSIONS.index("1.1.0")

    @property
    def tells_results(self) -> bool:
        """Whether CHECK exists and DEL is told what ADD has returned: since 0.4.0."""
        return VERSIONS.index(self.version) >= VERSIONS.index("0.4.0")


def read(directory: Path) -> Network:
    """Return the network of the first configuration in a folder, by the files' names."""
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix in _ENDINGS)
    except OSError as error:
        raise BadConfiguration(f"{directory} cannot be read: {error.strerror}") from error
    if not found:
        raise BadConfiguration(f"no network configuration (.conflist, .conf or .json) is in {directory}")
    return parse(found[0].read_bytes(), str(found[0]))


def parse(content: bytes, source: str) -> Network:
    """Return the network that a file describes."""
    try:
        tree = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{source} is no JSON: {error}") from error
    if not isinstance(tree, dict):
        raise BadConfiguration(f"{source} is no object")
    name, plugins = tree.get("name"), tree.get("plugins", [tree] if "type" in tree else None)
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise BadConfiguration(f"{source}: name {name!r} is no network's name")
    if not isinstance(plugins, list) or not plugins:
        raise BadConfiguration(f"{source}: there are no plugins")
    for plugin in plugins:
        kind = plugin.get("type") if isinstance(plugin, dict) else None
        if not isinstance(kind, str) or _NAME.fullmatch(kind) is None:
            raise BadConfiguration(f"{source}: type {kind!r} is no plugin's name")
    return Network(name, _version(tree, source), tuple(plugins), tree.get("disableCheck") not in (True, "true"))


def _version(tree: Mapping[str, Any], source: str) -> str:
    named = tree.get("cniVersions")
    choices = [*(named if isinstance(named, list) else ()), tree.get("cniVersion", "")]
    known = [version for version in VERSIONS if version in choices]
    if not known:
        raise BadConfiguration(f"{source}: cniVersion {tree.get('cniVersion', '')!r} is none of {', '.join(VERSIONS)}")
    return known[-1]


def request(
    network: Network, plugin: Mapping[str, Any], capabilities: Mapping[str, Any], previous: Mapping[str, Any] | None
) -> bytes:
    """Return what a plugin reads: its own part, whose network it is, and of the capabilities those that it declares."""
    told = {key: value for key, value in plugin.items() if key not in {"capabilities", "plugins"}}
    told |= {"cniVersion": network.version, "name": network.name}
    declared = plugin.get("capabilities")
    wanted = declared if isinstance(declared, dict) else {}
    given = {name: value for name, value in capabilities.items() if wanted.get(name) is True}
    if given:
        told["runtimeConfig"] = given
    if previous is not None:
        told["prevResult"] = previous
    return msgspec.json.encode(told)


def capabilities_of(traffic: Traffic) -> dict[str, Any]:
    """Return what a Pod asks of its wiring in the conventions' words."""
    given: dict[str, Any] = {}
    if traffic.ports:
        given["portMappings"] = [
            {
                "hostPort": port.host_port,
                "containerPort": port.container_port,
                "protocol": port.protocol.lower(),
                **({"hostIP": port.address} if port.address else {}),
            }
            for port in traffic.ports
        ]
    bounds: dict[str, int] = {}
    for way, rate in (("ingress", traffic.ingress), ("egress", traffic.egress)):
        if rate is not None:
            bounds |= {f"{way}Rate": rate, f"{way}Burst": _BURST}
    if bounds:
        given["bandwidth"] = bounds
    return given


def addresses_of(result: Mapping[str, Any]) -> Sequence[str]:
    """Return the addresses in a result that are the Pod's, without their prefixes."""
    interfaces = result.get("interfaces") or []
    found = []
    for ip in result.get("ips") or []:
        place = ip.get("interface")
        inside = place is None or (0 <= place < len(interfaces) and interfaces[place].get("sandbox"))
        if inside:
            found.append(str(ip["address"]).partition("/")[0])
    return found


def complaint_of(stdout: bytes, stderr: bytes) -> str:
    """Return why a plugin has failed, as far as it says so."""
    try:
        told = msgspec.json.decode(stdout)
        message, details = str(told["msg"]), str(told.get("details") or "")
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        said = (stdout or stderr).decode(errors="replace").strip()[:500]
        return f"netplugin failed: {said!r}" if said else "netplugin failed with no error message"
    return f"{message}; {details}" if details else message
