"""Judging: which detections are right, by hand."""

import doctest

import numpy as np
import pytest

from dsod_d2l.evaluation import matching
from dsod_d2l.evaluation.matching import match_coco, match_voc

NONE = np.array([False, False])


def test_examples():
    assert doctest.testmod(matching).attempted > 3
    assert doctest.testmod(matching).failed == 0


@pytest.mark.parametrize("overlaps, difficult, coco, voc", [
    # Each finds its own.
    ([[.9, .1], [.2, .8]], NONE, "CC", "CC"),
    # The second takes the other object for COCO; for VOC it asks in vain.
    ([[.9, .1], [.8, .6]], NONE, "CC", "CW"),
    # The same object twice.
    ([[.9, .1], [.8, .1]], NONE, "CW", "CW"),
    # The threshold itself is enough, a hair less is not.
    ([[.5, .0], [.0, .499]], NONE, "CW", "CW"),
    # A difficult object is found: not counted. Found again: COCO lets it be
    # found once, VOC does not mind.
    ([[.1, .9], [.1, .8]], np.array([False, True]), "IW", "II"),
    # COCO prefers an object that counts to a difficult one it overlaps more.
    ([[.6, .9], [.0, .2]], np.array([False, True]), "CW", "IW"),
    # Nothing is near.
    ([[.1, .2], [.3, .4]], NONE, "WW", "WW"),
])
def test_matching_by_hand(overlaps, difficult, coco, voc):
    """C: correct, I: ignored, W: wrong."""
    overlaps = np.array(overlaps)
    found = match_coco(overlaps, difficult, [0.5])
    as_text = ["".join("C" if c else "I" if i else "W" for c, i in zip(*both))
               for both in ([found[0][0], found[1][0]],
                            match_voc(overlaps, difficult))]
    assert as_text == [coco, voc]


def test_each_threshold_is_judged_on_its_own():
    """At .75 the first detection is out, and the second gets its object."""
    overlaps = np.array([[.7], [.8]])
    correct, ignored = match_coco(overlaps, np.array([False]),
                                  [0.5, 0.75, 0.9])
    assert correct.tolist() == [[True, False], [False, True], [False, False]]
    assert not ignored.any()


def test_voc_takes_any_threshold():
    overlaps = np.array([[.4, .1]])
    assert match_voc(overlaps, NONE)[0].tolist() == [False]
    assert match_voc(overlaps, NONE, 0.4)[0].tolist() == [True]


def test_without_objects_nothing_is_right_and_nothing_is_left_out():
    for objects in ((3, 0), (0, 2), (0, 0)):
        overlaps, none = np.zeros(objects), np.zeros(objects[1], bool)
        for part in (*match_voc(overlaps, none), *match_coco(overlaps, none)):
            assert part.shape[-1] == objects[0] and part.dtype == bool
            assert not part.any()
