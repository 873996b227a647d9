"""The cells that show the module: a tool writes them, and they run where they stand."""
import ast
import importlib
import textwrap

import mxnet as mx
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import small_runs
from dsod_d2l import boxes, config, models, training, weights
from dsod_d2l.anchors import anchors_for
from dsod_d2l.datasets import example
from dsod_d2l.workbench.pruning import plan_pruning
from tools import notebook_rules as rules
from tools import run_notebooks, write_library_cells

NOTEBOOKS = run_notebooks.notebooks()


# ---- the tool that writes them -----------------------------------------------------

def written(tmp_path, module, cell, *names):
    """Return what the tool makes of a cell, given a module `m` with this source."""
    (tmp_path / "dsod_d2l").mkdir(exist_ok=True)
    (tmp_path / "dsod_d2l" / "m.py").write_text(textwrap.dedent(module))
    names = [f"m.{name}" for name in names or ("f",)]
    return write_library_cells.written(textwrap.dedent(cell).strip("\n"), names, tmp_path)


MODULE = '''
def f(a, b=1):
    """Do it.

    Args:
        a: a number.
    """
    # why
    return a + b
'''


def test_every_library_cell_is_as_the_tool_writes_it():
    for path in NOTEBOOKS:
        assert not write_library_cells.write(path, check=True)


def test_a_cell_that_differs_takes_body_comment_and_first_line(tmp_path):
    cell = 'import x\n\ndef f(a):\n    """Old words."""\n    return a\n\nprint(f(1))'
    assert written(tmp_path, MODULE, cell) == (
        'import x\n\ndef f(a, b=1):\n    """Do it."""\n    # why\n    return a + b\n\nprint(f(1))')


@pytest.mark.parametrize("line", ['    """My own short words."""\n', ""])
def test_the_docstring_of_a_cell_stays_where_the_code_is_the_same(tmp_path, line):
    cell = f"def f(a, b=1):\n{line}    # old\n    return a + b"
    assert written(tmp_path, MODULE, cell) == cell.replace("# old", "# why")


def test_blank_lines_alone_are_no_difference(tmp_path):
    cell = 'def f(a, b=1):\n\n    # why\n    return a + b'
    assert written(tmp_path, MODULE, cell) == cell


@pytest.mark.parametrize("signature, bare", [
    ("f(a: int, b: int = 1) -> int:", "f(a, b=1)"),
    ("f(\n    a: dict[str, int], /, b=(1, 2), *rest: int, c: str = 'x: y', **more\n):",
     "f(a, /, b=(1, 2), *rest, c='x: y', **more)"),
    ("f(*, a: int, b: 'f'=None):  # here", "f(*, a, b=None)"),
    ("f() -> None:", "f()"),
])
def test_annotations_are_left_out(tmp_path, signature, bare):
    module = f'def {signature}\n    """Do."""\n    return 1\n'
    new = written(tmp_path, module, 'def f():\n    """Did."""')
    assert new == f'def {bare}:\n    """Do."""\n    return 1'


def test_a_long_signature_is_broken_between_two_arguments(tmp_path):
    names = [f"number_{number}: tuple = (1, 2, 3, 4, 5)" for number in range(9)]
    module = f"def f({', '.join(names)}):\n    return 1\n"
    lines = written(tmp_path, module, "def f():\n    pass").splitlines()
    assert len(lines) == 6 and max(map(len, lines)) <= 79 and lines[1].startswith("      number")
    assert [line[-3:] for line in lines[:5]] == ["5),"] * 4 + [")):"]
    assert rules.definition("\n".join(lines), "f") == rules.definition(module, "f")


CLASS = '''
@wraps
class C(Base):
    """Be a thing.

    Long.
    """

    x: int = 1

    def one(self) -> int:
        """Return one."""
        return 1

    def two(self):
        """Return two."""
        return 2


X, Y = 1, 2
LIMIT = 3    # of all
'''


