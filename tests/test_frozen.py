"""The record class behaves as a frozen, keyword-only, slotted dataclass would."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest

from rootless_pod.frozen import Frozen


class Point(Frozen):
    kind: ClassVar[str] = "point"
    x: int
    y: int = 0


class Named(Point):
    name: str = "p"

    @property
    def label(self) -> str:
        return f"{self.name}({self.x}, {self.y})"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    x: int
    y: int = 0


def test_fields_defaults_and_equality_are_those_of_a_dataclass():
    assert Point(x=1).as_dict() == dataclasses.asdict(Judge(x=1))
    assert repr(Point(x=1, y=2)).replace("Point", "Judge") == repr(Judge(x=1, y=2))
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1)
    assert hash(Point(x=1)) == hash(Point(x=1, y=0))


def test_a_subclass_adds_to_its_parent_s_fields():
    assert Named(x=1).as_dict() == {"x": 1, "y": 0, "name": "p"}
    assert Named(x=1, name="q").label == "q(1, 0)"
    assert Point.kind == "point"


@pytest.mark.parametrize("values", [{}, {"y": 1}, {"x": 1, "z": 2}])
def test_a_missing_or_unknown_field_is_a_type_error(values):
    with pytest.raises(TypeError):
        Point(**values)
    with pytest.raises(TypeError):
        Judge(**values)


def test_nothing_can_be_changed_added_or_deleted():
    point = Point(x=1)
    for change in (lambda: setattr(point, "x", 2), lambda: setattr(point, "new", 2), lambda: delattr(point, "x")):
        with pytest.raises(AttributeError):
            change()
    assert not hasattr(point, "__dict__")


def test_a_changed_copy_leaves_the_first_as_it_is():
    first = Named(x=1)
    assert first.replace(y=5) == Named(x=1, y=5)
    assert first == Named(x=1)
    with pytest.raises(TypeError):
        first.replace(z=1)


def test_copies_and_pickles_are_equal():
    point = Point(x=1, y=2)
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point
