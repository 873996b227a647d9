"""The finder of pictures: what a stated name may be, and what it never is."""

import os
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.workbench.formats.finding import PictureFinder
from dsod_d2l.workbench.formats.text_files import as_flag, listing


def made(folder, *names):
    """Make empty files, folders included."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def said(finder):
    """What was done to names, by the first words of each remark."""
    return {text.split(", such")[0]: count
            for text, count in finder.remarks().items()}


COMPOSED = unicodedata.normalize("NFC", "Tür é")
APART = unicodedata.normalize("NFD", COMPOSED)

# Files, the stated name, what is found, and a word of the remark.
FOUND = [
    (["a.jpg"], "a.jpg", "a.jpg", None),
    (["a.rf.0a1b.jpg"], "a.rf.0a1b.jpg", "a.rf.0a1b.jpg", None),
    (["a.rf.0a1b.jpg", "a.jpg"], "a.rf.0a1b", "a.rf.0a1b.jpg", "suffix"),
    (["x/a.jpg"], "x\\a.jpg", "x/a.jpg", "\\"),
    (["x/a.jpg"], ".\\x\\a.jpg", "x/a.jpg", "\\"),
    (["x/a.jpg"], "./x//a.jpg", "x/a.jpg", "./"),
    (["a.jpg"], "x/../a.jpg", "a.jpg", "./"),
    (["a b.jpg"], "a%20b.jpg", "a b.jpg", "%20"),
    (["a%20b.jpg", "a b.jpg"], "a%20b.jpg", "a%20b.jpg", None),
    (["a.jpg"], "images/train/a.jpg", "a.jpg", "in front"),
    (["train/a.jpg", "b.jpg"], "images/train/a.jpg", "train/a.jpg", "in front"),
    (["x/a.jpg", "b.jpg"], "a.jpg", "x/a.jpg", "had to be found"),
    ([f"{COMPOSED}.jpg"], f"{APART}.jpg", f"{COMPOSED}.jpg", "Unicode"),
    ([f"{APART}.jpg"], f"{COMPOSED}.jpg", f"{APART}.jpg", "Unicode"),
    ([f"{APART}/a.jpg"], f"{COMPOSED}/a.jpg", f"{APART}/a.jpg", "Unicode"),
    (["a.JPG"], "a.jpg", "a.JPG", "suffix in other capitals"),
    (["a.jpg", "A.jpg"], "a.JPG", "a.jpg", "suffix in other capitals"),
    (["IMG_1.jpg"], "img_1.jpg", "IMG_1.jpg", "other capitals than"),
    (["a.png"], "a.jpg", "a.png", "another suffix"),
    (["a.jpg", "a.png"], "a.png", "a.png", None),
    (["a.jpg", "a.png"], "a.gif", "a.jpg", "several"),
    (["a.jpg"], "a", "a.jpg", "another suffix"),
    (["a.jpg"], "a.raw", "a.jpg", "another suffix"),
    (["sub/a.jpg"], "C:\\Users\\me\\sub\\a.jpg", "sub/a.jpg", "in front"),
    (["sub/a.jpg", "a.jpg"], "/srv/me/sub/a.jpg", "sub/a.jpg", "in front"),
    (["t/sub/a.jpg", "a.jpg"], "/srv/me/sub/a.jpg", "t/sub/a.jpg", "found"),
    (["a.jpg"], "file:///srv/me/a.jpg", "a.jpg", "in front"),
    (["a.jpg"], "~/pictures/a.jpg", "a.jpg", "in front"),
]


@pytest.mark.parametrize("files, name, wanted, words", FOUND,
                         ids=[ascii(row[1])[-30:] for row in FOUND])
def test_what_a_name_may_be(tmp_path, files, name, wanted, words):
    finder = PictureFinder(made(tmp_path, *files))
    assert finder.find(name) == wanted
    assert finder.find(name) == wanted          # and it is counted once
    assert all(count == 1 for count in finder.remarks().values())
    text = " ".join(finder.remarks())
    assert (words in text and repr(name)[1:-1].replace("\\\\", "\\")[:60]
            in text) if words else not text


@pytest.mark.parametrize("files, name, words", [
    (["a.jpg"], "b.jpg", "there is no image 'b.jpg' in"),
    (["a.jpg"], "", "there is no image"), (["a.jpg"], "/", "is no image"),
    (["a.jpg"], "a\0.jpg", "there is no image"),
    (["a.jpg"], "../a.jpg", "the name '../a.jpg' leaves the folder"),
    (["a.jpg"], "x/../../a.jpg", "leaves the folder"),
    ([".a.jpg", "b.jpg"], ".a.jpg", "there is no image"),
    (["x/a.jpg", "y/a.jpg"], "a.jpg", "2 images of .* fit the name 'a.jpg'"),
    # A folder that is there is meant, and another one is another picture.
    (["x/a.jpg", "y/b.jpg"], "y/a.jpg", "there is no image 'y/a.jpg'"),
    (["a.jpg", "y/b.jpg"], "y/a.jpg", "there is no image 'y/a.jpg'"),
    (["x/a.jpg"], "z/a.jpg", "there is no image 'z/a.jpg'"),
    (["a.txt", "b.jpg"], "a.jpg", "there is no image 'a.jpg'")])
def test_what_a_name_is_not(tmp_path, files, name, words):
    finder = PictureFinder(made(tmp_path, *files), option="images=FOLDER")
    assert finder.find(name) is None and not finder.remarks()
    reason, kind = finder.missing(name)
    assert kind in ("image", "path")
    with pytest.raises(ValueError, match=words):
        raise ValueError(reason)
    assert "there is no" not in reason or reason.endswith(
        "; images=FOLDER names another folder")


def test_another_folder_is_named_where_nothing_was_found_yet(tmp_path):
    finder = PictureFinder(made(tmp_path, "1.jpg"), option="root=FOLDER")
    assert finder.find("2.jpg") is None
    assert finder.missing("2.jpg")[0].endswith(
        ", with any suffix, among 1 pictures; root=FOLDER names another folder")
    assert finder.find("1.jpg")
    assert finder.missing("2.jpg")[0] == (
        f"there is no image '2.jpg' in {tmp_path}")


def test_two_names_of_other_folders_are_not_one_picture(tmp_path):
    finder = PictureFinder(made(tmp_path, "1.jpg"))
    assert finder.find("/a/left/1.jpg") == "1.jpg"
    assert finder.find("/a/right/1.jpg") is None
    assert "nearest to both '/a/left/1.jpg' and" in finder.missing(
        "/a/right/1.jpg")[0]


def test_names_may_be_relative_to_the_file_that_states_them(tmp_path):
    made(tmp_path, "set/images/a.jpg", "set/images/x/b.jpg", "out.jpg")
    finder = PictureFinder(tmp_path / "set/images", tmp_path / "set/lists")
    assert finder.find("../images/a.jpg") == "a.jpg"
    assert finder.find("..\\images\\x\\b.jpg") == "x/b.jpg"
    assert finder.find(f"{tmp_path}/set/images/x/b.jpg") == "x/b.jpg"
    assert finder.find("../../out.jpg") is None
    assert said(finder) == {"picture names with \\ read as /": 1}


def test_stems_are_not_counted_as_other_suffixes(tmp_path):
    finder = PictureFinder(made(tmp_path, "a.b.png", "c.jpg", "c.PNG",
                                "d.png", "d.jpg", "x/e.jpg"))
    assert finder.find("a.b", stem=True) == "a.b.png"
    assert finder.find("d.png", stem=True) == "d.png"   # as in d.png.xml
    assert finder.find("x/e", stem=True) == "x/e.jpg"
    assert not finder.remarks()
    assert finder.find("c", stem=True) == "c.jpg"
    assert finder.find("a", stem=True) is None
    assert said(finder) == {
        "picture names that fit several pictures: one was taken": 1}


def test_hidden_files_do_not_count(tmp_path):
    made(tmp_path, "a.jpg", "._a.jpg", ".b/c.jpg", "__MACOSX/a.jpg",
         "x/.ipynb_checkpoints/a-checkpoint.jpg", "Thumbs.db", "x/desktop.ini",
         "x/b.TXT")
    assert listing(tmp_path) == {"a.jpg", "x/b.TXT"}
    assert listing(tmp_path, ".txt") == {"x/b.TXT"}
    assert listing(tmp_path / ".b") == {"c.jpg"}    # its own name is free


PART = st.text("abAB.é~% -_#=1", min_size=1, max_size=6).filter(
    lambda text: not text.startswith(".") and text.strip(". ") == text)


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(PART, min_size=1, max_size=3), min_size=1,
                max_size=6), st.data())
def test_made_up_names(tmp_path_factory, paths, data):
    """A file is found by its name as other programs write it, or none is."""
    folder, names = tmp_path_factory.mktemp("made"), set()
    for parts in paths:
        name = "/".join(parts) + data.draw(st.sampled_from([".jpg", ".PNG"]))
        # One tree can hold all of them, on any file system.
        if not any(name.casefold() == one.casefold()
                   or one.casefold().startswith(name.casefold() + "/")
                   or name.casefold().startswith(one.casefold() + "/")
                   for one in names):
            try:
                made(folder, name)
            except OSError:
                continue
            names.add(name)
    name = data.draw(st.sampled_from(sorted(names)))
    form = data.draw(st.sampled_from(["NFC", "NFD"]))
    lead = data.draw(st.sampled_from(["", "./", "/srv/me/", "C:\\me\\"]))
    stated = lead + unicodedata.normalize(form, name)
    if data.draw(st.booleans()):
        stated = stated.replace("/", "\\")
    finder = PictureFinder(folder)
    found = finder.find(stated)
    assert found == name
    assert bool(finder.remarks()) == (stated != name)
    wild = data.draw(st.text(max_size=12))
    other = finder.find(wild)
    assert other is None or other in names
    assert other is None or os.path.realpath(
        folder / other).startswith(os.path.realpath(folder) + os.sep)


@pytest.mark.parametrize("value, wanted", [
    (0, False), (1, True), (2, True), (.06, True), ("0.06", True), (0.0, False),
    ("Unspecified", False), ("", False), (None, False), ("True", True),
    ("no", False), (True, True), ("3", True), ("-1", False), (-1, False),
    ("maybe", None), ([1], None), ("nan", None), (float("nan"), None),
    (-7, None), ("1e999", True)])
def test_flags_of_any_text_or_level(value, wanted):
    assert as_flag(value) is wanted


def test_a_picture_elsewhere_is_told_apart_from_one_of_another_machine(
        tmp_path):
    away = made(tmp_path / "away", "a.jpg", "b.jpg") / "a.jpg"
    finder = PictureFinder(made(tmp_path / "set", "a.jpg"),
                           option="images=FOLDER")
    assert finder.find(str(away)) == "a.jpg"
    (text, count), = finder.remarks().items()
    assert count == 1 and text.startswith("pictures that are there under an "
                                          "absolute name, but outside")
    assert finder.find("/no/such/a.jpg") is None        # two for one
    assert finder.find(str(away.with_name("b.jpg"))) is None
    assert finder.missing(str(away.with_name("b.jpg"))) == (
        f"the image '{away.parent}/b.jpg' is there, but outside "
        f"{tmp_path}/set; images={away.parent} names its folder", "image")


def test_a_path_that_climbs_is_one_of_another_machine(tmp_path):
    finder = PictureFinder(made(tmp_path, "a.jpg", "x/b.jpg"))
    assert finder.find("../../label-studio/upload/1/a.jpg") == "a.jpg"
    assert finder.find("..\\y\\x\\b.jpg") == "x/b.jpg"
    assert finder.find("../b.jpg") is None
    assert finder.find("../set/c.jpg") is None
    assert finder.missing("../set/c.jpg")[1] == "path"
