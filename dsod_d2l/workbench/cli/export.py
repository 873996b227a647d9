"""The command export: a network leaves MXNet, as an ONNX file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...config import DetectConfig
from ...config.base import require
from .options import add_fields, given_fields, pairs


class ExportOptions:
    """What is written, and where to.

    weights (FILE): the weights, which know their network and its classes
    out (FILE): the file to write, an .onnx
    raw: the bare network, without normalisation, decoding and suppression
    batch (COUNT): images that it takes at once; None: any number
    licence (TEXT): what the file says of the licence of its weights; None:
        what the weights say, else that it is not stated
    """

    weights: str
    out: str
    raw: bool = False
    batch: int | None = None
    licence: str | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options, and the fields of ``DetectConfig`` as defaults."""
    add_fields(parser, ExportOptions)
    add_fields(parser, DetectConfig, defaults=asdict(DetectConfig()))


def run(options: Namespace) -> tuple[Any, str]:
    """Write a network as an ONNX file, from picture to detections."""
    from ...weights import load_model
    from ..exporting.onnx_graph import export_onnx
    require(Path(options.out).suffix.lower() == ".onnx", "--out must end in "
            f".onnx, found {options.out}")
    net, metadata = load_model(options.weights)
    facts = export_onnx(
        options.out, net, metadata["classes"],
        DetectConfig(**given_fields(options, DetectConfig)), options.batch,
        options.raw, options.licence or metadata.get("licence")
        or "not stated")
    value = {"written": options.out, "bytes": Path(options.out).stat().st_size,
             **{name: fact for name, fact in facts.items() if name != "model"}}
    return value, pairs({**value, "bytes": f"{value['bytes']:,}",
                         "batch": facts["batch"] or "any"})
