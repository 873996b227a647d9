"""The record of a run: a row per step, as CSV, JSON and a picture."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ..tensor_files import write_atomically


class History(list):
    """Rows of one run: dictionaries with "step", losses, rate and times."""

    def column(self, name):
        """Return (steps, values) of the rows that have that value."""
        rows = [row for row in self if row.get(name) is not None]
        return [row["step"] for row in rows], [row[name] for row in rows]

    def write(self, folder):
        """Write history.csv, history.json and history.png."""
        folder = Path(folder)
        names = list(dict.fromkeys(name for row in self for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(self)
        write_atomically(folder / "history.csv", text.getvalue().encode())
        write_atomically(folder / "history.json",
                         (json.dumps(list(self)) + "\n").encode())
        write_atomically(folder / "history.png", self.picture())

    def picture(self):
        """Return the learning curve as the bytes of a PNG."""
        from matplotlib.figure import Figure

        from ..visualisation import plot_history
        figure = Figure(figsize=(6, 4), layout="constrained")
        plot_history(figure.subplots(), self)
        image = io.BytesIO()
        figure.savefig(image, format="png")
        return image.getvalue()
