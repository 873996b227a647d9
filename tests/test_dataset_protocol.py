"""The protocol of data sets: three methods are enough, and files keep it."""

import inspect
import io

import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import config, datasets
from dsod_d2l.datasets import pictures, records, sample as samples
from dsod_d2l.datasets.loader import BatchMaker
from dsod_d2l.datasets.recordio import write_payloads
from dsod_d2l.datasets.wrappers import Wrapper, complete
from dsod_d2l.workbench import checking
from dsod_d2l.workbench.reports.result_files import image_names
from dsod_d2l.workbench.formats import addresses, choices
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import Small, encoded, picture

BOXES = np.float32([[.25, .125, .5, .75], [0, 0, 1, 1]])
TINY = config.get("dsod_tiny", num_classes=2)


class Three:
    """What a user writes: classes, len, [i]. Nothing is inherited."""

    classes = ("cat", "dog")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if not 0 <= index < 3:
            raise IndexError(index)
        one = datasets.make_sample(picture(40, 60, index), BOXES[:index],
                                   [1, 0][:index], [True, False][:index],
                                   f"mine {index}")
        return one._replace(crowd=np.array([False, True])) if index == 2 \
            else one


class Inherits(Three, datasets.Dataset):
    """The same, said to be a data set."""


@pytest.mark.parametrize("whole", [Three, Inherits])
@pytest.mark.parametrize("kind, target, source", [
    ("voc", "voc:{}", "voc:{}:train"),
    ("coco", "coco:{}", "coco:{}/annotations/instances_train.json"),
    ("yolo", "yolo:{}", "yolo:{}"), ("csv", "csv:{}/a.csv", "csv:{}/a.csv"),
    ("rec", "rec:{}/a.rec", "rec:{}/a.rec")])
def test_three_methods_convert_to_every_format(tmp_path, whole, kind, target,
                                               source):
    done = convert(whole(), target.format(tmp_path))
    assert (done.images, done.objects, done.skipped) == (3, 3, [])
    found = addresses.open_dataset(source.format(tmp_path))
    assert found.classes == ("cat", "dog")
    for index, wanted in enumerate(Three()[row] for row in range(3)):
        one = found[index]
        np.testing.assert_array_equal(one.image, wanted.image)
        np.testing.assert_allclose(one.boxes, wanted.boxes, atol=1e-6)
        assert one.labels.tolist() == wanted.labels.tolist()
        assert one.difficult.tolist() == wanted.difficult.tolist()
        assert (one.crowd is None) == (wanted.crowd is None)
    assert found.entry(2).name == "000002.png"


def test_three_methods_are_checked_chosen_cut_and_joined():
    report = checking.examine(Three(), Three.classes, (), TINY, "dsod_tiny",
                              np.random.default_rng(0), "mine")
    assert report.images == 3 and report.to_dict()["empty"] == ["mine 0"]
    assert report.pixels[0].tolist() == [15, 25]        # .25 x 60, .625 x 40
    assert report.flags[:, [0, 3]].tolist() == [[1, 0], [1, 0], [0, 1]]
    dogs = choices.Selected(Three(), only=["dog"], difficult="drop")
    assert [len(dogs[row].labels) for row in range(3)] == [0, 0, 0]
    assert dogs.dropped == {"difficult": 2, "class": 1}
    cats = choices.Selected(Three(), only=["cat"], crowd="difficult")
    assert cats[2].difficult.tolist() == [True] and cats[2].crowd is None
    part = datasets.Subset(Three(), [2, 0])
    assert part.entry(0).source == "mine 2" and part.size(1) == (40, 60)
    both = datasets.Combined([part, Three()])
    assert both.entry(4).labels.tolist() == [1, 0]
    assert [one.source for one in both][-1] == "mine 2"
    for one in (dogs, part, both):
        assert list(one.faults) == list(one.skipped) == []
        image = pictures.decode_image(one.encoded(0))
        assert image.shape[:2] == one.size(0) == one.entry(0).size
    assert image_names(Three()) == ["000000", "000001", "000002"]


def test_three_methods_are_trained_on():
    maker = BatchMaker(Three(), TINY, config.TrainConfig(batch_size=3))
    batch = maker.fill(0, maker.empty()[0])
    assert sorted(batch.sources) == ["mine 0", "mine 1", "mine 2"]
    assert (batch.classes > 0).any()


def test_complete_leaves_what_is_complete():
    small = Small()             # says what it can, and inherits nothing
    whole = complete(small)
    assert whole.entry(1).name == "b.jpg" and whole.faults == []
    assert whole.size(3) == (64, 48) and whole.classes == small.classes
    assert complete(whole) is whole and isinstance(whole, Wrapper)
    inherits = Inherits()
    assert complete(inherits) is inherits
    inherits.validate()
    assert not hasattr(inherits, "image_ids")


def test_every_data_set_keeps_the_protocol():
    names = {name for name, value in vars(datasets.Dataset).items()
             if inspect.isfunction(value)}
    assert names >= {"entry", "encoded", "size", "validate"}
    for kind in (Wrapper, samples.FileDataset, records.RecordDataset,
                 datasets.Subset, datasets.Combined, choices.Selected):
        assert issubclass(kind, datasets.Dataset)
        for name in names - {"__init__"}:
            wanted = inspect.signature(getattr(datasets.Dataset, name), eval_str=True)
            assert inspect.signature(getattr(kind, name), eval_str=True) == wanted


@pytest.fixture
def faulty(tmp_path):
    """Records: sound, a box upside down, no image, no label, sound."""
    image = encoded("a.jpg", 40, 60)

    def payload(label, data=image):
        return records.pack(records.Head(0, label, 0, 0), data)
    good = [2, 5, 0, .1, .2, .5, .9]
    write_payloads(tmp_path / "a.rec", [
        payload(good), payload([2, 5, 0, .1, .9, .5, .2]),
        payload(good, b"no image"), b"short", payload(good)])
    return tmp_path / "a.rec"


def test_records_note_their_faults_like_any_other_set(faulty):
    with pytest.warns(UserWarning, match="3 of 5 records are faulty and left "
                                         "out. The first: a.rec, record 1"):
        found = datasets.RecordDataset(faulty, bad="skip")
    assert [fault.source for fault in found.faults] == [
        "a.rec, record 1", "a.rec, record 2", "a.rec, record 3"]
    assert found.faults == found.skipped
    assert {fault.kind for fault in found.faults} == {"record"}
    part = datasets.Subset(found, [1])
    assert part.faults == found.faults and part.skipped == found.skipped
    both = datasets.Combined([part, choices.Selected(found)])
    assert both.faults == found.faults * 2


def test_a_report_lists_every_fault_of_records(faulty):
    def faults():
        report = checking.inspect(f"rec:{faulty}", TINY, "dsod_tiny",
                                  np.random.default_rng(0))
        return report.images, [fault.source[-1] for fault in report.faults]
    assert faults() == (2, ["1", "2", "3"])
    write_payloads(faulty, [b"short", b"shorter"])
    assert faults() == (0, ["0", "1"])


def test_the_cache_of_records_has_a_limit(tmp_path, monkeypatch):
    records.write_records(tmp_path / "a.rec", [
        ([], [], encoded("a.png", 40, 60)), ([], [], encoded("b.png", 40, 60))])
    monkeypatch.setattr(samples, "CACHE_LIMIT", 40 * 60 * 3 + 1)
    found = datasets.RecordDataset(tmp_path / "a.rec", cache=True)
    assert found[0].image is found[0].image
    assert not found[0].image.flags.writeable
    assert found[1].image is not found[1].image


def test_a_png_of_the_pixels_loses_nothing():
    pixels = picture(7, 11)
    data = pictures.encode_image(pixels)
    assert pictures.suffix(data) == ".png"
    np.testing.assert_array_equal(pictures.decode_image(data), pixels)
    assert io.BytesIO(data).read(4) == b"\x89PNG"
