"""The model of a small yellow creature.

It stands on y = 0, is about 1 high and looks along z; x points to its left.
"""

from __future__ import annotations

import numpy as np

from .solids import Part, ball, plate, spike

__all__ = ["creature"]

YELLOW = (253, 232, 40)
DARK, WHITE, MOUTH = (38, 40, 18), (246, 246, 240), (112, 74, 16)
CHEEK, BROWN = (240, 140, 36), (172, 116, 12)


def _face(looks):
    """Return the decals of the head: eyes with glints, cheeks, mouth."""
    eye, cheek = looks["eye"], looks["cheek"]
    decals = []
    for side in (-1, 1):
        decals += [
            ((side * .72, -.34, .6), (.29 * cheek, .29 * cheek, .5), CHEEK),
            ((side * .47, .17, .86), (.17 * eye, .19 * eye, .3), DARK),
            ((side * .42, .25, .88), (.06 * eye, .07 * eye, .3), WHITE)]
    decals += [((0, -.06, 1), (.06, .04, .2), DARK)]
    decals += [((side * .12, -.25, .95), (.14, .035, .3), MOUTH)
               for side in (-1, 1)]
    return decals


def _stripes():
    """Return the decals of the trunk: two brown bands across the back."""
    return [((0, y, -1.), (.62, .085, .62), BROWN) for y in (-.05, .3)]


def _ear(side, looks):
    """Return one ear: it widens to its middle, then tapers to a dark tip."""
    lean, length = looks["lean"][int(side > 0)], looks["ear"]
    base = np.array([side * .10, .72, -.01])
    tip = base + length * np.array([side * np.sin(lean), np.cos(lean), -.08])
    middle, radius = .48, .054 * looks["ear_width"]
    rest = 1 - middle
    dark = (((0, 0, 1.), (9, 9, 1 - looks["dark_from"]), DARK),)
    lower = (.6, .4 / middle, 0.)
    upper = (1 / rest**2, -2 / rest**2, 1 / rest**2)
    return [spike(base, tip, radius, profile, span, flat=.55, colour=YELLOW,
                  decals=dark)
            for profile, span in ((lower, (-.2, middle)),
                                  (upper, (middle, 1)))]


def _limbs(looks):
    """Return arms, held out to the sides, and feet."""
    parts = []
    for side, (lift, reach) in zip((-1, 1), looks["arms"]):
        shoulder = np.array([side * .15, .41, .05])
        hand = shoulder + np.array([side * np.cos(lift), np.sin(lift), .2]
                                   ) * reach
        parts += [spike(shoulder, hand, .075, (1., -1., 0.), (-.3, 1),
                        colour=YELLOW)]
        toe = np.array([side * .15, -.005, .11])
        parts += [spike((side * .09, .10, .03), toe, .062, (1., -.9, -.1),
                        (-.3, 1), colour=YELLOW)]
    return parts


def _tail():
    """Return the tail: a bolt of lightning, brown at its root."""
    root = (((0, -1, 0), (9, 1.1, 9), BROWN),)
    return [plate((-.12, .10), (-.14, .16), (-.05, .04), YELLOW, root),
            plate((-.34, .22), (.16, .12), (-.02, .09), YELLOW),
            plate((-.18, .27), (-.20, .17), (.02, .11), YELLOW),
            plate((-.41, .42), (-.22, .38), (.12, .07), YELLOW)]


def creature(rng: np.random.Generator) -> list[Part]:
    """Return the parts of a creature; no two are built quite alike.

    Args: rng draws the proportions.
    """
    u = rng.uniform
    looks = {"eye": u(.85, 1.2), "cheek": u(.8, 1.15), "ear": u(.30, .37),
             "ear_width": u(.9, 1.3), "dark_from": u(.6, .74),
             "lean": np.radians(u(15, 44, size=2)),
             "arms": [(np.radians(u(-30, 40)), u(.18, .25))
                      for _ in range(2)]}
    wide = u(.92, 1.08)
    parts = [ball((0, .59, .02), (.205 * wide, .185, .18), YELLOW,
                  _face(looks)),
             ball((0, .36, .01), (.208 * wide, .27, .175), YELLOW, _stripes()),
             ball((0, .23, .01), (.222 * wide, .185, .185), YELLOW)]
    for side in (-1, 1):
        parts += _ear(side, looks)
    return parts + _limbs(looks) + _tail()
