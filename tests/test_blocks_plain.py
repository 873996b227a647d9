"""The parts that DSOD replaced: sizes, widths, and what they look at."""

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import blocks


@pytest.mark.parametrize("side, want", [((30, 45), (8, 12)),
                                        ((32, 31), (8, 8))])
def test_the_stem_divides_by_four_and_rounds_up(side, want):
    stem = blocks.plain_stem(7)
    stem.initialize()
    out = stem(mx.nd.random.normal(shape=(2, 3, *side)))
    assert out.shape == (2, 7, *want)


def test_the_stem_pools_three_cells_with_a_border():
    """MXNet's pooling against one made by hand."""
    stem = blocks.plain_stem(2)
    stem.initialize()
    x = mx.nd.random.normal(shape=(1, 3, 20, 26))
    before = np.pad(stem[0](x).asnumpy(), [(0, 0), (0, 0), (1, 1), (1, 1)])
    want = [[before[:, :, r:r + 3, c:c + 3].max((2, 3))
             for c in range(0, 13, 2)] for r in range(0, 10, 2)]
    np.testing.assert_allclose(stem(x).asnumpy(),
                               np.moveaxis(want, (0, 1), (2, 3)))


def test_a_plain_prediction_is_as_wide_as_a_dense_one():
    block = blocks.plain_prediction(10, 4)
    block.initialize()
    out = block(mx.nd.random.normal(shape=(1, 10, 5, 7)))
    assert out.shape == (1, 8, 3, 4)
    sizes = sorted(one.weight.shape for unit in block for one in unit
                   if hasattr(one, "weight"))
    assert sizes == [(4, 10, 1, 1), (8, 4, 3, 3)]
