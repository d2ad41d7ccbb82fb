"""What a Pod is given on real containers: environment, volumes, identity, files, messages; told by the Pod itself.

All Pods that end by themselves are created at once; each case then reads one log. A case's expectation is the set of
lines that the log must hold.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.linux import cgroup
from podling.runtime.oci.layout import instance_id
from tests.conftest import missing_for_containers
from tests.running import IMAGE, RunningCluster, eventually, started

pytestmark = pytest.mark.root

CONFIG = {"data-1": "value-1", "data-2": "value-2", "with.dots": "dotted"}


def pod(
    name: str, script: str = "", *, container: dict | None = None, mounts: dict | None = None, **spec: object
) -> dict:
    """A Pod of one container that runs `script` once; `mounts` are mount paths by volume name."""
    main = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script or "sleep 3600"], **(container or {})}
    main.setdefault("volumeMounts", [{"name": volume, "mountPath": path} for volume, path in (mounts or {}).items()])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"key1": "value1", "key2": "value2"}, "annotations": {"builder": "bar", "mysubpath": "mypath"}},
        "spec": {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [main], **spec},
    }  # fmt: skip


def config_map(**more: object) -> dict:
    return {"name": "v", "configMap": {"name": "conf", **more}}


def secret(**more: object) -> dict:
    return {"name": "v", "secret": {"secretName": "hidden", **more}}


def downward(*items: tuple, **more: object) -> dict:
    return {"items": [_item(*item) for item in items], **more}


def _item(path: str, what: str, **more: object) -> dict:
    if "." in what and what.partition(".")[0] in ("limits", "requests"):
        return {"path": path, "resourceFieldRef": {"containerName": "main", "resource": what}, **more}
    return {"path": path, "fieldRef": {"fieldPath": what}, **more}


def projected(*sources: dict, **more: object) -> dict:
    return {"name": "v", "projected": {"sources": list(sources), **more}}


def variable(name: str, **source: object) -> dict:
    return {"name": name, "valueFrom": source}


def field(name: str, path: str) -> dict:
    return variable(name, fieldRef={"fieldPath": path})


def in_file(name: str, key: str, path: str = "vars", **more: object) -> dict:
    return variable(name, fileKeyRef={"volumeName": "v", "path": path, "key": key, **more})


def amount(name: str, resource: str, **more: object) -> dict:
    return variable(name, resourceFieldRef={"resource": resource, **more})


SOME = {"resources": {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}}
USER = {"runAsUser": 1000, "runAsGroup": 2000}
SHOW = "for f in /v/* /v/*/*; do [ -f $f ] && echo $(stat -L -c '%a %u %g' $f) $f $(cat $f); done; true"
WRITE = "umask 0; echo content > /v/f && chmod {mode} /v/f && stat -c '%a %u' /v/f && cat /v/f; stat -c 'dir %a' /v"
DIR, TMPFS = {"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}
V = {"v": "/v"}
AMOUNTS = (
    ("name", "metadata.name"),
    ("cl", "limits.cpu"),
    ("cr", "requests.cpu"),
    ("ml", "limits.memory"),
    ("mr", "requests.memory"),
)
SHOWN_AMOUNTS = ("644 0 0 /v/cl 2", "644 0 0 /v/cr 1", "644 0 0 /v/ml 67108864", "644 0 0 /v/mr 33554432")
IMAGE_VOLUME = {"name": "v", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}

# name, Pod, lines of its log (a line that ends in … is a beginning)
GIVEN = [
    ("fields", pod("fields", "env; hostname", container={"env": [
        field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"), field("NODE", "spec.nodeName"),
        field("POD_IP", "status.podIP"), field("HOST_IP", "status.hostIP"), field("UID", "metadata.uid"),
        field("ACCOUNT", "spec.serviceAccountName"), field("LABEL", "metadata.labels['key1']"),
        field("NOTE", "metadata.annotations['builder']"), field("NONE", "metadata.labels['none']"),
        field("ADDRESSES", "status.podIPs"), field("HOSTS", "status.hostIPs"), variable("API", fieldRef={"apiVersion": "v1", "fieldPath": "metadata.name"})]}),
        ("POD_NAME=fields", "POD_NAMESPACE=default", "POD_IP=10.…", "HOST_IP=…", "ACCOUNT=default", "LABEL=value1",
         "ADDRESSES=10.…", "HOSTS=…", "API=fields", "NOTE=bar", "NONE=", "fields", "KUBERNETES_SERVICE_HOST=10.…", "KUBERNETES_SERVICE_PORT=443")),
    ("amounts", pod("amounts", "env", container={**SOME, "env": [
        amount("CPU", "limits.cpu"), amount("MEMORY", "limits.memory"), amount("MI", "limits.memory", divisor="1Mi"),
        amount("MILLI", "requests.cpu", divisor="1m"), amount("ASKED", "requests.memory")]}),
        ("CPU=2", "MEMORY=67108864", "MI=64", "MILLI=250", "ASKED=33554432")),
    ("references", pod("references", "tr '\\0' '\\n' < /proc/1/environ; true", container={
        "env": [variable("C", configMapKeyRef={"name": "conf", "key": "data-1"}),
                variable("S", secretKeyRef={"name": "hidden", "key": "data-1"}),
                variable("O", configMapKeyRef={"name": "conf", "key": "none", "optional": True}),
                variable("A", secretKeyRef={"name": "absent", "key": "none", "optional": True}),
                {"name": "data-2", "value": "own"}],
        "envFrom": [{"configMapRef": {"name": "conf"}}, {"prefix": "p-", "secretRef": {"name": "hidden"}},
                    {"configMapRef": {"name": "absent", "optional": True}},
                    {"secretRef": {"name": "absent", "optional": True}}]}),
        ("C=value-1", "S=value-1", "data-1=value-1", "data-2=own", "p-data-2=value-2", "with.dots=dotted")),
    ("expansion", pod("expansion", container={
        "env": [{"name": "FOO", "value": "foo"}, {"name": "BAR", "value": "bar"}, {"name": "BOTH", "value": "$(FOO);;$(BAR)"},
                {"name": "ESCAPED", "value": "$$(FOO)"}, {"name": "LATE", "value": "$(LATER)"}, {"name": "LATER", "value": "x"}],
        "command": ["sh", "-c", 'env; echo "command $(BOTH)"; echo "args $0"'], "args": ["$(FOO)-$$(FOO)-$(NO)"]}),
        ("BOTH=foo;;bar", "ESCAPED=$(FOO)", "LATE=$(LATER)", "command foo;;bar", "args foo-$(FOO)-$(NO)")),
    ("config-map", pod("config-map", SHOW, mounts=V, volumes=[config_map()]),
        ("644 0 0 /v/data-1 value-1", "644 0 0 /v/data-2 value-2", "644 0 0 /v/with.dots dotted")),
    ("config-map-mode", pod("config-map-mode", SHOW, mounts=V, volumes=[config_map(defaultMode=0o400)]), ("400 0 0 /v/data-1 value-1",)),
    ("config-map-items", pod("config-map-items", SHOW + "; ls /v", mounts=V, securityContext=USER, volumes=[
        config_map(items=[{"key": "data-2", "path": "path/data-2", "mode": 0o444}])]), ("444 0 0 /v/path/data-2 value-2", "path")),
    ("config-map-optional", pod("config-map-optional", "ls /v | wc -l", mounts=V, volumes=[
        {"name": "v", "configMap": {"name": "absent", "optional": True}}]), ("0",)),
    ("config-map-binary", pod("config-map-binary", "od -An -tx1 /v/blob", mounts=V, volumes=[{"name": "v", "configMap": {"name": "binary"}}]),
        (" de ad be ef",)),
    ("secret-mode", pod("secret-mode", SHOW, mounts=V, volumes=[secret(defaultMode=0o400)]), ("400 0 0 /v/data-1 value-1",)),
    ("in-memory", pod("in-memory", "for v in s p d c; do grep \" /$v \" /proc/mounts | cut -d' ' -f1,3 | sed 's/^[^t].* /disk /'; done",
        mounts={"s": "/s", "p": "/p", "d": "/d", "c": "/c"}, volumes=[{**secret(), "name": "s"}, {**config_map(), "name": "c"},
        {"name": "p", "projected": {"sources": [{"secret": {"name": "hidden"}}]}}, {"name": "d", "downwardAPI": downward(("name", "metadata.name"))}]),
        ("tmpfs tmpfs", "disk…")),
    ("secret-group", pod("secret-group", SHOW, mounts=V, securityContext={"runAsUser": 1000, "fsGroup": 1001},
        volumes=[secret(defaultMode=0o440)]), ("440 0 1001 /v/data-1 value-1",)),
    ("secret-items", pod("secret-items", SHOW, mounts=V, volumes=[secret(items=[{"key": "data-1", "path": "new", "mode": 0o400}])]),
        ("400 0 0 /v/new value-1",)),
    ("twice", pod("twice", "cat /a/data-1 /b/data-1", mounts={"a": "/a", "b": "/b"}, volumes=[
        {**secret(), "name": "a"}, {**secret(), "name": "b"}]), ("value-1value-1",)),
    ("downward", pod("downward", SHOW, mounts=V, container=SOME, volumes=[{"name": "v", "downwardAPI": downward(
        ("name", "metadata.name"), ("labels", "metadata.labels"), ("cpu", "limits.cpu"), ("asked", "requests.memory"), defaultMode=0o400)}]),
        ("400 0 0 /v/name downward", '400 0 0 /v/labels key1="value1" key2="value2"', "400 0 0 /v/cpu 2", "400 0 0 /v/asked 33554432")),
    ("downward-modes", pod("downward-modes", SHOW, mounts=V, container=SOME, volumes=[{"name": "v", "downwardAPI": {"items": [
        {"path": "d/cpu", "resourceFieldRef": {"containerName": "main", "resource": "requests.cpu", "divisor": "1m"}, "mode": 0o440},
        {"path": "name", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]}}]),
        ("440 0 0 /v/d/cpu 250", "644 0 0 /v/name downward-modes")),
    ("secret-optional", pod("secret-optional", "ls /v | wc -l", mounts=V, volumes=[
        {"name": "v", "secret": {"secretName": "absent", "optional": True}}]), ("0",)),
    ("projected-all", pod("projected-all", SHOW, mounts=V, container=SOME, volumes=[projected(
        {"configMap": {"name": "conf", "items": [{"key": "data-1", "path": "c/one", "mode": 0o400}], "optional": False}},
        {"secret": {"name": "hidden", "items": [{"key": "data-2", "path": "s-two", "mode": 0o600}], "optional": False}},
        {"downwardAPI": {"items": [
            {"path": "name", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}, "mode": 0o444},
            {"path": "mi", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}}]}},
        {"configMap": {"name": "absent", "optional": True}}, defaultMode=0o640)]),
        ("400 0 0 /v/c/one value-1", "600 0 0 /v/s-two value-2", "444 0 0 /v/name projected-all", "640 0 0 /v/mi 64")),
    ("projected", pod("projected", SHOW, mounts=V, volumes=[projected(
        {"configMap": {"name": "conf", "items": [{"key": "data-1", "path": "c/one", "mode": 0o400}]}},
        {"secret": {"name": "hidden", "items": [{"key": "data-2", "path": "s-two"}]}},
        {"downwardAPI": downward(("name", "metadata.name"))}, {"secret": {"name": "absent", "optional": True}}, defaultMode=0o640)]),
        ("400 0 0 /v/c/one value-1", "640 0 0 /v/s-two value-2", "640 0 0 /v/name projected")),
    ("downward-amounts", pod("downward-amounts", SHOW, mounts=V, container=SOME, volumes=[{"name": "v", "downwardAPI": downward(*AMOUNTS)}]),
        ("644 0 0 /v/name downward-amounts", *SHOWN_AMOUNTS)),
    ("projected-amounts", pod("projected-amounts", SHOW, mounts=V, container=SOME, volumes=[projected({"downwardAPI": downward(*AMOUNTS)})]),
        ("644 0 0 /v/name projected-amounts", *SHOWN_AMOUNTS)),
    ("projected-twice", pod("projected-twice", "for v in a b c d; do stat -L -c %a /$v/data-1; cat /$v/data-1; echo; done | sort | uniq -c",
        mounts={name: f"/{name}" for name in "abcd"}, volumes=[
            {**projected(source), "name": name} for names, source in (("ab", {"configMap": {"name": "conf"}}), ("cd", {"secret": {"name": "hidden"}}))
            for name in names]), ("      4 644", "      4 value-1")),
    ("projected-user", pod("projected-user", SHOW, mounts=V, securityContext={"runAsUser": 1000, "fsGroup": 1001}, volumes=[projected(
        {"configMap": {"name": "conf"}}, {"configMap": {"name": "conf", "items": [{"key": "data-2", "path": "path/to"}]}},
        {"secret": {"name": "hidden", "items": [{"key": "data-1", "path": "hidden"}]}}, defaultMode=0o440)]),
        ("440 0 1001 /v/data-1 value-1", "440 0 1001 /v/path/to value-2", "440 0 1001 /v/hidden value-1")),
    ("token", pod("token", "cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; echo; ls; head -1 ca.crt; cut -c1-2 token"),
        ("default", "ca.crt", "token", "-----BEGIN CERTIFICATE-----", "ey")),
    ("no-token", pod("no-token", "ls -d /var/run/secrets/kubernetes.io || echo none", automountServiceAccountToken=False), ("none",)),
    *[(f"empty-{who or 'root'}-{mode}-{'memory' if volume is TMPFS else 'disk'}",
       pod(f"empty-{who or 'root'}-{mode}-{'memory' if volume is TMPFS else 'disk'}", WRITE.format(mode=mode), mounts=V,
           volumes=[volume], securityContext={"runAsUser": who}), (f"{mode} {who}", "content", "dir 777"))
      for who, mode, volume in itertools.product((0, 1000), (644, 666, 777), (TMPFS, DIR))],
    ("empty-group", pod("empty-group", "stat -c '%a %g' /v; echo x > /v/f; stat -c '%g' /v/f; id -G", mounts=V, volumes=[DIR],
        securityContext={"runAsUser": 1000, "fsGroup": 123}), ("2777 123", "123", "0 123")),
    ("memory", pod("memory", "grep ' /v ' /proc/mounts | cut -d' ' -f3; df -k /v | tail -1 | tr -s ' ' | cut -d' ' -f2", mounts=V, volumes=[TMPFS]),
        ("tmpfs", "8192")),
    ("shared", pod("shared", "until cat /v/f 2>/dev/null; do sleep 0.1; done", mounts=V, volumes=[DIR], initContainers=[
        {"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo from the first > /v/f"],
         "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]), ("from the first",)),
    ("sub-path", pod("sub-path", "cat /etc/one; echo mine > /s/f && cat /whole/mypath/sub-path/f; stat -c %a /whole/mypath", volumes=[
        {**config_map(), "name": "c"}, DIR], securityContext={"runAsUser": 1000}, container={
        "env": [field("NAME", "metadata.name"), field("NOTE", "metadata.annotations['mysubpath']")], "volumeMounts": [
            {"name": "c", "mountPath": "/etc/one", "subPath": "data-1"}, {"name": "v", "mountPath": "/whole"},
            {"name": "v", "mountPath": "/s", "subPathExpr": "$(NOTE)/$(NAME)"}]}), ("value-1mine", "777")),
    ("sub-paths", pod("sub-paths", "cat /etc/resolv.conf /n/s /n/d /n/p", volumes=[{**config_map(), "name": "c"}, {**secret(), "name": "s"},
        {"name": "d", "downwardAPI": downward(("d/name", "metadata.name"))}, {"name": "p", "projected": {"sources": [{"secret": {"name": "hidden"}}]}}],
        container={"volumeMounts": [{"name": name, "mountPath": path, "subPath": part} for name, path, part in (
            ("c", "/etc/resolv.conf", "data-1"), ("s", "/n/s", "data-2"), ("d", "/n/d", "d/name"), ("p", "/n/p", "data-1"))]}),
        ("value-1value-2sub-pathsvalue-1",)),
    ("many-volumes", pod("many-volumes", "cat /v*/data-1 | grep -o value-1 | wc -l", mounts={f"v{n}": f"/v{n}" for n in range(50)},
        volumes=[{**config_map(), "name": f"v{n}"} for n in range(50)]), ("50",)),
    ("user", pod("user", "id; touch /x || echo no", securityContext=USER), ("uid=1000 gid=2000…", "no")),
    ("nobody", pod("nobody", "id -u; id -g", container={"securityContext": {"runAsUser": 65534, "runAsGroup": 65533}}, securityContext=USER), ("65534", "65533")),
    ("groups", pod("groups", "id -G", securityContext={**USER, "supplementalGroups": [7, 8], "fsGroup": 9}), ("2000 7 8 9",)),
    ("read-only", pod("read-only", "touch /x || echo refused; touch /dev/shm/y && echo shm", container={"securityContext": {"readOnlyRootFilesystem": True}}),
        ("refused", "shm")),
    ("writable", pod("writable", "touch /x && echo written", container={"securityContext": {"readOnlyRootFilesystem": False}}), ("written",)),
    ("no-escalation", pod("no-escalation", "grep NoNewPrivs /proc/self/status", container={
        "securityContext": {"allowPrivilegeEscalation": False}}), ("NoNewPrivs:\t1",)),
    ("escalation", pod("escalation", "grep NoNewPrivs /proc/self/status"), ("NoNewPrivs:\t0",)),
    ("capable", pod("capable", "grep CapBnd /proc/self/status", container={
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}), ("CapBnd:\t0000000000001000",)),
    ("usual", pod("usual", "grep CapBnd /proc/self/status; ip link set lo down 2>/dev/null || echo may not; test -w /proc/sysrq-trigger || echo masked", container={"securityContext": {"procMount": "Default"}}),
        ("CapBnd:\t00000000a80425fb", "may not", "masked")),
    ("privileged", pod("privileged", "ip link set lo down && echo may; test -e /dev/kmsg && echo devices", container={"securityContext": {"privileged": True}}),
        ("may", "devices")),
    ("sysctl", pod("sysctl", "cat /proc/sys/kernel/shm_rmid_forced", securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}), ("1",)),
    ("hosts", pod("hosts", "cat /etc/hosts; hostname; hostname -f", hostname="given", subdomain="sub", hostAliases=[{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]),
        ("# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost", "# Entries added by HostAliases.", "123.45.67.89\tfoo\tbar", "given")),
    ("host-network", pod("host-network", "head -1 /etc/hosts", hostNetwork=True), ("# Kubernetes-managed hosts file (host network).",)),
    ("own-hosts", pod("own-hosts", "grep -c managed /etc/hosts; true", mounts={"v": "/etc/hosts"}, volumes=[
        {"name": "v", "hostPath": {"path": "/etc/hostname", "type": "File"}}]), ("0",)),
    ("file-variables", pod("file-variables", "env", container={"env": [
        in_file("ONE", "one"), in_file("TWO", "two"), in_file("NONE", "none", optional=True), in_file("ABSENT", "x", "absent", optional=True)]},
        volumes=[DIR], initContainers=[{"name": "writer", "image": IMAGE, "command": ["sh", "-c", "printf \"one='1 \\$X'\n# two\ntwo='a\nb'\" > /v/vars"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]), ("ONE=1 $X", "TWO=a", "b")),
    ("all-amounts", pod("all-amounts", "env", container={"resources": {"requests": {"ephemeral-storage": "5Mi"}}, "env": [
        amount("DISK", "requests.ephemeral-storage", divisor="1Mi"), amount("OTHER", "requests.memory", containerName="side", divisor="1k")]},
        initContainers=[{"name": "side", "image": IMAGE, "command": ["true"], "resources": {"requests": {"memory": "9M"}}}]), ("DISK=5", "OTHER=9000")),
    ("amounts-of-the-pod", pod("amounts-of-the-pod", "env", resources={"limits": {"memory": "48Mi", "cpu": "1500m"}}, container={"env": [
        amount("MEMORY", "limits.memory"), amount("CPU", "limits.cpu", divisor="1m")]}), ("MEMORY=50331648", "CPU=1500")),
    ("linked", pod("linked", "env", enableServiceLinks=True), ("LINKED_SERVICE_HOST=10.…", "LINKED_SERVICE_PORT=81", "LINKED_PORT_81_TCP_PROTO=tcp")),
    ("not-linked", pod("not-linked", "env | grep LINKED || echo none", enableServiceLinks=False), ("none",)),
    ("image-volume", pod("image-volume", "ls -d /v/bin/sh /b/sh; touch /v/x || echo refused", volumes=[IMAGE_VOLUME], container={"volumeMounts": [
        {"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/b", "subPath": "bin"}]}), ("/v/bin/sh", "/b/sh", "refused")),
    ("token-for", pod("token-for", "cut -d. -f2 /v/t | tr _- /+ | base64 -d 2>/dev/null; stat -L -c ' %a' /v/t", mounts=V, serviceAccountName="robot", volumes=[
        projected({"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 700}}, defaultMode=0o440)]),
        ('{"aud":["vault"],"exp":…',)),
    ("read-only-mount", pod("read-only-mount", "touch /v/x || echo refused", volumes=[DIR], container={"volumeMounts": [
        {"name": "v", "mountPath": "/v", "readOnly": True}]}), ("refused",)),
    ("fsgroup-policy", pod("fsgroup-policy", "stat -c '%a %g' /v", mounts=V, volumes=[TMPFS],
        securityContext={"fsGroup": 124, "fsGroupChangePolicy": "OnRootMismatch"}), ("2777 124",)),
    ("resolver", pod("resolver", "cat /etc/resolv.conf", dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.53"],
        "searches": ["one.example", "two.example"], "options": [{"name": "ndots", "value": "3"}, {"name": "rotate"}]}),
        ("nameserver 192.0.2.53", "search one.example two.example", "options ndots:3 rotate")),
    ("cluster-first", pod("cluster-first", "cat /etc/resolv.conf", dnsConfig={"options": [{"name": "timeout", "value": "2"}]}),
        ("search default.svc.cluster.local svc.cluster.local cluster.local…", "nameserver 10.…", "options ndots:5 timeout:2")),
    ("host-first", pod("host-first", "cat /etc/resolv.conf", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
        ("search default.svc.cluster.local svc.cluster.local cluster.local…", "nameserver 10.…", "options ndots:5")),
    ("fqdn", pod("fqdn", "hostname; cat /etc/hostname", hostname="short", subdomain="sub", setHostnameAsFQDN=True),
        ("short.sub.default.svc.cluster.local",)),
    ("overridden", pod("overridden", "hostname; grep -q overridden.example /etc/hosts && echo known", hostnameOverride="overridden.example"), ("overridden.example", "known")),
    ("terminal", pod("terminal", "test -t 1 && echo terminal; test -t 0 && echo typed", container={"tty": True, "stdin": True}), ("terminal", "typed")),
    ("no-terminal", pod("no-terminal", "test -t 1 || echo none; read x || echo no input"), ("none", "no input")),
    ("host-processes", pod("host-processes", "readlink /proc/self/ns/pid", hostPID=True), (os.readlink("/proc/self/ns/pid"),)),
    ("host-ipc", pod("host-ipc", "readlink /proc/self/ns/ipc", hostIPC=True), (os.readlink("/proc/self/ns/ipc"),)),
    ("host-network-too", pod("host-network-too", "readlink /proc/self/ns/net", hostNetwork=True, dnsPolicy="Default"), (os.readlink("/proc/self/ns/net"),)),
    ("class", pod("class", "echo runs", runtimeClassName="ours"), ("runs",)),
    ("non-root", pod("non-root", "id -u", container={"securityContext": {"runAsNonRoot": True}}, securityContext={**USER, "runAsNonRoot": True}), ("1000",)),
    ("strict-groups", pod("strict-groups", "id -G", securityContext={**USER, "supplementalGroups": [7], "supplementalGroupsPolicy": "Strict"}), ("2000 7",)),
    ("defaults", pod("defaults", container={"command": None, "args": ["echo", "from args"]}), ("from args",)),
    ("directory", pod("directory", "pwd", container={"workingDir": "/bin"}), ("/bin",)),
    ("own-processes", pod("own-processes", "grep PPid /proc/self/status; true"), ("PPid:\t1",)),
    ("shared-processes", pod("shared-processes", "grep PPid /proc/self/status | grep -v '\\s1$' && echo not first", shareProcessNamespace=True), ("not first",)),
]  # fmt: skip

MESSAGES = [
    ("file", "echo DONE > /dev/termination-log", {}, "DONE\n"),
    ("own-file", "echo DONE > /dev/own", {"terminationMessagePath": "/dev/own", "securityContext": {"runAsUser": 1000}}, "DONE\n"),
    ("log", "echo DONE; exit 1", {"terminationMessagePolicy": "FallbackToLogsOnError"}, "DONE\n"),
    ("file-first", "echo from log; echo DONE > /dev/termination-log; exit 1", {"terminationMessagePolicy": "FallbackToLogsOnError"}, "DONE\n"),
    ("no-need", "echo DONE", {"terminationMessagePolicy": "FallbackToLogsOnError"}, None),
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster in which everything that ends by itself runs at once."""
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    with started(tmp_path_factory.mktemp("given")) as running:
        create(
            running,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": CONFIG},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "binary"},
                "binaryData": {"blob": "3q2+7w=="},
            },
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": CONFIG},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "hidden", "namespace": "kube-node-lease"},
                "stringData": {"data-1": "of another namespace"},
            },
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "linked"}, "spec": {"ports": [{"port": 81}]}},
            *(
                {
                    "apiVersion": "node.k8s.io/v1",
                    "kind": "RuntimeClass",
                    "metadata": {"name": name},
                    "handler": handler,
                    **more,
                }
                for name, handler, more in (
                    ("ours", "podling", {}),
                    ("heavy", "podling", {"overhead": {"podFixed": {"cpu": "500m", "memory": "32Mi"}}}),
                    ("foreign", "kata", {}),
                )
            ),
        )
        told = [pod(f"message-{name}", script, container=more) for name, script, more, _ in MESSAGES]
        create(running, *(manifest for _, manifest, _ in GIVEN), *told)
        yield running


