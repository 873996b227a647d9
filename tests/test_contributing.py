"""What CONTRIBUTING says is true: its toy family and toy format run, its commands exist."""
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import dsod_d2l as dd
from dsod_d2l import config, models
from dsod_d2l.config import families
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.formats import addresses

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
REGISTERS = [(families, "FAMILIES"), (models, "NETWORKS"), (config, "NAMED"),
             (addresses, "ADDRESS_FORMS"), (addresses, "_FILES"), (addresses, "_OWN")]


@pytest.fixture(autouse=True)
def nothing_stays():
    """Forget afterwards what the page has registered."""
    held = [(getattr(room, name), dict(getattr(room, name))) for room, name in REGISTERS]
    yield
    for register, before in held:
        register.clear()
        register.update(before)


def run(title):
    """Run the Python of a section; return its names."""
    part = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    names = {"__name__": __name__}
    exec("\n".join(re.findall(r"```python\n(.*?)```", part, re.S)), names)
    return names


def squares(folder, count=4):
    """Write pictures of one white square each, and their lines of JSON."""
    rows = []
    for k in range(count):
        image = np.zeros((60, 80, 3), np.uint8)
        x, y = 10 * k, 5 * k
        image[y:y + 30, x:x + 40] = 255
        cv2.imwrite(str(folder / f"{k}.png"), image)
        rows.append({"image": f"{k}.png", "names": ["square"],
                     "boxes": [[x / 80, y / 60, (x + 40) / 80, (y + 30) / 60]]})
    (folder / "squares.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "squares.jsonl"


def test_a_family_whose_sides_are_wrong_is_told_so_at_once():
    names = run("Add a network family")

    class Wrong(names["ChainConfig"]):
        family = "wrong"

        def sides(self, side):
            return [side // 4, side // 8]

    preset = Wrong(name="wrong_tiny", anchors=names["CHAIN"].anchors, input_size=(96, 128))
    with pytest.raises(ValueError, match=r"wrong_tiny: the network makes maps of \[\(12, 16\), "
                                         r"\(6, 8\)\] cells, .*sides\(\)"):
        models.add_family(Wrong, names["Chain"], preset)
    assert "wrong" not in families.FAMILIES


def test_the_toy_family_is_one_like_the_others(tmp_path, capsys):
    names = run("Add a network family")
    net = names["net"]
    assert type(net).__name__ == "Chain" and net.config.num_classes == 2
    dd.save_weights(tmp_path / "w.safetensors", net, ["cat", "dog"])
    again = dd.load_weights(tmp_path / "w.safetensors")
    assert again.config == net.config and again.classes == ("cat", "dog")
    x = names["nd"].random.uniform(shape=(2, 3, 96, 128))
    for mine, theirs in zip(net(x), again(x)):
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())
    assert dd.summarise(net).multiply_adds > 1e6
    assert main(["info", "--model", "chain_tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["maps"] == [[32, 32], [16, 16]]


def test_the_toy_format_and_the_toy_family_train_together(tmp_path, capsys, monkeypatch):
    rows = [{"image": "a.png", "names": ["dog", "cat"], "boxes": [[0, 0, .5, .5], [.4, .2, 1, 1]]},
            {"image": "b.png", "names": ["cat"], "boxes": [[.1, 0, .5, .9]]}]
    (tmp_path / "pictures.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((48, 64, 3), 99, np.uint8))
    monkeypatch.chdir(tmp_path)
    run("Add a network family")
    run("Add a format")
    address = f"jsonl:{squares(tmp_path)}"
    assert main(["train", "--data", address, "--model", "chain_tiny", "--input", "64", "--out",
                 "run", "--steps", "150", "--batch-size", "4", "--held-back", "0", "--augment",
                 "none", "--workers", "0", "--learning-rate", "0.02"]) == 0
    assert dd.evaluate("run/model.safetensors", dd.open_dataset(address)).AP50 > 0.9
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    assert "jsonl:FILE" in capsys.readouterr().out
    assert dd.open_dataset(f"{address}?classes=x,square").classes == ("x", "square")
    with pytest.raises(ValueError, match="'outside=clip' .* is not one of bad, classes"):
        dd.open_dataset(f"{address}?outside=clip")


def test_the_page_names_what_is_there():
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    targets = set(phony.replace("\\\n", " ").split())
    assert set(re.findall(r"\bmake ([a-z-]+)", TEXT)) <= targets
    for path in re.findall(r"`((?:dsod_d2l|tools|tests|benchmarks|data)/[\w/.]*)`", TEXT):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"python (tools/\w+\.py)", TEXT):
        assert (ROOT / path).is_file(), path
