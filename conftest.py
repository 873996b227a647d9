"""Settings for pytest, so that a plain `pytest --nbval book/` passes from any folder.

The tests run in one process, or in several at a time, a file in each (`make test`).
"""
import copy
import functools
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CELL_TIMEOUT = 1800  # seconds: a cell that trains takes 160 on two cores, and a machine may be busy
SEVERAL = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) > 1

# The files that take longest, longest first. Several processes begin with them: one that is left
# for the end keeps a single core busy while the others wait.
LONGEST = ("test_browser.py", "08_training.ipynb", "test_models.py", "test_mutations.py",
           "test_benchmarks.py", "test_distributed.py", "17_pruning.ipynb", "15_ssd.ipynb",
           "16_refinedet.ipynb", "test_exporting.py", "test_cli.py", "test_book.py",
           "test_layouts_voc.py", "test_resuming.py", "test_hostile_files.py", "test_house.py",
           "13_your_data.ipynb", "14_grp_dsod.ipynb", "18_ship_it.ipynb", "08b_full.ipynb")

# Several processes share the cores; each with as many threads as there are cores is slower.
if SEVERAL:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The kernels of the notebooks find the module without its being installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_configure(config):
    """Give nbval its sanitiser, this environment's kernel and a time limit per cell."""
    config.addinivalue_line("markers", "slow: `make test` leaves it out, `make test-all` runs it")
    option = config.option
    if not (getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)):
        return
    if not option.nbval_sanitize_with:
        option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")
    if not option.nbval_kernel_name:
        option.nbval_current_env = True
    if option.nbval_cell_timeout == 2000:
        option.nbval_cell_timeout = CELL_TIMEOUT


def pytest_sessionstart(session):
    """Let nbval compare numbers that are marked with a tolerance as numbers."""
    try:
        from nbval.plugin import IPyNbCell
    except ImportError:
        return
    from tools.marked_numbers import agreed_outputs
    compare = IPyNbCell.compare_outputs
    if not hasattr(compare, "__wrapped__"):
        @functools.wraps(compare)
        def compare_numbers(cell, test, ref, skip_compare=None):
            test = agreed_outputs(copy.deepcopy(test), ref)
            return compare(cell, test, ref, skip_compare)
        IPyNbCell.compare_outputs = compare_numbers


def pytest_collection_modifyitems(items):
    """Put the files that take longest first, where several processes share them."""
    if SEVERAL:
        items.sort(key=lambda item: rank(item.path.name))


def rank(name):
    """Return the place of a file among the longest, and one behind them for all others."""
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)
