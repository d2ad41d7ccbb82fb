"""CNI as its specification has it: configurations, chains of plugins, what is taken back, what is told when one fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from podling.api.pods import HostPort
from podling.client.seams import WiringFailed
from podling.lifecycle.traffic import Traffic
from podling.linux.local import LocalHost
from podling.network import cni
from podling.network.cni import CniPodNetwork, records_folder
from podling.network.cni_config import BadConfiguration, addresses_of, capabilities_of, parse, read

# A plugin that writes down how it was called, and answers what it finds beside itself.
PLUGIN = """#!/bin/sh
here=$(dirname "$0")
name=$(basename "$0")
asked=$(cat)
printf '%s\\t%s\\t%s\\t%s\\t%s\\n' "$CNI_COMMAND" "$name" "$CNI_CONTAINERID" "$CNI_NETNS" "$asked" >> "$here/calls"
if [ -e "$here/$name.$CNI_COMMAND.fails" ]; then cat "$here/$name.$CNI_COMMAND.fails"; exit 1; fi
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}' ;;
  ADD) echo '{"cniVersion": "1.0.0", "by": "'$name'", "interfaces": [{"name": "host"}, {"name": "eth0", "sandbox": "x"}],
       "ips": [{"address": "10.9.0.1/24", "interface": 0}, {"address": "10.9.0.7/24", "interface": 1}]}' ;;
esac
"""
CHAIN: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "plugins": [{"type": "first", "mtu": 1400}, {"type": "second", "capabilities": {"portMappings": True}}],
}


class Plugins:
    """Two plugins and a configuration that chains them."""

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        self.folder = folder
        (folder / "conf").mkdir()
        (folder / "conf" / "10-net.conflist").write_text(json.dumps(configuration))
        for name in ("first", "second"):
            (folder / name).write_text(PLUGIN)
            (folder / name).chmod(0o755)
        self.host = LocalHost()
        self.network = self.again()

    def again(self) -> CniPodNetwork:
        return CniPodNetwork(self.folder / "data", self.folder / "conf", self.host, str(self.folder))

    def calls(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return and forget who was called for what, with what it was told."""
        path = self.folder / "calls"
        lines = [line.split("\t") for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return [(line[0], line[1], json.loads(line[4])) for line in lines]

    def fail(self, plugin: str, command: str, answer: str) -> None:
        (self.folder / f"{plugin}.{command}.fails").write_text(answer)


def held(folder: Path, scenario: Callable[[Plugins], Awaitable[None]], configuration: dict[str, Any] = CHAIN) -> None:
    async def main() -> None:
        plugins = Plugins(folder, configuration)
        try:
            await plugins.network.start()
            plugins.calls()
            await scenario(plugins)
        finally:
            plugins.host.close()

    asyncio.run(main())


def names(calls: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    return [f"{command} {plugin}" for command, plugin, _ in calls]


def test_a_chain_is_called_in_order_and_taken_back_in_reverse(tmp_path: Path) -> None:
    """Each plugin is told what the one before returned, and DEL the last result; of capabilities only declared ones."""

    async def scenario(plugins: Plugins) -> None:
        traffic = Traffic(ingress=1000, ports=(HostPort(80, 8080, "TCP", ""),))
        assert await plugins.network.attach("uid-1", "default", "a", "/nowhere/net", traffic) == ["10.9.0.7"]
        calls = plugins.calls()
        assert names(calls) == ["ADD first", "ADD second"]
        first, second = calls[0][2], calls[1][2]
        assert first == {"type": "first", "mtu": 1400, "cniVersion": "1.0.0", "name": "net"}
        assert second["prevResult"]["by"] == "first"
        mapping = {"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}
        assert second["runtimeConfig"] == {"portMappings": [mapping]}
        assert "capabilities" not in second
        assert await plugins.network.attached() == {"uid-1": ["10.9.0.7"]}
        assert cni.given(plugins.folder / "data") == ["10.9.0.7"]
        # The configuration is another by now, and so is the process: what was added is taken back as it was added.
        (plugins.folder / "conf" / "10-net.conflist").write_text(json.dumps({**CHAIN, "plugins": [{"type": "second"}]}))
        later = plugins.again()
        await later.start()
        plugins.calls()
        await later.detach("uid-1")
        calls = plugins.calls()
        assert names(calls) == ["DEL second", "DEL first"]
        assert [told["prevResult"]["by"] for _, _, told in calls] == ["second", "second"]
        await later.detach("uid-1")
        assert plugins.calls() == []
        assert await later.attached() == {}

    held(tmp_path, scenario)


def test_a_chain_that_fails_half_way_is_taken_back(tmp_path: Path) -> None:
    """The Pod is told the plugin's own words, and nothing is left of it."""

    async def scenario(plugins: Plugins) -> None:
        plugins.fail("second", "ADD", '{"cniVersion": "1.0.0", "code": 11, "msg": "busy", "details": "try later"}')
        with pytest.raises(WiringFailed) as failure:
            await plugins.network.attach("uid-1", "default", "a", "/nowhere/net")
        assert str(failure.value) == 'plugin type="second" failed (add): busy; try later'
        assert names(plugins.calls()) == ["ADD first", "ADD second", "DEL second", "DEL first"]
        assert await plugins.network.attached() == {}

    held(tmp_path, scenario)


def test_what_was_added_is_known_after_a_kill(tmp_path: Path) -> None:
    """A record outlives the process, also that of a chain under way; a failed DEL is tried again."""

    async def scenario(plugins: Plugins) -> None:
        plugins.fail("first", "DEL", "no json")
        plugins.fail("second", "ADD", "")
        with pytest.raises(WiringFailed, match="no error message"):
            await plugins.network.attach("uid-1", "default", "a", "/nowhere/net")
        later = plugins.again()
        assert await later.attached() == {"uid-1": []}
        with pytest.raises(WiringFailed, match="'no json'"):
            await later.detach("uid-1")
        (plugins.folder / "first.DEL.fails").unlink()
        await later.detach("uid-1")
        assert await later.attached() == {}
        (records_folder(plugins.folder / "data") / "broken.json").write_text("{")
        assert await later.attached() == {}
        assert cni.given(plugins.folder / "data") == []
        await cni.teardown(plugins.folder / "data", plugins.host)
        assert list(records_folder(plugins.folder / "data").iterdir()) == []

    held(tmp_path, scenario)


def test_newer_plugins_are_asked_how_they_are(tmp_path: Path) -> None:
    """At the start, since 1.1.0: one that is not able to wire Pods says so before there is one."""

    async def scenario(plugins: Plugins) -> None:
        await plugins.again().start()
        assert names(plugins.calls()) == ["VERSION first", "STATUS first", "VERSION second", "STATUS second"]
        plugins.fail("second", "STATUS", '{"code": 50, "msg": "no daemon"}')
        with pytest.raises(BadConfiguration, match=r"\(status\): no daemon"):
            await plugins.again().start()

    held(tmp_path, scenario, {**CHAIN, "cniVersion": "1.1.0"})


@pytest.mark.parametrize("answer", ["", "[]", "nonsense", '{"ips": []}'])
def test_an_answer_that_is_none_fails(tmp_path: Path, answer: str) -> None:
    """Whatever a plugin prints, the Pod is not taken for wired without an address."""

    async def scenario(plugins: Plugins) -> None:
        (plugins.folder / "second").write_text(f"#!/bin/sh\ncat > /dev/null\nprintf '%s' '{answer}'\n")
        with pytest.raises(WiringFailed):
            await plugins.network.attach("uid-1", "default", "a", "/nowhere/net")
        assert await plugins.network.attached() == {}

    held(tmp_path, scenario)


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ({**CHAIN, "cniVersion": "0.3.1"}, 'does not support config version "0.3.1"'),
        ({**CHAIN, "plugins": [{"type": "absent"}]}, 'failed to find plugin "absent" in path'),
    ],
)
def test_a_configuration_is_tried_at_the_start(tmp_path: Path, configuration: dict[str, Any], words: str) -> None:
    """Plugins that are not there, or know no such version, are told before a Pod needs them."""

    async def scenario(plugins: Plugins) -> None:
        raise AssertionError("started")

    with pytest.raises(BadConfiguration, match=words):
        held(tmp_path, scenario, configuration)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "is no object"),
        ('{"name": "net"}', "there are no plugins"),
        ('{"name": "net", "plugins": []}', "there are no plugins"),
        ('{"name": "../net", "plugins": [{"type": "a"}]}', "is no network's name"),
        ('{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "../../bin/sh"}]}', "is no plugin's name"),
        ('{"cniVersion": "1.0.0", "name": "net", "plugins": [7]}', "is no plugin's name"),
        ('{"cniVersion": "9.0.0", "name": "net", "plugins": [{"type": "a"}]}', "cniVersion '9.0.0' is none of"),
    ],
)
def test_a_bad_configuration_is_refused(text: str, words: str) -> None:
    """Each with its file and what is wrong in it."""
    with pytest.raises(BadConfiguration, match=words):
        parse(text.encode(), "10-net.conflist")


