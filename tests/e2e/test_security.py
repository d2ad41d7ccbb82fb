"""What containers may do to the node and what they may not, tried from inside by programs that mean it.

The node confines all who say nothing (`seccompDefault`) and allows some sysctls. All Pods that end by themselves are
created at once; each case reads one log. Calls that busybox has no command for are made by the Python of the machine,
mounted read-only.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator

import pytest

from podling.kubelet.user_ranges import MACHINE
from tests.conftest import missing_for_containers
from tests.e2e.test_given import create, ended, pod
from tests.running import IMAGE, RunningCluster, busybox_archive, eventually, free_port, terminal

pytestmark = pytest.mark.root

CONFIGURATION = {
    "kind": "KubeletConfiguration",
    "seccompDefault": True,
    "allowedUnsafeSysctls": ["kernel.msg*", "net.core.somaxconn"],
}
NO_FORK = {"defaultAction": "SCMP_ACT_ALLOW",
           "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}  # fmt: skip
NUMBERS = {  # name: number on x86_64, number on aarch64
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280), "ptrace": (101, 117),
    "kexec_load": (246, 104), "init_module": (175, 105), "swapon": (167, 224), "reboot": (169, 142),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "clone3": (435, 435),
    "open_by_handle_at": (304, 265), "fsopen": (430, 430), "process_vm_readv": (310, 270), "acct": (163, 89),
    "clock_settime": (227, 112), "move_pages": (279, 239),
}  # fmt: skip
CALLS = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for word in sys.argv[1:]:
    name, number = word.split("=")
    if os.fork() == 0:
        done = libc.syscall(ctypes.c_long(int(number)), *[ctypes.c_long(0)] * 6)
        print(name, "done" if done >= 0 else errno.errorcode[ctypes.get_errno()], flush=True)
        os._exit(0)
    os.wait()
"""
PROGRAM = """
import asyncio, hashlib, json, os, socket, sqlite3, ssl, subprocess, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe, Process
with ThreadPoolExecutor(4) as pool: assert sum(pool.map(len, ["a"] * 9)) == 9
ours, theirs = Pipe(); child = Process(target=theirs.send, args=(1,)); child.start(); assert ours.recv() == 1; child.join()
assert subprocess.run(["/bin/sh", "-c", "echo hi"], capture_output=True).stdout == b"hi\\n"
with tempfile.TemporaryDirectory() as folder:
    db = sqlite3.connect(folder + "/db"); db.execute("create table t (x)"); db.commit(); db.close()
    os.chmod(folder, 0o700); os.chown(folder, 1, 1); os.utime(folder); os.mkfifo(folder + "/fifo")
async def serve():
    server = await asyncio.start_server(lambda r, w: (w.write(b"!"), w.close()), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b"!"; server.close()
asyncio.run(serve())
ssl.create_default_context(); os.urandom(8); time.sleep(0.01); os.setuid(7); os.sched_getaffinity(0); os.nice(1)
print("a program runs", flush=True)
"""


def python(name: str, code: str, *arguments: str, **context: object) -> dict:
    """A Pod in which the machine's own Python runs `code`."""
    base = os.path.realpath(sys.base_prefix)
    folders = {path for path in ("/usr", "/lib", "/lib64", base) if os.path.isdir(path)}
    if base.startswith("/usr"):
        folders.discard(base)
    names = {f"host{number}": path for number, path in enumerate(sorted(folders))}
    made = pod(name, container={
        "command": [os.path.realpath(sys.executable), "-c", code, *arguments], "securityContext": context,
        "volumeMounts": [{"name": volume, "mountPath": path, "readOnly": True} for volume, path in names.items()],
    }, volumes=[{"name": volume, "hostPath": {"path": path}} for volume, path in names.items()])  # fmt: skip
    made["spec"]["automountServiceAccountToken"] = False
    return made


def calls(name: str, **context: object) -> dict:
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)
    return python(name, CALLS, *(f"{call}={numbers[column]}" for call, numbers in NUMBERS.items()), **context)


def within(script: str, name: str, container: dict | None = None, **spec: object) -> tuple[str, dict]:
    return name, pod(name, script, container={"securityContext": container} if container else None, **spec)


