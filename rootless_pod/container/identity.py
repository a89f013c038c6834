"""Ids and the names given to those who name nothing. HOT."""

from __future__ import annotations

import os

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
