"""Numbers that a notebook marks with a tolerance: "0.974 ± 0.03", as `visualisation.about` writes.

nbval compares texts. Where a marked number lies within the tolerance that is stored with it, it
counts as the one that is stored; its tolerance, and all that stands around it, must be the same.
"""
import re

NUMBER = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?"
MARKED = re.compile(rf"(-?{NUMBER}) ± ({NUMBER})")


def agreed(found, stored):
    """Return a text in which marked numbers are the stored ones, where they agree with those.

    >>> agreed("AP50 0.97 ± 0.03", "AP50 0.99 ± 0.03")
    'AP50 0.99 ± 0.03'
    >>> agreed("AP50 0.95 ± 0.03", "AP50 0.99 ± 0.03")
    'AP50 0.95 ± 0.03'
    """
    wanted = MARKED.finditer(stored)

    def one(match):
        other = next(wanted, None)
        near = other and match[2] == other[2] and (
            abs(float(match[1]) - float(other[1])) <= float(other[2]) * (1 + 1e-9))
        return other[0] if near else match[0]
    return MARKED.sub(one, found)


def agreed_outputs(found, stored):
    """Return outputs of a cell with their marked numbers ``agreed``, output by output."""
    for one, other in zip(found, stored):
        if "text" in one and "text" in other:
            one["text"] = agreed(one["text"], other["text"])
        for mime in set(one.get("data", {})) & set(other.get("data", {})):
            if mime.startswith("text/"):
                one["data"][mime] = agreed(one["data"][mime], other["data"][mime])
    return found
