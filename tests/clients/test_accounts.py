"""ServiceAccounts over HTTPS: tokens asked for, tokens in Secrets, who one is and for whom one may stand in."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.running import RunningCluster, eventually, pod_manifest

pytestmark = pytest.mark.root


def as_token(cluster: RunningCluster, token: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl with a token and nothing else that tells who calls."""
    server = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json").stdout)["clusters"][0]["cluster"]
    ca = cluster.data / "ca-for-tokens.crt"
    ca.write_bytes(base64.b64decode(server["certificate-authority-data"]))
    options = ["--server", server["server"], "--certificate-authority", str(ca), "--token", token]
    return subprocess.run(
        ["kubectl", "--kubeconfig", "/dev/null", *options, *words], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip


def who(cluster: RunningCluster, token: str) -> dict:
    """Return a SelfSubjectReview's userInfo, or what was said instead."""
    answer = as_token(cluster, token, "auth", "whoami", "-o", "json")
    return json.loads(answer.stdout)["status"]["userInfo"] if answer.returncode == 0 else {"refused": answer.stderr}


def reviewed(cluster: RunningCluster, token: str, *audiences: str) -> dict:
    spec = {"token": token, "audiences": list(audiences)}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    made = cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(review))
    return json.loads(made.stdout)["status"]


def claims(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


UNAUTHORIZED = "You must be logged in to the server"


def test_a_token_that_is_asked_for_is_the_accounts(cluster: RunningCluster, name: str) -> None:
    """`create token`: its user, groups and uid; another audience's opens vaults and not the API; it goes with its account."""
    cluster.kubectl("create", "serviceaccount", name)
    uid = cluster.get("serviceaccount", name)["metadata"]["uid"]
    token = cluster.kubectl("create", "token", name, "--duration=10m").stdout.strip()
    user = who(cluster, token)
    assert (user["username"], user["uid"]) == (f"system:serviceaccount:default:{name}", uid)
    assert user["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert claims(token)["exp"] - claims(token)["iat"] == 600
    assert "cannot list resource" in as_token(cluster, token, "get", "pods").stderr
    vault = cluster.kubectl("create", "token", name, "--audience=vault").stdout.strip()
    assert UNAUTHORIZED in who(cluster, vault)["refused"]
    assert reviewed(cluster, vault, "vault")["audiences"] == ["vault"]
    assert not reviewed(cluster, vault, "elsewhere").get("authenticated")
    short = cluster.kubectl("create", "token", name, "--duration=1m", check=False)
    assert "may not specify a duration less than 10 minutes" in short.stderr
    head, said, signature = token.split(".")
    forged = json.dumps({**claims(token), "sub": "system:serviceaccount:kube-system:default"}).encode()
    spoilt = f"{head}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}.{signature}"
    assert UNAUTHORIZED in who(cluster, spoilt)["refused"]
    assert UNAUTHORIZED in who(cluster, f"{head}.{said}.")["refused"]
    cluster.kubectl("delete", "serviceaccount", name)
    eventually(lambda: UNAUTHORIZED in who(cluster, token).get("refused", ""))


def test_a_bound_token_dies_with_its_pod(cluster: RunningCluster, pod: str) -> None:
    """It tells Pod and node, and is refused at once when the Pod is gone."""
    words = ("--bound-object-kind=Pod", f"--bound-object-name={pod}")
    token = cluster.kubectl("create", "token", "default", *words).stdout.strip()
    extra = who(cluster, token)["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == [pod]
    assert "authentication.kubernetes.io/node-name" in extra
    mounted = cluster.kubectl("exec", pod, "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").stdout
    assert who(cluster, mounted)["username"] == "system:serviceaccount:default:default"
    cluster.kubectl("delete", "pod", pod, "--now")
    for each in (token, mounted):
        assert UNAUTHORIZED in who(cluster, each)["refused"]


def test_a_secret_holds_a_token_for_as_long_as_it_lives(cluster: RunningCluster, name: str) -> None:
    """As clusters of old had them: filled, usable over HTTPS, put right when changed, gone with the account."""
    cluster.kubectl("create", "serviceaccount", name)
    note = {"kubernetes.io/service-account.name": name}
    manifest = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
                "metadata": {"name": name, "annotations": note}}  # fmt: skip

    def filled() -> dict:
        return eventually(
            lambda: (found := cluster.get("secret", name)) and found.get("data", {}).get("token") and found
        )

    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    secret = filled()
    account = cluster.get("serviceaccount", name)["metadata"]["uid"]
    assert secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account
    told = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert told["namespace"] == "default"
    assert told["ca.crt"] == cluster.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"]
    assert who(cluster, told["token"])["username"] == f"system:serviceaccount:default:{name}"
    assert name in cluster.kubectl("describe", "secret", name).stdout

    changed = json.dumps({"data": {"ca.crt": "b2xk", "mine": "eA=="}})
    cluster.kubectl("patch", "secret", name, "-p", changed)
    eventually(lambda: cluster.get("secret", name)["data"]["ca.crt"] == secret["data"]["ca.crt"])
    assert cluster.get("secret", name)["data"] == {**secret["data"], "mine": "eA=="}
    cluster.kubectl("patch", "secret", name, "-p", json.dumps({"data": {"token": None}}))
    fresh = base64.b64decode(filled()["data"]["token"]).decode()
    assert UNAUTHORIZED in who(cluster, told["token"])["refused"]
    assert "username" in who(cluster, fresh)
    told["token"] = fresh
    cluster.kubectl("delete", "secret", name)
    assert UNAUTHORIZED in who(cluster, told["token"])["refused"]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    again = base64.b64decode(filled()["data"]["token"]).decode()
    assert "username" in who(cluster, again)
    cluster.kubectl("delete", "serviceaccount", name)
    eventually(lambda: cluster.kubectl("get", "secret", name, check=False).returncode)
    assert UNAUTHORIZED in who(cluster, again)["refused"]
    unnamed = json.dumps({**manifest, "metadata": {"name": name}})
    refused = cluster.kubectl("create", "-f", "-", stdin=unnamed, check=False)
    assert "metadata.annotations[kubernetes.io/service-account.name]: Required value" in refused.stderr


def test_who_mounts_a_token_and_pulls_with_what(cluster: RunningCluster, name: str) -> None:
    """The Pod's word comes before the account's; pull secrets are the account's where the Pod names none."""
    cluster.kubectl("create", "serviceaccount", name)
    patch = {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "from-account"}]}
    cluster.kubectl("patch", "serviceaccount", name, "-p", json.dumps(patch))
    cases = {
        "neither": {},
        "pod-wants": {"automountServiceAccountToken": True},
        "pod-pulls": {"imagePullSecrets": [{"name": "own"}]},
    }
    for case, spec in cases.items():
        cluster.kubectl("create", "-f", "-", stdin=pod_manifest(f"{name}-{case}", serviceAccountName=name, **spec))
    specs = {case: cluster.get("pod", f"{name}-{case}")["spec"] for case in cases}
    cluster.kubectl("delete", "pods", "--now", *(f"{name}-{case}" for case in cases))
    assert {case: bool(spec.get("volumes")) for case, spec in specs.items()} == {
        "neither": False, "pod-wants": True, "pod-pulls": False,
    }  # fmt: skip
    pulls = {case: spec["imagePullSecrets"][0]["name"] for case, spec in specs.items()}
    assert pulls == {"neither": "from-account", "pod-wants": "from-account", "pod-pulls": "own"}


