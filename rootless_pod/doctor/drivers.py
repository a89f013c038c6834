"""Checks of every driver, each tried for real inside the user's namespace, without looking at earlier answers."""

from __future__ import annotations

import os

from rootless_pod.doctor.finding import FAILED, LIMITED, NOTE, Finding, from_error, install, ok, useful, worst
from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.programs.find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths


def check_storage(paths: Paths) -> list[Finding]:
    """Mount, write and unmount with each storage driver; ``copy`` is always the last resort."""
    from rootless_pod.fuse.choose import ORDER, try_in_child
    from rootless_pod.userns.enter import enter

    enter(paths)
    scratch = f"{_writable(paths)}/.doctor-{os.urandom(6).hex()}"
    os.makedirs(scratch, mode=0o700)
    findings = []
    try:
        for name in ORDER:
            failure = try_in_child(name, scratch)
            if failure is None:
                findings.append(ok(f"storage {name}", "mounts, writes and unmounts"))
            else:
                remedy = (
                    install(name) if name == "fuse-overlayfs" and "not installed" in failure[0] else useful(failure[1])
                )
                findings.append(Finding(subject=f"storage {name}", state=NOTE, text=failure[0], remedy=remedy))
    finally:
        from rootless_pod.linux.tree import remove_tree

        remove_tree(scratch)
    return _one_is_enough(findings, FAILED)


def _writable(paths: Paths) -> str:
    """Return the place of containers, or another where it can't be written (that is told elsewhere)."""
    return paths.graphroot if os.access(paths.graphroot, os.W_OK | os.X_OK) else paths.bootroot


def _one_is_enough(findings: list[Finding], state: str) -> list[Finding]:
    """Make the failures ``state`` where not a single one of them works."""
    if any(one.state == "ok" for one in findings):
        return findings
    return [one.replace(state=state) for one in findings]


def check_network(paths: Paths) -> list[Finding]:
    """Connect a network namespace with each program."""
    from rootless_pod.slirp.choose import drivers, probe
    from rootless_pod.userns.enter import enter

    enter(paths)
    findings = []
    for driver in drivers(None):
        subject = f"network {driver.name}"
        try:
            probe(driver, paths.bootroot)
            findings.append(ok(subject, f"connects a namespace ({driver.features().version})"))
        except HostUnready as error:
            missing = "not installed" in error.message
            remedy = install(driver.name) if missing else useful(error.remedy or "")
            findings.append(Finding(subject=subject, state=NOTE, text=error.message, remedy=remedy))
        except RpodError as error:
            findings.append(from_error(subject, NOTE, error))
    return _one_is_enough(findings, LIMITED)


def check_named_networks(paths: Paths) -> list[Finding]:
    """Make a bridge and rules that translate addresses, in a network namespace of this process."""
    from rootless_pod.linux import namespaces
    from rootless_pod.linux.rtnetlink import Routing
    from rootless_pod.network.bridges import trial_rules
    from rootless_pod.network.ipam import random_mac
    from rootless_pod.userns.enter import enter

    enter(paths)
    subject = "named networks"
    try:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        with Routing() as routing:
            routing.add_bridge("podman0", mac=random_mac())
    except OSError as cause:
        text = f"the kernel makes no bridge ({cause.strerror}): --network NAME does not work"
        remedy = "ask an administrator to run: modprobe -a bridge veth"
        return [Finding(subject=subject, state=LIMITED, text=text, remedy=remedy)]
    try:
        trial_rules()
    except OSError as cause:
        text = f"the kernel takes no rules of nf_tables ({cause.strerror}): internal and isolated ones do not work"
        remedy = "ask an administrator to run: modprobe -a nf_tables nft_masq"
        return [Finding(subject=subject, state=NOTE, text=text, remedy=remedy)]
    if find_program("slirp4netns") is None and find_program("pasta") is None:
        text = "neither slirp4netns nor pasta is installed, which lead out of them: --network NAME does not work"
        return [Finding(subject=subject, state=LIMITED, text=text, remedy=install("slirp4netns"))]
    return [ok(subject, "bridges and address translation work")]


def check_runtimes(paths: Paths, wanted: str | None = None) -> list[Finding]:
    """Run a trial container with each OCI runtime."""
    from rootless_pod.linux.tree import remove_tree
    from rootless_pod.runtime.choose import ORDER, choose_runtime
    from rootless_pod.userns.enter import enter

    enter(paths)
    findings = []
    for name in (wanted,) if wanted else ORDER:
        scratch = f"{paths.bootroot}/.doctor-{os.urandom(6).hex()}"
        os.makedirs(scratch, mode=0o700)
        try:
            choice = choose_runtime(name, probes_dir=scratch, runtime_root=f"{scratch}/state")
            findings.append(ok(f"runtime {name}", f"{choice.reason}, at {choice.driver.path}"))
        except RpodError as error:
            findings.append(_runtime_failure(name, error))
        finally:
            remove_tree(scratch)
    return _one_is_enough(findings, FAILED)


def _runtime_failure(name: str, error: RpodError) -> Finding:
    remedy = install(name) if "not installed" in error.message else useful(error.remedy or "")
    return Finding(subject=f"runtime {name}", state=NOTE, text=error.message, remedy=remedy)


def fits(findings: list[Finding]) -> bool:
    """Tell whether nothing among ``findings`` keeps containers from running."""
    return worst(findings) != FAILED
