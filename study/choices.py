"""The values that options of the commands take; the commands import them for `--help`, without anything slow."""

from typing import Literal

SpaceName = Literal["default", "wide"]
SamplerName = Literal["tpe", "random"]
PrunerName = Literal["median", "none"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
