"""A run watched while it lasts: callbacks for notebooks and TensorBoard."""

from pathlib import Path
from typing import Any

from ...training import History
from .run_folder import history_picture


class LiveCurve:
    """Draw the losses again and again, in the output of a notebook's cell.

    A callback of ``training.fit`` and ``run_training``.

    Args:
        every: steps between two pictures.

    Raises:
        ValueError: IPython is not installed.
    """

    def __init__(self, every: int = 20):
        try:
            from IPython import display
        except ImportError:
            raise ValueError("a live curve is drawn by IPython, which is not "
                             "there: pip install ipython") from None
        self.every, self.history = every, History()
        self._display, self._handle = display, None

    def __call__(self, row: dict) -> None:
        self.history.append(row)
        if row["step"] % self.every == 0:
            self._draw()

    def close(self) -> None:
        """Draw the curve to its end."""
        if self.history:
            self._draw()

    def _draw(self):
        picture = self._display.Image(data=history_picture(self.history))
        if self._handle is None:
            self._handle = self._display.display(picture, display_id=True)
        else:
            self._handle.update(picture)


class TensorBoard:
    """Write the history of a run as event files, for TensorBoard.

    A callback of ``training.fit`` and ``run_training``. A run that goes on
    writes another file; what an earlier one has of the same steps no longer
    counts.

    Args:
        folder: where to; ``tensorboard --logdir`` takes it, or the one above.

    Raises:
        ValueError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ValueError(
                "event files for TensorBoard (--tensorboard) are written by "
                "tensorboardX, which is not there: pip install tensorboardX"
            ) from None
        self.folder, self._kind = str(folder), SummaryWriter
        self._writer: Any = None

    def __call__(self, row: dict) -> None:
        if self._writer is None:
            self._writer = self._kind(self.folder, purge_step=row["step"])
        for name, value in row.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Write what has not been written yet."""
        if self._writer is not None:
            self._writer.close()