def create(cluster: RunningCluster, *items: dict) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def ended(cluster: RunningCluster, name: str) -> dict:
    """Return a Pod's status once the Pod has ended."""

    def status() -> dict | None:
        found = cluster.get("pod", name)["status"]
        return found if found["phase"] in ("Succeeded", "Failed") else None

    return eventually(status, seconds=60)


@pytest.mark.parametrize(("name", "manifest", "lines"), GIVEN, ids=[name for name, _, _ in GIVEN])
def test_a_pod_is_given_what_it_asks_for(cluster, name, manifest, lines):
    """The Pod's own words, in its log, hold what its specification promises it."""
    assert ended(cluster, name)["phase"] == "Succeeded", cluster.kubectl("logs", name, check=False).stdout
    log = cluster.kubectl("logs", name).stdout.splitlines()
    for line in lines:
        found = any(told.startswith(line[:-1]) for told in log) if line.endswith("…") else line in log
        assert found, f"{line!r} not in {log}"
    assert not any(told.startswith(("O=", "A=")) for told in log)


@pytest.mark.parametrize(("name", "message"), [(name, message) for name, _, _, message in MESSAGES])
def test_a_container_leaves_a_message(cluster, name, message):
    """From its file, else from its log if it failed and may; none if it succeeded and only the log has one."""
    (status,) = ended(cluster, f"message-{name}")["containerStatuses"]
    assert status["state"]["terminated"].get("message") == message


