"""What one call may use."""

from __future__ import annotations

from dataclasses import dataclass

from pinfold._check import limits_check

_MOST = 2**62
_NOT_YET = (
    "memory_bytes",
    "cpu_s",
    "processes",
    "open_files",
    "file_bytes",
    "address_space_bytes",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use. None: no bound. Sizes are bytes.

    Attributes:
        output_bytes: how much of stdout, and of stderr, is kept (1 .. 2**62, default 1 MiB). What
            is printed beyond that is dropped from the middle, head and tail stay, and the result's
            ``stdout_truncated`` or ``stderr_truncated`` is set; the call goes on.
        result_bytes: the largest encoded value (1 .. 2**62). A larger one ends the call as
            ``output_limit``.
        core_bytes: the largest core dump; 0 (none) is the only one so far.
        memory_bytes, cpu_s, processes, open_files, file_bytes, address_space_bytes: reserved. This
            version cannot enforce them and refuses any value but None.

    Raises `InvalidConfig` or `ConfigTypeError`, naming the field and the value.
    """

    memory_bytes: int | None = None
    cpu_s: float | None = None
    output_bytes: int = 1 << 20
    result_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_bytes: int | None = None
    core_bytes: int = 0
    address_space_bytes: int | None = None

    def __post_init__(self) -> None:
        limits_check.whole("output_bytes", self.output_bytes, 1, _MOST)
        limits_check.whole("result_bytes", self.result_bytes, 1, _MOST, none=True)
        for name in _NOT_YET:
            if getattr(self, name) is not None:
                limits_check.wrong_value(
                    name, getattr(self, name), "None: this version cannot enforce it"
                )
        if type(self.core_bytes) is not int or self.core_bytes != 0:
            limits_check.wrong_value(
                "core_bytes", self.core_bytes, "0: this version writes no core dumps"
            )
