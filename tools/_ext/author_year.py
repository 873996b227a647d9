"""The style `author_year` of the bibliography: its labels are those of the text, such as Shen et al., 2017."""
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from pybtex.style.labels import BaseLabelStyle


def label(entry):
    """Return the names, two at most, and the year of an entry."""
    names = [" ".join(person.prelast_names + person.last_names).replace("{", "").replace("}", "")
             for person in entry.persons.get("author", [])]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{who}, {entry.fields.get('year', '')}"


class Labels(BaseLabelStyle):
    """Labels by names and year; equal ones get a letter."""

    def format_labels(self, entries):
        labels = [label(entry) for entry in entries]
        for place, one in enumerate(labels):
            twins = [i for i, other in enumerate(labels) if other == one]
            yield one + ("abcdefgh"[twins.index(place)] if len(twins) > 1 else "")


class AuthorYear(Style):
    """The plain style, with these labels."""

    default_label_style = Labels


register_plugin("pybtex.style.formatting", "author_year", AuthorYear)


def setup(app):
    return {"parallel_read_safe": True, "parallel_write_safe": True}
