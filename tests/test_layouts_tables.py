"""COCO files and tables as other programs lay them out, opened as people do.

Each layout is rebuilt small. What is read is compared with pycocotools, or
with a parse of a few lines that knows this one layout only.
"""

import contextlib
import csv
import io
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.workbench.formats import addresses, coco as coco_format
from small_sets import encoded, in_pixels

SIZES = {"a": (40, 60), "b.v2": (30, 50), "c": (64, 48)}


def pictures(folder, names=None):
    """Write JPEGs whose stems tell their sizes; return {name: size}."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {name: SIZES[name.rpartition(".")[0]] for name in names or (
        f"{stem}.jpg" for stem in SIZES)}
    for name, size in sizes.items():
        (folder / name).write_bytes(encoded("x.jpg", *size))
    return sizes


def table(sizes, lead="", categories=("cat", "dog"), first=1):
    """A COCO table: two objects in the first image, one in the second."""
    images = [{"id": row, "file_name": lead + name, "height": size[0],
               "width": size[1]} for row, (name, size)
              in enumerate(sizes.items(), 7)]
    boxes = [(7, 0, [10, 5, 20, 20.25]), (7, 1, [0, 0, 60, 40]),
             (8, 1, [1.5, 2, 3, 4])]
    return {"images": images, "annotations": [
        {"id": row, "image_id": image, "category_id": kind + first,
         "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
         "segmentation": []} for row, (image, kind, box) in enumerate(boxes)],
        "categories": [{"id": row, "name": name} for row, name
                       in enumerate(categories, first)]}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def by_pycocotools(path):
    """{name of the file: [(class, edges), ...]} of a COCO file."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO(str(path))
    return {os.path.basename(image["file_name"].replace("\\", "/")): sorted(
        (data.cats[one["category_id"]]["name"],
         (np.cumsum(np.reshape(one["bbox"], (2, 2)), 0)).ravel().tolist())
        for one in data.imgToAnns[key]) for key, image in data.imgs.items()}


def read(found):
    """The same of one of our data sets."""
    return {os.path.basename(found.entry(row).name): sorted(
        (found.classes[label], box) for label, box in zip(
            found.entry(row).labels, in_pixels(found, row).tolist()))
        for row in range(len(found))}


def same(found, wanted):
    got = read(found)
    assert got.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert [kind for kind, _ in got[name]] == [kind for kind, _ in rows]
        np.testing.assert_allclose([box for _, box in got[name]],
                                   [box for _, box in rows], rtol=0,
                                   atol=1e-9)
    for row in range(len(found)):        # the pictures are there, and decoded
        assert found[row].image.shape[:2] == found.size(row)


# --- COCO ---------------------------------------------------------------------

@pytest.mark.parametrize("lead", ["images/", "images\\", "", "./images/",
                                  "/srv/me/set/images/"])
def test_label_studio(tmp_path, lead):
    path = write(tmp_path / "result.json", table(pictures(tmp_path / "images"),
                                                 lead, first=0))
    for address in (f"coco:{tmp_path}", f"coco:{path}"):
        found = addresses.open_dataset(address)
        same(found, by_pycocotools(path))
        assert found.category_ids == (0, 1)


def test_roboflow(tmp_path):
    """Its class 0 stands above the others, and nothing is one."""
    for split, names in (("train", ["a.jpg", "b.v2.jpg"]),
                         ("valid", ["c.jpg", "a.jpg"]), ("test", ["c.jpg"])):
        value = table(pictures(tmp_path / split, names),
                      categories=("pets", "cat", "dog"), first=0)
        for one in value["annotations"]:
            one["category_id"] += 1
        if split == "test":
            value["annotations"] = []
        value["annotations"][2:] = []
        for one in value["categories"]:
            one["supercategory"] = "none" if one["id"] == 0 else "pets"
        value["annotations"][1:] = []
        if split != "test":
            value["annotations"][0]["bbox"] = [1, 2, 30, 20]
        write(tmp_path / split / "_annotations.coco.json", value)
    for address, split in (("", "train"), (":train", "train"),
                           ("/train", "train"), (":valid", "valid"),
                           (":val", "valid"), (":test", "test"),
                           ("/valid/_annotations.coco.json", "valid")):
        found = addresses.open_dataset(f"coco:{tmp_path}{address}")
        same(found, by_pycocotools(tmp_path / split
                                   / "_annotations.coco.json"))
        assert found.classes == ("cat", "dog")
        assert found.category_ids == (1, 2)
    assert len(addresses.open_dataset(f"coco:{tmp_path}", "val")) == 2
    kept = addresses.open_dataset(f"coco:{tmp_path}?classes=pets,cat,dog")
    assert kept.classes == ("pets", "cat", "dog")
    assert kept[0].labels.tolist() == [1]


