from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from podling.client.kubeconfig import ConfigError, in_cluster, load_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters:
- name: c
  cluster: {{server: "https://127.0.0.1:6443", certificate-authority: ca.crt, tls-server-name: kubernetes}}
users:
- name: u
  user: {{client-certificate-data: {crt}, client-key-data: {key}, client-certificate: ignored}}
- name: t
  user: {{tokenFile: token}}
- name: x
  user: {{exec: {{command: aws}}}}
contexts:
- name: here
  context: {{cluster: c, user: u, namespace: shop}}
- name: token
  context: {{cluster: c, user: t}}
- name: program
  context: {{cluster: c, user: x}}
- name: broken
  context: {{cluster: nowhere, user: u}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "token").write_text("secret\n")
    path = tmp_path / "kubeconfig"
    path.write_text(CONFIG.format(crt=base64.b64encode(b"CRT").decode(), key=base64.b64encode(b"KEY").decode()))
    return path


def test_kubeconfig_is_read(config: Path) -> None:
    """Data goes before files, files count from the kubeconfig's directory, tokens are read afresh."""
    here = load_kubeconfig(config)
    assert (here.server, here.ca, here.certificate, here.key) == ("https://127.0.0.1:6443", b"CA", b"CRT", b"KEY")
    assert (here.server_name, here.namespace, here.bearer()) == ("kubernetes", "shop", "")
    other = load_kubeconfig(config, "token")
    assert (other.namespace, other.bearer()) == ("default", "secret")
    (config.parent / "token").write_text("rotated")
    assert other.bearer() == "rotated"


def test_kubeconfig_that_cannot_be_used_says_why(config: Path) -> None:
    """Each way in which a kubeconfig fails has its own sentence."""
    with pytest.raises(ConfigError, match="no cluster 'nowhere'"):
        load_kubeconfig(config, "broken")
    with pytest.raises(ConfigError, match="no context 'missing'"):
        load_kubeconfig(config, "missing")
    with pytest.raises(ConfigError, match="from a program"):
        load_kubeconfig(config, "program")
    config.write_text("{")
    with pytest.raises(ConfigError, match="not YAML"):
        load_kubeconfig(config)
    config.write_text("clusters: []")
    with pytest.raises(ConfigError, match="no current-context"):
        load_kubeconfig(config)


def test_in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Pod: the service's address from the environment, token and authority from the mount."""
    for name, text in [("ca.crt", "CA"), ("token", "t"), ("namespace", "shop")]:
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    here = in_cluster(tmp_path)
    assert (here.server, here.ca, here.bearer(), here.namespace) == ("https://[fd00::1]:443", b"CA", "t", "shop")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ConfigError, match="not in a cluster"):
        in_cluster(tmp_path)
