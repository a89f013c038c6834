"""The comparing part of scripts/compare-podman; see there. Its lines stand in tests/compare/*.toml:

[[scene]]          a story in stores that hold two images and nothing else
name               what it is about
before             shell lines that are run and not compared; after: the same at the end
quick              true: part of the short form that tests/endtoend runs
lines              each with
  run              one shell line; "podman" in it is the tool
  covers           the command and options it is about: "ps --all --filter"; several commands: a list
  compare          text (default), unordered (lines in any order), json (fields, types, values), code (only the exit code)
  names            true: made-up names of containers are masked too
  loose            json: a regular expression of places whose values may differ; with ? at its end: whose type may, too
  differs          the reason why it may differ; it is an error when it doesn't
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests" / "endtoend")]

import compare_images  # noqa: E402 - the paths come first
import compare_masks  # noqa: E402

LINES = TOP / "tests" / "compare"
BEGIN, END = "<!-- compare:begin -->", "<!-- compare:end -->"
SECONDS_FOR_ONE_LINE = 90


@dataclass(frozen=True, kw_only=True)
class Line:
    run: str
    covers: tuple[str, ...]
    compare: str = "text"
    names: bool = False
    loose: str = ""
    differs: str = ""


@dataclass(frozen=True, kw_only=True)
class Scene:
    name: str
    lines: tuple[Line, ...]
    before: str = ""
    after: str = ""
    quick: bool = False
    file: str = ""


@dataclass(frozen=True)
class Answer:
    code: int | str
    out: str
    err: str


@dataclass
class Tool:
    """podman or rpod with stores of its own; ``podman`` on its PATH is this tool."""

    name: str
    argv: list[str]
    place: Path
    run_place: Path
    port: str
    env: dict[str, str] = field(default_factory=dict)
    began: str = "0"

    def __post_init__(self) -> None:
        programs = self.place / "bin"
        programs.mkdir(parents=True)
        wrapper = programs / "podman"
        wrapper.write_text("#!/bin/sh\nexec " + " ".join(self.argv) + ' "$@"\n')
        wrapper.chmod(0o755)
        kept = {
            name: os.environ[name]
            for name in ("HOME", "USER", "LOGNAME", "LANG", "TERM", "RPOD_PYTHON")
            if name in os.environ
        }
        self.env = {
            **kept,
            "TZ": "UTC",
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": str(self.run_place),
        } | self.env

    def __call__(self, script: str, where: Path) -> Answer:
        """Run a shell script in ``where``, which it knows as $T; $BEGAN is the second after the scene began; $PORT is a free port, and so is 1$PORT."""
        child = subprocess.Popen(
            ["bash", "-c", script], cwd=where, env={**self.env, "T": str(where), "PORT": self.port, "BEGAN": self.began}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = child.communicate(timeout=SECONDS_FOR_ONE_LINE)
            code: int | str = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            code = "time-out"
        return Answer(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def clean(self, where: Path, after: str, before: str) -> None:
        script = after + "\npodman rm -fa -t 0"
        # Networks and pods are other helpers' subject; only what a scene made is removed.
        if "podman pod" in before + after:
            script += "\npodman pod rm -fa -t 0"
        # Only the two images stay.
        names = (
            "podman images --format '{{.Repository}}:{{.Tag}}' | grep -vx -e localhost/img:latest -e localhost/app:1"
        )
        script += f"\n{names} | grep -v none | xargs -r podman rmi -f; podman image prune -f"
        self(script + "\npodman volume prune -f", where)

    def mask(self, where: Path) -> compare_masks.Masks:
        return compare_masks.Masks({
            str(where): "$T", f"{self.place}/store": "$ROOT", f"{self.run_place}/run": "$RUNROOT",
            str(self.run_place): "$XDG_RUNTIME_DIR", self.port: "$PORT",
        })  # fmt: skip

    def play(self, scene: Scene) -> list[Answer]:
        where = Path(tempfile.mkdtemp(prefix="t", dir=self.place))
        self.began = str(int(time.time()) + 1)
        first = self(scene.before, where) if scene.before else Answer(0, "", "")
        answers = [self(line.run, where) for line in scene.lines]
        self.clean(where, scene.after, scene.before)
        masks = self.mask(where)
        self.last_masks = masks
        shutil.rmtree(where, ignore_errors=True)
        if scene.before and first.err and os.environ.get("COMPARE_DEBUG"):
            print(f"[{self.name}] {scene.name}: {first.err}", file=sys.stderr)
        return answers


def read_scenes(only: str = "", *, quick: bool = False) -> list[Scene]:
    scenes = []
    for path in sorted(LINES.glob("*.toml")):
        for table in tomllib.loads(path.read_text())["scene"]:
            lines = []
            for row in table.pop("lines"):
                covers = row.pop("covers")
                lines.append(Line(covers=(covers,) if isinstance(covers, str) else tuple(covers), **row))
            scenes.append(Scene(lines=tuple(lines), file=path.stem, **table))
    return [
        scene for scene in scenes
        if (scene.quick or not quick) and all(word in f"{scene.file} {scene.name}" for word in only.split())
    ]  # fmt: skip


def documents(answer: Answer) -> Any:
    """Read one JSON document, or several one a line."""
    try:
        return json.loads(answer.out)
    except ValueError:
        return [json.loads(line) for line in answer.out.splitlines()]


def compare(
    line: Line, theirs: Answer, ours: Answer, masks: tuple[compare_masks.Masks, compare_masks.Masks]
) -> list[str]:
    """Return what differs, in words; nothing when they are alike."""
    if theirs.code != ours.code:
        return [f"exit code {ours.code}, podman's is {theirs.code}", *ours.err.splitlines()[-3:]]
    if line.compare == "code":
        return []
    if line.compare == "json":
        try:
            left, right = (mask.document(documents(answer)) for mask, answer in zip(masks, (theirs, ours), strict=True))
        except ValueError as error:
            return [f"no JSON: {error}", *ours.out.splitlines()[:5], *ours.err.splitlines()[-3:]]
        return list(compare_masks.differences(left, right, re.compile(line.loose or r"(?!)")))
    unordered = line.compare == "unordered"
    left, right = (
        mask.text(answer.out, names=line.names, unordered=unordered)
        for mask, answer in zip(masks, (theirs, ours), strict=True)
    )
    if left == right:
        return []
    return [
        *(f"podman: {text}" for text in left if text not in right),
        *(f"rpod:   {text}" for text in right if text not in left),
    ] or ["the same lines in another order"]


@dataclass(frozen=True)
class Result:
    scene: Scene
    line: Line
    found: list[str]

    @property
    def word(self) -> str:
        if self.found:
            return "meant" if self.line.differs else "DIFFERS"
        return "NO LONGER" if self.line.differs else "same"

    @property
    def good(self) -> bool:
        return self.word in ("same", "meant")


def judge(scene: Scene, theirs: list[Answer], ours: list[Answer], tools: tuple[Tool, Tool]) -> list[Result]:
    masks = (tools[0].last_masks, tools[1].last_masks)
    return [
        Result(scene, line, compare(line, one, other, masks))
        for line, one, other in zip(scene.lines, theirs, ours, strict=True)
    ]


def play_all(scenes: list[Scene], tools: tuple[Tool, Tool], report: Any) -> list[Result]:
    """Play each scene with both tools at the same time; they share nothing."""
    results = []
    for scene in scenes:
        with ThreadPoolExecutor(2) as pool:
            theirs, ours = pool.map(Tool.play, tools, [scene] * 2)
        judged = judge(scene, theirs, ours, tools)
        for result, one, other in zip(judged, theirs, ours, strict=True):
            report(result, one, other)
        results += judged
    return results


class Stage:
    """Both tools with the two images in their stores; everything is removed at the end."""

    def __init__(self, rpod: list[str]) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="rpod-compare-", dir="/var/tmp"))
        self.run_place = Path(tempfile.mkdtemp(prefix="rc", dir=os.environ.get("XDG_RUNTIME_DIR", "/tmp")))
        runtime = "crun" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") and shutil.which("crun") else "runc"
        podman = [
            shutil.which("podman") or "podman", "--root", f"{self.place}/podman/store", "--runroot",
            f"{self.run_place}/p/run", "--storage-driver", "overlay", "--runtime", runtime, "--cgroup-manager", "cgroupfs",
            "--events-backend", "file", "--tmpdir", f"{self.run_place}/p/tmp",
        ]  # fmt: skip
        own = [*rpod, "--root", f"{self.place}/rpod/store", "--runroot", f"{self.run_place}/r/run"]
        for part in ("p", "r"):
            (self.run_place / part).mkdir(mode=0o700)
        self.place.chmod(0o711)
        self.tools = (
            Tool("podman", podman, self.place / "podman", self.run_place / "p", "4081"),
            Tool("rpod", own, self.place / "rpod", self.run_place / "r", "4082"),
        )

    def __enter__(self) -> tuple[Tool, Tool]:
        archive = self.place / "images.tar"
        compare_images.write_archive(archive)
        for tool in self.tools:
            done = tool(f"podman load -q -i {archive}", self.place)
            if done.code:
                self.__exit__()
                sys.exit(f"{tool.name} cannot load the images: {done.err}")
        return self.tools

    def __exit__(self, *_error: object) -> None:
        podman, rpod = self.tools
        rpod("podman rm -fa -t 0; podman unshare rm -rf $T/rpod/store", self.place)
        podman("podman rm -fa -t 0; podman unshare rm -rf $T/podman/store", self.place)
        pauses = [json.loads(record.read_text())["pid"] for record in self.run_place.glob("r/run/*/pause.json")]
        pauses += [int(record.read_text()) for record in self.run_place.glob("p/**/pause.pid")]
        for pid in pauses:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.run_place, ignore_errors=True)


def summary(results: list[Result], seconds: float, version: str) -> str:
    counts = {
        word: sum(result.word == word for result in results) for word in ("same", "meant", "DIFFERS", "NO LONGER")
    }
    text = (
        f"{len(results)} command lines through {version} and rpod: {counts['same']} the same, "
        f"{counts['meant']} different with a reason, {counts['DIFFERS']} different without, {seconds:.0f} s"
    )
    return text + (f"; {counts['NO LONGER']} reasons no longer needed" if counts["NO LONGER"] else "")


def markdown(results: list[Result], words: str) -> str:
    """Return the page's part: the differences with their reasons, then every line."""
    text = f"{words}.\n\n| line | why it differs |\n|---|---|\n"
    text += "".join(f"| `{cell(r.line.run)}` | {r.line.differs} |\n" for r in results if r.word == "meant")
    scene = None
    for result in results:
        if result.scene is not scene:
            scene = result.scene
            text += f"\n### {scene.file}: {scene.name}\n\n"
        text += f"- {result.word}: `{result.line.run}`\n"
    return text


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpod", required=True)
    parser.add_argument("--only", default="", help="scenes whose file and name have these words")
    parser.add_argument("--quick", action="store_true", help="the short form")
    parser.add_argument("--show", action="store_true", help="print both outputs of what differs")
    parser.add_argument("--markdown", help="write the result into this page")
    options = parser.parse_args()
    scenes = read_scenes(options.only, quick=options.quick)

    def report(result: Result, theirs: Answer, ours: Answer) -> None:
        print(f"{result.word:9} {result.scene.file}: {result.line.run}", flush=True)
        if not result.good or (result.found and options.show):
            print("".join(f"            {text}\n" for text in result.found), end="")
            if options.show:
                print(
                    f"--- podman ({theirs.code})\n{theirs.out}{theirs.err}--- rpod ({ours.code})\n{ours.out}{ours.err}---"
                )

    began = time.monotonic()
    with Stage([options.rpod]) as tools:
        version = tools[0]("podman --version", Path("/")).out.strip().replace(" version", "")
        results = play_all(scenes, tools, report)
    words = summary(results, time.monotonic() - began, version)
    print(words)
    if options.markdown:
        page = Path(options.markdown)
        head, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{head}{BEGIN}\n{markdown(results, words)}{END}{rest.partition(END)[2]}")
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
