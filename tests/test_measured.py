"""The measured parts of README.md and of two pages: figures by hand."""

import doctest
import json
import re
import shutil
from pathlib import Path

import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import models
from dsod_d2l.models.summary import multiply_adds
from tools import measured_clusters as clusters
from tools import write_measured

ROOT = Path(__file__).resolve().parents[1]


def of(value):
    return {"median": value, "least": 0.9 * value, "most": 1.1 * value}


def one(count, adds, batch=4):
    return {"batch": batch, "bytes_each_way": count, "multiply_adds_of_an_image": adds,
            "milliseconds": {"one": of(3000.), "half": of(1500.), "threads": of(1600.), "workers": of(2000.)},
            "exchange_milliseconds": {"contexts": of(50.), "workers": of(250.)},
            "gain_over_one": {"threads": of(1.875), "contexts": of(1.2), "workers": of(1.5)},
            "gain_expected_of_workers": of(3000 / 1750)}


SCALING = {"command": "python benchmarks/scaling.py", "rounds": 3, "machine": {"cores": 2, "cpu_level": "AVX-512"},
           "figures": {"dsod_tiny": one(2.6e6, 5e8, 16), "dsod300": one(59e6, 14e9)}}
HALF = {"milliseconds": {"float32": of(400.), "bfloat16": of(240.)}, "gain": of(400 / 240), "largest_difference": .0123}
PRECISION = {"command": "python benchmarks/precision.py", "rounds": 3, "machine": SCALING["machine"],
             "config": {"models": {"dsod300": 2}, "threads": 1},
             "figures": {"dsod300, training": HALF, "dsod300, inference": HALF}}
GLUONCV = {"command": "python benchmarks/ssd_gluoncv.py", "config": {"model": "ssd300_vgg16", "batch": 8, "threads": 2},
           "figures": {task: {"gain": of(gain)} for task, gain
                       in (("forward", 1.), ("step", 2.), ("targets", 4.))}}

RELATIVES = {"command": "python benchmarks/relatives.py --keep there", "minutes": {"pikachu": 20., "bccd": 15.},
             "figures": {"pikachu": {"a": {"steps": 1200, "pace": .5, "AP": .8, "AP50": 1.},
                                     "b": {"steps": 600, "pace": 1., "AP": .75, "AP50": .9}},
                         "bccd": {"a": {"steps": 900, "pace": .25, "AP": .5, "AP50": .85}},
                         "costs": {name: {"parameters": 1234567, "multiply-adds": 45e7, "milliseconds": of(20.)}
                                   for name in "ab"}}}


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
            if line.startswith("| `") or re.match(r"\| [A-Z]\d+ ", line)]


def test_the_examples():
    found = doctest.testmod(clusters)
    assert found.attempted >= 4 and not found.failed


def test_what_limits_two_workers():
    rows = cells(clusters.scaling(SCALING))
    assert rows[1] == ["`dsod300`", "4", "1.88 (1.69 to 2.06)", "1.20 (1.08 to 1.32)", "1.50 (1.35 to 1.65)"]
    assert rows[3] == ["`dsod300`", "59 MB", "3.0 s", "1.5 s", "250 ms", "1.71", "1.50"]
    assert rows[2][1] == "2.6 MB"


def test_the_plan_by_hand():
    """A V100: 6 x 14e9 x 8 operations at 5.2e12 a second; 944 MB inside, 103 MB out of a machine."""
    text = clusters.plan(SCALING)
    t4, v100, a100 = cells(text)
    busy, inside, out = 6 * 14e9 * 8 / (15.7e12 / 3), 16 * 59e6 / 24e9, 103.25e6 / 1.25e9
    assert (busy, inside, out) == pytest.approx((.1284, .0393, .0826), rel=1e-3)
    share = busy / (busy + inside + out)
    assert v100 == ["V100", "128 ms", f"{share:.0%}, {64 * share:.0f} times one", *v100[3:]]
    assert v100[2] == "51%, 33 times one"
    assert "*x* = 83 ms" in text and "*x* = 33 ms" in text and "*x* = 8 ms" in text
    assert "39 ms at 24 GB per second" in text
    shares = [[int(cell.partition("%")[0]) for cell in row[2:]] for row in (t4, v100, a100)]
    for row in shares:
        assert row == sorted(row)                        # a faster network
    for column in zip(*shares):
        assert list(column) == sorted(column)[::-1]      # a faster GPU


