"""Visualisation: where things are drawn, and that they can be read."""

import doctest
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from dsod_d2l import visualisation
from dsod_d2l.workbench import drawing
from dsod_d2l.workbench.reports import evaluation_report
from dsod_d2l.detection import Detections
from dsod_d2l.evaluation import Curve

HEIGHT, WIDTH = 120, 200
BOXES = np.array([[.1, .2, .5, .7], [.0, .0, .2, .3], [.9, .6, 1.0, 1.0]])


@pytest.fixture
def ax():
    figure = Figure(figsize=(5, 4), dpi=80)
    FigureCanvasAgg(figure)
    return figure.subplots()


@pytest.fixture
def picture(ax):
    visualisation.draw_image(ax, np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    return ax


def test_examples():
    assert doctest.testmod(visualisation).attempted
    assert doctest.testmod(visualisation).failed == 0


def test_an_image_lies_with_its_corner_at_the_origin(ax):
    assert visualisation.draw_image(ax, np.zeros((HEIGHT, WIDTH, 3)), "title") is None
    assert ax.get_xlim() == (0, WIDTH) and ax.get_ylim() == (HEIGHT, 0)
    assert ax.get_title() == "title"


def test_boxes_are_drawn_in_pixels_of_the_image(picture):
    assert visualisation.draw_boxes(picture, BOXES) is None
    first = picture.patches[0]
    assert first.get_xy() == pytest.approx((20, 24))
    assert first.get_width() == pytest.approx(80)
    assert first.get_height() == pytest.approx(60)
    assert not picture.texts


def test_boxes_take_colours_of_their_own(picture):
    visualisation.draw_boxes(picture, BOXES, [0, 9, 1], [.1, .9, .5],
                   colours=["red", "green", "blue"])
    drawn = [to_rgb(patch.get_edgecolor()) for patch in picture.patches]
    assert drawn == [to_rgb(name) for name in ("red", "blue", "green")]
    backs = [to_rgb(text.get_bbox_patch().get_facecolor())
             for text in picture.texts]
    assert {patch.get_linestyle() for patch in picture.patches} == {"solid"}
    assert backs == drawn                         # the lowest score first
    with pytest.raises(ValueError, match="each of 3 boxes, found 1"):
        visualisation.draw_boxes(picture, BOXES, colours=["red"])


def test_without_an_image_the_axes_are_the_image(ax):
    visualisation.draw_boxes(ax, BOXES)
    assert ax.get_ylim() == (1, 0)
    assert ax.patches[0].get_xy() == pytest.approx((.1, .2))


def test_the_frame_of_a_box_is_where_the_box_is():
    """Seen in the pixels that are written."""
    figure = Figure(figsize=(2, 1.2), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    visualisation.draw_image(axes, np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    visualisation.draw_boxes(axes, BOXES[:1], [1])
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    blue = np.array(to_rgb(visualisation.PALETTE[1])) * 255
    rows, columns = np.nonzero(np.abs(pixels - blue).sum(axis=2) < 20)
    assert abs(rows[columns > 60].min() - 24) <= 2
    assert abs(rows.max() - 84) <= 2
    assert abs(columns.min() - 20) <= 2 and abs(columns.max() - 100) <= 2


def test_labels_name_class_and_score_and_the_best_lies_on_top(picture):
    visualisation.draw_boxes(picture, BOXES, [1, 0, 1], [.5, .987, .2], ["cat", "dog"])
    assert [text.get_text() for text in picture.texts] == [
        "dog 20%", "dog 50%", "cat 99%"]
    visualisation.draw_boxes(picture, BOXES[:1], [1])
    visualisation.draw_boxes(picture, BOXES[:1], scores=[.25])
    assert [text.get_text() for text in picture.texts[3:]] == ["1", "25%"]


@pytest.mark.parametrize("box", [
    [0, 0, .1, .1], [.9, 0, 1, .1], [.9, .9, 1, 1], [0, .9, .1, 1],
    [-.5, -.5, 1.5, 1.5], [.95, .4, 1, .5]])
def test_labels_stay_inside_the_axes(picture, box):
    visualisation.draw_boxes(picture, [box], [0], [.5], ["a rather long name"])
    picture.figure.canvas.draw()
    text = picture.texts[0].get_window_extent()
    room = picture.get_window_extent()
    assert text.x0 >= room.x0 and text.x1 <= room.x1
    assert text.y0 >= room.y0 and text.y1 <= room.y1


def test_no_boxes_draw_nothing(picture):
    visualisation.draw_boxes(picture, np.zeros((0, 4)), [], [], ["a"])
    visualisation.draw_anchors(picture, np.zeros((0, 4)))
    visualisation.draw_matches(picture, BOXES, [], [-1, -1, -1])
    assert not picture.patches and not picture.texts


def test_one_colour_per_class_and_another_line_when_they_repeat(picture):
    count = len(visualisation.PALETTE)
    visualisation.draw_boxes(picture, np.tile(BOXES[0], (count + 1, 1)),
                   range(count + 1))
    looks = [(patch.get_edgecolor(), patch.get_linestyle())
             for patch in picture.patches]
    assert len(set(looks)) == count + 1
    assert looks[0][0] == looks[count][0]


@pytest.mark.parametrize("colour", visualisation.PALETTE)
def test_labels_contrast_with_their_background(colour):
    def luminance(name):
        rgb = np.array(to_rgb(name))
        linear = np.where(rgb <= .04045, rgb / 12.92,
                          ((rgb + .055) / 1.055) ** 2.4)
        return linear @ [.2126, .7152, .0722]
    dark, light = sorted([luminance(colour),
                          luminance(visualisation.text_colour(colour))])
    assert (light + .05) / (dark + .05) >= 4.5        # WCAG 2, level AA


def test_anchors_are_one_collection(picture):
    visualisation.draw_anchors(picture, np.tile(BOXES, (500, 1)), centres=True)
    loops = picture.collections[0].get_paths()
    assert len(loops) == 1500 and not picture.patches
    np.testing.assert_allclose(loops[0].vertices[:4],
                               [[20, 24], [100, 24], [100, 84], [20, 84]])
    np.testing.assert_allclose(picture.lines[0].get_xydata()[0], [60, 54])
    assert picture.get_xlim() == (0, WIDTH)


def test_anchors_have_the_colour_of_their_object(picture):
    visualisation.draw_matches(picture, BOXES, BOXES[:2] + .01, [1, -1, 0])
    styles = [(patch.get_linestyle(), patch.get_edgecolor()[:3])
              for patch in picture.patches]
    first, second = (to_rgb(colour) for colour in visualisation.PALETTE[:2])
    assert styles == [("dashed", first), ("solid", first),
                      ("dashed", second), ("solid", second)]
    assert picture.patches[0].get_xy() == pytest.approx((180, 72))


HISTORY = [{"step": 1, "classification": 3.0, "localisation": 2.0},
           {"step": 2, "classification": 1.5, "localisation": 1.0, "AP": .5},
           {"step": 3, "classification": 1.0, "localisation": .5}]


def test_history_by_step(ax):
    assert visualisation.plot_history(ax, HISTORY) is None
    np.testing.assert_allclose(ax.lines[0].get_xydata(),
                               [[1, 3], [2, 1.5], [3, 1]])
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["classification", "localisation"]
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_history_where_a_name_is_rare_or_missing(ax):
    visualisation.plot_history(ax, HISTORY, ["AP"], logarithmic=True)
    assert ax.lines[0].get_xydata().tolist() == [[2, .5]]
    assert ax.lines[0].get_marker() == "o" and ax.get_ylabel() == "AP"
    with pytest.raises(ValueError, match="no line of the history has 'AP7'"):
        visualisation.plot_history(ax, HISTORY, ["AP7"])


def test_precision_over_recall(ax):
    curve = Curve(np.array([.1, .2]), np.array([1, .5]))
    visualisation.plot_precision_recall(ax, curve)
    assert ax.lines[0].get_xydata().tolist() == [[.1, 1], [.2, .5]]
    assert ax.get_legend() is None
    visualisation.plot_precision_recall(ax, {"cat": curve, "dog": curve})
    assert len(ax.get_legend().get_texts()) == 2


def test_classes_as_bars_the_best_on_top(ax):
    evaluation_report.plot_classes(ax, ["cat", "dog", "cow"], [.2, np.nan, .9], .55)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "dog", "cat", "cow"]
    assert [bar.get_width() for bar in ax.patches] == [0, .2, .9]
    assert [text.get_text() for text in ax.texts] == ["no objects", "0.20",
                                                      "0.90"]
    assert ax.lines[0].get_xdata()[0] == .55


def test_mistakes_as_bars(ax):
    evaluation_report.plot_mistakes(ax, {"class": 3, "missed": 0, "both": np.nan},
                      {"class": "red", "missed": "blue", "both": "green"})
    assert to_rgb(ax.patches[0].get_facecolor()) == to_rgb("red")
    assert [bar.get_width() for bar in ax.patches] == [3, 0, 0]
    assert [text.get_text() for text in ax.texts] == [" 3", " 0", " nan"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_sensitivity_names_the_layers_that_lose_most(ax):
    rows = [SimpleNamespace(layer=layer, ratio=ratio, AP=ap) for layer, aps in
            {"a": (.7, .7), "b": (.5, .0), "c": (.6, .4)}.items()
            for ratio, ap in zip((.25, .5), aps)]
    evaluation_report.plot_sensitivity(ax, rows, 0.75, named=2)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "b", "c"]
    assert len(ax.lines) == 3
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [.75, .5, 0])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0, .25, .5])


