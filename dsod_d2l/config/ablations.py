"""The paper's ablation: eight networks, each one change after the other."""

from __future__ import annotations

import dataclasses

from .presets import DSOD300

FIRST = dict(stem=32, bottleneck=12, growth=16, compression=0.5,
             layers=(6, 8, 8), stem_style="plain", prediction="plain")

# What each row changes in the row before it.
CHANGES = {
    "DS/32-12-16-0.5, three blocks": {},
    "transition without pooling": dict(layers=(6, 8, 8, 8)),
    "no compression": dict(compression=1.0),
    "wide bottleneck": dict(bottleneck=64),
    "wide first convolution": dict(stem=64),
    "large growth": dict(growth=48, bottleneck=192),
    "stem block": dict(stem_style="block"),
    "dense prediction": dict(prediction="dense"),
}


def ablation():
    """Return the rows of the ablation, the last of which is DSOD300.

    Without a transition that does not pool, a network can have only as many
    dense blocks as it has scales, here three. The authors do not give the
    widths of their plain prediction layers: the ones here are as wide as
    the dense ones. Their network with plain prediction has 18.2 million
    numbers, this one 15.8 million.

    Returns:
        Dictionary, name of the change -> ``DSODConfig``.

    Paper: DSOD, section 4.1 (arXiv:1708.01241).

    >>> rows = ablation()
    >>> list(rows)[-1], rows["stem block"].prediction
    ('dense prediction', 'plain')
    """
    rows, config = {}, dataclasses.replace(DSOD300, **FIRST)
    for number, (change, fields) in enumerate(CHANGES.items(), 1):
        config = dataclasses.replace(
            config, name=f"dsod300_ablation_{number}", **fields)
        rows[change] = config
    return rows
