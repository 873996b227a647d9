"""Every number that means something: networks, training and detection.

Configurations are frozen: ``dataclasses.replace`` or ``get(name, field=...)``
makes a changed copy, and each copy is checked anew.
"""

from .networks import (AnchorSpec, DSODConfig, GluonDSODConfig, ModelConfig,
                       ToySSDConfig, from_dict, paired_sizes)
from .presets import PRESETS, get
from .running import DetectConfig, TrainConfig

__all__ = ["AnchorSpec", "DSODConfig", "DetectConfig", "GluonDSODConfig",
           "ModelConfig", "PRESETS", "ToySSDConfig", "TrainConfig",
           "from_dict", "get", "paired_sizes"]