def test_a_class_keeps_its_fields_and_each_method_its_own_docstring(tmp_path):
    cell = '''
        class C(Base):
            """Mine."""
            x: int = 1

            def one(self):
                """Say one."""
                return 1

            def two(self):
                """Say two."""
                return 3
        '''
    assert written(tmp_path, CLASS, cell, "C") == textwrap.dedent('''
        @wraps
        class C(Base):
            """Be a thing."""
            x: int = 1

            def one(self):
                """Say one."""
                return 1

            def two(self):
                """Return two."""
                return 2
        ''').strip("\n")


def test_a_cell_may_hold_several_definitions(tmp_path):
    module = MODULE + "\n\nLIMIT = 3    # of all\n"
    cell = "LIMIT = 2\n\ndef f():\n    pass"
    assert written(tmp_path, module, cell, "LIMIT", "f").splitlines()[:3] == [
        "LIMIT = 3    # of all", "", "def f(a, b=1):"]


@pytest.mark.parametrize("name, cell, said", [("g", "def g():\n    pass", "the library"),
                                              ("f", "x = 1", "the cell")])
def test_what_is_not_defined_is_said(tmp_path, name, cell, said):
    with pytest.raises(LookupError, match=f"{said} does not define m.{name}"):
        written(tmp_path, MODULE, cell, name)


def test_checking_writes_nothing_and_writing_ends_the_difference(tmp_path, capsys):
    path = tmp_path / "x.ipynb"
    cell = new_code_cell("def area(boxes):\n    return 1", metadata={"tags": ["library:boxes.area"]})
    nbformat.write(new_notebook(cells=[cell]), path)
    before = path.read_bytes()
    assert write_library_cells.write(path, check=True) == ["x.ipynb: cell 1 differs"]
    assert path.read_bytes() == before
    assert write_library_cells.write(path, check=False) == []
    assert write_library_cells.write(path, check=True) == []
    assert not list(rules.library_cells_are_the_library(nbformat.read(path, 4)))
    assert "cell 1 is written" in capsys.readouterr().out


# ---- each definition is called once, where it stands -------------------------------------

BOXES = np.array([[.1, .2, .5, .6], [.3, .1, .9, .95]])
ANCHORS = anchors_for(config.get("toy_ssd"))
RULES = config.DetectConfig(score_threshold=.2)
SPEC = config.AnchorSpec(sizes=(.3, .4), ratios=(1, 2))
WIDE = example("wide")
WEIGHTS = run_notebooks.ROOT / "data" / "weights" / "dsod_tiny_standin.safetensors"
SCORES = np.random.default_rng(0).normal(0, 2, (len(ANCHORS), 2)).astype(np.float32)
MOVES = np.random.default_rng(1).normal(0, 1, (len(ANCHORS), 4)).astype(np.float32)


def rng():
    return np.random.default_rng(3)


def answers(block, *shapes):
    """Return what a block with seeded numbers makes of arrays of these shapes."""
    mx.random.seed(1)
    block.initialize(force_reinit=True)
    out = block(*(mx.nd.random.normal(shape=shape) for shape in shapes))
    return [one.asnumpy() for one in (out if isinstance(out, (list, tuple)) else [out])]


def in_a_row(*layers):
    row = mx.gluon.nn.HybridSequential()
    row.add(*layers)
    return row


def small_net(name="dsod_tiny"):
    net = models.build(name, input_size=(96, 96))
    mx.random.seed(1)
    models.initialise(net)
    return net


def losses_of(function, *more):
    """Call a loss on scores and classes of one image, two of them positive."""
    classes = mx.nd.array([[0, 1, 0, 1, 0, 0]])
    given = {"scores": mx.nd.array(SCORES[None, :6]), "classes": classes, "positive": classes > 0,
             "offsets": mx.nd.array(MOVES[None, :6]), "wanted": mx.nd.zeros((1, 6, 4)),
             "nats": mx.nd.array(abs(SCORES[None, :6, 0]))}
    return function(mx.nd, *(given[name] for name in more)).asnumpy()


