"""Every number that means something: networks, training and detection.

Configurations are frozen: ``dataclasses.replace`` or ``get(name, field=...)``
makes a changed copy, and each copy is checked anew.
"""

from .ablations import ablation
from .backbones import (BackboneConfig, MobileNetV1Config, MobileNetV2Config,
                        ResNet50Config, VGG16Config)
from .base import AnchorSpec, ModelConfig, paired_sizes, scale_sizes
from .forms import NAMED, get
from .networks import (DSODConfig, GluonDSODConfig, GRPConfig, SSDConfig,
                       ToySSDConfig, from_dict)
from .presets import PRESETS
from .recipes import RECIPES, Recipe, get_recipe, steps_of
from .refine import RefineDSODConfig, RefineSSDConfig
from .running import DetectConfig, TrainConfig

__all__ = ["AnchorSpec", "BackboneConfig", "DSODConfig", "DetectConfig",
           "GRPConfig", "GluonDSODConfig", "MobileNetV1Config",
           "MobileNetV2Config", "ModelConfig", "NAMED", "PRESETS", "RECIPES",
           "Recipe", "RefineDSODConfig", "RefineSSDConfig", "ResNet50Config",
           "SSDConfig", "ToySSDConfig", "TrainConfig", "VGG16Config",
           "ablation", "from_dict", "get", "get_recipe", "paired_sizes",
           "scale_sizes", "steps_of"]
