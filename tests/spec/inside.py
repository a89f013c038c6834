"""Runs as uid 0 of a user namespace: makes the spec that argv[1] asks for and turns into the runtime."""

import json
import os
import sys

from rootless_pod.oci.image import ImageConfig
from rootless_pod.spec.bundle import write_bundle
from rootless_pod.spec.generate import generate
from rootless_pod.spec.host import read_host_facts
from rootless_pod.spec.prepare import prepare_rootfs
from rootless_pod.spec.request import SpecRequest
from rootless_pod.userns.idmap import IdMap, parse_map
from rootless_pod.volumes.resolve import parse_mount, parse_volume, resolve


def text(path):
    with open(path) as file:
        return file.read()


def tuples(values):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def main():
    job = json.loads(sys.argv[1])
    directory, rootfs = job["directory"], f"{job['directory']}/rootfs"
    bundle = f"{directory}/bundle"
    for name in ("hosts", "hostname", "resolv.conf"):
        with open(f"{bundle}/{name}", "w") as file:
            file.write(f"{name} of the test\n")
    wanted = [parse_volume(one) for one in job.get("volumes", ())] + [parse_mount(one) for one in job.get("mounts", ())]
    spec = generate(
        SpecRequest(command=("/bin/sh", "-c", job["script"]), **tuples(job.get("request", {}))),
        container_id=f"{os.getpid():064x}",
        image_config=ImageConfig(**tuples(job["image"])) if "image" in job else None,
        rootfs=rootfs,
        netns_path=job.get("netns", ""),
        run_dir=bundle,
        id_map=IdMap(uids=parse_map(text("/proc/self/uid_map")), gids=parse_map(text("/proc/self/gid_map"))),
        host=read_host_facts(),
        volumes=resolve(wanted, paths=None, rootfs=rootfs, overlay_dir=f"{directory}/overlay"),
    )
    if spec.needs_crun and job["runtime"] == "runc":
        print("needs crun:", spec.needs_crun)
        return
    if spec.shift:  # what the storage room does by an id-shifting mount
        for path, directories, files in os.walk(rootfs):
            for name in (".", *directories, *files):
                os.lchown(f"{path}/{name}", spec.shift.shown_uid(0), spec.shift.shown_gid(0))
    prepare_rootfs(rootfs, spec)
    write_bundle(bundle, spec)
    os.execvp(job["runtime"], [job["runtime"], "--root", f"{directory}/state", "run", "-b", bundle, f"t{os.getpid()}"])


main()
