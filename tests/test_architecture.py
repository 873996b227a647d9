"""Architectures as line drawings: what they say is what the built network has."""

import re
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mxnet.gluon import nn
from nbformat.v4 import new_code_cell, new_notebook, new_output

import dsod_d2l
from dsod_d2l import blocks, config, models
from dsod_d2l.models.grp_dsod import Gate
from dsod_d2l.workbench import architecture
from tools import notebook_rules


def parts(drawing, kind):
    """Return the elements of a kind in a drawing."""
    root = ElementTree.fromstring(drawing._repr_svg_())
    return [one for one in root.iter() if one.tag.rpartition("}")[2] == kind]


def words(drawing):
    return [one.text for one in parts(drawing, "text")]


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_a_networks_maps_predict_as_many_boxes_as_it_has_anchors(name):
    drawing = dsod_d2l.draw_architecture(models.build(name))
    marks = [one for one in words(drawing) if "anchors" in one]
    counts = [int(one.split(": ")[1].split()[0].replace(",", "")) for one in marks]
    assert sum(counts) == config.get(name).anchor_count
    assert sorted(int(one[4]) for one in marks) == list(range(1, len(counts) + 1))


def test_boxes_are_to_scale():
    net = models.build("dsod300")
    drawing = dsod_d2l.draw_architecture(net)
    boxes = [one for one in parts(drawing, "rect") if "rx" not in one.attrib]
    rows = [re.fullmatch(r"([\d,]+) channels, (\d+) × (\d+)", one) for one in words(drawing)]
    rows = [(int(one[1].replace(",", "")), int(one[3])) for one in rows if one]
    assert rows[0] == (3, 300) and len(rows) == len(boxes)
    assert rows[5] == (800, 38) and (512, 19) in rows and rows[-1] == (256, 2)
    for box, (channels, side) in zip(boxes[1:], rows[1:]):
        assert float(box.get("width")) == pytest.approx(112 * side / 75, abs=0.1)
        assert float(box.get("height")) == pytest.approx(46 * channels / 1568, abs=0.1)


def test_reads_are_those_of_the_graph():
    layer = architecture._operators(blocks.DenseLayer(128, 192, 48), (128, 30, 40))
    assert [row.name for row in layer] == ["input", "BN, ReLU, 1 × 1", "BN, ReLU, 3 × 3",
                                           "joined"]
    assert [row.reads for row in layer] == [(), (0,), (1,), (0, 2)]
    assert layer[-1].shape == (176, 30, 40)
    halves = architecture._operators(blocks.DensePrediction(512, 256), (512, 19, 25))
    assert halves[-1].reads == (2, 4) and halves[-1].shape == (512, 10, 13)
    gate = architecture._operators(Gate(32), (32, 6, 8))
    assert gate[-1].name == "sum" and 0 in gate[-1].reads
    assert any("sigmoid" in row.name for row in gate)


def test_a_dense_block_has_an_arc_for_each_pair():
    chain = blocks.chained(*[blocks.norm_relu_conv(16, 16, 3) for _ in range(6)])
    block = blocks.dense_block(16, 6, 8, 4)
    drawing = dsod_d2l.draw_architecture({"chain": chain, "dense": block}, view="arcs")
    assert "chain: 6 connections" in words(drawing)
    assert "dense: 21 connections" in words(drawing)
    assert len(parts(drawing, "path")) == 6 + 21


@pytest.mark.parametrize("name, reads", [
    ("grp_dsod320", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5,)]),
    ("refinedet320_vgg16", [(0, 5), (1, 6), (2, 7), (3,)])])
def test_a_pyramid_is_read_as_it_is_built(name, reads, monkeypatch):
    seen, found = [], architecture._reads
    monkeypatch.setattr(architecture, "_reads",
                        lambda *given: seen.append(found(*given)) or seen[0])
    drawing = dsod_d2l.draw_architecture(models.build(name), view="pyramid")
    assert seen[0][len(reads):] == reads
    assert len(parts(drawing, "path")) == 2 * sum(map(len, reads))


def test_a_kernel_looks_at_the_cells_of_its_gaps():
    drawing = dsod_d2l.draw_architecture(
        {"a": nn.Conv2D(1, 3, dilation=6), "b": nn.Conv2D(1, 7)}, view="kernels")
    filled = [one for one in parts(drawing, "rect") if one.get("fill") != "none"]
    assert len(filled) == 9 + 49 and len(parts(drawing, "rect")) == 13 ** 2 + 49
    assert words(drawing)[1:3] == ["3 × 3 weights, gaps of 6", "over 13 × 13 cells"]


def test_a_view_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="one of stages, pyramid, arcs, kernels, found 'map'"):
        dsod_d2l.draw_architecture(models.build("toy_ssd"), view="map")


@pytest.mark.parametrize("name", ["toy_ssd", "refinedet320_vgg16"])
def test_a_drawing_is_written(name, tmp_path):
    drawing = dsod_d2l.draw_architecture(models.build(name))
    path = tmp_path / "new" / "one.png"
    drawing.save(path)
    image = cv2.imread(str(path))
    assert image.shape[1] == 750 and image.shape[0] == int(drawing.height * 750 / 360)
    orange = (image == [0, 94, 213]).all(axis=2)        # the marks of maps, #D55E00 as BGR
    heights = np.flatnonzero(np.diff(orange[:, 379].astype(int)) == 1)
    assert len(heights) == len(models.build(name).config.anchors)
    drawing.save(tmp_path / "one.svg")
    assert (tmp_path / "one.svg").read_text() == "<!-- dsod_d2l -->" + drawing._repr_svg_()
    drawing.save(tmp_path / "one.pdf")
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match="ends in .png, .svg, .pdf, found .xyz"):
        drawing.save(tmp_path / "one.xyz")


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_text_fits_a_figure_too(name):
    figure = dsod_d2l.draw_architecture(models.build(name))._figure()
    FigureCanvasAgg(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    rows = sorted(boxes, key=lambda box: -box.y0)
    for one, other in zip(rows, rows[1:]):
        assert other.y1 - one.y0 < 0.3 * one.height


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_text_fits_and_a_drawing_is_the_same_each_time(name):
    net = models.build(name)
    drawing = dsod_d2l.draw_architecture(net)
    assert drawing._repr_svg_() == dsod_d2l.draw_architecture(net)._repr_svg_()
    for one in parts(drawing, "text"):          # letters are about half as wide as high
        wide = 0.52 * float(one.get("font-size")) * len(one.text)
        assert float(one.get("x")) + wide <= 360, one.text
        assert float(one.get("font-size")) >= 12
    svg = {"image/svg+xml": drawing._repr_svg_(), "text/plain": repr(drawing)}
    cell = new_code_cell("x", outputs=[new_output("execute_result", svg)])
    assert not list(notebook_rules.drawings_read_everywhere(new_notebook(cells=[cell])))
