"""Whether tensors are those of a network, in words."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from smart_matte.errors import WeightsError


def check_weights(name: str, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """
    Make sure that tensors are those of a network before it loads them.

    Args:
        name: of the weights, as the user knows them.
        given: the tensors at hand.
        expected: the network's own, all of floating-point numbers, which may have no memory.

    Raises:
        WeightsError: names the first tensor that is missing, has another shape, holds no
            floating-point numbers or is unknown.
    """
    misfit = next(_find_misfits(given, expected), None)
    if misfit is not None:
        raise WeightsError(
            f"These are not the weights of {name}: {misfit}; import another file, or run:"
            f" smart-matte weights fetch {name}"
        )


def _find_misfits(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[str]:
    """Say what is wrong with each tensor that doesn't fit, in the network's order."""
    for key, tensor in expected.items():
        if key not in given:
            yield f"{key} is missing"
        elif given[key].shape != tensor.shape:
            yield f"{key} should be {tuple(tensor.shape)} but is {tuple(given[key].shape)}"
        elif not given[key].is_floating_point():
            kind = str(given[key].dtype).removeprefix("torch.")
            yield f"{key} should hold floating-point numbers but holds {kind}"
    yield from (f"they hold {key}, which is unknown" for key in given if key not in expected)
