"""Which gpus of this machine a worker gets, where one program starts several workers here."""

from __future__ import annotations

from collections.abc import Mapping

from rain.core.errors import RainException

_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def visible_gpus(variable: str, environment: Mapping[str, str]) -> list[str]:
    """The gpus that an environment names; none where it does not say."""
    return [name.strip() for name in environment.get(variable, "").split(",") if name.strip()]


def check_gpus(n_gpus: int, environment: Mapping[str, str]) -> None:
    """Raises RainException where the environment names fewer gpus than are to be offered."""
    for variable in _VARIABLES:
        visible = visible_gpus(variable, environment)
        if visible and len(visible) < n_gpus:
            raise RainException(
                f"gpus to offer: {n_gpus}, but {variable}={environment[variable]} names {len(visible)}: offer fewer, "
                "or name more of them there"
            )


def gpu_environment(first: int, n_gpus: int, environment: Mapping[str, str]) -> dict[str, str]:
    """What tells a worker that its gpus are these many from `first` on, of those that the environment names.

    Where that names none they are numbers. Raises RainException where it names too few.
    """
    if not n_gpus:
        return {}
    check_gpus(first + n_gpus, environment)
    shares = {}
    for variable in _VARIABLES:
        visible = visible_gpus(variable, environment)
        if visible:
            shares[variable] = ",".join(visible[first : first + n_gpus])
    shares.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(first, first + n_gpus))))
    return shares
