"""A network as an ONNX file: from the picture to the detections, in one graph.

MXNet's own converter makes nodes of the network's layers. What stands around
it here, in NumPy, is written in ONNX's text form: normalisation before it,
behind it the decoding with its anchors, and the suppression.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
from collections.abc import Iterator, Sequence
from math import inf, log
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ...anchors import anchors_for
from ...boxes import corner_to_centre
from ...config import DetectConfig, ModelConfig
from ...config.base import require
from ...files import write_atomically
from ...refinement import EASY
from . import CHECKSUM, ONNX_FORMAT, OPSET, graph_digest, onnx_package
from .onnx_detector import threshold_inputs

IR_VERSION = 7       # the oldest form that has this opset
RAW_OUTPUTS = ("objectness", "moves", "class_scores", "offsets")

# From the picture to what the network takes.
BEFORE = """before (uint8[{batch}, {height}, {width}, 3] images)
=> (float[{batch}, 3, {height}, {width}] data) {{
    numbers = Cast <to = 1> (images)
    centred = Sub (numbers, mean)
    normal = Div (centred, std)
    data = Transpose <perm = [0, 3, 1, 2]> (normal)
}}"""

# Offsets say where to a box goes, and how large it becomes: targets.decode.
DECODE = """
    {to}_scaled = Mul ({said}, variances)
    {to}_plain = Add ({to}_scaled, means)
    {to}_shift, {to}_stretch = Split <axis = 2> ({to}_plain)
    {to}_way = Mul ({to}_shift, {at}_size)
    {to}_centre = Add ({at}_centre, {to}_way)
    {to}_factor = Exp ({to}_stretch)
    {to}_size = Mul ({at}_size, {to}_factor)
"""

# RefineDet's first step: anchors move, and the surely empty ones leave. See
# refinement.refine and refinement.easy_negatives.
MOVE = """
    move_shift, move_stretch = Split <axis = 2> (moves)
    move_cut = Clip (move_stretch, least_move, most_move)
    moved = Concat <axis = 2> (move_shift, move_cut)
""" + DECODE.format(to="refined", said="moved", at="anchor")
HARD = """
    said_empty, said_full = Split <axis = 2> (objectness)
    said_more = Sub (said_empty, said_full)
    easy = Greater (said_more, most_easy)
    hard = Not (easy)
    there = And (visible, hard)
"""

# See detection.detections_from_outputs. Below 0 is what is no candidate; of
# equal scores TopK takes the first, as ``best_first`` does.
AFTER = """
    half = Mul (box_size, two)
    low = Sub (box_centre, half)
    high = Add (box_centre, half)
    wide = Concat <axis = 2> (low, high)
    cut = Clip (wide, zero, one)
    x0, y0, x1, y1 = Split <axis = 2> (cut)
    has_width = Greater (x1, x0)
    has_height = Greater (y1, y0)
    visible = And (has_width, has_height)
    {hard}
    all_chances = Softmax <axis = 2> (class_scores)
    chances = Slice (all_chances, from_first, to_last, last_axis)
    likely = GreaterOrEqual (chances, score_threshold)
    good = And (likely, {there})
    chosen = Where (good, chances, minus_one)
    by_class = Transpose <perm = [0, 2, 1]> (chosen)
    shape = Shape (by_class)
    nothing = Expand (minus_one, shape)
    count = Min (candidates, anchor_count)
    best, best_rows = TopK <axis = 2> (by_class, count)
    entering = ScatterElements <axis = 2> (nothing, best_rows, best)
    kept = NonMaxSuppression (cut, entering, count, nms_threshold, minus_half)
    kept_scores = GatherND (entering, kept)
    left = ScatterND (nothing, kept, kept_scores)
    in_a_row = Reshape (left, each_image)
    most = Min (keep, place_count)
    top, places = TopK <axis = 1> (in_a_row, most)
    real = GreaterOrEqual (top, zero)
    classes = Div (places, anchor_count)
    labels = Where (real, classes, no_label)
    top_or_none = Where (real, top, zero)
    scores = Add (top_or_none, fault)
    rows = Mod (places, anchor_count)
    row_index = Unsqueeze (rows, last_axis)
    top_boxes = GatherND <batch_dims = 1> (cut, row_index)
    real_index = Unsqueeze (real, last_axis)
    boxes = Where (real_index, top_boxes, zero)
