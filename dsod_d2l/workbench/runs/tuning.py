"""What a run may do beside ``TrainConfig``: freeze, weigh classes, end early.

None of it costs anything where it is not asked for.
"""

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...config.base import Checked, Whole, require


@dataclass(frozen=True, kw_only=True)
class Tuning(Checked):
    """What becomes of some weights and classes, and when a run may end.

    freeze (NAME): layers and arrays that keep their numbers, by the first
        parts of their names, such as class_heads or class_heads.0, or by a
        pattern such as "*.gamma"
    class_weights (CLASS=X): how much an object counts in the loss of
        its class, such as cat=2 (others: 1); "balanced": in inverse
        proportion to how many objects the class has
    watch: by what the best model is chosen; "loss" is that on the images to
        choose it on, and is what ``patience`` goes by, too
    patience: evaluations without a better model after which the run ends;
        0: it never ends early
    """

    freeze: tuple[str, ...] = ()
    class_weights: tuple[str, ...] = ()
    watch: Literal["AP", "AP50", "loss"] = "AP"
    patience: Whole = 0

    def check(self) -> None:
        """See ``Checked``; class_weights may be {class: weight}."""
        weights = self.class_weights
        if isinstance(weights, dict):
            weights = [f"{name}={one}" for name, one in weights.items()]
        for name, words in (("freeze", self.freeze),
                            ("class_weights", weights)):
            object.__setattr__(self, name, (words,) if isinstance(words, str)
                               else tuple(words))

    def check_held(self, settings: Any, held: object) -> None:
        """Raise a ValueError unless there is what a choice is made by.

        Args:
            settings: ``TrainConfig``.
            held: whether there are images to choose the best model on.
        """
        require(held or not (self.patience or self.watch != "AP"),
                "patience and watch need images to choose the best model on: "
                "hold some back (--held-back), or name a set (--validation)")
        require(settings.evaluate_every or not self.patience,
                "patience counts evaluations, and the only one is at the end "
                "of the run: evaluate more often (--evaluate-every 1 for "
                "every epoch)")

    def facts(self) -> dict:
        """Return, JSON-ready, what changes the numbers of a run."""
        found = dataclasses.asdict(self)
        found.pop("patience")
        return found


def near(name: str, known: Sequence[str]) -> str:
    """Return names that are like one, or else all, as text."""
    found = difflib.get_close_matches(name, known, 3, 0.5)
    return ", ".join(found or list(known)[:20])