def space(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def own_capabilities() -> str:
    """What a container can have at most: those of this process, as its status shows them."""
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("CapPrm"))


FOLDER = f"/tmp/podling-security-{os.getpid()}"
UNCONFINED = {"seccompProfile": {"type": "Unconfined"}}
LOCALHOST = {"seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/no-chmod.json"}}
SECCOMP = "grep Seccomp: /proc/self/status; touch /f; chmod 600 /f || echo no chmod; unshare -m true && echo unshared"
SYSCTL = "cat /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn"

SPACES = "for n in net ipc uts pid user mnt; do readlink /proc/self/ns/$n; done"
GROUPS = {"runAsUser": 65534, "runAsGroup": 65534, "supplementalGroups": [7]}
"""The image's /etc/group has user 65534 in group 100."""
HOSTILE = r"""
writes() { (: >> $1) 2>/dev/null && echo writes $1; }
reads() { [ "$(head -c 1 $1 2>/dev/null | wc -c)" = 1 ] && echo reads $1; }
for f in kcore keys timer_list interrupts; do reads /proc/$f; done
for f in sys/kernel/hostname sys/kernel/core_pattern sys/vm/drop_caches sysrq-trigger irq/default_smp_affinity; do
    writes /proc/$f; done
for f in /sys/kernel/uevent_helper /sys/module/kernel/parameters/panic /sys/kernel/mm/transparent_hugepage/enabled; do
    writes $f; done
for d in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $d/cgroup.procs ] && mkdir $d/x 2>/dev/null && echo makes groups in $d; done
ls /sys/firmware | grep -q . && echo sees firmware
for d in kmsg mem port sda vda fuse kvm; do [ -e /dev/$d ] && echo has /dev/$d; done
mknod /m c 1 1 && reads /m
mknod /k c 1 11 && reads /k
while read major minor _ name; do [ -n "$name" ] && mknod /b b $major $minor && reads /b; rm -f /b; done < /proc/partitions
mkdir -p /tmp/t; mount -t tmpfs none /tmp/t && echo mounts
mount -t proc none /tmp/t && echo mounts proc
mount -o remount,rw /proc/sys && echo remounts
umount /proc/keys && echo unmasks
umount -l /sys && echo unmounts
mount --bind /proc /tmp/t && echo binds
unshare -n true && echo makes networks
hostname other && echo renames
date -s 2001-01-01; [ "$(date +%Y)" = 2001 ] && echo sets the clock
dmesg && echo reads the log
ip link add d0 type dummy && echo adds links
ip link set lo down && echo sets links
swapoff -a && swapon /dev/vda && echo swaps
[ "$(ls -d /proc/[0-9]* | wc -l)" -gt 8 ] && echo sees others
echo over
"""
DOES = (
    "reads",
    "writes",
    "sees",
    "has",
    "mounts",
    "remounts",
    "unmasks",
    "unmounts",
    "binds",
    "renames",
    "sets",
    "adds",
    "swaps",
    "makes",
)
PRIVILEGED = """
mkdir -p /tmp/t; mount -t tmpfs none /tmp/t && echo mounts
(: >> /proc/sys/kernel/hostname) && echo writes proc
(: >> /sys/kernel/mm/transparent_hugepage/enabled || : >> /sys/kernel/profiling) 2>/dev/null && echo writes sys
for d in $(ls -d /sys/fs/cgroup/memory /sys/fs/cgroup | head -1); do mkdir $d/own && rmdir $d/own && echo groups; done
[ -c /dev/kmsg ] && dmesg | head -1 >/dev/null && echo devices
[ "$(head -c 1 /proc/interrupts | wc -c)" = 1 ] && echo unmasked
grep CapBnd /proc/self/status
"""

