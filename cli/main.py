"""The `mammodissect` command. Nothing is imported here that may fail before an error is said in one line."""

import sys

from service.exits import run_program


def main() -> None:
    """Run the command. Whatever goes wrong is one line on standard error and an exit status of `ExitStatus`."""
    sys.exit(
        run_program(
            "mammodissect",
            _run_command,
            hint="`mammodissect --debug COMMAND ...` shows where.",
            debug=lambda: "--debug" in sys.argv[1:],
        )
    )


def _run_command() -> int | None:
    from cli.commands import run_command

    return run_command()


if __name__ == "__main__":
    main()