REFUSED = [
    ("absolute", {"POD": "/tmp"}, "error SubPath `/tmp` must not be an absolute path"),
    ("backsteps", {"POD": ".."}, "unable to provision SubPath `..`: must not contain '..'"),
    ("unset", {}, "missing value for POD"),
]


def waits_for_config(cluster: RunningCluster, name: str) -> str:
    """Return why a Pod's container cannot be configured, once it is told."""

    def message() -> str:
        statuses = cluster.get("pod", name)["status"].get("containerStatuses", [{"state": {}}])
        waiting = statuses[0]["state"].get("waiting", {})
        return waiting["message"] if waiting.get("reason") == "CreateContainerConfigError" else ""

    return eventually(message)


@pytest.mark.parametrize(("name", "values", "message"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_sub_paths_that_lead_out_are_refused(cluster, name, values, message):
    """The container waits with CreateContainerConfigError and upstream's sentence, and is never started."""
    env = [{"name": key, "value": value} for key, value in values.items()]
    mount = {"name": "v", "mountPath": "/v", "subPathExpr": "$(POD)"}
    create(cluster, pod(f"out-{name}", container={"env": env, "volumeMounts": [mount]}, volumes=[DIR]))
    assert waits_for_config(cluster, f"out-{name}") == message
    cluster.kubectl("delete", "pod", f"out-{name}", "--now")


def test_a_sub_path_that_failed_may_come_right(cluster):
    """A subPathExpr of an annotation that is missing keeps the container waiting until the annotation is there."""
    mount = {"name": "v", "mountPath": "/v", "subPathExpr": "$(WHERE)/$(NAME)"}
    env = [field("WHERE", "metadata.annotations['later']"), field("NAME", "metadata.name")]
    create(cluster, pod("comes-right", container={"env": env, "volumeMounts": [mount]}, volumes=[DIR]))
    assert waits_for_config(cluster, "comes-right") == "missing value for WHERE"
    cluster.kubectl("annotate", "pod", "comes-right", "later=there")
    cluster.wait_ready("comes-right")
    cluster.kubectl("delete", "pod", "comes-right", "--now")


def test_volumes_follow_what_they_show(cluster):
    """What changes in ConfigMap, Secret, labels, annotations reaches a running container within two seconds."""
    moving = {"name": "moving", "items": [{"key": "k", "path": "s"}]}
    shown = [
        {"name": "c", "configMap": {"name": "moving"}},
        {"name": "s", "secret": {"secretName": "moving"}},
        {"name": "d", "downwardAPI": downward(("labels", "metadata.labels"), ("notes", "metadata.annotations"))},
        {"name": "o", "configMap": {"name": "coming", "optional": True}},
        {"name": "p", "projected": {"sources": [
            {"configMap": {"name": "moving"}}, {"secret": moving}, {"downwardAPI": downward(("labels", "metadata.labels"))}]}},
    ]  # fmt: skip
    for kind in (("configmap",), ("secret", "generic")):
        cluster.kubectl("create", *kind, "moving", "--from-literal=k=old", "--from-literal=gone=x")
    create(cluster, pod("follower", mounts={volume["name"]: f"/{volume['name']}" for volume in shown}, volumes=shown))
    cluster.wait_ready("follower")

    def sees(command: str, wanted: str) -> None:
        began = time.monotonic()
        eventually(lambda: cluster.kubectl("exec", "follower", "--", "sh", "-c", command, check=False).stdout == wanted)
        assert time.monotonic() - began < 4  # two seconds, and as much again for the commands themselves

    moved = json.dumps({"data": {"k": "new", "gone": None, "more": "1"}})
    cluster.kubectl("patch", "configmap", "moving", "-p", moved)
    sees("cat /c/k /p/k; echo; ls /c", "newnew\nk\nmore\n")
    cluster.kubectl("patch", "secret", "moving", "-p", json.dumps({"stringData": {"k": "new"}}))
    sees("cat /s/k /p/s", "newnew")
    cluster.kubectl("label", "pod", "follower", "key1-")
    cluster.kubectl("annotate", "pod", "follower", "builder=foo", "--overwrite")
    sees("cat /d/labels /p/labels; echo; grep builder /d/notes", 'key2="value2"key2="value2"\nbuilder="foo"\n')
    cluster.kubectl("create", "configmap", "coming", "--from-literal=k=here")
    sees("cat /o/k", "here")
    cluster.kubectl("delete", "configmap", "coming")
    sees("ls /o", "")
    cluster.kubectl("delete", "pod", "follower", "--now")


def inits(*commands: str) -> list[dict]:
    return [{"name": f"init{n}", "image": IMAGE, "command": ["sh", "-c", c]} for n, c in enumerate(commands, 1)]


def initialized(status: dict) -> tuple[str, str, str]:
    (found,) = (c for c in status["conditions"] if c["type"] == "Initialized")
    return found["status"], found.get("reason", ""), found.get("message", "")


def test_init_containers_hold_the_others_up(cluster):
    """In order, once; where one fails for good the Pod fails, where it may be restarted the others wait for it."""
    create(
        cluster,
        pod("init-once", "true", initContainers=inits("true", "true")),
        pod("init-stays", restartPolicy="Always", initContainers=inits("true", "true")),
        pod("init-fails", initContainers=inits("true", "false")),
        pod("init-again", restartPolicy="Always", initContainers=inits("false", "true")),
    )
    once = ended(cluster, "init-once")
    assert [(s["ready"], s["state"]["terminated"]["exitCode"]) for s in once["initContainerStatuses"]] == [
        (True, 0)
    ] * 2
    assert initialized(once)[0] == "True"
    cluster.wait_ready("init-stays")
    failed = ended(cluster, "init-fails")
    (main,) = failed["containerStatuses"]
    assert (failed["phase"], main["state"]["waiting"]["reason"], main["started"]) == (
        "Failed",
        "PodInitializing",
        False,
    )
    why = "containers with incomplete status: "
    assert initialized(failed) == ("False", "ContainersNotInitialized", f"{why}[init2]")

    def restarted() -> dict | None:
        status = cluster.get("pod", "init-again")["status"]
        return status if status["initContainerStatuses"][0]["restartCount"] >= 1 else None

    again = eventually(restarted, seconds=40)
    assert (again["phase"], again["containerStatuses"][0]["state"]["waiting"]["reason"]) == (
        "Pending",
        "PodInitializing",
    )
    assert initialized(again)[2] == f"{why}[init1 init2]"
    cluster.kubectl("delete", "pods", "init-once", "init-stays", "init-fails", "init-again", "--now")


def test_a_deadline_may_be_set_while_the_pod_runs(cluster):
    """The Pod fails with DeadlineExceeded; the deadline can be shortened and not lengthened."""
    create(cluster, pod("deadline", activeDeadlineSeconds=60))
    cluster.wait_ready("deadline")
    cluster.kubectl("patch", "pod", "deadline", "-p", json.dumps({"spec": {"activeDeadlineSeconds": 1}}))
    status = ended(cluster, "deadline")
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    longer = json.dumps({"spec": {"activeDeadlineSeconds": 90}})
    refused = cluster.kubectl("patch", "pod", "deadline", "-p", longer, check=False)
    assert "must be less than or equal to previous value" in refused.stderr


SYSCTLS = [{"name": name, "value": "1"} for name in ("foo-", "kernel.shmmax", "bar..")]
FORBIDDEN = [
    ({"securityContext": {"sysctls": SYSCTLS}}, ('Invalid value: "foo-"', 'Invalid value: "bar.."')),
    ({"runtimeClassName": "absent"}, ('pod rejected: RuntimeClass "absent" not found',)),
]
FORBIDDEN_NAMES = ("sysctls", "runtime-class")


@pytest.mark.parametrize(("spec", "sentences"), FORBIDDEN, ids=FORBIDDEN_NAMES)
def test_the_api_refuses_what_no_node_could_give(cluster, spec, sentences):
    """Sysctls with bad names and RuntimeClasses that are missing are refused at once, in upstream's words."""
    refused = cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod("forbidden", **spec)), check=False)
    assert refused.returncode != 0
    assert all(sentence in refused.stderr for sentence in sentences), refused.stderr
    assert "kernel.shmmax" not in refused.stderr


