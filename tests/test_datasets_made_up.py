"""Made-up annotation files, by hypothesis: what is wrong is said, and counted.

The other file of mutations damages bytes; here the structure stays sound and
the values are strange, which gets further into the readers.
"""

import json
import shutil
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import CLASSES, IMAGES, Small
from test_datasets_fuzz import checked, outcome

many = settings(max_examples=150, deadline=None, database=None,
                derandomize=True,
                suppress_health_check=[HealthCheck.too_slow])
numbers = st.one_of(st.integers(-5, 70), st.floats(-5, 70),
                    st.floats(allow_nan=False), st.sampled_from(
                        [0, 1, -0.0, 1e-9, 60.005, 60.02, 2 ** 63, -1e300]))
texts = st.one_of(st.sampled_from([*CLASSES, "Cat", "", "a.jpg", "../b.jpg"]),
                  st.text(max_size=12))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(
        texts, inner, max_size=3)), max_leaves=6)
mostly = st.one_of(numbers, numbers, numbers, anything)


@pytest.fixture(scope="module")
def folders():
    """Write Small once in every format."""
    root = Path(tempfile.mkdtemp())
    convert(Small(), f"voc:{root}/voc")
    convert(Small(), f"coco:{root}/coco:val")
    convert(Small(), f"csv:{root}/csv/a.csv")
    convert(Small(), f"yolo:{root}/yolo")
    yield root
    shutil.rmtree(root)


annotation = st.fixed_dictionaries(
    {"id": st.one_of(st.integers(1, 9), anything),
     "image_id": st.one_of(st.integers(1, 5), anything),
     "category_id": st.one_of(st.integers(1, 4), anything),
     "bbox": st.one_of(st.lists(mostly, min_size=4, max_size=4), anything)},
    optional={"area": mostly, "iscrowd": st.one_of(st.integers(0, 2),
                                                   anything)})


@many
@given(st.lists(annotation, max_size=6))
def test_annotations_of_coco(folders, rows):
    path = folders / "coco/annotations/instances_val.json"
    sound = path.read_text()
    table = json.loads(sound)
    table["annotations"] = rows
    try:
        path.write_text(json.dumps(table))
        checked(f"coco:{path}", len(IMAGES), len(rows))
    finally:
        path.write_text(sound)


@many
@given(st.dictionaries(st.sampled_from(["images", "annotations", "categories",
                                        "info"]), anything))
def test_any_json_as_coco(folders, table):
    path = folders / "coco/annotations/instances_val.json"
    sound = path.read_text()
    try:
        path.write_text(json.dumps(table))
        outcome(f"coco:{path}")
    finally:
        path.write_text(sound)


thing = st.tuples(texts, st.lists(numbers, min_size=4, max_size=4),
                  st.integers(0, 2))


@many
@given(st.lists(thing, max_size=4), st.one_of(st.just((50, 30)), st.tuples(
    numbers, numbers)))
def test_objects_of_voc(folders, things, size):
    sides = ("xmin", "ymin", "xmax", "ymax")
    rows = "".join(
        f"<object><name>{clean(name)}</name><difficult>{flag}</difficult>"
        "<bndbox>" + "".join(f"<{side}>{value}</{side}>" for side, value
                             in zip(sides, box)) + "</bndbox></object>"
        for name, box, flag in things)
    path = folders / "voc/Annotations/b.xml"
    sound = path.read_bytes()
    try:
        path.write_text(
            "<annotation><filename>b.jpg</filename><size><width>"
            f"{size[0]}</width><height>{size[1]}</height><depth>3</depth>"
            f"</size>{rows}</annotation>", encoding="utf-8")
        checked(f"voc:{folders}/voc", len(IMAGES), len(things) + 3)
    finally:
        path.write_bytes(sound)


def clean(text):
    """Return text that may stand in XML."""
    return escape("".join(one for one in text if one.isprintable()
                          and not 0xD800 <= ord(one) < 0xE000))


@many
@given(st.lists(st.lists(st.one_of(numbers, numbers, st.sampled_from(
    ["", "x", "1e5", "½", "0x1", "1_0"])), max_size=6), max_size=4))
def test_lines_of_yolo(folders, lines):
    path = folders / "yolo/labels/b.txt"
    sound = path.read_bytes()
    text = "\n".join(" ".join(map(str, line)) for line in lines)
    try:
        path.write_text(text, encoding="utf-8")
        checked(f"yolo:{folders}/yolo", len(IMAGES),
                3 + sum(bool(line.strip()) for line in text.split("\n")))
    finally:
        path.write_bytes(sound)


@many
@given(st.lists(st.tuples(st.sampled_from(["a.jpg", "b.jpg", "x.jpg", ""]),
                          st.lists(numbers, min_size=4, max_size=4),
                          st.sampled_from(["cat", "big dog", "cow", ""])),
                max_size=5))
def test_rows_of_csv(folders, rows):
    path = folders / "csv/a.csv"
    sound = path.read_bytes()
    head = sound.decode().split("\n")[0].strip().split(",")
    lines = [",".join(head)]
    for name, box, label in rows:
        cells = {"image": name, "class": label,
                 **dict(zip(("xmin", "ymin", "xmax", "ymax"), box))}
        lines.append(",".join(str(cells.get(one, "0")) for one in head))
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        outcome(f"csv:{path}")
    finally:
        path.write_bytes(sound)