def test_a_first_category_that_is_used_is_a_class(tmp_path):
    value = table(pictures(tmp_path), categories=("pets", "cat", "dog"))
    for one in value["categories"]:
        one["supercategory"] = "pets"
    write(tmp_path / "a.json", value)
    assert addresses.open_dataset(f"coco:{tmp_path}").classes == (
        "pets", "cat", "dog")


def test_a_root_of_the_same_name_is_one_class(tmp_path):
    value = table(pictures(tmp_path), categories=("hole", "hole"))
    for one in value["annotations"]:
        one["category_id"] = 2
    write(tmp_path / "a.json", value)
    found = addresses.open_dataset(f"coco:{tmp_path}")
    assert found.classes == ("hole",) and found.category_ids == (2,)
    same(found, by_pycocotools(tmp_path / "a.json"))


@pytest.mark.parametrize("images", ["images", "images/default", "default",
                                    "annotations"])
def test_cvat(tmp_path, images):
    value = table(pictures(tmp_path / images))
    for one in value["annotations"]:
        one["attributes"] = {"occluded": False, "rotation": 0.0}
    path = write(tmp_path / "annotations/instances_default.json", value)
    for address in (f"coco:{tmp_path}", f"coco:{path}",
                    f"coco:{tmp_path}:default"):
        same(addresses.open_dataset(address), by_pycocotools(path))


def test_coco_itself(tmp_path):
    for split, names in (("train2017", ["a.jpg", "c.jpg"]),
                         ("val2017", ["b.v2.jpg", "a.jpg"])):
        value = table(pictures(tmp_path / split, names))
        value["annotations"] = value["annotations"][:1]
        value["annotations"][0]["bbox"] = [1, 2, 30, 20]
        for kind in ("instances", "captions", "person_keypoints"):
            write(tmp_path / f"annotations/{kind}_{split}.json", value)
    for address, split in (("", "train2017"), (":val", "val2017"),
                           (":val2017", "val2017"), (":train", "train2017")):
        same(addresses.open_dataset(f"coco:{tmp_path}{address}"),
             by_pycocotools(tmp_path / f"annotations/instances_{split}.json"))
    with pytest.raises(FileNotFoundError, match="expected one .json file of "
                       "the split 'test' .*instances_train2017.json.* behind "
                       "a colon"):
        addresses.open_dataset(f"coco:{tmp_path}:test")


def test_a_file_of_images_alone(tmp_path):
    value = table(pictures(tmp_path / "test2017"))
    del value["annotations"]
    path = write(tmp_path / "annotations/image_info_test2017.json", value)
    found = addresses.open_dataset(f"coco:{path}")
    assert len(found) == 3 and found.classes == ("cat", "dog")
    assert sum(len(found[row].labels) for row in range(3)) == 0


NEEDLESS = [("annotations", "area", None), ("annotations", "area", -1),
            ("annotations", "area", "big"), ("annotations", "area", np.nan),
            ("annotations", "iscrowd", None), ("annotations", "iscrowd", ""),
            ("annotations", "occluded", "heavy"),
            ("annotations", "occluded", 0), ("annotations", "id", 0),
            ("annotations", "truncated", None), ("annotations", "id", None),
            ("annotations", "difficult", "Unspecified"),
            ("images", "width", None), ("images", "height", 0),
            ("categories", "supercategory", None),
            ("images", "license", "?"), ("annotations", "image_id", "7"),
            ("annotations", "category_id", "2"),
            ("annotations", "category_id", 2.0)]


@pytest.mark.parametrize("kind, key, value", NEEDLESS)
def test_what_training_does_not_need_refuses_nothing(tmp_path, kind, key,
                                                     value):
    sound = table(pictures(tmp_path))
    wanted = by_pycocotools(write(tmp_path / "a.json", sound))
    sound[kind][1][key] = value
    write(tmp_path / "a.json", sound)
    found = addresses.open_dataset(f"coco:{tmp_path}/a.json")
    same(found, wanted)
    flags = found.entry(0).flags
    assert not flags[0].any() and not flags[1, :2].any()
    if key == "area":
        np.testing.assert_array_equal(found[0].areas, [405, np.nan])


SHAPES = [
    [[10, 5, 30, 5, 30, 25.5]], [10, 5, 30, 5, 30, 25.5],
    [[10, 5, 30, 5, 20, 9], [11, 25.5, 12, 20, 13, 21]]]


