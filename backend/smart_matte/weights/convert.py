"""Published files become state dicts, ready to be kept as safetensors."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from smart_matte.errors import WeightsError

TRAINING_HEAD = "aux_classifier."  # torchvision's second head; absent from what predicts


def convert(weights_format: str, originals: Sequence[Path]) -> dict[str, torch.Tensor]:
    """
    Read published files, once.

    Args:
        weights_format: one of manifest.FORMATS. A single ``.safetensors`` file is read as such
            under each of them: that is what a user's own training leaves.
        originals: the files, in the manifest's order.

    Returns:
        The state dict: floating-point tensors as float32, contiguous, on the CPU.

    Raises:
        WeightsError: a file is damaged, or isn't a flat dictionary of finite tensors.
    """
    if len(originals) == 1 and originals[0].suffix == ".safetensors":
        tensors = _read_safetensors(originals[0])
    elif weights_format == "openvino-ir":
        # The reader of the graph is needed for these weights alone.
        from smart_matte.weights.openvino_ir import (  # noqa: PLC0415
            convert_deeplabv3_mobilenetv2,
        )

        xml_path, bin_path = originals
        tensors = convert_deeplabv3_mobilenetv2(xml_path, bin_path)
    else:
        tensors = _read_pth(originals[0])
    if weights_format == "torchvision-deeplabv3":
        tensors = {key: t for key, t in tensors.items() if not key.startswith(TRAINING_HEAD)}
    return {key: _plain(key, tensor, originals[0]) for key, tensor in tensors.items()}


def _read_pth(path: Path) -> dict[str, torch.Tensor]:
    """Open a checkpoint with the unpickler that builds tensors and containers and nothing else."""
    _refuse_what_unpacks_to_more(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever it likes
        raise WeightsError(
            f"{path.name} can't be read as PyTorch weights; it is damaged, or holds more than"
            " tensors."
        ) from error
    if not _is_state_dict(content):
        raise WeightsError(
            f"{path.name} isn't a flat dictionary of tensors; save the network's state_dict()"
            " alone and import that."
        )
    state_dict: dict[str, torch.Tensor] = content
    if sum(tensor.nbytes for tensor in state_dict.values()) > path.stat().st_size:
        raise WeightsError(f"{path.name} declares more numbers than it holds; it can't be used.")
    return state_dict


def _refuse_what_unpacks_to_more(path: Path) -> None:
    """PyTorch packs nothing: an archive that unpacks to more than its own size is a trap."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # not an archive, or a broken one: torch says so
    if unpacked_bytes > path.stat().st_size:
        raise WeightsError(f"{path.name} isn't as PyTorch writes its files; it can't be used.")


def _is_state_dict(content: object) -> bool:
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(key, str) for key in content)
        and all(
            isinstance(value, torch.Tensor) and value.layout == torch.strided
            for value in content.values()
        )
    )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path.name} can't be read as safetensors ({error}).") from error


def _plain(key: str, tensor: torch.Tensor, path: Path) -> torch.Tensor:
    """Copy a tensor so that it shares no memory with another one, which safetensors demands."""
    values = tensor.detach()
    if values.is_floating_point():
        values = values.to(torch.float32)
        if not torch.isfinite(values).all():
            raise WeightsError(
                f"{path.name} holds infinite or undefined numbers in “{key}”; it can't be used."
            )
    return values.clone(memory_format=torch.contiguous_format)
