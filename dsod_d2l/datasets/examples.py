"""The few pictures that come with the repository."""

from __future__ import annotations

import json
from pathlib import Path

from .base import make_sample
from .images import read_image

FOLDER = Path(__file__).resolve().parents[2] / "data" / "samples"


def example(name):
    """Return one of the committed pictures of the stand-in.

    Args:
        name: "field", "street", "interior" (one object each), "none",
            "three" (three objects) or "wide" (two, 200 x 320 pixels).

    Returns:
        ``Sample``.

    Raises:
        ValueError: no picture has that name.
        FileNotFoundError: the module lies outside its repository.
    """
    if not (FOLDER / "labels.json").is_file():
        raise FileNotFoundError("the example pictures come with the "
                                f"repository only: there is no {FOLDER}")
    rows = json.loads((FOLDER / "labels.json").read_text())["images"]
    by_name = {Path(row["file"]).stem: row for row in rows}
    if name not in by_name:
        raise ValueError(f"no example is called {name!r}, expected one of "
                         f"{', '.join(by_name)}")
    row = by_name[name]
    return make_sample(read_image(FOLDER / row["file"]), row["boxes"],
                       row["labels"], source=row["file"])
