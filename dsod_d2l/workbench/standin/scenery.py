"""Places for the creature to stand in, and the things that stand about."""

import cv2
import numpy as np

from .paint import (TREES, WALLS, box, dabs, lay, noise, pick, placed, quad,
                    taper, texture, tint)


def tree(rng, image, x, foot, height):
    """Paint a tree of that height (pixels) on its foot point: trunk, crown."""
    rows, cols = image.shape[:2]
    wide = height * rng.uniform(.02, .06)
    quad(image, taper(x, foot - height, wide / 2, foot, wide),
         tint(rng, "wood", "dark") * .7)
    for _ in range(int(rng.integers(2, 7))):    # branches
        y = foot - height * rng.uniform(.4, .9)
        reach = height * rng.uniform(-.4, .4)
        quad(image, [(x, y), (x + reach, y - abs(reach) * .8), (x, y + wide)],
             tint(rng, "dark"))
    if rng.uniform() < .75:
        spread = height * rng.uniform(.2, .5)
        dabs(rng, image, pick(rng, TREES), int(rng.integers(40, 140)),
             (foot - height * 1.2) / rows, (foot - height * .45) / rows,
             height * rng.uniform(.03, .09) / rows,
             (x - spread) / cols, (x + spread) / cols)


def facade(rng, shape, name=None):
    """Return the front of a building: wall, a grid of windows, ledges."""
    rows, cols = shape
    wall = texture(rng, shape, name or pick(rng, WALLS), rng.uniform(.05, .5))
    across, up = int(rng.integers(2, 9)), int(rng.integers(2, 10))
    w, h = cols / across, rows / up
    fx, fy = rng.uniform(.3, .85, 2)
    frame = tint(rng, "white", "dark", "wood")
    glass = pick(rng, ("glass", "glass", "dark", "white", "sky"))
    lit = rng.uniform() < .25
    for i in range(across):
        for j in range(up):
            x, y = (i + .5) * w, (j + .5) * h
            dx, dy = w * fx / 2, h * fy / 2
            box(wall, x - dx - 1, y - dy - 1, x + dx + 1, y + dy + 1, frame)
            name = "crop" if lit and rng.uniform() < .5 else glass
            box(wall, x - dx, y - dy, x + dx, y + dy, tint(rng, name))
            if dx > 3:
                box(wall, x - .5, y - dy, x + .5, y + dy, frame)
    for j in range(int(rng.integers(0, up))):
        box(wall, 0, j * h - 1, cols, j * h + 1, frame)
    if rng.uniform() < .6:      # the shop on the ground floor
        box(wall, 0, rows - h * 1.2, cols, rows - h, tint(rng, "any"))
    return wall


def things(rng, image, count, low, high, cars=True):
    """Put boxes and blobs about: cars, people, furniture, signs."""
    rows, cols = image.shape[:2]
    for _ in range(count):
        foot = rng.uniform(low, high)
        size = rows * (.03 + .35 * max(foot - .4, 0)) * rng.uniform(.6, 1.6)
        x, y = rng.uniform(0, cols), rows * foot
        colour = tint(rng, "any", "dark", "white", "wood")
        kind = rng.uniform(0 if cars else .4, 1)

        def shape(corners, colour, x=x, y=y, size=size):
            quad(image, placed(x, y, size, size, corners), colour)
        if kind < .4:           # a car
            shape([(-1, -.6), (1, -.6), (1, -.1), (-1, -.1)], colour)
            shape([(-.7, -.6), (-.4, -1), (.5, -1), (.7, -.6)],
                  tint(rng, "glass"))
            for side in (-.6, .6):
                centre = int(x + side * size), int(y - .1 * size)
                cv2.circle(image, centre, int(size * .2), (24, 24, 26), -1)
        elif kind < .65:        # somebody
            shape([(0, 0), (-.2, -.8), (0, -1), (.2, -.8)], colour)
        elif kind < .85:        # a chest, with a lit top
            shape([(-1, -1), (1, -1), (1, 0), (-1, 0)], colour)
            shape([(-1, -1), (-.6, -1.3), (1.4, -1.3), (1, -1)],
                  np.minimum(colour * 1.3, 255))
        else:                   # a pole
            box(image, x, y - size * 4, x + max(1, size * .06), y, colour * .5)