def test_the_first_configuration_by_name_counts(tmp_path: Path) -> None:
    """A single plugin's file is a chain of one; other files are passed over; of several versions the newest known."""
    with pytest.raises(BadConfiguration, match="no network configuration"):
        read(tmp_path)
    (tmp_path / "00-readme.txt").write_text("hello")
    (tmp_path / "20-b.conflist").write_text(json.dumps({**CHAIN, "name": "b"}))
    (tmp_path / "10-a.conf").write_text(
        json.dumps({"cniVersions": ["0.4.0", "1.1.0", "2.0.0"], "name": "a", "type": "ptp", "disableCheck": True})
    )
    network = read(tmp_path)
    assert (network.name, network.version, len(network.plugins), network.checked) == ("a", "1.1.0", 1, False)
    with pytest.raises(BadConfiguration, match="cannot be read"):
        read(tmp_path / "absent")


def test_capabilities_and_addresses() -> None:
    """Bounds and ports in the conventions' words; addresses without an interface are the Pod's, the host's are not."""
    given = capabilities_of(Traffic(ingress=8, egress=9, ports=(HostPort(1, 2, "UDP", "10.0.0.1"),)))
    assert given["portMappings"] == [{"hostPort": 1, "containerPort": 2, "protocol": "udp", "hostIP": "10.0.0.1"}]
    assert (given["bandwidth"]["ingressRate"], given["bandwidth"]["egressRate"]) == (8, 9)
    assert capabilities_of(Traffic()) == {}
    assert addresses_of({"ips": [{"address": "10.0.0.1/8"}, {"address": "fd00::1/64", "interface": 5}]}) == ["10.0.0.1"]