def test_sysctls_that_are_not_safe_fail_the_pod(cluster):
    """The node refuses the Pod: Failed with SysctlForbidden."""
    create(cluster, pod("unsafe", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}))
    status = ended(cluster, "unsafe")
    assert (status["phase"], status["reason"]) == ("Failed", "SysctlForbidden")


def test_nodes_give_all_they_have_where_nothing_is_asked(cluster):
    """A limit that is not set is the node's allocatable, in variables and in volumes."""
    script = "env | grep -E '^(CPU|MEMORY)='; echo DISK=$(cat /v/disk)"
    disk = {"name": "v", "downwardAPI": downward(("disk", "limits.ephemeral-storage"))}
    env = [amount("CPU", "limits.cpu"), amount("MEMORY", "limits.memory")]
    create(cluster, pod("unlimited", script, container={"env": env}, mounts=V, volumes=[disk]))
    ended(cluster, "unlimited")
    told = dict(line.split("=") for line in cluster.kubectl("logs", "unlimited").stdout.splitlines())
    given = cluster.get("nodes")["items"][0]["status"]["allocatable"]
    assert int(told["CPU"]) == int(given["cpu"])
    assert int(told["MEMORY"]) == int(given["memory"].removesuffix("Ki")) * 1024
    assert int(told["DISK"]) > 0