"""

# L2Normalization of MXNet, over the channels.
CHANNEL_NORM = """norm (float[B, C, H, W] {x}) => (float[B, C, H, W] {y}) {{
    {y}_squares = Mul ({x}, {x})
    {y}_sum = ReduceSum ({y}_squares, channels)
    {y}_more = Add ({y}_sum, epsilon)
    {y}_length = Sqrt ({y}_more)
    {y} = Div ({x}, {y}_length)
}}"""

# Not a number where an output is not finite: it may not pass as "nothing".
FAULT = """
    {name}_none = Mul ({name}, zero)
    {name}_sum = ReduceSum <keepdims = 0> ({name}_none, behind_first)
    {name}_fault = Unsqueeze ({name}_sum, second_axis)
"""


def export_onnx(path: str | Path, net: Any, classes: Sequence[str],
                detect_config: DetectConfig | None = None,
                batch: int | None = None, raw: bool = False,
                licence: str = "not stated") -> dict[str, Any]:
    """Write a network as an ONNX file that needs neither MXNet nor this.

    The graph takes ``images``, uint8 (B, height, width, 3), RGB and of the
    network's size, and the fields of ``DetectConfig`` by their names, which
    may be left out. It returns ``labels`` (B, D), -1 where there is nothing
    more, ``scores`` (B, D) and ``boxes`` (B, D, 4), fractions of the images.

    Args:
        path: the file to write.
        net: a ``models.Network`` with weights.
        classes: names of its foreground classes.
        detect_config: ``DetectConfig`` that holds where nothing else is
            said, default the authors' values.
        batch: number of images; None: any.
        raw: write the bare network, from normalised images ``data``, as
            ``detection.to_batch`` makes them, to what it returns.
        licence: of the weights, in words.

    Returns:
        What stands in the metadata of the file.

    Raises:
        ValueError: a package is missing, or the network has something that
            ONNX or this lacks.
    """
    onnx = onnx_package()
    config, settings = net.config, detect_config or DetectConfig()
    require(config.codec == "offsets", f"{config.name} says offsets in a way "
            f"of its own, {config.codec!r}, which no ONNX graph is known for")
    require(batch is None or batch >= 1, f"batch must be at least 1, found "
            f"{batch}")
    graph = network_graph(net, batch or "batch")
    if not raw:
        graph = _whole(onnx, graph, net, settings, batch or "batch")
    model = onnx.helper.make_model(
        graph, producer_name="dsod_d2l", ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    onnx.checker.check_model(model)
    facts = {"kind": "network" if raw else "detector",
             "classes": list(classes), "model": config.to_dict(),
             "input": list(config.input_size), "resize": config.resize,
             "detect": dataclasses.asdict(settings), "batch": batch,
             "opset": OPSET, "licence": licence}
    text = {key: json.dumps(value) for key, value in facts.items()}
    onnx.helper.set_model_props(model, {
        "format": ONNX_FORMAT, CHECKSUM: graph_digest(model), **text})
    write_atomically(path, model.SerializeToString(deterministic=True))
    return facts


def network_graph(net: Any, batch: int | str) -> Any:
    """Return a network alone as a graph of ONNX, by MXNet's converter.

    Args:
        net: a ``models.Network`` with weights.
        batch: number of images, or the name of a free one.

    Returns:
        ``onnx.GraphProto``: from ``data`` (B, 3, height, width) to what the
        network returns, called as in ``RAW_OUTPUTS``.
    """
    import mxnet as mx
    symbol = mx.sym.Group(list(net(mx.sym.var("data"))))
    numbers = {parameter.name: parameter.data(parameter.list_ctx()[0])
               for parameter in net.collect_params().values()}
    size = (3, *net.config.input_size)
    with _known_to_mxnet() as converter:
        graph = converter.create_onnx_graph_proto(
            symbol, numbers, [(1, *size)], [1], opset_version=OPSET,
            dynamic=True, dynamic_input_shapes=[(batch, *size)])
    made = [name.removesuffix("_output") for name in symbol.list_outputs()]
    _rename(graph, dict(zip(made, RAW_OUTPUTS[-len(made):])))
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    del graph.input[:], graph.value_info[:], graph.output[:]
    graph.input.extend(inputs)
    graph.output.extend(_raw_outputs(net.config, batch, len(made)))
    graph.name = "network"
    _add_epsilon(graph)
    return graph


def _add_epsilon(graph):
    """Normalise channels as MXNet does; its converter leaves out epsilon."""
    import onnx
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.extend([node] if node.op_type != "LpNormalization" else
                          onnx.parser.parse_graph(CHANNEL_NORM.format(
                              x=node.input[0], y=node.output[0])).node)
    if any(node.op_type == "LpNormalization" for node in nodes):
        graph.initializer.extend([
            onnx.numpy_helper.from_array(np.float32(1e-10), "epsilon"),
            onnx.numpy_helper.from_array(np.array([1]), "channels")])


@contextlib.contextmanager
def _known_to_mxnet() -> Iterator[Any]:
    """Give MXNet's converter, which looks for a part that onnx has lost."""
    onnx = onnx_package()
    kind = onnx.helper.np_dtype_to_tensor_dtype
    pairs = {np.dtype(name): int(kind(np.dtype(name))) for name in
             ("float32", "uint8", "int8", "int32", "int64", "bool",
              "float16", "float64")}
    mapping: Any = types.SimpleNamespace(
        NP_TYPE_TO_TENSOR_TYPE=pairs, TENSOR_TYPE_TO_NP_TYPE={
            number: one for one, number in pairs.items()})
    with mock.patch.object(onnx, "mapping", mapping, create=True):
        from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph
        try:
            yield MXNetGraph()
        except AttributeError as error:     # "No conversion function ..."
            raise ValueError("the network has a layer that MXNet cannot "
                             f"write as ONNX: {error}") from error


