"""`podling`: the group of commands and the options that they share.

Owns names, flags and help; what a command does stands in its own module, imported when it is run. Every failure says
what to do next and leaves with exit code 1 (2 for wrong usage).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from podling import __version__
from podling.cli.failure import Failure
from podling.cluster.data_dir import DataDir, default_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.linux.families import Network


def _with_data_dir(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=default_path,
        show_default="/var/lib/podling as root, else the user's data home",
        help="Where this cluster keeps everything.",
        callback=lambda _context, _option, value: DataDir(value),
    )(command)


def _networks(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Network, ...]:
    from ipaddress import ip_network

    try:
        found = tuple(ip_network(value) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error
    if len({network.version for network in found}) < len(found):
        raise click.BadParameter("one range for each address family", context, option)
    return found


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="podling")
def main() -> None:
    """Kubernetes Pods in one Python process."""


@main.command()
@_with_data_dir
@click.option("--detach", "-d", is_flag=True, help="Return when the node is Ready; Podling goes on in the background.")
@click.option("--runtime", type=click.Choice(["oci", "cri", "sim"]), help="What runs containers.")
@click.option("--nodes", type=click.IntRange(1, 1000), help="How many nodes; default: as many as there were, else one.")
@click.option("--port", type=click.IntRange(0, 65535), default=6443, show_default=True, help="The API server's port.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Listen here besides 127.0.0.1; repeatable.")
@click.option("--store", default="sqlite", show_default=True, help="sqlite, memory or etcd://HOST:PORT.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='Static bearer tokens: token,user,uid,"group1,group2" a line.',
)
@click.option(
    "--event-ttl",
    type=click.FloatRange(min=0),
    default=86400.0,
    show_default=True,
    metavar="SECONDS",
    help="How long Events outlive their object.",
)
@click.option(
    "--kubelet-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A KubeletConfiguration: eviction thresholds, reservations, garbage collection.",
)
@click.option(
    "--cni",
    type=click.Path(path_type=Path, file_okay=False),
    is_flag=False,
    flag_value="/etc/cni/net.d",
    metavar="[DIR]",
    help="Have CNI plugins wire Pods, by the first configuration in DIR (default: /etc/cni/net.d), or in DIR/NODE.",
)
@click.option(
    "--pod-connections",
    type=click.IntRange(min=0),
    default=32768,
    show_default=True,
    help="How many connections one Pod may have open; 0 for no bound.",
)
@click.option(
    "--load-balancer-range",
    "load_balancer_ranges",
    metavar="CIDR",
    multiple=True,
    callback=_networks,
    help="Where LoadBalancers have their addresses, given once for each address family; default: 10.97.0.0/24 and "
    "fd00:10:97::/120, or the next that are free.",
)
@click.option(
    "--ip-family",
    type=click.Choice(["ipv4", "dual"]),
    help="Whether Pods and Services may have IPv6 addresses beside IPv4 ones; default: where the machine has IPv6.",
)
@click.option("--node-name", default="", help="The first node's name; default: the host's.")
def up(data_dir: DataDir, *, detach: bool, **choices: Any) -> None:
    """Start a cluster and say how to use it."""
    from podling.cli.up import start

    start(data_dir, detach=detach, choices=choices)


@main.command()
@_with_data_dir
@click.option("--keep-pods", is_flag=True, help="Leave the containers running; the next `up` finds them.")
def down(data_dir: DataDir, *, keep_pods: bool) -> None:
    """Stop the cluster and leave nothing behind but its data."""
    from podling.cli.down import stop

    stop(data_dir, keep_pods=keep_pods)


@main.command()
@_with_data_dir
def status(data_dir: DataDir) -> None:
    """Say whether the cluster runs, and how it is."""
    from podling.cli.status import show

    show(data_dir)


@main.command()
@_with_data_dir
def kubeconfig(data_dir: DataDir) -> None:
    """Print the administrator's kubeconfig."""
    if not data_dir.kubeconfig.exists():
        raise Failure(f"there is no cluster in {data_dir.path} yet", "start one with: podling up --detach")
    click.echo(data_dir.kubeconfig.read_text(), nl=False)


@main.command()
@_with_data_dir
@click.option("-n", "--namespace", default="", help="Only calls that begin or end in this namespace.")
@click.option("-o", "--output", type=click.Choice(["table", "dot", "json"]), default="table", show_default=True)
@click.option("--web", is_flag=True, help="Serve it as a page for a browser on this machine.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The page's port; default: a free one.")
@click.option("--reachable", nargs=2, metavar="A B", help="Say instead whether A may reach B, and what decides it.")
@click.option("--protocol", type=click.Choice(["TCP", "UDP", "SCTP"]), default="TCP", show_default=True)
def graph(
    data_dir: DataDir,
    *,
    namespace: str,
    output: str,
    web: bool,
    port: int,
    reachable: tuple[str, str] | None,
    protocol: str,
) -> None:
    """Print who called whom, as it was observed.

    With --reachable, A is [pod/][NAMESPACE/]NAME, node/NAME, an address or outside; B is one of these or
    svc/[NAMESPACE/]NAME, with :PORT. The answer is yes, no or sometimes, with its reasons; no leaves with exit code 1.
    """
    from podling.cli.graph import explain, serve, show

    if reachable is not None:
        explain(data_dir, *reachable, protocol)
    elif web:
        serve(data_dir, port)
    else:
        show(data_dir, namespace, output)


@main.group()
def image() -> None:
    """The images on the node."""


@image.command("load")
@_with_data_dir
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def image_load(data_dir: DataDir, file: Path) -> None:
    """Take in the images of a docker or OCI archive (.tar, .tar.gz)."""
    from podling.cli.images import load

    load(data_dir, file)


@image.command("pull")
@_with_data_dir
@click.argument("reference")
def image_pull(data_dir: DataDir, reference: str) -> None:
    """Pull an image from its registry."""
    from podling.cli.images import pull

    pull(data_dir, reference)


@image.command("list")
@_with_data_dir
def image_list(data_dir: DataDir) -> None:
    """List the images present."""
    from podling.cli.images import show

    show(data_dir)


@image.command("rm")
@_with_data_dir
@click.argument("reference")
def image_rm(data_dir: DataDir, reference: str) -> None:
    """Remove an image."""
    from podling.cli.images import remove

    remove(data_dir, reference)
