"""The picture of a network: sizes of boxes, marks, and room for the text."""

import cv2
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dsod_d2l import config, models
from dsod_d2l.workbench import drawing


def drawn(name, **changes):
    """Return the Axes and the summary of a drawn network."""
    net = models.build(name, **changes)
    summary = models.summarise(net)
    figure = Figure(figsize=(5, drawing.ROW_HEIGHT * len(summary.stages)),
                    dpi=75)                           # 375 pixels wide
    FigureCanvasAgg(figure)
    ax = figure.add_axes([0.01, 0, 0.98, 1])
    assert drawing.draw_network(ax, summary, net.config) is None
    return ax, summary


def test_boxes_have_the_maps_proportions():
    ax, summary = drawn("dsod_tiny", input_size=(65, 96))
    boxes = ax.patches
    assert len(boxes) == len(summary.stages) + 1
    assert boxes[0].get_width() == pytest.approx(drawing.WIDEST)
    for box, stage in zip(boxes[1:], summary.stages):
        part = (stage.shape[2] / 96) ** 0.5          # of the columns
        assert box.get_width() == pytest.approx(part * drawing.WIDEST)
    heights = [(stage.shape[0], box.get_height())
               for stage, box in zip(summary.stages, boxes[1:])]
    assert [h for _, h in sorted(heights)] == sorted(h for _, h in heights)


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_text_fits_at_the_width_of_a_telephone(name):
    ax, summary = drawn(name)
    room = ax.figure.bbox
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(box.x0 >= room.x0 and box.x1 <= room.x1 for box in boxes)
    rows = sorted(boxes, key=lambda box: box.y0)
    for k, one in enumerate(rows):
        for other in rows[k + 1:k + 4]:
            apart = one.x1 <= other.x0 or other.x1 <= one.x0
            shared = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert apart or shared < 0.1 * one.height
    marks = [text.get_text() for text in ax.texts
             if text.get_text().startswith("map ")
             and ":" in text.get_text()]
    counts = [int(mark.split(": ")[1].replace(",", "")) for mark in marks]
    assert sum(counts) == config.get(name).anchor_count


@pytest.mark.parametrize("name, joined", [
    ("dsod300", ["256 of 512 channels, 19 × 19"]),
    ("grp_dsod320", []), ("ssd300_vgg16", [])])
def test_a_map_of_two_stages_has_the_channels_of_both(name, joined):
    texts = [text.get_text() for text in drawn(name)[0].texts]
    assert [text for text in texts if " of " in text and "channels" in text] == joined


def test_a_picture_is_written(tmp_path):
    net = models.build("toy_ssd")
    path = tmp_path / "new" / "toy.png"
    drawing.save_network(path, models.summarise(net), net.config)
    height, width = cv2.imread(str(path)).shape[:2]
    assert width == 750 and height > 400
    with pytest.raises(ValueError, match="not supported"):
        drawing.save_network(tmp_path / "toy.xyz",
                                  models.summarise(net), net.config)
