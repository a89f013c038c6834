"""Ids and the names given to those who name nothing. HOT."""

from __future__ import annotations

import os

from rootless_pod.errors import Conflict, NotFound
from rootless_pod.state import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.state.lock import Lock

_NAME_TRIES = 10
_QUALITIES = (
    "able agile amber ample azure bold brave brisk calm candid clear clever cosy crisp daring deft eager early easy "
    "fair famous fancy fast fine fond free fresh gentle glad golden good grand great green happy hardy honest humble "
    "jolly keen kind light lively lucid lucky mellow merry mild modest neat nimble noble patient plain polite proud "
    "quick quiet rapid ready sage serene sharp silver smart snug solid sound spry steady sunny sure swift tidy tough "
    "trusty vivid warm wise witty"
)
_NOUNS = (
    "acorn alder anchor aspen badger beacon beaver birch bison brook canyon cedar cliff clover comet condor coral "
    "crane creek curlew dune eagle elm ember falcon fern finch fjord forest fox garnet glade grove gull harbor hare "
    "hawk hazel heron hill ibis island jade juniper kestrel lagoon lark laurel linden lynx maple marten meadow merlin "
    "moss oak opal orca osprey otter owl pebble pine plover quail quartz raven reef ridge river robin rowan sable "
    "seal shore sparrow spruce stone stork swan tern thistle thrush tide trout valley walnut willow wren yew"
)


def new_id() -> str:
    """Return a fresh id: 64 hexadecimal digits."""
    return os.urandom(32).hex()


def random_name() -> str:
    """Return a name such as ``calm_otter_3f``; the last part makes collisions rare."""
    qualities, nouns = _QUALITIES.split(), _NOUNS.split()
    first, second, third = os.urandom(2), os.urandom(2), os.urandom(1)
    quality = qualities[int.from_bytes(first, "big") % len(qualities)]
    noun = nouns[int.from_bytes(second, "big") % len(nouns)]
    return f"{quality}_{noun}_{third.hex()}"


def reserve_random_name(directory: str, object_id: str, *, objects: str) -> str:
    """Take a name nobody has for an object in ``objects``, and return it."""
    for _try in range(_NAME_TRIES):
        name = random_name()
        try:
            names.reserve(directory, name, object_id, objects=objects)
        except Conflict:
            continue
        return name
    names.reserve(directory, object_id[:16], object_id, objects=objects)
    return object_id[:16]


def claim_id(place: Callable[[str], str], lock_of: Callable[[str], Lock], wanted: str = "") -> tuple[str, Lock]:
    """Make the directory of a new object and take its lock: what holds no record and no held lock is swept."""
    while True:
        object_id = wanted or new_id()
        os.mkdir(place(object_id), 0o700)
        lock = lock_of(object_id)
        try:
            lock.acquire()
        except NotFound:
            continue  # swept before we could lock it
        return object_id, lock
