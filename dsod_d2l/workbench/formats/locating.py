"""Which annotation file a folder means, and which folder its pictures are in.

Programs that export COCO's JSON or a table put them in a dozen layouts:
``annotations/instances_val2017.json``, ``valid/_annotations.coco.json``,
``result.json``. What is found is never a guess among several: the splits are
told apart by the names of files and folders, and what is left is said.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ...datasets.sample import few
from .finding import PictureFinder
from .text_files import folder_there, is_hidden

# What folders of pictures are called, in small letters.
IMAGES = ("images", "imgs", "img", "image", "jpegimages", "pictures",
          "photos", "jpgs", "pngs")
APART = ("annotations", "annotation", "labels", "json")  # without pictures
_SPLIT = re.compile(r"(train|val|test)(ing|id|idation)?(20\d\d)?")
# Files of these formats that list no boxes.
_OTHERS = re.compile(
    r"(captions|person_keypoints|panoptic|stuff)_|class-descriptions|"
    r"_?(classes|labels|flags|notes)\.", re.I)


def split_of(name: object) -> str:
    """Return "train", "val" or "test" for what is called so, else "".

    >>> split_of("valid"), split_of("train2017"), split_of("trees")
    ('val', 'train', '')
    """
    match = _SPLIT.fullmatch(str(name).lower())
    return match[1] if match else ""


def same_split(name: str) -> str:
    """Return the name of a split as it is usually spelt, or in small letters.

    >>> same_split("valid"), same_split("val2017"), same_split("minival")
    ('val', 'val', 'minival')
    """
    name = re.sub(r"\d+$", "", name.lower())
    return "val" if name == "dev" else split_of(name) or name


def annotation_file(path: Path, split: str | None, suffixes: tuple[str, ...],
                    remarks: Counter) -> Path:
    """Return the annotation file that a path means.

    Args:
        path: the file; or a folder that has it, or has a folder that does.
        split: the one wanted of a folder; None: the only one, else train.
        suffixes: how the names of such files end.
        remarks: the splits that are left are noted here.

    Raises:
        FileNotFoundError: there is none, or it is not clear which.
    """
    if not path.is_dir() and split is None:
        return path
    found = [one for pattern in ("*", "*/*") for one in sorted(
        path.glob(pattern)) if one.name.lower().endswith(suffixes)
        and one.is_file() and not any(map(is_hidden,
                                          one.relative_to(path).parts))]
    found = [one for one in found if not _OTHERS.match(one.name)] or found
    chosen, wanted = found, split or "train"
    if split or len(found) > 1:
        chosen = [one for one in found if wanted in _names(one)] or [
            one for one in found
            if same_split(wanted) in map(same_split, _names(one))]
    names = [str(one.relative_to(path)) for one in found]
    if len(chosen) != 1:
        raise FileNotFoundError(
            f"{path}: expected one {suffixes[0]} file"
            f"{f' of the split {split!r}' if split else ''} in it or in one "
            f"of its folders, found {few(names) or 'none'}; a split is named "
            "behind a colon, and the path of the file itself will do, too.")
    if split is None and len(found) > 1:
        remarks[f"of the files {few(names)} was read, "
                f"{chosen[0].relative_to(path)}; another split is named "
                "behind a colon"] += 1
    return chosen[0]


def split_in(path: Path) -> str:
    """Return the part of a file's name that names its split, in COCO's way.

    >>> split_in(Path("image_info_test-dev2017.json"))
    'test-dev2017'
    """
    return re.sub("^(instances|image_info)_", "", path.stem)


def _names(path):
    """Return what may be the name of a file's split."""
    stem = split_in(path)
    return stem, path.parent.name, *re.split("[_.-]", stem)


def folders_in(base: Path) -> list[Path]:
    """Return the folders in a folder that may hold pictures."""
    there = sorted(base.iterdir()) if base.is_dir() else []
    return [one for one in there if one.is_dir() and not is_hidden(one.name)]


def stated_folder(root: Path, name: str | Path) -> Path:
    """Return a folder that an option names, relative to the set or not."""
    name = Path(name).expanduser()
    return name if name.is_dir() and not (
        root / name).is_dir() else folder_there(root / name)


def _likely_folders(path):
    """Return the folders in which the images may be, the likeliest first."""
    base, split = path.parent, split_in(path).replace("-dev", "")
    splits = list(filter(None, dict.fromkeys(
        (split, re.split("[_-]", split)[0]))))
    apart = [base.parent] if base.name.lower() in APART else []
    return [base.parent / split, base.parent / "images" / split,
            base / "images", base, *(base / one for one in splits),
            *(base.parent / "images" / one for one in splits),
            base.parent / "images", *apart, *folders_in(base)]


def picture_folder(path: Path, names: Iterable[str], remarks: Counter,
                   images: str | Path | None = None
                   ) -> tuple[PictureFinder, dict[str, str | None]]:
    """Find the folder that the pictures of a file are in.

    Args:
        path: the file.
        names: of all pictures, as the file has them.
        remarks: takes in what was done to names.
        images: the folder, if it is stated.

    Returns:
        the finder of the folder that has most of them, and {name: where it
        is in that folder, or None}.

    Raises:
        FileNotFoundError: none of the folders is there.
    """
    folders = [Path(images)] if images else list(dict.fromkeys(
        _likely_folders(path)))
    best = None
    for folder in filter(Path.is_dir, folders):
        finder = PictureFinder(folder, path.parent, option="images=FOLDER")
        found = {name: finder.find(name) for name in names}
        missing = sum(place is None for place in found.values())
        liberties = sum(finder.remarks().values())
        if best is None or (missing, liberties) < best[:2]:
            best = missing, liberties, finder, found
        if not missing and not liberties:
            break
    if best is None:
        raise FileNotFoundError(f"There is no folder {folders[0]}; "
                                "images=FOLDER names the one of the images.")
    remarks.update(best[2].remarks())
    return best[2:]
