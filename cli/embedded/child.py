"""Become another program that dies with its parent: `python -I -S child.py --parent PID --signal N ... -- PROGRAM ...`.

Run by path, standard library only. A fresh process rather than `preexec_fn`, which may deadlock where the parent has
threads. Exit status 125: the user or namespace cannot be had. 126: the program or folder is out of its reach.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NO_SUCH_USER = 125
OUT_OF_REACH = 126


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, help="process to die with")
    parser.add_argument("--signal", type=int, default=signal.SIGKILL, help="signal to get when the parent dies")
    parser.add_argument("--user", help="UID:GID to switch to permanently; needs root")
    parser.add_argument("--mapped", help="UID:GID to appear as inside a user namespace; files keep their owner")
    parser.add_argument("--enter", help="folder to work in")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _pair(text: str) -> tuple[int, int]:
    uid, gid = text.split(":")
    return int(uid), int(gid)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _appear_as(uid: int, gid: int) -> None:
    outside_uid = os.geteuid()
    outside_gid = os.getegid()

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")

    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside_gid} 1")


def _die_with(parent: int, number: int) -> None:
    # After any change of user: the kernel forgets the signal when credentials change.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call above
        sys.exit(1)


def main() -> None:
    """Change user, tie this process to its parent, become the program."""
    arguments = _arguments()
    program = arguments.program
    if program[:1] == ["--"]:
        program = program[1:]

    try:
        if arguments.user:
            _become(*_pair(arguments.user))
        if arguments.mapped:
            _appear_as(*_pair(arguments.mapped))
    except OSError as error:
        sys.stderr.write(f"cannot change user: {error}\n")
        sys.exit(NO_SUCH_USER)

    if arguments.parent is not None:
        _die_with(arguments.parent, arguments.signal)

    # Python ignores these two and an ignored signal stays ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.umask(0o077)

    try:
        if arguments.enter:
            os.chdir(arguments.enter)
        os.execvp(program[0], program)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(OUT_OF_REACH)


if __name__ == "__main__":
    main()