def _rename(graph, names):
    """Give values of a graph other names."""
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]


def _raw_outputs(config, batch, count):
    """Return the descriptions of what a network returns."""
    from onnx import helper
    widths = (2, 4, config.num_classes + 1, 4)
    return [helper.make_tensor_value_info(
        name, 1, (batch, config.anchor_count, width))
        for name, width in list(zip(RAW_OUTPUTS, widths))[-count:]]


def _whole(onnx, network, net, settings, batch):
    """Put what comes before and after around a network's graph."""
    config = net.config
    said = [one.name for one in network.output]
    before = onnx.parser.parse_graph(BEFORE.format(
        batch=batch, height=config.input_size[0], width=config.input_size[1]))
    after = onnx.parser.parse_graph(_after_text(said, batch))
    constants = {**_constants(config), **threshold_inputs(settings)}
    used = {name for node in (*before.node, *after.node)
            for name in node.input}
    whole = onnx.helper.make_graph(
        [*before.node, *network.node, *after.node], "detector",
        [*before.input, *after.input], after.output,
        [*network.initializer, *(onnx.numpy_helper.from_array(value, name)
                                 for name, value in constants.items()
                                 if name in used)])
    return whole


def _after_text(said, batch):
    """Return the text of the graph behind a network that says so much."""
    faults = ", ".join(f"{name}_fault" for name in said)
    steps = [*(FAULT.format(name=name) for name in said),
             f"fault = Sum ({faults})"]
    if "moves" in said:
        steps += [MOVE, DECODE.format(to="box", said="offsets", at="refined"),
                  AFTER.format(hard=HARD, there="there")]
    else:
        steps += [DECODE.format(to="box", said="offsets", at="anchor"),
                  AFTER.format(hard="", there="visible")]
    return (f"after (float[1] score_threshold, float[1] nms_threshold, "
            f"int64[1] candidates, int64[1] keep) => (int64[{batch}, D] "
            f"labels, float[{batch}, D] scores, float[{batch}, D, 4] boxes) "
            "{" + "\n".join(steps) + "}")


def _constants(config: ModelConfig) -> dict[str, np.ndarray]:
    """Return the numbers that the texts speak of, by their names."""
    anchors = corner_to_centre(anchors_for(config))
    count, classes = len(anchors), config.num_classes
    easy = getattr(config, "easy", None)
    numbers = {"mean": config.mean, "std": config.std,
               "variances": config.variances, "means": config.offset_means,
               "anchor_centre": anchors[:, :2], "anchor_size": anchors[:, 2:],
               "two": 0.5, "zero": 0, "one": 1, "minus_one": [-1],
               "minus_half": [-0.5], "least_move": -EASY, "most_move": EASY,
               "most_easy": inf if easy is None else log(easy / (1 - easy))}
    whole = {"from_first": [1], "to_last": [classes + 1], "last_axis": [2],
             "second_axis": [1], "behind_first": [1, 2], "no_label": -1,
             "anchor_count": [count], "place_count": [count * classes],
             "each_image": [0, count * classes]}
    return {**{name: np.array(value, np.float32)
               for name, value in numbers.items()},
            **{name: np.array(value, np.int64)
               for name, value in whole.items()}}
