"""What other processes of the same user may see of this one."""

import ctypes

_PR_SET_DUMPABLE = 4


def hide_process_memory() -> None:
    """Keep other processes of this user from reading this one's environment and memory, or tracing it.

    Without it, whoever runs code in one of our processes reads the keys of all from /proc/PID/environ. Root may still,
    and so may files that the user can read. Children are not concerned: a new program begins visible.
    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