MISSING_VOLUMES = {
    "no-config-map": ({"name": "v", "configMap": {"name": "later"}}, 'configmap "later" not found'),
    "no-secret": ({"name": "v", "secret": {"secretName": "later"}}, 'secret "later" not found'),
    "no-config-key": (
        config_map(items=[{"key": "later", "path": "x"}]),
        "configmap references non-existent config key: later",
    ),
    "no-secret-key": (secret(items=[{"key": "later", "path": "x"}]), "references non-existent secret key: later"),
    "no-part": (
        {"name": "v", "projected": {"sources": [{"secret": {"name": "later"}}]}},
        'secret "later" not found',
    ),
}
MISSING_VARIABLES = {
    "no-map-variable": (variable("X", configMapKeyRef={"name": "later", "key": "k"}), 'configmap "later" not found'),
    "no-key-variable": (
        variable("X", configMapKeyRef={"name": "conf", "key": "later"}),
        "couldn't find key later in ConfigMap default/conf",
    ),
    "no-secret-variable": (variable("X", secretKeyRef={"name": "later", "key": "k"}), 'secret "later" not found'),
    "no-secret-key-variable": (
        variable("X", secretKeyRef={"name": "hidden", "key": "later"}),
        "couldn't find key later in Secret default/hidden",
    ),
    "no-file-variable": (in_file("X", "k"), "couldn't parse env file"),
}


