"""A network as an ONNX file: from the picture to the detections, in one graph.

MXNet's own converter makes nodes of the network's layers. What stands around
it here, in NumPy, is written as formulas, in a file beside this one: bringing
to size and normalisation before it, behind it the decoding with its anchors,
and the suppression.
"""

import ast
import dataclasses
import json
import re
import types
from collections.abc import Iterable, Sequence
from math import inf, log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np

from ...anchors import anchors_for
from ...boxes import corner_to_centre
from ...config import DetectConfig, ModelConfig
from ...config.base import one_of, require
from ...files import write_atomically
from ...refinement import EASY
from ...transforms import FILL
from . import CHECKSUM, ONNX_FORMAT, OPSET, graph_digest, require_package
from .onnx_detector import threshold_inputs

IR_VERSION = 7       # the oldest form that has this opset
RAW_OUTPUTS = ("objectness", "moves", "class_scores", "offsets")
PRECISIONS = ("float32", "float16", "int8")
IN_8_BITS = ["Conv", "Concat", "MaxPool", "Relu"]

# {name: formulas}, see ``nodes_of``.
FORMULAS = dict(re.findall(
    r"^\[(.+)\]\n((?:.+\n)+)",
    Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"), re.M))
SIGNS = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div",
         ast.Mod: "Mod", ast.BitAnd: "And", ast.Gt: "Greater",
         ast.Lt: "Less", ast.GtE: "GreaterOrEqual"}


def nodes_of(text: str) -> list[Any]:
    """Return the nodes of ONNX that compute what formulas say.

    Args:
        text: lines such as ``y = Max(a * b, 0.5)``: names of values, signs,
            operators of ONNX with their attributes as keywords, numbers and
            lists of them.

    >>> [node.op_type for node in nodes_of("y = Max(a * b, c)")]
    ['Mul', 'Max']
    """
    make_node, made = require_package("onnx", "export").helper.make_node, []

    def value(tree, names):
        if isinstance(tree, ast.Name):
            return tree.id
        more, parts = {}, []
        if isinstance(tree, ast.Call):
            kind, parts = tree.func.id, tree.args
            more = {one.arg: ast.literal_eval(one.value)
                    for one in tree.keywords}
        elif isinstance(tree, ast.BinOp):
            kind, parts = SIGNS[type(tree.op)], [tree.left, tree.right]
        elif isinstance(tree, ast.Compare):
            kind = SIGNS[type(tree.ops[0])]
            parts = [tree.left, *tree.comparators]
        else:
            kind, more = "Constant", {"value": _tensor(ast.literal_eval(tree))}
        # What has no name gets that of its line, and a number.
        given = [value(part, [f"{names[0]}_{len(made)}_{place}"])
                 for place, part in enumerate(parts)]
        made.append(make_node(kind, given, names, names[0], **more))
        return names[0]
    for row in ast.parse(text).body:
        target = row.targets[0]
        value(row.value, [one.id for one in getattr(target, "elts", [target])])
    return made


def _tensor(value, name=None):
    """Return numbers as a tensor of float32, or of int64."""
    value = np.asarray(value)
    return require_package("onnx", "export").numpy_helper.from_array(
        value.astype("f4" if value.dtype.kind == "f" else "i8"), name)


def export_onnx(path: str | Path, net: Any, classes: Sequence[str],
                detect_config: DetectConfig | None = None,
                batch: int | None = None, raw: bool = False,
                licence: str = "not stated", any_size: bool = False,
                precision: str = "float32",
                calibration: Iterable[np.ndarray] = ()) -> dict[str, Any]:
    """Write a network as an ONNX file that needs neither MXNet nor this.

    The graph takes ``images``, uint8 (B, height, width, 3), RGB, and the
    fields of ``DetectConfig`` by their names, which may be left out. It
    returns ``labels`` (B, D), -1 where there is nothing more, ``scores``
    (B, D) and ``boxes`` (B, D, 4), fractions of the images.

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
        any_size: images have any size, and the graph brings them to that of
            the network; else they come in that size.
        precision: of the network, one of ``PRECISIONS``; what stands around
            it remains float32.
        calibration: images (B, 3, height, width) as of ``to_batch``, from
            which int8 learns what range its numbers have.

    Returns:
        What stands in the metadata of the file.

    Raises:
        ValueError: a package is missing, or the network has something that
            ONNX or this lacks.
    """
    onnx = require_package("onnx", "export")
    config, settings = net.config, detect_config or DetectConfig()
    one_of("precision", precision, PRECISIONS)
    require(config.codec == "offsets", f"{config.name} says offsets in a way "
            f"of its own, {config.codec!r}, which no ONNX graph is known for")
    require(batch is None or batch >= 1, f"batch must be at least 1, found "
            f"{batch}")
    graph = network_graph(net, batch or "batch")
    if precision == "float16":
        graph = to_float16(_model(onnx, graph)).graph
    elif precision == "int8":
        graph = to_int8(_model(onnx, graph), calibration).graph
    model = _model(onnx, graph if raw else _whole(
        onnx, graph, config, settings, batch or "batch", any_size))
    onnx.checker.check_model(model)
    facts = {"kind": "network" if raw else "detector",
             "classes": list(classes), "model": config.to_dict(),
             "input": "any" if any_size else list(config.input_size),
             "resize": config.resize, "detect": dataclasses.asdict(settings),
             "batch": batch, "opset": OPSET, "precision": precision,
             "licence": licence}
    text = {key: json.dumps(value) for key, value in facts.items()}
    onnx.helper.set_model_props(model, {
        "format": ONNX_FORMAT, CHECKSUM: graph_digest(model), **text})
    write_atomically(path, model.SerializeToString(deterministic=True))
    return facts


def _model(onnx, graph):
    return onnx.helper.make_model(
        graph, producer_name="dsod_d2l", ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)])