GROUNDS = ("grass", "grass", "crop", "crop", "earth", "water", "asphalt",
           "rock", "autumn", "white")


def sky(rng, shape):
    """Return a sky: a gradient, mostly with clouds; day, dusk or night."""
    rows, cols = shape
    kind = pick(rng, ("sky", "sky", "sky", "haze", "dusk", "dark", "white"))
    top, bottom = tint(rng, kind), tint(rng, kind, "haze", "sky")
    ramp = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    image = np.repeat((1 - ramp) * top + ramp * bottom, cols, 1)
    if rng.uniform() < .7:
        cover = noise(rng, shape, rng.uniform(.45, .7), stretch=2.)
        cut = rng.uniform(.3, .7)
        cover = np.clip((cover - cut) * rng.uniform(2, 6), 0, 1)[..., None]
        cloud = tint(rng, "white", "haze", "haze", "dusk")
        image = image + cover * rng.uniform(.4, 1) * (cloud - image)
    return image.astype(np.float32)


def ridge(rng, image, name, height, rough, swing):
    """Paint a hill or a line of trees that ends in a jagged crest.

    height: the crest's mean height, a fraction of the rows from the top;
    swing: how far it goes up and down.
    """
    rows, cols = image.shape[:2]
    crest = noise(rng, (cols, cols), rough, int(rng.integers(2, 6)))[0]
    crest = rows * (height + swing * (crest - .5))
    below = np.arange(rows)[:, None] > crest[None]
    patch = texture(rng, (rows, cols), name)
    if rng.uniform() < .4:      # far away: the air takes the colour out
        patch += rng.uniform(.2, .7) * (tint(rng, "haze").astype("f4") - patch)
    np.copyto(image, patch, where=below[..., None])


