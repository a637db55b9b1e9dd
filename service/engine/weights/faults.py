"""What is wrong with a weights file, as its readers say it; `checkpoints` adds the path and the remedy.

Fault
├── Damaged       the bytes are not what the format says
├── Changed       the file was written to while it was read
├── Program       opening it would run code that it carries
└── Unsupported   it is whole and harmless, but holds something that we do not read
"""


class Fault(Exception):
    """Base class. detail: one sentence on the file."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Damaged(Fault):
    """The bytes are not what the format says."""

    def __init__(self, detail: str = "The weights file is damaged or cut short.") -> None:
        super().__init__(detail)


class Changed(Fault):
    """The file was written to while it was read."""

    def __init__(self) -> None:
        super().__init__("The weights file changed while it was read.")


class Program(Fault):
    """Opening the file would run code that it carries. remedy: empty for the usual one."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.remedy = remedy


class Unsupported(Fault):
    """The file is whole and harmless, but holds something that we do not read. remedy: how to get rid of it."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy
