"""What people give where something else belongs: it works, or one sentence tells."""
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import dsod_d2l as dd
from dsod_d2l import models
from dsod_d2l.detection import Detections
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import CLASSES, Small

TINY = dict(input_size=(80, 96), stem=4, bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
            predictions=(4, 4, 4))
NETWORK = "expected a network, as build makes it and load_weights reads it, found "


@pytest.fixture(scope="module")
def net():
    made = dd.build("dsod_tiny", CLASSES, **TINY)
    models.initialise(made)
    return made


SETTINGS = dd.TrainConfig(steps=1, batch_size=2, held_back=0, workers=0)


@pytest.mark.parametrize("call, words", [
    (lambda net: dd.fit("dsod_tiny", Small(), SETTINGS), NETWORK + "'dsod_tiny'$"),
    (lambda net: dd.fit(Small(), net, SETTINGS), NETWORK + "Small$"),
    (lambda net: dd.fit(net, 7, SETTINGS), "a data set, or its address such as voc:FOLDER, found int$"),
    (lambda net: dd.fit(net, Small(), 600), "^expected a TrainConfig as the settings, found 600$"),
    (lambda net: dd.fit(net, Small(), {"steps": 6}), "^expected a TrainConfig .* found {'steps': 6}$"),
    (lambda net: dd.evaluate(Small(), net), "a data set, or its address such as voc:FOLDER, found DSOD$"),
    (lambda net: dd.evaluate(7, Small()), NETWORK + "int$"),
    (lambda net: dd.build("dsod_tiny", []), "^num_classes must be a whole number of at least 1, found 0$"),
    (lambda net: dd.open_dataset("standin:val")[0:2], "takes one whole number, .* datasets.Subset takes several$"),
    (lambda net: dd.draw_architecture("no_net"), "^no preset is called 'no_net', expected one of toy_ssd"),
    (lambda net: dd.Detector(net, CLASSES).detect(Image.new("RGB", (9, 9))),
     r"found Image; np.asarray\(picture.convert\('RGB'\)\) makes one$"),
    (lambda net: dd.Detector("data/weights/dsod_tiny_bccd.safetensors", device="gpu"),
     "^--device gpu: there is none to be used, .* Without --device, the CPU computes$"),
    (lambda net: dd.convert(7, "csv:a.csv"), "a data set, or its address such as voc:FOLDER, found int$"),
    (lambda net: dd.summarise("dsod_tiny"), "^expected a network, as build makes it, found 'dsod_tiny'$"),
    (lambda net: dd.evaluate("dsod_tiny", Small()),
     r"^dsod_tiny: expected a file that ends in \.safetensors.*; build\('dsod_tiny', classes\) makes"),
    (lambda net: dd.evaluate_dataset(net, Small()),
     "^expected a Detector and a data set, found DSOD and Small: evaluate takes"),
    (lambda net: dd.evaluate_dataset(dd.Detector(net), "voc:x"), "found Detector and str: evaluate"),
    (lambda net: dd.save_weights(net, "x.safetensors", CLASSES), NETWORK + "'x.safetensors'$"),
    (lambda net: dd.save_weights("x.safetensors", CLASSES, net), NETWORK + "tuple$"),
    (lambda net: dd.save_weights("x.safetensors", net, "cat"), "classes, found 'cat' as the list of"),
    (lambda net: dd.Detector(net, "cat"), "classes must name 3 classes, found 0 names: 'cat'$"),
    (lambda net: dd.Detector(Small()), "config= must give the ModelConfig .*, found Small$"),
    (lambda net: dd.Detector(net)(7), r"^expected a picture, .* or a path, found int$"),
    (lambda net: dd.TrainConfig(lr=.1), r"^TrainConfig has no field lr; did you mean learning_rate\?$"),
    (lambda net: dd.TrainConfig(epochs=9), r"has no field epochs; did you mean steps\?$"),
    (lambda net: dd.DetectConfig(conf=.1), r"has no field conf; did you mean score_threshold\?$")])
def test_one_sentence_says_what_was_expected(net, call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words) as caught:
        call(net)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_addresses_and_samples_are_taken(net, tmp_path):
    convert(Small(), f"voc:{tmp_path}:val")
    address = f"voc:{tmp_path}:val?classes={','.join(map(quote, CLASSES))}"
    opened = dd.open_dataset(address)
    assert repr(dd.evaluate(net, address)) == repr(dd.evaluate(net, opened))     # nan is no nan
    assert dd.convert(address, f"csv:{tmp_path}/a.csv").objects == sum(len(one.labels) for one in opened)
    detector = dd.Detector(net)
    one, other = detector(opened[0]), detector(opened[0].image)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.image(), opened[0].image)
    assert len(dd.fit(net, address, SETTINGS, progress=False).history) == 1


def test_detections_say_in_a_line_what_they_are():
    boxes = np.tile([0, .5, 1, 1], (5, 1))
    found = Detections(np.array([1, 0, 0, 1, 1]), np.array([.9, .8, .7, .6, .5]), boxes,
                       classes=("cat", "dog"))
    assert repr(found) == "Detections(5 found: dog 90%, cat 80%, cat 70%, ...)"
    assert repr(found[:1]) == "Detections(1 found: dog 90%)"
    assert repr(found[:0]) == "Detections(0 found)"
    assert repr(Detections(found.labels, found.scores, boxes)[3:]) == "Detections(2 found: 1 60%, 1 50%)"


def test_a_file_is_no_axes():
    with pytest.raises(ValueError, match=r"^expected Axes to draw on; draw\(\)\.figure\.savefig\('x\.png'\)"):
        Detections(np.zeros(0), np.zeros(0), np.zeros((0, 4))).draw("x.png")
