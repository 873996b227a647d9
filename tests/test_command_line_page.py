"""Every command that the pages show is one that the parser understands."""
import re
import shlex
from pathlib import Path

import nbformat
import pytest

from dsod_d2l import config
from dsod_d2l.workbench.cli import build_parser, COMMANDS

ROOT = Path(__file__).resolve().parents[1]
SHOWN = re.compile(r"(?:python|\.venv/bin/python) -m dsod_d2l ([^`\n>]+)")


def texts():
    """Yield (name, text) of all pages, and of the README."""
    for path in [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]:
        yield path.name, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cells = nbformat.read(path, 4).cells
        yield path.name, "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def shown(page=None):
    """Return (page, arguments) of every command that a page shows in full."""
    found = [(name, shlex.join(shlex.split(line, comments=True)))
             for name, text in texts() if page in (None, name)
             for line in SHOWN.findall(text.replace("\\\n", " "))]
    return sorted(set(found))


def complete(line):
    """Tell a command from its bare name in a sentence, such as `... detect`."""
    return "..." not in line and (" " in line or line == "info")


@pytest.mark.parametrize("page, line", [pair for pair in shown() if complete(pair[1])])
def test_a_command_of_a_page_is_understood(page, line, capsys):
    words = shlex.split(line)
    if "--help" in words:
        with pytest.raises(SystemExit) as stop:
            build_parser().parse_args(words)
        assert stop.value.code == 0 and "usage" in capsys.readouterr().out
    else:
        build_parser().parse_args(words)


def test_a_wrong_option_would_be_noticed(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(shlex.split("train --data rec:my.rec --batchsize 8"))
    assert "python -m dsod_d2l" in capsys.readouterr().err


def test_the_page_shows_a_full_line_of_every_command():
    lines = [shlex.split(line) for _, line in shown("command_line.md") if complete(line)]
    assert {words[0] for words in lines} >= set(COMMANDS)
    assert any("--resume" in words for words in lines)
    assert any("--json" in words for words in lines if words[0] == "evaluate")


def test_what_the_page_says_of_the_settings():
    text = (ROOT / "book/command_line.md").read_text(encoding="utf-8")
    assert config.TrainConfig.held_back == 0.1 and "A tenth" in text
    assert config.TrainConfig.keep_checkpoints == 2 and "the newest two" in text
    assert config.TrainConfig.checkpoint_every == 0 and "at the end only" in text
    parse = build_parser().parse_args
    assert parse(["detect", "a.jpg", "--weights", "w"]).score_threshold == 0.3
