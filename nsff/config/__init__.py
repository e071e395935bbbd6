"""Configuration: one pydantic model per stage, presets, and checks before any job starts."""

from nsff.config.base import StageConfig
from nsff.config.inputs import CanonicalConfig, EvaluationConfig, InputConfig
from nsff.config.model import FieldConfig, LossConfig, ModelConfig, SamplingConfig, TrainConfig
from nsff.config.outputs import (
    CrfConfig,
    DecomposeConfig,
    ExtractConfig,
    PageConfig,
    RenderConfig,
    ReportConfig,
    ScoreConfig,
)
from nsff.config.presets import PRESETS
from nsff.config.priors import DepthConfig, FeaturesConfig, FlowConfig, MotionConfig, SfmConfig
from nsff.config.project import ProjectConfig, SceneConfig, load_config, merge, reproduced, resolve_scene, schema

__all__ = [
    "PRESETS",
    "CanonicalConfig",
    "CrfConfig",
    "DecomposeConfig",
    "DepthConfig",
    "EvaluationConfig",
    "ExtractConfig",
    "FeaturesConfig",
    "FieldConfig",
    "FlowConfig",
    "InputConfig",
    "LossConfig",
    "ModelConfig",
    "MotionConfig",
    "PageConfig",
    "ProjectConfig",
    "RenderConfig",
    "ReportConfig",
    "SamplingConfig",
    "SceneConfig",
    "ScoreConfig",
    "SfmConfig",
    "StageConfig",
    "TrainConfig",
    "load_config",
    "merge",
    "reproduced",
    "resolve_scene",
    "schema",
]