@pytest.mark.parametrize("shape", SHAPES, ids=range(3))
@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0]], ids=str)
def test_a_polygon_without_a_box_has_the_box_around_it(tmp_path, shape, box):
    value = table(pictures(tmp_path))
    value["annotations"][0].update(bbox=box, segmentation=shape)
    write(tmp_path / "a.json", value)
    found = addresses.open_dataset(f"coco:{tmp_path}/a.json")
    np.testing.assert_allclose(in_pixels(found, 0)[0], [10, 5, 30, 25.5])


@pytest.mark.parametrize("packed", [False, True])
def test_a_mask_without_a_box_has_the_box_around_it(tmp_path, packed):
    from pycocotools import mask
    drawn = np.zeros((40, 60), np.uint8, order="F")
    drawn[5:25, 10:30] = 1
    runs = mask.encode(drawn)
    shape = {"size": [40, 60], "counts": runs["counts"].decode()}
    if not packed:
        flat = drawn.ravel(order="F")
        ends = np.flatnonzero(np.diff(flat)) + 1
        shape["counts"] = np.diff([0, *ends, flat.size]).tolist()
    value = table(pictures(tmp_path))
    value["annotations"][0].update(bbox=None, segmentation=shape, iscrowd=1)
    write(tmp_path / "a.json", value)
    found = addresses.open_dataset(f"coco:{tmp_path}/a.json")
    np.testing.assert_allclose(in_pixels(found, 0)[0], [10, 5, 30, 25])
    assert found[0].crowd.tolist() == [True, False]


def test_neither_box_nor_outline(tmp_path):
    value = table(pictures(tmp_path))
    for shape in (None, [], [[]], "x", [[1]], {"size": [0, 0], "counts": "1"},
                  {"size": [40, 60], "counts": [-1]}, {"counts": 3},
                  [[1, 2, None, 4]], [None], {"size": [4, 4], "counts": None}):
        value["annotations"][0].update(bbox=None, segmentation=shape)
        write(tmp_path / "a.json", value)
        with pytest.raises(ValueError, match=r"annotation 0 \(id 0\)"):
            addresses.open_dataset(f"coco:{tmp_path}/a.json")


# --- the same with arrays and object by object --------------------------------

sides = st.one_of(st.integers(-2, 70), st.floats(-1, 70, width=32),
                  st.sampled_from([60.005, 60.02, -0.005, 0, 1e-9, 1e300]))
one_box = st.one_of(st.lists(sides, min_size=4, max_size=4), st.tuples(
    st.floats(0, 30), st.floats(0, 20), st.floats(.5, 20), st.floats(.5, 10)),
    st.sampled_from([(0, 0, 48.005, 30), (30, 0, 18.02, 30), (1, 10, 9, 20.012),
                     (0, -.005, 10, 20), (-.02, 1, 9, 9), (0, 0, 62, 42)]))
rows_of_coco = st.lists(st.fixed_dictionaries(
    {"image_id": st.integers(7, 10), "category_id": st.integers(1, 3),
     "bbox": one_box}, optional={
         "area": st.one_of(st.none(), st.floats(0, 99), st.just(-1)),
         "iscrowd": st.sampled_from([0, 1, None, "x"]),
         "truncated": st.sampled_from([0, 1])}), max_size=12)


