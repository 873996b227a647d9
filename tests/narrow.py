"""Presets made narrow, so that what is tested of their shape runs quickly."""
import dataclasses

from dsod_d2l import config

DENSE = dict(stem=4, bottleneck=8, growth=4, second=7)


def narrow_backbone(backbone):
    """Return a backbone's configuration with a few channels per layer."""
    widths = {"vgg16": dict(widths=(4,) * 15),
              "resnet50": dict(stem=4, inner=((3, 4),) * 16, outputs=(5,) * 4),
              "mobilenet_v1": dict(width=0.07),
              "mobilenet_v2": dict(width=0.07, top=8)}
    return dataclasses.replace(backbone, **widths[backbone.name])


def narrow(name):
    """Return changes that make a preset narrow and leave its geometry as it is."""
    preset = config.get(name)
    if preset.family == "toy_ssd":
        return dict(body=(3, 4, 5), extra=6)
    if preset.family in ("ssd", "refinedet"):
        return dict(backbone=narrow_backbone(preset.backbone),
                    extras=tuple((4, 6, form) for *_, form in preset.extras))
    return DENSE
