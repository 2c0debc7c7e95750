"""Which part of a multiprocessor carries out an instruction, and for how long (Hopper).

A scheduler issues one instruction of a warp a cycle; the part that carries it out may be busy for
longer, and another instruction of the kind must wait for it. The times follow from the table
"Throughput of Native Arithmetic Instructions" of the CUDA programming guide: 128 results a cycle
and multiprocessor are one cycle of a scheduler, 64 are two, 16 are eight. What the table does not
tell (wide products, packed conversions, bytes to floats) is assumed as marked.
"""

import re
from typing import NamedTuple

from augfeed.bench.sass import Instruction

PIPES = ("issue", "fma", "heavy", "alu", "special", "memory")
CLASSES = ("fp32", "integer", "product", "convert", "special", "memory", "move", "uniform",
           "control", "other")  # fmt: skip


class Cost(NamedTuple):
    """The class of an instruction, and the cycles of a scheduler that it keeps parts busy."""

    kind: str
    cycles: dict[str, float]


_ALU = {"issue": 1.0, "alu": 2.0}
_FMA = {"issue": 1.0, "fma": 1.0}
_ONE = {"issue": 1.0}
_SPECIAL = {"issue": 1.0, "special": 8.0}  # 16 lanes: MUFU, and I2F.U8, F2I, FRND (assumed)
_KINDS: dict[str, tuple[str, dict[str, float]]] = {}
for _kind, _cycles, _names in (
    ("fp32", _FMA, "FFMA FADD FMUL HFMA2 HADD2 HMUL2 FSWZADD"),
    ("fp32", _ALU, "FMNMX FSEL FSETP FSET FCHK HMNMX2 HSETP2"),
    ("integer", _ALU, "IADD3 LOP3 LOP SHF SHL SHR PRMT SEL ISETP IMNMX VIMNMX VIMNMX3 VIADD "
                      "VIADDMNMX LEA IABS SGXT BMSK PLOP3 P2R R2P VOTE INEG ISCADD LEPC PSETP "
                      "VABSDIFF"),
    ("move", _ALU, "MOV CS2R MOVM"),
    ("move", _ONE, "S2R S2UR R2UR LDC NOP"),
    ("convert", _ALU, "I2FP F2FP I2IP F2IP"),  # packed ones assumed
    ("convert", _SPECIAL, "I2F F2I FRND F2F I2I"),
    ("special", _SPECIAL, "MUFU POPC FLO BREV"),
    ("fp32", {"issue": 1.0, "fp64": 2.0}, "DADD DMUL DFMA DSETP"),
    ("control", _ONE, "BRA JMP EXIT RET CALL BSSY BSYNC BREAK BAR WARPSYNC YIELD NANOSLEEP "
                      "DEPBAR LDGDEPBAR MEMBAR ERRBAR CCTL REDUX KILL BPT"),
):  # fmt: skip
    _KINDS |= dict.fromkeys(_names.split(), (_kind, _cycles))
_MEMORY = ("LDG", "STG", "LDS", "STS", "LDL", "STL", "LD", "ST", "SHFL", "ATOM", "ATOMG", "ATOMS",
           "RED", "LDSM", "STSM", "LDGSTS")  # fmt: skip
_WIDTH = re.compile(r"\.[US]?(8|16|32|64|128)\b")


def bits(instruction: Instruction) -> int:
    """Return how many bits a thread moves by an access to memory."""
    width = _WIDTH.findall(instruction.opcode)
    return int(width[-1]) if width else 32


def cost(instruction: Instruction) -> Cost:
    """Return the class and the cycles of an instruction."""
    name = instruction.name
    if name in _MEMORY:
        # 32 lanes of a multiprocessor's four schedulers, and 128 bytes a cycle.
        return Cost("memory", {"issue": 1.0, "memory": 4.0 * max(1.0, bits(instruction) / 32)})
    if name == "IMAD":
        # Half of the FMA lanes multiply integers; products of 64 bits take twice as long (assumed).
        wide = ".WIDE" in instruction.opcode or ".HI" in instruction.opcode
        busy = 4.0 if wide else 2.0
        return Cost("product", {"issue": 1.0, "fma": busy / 2, "heavy": busy})
    if name in _KINDS:
        return Cost(*_KINDS[name])
    if name.startswith("U"):
        return Cost("uniform", _ONE)
    return Cost("other", _ONE)
