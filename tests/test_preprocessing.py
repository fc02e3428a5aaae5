"""`Preprocessing`: what it refuses, other sizes, and its form in JSON."""

import dataclasses
import json

import pytest

from resnet_tf import models
from resnet_tf.preprocessing import Preprocessing

FIELDS = {"height": 4, "width": 6, "channels": 2, "mean": (0.0, 255.0), "std": (1.0, 255.0)}


@pytest.mark.parametrize("more", [
    {}, {"shorter_side": 6}, {"shorter_side": 100}, {"central_fraction": 1.0},
    {"central_fraction": 1e-3}, {"height": 1, "width": 1}, {"antialias": False},
])  # fmt: skip
def test_what_a_picture_can_be_prepared_by_is_accepted(more):
    fields = FIELDS | more
    made = Preprocessing(**fields)
    assert {name: getattr(made, name) for name in fields} == fields


@pytest.mark.parametrize("changes, message", [
    ({"height": 0}, "height and width must be 1 or more, got 0x6"),
    ({"width": -1}, "height and width must be 1 or more, got 4x-1"),
    ({"mean": (1.0,)}, "mean must have 2 values, got 1"),
    ({"std": (1.0, 1.0, 1.0)}, "std must have 2 values, got 3"),
    ({"channels": 3}, "mean must have 3 values, got 2"),
    ({"mean": (1.0, 255.5)}, r"mean must be in pixel units, 0 to 255, got \(1.0, 255.5\)"),
    ({"mean": (-0.5, 1.0)}, r"mean must be in pixel units, 0 to 255, got \(-0.5, 1.0\)"),
    ({"std": (0.0, 1.0)}, r"std must be in pixel units, above 0 to 255, got \(0.0, 1.0\)"),
    ({"std": (1.0, 256.0)}, r"std must be in pixel units, above 0 to 255, got \(1.0, 256.0\)"),
    ({"std": (float("nan"), 1.0)}, "std must be in pixel units, above 0 to 255"),
    ({"shorter_side": 8, "central_fraction": 0.5},
     "give shorter_side or central_fraction, not both"),
    ({"shorter_side": 5}, "shorter_side must be 6 or more, got 5"),
    ({"height": 7, "shorter_side": 6}, "shorter_side must be 7 or more, got 6"),
    ({"central_fraction": 0}, "central_fraction must be above 0 and up to 1, got 0"),
    ({"central_fraction": 1.25}, "central_fraction must be above 0 and up to 1, got 1.25"),
    ({"central_fraction": float("nan")}, "central_fraction must be above 0 and up to 1, got nan"),
])  # fmt: skip
def test_anything_else_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**FIELDS | changes)


@pytest.mark.parametrize("size, side", [
    ((224, 224), 256), ((448, 448), 512), ((112, 112), 128), ((7, 7), 8),
    ((299, 299), 342),  # 299 · 8 / 7 = 341.71
    ((100, 224), 256), ((224, 100), 256),  # the longer of the two counts
])  # fmt: skip
def test_another_size_keeps_the_ratio_to_the_shorter_side(size, side):
    usual = models.usual_preprocessing("resnet50")
    assert (usual.height, usual.width, usual.shorter_side) == (224, 224, 256)
    expected = dataclasses.replace(usual, height=size[0], width=size[1], shorter_side=side)
    assert usual.at_size(*size) == expected


def test_a_size_that_is_not_square_keeps_the_ratio_to_its_longer_side():
    oblong = Preprocessing(**FIELDS, shorter_side=9)  # 1.5 times 6
    assert oblong.at_size(8, 2).shorter_side == 12
    assert oblong.at_size(4, 6) == oblong


@pytest.mark.parametrize("height", range(1, 40))
def test_any_size_is_accepted_at_another_size(height):
    assert Preprocessing(**FIELDS, shorter_side=6).at_size(height, 3).shorter_side >= height


@pytest.mark.parametrize("more", [{}, {"central_fraction": 0.875}])
def test_another_size_changes_nothing_else(more):
    made = Preprocessing(**FIELDS, **more)
    assert made.at_size(10, 20) == Preprocessing(**FIELDS | {"height": 10, "width": 20}, **more)


@pytest.mark.parametrize(
    "more", [{}, {"shorter_side": 9}, {"central_fraction": 0.875}, {"antialias": False}]
)
def test_through_json_and_back(more):
    made = Preprocessing(**FIELDS, **more)
    fields = json.loads(json.dumps(made.to_json()))
    assert fields == made.to_json()  # nothing that JSON would turn into something else
    assert Preprocessing.from_json(fields) == made


def test_json_without_the_newer_fields_takes_their_defaults():
    old = {"height": 4, "width": 6, "channels": 2, "mean": [0.0, 255.0], "std": [1.0, 255.0]}
    assert Preprocessing.from_json(old) == Preprocessing(**FIELDS)
    made = Preprocessing.from_json(old)
    assert (made.shorter_side, made.central_fraction) == (None, None)
    assert old["mean"] == [0.0, 255.0]


def test_what_the_networks_are_usually_given():
    cifar, ex6 = models.usual_preprocessing("cifar_resnet18"), models.usual_preprocessing("ex6_net")
    assert (cifar.height, cifar.width, cifar.mean) == (32, 32, (125.307, 122.95, 113.865))
    assert cifar.std == (62.9932, 62.0887, 66.7048)
    assert (ex6.height, ex6.central_fraction, ex6.shorter_side) == (299, 0.875, None)
    # To [-1, 1].
    assert {(p - m) / s for p, e in ((0, -1), (255, 1)) for m, s in zip(ex6.mean, ex6.std)} == {
        -1.0, 1.0,
    }  # fmt: skip
    imagenet = models.usual_preprocessing("resnext50_32x4d")
    # Of pixels in [0, 1], as published: 0.485 0.456 0.406 and 0.229 0.224 0.225.
    assert imagenet.mean == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))
    assert imagenet.std == pytest.approx((0.229 * 255, 0.224 * 255, 0.225 * 255))
    with pytest.raises(ValueError, match="no network is called 'vgg'"):
        models.usual_preprocessing("vgg")