def ground(rng, image, horizon):
    """Cover everything below the horizon, in perspective, with a material."""
    rows, cols = image.shape[:2]
    top = int(rows * horizon)
    name = pick(rng, GROUNDS)
    patch = texture(rng, (rows, cols), name)
    if rng.uniform() < .6:      # furrows, tiles or planks towards the horizon
        band, shade = int(rng.integers(4, 20)), tint(rng, name)
        for x in range(0, cols, band):
            box(patch, x, 0, x + band * rng.uniform(.1, .5), rows, shade)
        if rng.uniform() < .5:
            for y in range(0, rows, band):
                box(patch, 0, y, cols, y + max(1, band // 6), shade)
    away, wide = rng.uniform(-.3, 1.3) * cols, rng.uniform(1, 4) * cols
    lay(image, patch, taper(away, top, wide / 6, 1.3 * rows, 3 * wide))
    speckle = int(rng.integers(0, 200))
    dabs(rng, image, pick(rng, (name, name, "leaf", "crop", "white")), speckle,
         horizon + .03, 1, rng.uniform(.003, .02))
    return name


def landscape(rng, shape):
    """Fields under a sky, with hills, trees, houses, sometimes a lake."""
    rows, cols = shape
    image, horizon = sky(rng, shape), rng.uniform(.3, .7)
    for _ in range(int(rng.integers(0, 3))):
        ridge(rng, image, pick(rng, ("rock", "leaf", "haze", "grass")),
              horizon - rng.uniform(0, .2), .5, rng.uniform(.05, .4))
    if rng.uniform() < .6:
        ridge(rng, image, pick(rng, TREES), horizon - .02, .9,
              rng.uniform(.03, .2))
    ground(rng, image, horizon)
    for _ in range(int(rng.integers(0, 3))):    # houses
        w, h = rng.uniform(.05, .3) * cols, rng.uniform(.05, .2) * rows
        x, y = rng.uniform(0, cols), rows * (horizon + rng.uniform(0, .1))
        roof = tint(rng, "brick", "dark", "rock", "any")
        lay(image, facade(rng, (48, 64)), taper(x, y - h, w / 2, y, w / 2))
        quad(image, taper(x, y - h * 1.6, w * .3, y - h, w * .6), roof)
    for _ in range(int(rng.integers(0, 5))):
        tree(rng, image, rng.uniform(0, cols), rows * (horizon + rng.uniform(
            0, .2)), rows * rng.uniform(.1, .6))
    if rng.uniform() < .15:     # still water mirrors what stands above it
        top = int(rows * horizon)
        part = image[max(0, 2 * top - rows):top][::-1]
        image[top:top + len(part)] = part * rng.uniform(.6, .95)
    return image


def pave(rng, image, x, y):
    """Lay a road, mostly with lanes, that runs to the point (x, y)."""
    rows, cols = image.shape[:2]
    road, gap = rng.uniform(.2, 1.) * cols, rng.uniform(.01, .05) * cols
    if rng.uniform() < .8:
        quad(image, taper(x, y, gap, rows, road), tint(rng, "asphalt"), .85)
        for lane in (-.5, 0, .5):
            quad(image, [(x, y), (x + lane * road - 2, rows),
                         (x + lane * road + 2, rows)],
                 tint(rng, "white", "crop", "asphalt"))


def street(rng, shape):
    """A street that runs away between two rows of houses."""
    rows, cols = shape
    image = sky(rng, shape)
    x, y = cols * rng.uniform(.25, .75), rows * rng.uniform(.4, .62)
    skyline = rng.uniform() < .5
    for _ in range(int(rng.integers(3, 12)) if skyline else 0):
        w, left = cols * rng.uniform(.04, .15), rng.uniform(-.1, 1) * cols
        top = y - rows * rng.uniform(.05, .4)
        lay(image, facade(rng, (64, 32)), [(left, top), (left + w, top),
                                           (left + w, y + 5), (left, y + 5)])
    ground(rng, image, y / rows)
    pave(rng, image, x, y)
    for side in (-1, 1):
        edge = (0 if side < 0 else cols) + side * cols * .3
        for far, near in ((.15, .45), (.45, 1.)):
            if rng.uniform() < .15:
                continue
            px, qx = x + (edge - x) * far, x + (edge - x) * near
            up, down = rng.uniform(.3, 1.3) * rows, rng.uniform(.1, .5) * rows
            lay(image, facade(rng, (96, 96)),
                [(px, y - up * far), (qx, y - up * near),
                 (qx, y + down * near), (px, y + down * far)])
    for _ in range(int(rng.integers(0, 4))):
        tree(rng, image, rng.uniform(0, cols), y + rows * rng.uniform(0, .3),
             rows * rng.uniform(.2, .8))
    things(rng, image, int(rng.integers(2, 12)), y / rows, 1)
    return image


def room(rng, shape):
    """The inside of a house: walls, floor, ceiling, windows, furniture."""
    rows, cols = shape
    image = np.empty((rows, cols, 3), np.float32)
    x0, x1 = cols * rng.uniform(.05, .4), cols * rng.uniform(.55, .95)
    y0, y1 = rows * rng.uniform(.05, .35), rows * rng.uniform(.5, .8)
    wall = pick(rng, ("plaster", "white", "wood", "any", "plaster", "dark"))
    floor = pick(rng, ("wood", "wood", "rock", "white", "asphalt", "any"))
    out, far = [(0, 0), (cols, 0), (cols, rows), (0, rows)], [
        (x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    for k, name in enumerate((pick(rng, ("white", "plaster", "wood")), wall,
                              floor, wall)):
        patch = texture(rng, (64, 64), name, rng.uniform(.05, .6))
        if rng.uniform() < .5:
            step, line = int(rng.integers(4, 24)), tint(rng, name)
            for x in range(0, 64, step):
                box(patch, x, 0, x + 1, 64, line)
        a, b = k, (k + 1) % 4
        lay(image, patch * rng.uniform(.6, 1.1),
            [out[a], out[b], far[b], far[a]])
    lay(image, texture(rng, (64, 64), wall, .2), far)
    hang(rng, image, x0, x1, y0, y1)
    things(rng, image, int(rng.integers(3, 12)), y1 / rows, 1.05, cars=False)
    for _ in range(int(rng.integers(0, 4))):    # lamps
        dabs(rng, image, pick(rng, ("white", "crop", "dark")), 1, 0, y0 / rows,
             rng.uniform(.01, .06))
    return image


def hang(rng, image, x0, x1, y0, y1):
    """Put windows, pictures and cupboards on the walls of a room.

    x0, x1, y0, y1: where its far wall lies, in pixels.
    """
    rows, cols = image.shape[:2]
    for _ in range(int(rng.integers(2, 9))):
        w, h = cols * rng.uniform(.05, .25), rows * rng.uniform(.05, .3)
        x, y = rng.uniform(0, cols), rng.uniform(y0, y1)
        lean = rng.uniform(-.3, .3) if not x0 < x < x1 else 0
        corners = [(x - w / 2, y - h / 2 - lean * w), (x + w / 2, y - h / 2),
                   (x + w / 2, y + h / 2), (x - w / 2, y + h / 2 + lean * w)]
        kind = pick(rng, ("wood", "dark", "sky", "white", "any", "glass"))
        quad(image, corners, tint(rng, "white", "dark", "wood"))
        inner = [(x + (p - x) * .85, y + (q - y) * .85) for p, q in corners]
        lay(image, texture(rng, (32, 32), kind), inner)


def wood(rng, shape):
    """Leaves, blossoms and trunks that fill the picture."""
    rows, cols = shape
    name = pick(rng, ("leaf", "leaf", "grass", "autumn", "autumn", "crop"))
    image = texture(rng, shape, name)
    dabs(rng, image, name, int(rng.integers(100, 600)), 0, 1,
         rng.uniform(.005, .03))
    for _ in range(int(rng.integers(0, 12))):
        tree(rng, image, rng.uniform(0, cols), rows * rng.uniform(.6, 1.2),
             rows * rng.uniform(.5, 1.2))
    if rng.uniform() < .5:
        ground(rng, image, rng.uniform(.6, .9))
    if rng.uniform() < .4:
        dabs(rng, image, pick(rng, ("any", "white", "crop", "brick")),
             int(rng.integers(5, 60)), 0, 1, rng.uniform(.01, .04))
    return image


def heap(rng, shape):
    """Shapes of every size thrown on each other, as things hide things."""
    rows, cols = shape
    image = texture(rng, shape, pick(rng, WALLS + GROUNDS))
    names = [pick(rng, WALLS + GROUNDS + TREES) for _ in range(4)]
    for _ in range(int(rng.integers(20, 90))):
        size = rows * .02 / (1 - rng.uniform(0, .94))
        x, y = rng.uniform(0, cols), rng.uniform(0, rows)
        if rng.uniform() < .3:
            dabs(rng, image, pick(rng, names), 1, y / rows, y / rows,
                 size / rows, x / cols, x / cols)
            continue
        turn = rng.uniform(0, 2 * np.pi) if rng.uniform() < .5 else np.pi / 4
        angles = turn + np.arange(4) * np.pi / 2 + rng.normal(0, .15, 4)
        corners = np.stack([x + size * rng.uniform(.5, 1.5) * np.cos(angles),
                            y + size * np.sin(angles)], axis=1)
        if size > rows * .12:
            front = (facade(rng, (48, 48)) if rng.uniform() < .4 else
                     texture(rng, (48, 48), pick(rng, names)))
            lay(image, front, corners)
        else:
            quad(image, corners, tint(rng, *names))
    return image


SCENES = (landscape, street, room, wood, heap)
WEIGHTS = (.27, .27, .24, .12, .10)


def scene(rng, shape):
    """Return one scene, float32 (rows, cols, 3), of a kind drawn at random."""
    kind = int(np.searchsorted(np.cumsum(WEIGHTS), rng.uniform()))
    return SCENES[min(kind, len(SCENES) - 1)](rng, shape)
