"""The values that options of the commands take; the commands import them for `--help`, without anything slow."""

from typing import Literal

SpaceName = Literal["default", "wide"]
SamplerName = Literal["tpe", "random"]
PrunerName = Literal["percentile", "none"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def stored_pruner(name: str) -> str:
    """The present name of a study's pruner; the pruning rule, in its fingerprint, tells earlier versions apart."""
    return "percentile" if name == "median" else name
