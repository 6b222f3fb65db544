"""The expected score over two parameters, as a smooth surface near the trials that were complete."""

import numpy as np
from optuna.study import Study

from study.search_space import Space, covers
from study.storage.queries import complete_trials
from study.surrogate import TRIALS_OF_A_SURROGATE, Floats, encode, fit_surrogate, value_at

SURFACE, REACH = 61, 0.25  # grid points per axis; how far from a complete trial, in widths of a range, it is drawn
TRIALS_FOR_SURFACE = 5


def smooth_surface(
    study: Study, space: Space, names: tuple[str, str]
) -> tuple[list[float], list[float], Floats] | None:
    """Values of both parameters, and the expected score over them (second, first): NaN far from any complete trial."""
    both = {name: space[name] for name in names}
    trials = [trial for trial in complete_trials(study) if covers(trial.params, both)]
    if len(trials) < TRIALS_FOR_SURFACE or len({trial.value for trial in trials}) == 1:
        return None
    trials = trials[:: -(-len(trials) // TRIALS_OF_A_SURROGATE)]
    points = encode([trial.params for trial in trials], both)
    places = np.linspace(0, 1, SURFACE)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    z = np.clip(fit_surrogate(points, values).predict(grid), values.min(), values.max())
    distances = np.linalg.norm(grid[:, None] - points[None], axis=-1).min(axis=1)
    z[distances > REACH] = np.nan
    x, y = ([value_at(space[name], place) for place in places] for name in names)
    return x, y, z.reshape(SURFACE, SURFACE)


def surface_limits(study: Study) -> tuple[float, float]:
    """Lower quartile and best value of the complete trials: below, differences say little about where the best lies."""
    values = [trial.value for trial in complete_trials(study) if trial.value is not None]
    low, top = float(np.quantile(values, 0.25)), max(values)
    return (low, top) if low < top else (min(values), top)