def detection_losses(block):
    """Return both losses of one image."""
    given = SCORES[None, :6], MOVES[None, :6], [[0, 1, 0, 1, 0, -1]], np.zeros((1, 6, 4))
    return [one.asnumpy() for one in block()(*map(mx.nd.array, given))]


def graph_losses(block):
    """Return the losses of a batch of one grey picture, on which nothing is to be found."""
    net = small_net()
    count = net.config.anchor_count
    batch = (mx.nd.full((1, 96, 96, 3), 90, dtype="uint8"), mx.nd.zeros((1, count), dtype="int32"),
             mx.nd.zeros((1, count, 4)))
    return [one.asnumpy() for one in block(net, config.TrainConfig(steps=9))(*batch)]


def pixel_outputs(block):
    """Return what a network says of a grey picture."""
    return [one.asnumpy() for one in block(small_net())(
        mx.nd.full((1, 96, 96, 3), 90, dtype="uint8"))]


def two_steps(function):
    """Return the losses of two steps, of the loop or one by one."""
    plan = small_runs.settings(steps=2, held_back=0, average=0)
    mx.random.seed(0)
    net = small_runs.network()
    if function.__name__ == "fit":
        return [row["loss"] for row in function(net, small_runs.Squares(), plan).history]
    run = training.Run(net, small_runs.Squares(), plan)
    run.begin()
    with run.batches() as batches:
        return [function(run, batches)["loss"] for _ in range(2)]


def pruned(function):
    """Return the numbers of a network that a plan is carried out on."""
    net = small_net()
    return weights.parameter_arrays(function(net, plan_pruning(net, .2)))


def refilled(function):
    net = small_net()
    return weights.parameter_arrays(function(net, net.config, weights.parameter_arrays(net)))


def started(function):
    """Return which names were loaded, drawn, left and so on, and what a loaded one holds."""
    net = models.build("dsod_tiny", num_classes=2)
    told = function(net, WEIGHTS, ("yellow", "blue"))
    return [sorted(names) for names in told], weights.parameter_arrays(net)[min(told.loaded)]


def drawn(initialiser):
    array = mx.nd.zeros((1, 1, 4, 4))
    initialiser()._init_weight("weight", array)
    return array.asnumpy()


