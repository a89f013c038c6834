"""What crun and runc make of our specs, seen from inside the container."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"
pytestmark = pytest.mark.kernel


def fields(output: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s*(\S+)", output, re.MULTILINE))


# Bits: podman 4.3.1 --runtime runc, the same options, probed on Debian 12.
DEFAULT_BITS = "00000000800405fb"


def test_root_has_podmans_default_capabilities_and_a_seccomp_filter(containers):
    status = fields(containers.run(STATUS))
    assert status["CapBnd"] == status["CapEff"] == status["CapPrm"] == DEFAULT_BITS
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "0")


def test_another_user_has_no_capability_but_may_get_the_default_ones(containers):
    output = containers.run(f"{STATUS}; id", request={"user": "alice"})
    status = fields(output)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["CapBnd"] == DEFAULT_BITS
    assert "uid=1000(alice) gid=1000(alice) groups=10(wheel),44(video),1000(alice)" in output


def test_a_capability_added_for_another_user_survives_exec(containers):
    request = {"user": "1234:5678", "cap_add": ["NET_ADMIN"], "cap_drop": ["CHOWN"]}
    output = containers.run(f"{STATUS}; tail -n1 /etc/passwd /etc/group; id", request=request)
    status = fields(output)
    assert status["CapAmb"] == status["CapEff"] == "0000000000001000"
    assert status["CapBnd"] == "00000000800415fa"
    assert "uid=1234(1234) gid=5678(5678)" in output


def test_dropping_all_leaves_nothing(containers):
    request = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
    status = fields(containers.run(STATUS, request=request))
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_privileged_has_every_capability_this_process_has_and_no_filter(containers):
    with open("/proc/self/status") as file:
        own = fields(file.read())["CapBnd"]
    status = fields(containers.run(STATUS, request={"privileged": True}))
    assert status["Seccomp"] == "0"
    # A user namespace's root has the full set whatever its creator's bounding set was.
    assert int(status["CapBnd"], 16) | int(own, 16) == int(status["CapBnd"], 16)


def test_read_only_root_has_writable_scratch_places_and_the_working_directory(containers):
    output = containers.run(
        "touch /etc/x 2>/dev/null || echo refused; touch /run/a /tmp/a /var/tmp/a /x/a && echo written; pwd",
        request={"read_only": True, "tmpfs": ["/x:size=3m"], "working_dir": "/tmp"},
    )
    assert output.splitlines() == ["refused", "written", "/tmp"]


def test_shared_memory_and_tmpfs_have_their_sizes(containers):
    output = containers.run("df -k /dev/shm /x", request={"shm_size": "1m", "tmpfs": ["/x:size=3m"]})
    assert [line.split()[1] for line in output.splitlines()[1:]] == ["1024", "3072"]


def test_masked_paths_are_empty_and_unmask_shows_them(containers):
    script = "mount | grep -c ' /proc/' || true; echo x > /proc/sys/kernel/domainname || true"
    masked = containers.run(f"{{ {script}; }} 2>&1")
    assert int(masked.splitlines()[0]) >= 5
    assert "Read-only file system" in masked
    assert containers.run("mount | grep -c ' /proc/' || true", request={"security_opt": ["unmask=ALL"]}) == "0\n"


def test_keep_id_gives_the_users_own_id_over_the_subordinate_ones(containers):
    output = containers.run("cat /proc/self/uid_map; id -u; stat -c %u /bin", request={"userns": "keep-id:uid=1000"})
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["0", "1", "1000"]
    assert lines[1] == ["1000", "0", "1"]
    assert lines[-2:] == [["1000"], ["0"]]


@pytest.mark.parametrize(("mode", "first"), [("nomap", ["0", "1"]), ("private", ["0", "0", "1"])])
def test_other_user_namespaces_start(containers, mode, first):
    assert containers.run("cat /proc/self/uid_map", request={"userns": mode}).split()[: len(first)] == first


def test_single_id_runs_another_user_by_mapping_it(containers):
    output = containers.run("id -u; cat /proc/self/uid_map", single_id=True, request={"user": "alice"})
    if containers.runtime == "runc":
        assert output == "needs crun: the container's user namespace has no id 0, which runc wants\n"
    else:
        assert output.split() == ["1000", "1000", "0", "1"]


def test_single_id_runs_root(containers):
    assert containers.run("id -u", single_id=True) == "0\n"


def test_host_namespaces_are_the_hosts(containers):
    output = containers.run(
        "hostname; ls /proc | grep -cx self", request={"pid": "host", "ipc": "host", "uts": "host"}, netns=None
    )
    assert output.split() == [os.uname().nodename, "1"]


def test_own_network_namespace_may_be_tuned(containers):
    request = {"sysctl": ["net.ipv4.ip_unprivileged_port_start=0", "kernel.msgmax=4096"], "hostname": "box"}
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range"
    output = containers.run(f"{script} /proc/sys/kernel/msgmax; hostname", request=request)
    assert output.split() == ["0", "0", "0", "4096", "box"]


def test_limits_are_set(containers):
    output = containers.run("ulimit -n; ulimit -Hn; umask", request={"ulimit": ["nofile=100:200"], "umask": "0077"})
    assert output.split() == ["100", "200", "0077"]


def test_working_directory_is_made_for_the_user(containers):
    output = containers.run("pwd; stat -c %u .", request={"working_dir": "/new/place", "user": "alice"})
    assert output.split() == ["/new/place", "1000"]


def test_init_is_the_first_process(containers):
    catatonit = shutil.which("catatonit")
    if not catatonit:
        pytest.skip("catatonit is not installed")
    output = containers.run("tr '\\0' ' ' < /proc/1/cmdline", request={"init": True, "init_path": catatonit})
    assert output.startswith("/run/rpod-init -- /bin/sh")


def test_devices_are_the_hosts(containers):
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("/dev/fuse is not there")
    output = containers.run(
        "stat -c '%t:%T' /dev/fuse /dev/other", request={"devices": ["/dev/fuse", "/dev/fuse:/dev/other"]}
    )
    assert output.split() == ["a:e5", "a:e5"]


def test_volumes_are_mounted_with_their_options(containers):
    data = f"{containers.directory}/data"
    os.mkdir(data)
    with open(f"{data}/file", "w") as file:
        file.write("hello\n")
    output = containers.run(
        "cat /ro/file; touch /ro/x 2>/dev/null || echo refused; touch /over/new && ls /over; df -k /t | tail -n1",
        volumes=[f"{data}:/ro:ro", f"{data}:/over:O"],
        mounts=["type=tmpfs,dst=/t,tmpfs-size=2m"],
    )
    lines = output.splitlines()
    assert lines[:4] == ["hello", "refused", "file", "new"]
    assert lines[4].split()[1] == "2048"
    assert os.listdir(data) == ["file"]


def test_a_read_only_bind_keeps_the_locked_flags_of_its_source(containers):
    # A remount that dropped nosuid or nodev would be refused in a user namespace.
    place = f"{containers.directory}/locked"
    os.mkdir(place)
    assert "ro,nosuid,nodev" in containers.run("mount | grep ' /x '", volumes=[f"{place}:/x:ro"], locked=place)


def test_a_directory_nobody_else_may_enter_is_refused_with_nomap(containers):
    os.chmod(containers.directory, 0o700)
    with pytest.raises(AssertionError, match="could not enter"):
        containers.run("true", request={"userns": "nomap"})


def test_seccomp_can_be_left_out(containers):
    request = {"security_opt": ["seccomp=unconfined"]}
    assert containers.run("grep Seccomp: /proc/self/status", request=request).split()[-1] == "0"


def test_a_profile_of_the_users_own_is_enforced(containers):
    profile = f"{containers.directory}/profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    with open(profile, "w") as file:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, file)
    request = {"security_opt": [f"seccomp={profile}"]}
    assert "Operation not permitted" in containers.run("mkdir /tmp 2>&1 || true", request=request)


@pytest.mark.peer
@pytest.mark.parametrize("containers", ["runc"], indirect=True)
@pytest.mark.parametrize(
    ("options", "request_values"),
    [
        ([], {}),
        (["--user", "1000"], {"user": "1000"}),
        (["--cap-add", "NET_RAW", "--user", "7"], {"cap_add": ["NET_RAW"], "user": "7"}),
        (["--cap-drop", "ALL", "--cap-add", "chown"], {"cap_drop": ["ALL"], "cap_add": ["chown"]}),
        (["--cap-add", "ALL"], {"cap_add": ["ALL"]}),
        (["--security-opt", "no-new-privileges"], {"security_opt": ["no-new-privileges"]}),
        (["--userns", "keep-id"], {"userns": "keep-id"}),
    ],
)
def test_capabilities_and_filter_are_those_podman_gives(containers, options, request_values):
    if not shutil.which("podman") or os.getuid() != 0:
        pytest.skip("needs podman as a judge, and root to become the test user")
    assert fields(containers.run(STATUS, request=request_values)) == fields(containers.judge(STATUS, options))
