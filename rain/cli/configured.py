"""Options that a user always gives: `$XDG_CONFIG_HOME/rain/run.toml`, `server.toml`, `worker.toml` and so on.

A file has the options of the verb that it is named after: `local-workers = 2`. A variable such as
`RAIN_RUN_LOCAL_WORKERS` goes before the file, the command line before both.
"""

from __future__ import annotations

import tomllib
from typing import Any

import click
import platformdirs

from rain.core.errors import RainException


def configured(command: click.Command) -> dict[str, Any]:
    """The values of a verb's parameters that the user's file says. Raises RainException where it makes no sense."""
    path = platformdirs.user_config_path("rain") / f"{command.name}.toml"
    try:
        said = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise RainException(f"the configuration {path} cannot be read: {error}") from error
    options = {
        spelling.lstrip("-"): str(parameter.name)
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in parameter.opts
    }
    unknown = [key for key in said if key.replace("_", "-") not in options and key not in options]
    if unknown:
        names = ", ".join(sorted(options))
        raise RainException(f"{path}: `rain {command.name}` has no option {unknown[0]!r}; it has {names}")
    return {options.get(key) or options[key.replace("_", "-")]: value for key, value in said.items()}
