"""``--change``: Dockerfile instructions on an image's config."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Usage
from rootless_pod.image.instructions import apply_instructions


def changed(*instructions, **before):
    inner = dict(before)
    apply_instructions(inner, instructions)
    return inner


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ('CMD ["a", "b c"]', {"Cmd": ["a", "b c"]}),
        ("CMD a b c", {"Cmd": ["/bin/sh", "-c", "a b c"]}),
        ("cmd=/bin/bash", {"Cmd": ["/bin/sh", "-c", "/bin/bash"]}),
        ('ENTRYPOINT ["/init"]', {"Entrypoint": ["/init"]}),
        ("ENTRYPOINT", {"Entrypoint": []}),
        ("ENV A=1 B='x y'", {"Env": ["A=1", "B=x y"]}),
        ("ENV A 1 2", {"Env": ["A=1 2"]}),
        ("ENV A=one two", {"Env": ["A=one two"]}),  # podman 4.3.1: blanks belong to the value
        ("EXPOSE 80 53/udp", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        ("EXPOSE 1-3", {"ExposedPorts": {"1/tcp": {}, "2/tcp": {}, "3/tcp": {}}}),
        ("LABEL a=b c=", {"Labels": {"a": "b", "c": ""}}),
        ("ONBUILD RUN make", {"OnBuild": ["RUN make"]}),
        ("STOPSIGNAL SIGRTMIN+3", {"StopSignal": "SIGRTMIN+3"}),
        ("USER 1000:1000", {"User": "1000:1000"}),
        ('VOLUME ["/a", "/b"]', {"Volumes": {"/a": {}, "/b": {}}}),
        ("WORKDIR /srv", {"WorkingDir": "/srv"}),
    ],
)
def test_an_instruction_is_read_as_a_dockerfile_has_it(instruction, expected):
    assert changed(instruction) == expected


def test_a_variable_keeps_its_place_and_other_things_are_added_to():
    before = {"Env": ["A=1", "B=2"], "Labels": {"x": "y"}, "Volumes": {"/v": {}}, "WorkingDir": "/srv"}
    found = changed("ENV A=9", "LABEL z=1", "VOLUME /w", "WORKDIR sub/../deep", **before)
    assert found == {
        "Env": ["A=9", "B=2"],
        "Labels": {"x": "y", "z": "1"},
        "Volumes": {"/v": {}, "/w": {}},
        "WorkingDir": "/srv/deep",
    }
    assert before["Env"] == ["A=1", "B=2"]


@pytest.mark.parametrize(
    "instruction",
    ["RUN true", "", "FROM x", "EXPOSE 0", "EXPOSE 70000", "EXPOSE 9-3", "EXPOSE 1/icmp", "VOLUME a", "VOLUME",
     "STOPSIGNAL HELLO", "LABEL x", "ENV x", "ENV =x", "WORKDIR", "VOLUME [1]x"],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(instruction):
    with pytest.raises(Usage):
        changed(instruction)