# {name: a call of it}. A name is that of one definition in the whole house.
TRIALS = {
    "area": lambda f: f(BOXES), "iou": lambda f: f(BOXES, BOXES[::-1]),
    "corner_to_centre": lambda f: f(BOXES), "centre_to_corner": lambda f: f(BOXES),
    "mirror_boxes": lambda f: f(BOXES),
    "cell_shapes": lambda f: f(SPEC), "map_anchors": lambda f: f((2, 3), SPEC),
    "all_anchors": lambda f: f([(2, 3), (1, 2)], [SPEC, SPEC], (64, 96)),
    "Predictor": lambda f: answers(f(4, 2, 3), (1, 4, 5, 6)),
    "conv_norm_relu": lambda f: answers(f(4, 6), (1, 4, 5, 6)),
    "norm_relu_conv": lambda f: answers(f(4, 6), (1, 4, 5, 6)),
    "DownSample": lambda f: answers(f(4, 6), (1, 4, 5, 7)),
    "DenseLayer": lambda f: answers(f(4, 6, 8), (1, 4, 5, 6)),
    "dense_block": lambda f: answers(f(4, 2, 6, 8), (1, 4, 5, 6)),
    "join": lambda f: [f(mx.nd, [mx.nd.ones((1, 4, 2, 3)), mx.nd.zeros((1, 2, 2, 3))], aligned).asnumpy()
                       for aligned in (False, True)],
    "halving_pool": lambda f: answers(f(), (1, 4, 5, 6)),
    "Transition": lambda f: answers(f(4, 6), (1, 4, 5, 7)),
    "Stem": lambda f: answers(f(8), (1, 3, 20, 24)),
    "PooledReuse": lambda f: answers(f(4, 6), (1, 4, 5, 7)),
    "DensePrediction": lambda f: answers(f(4, 6), (1, 4, 5, 7)),
    "ChannelNorm": lambda f: answers(f(4), (1, 4, 5, 7)),
    "plain_stem": lambda f: answers(f(4), (1, 3, 20, 24)),
    "plain_prediction": lambda f: answers(f(4, 6), (1, 4, 5, 7)),
    "Sample": lambda f: f(*WIDE), "resize": lambda f: f(WIDE, (30, 50), "area"),
    "mirror": lambda f: f(WIDE), "crop": lambda f: f(WIDE, (-9, 20, 300, 170), 64),
    "boxes_in_window": lambda f: f(WIDE, np.array([-9, 20, 300, 170])),
    "draw_window": lambda f: f(WIDE, rng()), "light": lambda f: f(WIDE, 64, rng()),
    "match": lambda f: f(boxes.iou(ANCHORS, BOXES)), "encode": lambda f: f(BOXES, BOXES[::-1]),
    "decode": lambda f: f(MOVES, ANCHORS), "label_anchors": lambda f: f(ANCHORS, BOXES, np.array([0, 1])),
    "cross_entropy": lambda f: losses_of(f, "scores", "classes"),
    "focal_loss": lambda f: losses_of(f, "scores", "classes"),
    "hard_negatives": lambda f: losses_of(f, "nats", "classes", "positive"),
    "smooth_l1": lambda f: losses_of(f, "offsets", "wanted", "positive"),
    "DetectionLoss": detection_losses, "TrainingGraph": graph_losses,
    "PixelGraph": pixel_outputs, "one_step": two_steps, "fit": two_steps,
    "learning_rate": lambda f: [f(step, config.TrainConfig(steps=9, warmup=2)) for step in range(9)],
    "softmax": lambda f: f(SCORES), "best_first": lambda f: f(SCORES[:, 0], 5),
    "nms": lambda f: f(ANCHORS[:2000], SCORES[:2000, 0]),
    "check_outputs": lambda f: f(SCORES, MOVES, ANCHORS),
    "class_rows": lambda f: f(ANCHORS[:2000], SCORES[:2000, 1], RULES),
    "detections_from_outputs": lambda f: [*f(SCORES, MOVES, ANCHORS, RULES)],
    "in_pixels": lambda f: f(BOXES, (100, 200)),
    "match_voc": lambda f: f(boxes.iou(BOXES, BOXES), np.array([False, True])),
    "match_coco": lambda f: f(boxes.iou(BOXES, BOXES), np.array([False, True])),
    "Curve": lambda f: f(np.ones(2), np.ones(2)),
    "precision_recall": lambda f: f(SCORES[:9, 0], SCORES[:9, 1] > 0, 9),
    "average_precision": lambda f: [f(np.array([.5, 1]), np.array([1, .5]), style)
                                    for style in ("coco", "voc07")],
    "count_parameters": lambda f: f(small_net()), "multiply_adds": lambda f: f(small_net()),
    "half": lambda f: [f(side) for side in (300, 75)], "ablation": lambda f: f(),
    "even_steps": lambda f: f(config.get("dsod300")),
    "with_steps": lambda f: f(config.get("dsod300"), [.1] * 6),
    "change_brightness": lambda f: f(WIDE.image, 20), "change_contrast": lambda f: f(WIDE.image, 1.2),
    "change_hsv": lambda f: f(WIDE.image, 1.2, 30), "shuffle_channels": lambda f: f(WIDE.image, (2, 0, 1)),
    "distort": lambda f: f(WIDE, rng(), probability=1, shuffle=1),
    "draw_expansion": lambda f: f((100, 200), rng()), "draw_patches": lambda f: f(rng(), 4),
    "meets": lambda f: f(BOXES, BOXES, .5), "collect_patches": lambda f: f(BOXES, rng()),
    "draw_patch": lambda f: f(BOXES, rng()), "patch_window": lambda f: f((.25, 0, .5, 1), (100, 200)),
    "ssd_window": lambda f: [f(WIDE, np.random.default_rng(seed)) for seed in range(6)],
    "ssd": lambda f: [f(WIDE, 64, np.random.default_rng(seed)) for seed in range(40)],
    "letter_box_frame": lambda f: f((100, 200), 300), "letter_box": lambda f: f(WIDE, (64, 96)),
    "undo_letter_box": lambda f: f(BOXES, (100, 200), 300),
    "box_fault": lambda f: [f(box, 1, 640, 480) for box in (
        (504, 337, 504, 337), (1, 1, 640, 480), (0, 1, 640, 480), (.1, .2, .3, .4), (1, 1, np.nan, 4))],
    "best_overlaps": lambda f: f(ANCHORS, BOXES), "recall": lambda f: f([.4, .6]),
    "split_path": lambda f: [f("a/b:val"), f("a/b")], "start_from": started,
    "norm_relu": lambda f: answers(in_a_row(*f(4)), (1, 4, 5, 7)), "unit": lambda f: answers(f(4, 6), (1, 4, 5, 7)),
    "OneInFour": drawn,
    "FrozenUpSampling": lambda f: answers(f(4, 6, (2, 2)), (1, 4, 3, 4), (1, 6, 6, 8)),
    "UpSampling": lambda f: answers(f(4, 6), (1, 4, 3, 4), (1, 6, 6, 8)),
    "Gate": lambda f: answers(f(16), (1, 16, 5, 7)),
    "conv_unit": lambda f: [answers(f(4, 6, act=act), (1, 4, 5, 7)) for act in ("relu", "relu6")],
    "depthwise_unit": lambda f: answers(f(4), (1, 4, 5, 7)),
    "decimate": lambda f: f(np.arange(4 * 3 * 7 * 7).reshape(4, 3, 7, 7), (2, 3, 3, 3)),
    "scale_sizes": lambda f: f(6), "refine": lambda f: f(ANCHORS, MOVES),
    "easy_negatives": lambda f: [f(3 * SCORES), f(SCORES, None)],
    "second_targets": lambda f: f(ANCHORS, SCORES, MOVES, (BOXES, np.array([0, 1]))),
    "finish_unit": lambda f: answers(f(in_a_row(), 4, True, True), (1, 4, 5, 7)),
    "doubling_unit": lambda f: answers(f(4, True), (1, 4, 5, 7)),
    "transfer_unit": lambda f: answers(f(4, 6, True, True), (1, 4, 5, 7)),
    "TransferBlock": lambda f: answers(f(4, 6), (1, 4, 5, 7), (1, 6, 3, 4)),
    "masked": pruned, "cut": pruned, "with_tensors": refilled,
    "round_removed": lambda f: [f(64, 12, 16), f(16, 15, 16)],
}


