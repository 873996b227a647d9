"""Every number that means something: networks, training and detection.

Configurations are frozen: ``dataclasses.replace`` or ``get(name, field=...)``
makes a changed copy, and each copy is checked anew.
"""

from .base import AnchorSpec, ModelConfig, paired_sizes, scale_sizes
from .classifiers import (BackboneConfig, MobileNetV1Config, MobileNetV2Config,
                          ResNet50Config, VGG16Config)
from .families import (DSODConfig, GluonDSODConfig, GRPConfig,
                       RefineDSODConfig, RefineSSDConfig, SSDConfig,
                       ToySSDConfig, from_dict)
from .presets import NAMED, PRESETS, ablation, get
from .schedules import DetectConfig, TrainConfig

__all__ = ["AnchorSpec", "BackboneConfig", "DSODConfig", "DetectConfig",
           "GRPConfig", "GluonDSODConfig", "MobileNetV1Config",
           "MobileNetV2Config", "ModelConfig", "NAMED", "PRESETS",
           "RefineDSODConfig", "RefineSSDConfig", "ResNet50Config",
           "SSDConfig", "ToySSDConfig", "TrainConfig", "VGG16Config",
           "ablation", "from_dict", "get", "paired_sizes", "scale_sizes"]