APART = {"hostUsers": False}
ROOT_OF_ITS_OWN = """
id -u; cut -c1-12 /proc/self/uid_map | tr -d ' '; touch /own && stat -c 'own %u' /own; stat -c 'bin %u' /bin/busybox
echo m > /dev/termination-log && touch /dev/shm/x && echo shared && cat /etc/hosts >/dev/null && echo files
[ "$(awk '{print $2}' /proc/self/uid_map)" -ge 65536 ] && echo nobody
cat /proc/sys/kernel/shm_rmid_forced
"""
MIGHTY = r"""
ip link set lo down && echo links
hostname other && echo name
mkdir -p /tmp/t; mount -t tmpfs none /tmp/t && echo tmpfs
(echo 1 > /proc/sys/net/ipv4/ip_forward) 2>/dev/null || echo read-only
mknod /m c 1 1 && head -c 1 /m && echo reads memory
(: >> /proc/sys/vm/swappiness) 2>/dev/null && echo writes the kernel
(: >> /sys/kernel/mm/transparent_hugepage/enabled) 2>/dev/null && echo writes sys
[ -e /dev/vda ] && head -c 1 /dev/vda && echo reads the disk
date -s 2001-01-01; [ "$(date +%Y)" = 2001 ] && echo sets the clock
dmesg && echo reads the log
echo over
"""
OWNERS = """
id -G; stat -c '%n %u %g' /d /m /c/..data/k /h/f; touch /d/x /m/x && stat -c '%n %u %g' /d/x /m/x
touch /h/f 2>/dev/null && echo writes; touch /r/x 2>/dev/null && echo writes; touch /x 2>/dev/null && echo writes; ls /i/bin/sh
"""


def owners(folder: str) -> dict:
    """A Pod with a volume of each kind and users of its own."""
    volumes = [{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}},
               {"name": "c", "downwardAPI": {"items": [{"path": "k", "fieldRef": {"fieldPath": "metadata.name"}}]}},
               {"name": "h", "hostPath": {"path": folder}}, {"name": "i", "image": {"reference": IMAGE}}]  # fmt: skip
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    mounts.append({"name": "d", "mountPath": "/r", "readOnly": True})
    return pod("owners", OWNERS, container={"volumeMounts": mounts, "securityContext": {"readOnlyRootFilesystem": True}},
               volumes=volumes, securityContext={"runAsUser": 1000, "fsGroup": 77}, **APART)  # fmt: skip


WITHIN_ROOT = (
    "cat /v/etc/passwd >/dev/null && echo sees the node; grep -q ' /v/' /proc/mounts && echo holds others; true"
)


def set_uid(name: str, **context: object) -> dict:
    """A Pod whose first container makes a program that is root whoever starts it; the second starts it."""
    made = python(name, "", **context)
    (main,) = made["spec"]["containers"]
    program, *_ = main["command"]
    shared = {"name": "v", "mountPath": "/v"}
    made["spec"]["volumes"].append({"name": "v", "emptyDir": {}})
    first = {**main, "name": "first", "command": ["sh", "-c", f"cp {program} /v/p && chmod 4755 /v/p"],
             "securityContext": {}, "volumeMounts": [*main["volumeMounts"], shared]}  # fmt: skip
    main["command"] = ["/v/p", "-S", "-c", "import os; print('effective', os.geteuid(), flush=True)"]
    main["env"] = [{"name": "PYTHONHOME", "value": os.path.realpath(sys.base_prefix)}]
    main["volumeMounts"] = [*main["volumeMounts"], shared]
    made["spec"]["initContainers"] = [first]
    return made