def to_float16(model: Any) -> Any:
    """Return a network's model in float16, from and to float32."""
    from onnxruntime.transformers import float16, onnx_model

    # Sums of squares leave the range of float16: see channel_norm.
    small = float16.convert_float_to_float16(
        model, keep_io_types=True, op_block_list=[
            *float16.DEFAULT_OP_BLOCK_LIST, "ReduceSumSquare", "Sum", "Sqrt"])
    onnx_model.OnnxModel(small).topological_sort()
    return small


def to_int8(model: Any, calibration: Iterable[np.ndarray]) -> Any:
    """Return a network's model that convolves in 8 bits, by onnxruntime.

    Args:
        model: ``onnx.ModelProto``.
        calibration: see ``export_onnx``.
    """
    from onnxruntime import quantization
    onnx = require_package("onnx", "export")
    rows = ({"data": images} for images in calibration)
    with TemporaryDirectory() as folder:
        whole, plain, small = (str(Path(folder, f"{number}.onnx"))
                               for number in range(3))
        onnx.save(model, whole)
        # Normalisation goes into the convolutions, where it follows them.
        quantization.quant_pre_process(whole, plain, skip_symbolic_shape=True)
        quantization.quantize_static(
            plain, small,
            types.SimpleNamespace(get_next=lambda: next(rows, None)),
            per_channel=True, op_types_to_quantize=IN_8_BITS,
            activation_type=quantization.QuantType.QUInt8)
        return onnx.load(small)


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
    onnx, config = require_package("onnx", "export"), net.config
    symbol = mx.sym.Group(list(net(mx.sym.var("data"))))
    numbers = {parameter.name: parameter.data(parameter.list_ctx()[0])
               for parameter in net.collect_params().values()}
    size, value = (3, *config.input_size), onnx.helper.make_tensor_value_info
    with mock.patch.object(onnx, "mapping", _lost_mapping(onnx), create=True):
        from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph
        try:
            graph = MXNetGraph().create_onnx_graph_proto(
                symbol, numbers, [(1, *size)], [1], opset_version=OPSET,
                dynamic=True, dynamic_input_shapes=[(batch, *size)])
        except AttributeError as error:     # "No conversion function ..."
            raise ValueError("the network has a layer that MXNet cannot "
                             f"write as ONNX: {error}") from error
    nodes = []
    for node in graph.node:     # MXNet's converter leaves out an epsilon
        nodes += [node] if node.op_type != "LpNormalization" else nodes_of(
            FORMULAS["channel_norm"].format(x=node.input[0],
                                            y=node.output[0]))
    made = [name.removesuffix("_output") for name in symbol.list_outputs()]
    widths = dict(zip(RAW_OUTPUTS, (2, 4, config.num_classes + 1, 4)))
    names = RAW_OUTPUTS[-len(made):]
    for name, own in zip(names, made):
        nodes += nodes_of(f"{name} = Identity({own})")
    return onnx.helper.make_graph(
        nodes, "network", [value("data", 1, (batch, *size))],
        [value(name, 1, (batch, config.anchor_count, widths[name]))
         for name in names], graph.initializer)


