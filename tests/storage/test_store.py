"""Layers on disk: staging, kills, races, pruning."""

from __future__ import annotations

import os
import signal
import time

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound
from rootless_pod.paths import Paths
from rootless_pod.storage.flock import lock_file
from rootless_pod.storage.layer import LayerInfo
from rootless_pod.storage.prune import prune_layers
from rootless_pod.storage.store import Store

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def store(tmp_path):
    return Store(Paths(graphroot=str(tmp_path / "g"), runroot=str(tmp_path / "r"), boot_id="0"))


def info(chain_id, **more):
    return LayerInfo(chain_id=chain_id, diff_id=f"sha256:{chain_id}", size_bytes=3, **more)


def add(store, chain_id, text="x", **more):
    with store.staging() as staging:
        with open(f"{staging.diff}/file", "w") as file:
            file.write(text)
        return staging.commit(chain_id, info(chain_id, **more), sync=False)


def in_child(action):
    """Run ``action`` in a child that tells when it got as far as ``ready()``; return (pid, fd to wait on)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            action(lambda: os.write(writing, b"."))
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"."
    os.close(reading)
    return pid


def linger(store):
    def action(ready):
        with store.staging() as staging:
            os.makedirs(f"{staging.diff}/half/way")
            ready()
            signal.pause()

    return action


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def names(store):
    return sorted(os.listdir(store.root))


def test_a_committed_layer_is_there_with_its_record(store):
    made = add(store, A, parent=B, digest="sha256:" + "d" * 64, single_id=True, skipped=("device node 'x'",))
    assert store.has_layer(A)
    assert store.layer_info(A) == made
    assert store.layers() == (A,)
    with open(f"{store.layer_path(A)}/file") as file:
        assert file.read() == "x"
    assert names(store) == [A]


def test_a_commit_reaches_the_disk(store):
    with store.staging() as staging:
        staging.commit(A, info(A))
    store.sync()
    assert store.has_layer(A)


def test_staging_left_without_a_commit_is_gone(store):
    with store.staging() as staging:
        os.makedirs(f"{staging.diff}/a/b")
    assert names(store) == []


def test_staging_left_by_an_error_is_gone(store):
    with pytest.raises(ZeroDivisionError), store.staging():
        raise ZeroDivisionError
    assert names(store) == []


def test_staging_of_a_killed_process_is_swept(store):
    end(in_child(linger(store)))
    assert len(names(store)) == 1
    assert store.sweep() == 1
    assert names(store) == []


def test_staging_whose_maker_was_killed_before_it_had_a_lock_is_swept_at_once(store):
    os.makedirs(f"{store.root}/.staging-0123456789abcdef")
    assert store.sweep() == 1
    assert names(store) == []


def test_a_sweep_waits_for_those_who_are_making_a_staging_directory(store):
    def make(ready):
        making = store.lock_making(shared=True)
        os.makedirs(f"{store.root}/.staging-0123456789abcdef")
        ready()
        time.sleep(0.3)
        lock = lock_file(f"{store.root}/.staging-0123456789abcdef/lock")
        os.close(making)
        signal.pause()
        os.close(lock)

    pid = in_child(make)
    try:
        assert store.sweep() == 0
        assert names(store) == [".staging-0123456789abcdef"]
    finally:
        end(pid)


def test_staging_of_a_living_process_is_left_alone(store):
    pid = in_child(linger(store))
    try:
        assert store.sweep() == 0
        assert len(names(store)) == 1
    finally:
        end(pid)


def test_staging_is_held_by_a_forked_worker_when_its_maker_is_dead(store):
    def action(ready):
        with store.staging():
            if os.fork() == 0:
                os.write(1, b"")
                signal.alarm(20)
                signal.pause()
            ready()
            signal.pause()

    os.makedirs(store.root)
    pid = in_child(action)
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        child = int(file.read().split()[0])
    end(pid)
    assert store.sweep() == 0
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while store.sweep() == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_trash_is_swept_and_layers_are_not(store):
    add(store, A)
    os.makedirs(f"{store.root}/.trash-0123/diff/a")
    assert store.sweep() == 1
    assert names(store) == [A]


def test_of_two_commits_of_one_layer_the_first_wins_and_both_are_content(store):
    with store.staging() as first, store.staging() as second:
        made = first.commit(A, info(A, entries=1), sync=False)
        assert second.commit(A, info(A, entries=2), sync=False) == made
    assert names(store) == [A]


def test_many_processes_commit_the_same_layer_at_once(store):
    def action(ready):
        with store.staging() as staging:
            open(f"{staging.diff}/file", "w").close()
            ready()
            time.sleep(0.05)
            staging.commit(A, info(A), sync=False)

    children = [in_child(action) for _number in range(6)]
    assert {os.waitpid(pid, 0)[1] for pid in children} == {0}
    assert names(store) == [A]
    assert store.layer_info(A) == info(A)


def test_a_commit_under_a_wrong_name_is_refused(store):
    with store.staging() as staging, pytest.raises(Corrupt):
        staging.commit(B, info(A))
    with store.staging() as staging, pytest.raises(Corrupt):
        staging.commit("../x", info("../x"))


def test_a_directory_in_the_way_is_named_with_its_remedy(store):
    os.makedirs(f"{store.root}/{A}/something")
    with store.staging() as staging, pytest.raises(Conflict, match=A):
        staging.commit(A, info(A), sync=False)


def test_the_staging_directory_does_not_inherit_a_setgid_bit(store):
    os.makedirs(store.root)
    os.chmod(store.root, 0o2755)
    with store.staging() as staging:
        assert os.stat(staging.path).st_mode & 0o7777 == 0o700
        assert os.stat(staging.diff).st_mode & 0o7777 == 0o755


def test_a_missing_layer_is_not_found_and_a_damaged_record_is_corrupt(store):
    with pytest.raises(NotFound):
        store.layer_info(A)
    add(store, A)
    for text in ("", "{}", "[]", '{"chain_id":"a","diff_id":"b","size_bytes":-1}'):
        with open(f"{store.layer_dir(A)}/layer.json", "w") as file:
            file.write(text)
        with pytest.raises(Corrupt):
            store.layer_info(A)


def test_lower_dirs_are_top_first_and_end_at_a_layer_with_an_opaque_root(store):
    add(store, A)
    add(store, B, opaque_root=True)
    add(store, C)
    assert store.lower_dirs((A, C)) == (store.layer_path(C), store.layer_path(A))
    assert store.lower_dirs((A, B, C)) == (store.layer_path(C), store.layer_path(B))


def test_prune_deletes_what_nobody_refers_to(store):
    for chain_id in (A, B, C):
        add(store, chain_id)
    gone = prune_layers(store, lambda: {B}, grace_seconds=-1)
    assert [(pruned.chain_id, pruned.size_bytes) for pruned in gone] == [(A, 3), (C, 3)]
    assert names(store) == [B]


def test_prune_leaves_a_layer_that_has_just_been_committed(store):
    add(store, A)
    assert prune_layers(store, set) == ()
    assert store.has_layer(A)


def test_prune_leaves_a_layer_that_is_held_and_takes_it_afterwards(store):
    add(store, A)
    with store.hold((A, B)) as held:
        assert held.present == (A,)
        assert prune_layers(store, set, grace_seconds=-1) == ()
    assert [pruned.chain_id for pruned in prune_layers(store, set, grace_seconds=-1)] == [A]


def test_two_may_hold_a_layer_at_once(store):
    add(store, A)
    with store.hold((A,)) as one, store.hold((A,)) as two:
        assert one.present == two.present == (A,)


def test_prune_sees_an_image_that_was_written_while_it_looked(store):
    add(store, A)
    answers = [set(), {A}]
    assert prune_layers(store, lambda: answers.pop(0), grace_seconds=-1) == ()
    assert store.has_layer(A)


def test_prune_leaves_staging_directories_alone(store):
    with store.staging() as staging:
        prune_layers(store, set, grace_seconds=-1)
        assert os.path.isdir(staging.diff)


def test_prune_deletes_a_layer_without_a_record(store):
    os.makedirs(f"{store.root}/{A}/diff/x")
    assert [pruned.chain_id for pruned in prune_layers(store, set, grace_seconds=-1)] == [A]
    assert names(store) == []


def test_a_hold_on_layers_that_are_not_there_makes_nothing(store):
    with store.hold((A,)) as held:
        assert held.present == ()
    assert not os.path.exists(store.layer_dir(A))


def test_holders_and_a_pruner_never_disagree(store):
    """A holder that was told "it is there" must find it there for as long as it holds it."""
    deadline = time.monotonic() + 1.5
    bad = f"{os.path.dirname(store.root)}-bad"

    def holder(ready):
        ready()
        while time.monotonic() < deadline:
            with store.hold((A,)) as held:
                if held.present:
                    for _look in range(5):
                        if not os.path.exists(f"{store.layer_path(A)}/file"):
                            open(bad, "w").close()
                elif not store.has_layer(A):
                    add(store, A)

    children = [in_child(holder) for _number in range(2)]
    pruned = 0
    while time.monotonic() < deadline:
        pruned += len(prune_layers(store, set, grace_seconds=-1))
        time.sleep(0.001)
    assert {os.waitpid(pid, 0)[1] for pid in children} == {0}
    assert pruned > 3
    assert not os.path.exists(bad)
