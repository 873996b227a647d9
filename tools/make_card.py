"""Draw the card that is shown beside links to the book: its picture, its boxes, its title.

    python tools/make_card.py            write book/assets/img/card.jpg

The title is that of _config.yml; picture and boxes are those of data/samples.
"""
import io
import sys
from pathlib import Path

import yaml

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from dsod_d2l.datasets import example
from dsod_d2l.visualisation import draw_boxes, draw_image, PALETTE

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "book" / "assets" / "img" / "card.jpg"
WIDTH, HEIGHT = 1200, 630  # pixels: what sites that show such cards ask for
MOST_BYTES = 300_000
INK, PAPER, TEAL = "#1b2a33", "#fbf7ee", "#0f7a8a"


def card(title):
    """Return the card as a JPEG."""
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=PAPER)
    sample = example("three")
    ax = figure.add_axes([0, 0, HEIGHT / WIDTH, 1])
    draw_image(ax, sample.image)
    draw_boxes(ax, sample.boxes, linewidth=5)
    left = HEIGHT / WIDTH + 0.05
    words = title.split()
    middle = (len(words) + 1) // 2
    lines = " ".join(words[:middle]) + "\n" + " ".join(words[middle:])
    figure.text(left, 0.70, lines, size=36, weight="bold", color=INK, va="center",
                linespacing=1.3)
    figure.text(left, 0.45, "DSOD, built piece by piece", size=24, color=TEAL, va="center")
    figure.text(left, 0.36, "A book with code", size=20, color=INK, va="center")
    figure.add_artist(Line2D([left, 0.96], [0.54, 0.54], color=PALETTE[0], lw=4))
    mark = figure.add_axes([left, 0.07, 0.1, 0.1 * WIDTH / HEIGHT])
    mark.imshow(imread(ROOT / "book" / "assets" / "img" / "logo.png"))
    mark.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 85, "optimize": True})
    return file.getvalue()


def main():
    raw = card(yaml.safe_load((ROOT / "_config.yml").read_text())["title"])
    if len(raw) >= MOST_BYTES:
        sys.exit(f"The card has {len(raw)} bytes; fewer than {MOST_BYTES} are allowed.")
    CARD.write_bytes(raw)
    print(f"{CARD.relative_to(ROOT)}: {len(raw)} bytes")


if __name__ == "__main__":
    main()