def test_the_exchange_by_counting():
    """Every machine is worker and server: whatever one of them sends in both halves of the exchange."""
    for n in (2, 3, 8):
        part = 60e6 / n                                  # what one server adds up
        gradients = sum(part for server in range(n) if server != 0)
        sums = sum(part for worker in range(n) if worker != 0)
        assert clusters.exchange(60e6, 1e9, n) == pytest.approx((gradients + sums) / 1e9)


def test_bfloat16():
    rows = cells(clusters.precision(PRECISION))
    assert rows[0] == ["`dsod300`, 2", "training", "400 ms", "240 ms", "1.67 (1.50 to 1.83)", "0.012"]


def test_the_network_of_the_plan():
    """What the result states of dsod300 for VOC is what is built."""
    net = models.build("dsod300", 20)
    assert clusters.size(4 * models.count_parameters(net)) == "59 MB"
    found = ROOT / "data" / "results" / "scaling.json"
    if found.exists():
        figures = json.loads(found.read_text())["figures"]["dsod300"]
        assert figures["bytes_each_way"] == 4 * models.count_parameters(net)
        assert figures["multiply_adds_of_an_image"] == multiply_adds(net)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("README.md", "book/clusters.md", "book/measured.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "data" / "results", tmp_path / "data" / "results")
    for name in ("scaling", "precision", "ssd_gluoncv"):
        (tmp_path / f"data/results/{name}.json").unlink(missing_ok=True)
    return tmp_path


def test_results_reach_the_pages_and_nothing_else_does(root):
    before = {path.name: text for path, text, wanted in write_measured.pages(root)}
    assert "`dsod300`, two threads" not in dict((path.name, wanted) for path, _, wanted
                                                in write_measured.pages(root))["measured.md"]
    for name, found in (("scaling", SCALING), ("precision", PRECISION), ("ssd_gluoncv", GLUONCV)):
        (root / f"data/results/{name}.json").write_text(json.dumps(found))
    after = {path.name: wanted for path, _, wanted in write_measured.pages(root)}
    page = after["clusters.md"]
    for block in (clusters.scaling(SCALING), clusters.plan(SCALING), clusters.precision(PRECISION)):
        assert page.count(block) == 1 and block not in before["clusters.md"]
    assert "1.88 × (1.69 to 2.06), 1.50 × (1.35 to 1.65) | `python benchmarks/scaling.py`" in after["measured.md"]
    assert "1.67 × (1.50 to 1.83), 1.67 × (1.50 to 1.83) | `python benchmarks/precision.py`" in after["measured.md"]
    assert ("1.00 × (0.90 to 1.10), 2.00 × (1.80 to 2.20), 4.00 × (3.60 to 4.40) | "
            "`python benchmarks/ssd_gluoncv.py`") in after["measured.md"]
    outside = re.compile(r"<!-- measured.*?-->.*?<!-- /measured -->", re.S)
    for name, text in after.items():
        assert outside.sub("", text) == outside.sub("", before[name])


def test_the_family_is_a_table_of_its_own(root):
    """The seconds of a run are its steps at its pace; who had no second task has no figures of it."""
    (root / "data/results/relatives.json").write_text(json.dumps(RELATIVES))
    readme = next(wanted for path, _, wanted in write_measured.pages(root) if path.name == "measured.md")
    a, b = cells(write_measured.family(RELATIVES))
    assert write_measured.family(RELATIVES) in readme
    assert a == ["`a`", "1,234,567", "450", "20.0 (18.0 to 22.0)", "1,200", "600", "0.800", "1.000",
                 "225", "0.500", "0.850"]
    assert b[4:] == ["600", "600", "0.750", "0.900", "", "", ""]
    assert "`python benchmarks/relatives.py`" in readme


def test_a_page_without_its_marks_is_an_error(root):
    page = root / "book/clusters.md"
    page.write_text(page.read_text().replace("<!-- measured plan -->", ""))
    (root / "data/results/scaling.json").write_text(json.dumps(SCALING))
    with pytest.raises(ValueError, match="lacks <!-- measured plan -->"):
        list(write_measured.pages(root))
