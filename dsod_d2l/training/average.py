"""The moving average of the weights: steadier than the weights themselves."""

from __future__ import annotations

import contextlib

import mxnet as mx

PREFIX = "average/"


class Average:
    """Exponential moving average of all numbers of a network.

    Running statistics of batch normalisation are averaged as well, so that
    they belong to the averaged weights. The first steps weigh more than the
    decay says, or the average would long remember random weights: after step
    t the decay is (1 + t) / (10 + t) at most.

    Args:
        net: an initialised network.
        decay: of the average, from 0 to below 1.

    >>> Average.decay_at(0.99, 0), Average.decay_at(0.99, 9999)
    (0.1, 0.99)
    """

    def __init__(self, net, decay):
        self.decay = decay
        self.parameters = net._collect_params_with_prefix()
        self.arrays = {name: self._data(parameter).copy()
                       for name, parameter in self.parameters.items()}

    @staticmethod
    def decay_at(decay, step):
        """Return the decay after that many steps."""
        return min(decay, (1 + step) / (10 + step))

    def update(self, step):
        """Take in the weights as they are after ``step`` steps."""
        decay = self.decay_at(self.decay, step)
        for name, array in self.arrays.items():
            array *= decay
            array += (1 - decay) * self._data(self.parameters[name])

    @contextlib.contextmanager
    def in_place(self):
        """Put the average into the network, and the weights back after."""
        own = {name: self._data(parameter).copy()
               for name, parameter in self.parameters.items()}
        self._fill(self.arrays)
        try:
            yield
        finally:
            self._fill(own)

    def keep(self):
        """Leave the average in the network."""
        self._fill(self.arrays)

    def state(self):
        """Return what a checkpoint needs: name -> NumPy array."""
        return {PREFIX + name: array.asnumpy()
                for name, array in self.arrays.items()}

    def restore(self, tensors, source="the checkpoint"):
        """Take the average from the tensors of a checkpoint.

        Raises:
            ValueError: one is missing, or of another shape or kind.
        """
        for name, array in self.arrays.items():
            value = tensors.get(PREFIX + name)
            if (value is None or value.shape != array.shape
                    or value.dtype.kind != "f"):
                raise ValueError(f"{source} holds no average of the weights "
                                 f"{name} that fits this run")
            array[:] = mx.nd.array(value, ctx=array.context)

    def _fill(self, arrays):
        for name, parameter in self.parameters.items():
            for data in parameter.list_data():
                data[:] = arrays[name]

    @staticmethod
    def _data(parameter):
        return parameter.data(parameter.list_ctx()[0])
