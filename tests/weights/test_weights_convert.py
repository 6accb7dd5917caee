"""Published files become the tensors they hold, and nothing else becomes weights."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from published import STATE_DICT, pth_bytes
from safetensors.torch import save_file

from smart_matte.errors import WeightsError
from smart_matte.weights.convert import _is_state_dict, convert
from smart_matte.weights.manifest import FORMATS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "given.pth"


def test_a_state_dict_keeps_its_keys_order_and_values(path: Path) -> None:
    path.write_bytes(pth_bytes(STATE_DICT))
    tensors = convert("torch-state-dict", [path])
    assert list(tensors) == list(STATE_DICT)
    for key, tensor in STATE_DICT.items():
        assert torch.equal(tensors[key], tensor)


def test_files_of_old_torch_can_be_read(path: Path) -> None:
    torch.save(STATE_DICT, path, _use_new_zipfile_serialization=False)
    assert convert("torch-state-dict", [path]).keys() == STATE_DICT.keys()


def test_torchvision_loses_its_training_head_and_nothing_else(path: Path) -> None:
    state_dict = {
        "backbone.conv1.weight": torch.ones(2, 3),
        "backbone.bn1.num_batches_tracked": torch.tensor(7),
        "classifier.4.bias": torch.ones(21),
        "aux_classifier.0.weight": torch.ones(2, 2),
    }
    path.write_bytes(pth_bytes(state_dict))
    tensors = convert("torchvision-deeplabv3", [path])
    assert list(tensors) == list(state_dict)[:3]
    assert tensors["backbone.bn1.num_batches_tracked"].dtype == torch.int64


def test_floating_point_becomes_float32(path: Path) -> None:
    half = {"a": torch.tensor([0.1], dtype=torch.float16), "b": torch.tensor([0.1]).double()}
    path.write_bytes(pth_bytes(half))
    tensors = convert("torch-state-dict", [path])
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert tensors["a"].item() == half["a"].float().item()


def test_parameters_and_views_become_tensors_of_their_own(path: Path) -> None:
    shared = torch.arange(6.0)
    path.write_bytes(
        pth_bytes(
            {
                "parameter": torch.nn.Parameter(shared.clone()),
                "view": shared[2:],
                "turned": shared.reshape(2, 3).T,
            }
        )
    )
    tensors = convert("torch-state-dict", [path])
    assert tensors["view"].tolist() == [2, 3, 4, 5]
    assert tensors["turned"].is_contiguous()
    assert not any(tensor.requires_grad for tensor in tensors.values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors.values()}) == 3


@pytest.mark.parametrize("weights_format", FORMATS)
def test_a_safetensors_file_serves_every_format(tmp_path: Path, weights_format: str) -> None:
    given = tmp_path / "own.safetensors"
    save_file(STATE_DICT, given)
    tensors = convert(weights_format, [given])
    assert tensors.keys() == STATE_DICT.keys()


def test_the_openvino_file_becomes_float32_tensors(shared_data: Path) -> None:
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    tensors = convert("openvino-ir", [folder / "deeplabv3.xml", folder / "deeplabv3.bin"])
    stored_bytes = (folder / "deeplabv3.bin").stat().st_size
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    # The file holds half precision, so that the tensors take twice as much.
    taken_bytes = sum(2 * tensor.numel() for tensor in tensors.values())
    assert taken_bytes == pytest.approx(stored_bytes, rel=0.01)


class Trap:
    """Runs a command when it is unpickled by an unwary reader."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> object:
        return Path.touch, (self.canary,)


def test_a_file_that_carries_code_is_refused_and_not_run(path: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path.write_bytes(pth_bytes({"weight": torch.ones(1), "trap": Trap(canary)}))
    with pytest.raises(WeightsError, match="more than tensors"):
        convert("torch-state-dict", [path])
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # the trap would have sprung


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE_DICT},
        {**STATE_DICT, "epoch": 3},
        {1: torch.ones(1)},
        {},
        [torch.ones(1)],
        torch.ones(1),
    ],
    ids=["nested", "with a number", "numbered", "empty", "list", "tensor"],
)
def test_what_is_no_flat_dictionary_of_tensors_is_refused(path: Path, content: object) -> None:
    path.write_bytes(pth_bytes(content))
    with pytest.raises(WeightsError, match=r"given\.pth isn't a flat dictionary of tensors"):
        convert("torch-state-dict", [path])


def test_sparse_tensors_are_no_weights() -> None:
    assert _is_state_dict({"weight": torch.ones(2, 2)})
    assert not _is_state_dict({"weight": torch.ones(2, 2).to_sparse()})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(path: Path, value: float) -> None:
    path.write_bytes(pth_bytes({"good": torch.ones(2), "bad": torch.tensor([1.0, value])}))
    with pytest.raises(WeightsError, match="“bad”"):
        convert("torch-state-dict", [path])


def zip_of_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("read me.txt", "not weights")


def scripted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/constants.pkl", pickle.dumps(()))
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/version", "3")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"<html>not found</html>"),
        lambda path: path.write_bytes(pth_bytes(STATE_DICT)[:-100]),
        lambda path: path.write_bytes(pth_bytes(STATE_DICT)[:200]),
        lambda path: path.write_bytes(pickle.dumps({"a": 1})[:-1]),
        zip_of_text,
        scripted,
    ],
    ids=["empty", "web page", "end missing", "beginning", "pickle", "other zip", "TorchScript"],
)
def test_a_damaged_file_is_a_sentence(path: Path, write: object) -> None:
    write(path)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=r"given\.pth can't be read"):
        convert("torch-state-dict", [path])


def test_a_damaged_safetensors_file_is_a_sentence(tmp_path: Path) -> None:
    given = tmp_path / "own.safetensors"
    given.write_bytes(pth_bytes(STATE_DICT))
    with pytest.raises(WeightsError, match=r"own\.safetensors can't be read as safetensors"):
        convert("torch-state-dict", [given])
