"""Simple solids in 3D, drawn by casting rays, and the creature of them."""

from typing import NamedTuple

import numpy as np

# Profiles (a, b, c): the surface is x^2 + y^2 = a + b z + c z^2.
BALL, CONE = (1., 0., -1.), (1., -2., 1.)


class Part(NamedTuple):
    """One solid: its shape, its place and its paint."""

    matrix: np.ndarray      # (3, 3): columns are the part's own axes
    centre: np.ndarray      # (3,): its origin in the model's axes
    profile: tuple | None   # coefficients as above; None is a cube of side 2
    span: tuple             # (lowest, highest) z that belongs to the solid
    colour: tuple           # RGB, 0..255
    decals: tuple = ()      # ((x, y, z), (rx, ry, rz), RGB): painted where


    #                         the surface lies inside that ellipsoid


class Sprite(NamedTuple):
    """A drawn solid, cut to its silhouette, `samples` cells to a pixel."""

    colour: np.ndarray      # float32 (rows, cols, 3), 0..255
    mask: np.ndarray        # bool (rows, cols); every edge row/column is hit
    samples: int


class Light(NamedTuple):
    """How a model is lit; ambient + strength = 1 is full light."""

    ambient: float
    strength: float         # of a lamp far away
    toward: np.ndarray      # (3,) unit vector: x right, y down, z to viewer
    tint: np.ndarray        # (3,) factors of red, green, blue


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the (3, 3) rotation: yaw about y, pitch about x, roll about z.

    Args: three angles in degrees, applied in this order.

    >>> (rotation(90, 0, 0) @ [0, 0, 1]).round(6).tolist()
    [1.0, 0.0, 0.0]
    """
    (cy, sy), (cp, sp), (cr, sr) = (
        (np.cos(a), np.sin(a)) for a in np.radians([yaw, pitch, roll]))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def ball(centre, radii, colour, decals=()) -> Part:
    """Return an ellipsoid with its axes along x, y and z."""
    return Part(np.diag(radii).astype(float), np.asarray(centre, float),
                BALL, (-1, 1), tuple(colour), tuple(decals))


def spike(start, end, radius, profile, span=(0, 1), flat=1., **paint) -> Part:
    """Return a solid of revolution from start (z = 0) to end (z = 1).

    `radius` is its unit of width; `flat` is its depth over its width.
    """
    start = np.asarray(start, float)
    along = np.asarray(end, float) - start
    across = np.cross(along, [0, 0, 1.])
    across /= np.linalg.norm(across)
    depth = np.cross(along, across) / np.linalg.norm(along)
    matrix = np.stack([across * radius, depth * radius * flat, along], axis=1)
    return Part(matrix, start, profile, span, **paint)


def plate(corner, edge, side, colour, decals=(), thickness=.012) -> Part:
    """Return a flat parallelogram in the plane x = 0.

    Args: corner and the two ways along its sides, each (z, y).
    """
    corner, edge, side = (np.array([0, y, z]) for z, y in (corner, edge, side))
    matrix = np.stack([[thickness, 0, 0], edge / 2, side / 2], axis=1)
    return Part(matrix, corner + (edge + side) / 2, None, (-1, 1),
                tuple(colour), tuple(decals))


def _apply(matrix, points):
    """Return matrix times points (3, ...), the same on every machine.

    einsum adds in a fixed order and in this thread; `@` would ask a BLAS.
    """
    rest = "ab"[:points.ndim - 1]
    return np.einsum(f"...i,i{rest}->...{rest}", matrix, points)


def _cube_hits(q0, d):
    """Return where rays enter the cube of side 2: largest t, and a mask."""
    d = np.where(np.abs(d) < 1e-9, 1e-9, d)[:, None, None]
    enter = ((np.sign(d) - q0) / d).min(axis=0)
    leave = ((-np.sign(d) - q0) / d).max(axis=0)
    return enter, enter > leave


def _round_hits(q0, d, part):
    """Return where rays meet a round solid: largest t, and a mask."""
    a, b, c = part.profile
    weight = np.array([1., 1., -c])
    square = (weight * d * d).sum()
    if abs(square) < 1e-12:         # along the side of a cone
        square = 1e-12
    half = _apply(weight * d, q0) - b * d[2] / 2
    rest = _apply(weight, q0 * q0) - b * q0[2] - a
    inside = half * half - square * rest
    root = np.sqrt(np.maximum(inside, 0))
    best = np.full(root.shape, -np.inf)
    for sign in (-1, 1):
        t = (sign * root - half) / square
        z = q0[2] + t * d[2]
        ok = (inside >= 0) & (z >= part.span[0]) & (z <= part.span[1])
        best = np.where(ok & (t > best), t, best)
    return best, np.isfinite(best)


def _normals(q, part, inverse):
    """Return unit normals (3, points), turned to the viewer, at points q."""
    if part.profile is None:
        local = np.where(np.abs(q) >= np.abs(q).max(axis=0) - 1e-9, q, 0)
    else:
        _, b, c = part.profile
        local = np.stack([q[0], q[1], -b / 2 - c * q[2]])
    normal = _apply(inverse.T, local)
    normal *= np.where(normal[2] < 0, -1., 1.)
    return normal / (np.sqrt((normal * normal).sum(axis=0)) + 1e-9)


def _extent(part, view):
    """Return the (left, top) and (right, bottom) that a part stays within."""
    matrix, (low, high) = view @ part.matrix, part.span
    middle = view @ part.centre + matrix[:, 2] * (low + high) / 2
    if part.profile is None:
        half = np.abs(matrix[:2, :2]).sum(axis=1)
    else:
        a, b, c = part.profile
        z = np.linspace(low, high, 9)
        widest = max(float((a + b * z + c * z * z).max()), 0.)**.5
        half = np.hypot(matrix[:2, 0], matrix[:2, 1]) * widest
    half = half + np.abs(matrix[:2, 2]) * (high - low) / 2 + 1
    return middle[:2] - half, middle[:2] + half


def _shade(part, q, inverse, light):
    """Return colours (points, 3) of a part at its own points q (3, points)."""
    colour = np.tile(np.array(part.colour, float), (q.shape[1], 1))
    for centre, radii, paint in part.decals:
        away = (q - np.reshape(centre, (3, 1))) / np.reshape(radii, (3, 1))
        colour[(away * away).sum(axis=0) < 1] = paint
    facing = np.maximum(_apply(light.toward, _normals(q, part, inverse)), 0)
    glow = light.ambient + light.strength * facing
    return colour * glow[:, None] * light.tint


def _draw(colours, depth, part, view, corner, light):
    """Draw one part, where it is nearer than what is there already."""
    low, high = (np.floor(end - corner).astype(int)
                 for end in _extent(part, view))
    x0, y0 = np.maximum(low, 0)
    window = np.s_[y0:max(high[1] + 1, 0), x0:max(high[0] + 1, 0)]
    near, shape = depth[window], depth[window].shape
    y, x = np.indices(shape) + .5
    inverse = np.linalg.inv(view @ part.matrix)
    start = np.stack([x + (x0 + corner[0]), y + (y0 + corner[1]),
                      np.zeros(shape)])
    start -= (view @ part.centre)[:, None, None]
    q0, d = _apply(inverse, start), inverse[:, 2]
    t, hit = (_cube_hits(q0, d) if part.profile is None
              else _round_hits(q0, d, part))
    hit &= t > near
    q = q0[:, hit] + t[hit] * d[:, None]
    near[hit] = t[hit]
    colours[window][hit] = _shade(part, q, inverse, light)


def render(parts, turn, height, light, samples=3) -> Sprite:
    """Draw parts as seen from the front, cut to their silhouette.

    Args:
        parts: solids of a model about 1 high.
        turn: (3, 3) rotation of the model.
        height: pixels that a length of 1 takes.
        light: Light.
        samples: cells to a pixel, along each side.

    Returns: a Sprite; its outermost rows and columns touch the silhouette.
    """
    view = np.diag([1., -1., 1.]) @ turn * (height * samples)
    extents = np.array([_extent(part, view) for part in parts])
    low = np.floor(extents[:, 0].min(axis=0))
    cols, rows = (np.ceil(extents[:, 1].max(axis=0)) - low).astype(int)
    colours = np.zeros((rows, cols, 3), np.float32)
    depth = np.full((rows, cols), -np.inf)
    for part in parts:
        _draw(colours, depth, part, view, low, light)
    mask = np.isfinite(depth)
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = np.s_[ys[0]:ys[-1] + 1, xs[0]:xs[-1] + 1]
    return Sprite(np.clip(colours[window], 0, 255), mask[window], samples)


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
    return [*decals, ((0, -.06, 1), (.06, .04, .2), DARK),
            *(((side * .12, -.25, .95), (.14, .035, .3), MOUTH)
              for side in (-1, 1))]


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
                        colour=YELLOW),
                  spike((side * .09, .10, .03), (side * .15, -.005, .11),
                        .062, (1., -.9, -.1), (-.3, 1), colour=YELLOW)]
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
    return [*parts, *_ear(-1, looks), *_ear(1, looks), *_limbs(looks),
            *_tail()]
