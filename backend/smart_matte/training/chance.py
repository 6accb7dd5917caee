"""The two draws that numpy has no short word for."""

import numpy as np


def happens(random: np.random.Generator, probability: float) -> bool:
    """Toss a coin that comes up True with *probability*."""
    return bool(random.random() < probability)


def draw_log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """Draw a number in [low, high] whose logarithm is spread evenly."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
