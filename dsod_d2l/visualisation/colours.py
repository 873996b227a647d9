"""Colours, line styles and the size of text, the same in every picture.

The colours are those of Okabe and Ito, which colour-blind readers can tell
apart; where they repeat, the line style changes. Text is large enough for a
figure 5 inches wide to be read on a telephone.
"""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00",
           "#CC79A7")
STYLES = ("solid", "dashed", "dotted", "dashdot")
TEXT_SIZE = 11        # points


def class_colour(label):
    """Return the colour of a class, the same in every picture.

    >>> class_colour(0) == class_colour(len(PALETTE))
    True
    """
    return PALETTE[int(label) % len(PALETTE)]


def text_colour(background):
    """Return black or white, whichever contrasts more with a background.

    >>> text_colour("#F0E442"), text_colour("#0072B2")
    ('black', 'white')
    """
    rgb = np.array(to_rgb(background))
    linear = np.where(rgb <= 0.04045, rgb / 12.92,
                      ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    # Contrast is (lighter + 0.05) / (darker + 0.05).
    return "black" if luminance + 0.05 > (1.05 * 0.05) ** 0.5 else "white"


def line_style(label):
    """Return the line style of a class: another one in each round."""
    return STYLES[int(label) // len(PALETTE) % len(STYLES)]


def line_colour(place):
    """Return a colour that is also seen as a thin line on white."""
    return ("#0072B2", "#D55E00", "#009E73", "#CC79A7",
            "#222222")[place % 5]
