import numpy as np
import pytest
import torch
from torch import nn

from smart_matte.engine.runtime import Network, choose_device, is_out_of_memory
from smart_matte.errors import Cancelled, OptionError

INPUT = np.ones((1, 2, 4, 4), np.float32)


def three_layers() -> nn.Module:
    return nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(3)))


def test_arrays_go_in_and_come_out_as_the_module_maps_them() -> None:
    module = three_layers()
    expected = module(torch.from_numpy(INPUT)).detach().numpy()
    output = Network(module)(INPUT)
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, expected)


def test_progress_is_told_before_each_layer() -> None:
    told: list[float] = []
    Network(three_layers())(INPUT, progress=told.append)
    assert told == pytest.approx([0, 1 / 3, 2 / 3])


def test_a_run_can_be_cancelled_between_layers_and_repeated() -> None:
    told: list[float] = []

    def cancel(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0:
            raise Cancelled("stopped")

    network = Network(three_layers())
    with pytest.raises(Cancelled):
        network(INPUT, progress=cancel)
    assert len(told) == 2
    network(INPUT)
    assert len(told) == 2  # no hook is left behind


def test_a_moved_network_gives_the_same() -> None:
    network = Network(three_layers())
    before = network(INPUT)
    np.testing.assert_array_equal(network.moved_to("cpu")(INPUT), before)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes."), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal instruction was encountered"), False),
        (Cancelled("stopped"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error: Exception, *, is_memory: bool) -> None:
    assert is_out_of_memory(error) == is_memory


def test_the_words_of_torch_for_too_little_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.float32)
    assert is_out_of_memory(caught.value)


def test_auto_finds_a_device_and_an_unknown_one_is_refused() -> None:
    assert choose_device("auto").split(":")[0] in {"cpu", "cuda", "mps"}
    assert choose_device("cpu") == "cpu"
    with pytest.raises(OptionError, match="no device “abacus”"):
        choose_device("abacus")
