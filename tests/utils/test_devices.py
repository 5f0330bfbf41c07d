import pytest
import torch

from utils.devices import name_device, network_dtype
from utils.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"neon": True}, torch.float32),  # other architectures have other names
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert network_dtype("auto", CPU) == expected


def test_this_processor_can_be_asked():
    assert network_dtype("auto", CPU) in (torch.float32, torch.bfloat16)


def test_what_is_asked_for_is_taken():
    assert network_dtype("bf16", CPU) == torch.bfloat16
    assert network_dtype("fp32", CPU) == torch.float32


def test_gpu_n_is_device_cuda_n():
    assert name_device("auto", 0) == "cuda:0"
    assert name_device("auto", 3) == "cuda:3"
    assert name_device("cuda:1", None) == "cuda:1"
    with pytest.raises(InputError, match="--gpu 0 and --device cpu both name a device"):
        name_device("cpu", 0)
    with pytest.raises(InputError, match="--gpu is -1; expected 0 or more"):
        name_device("auto", -1)
