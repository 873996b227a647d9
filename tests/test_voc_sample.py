"""The labelled folder of the chapter about one's own data is what its command makes."""
from pathlib import Path

import cv2
import numpy as np

from dsod_d2l.workbench.formats.voc import VOC
from tools import make_voc_sample

FOLDER = Path(__file__).resolve().parents[1] / "data" / "samples" / "voc"


def test_the_folder_is_made_by_its_command():
    for number in (0, 5, 24):  # the last is the first of val
        name, entry, size, data = make_voc_sample.item(number)
        dataset = VOC(FOLDER, "train" if number < 24 else "val")
        row = next(row for row in range(len(dataset)) if dataset.entry(row).name == name)
        kept = dataset.entry(row)
        np.testing.assert_allclose(kept.boxes, entry.boxes)
        assert kept.labels.tolist() == entry.labels.tolist() and kept.size == size
        assert kept.flags.tolist() == entry.flags.tolist()
        made = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert abs(made.astype(int) - dataset[row].image).mean() < 1


def test_the_folder_is_small_and_sound():
    train, val = VOC(FOLDER, "train"), VOC(FOLDER, "val")
    assert (len(train), len(val)) == (24, 12)
    assert train.classes == val.classes == make_voc_sample.CLASSES
    assert sum(file.stat().st_size for file in FOLDER.rglob("*.*")) < 700_000


def test_only_yellow_turns_blue():
    part = np.array([[[240, 220, 20], [120, 120, 120], [20, 200, 30]]], np.uint8)
    make_voc_sample.turn_blue(part)
    red, green, blue = part[0, 0].astype(int)
    assert blue > 200 and blue > green + 50 and blue > red + 100
    assert abs(part[0, 1:].astype(int) - [[120, 120, 120], [20, 200, 30]]).max() <= 3
