"""Write the names and shapes of torchvision's classifiers, which tests build files from.

    python tools/write_torchvision_names.py

torchvision is no dependency: the table in tests/ stands for it. Install it, with PyTorch, in a
folder of its own (pip install --target FOLDER torch torchvision), and put that into PYTHONPATH.
No number is drawn: the networks are built on PyTorch's device "meta".
"""
import json
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "tests/torchvision_names.json"
NETWORKS = ("vgg16", "vgg16_bn", "resnet50", "mobilenet_v2")


def table():
    """Return {network: {name of a tensor: its shape}}, in the order of ``state_dict``."""
    import torch
    import torchvision
    with torch.device("meta"):
        return {"torchvision": torchvision.__version__.partition("+")[0], **{
            name: {key: list(one.shape) for key, one in
                   getattr(torchvision.models, name)(weights=None).state_dict().items()}
            for name in NETWORKS}}


def main():
    lines = [f' "{name}": ' + (json.dumps(rows) if isinstance(rows, str) else "{\n" + ",\n".join(
        f'  "{key}": {json.dumps(shape)}' for key, shape in rows.items()) + "\n }")
        for name, rows in table().items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{TABLE} is written.")


if __name__ == "__main__":
    main()
