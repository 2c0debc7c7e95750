"""What the processor has that loops are compiled for."""

from numba.core import config
from numba.core.codegen import get_host_cpu_features


def has(*features: str) -> bool:
    """Return whether loops may use all of these, by LLVM's names.

    They are those of this processor, but where `NUMBA_CPU_FEATURES`, `NUMBA_CPU_NAME=generic` or
    `NUMBA_ENABLE_AVX=0` says that code is made for others: LLVM ends the process where it meets an
    instruction that its target lacks.
    """
    given: str | None = vars(config)["CPU_FEATURES"]
    text = get_host_cpu_features() if given is None else given
    return {f"+{feature}" for feature in features} <= {*text.split(",")}