def test_stand_ins_have_the_rights_of_whom_they_stand_in_for(cluster: RunningCluster, name: str) -> None:
    """`--as` for users, groups and accounts; who may not impersonate is refused by name."""
    cluster.kubectl("create", "serviceaccount", name)
    cluster.kubectl("create", "rolebinding", name, "--clusterrole=view", f"--serviceaccount=default:{name}")
    account = f"--as=system:serviceaccount:default:{name}"
    assert cluster.kubectl("auth", "can-i", "list", "pods", account).stdout.strip() == "yes"
    assert cluster.kubectl("auth", "can-i", "delete", "pods", account, check=False).stdout.strip() == "no"
    assert (
        cluster.kubectl("auth", "can-i", "list", "pods", "-n", "kube-system", account, check=False).stdout.strip()
        == "no"
    )
    shown = cluster.kubectl("auth", "whoami", "--as=jane", "--as-group=dev", "--as-uid=7", "-o", "json").stdout
    user = json.loads(shown)["status"]["userInfo"]
    assert (user["username"], user["uid"], user["groups"]) == ("jane", "7", ["dev", "system:authenticated"])
    token = cluster.kubectl("create", "token", name).stdout.strip()
    refused = as_token(cluster, token, "get", "pods", "--as=jane")
    assert f'User "system:serviceaccount:default:{name}" cannot impersonate resource "users"' in refused.stderr
    cluster.kubectl("delete", "rolebinding", name)
    cluster.kubectl("delete", "serviceaccount", name)


def test_a_token_is_verified_by_what_the_issuer_publishes(cluster: RunningCluster, name: str) -> None:
    """Whoever holds a token reads who issues tokens and by which keys, and one of these has signed it."""
    cluster.kubectl("create", "serviceaccount", name)
    token = cluster.kubectl("create", "token", name).stdout.strip()
    told = json.loads(as_token(cluster, token, "get", "--raw", "/.well-known/openid-configuration").stdout)
    assert told["issuer"] == claims(token)["iss"]
    assert told["jwks_uri"].startswith(f"{told['issuer']}/")
    path = told["jwks_uri"].removeprefix(told["issuer"])
    keys = json.loads(as_token(cluster, token, "get", "--raw", path).stdout)["keys"]
    head, body, signature = token.split(".")

    def raw(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    [key] = [it for it in keys if it["kid"] == json.loads(raw(head))["kid"]]
    assert (key["kty"], key["crv"], key["alg"]) == ("EC", "P-256", told["id_token_signing_alg_values_supported"][0])
    x, y, r, s = (int.from_bytes(it) for it in (raw(key["x"]), raw(key["y"]), raw(signature)[:32], raw(signature)[32:]))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    cluster.kubectl("delete", "serviceaccount", name)
