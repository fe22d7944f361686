"""Weights from a file, held to the network that is to take them."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError

WRAPPERS = ("state_dict", "model", "module")  # under which training programs, this one's too, store a state dict
SHOWN = 5  # names of each kind in a refusal


def weights_digest(path: Path) -> str:
    """The sha256 of a file of weights; raises UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"weights: cannot read {path}: {error.strerror}") from None


def read_weights(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """The state dict in a file, `.safetensors` or `torch.save`'s, for `module`.

    Raises UserError, one line, where it is no state dict, its names or shapes are not the module's, or not all finite.
    """
    found = _state_dict(path)
    expected = module.state_dict()
    wrong = {
        "missing": [n for n in expected if n not in found],
        "unexpected": [n for n in found if n not in expected],
        "misshaped": [
            f"{n} {tuple(found[n].shape)} for {tuple(t.shape)}"
            for n, t in expected.items()
            if n in found and found[n].shape != t.shape
        ],
        "not finite": [n for n, t in found.items() if t.is_floating_point() and not torch.isfinite(t).all()],
    }
    if told := "; ".join(f"{kind}: {_some(names)}" for kind, names in wrong.items() if names):
        raise UserError(f"weights: {path} does not fit the network: {told}")
    return {name: found[name].to(tensor) for name, tensor in expected.items()}


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = _load(path)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
        raise UserError(
            f"weights: {path} is neither safetensors nor torch.save's tensors; save the network's state_dict()"
        ) from None
    wrapper = next((w for w in WRAPPERS if isinstance(content, dict) and isinstance(content.get(w), dict)), None)
    content = content if wrapper is None else content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise UserError(f"weights: {path} holds no state dict, tensors by parameter name")
    return content


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        import safetensors
        import safetensors.torch

        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(str(error)) from None
    return torch.load(path, map_location="cpu", weights_only=True)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
