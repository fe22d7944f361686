"""The command `prunebench`. Heavy imports wait until they are needed: `--help` never loads torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from benchmark.errors import Interrupted, UserError, unknown


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 a run failed, 2 bad input, 128 + n stopped by signal n.

    In a W&B sweep `run` exits with 0 where the point that it was given is at fault, so that its agent goes on.
    """
    from benchmark.runs import interruptible

    with interruptible(for_good=True):
        sys.exit(_status(list(sys.argv[1:] if arguments is None else arguments)))


def _status(arguments: list[str]) -> int:
    """The exit status of a command; what went wrong is one line."""
    try:
        return _command(arguments)
    except UserError as error:
        print(f"prunebench: {_printable(str(error))}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt as error:
        print("prunebench: stopped; the same command again goes on from here", file=sys.stderr)
        return error.args[0] if isinstance(error, Interrupted) else 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(
            _printable(f"prunebench: {error.strerror or error}:{where}; nothing half-written is left"), file=sys.stderr
        )
        return 1


def _command(arguments: list[str]) -> int:
    from benchmark.cli.commands import COMMANDS

    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage({name: command.summary for name, command in COMMANDS.items()}))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("nnrelief-bench"))
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS, "see prunebench --help")
    command = COMMANDS[name]
    if "-h" in rest or "--help" in rest:
        print(command.help([word for word in rest if word not in ("-h", "--help")]))
        return 0
    return command.act(command.read(rest))


def _printable(text: str) -> str:
    """The text in one line, with what a terminal would act on written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _usage(summaries: dict[str, str]) -> str:
    lines = [f"  {name:13s}{summary}" for name, summary in summaries.items()]
    head = ["usage: prunebench COMMAND [options]", "", "Compares neural-network pruning methods on equal terms.", ""]
    return "\n".join([*head, *lines, "", "prunebench COMMAND --help says more of each."])