def _lost_mapping(onnx):
    """Return what MXNet's converter looks for, and onnx has no more."""
    kind = onnx.helper.np_dtype_to_tensor_dtype
    pairs = {np.dtype(name): int(kind(np.dtype(name))) for name in
             ("float32", "uint8", "int8", "int32", "int64", "bool",
              "float16", "float64")}
    return types.SimpleNamespace(
        NP_TYPE_TO_TENSOR_TYPE=pairs, TENSOR_TYPE_TO_NP_TYPE={
            number: one for one, number in pairs.items()})


def _whole(onnx, network, config, settings, batch, any_size):
    """Put what comes before and after around a network's graph."""
    sized, picture, seen = "", "planes", "seen = Identity(cut)"
    sides, given = config.input_size, threshold_inputs(settings)
    if any_size:
        sides, picture = ("height", "width"), "sized"
        share = FORMULAS["share"]
        sized = FORMULAS["sized"].format(
            frame=FORMULAS[config.resize],
            rows=share.format(at="row", axis=0, shape=[1, -1]),
            columns=share.format(at="column", axis=1, shape=[-1, 1]))
        seen = FORMULAS["undo"] if config.resize == "letter-box" else seen
    before = nodes_of(FORMULAS["before"].format(sized=sized, picture=picture))
    after = nodes_of(_after_text([one.name for one in network.output], seen))
    used = {name for node in (*before, *after) for name in node.input}
    constants = {**_constants(config), **given}
    value = onnx.helper.make_tensor_value_info
    return onnx.helper.make_graph(
        [*before, *network.node, *after], "detector",
        [value("images", 2, (batch, *sides, 3)), *(
            value(name, onnx.helper.np_dtype_to_tensor_dtype(one.dtype), (1,))
            for name, one in given.items())],
        [value("labels", 7, (batch, "D")), value("scores", 1, (batch, "D")),
         value("boxes", 1, (batch, "D", 4))],
        [*network.initializer, *(
            _tensor(one, name) for name, one in constants.items()
            if name in used)])


def _after_text(said, seen):
    """Return the formulas behind a network that says so much."""
    steps = [FORMULAS["fault"].format(name=name) for name in said]
    faults = ", ".join(f"{name}_fault" for name in said)
    moved, there = "anchor", "there = Identity(visible)"
    decode = FORMULAS["decode"].format
    if "moves" in said:
        moved, there = "refined", FORMULAS["hard"]
        steps += [FORMULAS["move"],
                  decode(to="refined", said="moved", at="anchor")]
    return "\n".join([*steps, f"fault = Sum({faults})",
                      decode(to="box", said="offsets", at=moved),
                      FORMULAS["after"].format(seen=seen, there=there)])


def _constants(config: ModelConfig) -> dict[str, Any]:
    """Return the numbers that the formulas speak of, by their names."""
    anchors = corner_to_centre(anchors_for(config))
    count, classes = len(anchors), config.num_classes
    easy, (rows, columns) = getattr(config, "easy", None), config.input_size
    return {"mean": np.reshape(config.mean, (3, 1, 1)) / 1.0,
            "std": np.reshape(config.std, (3, 1, 1)) / 1.0,
            "fill": np.reshape(FILL, (3, 1, 1)) / 1.0,
            "outer": np.array([rows, columns], float),
            "row_odds": np.arange(rows)[:, None] * 2.0 + 1,
            "column_odds": np.arange(columns) * 2.0 + 1,
            "variances": config.variances, "means": config.offset_means,
            "anchor_centre": anchors[:, :2], "anchor_size": anchors[:, 2:],
            "least_move": -EASY, "most_move": EASY,
            "most_easy": inf if easy is None else log(easy / (1 - easy)),
            "class_count": [classes + 1], "no_label": -1,
            "anchor_count": [count], "place_count": [count * classes],
            "each_image": [0, count * classes]}