# name, Pod, lines that its log must hold, beginnings of lines that it must not
CASES = [
    (*within(SECCOMP, "by-default"), ("Seccomp:\t2",), ("unshared", "no chmod")),
    (*within(SECCOMP, "by-wish", {"seccompProfile": {"type": "RuntimeDefault"}}), ("Seccomp:\t2",), ("unshared", "no chmod")),
    (*within(SECCOMP, "by-nobody", UNCONFINED), ("Seccomp:\t0",), ("no chmod",)),
    (*within(SECCOMP, "by-profile", LOCALHOST), ("Seccomp:\t2", "no chmod"), ()),
    (*within(SECCOMP, "by-privilege", {"privileged": True}), ("Seccomp:\t0", "unshared"), ("no chmod",)),
    (*within(SECCOMP, "by-administrator", {"capabilities": {"add": ["SYS_ADMIN"]}}), ("Seccomp:\t2", "unshared"), ()),
    ("program", python("program", PROGRAM), ("a program runs",), ()),
    ("calls", calls("calls"), tuple(f"{name} {'ENOSYS' if name == 'clone3' else 'EPERM'}" for name in NUMBERS), ()),
    (*within(HOSTILE, "hostile"), ("over",), DOES),
    (*within(HOSTILE, "hostile-unfiltered", UNCONFINED), ("over",), DOES),
    (*within(HOSTILE, "hostile-nobody", {"runAsUser": 65534, "allowPrivilegeEscalation": False}), ("over",), DOES),
    (*within(PRIVILEGED, "privileged", {"privileged": True}),
        ("mounts", "unmasked", "writes proc", "writes sys", "groups", "devices", f"CapBnd:\t{own_capabilities()}"), ()),
    (*within("grep CapBnd /proc/self/status", "all", {"capabilities": {"add": ["ALL"]}}), (f"CapBnd:\t{own_capabilities()}",), ()),
    (*within("grep CapBnd /proc/self/status", "none", {"capabilities": {"drop": ["ALL"]}}), ("CapBnd:\t0000000000000000",), ()),
    (*within("grep CapBnd /proc/self/status", "one-less", {"capabilities": {"drop": ["NET_RAW"]}}), ("CapBnd:\t00000000a80405fb",), ()),
    (*within("id -G", "merged", securityContext=GROUPS), ("65534 7 100",), ()),
    (*within("id -G", "strict", securityContext={**GROUPS, "supplementalGroupsPolicy": "Strict"}), ("65534 7",), ()),
    (*within("id -u; grep Groups /proc/self/status", "container-first", {"runAsUser": 5, "runAsGroup": 6}, securityContext=GROUPS),
        ("5", "Groups:\t6 7 "), ()),
    (*within(SPACES, "own-spaces"), (space("user"),), tuple(map(space, ("net", "ipc", "uts", "pid", "mnt")))),
    (*within(SPACES, "host-network", hostNetwork=True), tuple(map(space, ("net", "uts"))), tuple(map(space, ("ipc", "pid", "mnt")))),
    (*within(SPACES, "host-pid", hostPID=True), (space("pid"),), tuple(map(space, ("net", "ipc", "uts", "mnt")))),
    (*within(SPACES + "; df /dev/shm | tail -1", "host-ipc", hostIPC=True), (space("ipc"),), tuple(map(space, ("net", "pid", "uts", "mnt")))),
    (*within(ROOT_OF_ITS_OWN, "apart", securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}, **APART),
        ("0", "own 0", "bin 0", "shared", "files", "nobody", "1"), ()),
    (*within(MIGHTY, "apart-mighty", {"capabilities": {"add": ["ALL"]}}, **APART), ("links", "name", "tmpfs", "read-only", "over"), DOES),
    (*within(MIGHTY, "apart-privileged", {"privileged": True}, **APART), ("links", "name", "tmpfs", "over"), DOES),
    (*within("cat /proc/interrupts | head -1 | grep -c CPU; mkdir /tmp/t; mount -t proc p /tmp/t && echo proc", "unmasked",
        {"procMount": "Unmasked", "capabilities": {"add": ["SYS_ADMIN"]}}, **APART), ("1", "proc"), ()),
    (*within(SPACES, "apart-spaces", **APART), (), tuple(map(space, ("net", "ipc", "uts", "pid", "mnt", "user")))),
    ("owners", owners(FOLDER), ("0 77", "/d 0 77", "/m 0 77", "/c/..data/k 0 77", "/h/f 0 0", "/d/x 1000 77", "/m/x 1000 77", "/i/bin/sh"), ("writes",)),
    (*within(WITHIN_ROOT, "apart-root", mounts={"v": "/v"}, volumes=[{"name": "v", "hostPath": {"path": "/"}}], **APART),
        ("sees the node",), ("holds",)),
    ("set-uid", set_uid("set-uid", runAsUser=1000), ("effective 0",), ()),
    ("set-uid-refused", set_uid("set-uid-refused", runAsUser=1000, allowPrivilegeEscalation=False), ("effective 1000",), ()),
    (*within(SYSCTL, "unsafe-sysctls", securityContext={"sysctls": [
        {"name": "kernel.msgmax", "value": "70000"}, {"name": "net.core.somaxconn", "value": "77"}]}), ("70000", "77"), ()),
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster whose node confines by default, in which everything that ends by itself runs at once."""
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("security")
    data = folder / "data"
    (folder / "kubelet.yaml").write_text(json.dumps(CONFIGURATION))
    (data / "seccomp" / "profiles").mkdir(parents=True)
    (data / "seccomp" / "profiles" / "no-chmod.json").write_text(json.dumps(NO_FORK))
    running = RunningCluster(data, free_port(), "oci")
    os.mkdir(FOLDER)
    with open(f"{FOLDER}/f", "w") as file:
        file.write("of the node")
    try:
        running.up("--kubelet-config", str(folder / "kubelet.yaml"))
        running.podling("image", "load", str(busybox_archive(folder)))
        create(running, *(manifest for _, manifest, *_ in CASES), calls("calls-unconfined", **UNCONFINED))
        yield running
    finally:
        running.podling("down", check=False)
        shutil.rmtree(FOLDER)


@pytest.mark.parametrize(("name", "manifest", "lines", "never"), CASES, ids=[name for name, *_ in CASES])
def test_a_container_may_do_this_and_not_that(cluster, name, manifest, lines, never):
    """What the log tells that the container tried."""
    ended(cluster, name)
    log = cluster.kubectl("logs", name).stdout.splitlines()
    assert [line for line in lines if line not in log] == [], log
    assert [told for told in log if told.startswith(never or ("never",))] == [], log


def test_the_filter_refuses_what_the_kernel_would_not(cluster):
    """Without the profile the same calls come through or fail of their senseless arguments: it is the profile's doing."""
    ended(cluster, "calls-unconfined")
    told = dict(line.split() for line in cluster.kubectl("logs", "calls-unconfined").stdout.splitlines())
    assert (told["unshare"], told["ptrace"], told["clone3"] != "ENOSYS") == ("done", "done", True), told