@pytest.mark.parametrize("size", [(123, 457), (480, 321), (30, 20)])
def test_a_saved_image_has_the_size_of_the_original(tmp_path, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found = Detections(np.array([0]), np.array([.9]), BOXES[:1], size,
                       classes=("cat",), picture=image)
    path = tmp_path / "found.png"
    assert drawing.save_detections(path, found) is None
    saved = cv2.imread(str(path))[..., ::-1]
    assert saved.shape == image.shape
    far = (slice(int(size[0] * .8), None), slice(int(size[1] * .6), None))
    np.testing.assert_array_equal(saved[far], image[far])
    assert (saved != image).any()


def test_boxes_in_pixels_are_refused_and_not_drawn_out_of_sight(tmp_path,
                                                                 picture):
    image = np.zeros((60, 90, 3), np.uint8)
    found = Detections(np.array([0]), np.array([.9], np.float32),
                       BOXES[:1].astype(np.float32), (60, 90), picture=image)
    boxes = found.pixels().boxes
    for draw in (
            lambda: drawing.save_detections(tmp_path / "a.png",
                                                  found.pixels()),
            lambda: visualisation.draw_boxes(picture, boxes),
            lambda: visualisation.draw_anchors(picture, boxes),
            lambda: visualisation.draw_matches(picture, boxes, BOXES, [0]),
            lambda: visualisation.draw_matches(picture, BOXES, boxes, [0])):
        with pytest.raises(ValueError, match="fractions.*look like pixels"):
            draw()


def test_drawing_leaves_the_settings_of_matplotlib_alone(picture):
    before = dict(matplotlib.rcParams)
    visualisation.draw_boxes(picture, BOXES, [0, 1, 2])
    visualisation.draw_anchors(picture, BOXES)
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_not_loaded_with_the_package():
    code = ("import sys, dsod_d2l, dsod_d2l.detection, dsod_d2l.evaluation\n"
            "sys.exit('matplotlib' in sys.modules or 'mxnet' in sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True,
                   cwd=Path(__file__).resolve().parent.parent)
