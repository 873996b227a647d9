"""The page "Try it": the detector in the browser says what the one in Python says."""
import base64
import json

import cv2
import numpy as np
import pytest

from browsing import ROOT
from dsod_d2l import Detector
from dsod_d2l.boxes import iou
from dsod_d2l.datasets.pictures import read_image
from dsod_d2l.transforms.resizing import stretch

NETWORKS = {"creatures": "dsod_tiny_standin", "blood": "dsod_tiny_bccd"}
LARGEST = 8_000_000       # bytes of one file in the repository


def test_no_file_is_large_and_the_licence_is_there():
    files = [*(ROOT / "book/assets/ort").iterdir(), *(ROOT / "book/assets/try").iterdir()]
    assert all(file.stat().st_size < LARGEST for file in files)
    assert "Copyright (c) Microsoft Corporation" in (ROOT / "book/assets/ort/LICENSE").read_text()


def test_the_networks_are_described_as_they_are():
    facts = json.loads((ROOT / "book/assets/try/networks.json").read_text())
    assert list(facts) == list(NETWORKS)
    for name, stem in NETWORKS.items():
        detector = Detector(ROOT / f"data/weights/{stem}.safetensors")
        assert tuple(facts[name]["classes"]) == detector.classes
        assert tuple(facts[name]["mean"]) == detector.config.mean
        assert tuple(facts[name]["std"]) == detector.config.std
        assert len(facts[name]["maps"]) == len(detector.config.anchors)


@pytest.fixture
def page(window):
    return window().open("book/try_it")


def resized(page, image, rows, columns):
    """Return what the page makes of an image (H, W, 3), brought to a size."""
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    found = page.evaluate("""([data, width, height, columns, rows]) => {
        const bytes = Uint8ClampedArray.from(atob(data), (one) => one.charCodeAt(0));
        return Array.from(window.dsodTry.resize({ data: bytes, width, height }, columns, rows));
    }""", [base64.b64encode(rgba.tobytes()).decode(), image.shape[1], image.shape[0], columns, rows])
    return np.reshape(found, (3, rows, columns)).transpose(1, 2, 0)


@pytest.mark.parametrize("size", [(256, 256), (90, 131), (700, 530), (100, 640)])
def test_bringing_to_size_is_the_modules(page, size):
    page.wait_for_function("window.dsodTry")
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = resized(page, noise, 64, 48)
    np.testing.assert_allclose(found, stretch(noise, (64, 48), None), atol=1)


def detections(page):
    """Return (labels, scores, boxes) of the page's last picture."""
    page.wait_for_function("document.querySelector('.interactive').dataset.state === 'ready'",
                           timeout=60_000)
    kept = page.evaluate("window.dsodTry.last()")
    return (np.array([one["label"] for one in kept]), np.array([one["score"] for one in kept]),
            np.array([one["box"] for one in kept]).reshape(-1, 4))


@pytest.mark.parametrize("name, size", [("creatures", (256, 256)), ("creatures", (480, 640)),
                                        ("blood", (200, 320))])
def test_the_page_detects_what_python_does(page, tmp_path, name, size):
    image = read_image(ROOT / "data/samples/three.jpg")
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    page.get_by_label("Network").select_option(name)
    page.locator("input[type=file]").set_input_files(tmp_path / "a.png")
    page.wait_for_function(f"window.dsodTry.size() === '{size[1]} x {size[0]}'")
    page.get_by_role("button", name="Load the detector").click()
    labels, scores, boxes = detections(page)
    wanted = Detector(ROOT / f"data/weights/{NETWORKS[name]}.safetensors")(image)
    sure = wanted.scores >= 0.1
    assert sure.sum() >= (3 if name == "creatures" else 0)
    for label, score, box in wanted[sure]:
        same = iou(box[None], boxes)[0].argmax()
        assert labels[same] == label and abs(scores[same] - score) < 0.02
        pixels = np.tile(size[::-1], 2)
        np.testing.assert_allclose(boxes[same] * pixels, box * pixels, atol=0.5)
    assert (scores >= 0.3).sum() == (wanted.scores >= 0.3).sum()


def test_sliders_and_views_change_what_is_shown(page):
    page.get_by_role("button", name="Load the detector").click()
    detections(page)
    words = page.locator(".interactive p[aria-live]")
    assert words.inner_text().startswith("3 found with a score of at least 0.30")
    page.get_by_label("Least score").fill("0.98")
    page.get_by_label("IoU of suppression").fill("1")
    page.get_by_label("Show").select_option("raw")
    assert "0 more boxes" in words.inner_text()          # nothing is dropped at an IoU of 1
    page.get_by_label("IoU of suppression").fill("0.45")
    page.get_by_label("Least score").fill("0.3")
    assert "0 more boxes" not in words.inner_text()
    page.get_by_label("Show").select_option("map")
    assert "Map 1 has 32 by 32 cells" in words.inner_text()


def test_nothing_is_fetched_before_it_is_asked_for(window):
    visit = window()
    asked = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.open("book/try_it")
    visit.page.wait_for_function("window.dsodTry")
    assert not [url for url in asked if "/ort/" in url or "/try/" in url]


def test_a_page_opened_as_a_file_says_what_helps(chromium, pages):
    page = chromium.new_page()
    page.goto((pages / "book/try_it.html").as_uri())
    page.get_by_role("button", name="Load the detector").click()
    page.get_by_text("`make serve` shows it").wait_for()
    page.close()