def waiting(cluster: RunningCluster, name: str) -> tuple[str, str]:
    def state() -> tuple[str, str] | None:
        (status,) = cluster.get("pod", name)["status"].get("containerStatuses") or [{"state": {}}]
        found = status["state"].get("waiting", {})
        return (
            None
            if found.get("reason", "ContainerCreating") == "ContainerCreating"
            else (found["reason"], found["message"])
        )

    return eventually(state)


def test_a_profile_that_is_missing_keeps_the_container_waiting(cluster):
    """CreateContainerError in containerd's words; once the profile is there, the container runs."""
    profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": "later.json"}}
    create(cluster, pod("later", container={"securityContext": profile}))
    path = cluster.data / "seccomp" / "later.json"
    words = f'failed to create containerd container: cannot load seccomp profile "{path}": open {path}: no such file or directory'
    assert waiting(cluster, "later") == ("CreateContainerError", words)
    shutil.copy(cluster.data / "seccomp" / "profiles" / "no-chmod.json", path)
    cluster.wait_ready("later")
    # What is executed into the container afterwards is confined like it.
    done = cluster.kubectl("exec", "later", "--", "sh", "-c", "touch /f; chmod 600 /f", check=False)
    assert "Permission denied" in done.stderr
    cluster.kubectl("delete", "pod", "later", "--now")


@pytest.mark.parametrize("user", [None, 0])
def test_nobody_may_be_root_where_it_is_said(cluster, user):
    """The container waits, in upstream's words; whoever is not root runs."""
    name = "root-by-image" if user is None else "root-by-wish"
    create(cluster, pod(name, securityContext={"runAsNonRoot": True, "runAsUser": user}))
    uid = cluster.get("pod", name)["metadata"]["uid"]
    why = (
        "container has runAsNonRoot and image will run as root"
        if user is None
        else "container's runAsUser breaks non-root policy"
    )
    words = f'{why} (pod: "{name}_default({uid})", container: main)'
    assert waiting(cluster, name) == ("CreateContainerConfigError", words)
    cluster.kubectl("delete", "pod", name, "--now")