@settings(max_examples=150, deadline=None, database=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([{"image_id": 9, "category_id": 1, "bbox": (30, 0, 18.02, 30)},
          {"image_id": 8, "category_id": 1, "bbox": (30, 0, 19, 30.02)},
          {"image_id": 7, "category_id": 1, "bbox": (-.012, 0, 19, 30)}],
         "error")
@example([{"image_id": 9, "category_id": 1, "bbox": (30, 0, 18.01, 30)},
          {"image_id": 8, "category_id": 1, "bbox": (30, 0, 19, 30.01)},
          {"image_id": 7, "category_id": 1, "bbox": (0, -.01, 19, 30)}],
         "error")
@given(rows_of_coco, st.sampled_from(["error", "clip"]))
def test_arrays_hold_what_single_objects_give(tmp_path, rows, outside):
    value = table(pictures(tmp_path))
    value["annotations"] = [{"id": row, **one} for row, one in enumerate(rows)]
    path = write(tmp_path / "a.json", value)

    def entries():
        seen = []
        usual = coco_format.ImageFolder.__init__

        def note(self, entries, *rest, **options):
            seen.extend(entries)
            seen.append(rest[3])
            return usual(self, entries, *rest, **options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coco_format.ImageFolder, "__init__", note)
            with contextlib.suppress(ValueError):
                coco_format.Coco(path, outside=outside)
        return seen
    fast = entries()
    with pytest.MonkeyPatch.context() as patch:
        checked = coco_format._Reading._checked
        patch.setattr(coco_format._Reading, "_checked", lambda self, sizes: (
            np.zeros(len(self.notes), bool), checked(self, sizes)[1]))
        slow = entries()
    assert len(fast) == 4 and fast[3] == slow[3]
    for one, other in zip(fast[:3], slow[:3]):
        assert one[4:8] == other[4:8] and one.name == other.name
        for first, second in zip((*one[1:4], one.areas),
                                 (*other[1:4], other.areas)):
            np.testing.assert_array_equal(first, second)
            assert first is None or first.dtype == second.dtype
    if len(fast[0].labels) == sum(one["image_id"] == 7 for one in rows):
        mine = [one["bbox"] for one in rows if one["image_id"] == 7]
        for got, (x, y, width, height) in zip(fast[0].boxes.tolist(), mine):
            assert got == [min(max(edge, 0.0), 1.0) for edge in (
                x / 60, y / 40, (x + width) / 60, (y + height) / 40)]


# --- tables -------------------------------------------------------------------

def by_csv(path, names, lead=0, **more):
    """Parse a table of one layout: {name: [(class, edges), ...]}.

    names: of the columns image, xmin, ymin, xmax, ymax, class.
    lead: what is taken off xmin and ymin.
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, **more))
    found = {}
    for row in rows:
        image, *edges, kind = (row[name] for name in names)
        mine = found.setdefault(os.path.basename(image), [])
        if kind:
            edges = list(map(float, edges))
            mine.append((kind, [edges[0] - lead, edges[1] - lead, *edges[2:]]))
    return {name: sorted(rows) for name, rows in found.items()}


TF = ("filename", "xmin", "ymin", "xmax", "ymax", "class")
TF_ROWS = ["a.jpg,60,40,cat,1,1,60,40", "a.jpg,60,40,dog,16,21,30,40",
           "b.v2.jpg,50,30,cat,3,4,5,6", "c.jpg,48,64,dog,1,2,48,64"]


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("place", ["images", ".", "../images", "train"])
def test_xml_to_csv_of_tensorflow(tmp_path, place):
    root = tmp_path / "data"
    path = lines(root / "train_labels.csv", "filename,width,height,class,xmin,"
                 "ymin,xmax,ymax", *TF_ROWS)
    pictures(root / place)
    same(addresses.open_dataset(f"csv:{path}"), by_csv(path, TF))
    for address in (f"csv:{path}", f"csv:{root}"):
        same(addresses.open_dataset(f"{address}?origin=1"),
             by_csv(path, TF, lead=1))


def test_an_origin_that_cannot_be(tmp_path):
    pictures(tmp_path)
    lines(tmp_path / "t.csv", ",".join(TF), "a.jpg,7,8,9,10,cat")
    with pytest.raises(ValueError, match="origin must be 0 or 1, found '2'"):
        addresses.open_dataset(f"csv:{tmp_path}?origin=2")


def test_roboflow_tables(tmp_path):
    for split, names in (("train", ["a.jpg", "b.v2.jpg", "c.jpg"]),
                         ("valid", ["c.jpg"])):
        pictures(tmp_path / split, names)
        path = lines(tmp_path / split / "_annotations.csv", "filename,width,"
                     "height,class,xmin,ymin,xmax,ymax",
                     *TF_ROWS[0 if split == "train" else 3:])
        for address in ([f"{tmp_path}:{split}", f"{tmp_path}/{split}", path]
                        + [tmp_path] * (split == "train")):
            same(addresses.open_dataset(f"csv:{address}"), by_csv(path, TF))


def test_vott(tmp_path):
    folder = tmp_path / "vott-csv-export"
    pictures(folder)
    path = lines(folder / "cats-export.csv",
                 '"image","xmin","ymin","xmax","ymax","label"',
                 '"a.jpg",10.516,5.25,30.1,25.75,"cat"',
                 '"b.v2.jpg",0,0,50,30.004,"dog"')
    wanted = by_csv(path, ("image", *TF[1:5], "label"))
    wanted["b.v2.jpg"][0][1][3] = 30          # rounding at the edge
    for address in (folder, path):
        same(addresses.open_dataset(f"csv:{address}"), wanted)


def test_retinanet(tmp_path):
    pictures(tmp_path / "images")
    path = lines(tmp_path / "train.csv", "/data/me/images/c.jpg,,,,,",
                 "/data/me/images/a.jpg,10,5,30,25,cat",
                 "/data/me/images/a.jpg,0,0,60,40,dog")
    lines(tmp_path / "classes.csv", "dog,1", "cat,0", "cow,2")
    found = addresses.open_dataset(f"csv:{path}")
    assert found.classes == ("cat", "dog", "cow")
    names = ("f", *TF[1:5], "class")
    same(found, by_csv(path, names, fieldnames=names))


@pytest.mark.parametrize("head", ["", "label_name,bbox_x,bbox_y,bbox_width,"
                                  "bbox_height,image_name,image_width,"
                                  "image_height"])
def test_makesense(tmp_path, head):
    pictures(tmp_path / "images")
    path = lines(tmp_path / "labels_my-project.csv", *[head] * bool(head),
                 "cat,10,5,20,20,a.jpg,60,40", "dog,0,0,60,40,a.jpg,60,40",
                 "dog,3,4,5,6,b.v2.jpg,50,30")
    same(addresses.open_dataset(f"csv:{path}"), {
        "a.jpg": [("cat", [10, 5, 30, 25]), ("dog", [0, 0, 60, 40])],
        "b.v2.jpg": [("dog", [3, 4, 8, 10])]})


def via(shape, told, name="a.jpg"):
    cells = [name, "9", "{}", "1", "0", json.dumps(shape), json.dumps(told)]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


VIA = ("filename,file_size,file_attributes,region_count,region_id,"
       "region_shape_attributes,region_attributes")
RECT = {"name": "rect", "x": 10, "y": 5, "width": 20, "height": 20}


def test_via(tmp_path):
    pictures(tmp_path)
    path = lines(tmp_path / "via_region_data.csv", VIA,
                 via(RECT, {"class": "cat"}),
                 via({"name": "polygon", "all_points_x": [1, 9, 4],
                      "all_points_y": [2, 3, 30]}, {"class": {"dog": True,
                                                              "cat": False}}),
                 via({"name": "circle", "cx": 20, "cy": 20, "r": 5},
                     {"class": "cat"}, "c.jpg"),
                 via({"name": "ellipse", "cx": 20, "cy": 20, "rx": 5, "ry": 2},
                     {"class": "cat"}, "c.jpg"), via({}, {}, "b.v2.jpg"))
    same(addresses.open_dataset(f"csv:{path}"), {
        "a.jpg": [("cat", [10, 5, 30, 25]), ("dog", [1, 2, 9, 30])],
        "b.v2.jpg": [], "c.jpg": [("cat", [15, 15, 25, 25]),
                                  ("cat", [15, 18, 25, 22])]})
    lines(path, VIA, via({"name": "point", "cx": 1, "cy": 2}, {"class": "c"}))
    with pytest.raises(ValueError, match="line 2: xmin is not a number: 'poi"):
        addresses.open_dataset(f"csv:{path}")


def test_the_class_of_a_region_of_via(tmp_path):
    pictures(tmp_path)
    path = lines(tmp_path / "via.csv", VIA, via(RECT, {}))
    with pytest.raises(ValueError, match="no attribute.*classes=NAME"):
        addresses.open_dataset(f"csv:{path}")
    wanted = {"a.jpg": [("cat", [10, 5, 30, 25])]}
    same(addresses.open_dataset(f"csv:{path}?classes=cat"), wanted)
    lines(path, VIA, via(RECT, {"id": "3", "species": "cat"}))
    with pytest.raises(ValueError, match="attributes id, species; columns="
                                         "class:id says"):
        addresses.open_dataset(f"csv:{path}")
    same(addresses.open_dataset(f"csv:{path}?columns=class:species"), wanted)
    lines(path, VIA, via(RECT, {"id": "3", "type": "cat"}))
    same(addresses.open_dataset(f"csv:{path}"), wanted)


def test_open_images(tmp_path):
    pictures(tmp_path / "train")
    path = lines(
        tmp_path / "train-annotations-bbox.csv",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,"
        "IsTruncated,IsGroupOf,IsDepiction,IsInside",
        "a,xclick,/m/01,1,0.25,0.5,0.125,1,1,0,0,0,0",
        "a,xclick,/m/02,1,0,1,0,1,-1,-1,-1,-1,-1",
        "b.v2,xclick,/m/02,1,0,0.5,0,0.5,0,1,1,0,0")
    found = addresses.open_dataset(f"csv:{path}")
    same(found, {"a.jpg": [("/m/01", [15, 5, 30, 40]),
                           ("/m/02", [0, 0, 60, 40])],
                 "b.v2.jpg": [("/m/02", [0, 0, 25, 15])]})
    assert found.entry(0).flags.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert found.entry(1).flags.tolist() == [[0, 1, 0, 1]]
    lines(tmp_path / "class-descriptions-boxable.csv", "/m/01,Cat", "/m/02,Dog",
          "/m/03,Cow")
    assert addresses.open_dataset(f"csv:{tmp_path}").classes == ("Cat", "Dog")


OWN = {"a.jpg": [("cat", [10, 5, 30, 25])], "c.jpg": [("dog", [1.5, 2, 3, 4])]}


@pytest.mark.parametrize("text, option", [
    ("Bild;Art;links;oben;rechts;unten\na.jpg;cat;10;5;30;25\n"
     "c.jpg;dog;1,5;2;3;4", "image:Bild,class:Art,xmin:links,ymin:oben,"
     "xmax:rechts,ymax:unten"),
    ("Bild;Art;links;oben;rechts;unten\na.jpg;cat;10;5;30;25\n"
     "c.jpg;dog;1,5;2;3;4", "image,class,xmin,ymin,xmax,ymax"),
    ("cat\t1\t10\t30\t5\t25\ta.jpg\ndog\t2\t1.5\t3\t2\t4\tc.jpg",
     "class,-,x1,x2,y1,y2,filename"),
    ("a.jpg 1.txt|a.jpg|cat|10|5|20|20\n2|c.jpg|dog|1.5|2|1.5|2",
     "-,image,class,x,y,w,h"),
    ("file,kind,xmin,ymin,xmax,ymax\na.jpg,cat,10,5,30,25\n"
     "c.jpg,dog,1.5,2,3,4", "class:kind"),
    ("image_id,width,height,bbox,class\na,60,40,\"[10, 5, 20.0, 20]\",cat\n"
     "c,48,64,\"[1.5, 2, 1.5, 2]\",dog", ""),
    ("image,x,y,width,height,label\na.jpg,10,5,20,20,cat\n"
     "c.jpg,1.5,2,1.5,2,dog", ""),
    (" Image ,X Min,Y-Min,xMax,YMAX,Class Name\na.jpg, 10,5,30,25,cat\n"
     "c.jpg,1.5,2,3,4, \"dog\"", "")], ids=range(8))
def test_any_other_table(tmp_path, text, option):
    pictures(tmp_path / "images")
    path = lines(tmp_path / "t.csv", text)
    ask = f"?columns={option}" if option else ""
    same(addresses.open_dataset(f"csv:{path}{ask}"), OWN)


@pytest.mark.parametrize("option, words", [
    ("", "columns= names them in their order, or as image:photo,class:kind"),
    ("columns=image,class", "expected one column each of image, xmin"),
    ("columns=image:nothing", "there is no column 'nothing' for 'image'")])
def test_columns_that_are_not_understood(tmp_path, option, words):
    pictures(tmp_path)
    path = lines(tmp_path / "t.csv", "Bild;Art;l;o;r;u", "a.jpg;cat;1;2;3;4")
    with pytest.raises(ValueError, match="t.csv, line 1: ") as caught:
        addresses.open_dataset(f"csv:{path}?{option}".rstrip("?"))
    assert words in str(caught.value)


def test_the_folder_that_has_most_of_the_pictures_is_taken(tmp_path):
    """One copy lies in a likelier place."""
    pictures(tmp_path / "images", ["a.jpg"])
    pictures(tmp_path / "photos")
    write(tmp_path / "a.json", table(dict(zip(
        (f"{stem}.jpg" for stem in SIZES), SIZES.values()))))
    lines(tmp_path / "t.csv", ",".join(TF), *(
        f"{stem}.jpg,1,2,3,4,cat" for stem in SIZES))
    for address in (f"coco:{tmp_path}", f"csv:{tmp_path}"):
        found = addresses.open_dataset(address)
        assert found.folder == tmp_path / "photos" and len(found) == 3


def test_a_lost_picture_does_not_decide_about_the_folder(tmp_path):
    pictures(tmp_path / "images")
    path = lines(tmp_path / "t.csv", ",".join(TF), "lost.jpg,1,2,3,4,cat",
                 "a.jpg,1,2,3,4,cat", "b.v2.jpg,1,2,3,4,cat")
    with pytest.raises(ValueError, match="line 2: there is no image .*lost.jpg"):
        addresses.open_dataset(f"csv:{path}")
    with pytest.warns(UserWarning, match="1 of 3 images"):
        assert len(addresses.open_dataset(f"csv:{path}", bad="skip")) == 2


# --- made-up tables -----------------------------------------------------------

safe = st.text("aü. _-0", min_size=1, max_size=6).map(lambda text: f"p{text}q")
objects = st.lists(st.tuples(
    st.integers(0, 2), st.sampled_from(["cat", "big dog", "Tür"]),
    st.tuples(st.integers(0, 29), st.integers(0, 19), st.integers(1, 20),
              st.integers(1, 10)), st.sampled_from([0, 1])),
    min_size=1, max_size=8)
SPELT = {"image": ["image", "Filename", "image_id", "Image Name", "path"],
         "class": ["class", "LabelName", "label", "Class Name"],
         "xmin": ["xmin", "X1", "xMin", "X-Min"], "ymin": ["ymin", "y1"],
         "xmax": ["xmax", "x2"], "ymax": ["YMax", "y_max"],
         "occluded": ["occluded", "IsOccluded"], "note": ["note", "score"]}
FORMS = {0: ["0", "", "no", "-1", "Unspecified", "0.0"],
         1: ["1", "yes", "0.3", "2", "True"]}
quiet = settings(max_examples=60, deadline=None, database=None,
                 derandomize=True, suppress_health_check=[
                     HealthCheck.function_scoped_fixture])


def forms_of(name, draw):
    """Return a name as one of many programs would write it."""
    return draw(st.sampled_from([
        name, f"./{name}", f"some\\folder\\{name}", f"C:\\x\\{name}",
        f"/srv/me/{name}", name.replace("ü", "u\u0308"),
        name.replace(" ", "%20"), name.rpartition(".")[0],
        name[:-3] + "JPG"]))


@quiet
@given(st.data(), st.lists(safe, min_size=3, max_size=3, unique_by=str.casefold),
       objects)
def test_made_up_tables(tmp_path_factory, data, stems, rows):
    folder = tmp_path_factory.mktemp("t")
    names = [f"{stem}.jpg" for stem in stems]
    for name in names:
        (folder / name).write_bytes(encoded("x.jpg", 30, 50))
    unit = data.draw(st.sampled_from(["pixels", "fractions", "from 1"]))
    comma = data.draw(st.sampled_from(",;\t|"))
    order = data.draw(st.permutations(list(SPELT)))
    head = [data.draw(st.sampled_from(SPELT[one])) for one in order]
    shape = {name: forms_of(name, data.draw) for name in names}
    text, wanted = io.StringIO(), {}
    table = csv.writer(text, delimiter=comma)
    unnamed = data.draw(st.booleans())
    if not unnamed:
        table.writerow(head)
    for image, kind, (x, y, width, height), flag in rows:
        edges = [x, y, x + width, y + height]
        if unit == "fractions":
            edges = [x / 50, y / 30, (x + width) / 50, (y + height) / 30]
        elif unit == "from 1":
            edges[:2] = x + 1, y + 1
        cells = {"image": shape[names[image]], "class": kind, "note": "0.9",
                 **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(repr, edges)
                            )), "occluded": data.draw(st.sampled_from(
                                FORMS[flag]))}
        table.writerow([cells[one] for one in order])
        wanted.setdefault(names[image], []).append(
            (kind, [x, y, x + width, y + height], flag))
    path = folder / "t.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    options = {"origin": int(unit == "from 1"),
               "unit": "fractions" if unit == "fractions" else "pixels"}
    if unnamed:
        options["columns"] = ["-" if one == "note" else one for one in order]
    flat = any(w == 1 or h == 1 for _, _, (*_, w, h), _ in rows)
    if unit == "from 1" and flat:
        return                          # one pixel: xmin is not below xmax
    found = addresses.open_dataset(f"csv:{path}", **options)
    assert len(found) == len(wanted) and not found.clipped
    for row in range(len(found)):
        entry = found.entry(row)
        mine = [(found.classes[label], box, int(flags[2])) for label, box, flags
                in zip(entry.labels, in_pixels(found, row), entry.flags)]
        theirs = wanted[entry.name]
        assert [(one[0], one[2]) for one in mine] == [
            (one[0], one[2]) for one in theirs]
        np.testing.assert_allclose([one[1] for one in mine],
                                   [one[1] for one in theirs], atol=1e-9)
    literal = all(shape[name] == name for name in wanted)
    assert literal != any("picture names" in one for one in found.remarks)


@quiet
@given(st.data(), st.lists(safe, min_size=3, max_size=3,
                           unique_by=str.casefold), objects)
def test_made_up_coco_files(tmp_path_factory, data, stems, rows):
    """Pycocotools reads a plain copy, we the file as a program may write it."""
    folder = tmp_path_factory.mktemp("c")
    names = [f"{stem}.jpg" for stem in stems]
    place = data.draw(st.sampled_from(["images", "train", "."]))
    (folder / place).mkdir(exist_ok=True)
    for name in names:
        (folder / place / name).write_bytes(encoded("x.jpg", 30, 50))
    kinds = ["cat", "big dog", "Tür"]
    keys = data.draw(st.permutations([3, 7, 11]))
    plain = {"images": [
        {"id": 20 + row, "file_name": name, "height": 30, "width": 50}
        for row, name in enumerate(names)], "annotations": [
        {"id": row, "image_id": 20 + image, "category_id": keys[
            kinds.index(kind)], "bbox": list(box)}
        for row, (image, kind, box, _) in enumerate(rows)],
        "categories": [{"id": key, "name": kind}
                       for key, kind in zip(keys, kinds)]}
    wanted = by_pycocotools(write(folder / "plain.txt", plain))
    as_id = data.draw(st.sampled_from([int, str, float]))
    outlines = 0
    for one in plain["images"]:
        one["file_name"] = forms_of(one["file_name"], data.draw)
        one.update(data.draw(st.sampled_from([
            {}, {"height": None, "width": None}, {"height": 0, "width": 0},
            {"height": 30.0}])))
    for one, (_, _, (x, y, width, height), flag) in zip(plain["annotations"],
                                                        rows):
        for key in ("image_id", "category_id"):
            one[key] = as_id(one[key])
            one[key] = one[key].removesuffix(".0") if as_id is str else one[key]
        one["occluded"] = data.draw(st.sampled_from([*FORMS[flag], bool(flag)]))
        one["area"] = data.draw(st.sampled_from([None, "?", -2, 7, np.nan]))
        if data.draw(st.booleans()):
            outlines += 1
            one["bbox"] = data.draw(st.sampled_from([None, []]))
            one["segmentation"] = [[x, y, x + width, y, x, y + height]]
    path = write(folder / "annotations.json", plain)
    found = addresses.open_dataset(f"coco:{folder}")
    assert found.path == path
    same(found, wanted)
    assert found.category_ids == tuple(sorted(keys))
    for row in range(3):
        name = os.path.basename(found.entry(row).name)
        flags = [one[3] for one in rows if names[one[0]] == name]
        assert found.entry(row).flags[:, 2].tolist() == list(map(bool, flags))
    assert sum(count for text, count in found.remarks.items()
               if "outline" in text) == outlines


@pytest.mark.parametrize("told, flag", [
    ("1", True), ("0.4", True), ("yes", True), ("-1", False), ("", False),
    ("Unspecified", False), ("perhaps", False)])
def test_flags_of_a_table_refuse_nothing(tmp_path, told, flag):
    pictures(tmp_path)
    lines(tmp_path / "t.csv", ",".join(TF) + ",truncated",
          f"a.jpg,10,5,30,25,cat,{told}")
    found = addresses.open_dataset(f"csv:{tmp_path}")
    assert found.entry(0).flags.tolist() == [[False, flag, False, False]]
    assert any(told in one for one in found.remarks) == (told == "perhaps")


def test_bad_objects_cost_themselves(tmp_path):
    value = table(pictures(tmp_path))
    value["annotations"][0]["bbox"] = [10, 5, 0, 20]
    value["annotations"][2]["category_id"] = 9
    write(tmp_path / "a.json", value)
    lines(tmp_path / "t.csv", ",".join(TF), "a.jpg,10,5,10,25,cat",
          "a.jpg,0,0,60,40,dog", "c.jpg,1,x,3,4,cat")
    for address, images in ((f"coco:{tmp_path}/a.json", 3),
                            (f"csv:{tmp_path}/t.csv", 2)):
        found = addresses.open_dataset(f"{address}?bad=object")
        assert len(found) == images and len(found.faults) == 2
        assert read(found)["a.jpg"] == [("dog", [0, 0, 60, 40])]
        assert found.remarks["bad objects left out of their images"] == 2


def test_what_was_done_is_said(tmp_path, capsys):
    """`data check` counts it, and names what is left."""
    from dsod_d2l.workbench.cli import main
    for split in ("train", "valid"):
        value = table(pictures(tmp_path / split), "x\\", ("all", "cat", "dog"))
        for one in value["categories"]:
            one["supercategory"] = "all"
        for one in value["annotations"]:
            one.update(category_id=2, id=1, iscrowd="perhaps")
        write(tmp_path / split / "_annotations.coco.json", value)
    assert main(["data", "check", f"coco:{tmp_path}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["remarks"]
    for words, count in (("id of another one", 2), ("read as /", 3),
                         ("above all others", 1), ("flags crowd", 3),
                         ("train/_annotations.coco.json; another split", 1)):
        assert sum(many for one, many in told.items() if words in one
                   ) == count, (words, told)
    path = lines(tmp_path / "valid/t.csv", ",".join(TF), "a.jpg,1,2,3,4,cat")
    assert main(["data", "check", f"csv:{path}"]) == 0
    assert "1 table whose least coordinate is 1" in capsys.readouterr().out
    assert main(["data", "check", f"csv:{path}?origin=1"]) == 0
    assert "least coordinate" not in capsys.readouterr().out


def test_a_hostile_mask_is_no_box():
    for counts in ("0" * 30 + "_", "a\0b", "\x7f", "ä", [2 ** 40], ["x"], 5):
        shape = {"size": [40, 60], "counts": counts}
        assert coco_format._outline_box(shape) is None
