"""Write the networks of the page "Try it": what onnxruntime-web runs in the reader's browser.

    python tools/make_try_it.py

Of each trained network the bare graph, from a normalised picture to class scores and
offsets, goes to book/assets/try; what the page needs to know besides goes to
networks.json: classes, mean, standard deviation, maps, anchors' shapes and variances.
The runtime itself, book/assets/ort, is three files of the npm package onnxruntime-web
(MIT licence), of which the largest is compressed.
"""
import json
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dsod_d2l
from dsod_d2l.models import summarise
from dsod_d2l.weights import load_model

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "book" / "assets" / "try"
NETWORKS = {"creatures": ("dsod_tiny_standin", "Creatures of this book"),
            "blood": ("dsod_tiny_bccd", "Blood cells under a microscope")}


def described(net, classes, title):
    """Return what the page has to know of a network besides its graph."""
    config = net.config
    if config.resize != "stretch":
        raise ValueError(f"the page stretches its pictures, {config.name} wants {config.resize}")
    shapes = [shape[1:] for shape in summarise(net).maps]
    return {"title": title, "classes": list(classes), "size": list(config.input_size),
            "mean": list(config.mean), "std": list(config.std),
            "variances": list(config.variances),
            "maps": [{"shape": list(shape), "sizes": list(spec.sizes), "ratios": list(spec.ratios)}
                     for shape, spec in zip(shapes, config.anchors)]}


def main():
    from dsod_d2l.workbench.exporting.onnx_graph import export_onnx

    FOLDER.mkdir(parents=True, exist_ok=True)
    facts = {}
    for name, (stem, title) in NETWORKS.items():
        net, metadata = load_model(ROOT / "data" / "weights" / f"{stem}.safetensors")
        export_onnx(FOLDER / f"{name}.onnx", net, metadata["classes"], None, 1, True,
                    "Apache-2.0")
        facts[name] = described(net, metadata["classes"], title)
    (FOLDER / "networks.json").write_text(json.dumps(facts, indent=1) + "\n")
    draw_stored()


def draw_stored():
    """Draw what the page says, for readers whose browser does not run it."""
    from matplotlib import pyplot as plt
    found = dsod_d2l.Detector(ROOT / "data/weights/dsod_tiny_standin.safetensors")(
        ROOT / "data/samples/three.jpg")
    ax = plt.figure(figsize=(5, 5)).add_axes([0, 0, 1, 1])
    found.draw(ax)
    ax.figure.savefig(ROOT / "book/assets/img/try_it.jpg", dpi=150, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