def test_profiles_lie_below_the_nodes_folder(cluster):
    """A path that leaves the folder is refused by the API."""
    for path in ("../passwd", "/etc/passwd"):
        profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": path}}
        refused = cluster.kubectl(
            "create", "-f", "-", check=False, stdin=json.dumps(pod("out", securityContext=profile))
        )
        assert "spec.securityContext.seccompProfile.localhostProfile: Invalid value" in refused.stderr


def test_a_sysctl_that_nobody_allowed_fails_the_pod(cluster):
    """The node refuses it in upstream's words."""
    create(cluster, pod("forbidden", securityContext={"sysctls": [{"name": "kernel.shmmax", "value": "1"}]}))
    status = ended(cluster, "forbidden")
    assert (status["phase"], status["reason"]) == ("Failed", "SysctlForbidden")
    assert status["message"].endswith('forbidden sysctl: "kernel.shmmax" not allowlisted')


def test_pods_with_users_of_their_own_live_like_others(cluster):
    """Exec, debugging and a restart happen in the same user namespace; no two Pods share an id; nothing is left of one."""
    shared = {"shareProcessNamespace": True, "restartPolicy": "Always"}
    create(cluster, pod("apart-1", "touch /x; sleep 3600 & wait", **APART, **shared), pod("apart-2", **APART))
    cluster.wait_ready("apart-1", "apart-2")

    def users(name: str, *words: str) -> tuple[str, int]:
        show = "readlink /proc/self/ns/user; cat /proc/self/uid_map"
        told = cluster.kubectl("exec", name, *words, "--", "sh", "-c", show).stdout.split()
        return told[0], int(told[2])

    own, first = users("apart-1")
    other, second = users("apart-2")
    assert len({own, other, space("user")}) == 3
    assert abs(first - second) >= 65536
    processes = cluster.kubectl("exec", "apart-1", "--", "ps", "-o", "pid,user,args").stdout
    assert "sleep infinity" in processes
    assert "sleep 3600" in processes
    cluster.kubectl("debug", "apart-2", f"--image={IMAGE}", "--target=main", "-c", "look", "--", "sleep", "3600")
    eventually(
        lambda: (
            cluster.get("pod", "apart-2")["status"]
            .get("ephemeralContainerStatuses", [{}])[0]
            .get("state", {})
            .get("running")
        )
    )
    assert users("apart-2", "-c", "look")[0] == other
    assert "sleep 3600" in cluster.kubectl("exec", "apart-2", "-c", "look", "--", "ps").stdout

    shown, code = terminal(cluster, "apart-1")
    assert (b"done-42" in shown, code) == (True, 3), shown

    def count() -> int:
        return cluster.get("pod", "apart-1")["status"]["containerStatuses"][0]["restartCount"]

    cluster.kubectl("exec", "apart-1", "--", "sh", "-c", "kill $(pidof sleep | tr ' ' '\\n' | grep -v '^2$')")
    eventually(count)
    cluster.wait_ready("apart-1")
    assert users("apart-1") == (own, first)
    uids = [cluster.get("pod", name)["metadata"]["uid"] for name in ("apart-1", "apart-2")]
    assert all((cluster.data / "pods" / uid / "userns").exists() for uid in uids)
    claimed = {link.readlink().name: link for link in MACHINE.iterdir()}
    assert int(claimed[uids[0]].name) * 65536 == first
    cluster.kubectl("delete", "pod", "apart-1", "apart-2", "--now")
    eventually(lambda: not any((cluster.data / "pods" / uid).exists() for uid in uids))
    eventually(lambda: not any(claimed[uid].is_symlink() for uid in uids))
    with open("/proc/mounts") as mounts:
        assert not [line for line in mounts if "/roots/" in line and str(cluster.data) in line]


def test_a_volume_whose_owners_cannot_be_shifted_says_so(cluster):
    """The container waits with a reason that names it; it never sees files with owners that mean nothing to it."""
    create(
        cluster,
        pod("unmappable", mounts={"v": "/v"}, volumes=[{"name": "v", "hostPath": {"path": "/proc/sys"}}], **APART),
    )
    reason, message = waiting(cluster, "unmappable")
    assert reason == "CreateContainerError"
    assert "cannot map the owners of /proc/sys: Invalid argument" in message
    cluster.kubectl("delete", "pod", "unmappable", "--now")