def definitions_of(nb):
    """Run the imports of a notebook and its library cells; yield (name, what the cell defines).

    A name is given out as soon as its cell has run: what comes later is not there yet.
    """
    space = {"__name__": "chapter"}
    for number, cell in rules.code_cells(nb):
        names, body = rules.library_names(cell), rules.parse(cell.source).body
        kept = [node for node in body if names or isinstance(node, rules.IMPORTS)]
        exec(compile(ast.Module(kept, []), f"cell {number}", "exec"), space)
        for name in names:
            yield name, space[name.rpartition(".")[2]]


def of_the_module(name):
    """Return what the module defines under a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(f"dsod_d2l.{module}"), last)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_cell_defines_does_what_the_module_does(path):
    for name, shown in definitions_of(nbformat.read(path, 4)):
        if callable(shown):
            trial, there = TRIALS[name.rpartition(".")[2]], of_the_module(name)
            assert shown is not there
            np.testing.assert_equal(trial(shown), trial(there), err_msg=name)
        else:
            np.testing.assert_equal(shown, of_the_module(name))


def test_a_definition_that_needs_what_comes_later_fails():
    cells = [new_code_cell("def area(boxes):\n    return helper(boxes)",
                           metadata={"tags": ["library:boxes.area"]}),
             new_code_cell("from dsod_d2l.boxes import area as helper")]
    found = definitions_of(new_notebook(cells=cells))
    with pytest.raises(NameError, match="helper"):
        next(found)[1](BOXES)
