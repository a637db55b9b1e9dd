"""How libraries say that memory has run out: each in its own way, and torch's CPU allocator as a plain RuntimeError.

It needs none of them, so that whoever starts or watches a computation can ask without importing torch.
"""

import errno
import re

_IN_WORDS = re.compile(
    r"DefaultCPUAllocator|bad_alloc|can't start new thread|CUDA out of memory|_STATUS_ALLOC_FAILED"
    r"|Insufficient memory|Cannot allocate memory"
)
_TORCH_ASKED = re.compile(r"DefaultCPUAllocator.*?tried to allocate (\d+) bytes", re.DOTALL)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that this machine, or its GPU, has no memory left: another try may find some."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    # cv2.error is no RuntimeError, only an Exception.
    known = isinstance(error, RuntimeError) or type(error).__module__ == "cv2"
    return known and _IN_WORDS.search(str(error)) is not None


def bytes_refused(error: BaseException) -> int | None:
    """How many bytes torch asked the machine for in vain; None where the error says something else."""
    asked = _TORCH_ASKED.search(str(error))
    return None if asked is None else int(asked[1])