def test_what_is_missing_is_waited_for(cluster):
    """Volumes keep a Pod in ContainerCreating, variables in CreateContainerConfigError, each with upstream's event."""
    volumes = {name: pod(name, mounts=V, volumes=[source]) for name, (source, _) in MISSING_VOLUMES.items()}
    variables = {
        name: pod(name, container={"env": [wanted], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[DIR])
        for name, (wanted, _) in MISSING_VARIABLES.items()
    }
    create(cluster, *volumes.values(), *variables.values())
    for name, (_, words) in MISSING_VOLUMES.items():
        sentence = f'MountVolume.SetUp failed for volume "v" : {words}'
        eventually(lambda name=name, sentence=sentence: sentence in told(cluster, name, "FailedMount"))
        (status,) = cluster.get("pod", name)["status"]["containerStatuses"]
        assert status["state"]["waiting"]["reason"] == "ContainerCreating"
    for name, (_, words) in MISSING_VARIABLES.items():
        assert waits_for_config(cluster, name) == words
        assert f"Error: {words}" in told(cluster, name, "Failed")
    cluster.kubectl("create", "configmap", "later", "--from-literal=k=v")
    cluster.kubectl("create", "secret", "generic", "later", "--from-literal=k=v")
    cluster.kubectl("patch", "configmap", "conf", "-p", json.dumps({"data": {"later": "v"}}))
    cluster.kubectl("patch", "secret", "hidden", "-p", json.dumps({"stringData": {"later": "v"}}))
    place = cluster.data / "pods" / cluster.get("pod", "no-file-variable")["metadata"]["uid"]
    (place / "volumes/kubernetes.io~empty-dir/v/vars").write_text("k='v'")
    names = [*MISSING_VOLUMES, *MISSING_VARIABLES]
    cluster.wait_ready(*names, seconds=90)
    cluster.kubectl("patch", "configmap", "conf", "-p", json.dumps({"data": {"later": None}}))
    cluster.kubectl("delete", "pods", *names, "--now")
    cluster.kubectl("delete", "configmap/later", "secret/later")


def told(cluster: RunningCluster, name: str, reason: str) -> list[str]:
    """Return what events of a reason say of a Pod."""
    items = cluster.get("events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
    return [item["message"] for item in items]


def test_a_runtime_class_that_no_node_knows_is_waited_for(cluster):
    """A handler that the runtime has not: the Pod is ContainerCreating, with containerd's words in its event."""
    create(cluster, pod("foreign", runtimeClassName="foreign"))
    words = 'failed to get sandbox runtime: no runtime for "kata" is configured'
    eventually(lambda: [m for m in told(cluster, "foreign", "FailedCreatePodSandBox") if m.endswith(words)])
    assert cluster.get("pod", "foreign")["status"]["phase"] == "Pending"
    cluster.kubectl("delete", "pod", "foreign", "--now")


def test_overhead_is_part_of_what_a_pod_gets(cluster):
    """A class's overhead is added to the Pod's group: shares, quota and limit; its containers see their own alone."""
    own = {"resources": {"limits": {"cpu": "250m", "memory": "32Mi"}}}
    create(cluster, pod("heavy", container=own, runtimeClassName="heavy"))
    cluster.wait_ready("heavy")
    found = cluster.get("pod", "heavy")
    assert found["spec"]["overhead"] == {"cpu": "500m", "memory": "32Mi"}
    hierarchies = cgroup.detect()
    below = f"podling-{instance_id(cluster.data)}/kubepods/pod{found['metadata']['uid']}"

    def value(controller: str, first: str, second: str) -> str:
        top = hierarchies.v1.get(controller)
        return Path(top or hierarchies.v2 or "", below, first if top is not None else second).read_text().strip()

    assert value("memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert value("cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "75000"
    if "cpu" in hierarchies.v1:
        assert value("cpu", "cpu.shares", "") == "768"
    cluster.kubectl("delete", "pod", "heavy", "--now")


EVERYTHING = {
    "image": IMAGE,
    "command": [
        "sh",
        "-c",
        "env; pwd; id -u; id -g; cat /v/data-1 /part /image/etc/passwd; tty; touch /x; $0 $1",
        "echo",
    ],
    "args": ["args-$(C)"],
    "workingDir": "/tmp",
    "env": [field("NAME", "metadata.name"), variable("C", configMapKeyRef={"name": "conf", "key": "data-2"})],
    "envFrom": [{"prefix": "S_", "configMapRef": {"name": "upper"}}],
    "tty": True,
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "securityContext": {
        "runAsUser": 1000,
        "runAsGroup": 2000,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
    "volumeMounts": [
        {"name": "v", "mountPath": "/v", "readOnly": True},
        {"name": "image", "mountPath": "/image"},
    ],
}


def test_every_kind_of_container_is_given_the_same(cluster):
    """Init, main and ephemeral containers with one specification tell one story."""
    part = {"name": "v", "mountPath": "/part", "subPath": "data-1"}
    whole = {**EVERYTHING, "volumeMounts": [*EVERYTHING["volumeMounts"], part]}
    names = ("first", "main", "debugger")
    sleeper = {"name": "sleeper", "image": IMAGE, "command": ["sleep", "600"]}
    volumes = [config_map(), {**IMAGE_VOLUME, "name": "image"}]
    manifest = pod("all-kinds", volumes=volumes, initContainers=[{**whole, "name": "first"}])
    manifest["spec"]["containers"] = [sleeper, {**whole, "name": "main"}]
    cluster.kubectl("create", "configmap", "upper", "--from-literal=KEY=value")
    create(cluster, manifest)
    eventually(lambda: cluster.get("pod", "all-kinds")["status"]["phase"] == "Running")
    # An ephemeral container may mount no part of a volume: upstream forbids it.
    debugger = {**EVERYTHING, "name": "debugger", "targetContainerName": "sleeper"}
    debugger["command"] = [*debugger["command"][:2], debugger["command"][2].replace("/part", "/v/data-1"), "echo"]
    body = json.dumps({"spec": {"ephemeralContainers": [debugger]}})
    cluster.kubectl("patch", "pod", "all-kinds", "--subresource=ephemeralcontainers", "-p", body)

    def stories() -> list[list[str]] | None:
        status = cluster.get("pod", "all-kinds")["status"]
        groups = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        told = [held for group in groups for held in status.get(group, ())]
        ended = [held["name"] for held in told if "terminated" in held["state"]]
        if sorted(ended) != sorted(names):
            return None
        return [cluster.kubectl("logs", "all-kinds", "-c", name).stdout.splitlines() for name in names]

    first, main, debug = (
        sorted(line for line in story if not line.startswith("HOSTNAME")) for story in eventually(stories)
    )
    wanted = {"NAME=all-kinds", "C=value-2", "S_KEY=value", "/tmp", "1000", "2000", "args-value-2", "/dev/pts/0"}
    assert wanted <= {line.strip() for line in first}
    assert any("Read-only" in line for line in first)
    assert first == main == debug
    cluster.kubectl("delete", "pod", "all-kinds", "--now")


def test_input_is_given_once(cluster):
    """With stdinOnce the first client's end of input is the container's: it reads all and ends."""
    once = {"stdin": True, "stdinOnce": True}
    create(cluster, pod("fed", "cat; echo; echo over", container=once))
    eventually(lambda: cluster.get("pod", "fed")["status"]["phase"] == "Running")
    cluster.kubectl("attach", "-i", "fed", stdin="some words", check=False)
    assert ended(cluster, "fed")["phase"] == "Succeeded"
    assert cluster.kubectl("logs", "fed").stdout.splitlines()[-2:] == ["some words", "over"]


def test_a_status_may_be_written_and_pods_deleted_together(cluster):
    """Conditions written to pods/status stay; a collection is deleted by label, and nothing else with it."""
    many = [pod(f"many-{n}") for n in range(3)]
    for manifest in many:
        manifest["metadata"]["labels"] = {"type": "Testing"}
    create(cluster, *many, pod("other"))
    cluster.wait_ready("many-0", "many-1", "many-2", "other")
    condition = {"type": "example.com/seen", "status": "True", "reason": "Test", "message": "by a test"}
    patch = json.dumps({"status": {"conditions": [condition]}})
    cluster.kubectl("patch", "pod", "many-0", "--subresource=status", "-p", patch)
    cluster.kubectl("label", "pod", "many-0", "again=true")
    time.sleep(1)  # for the node to tell its own of the Pod again
    assert [c["status"] for c in cluster.get("pod", "many-0")["status"]["conditions"] if c["type"] == condition["type"]]
    cluster.kubectl("delete", "pods", "-l", "type=Testing", "--now")
    eventually(lambda: not cluster.get("pods", "-l", "type=Testing")["items"])
    assert cluster.get("pod", "other")["status"]["phase"] == "Running"
    cluster.kubectl("delete", "pod", "other", "--now")
