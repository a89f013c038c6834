"""``--secret``: what can be meant by it."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Usage
from rootless_pod.secrets.request import SecretRequest, parse_secret


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("one", SecretRequest(name="one")),
        ("source=one,target=two", SecretRequest(name="one", target="two")),
        ("one,type=env,target=VAR", SecretRequest(name="one", kind="env", target="VAR")),
        ("one,uid=5,gid=6,mode=0400", SecretRequest(name="one", uid=5, gid=6, mode=0o400)),
        ("one,mode=440", SecretRequest(name="one", mode=0o440)),
    ],
)
def test_what_can_be_meant(text: str, wanted: SecretRequest) -> None:
    assert parse_secret(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "type=mount", "one,type=zz", "one,foo=1", "one,bare", "one,mode=9", "one,mode=-1", "one,mode=10000",
        "one,uid=-1", "one,uid=x", "one,uid=4294967295", "one,gid=", "one,type=env,uid=1", "one,target=../up",
        "one,target=/a/../b", "one,target=dir/", "one,type=env,target=A=B",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="--secret"):
        parse_secret(text)


def test_where_it_is_seen() -> None:
    assert parse_secret("one").path == "/run/secrets/one"
    assert parse_secret("one,target=a/b").path == "/run/secrets/a/b"
    assert parse_secret("one,target=/etc/key").path == "/etc/key"
    assert parse_secret("one,type=env").variable == "one"
