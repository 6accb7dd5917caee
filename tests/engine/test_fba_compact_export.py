"""Both halves of our own network as ONNX files that take pictures of any size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from random_compact import random_fba_compact
from torch import Tensor, nn

from smart_matte.engine.models.fba_compact import (
    CHANNELS,
    CONTEXT_SCALE,
    CONTEXT_WIDTHS,
    FbaCompact,
    build_fba_compact,
    fold_norms,
)

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("onnx", reason="torch needs onnx to export")

SIDES = [(64, 48), (32, 96), (80, 80)]
"""Of pictures; exported with the first, run with the others."""


@pytest.fixture(scope="module")
def network() -> FbaCompact:
    return build_fba_compact(fold_norms(random_fba_compact()).state_dict())


def context_inputs(sides: tuple[int, int]) -> tuple[Tensor, ...]:
    height, width = (side // CONTEXT_SCALE for side in sides)
    generator = torch.Generator().manual_seed(height)
    return (torch.rand(1, CHANNELS, height, width, generator=generator),)


def detail_inputs(sides: tuple[int, int]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(sides[0])
    small = (side // CONTEXT_SCALE for side in sides)
    return (
        torch.rand(1, CHANNELS, *sides, generator=generator),
        torch.rand(1, CONTEXT_WIDTHS[0], *small, generator=generator),
    )


def export(module: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], path: Path) -> None:
    torch.onnx.export(
        module,
        inputs,
        path,
        input_names=names,
        output_names=["output"],
        dynamic_axes={
            name: {2: f"{name}_height", 3: f"{name}_width"} for name in (*names, "output")
        },
        dynamo=False,
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its older exporter
@pytest.mark.parametrize(
    ("part", "names", "inputs"),
    [
        ("context", ["shrunken"], context_inputs),
        ("detail", ["channels", "context"], detail_inputs),
    ],
)
def test_exported_once_it_runs_at_every_size(
    part: str, names: list[str], inputs, network: FbaCompact, tmp_path: Path
) -> None:
    module, path = getattr(network, part), tmp_path / f"{part}.onnx"
    export(module, inputs(SIDES[0]), names, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for sides in SIDES[1:]:
        tensors = inputs(sides)
        with torch.inference_mode():
            expected = module(*tensors).numpy()
        arrays = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        (output,) = session.run(None, arrays)
        assert expected.std() > 0.1
        assert output.shape == expected.shape
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4)
