"""The cells that show the module: a tool writes them, and they run where they stand."""
import textwrap

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

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


def test_a_long_signature_is_broken_as_the_module_breaks_its_own(tmp_path):
    names = [f"argument_{number}" for number in range(9)]
    module = f"def f({', '.join(f'{name}: int' for name in names)}):\n    return 1\n"
    lines = written(tmp_path, module, "def f():\n    pass").splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 79 and lines[1].startswith("      argument")
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
