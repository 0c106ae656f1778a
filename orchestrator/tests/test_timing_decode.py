# SPDX-License-Identifier: Apache-2.0
"""The instruction table against a disassembler, on all code of the firmware: class, registers, list lengths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from builds import model_firmware
from kilograd import toolchain, tools
from kilograd.platforms.board import boards, load_board
from kilograd.platforms.timing import EARLY, WRITE, Row, Timing, load_timing

if TYPE_CHECKING:
    from collections.abc import Iterator

CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"
REGISTERS = {f"r{n}": n for n in range(16)} | {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}

# Mnemonics (without condition, width and the s of flags) by class.
NAMES = {
    "alu": "pkhbt pkhtb mov mvn add sub adc sbc rsb cmp cmn and orr eor bic orn tst teq neg movw movt adr addw subw",
    "shift": "lsl lsr asr ror",
    "bitfield": "ubfx sbfx bfi bfc",
    "extend": "uxtb uxth sxtb sxth uxtab uxtah sxtab sxtah uxtb16 sxtb16 uxtab16 sxtab16",
    "reverse": "rev rev16 revsh rbit clz",
    "saturate": "ssat usat qadd qsub qdadd qdsub",
    "simd": "sadd16 uadd16 ssub16 usub16 sadd8 uadd8 ssub8 usub8 qadd16 qsub16 uqadd8 uqsub8 sel",
    "multiply": "mul smulbb smulbt smultb smultt smulwb smulwt smuad smuadx smusd smmul smmulr usad8",
    "accumulate": "mla mls smlabb smlabt smlatb smlatt smlawb smlawt smlad smladx smlsd smmla smmls usada8",
    "multiply_long": "smull umull",
    "accumulate_long": "smlal umlal umaal smlald smlaldx smlalbb smlalbt smlaltb smlaltt smlsld",
    "divide": "udiv",
    "divide_signed": "sdiv",
    "load": "ldr",
    "load_narrow": "ldrb ldrh ldrsb ldrsh",
    "load_double": "ldrd",
    "store": "str strb strh",
    "store_double": "strd",
    "load_multiple": "ldmia ldmdb ldm",
    "store_multiple": "stmia stmdb stm",
    "push": "push",
    "pop": "pop",
    "branch": "b",
    "compare_branch": "cbz cbnz",
    "branch_link": "bl",
    "branch_exchange": "bx",
    "branch_link_exchange": "blx",
    "table_branch": "tbb tbh",
    "nop": "nop",
    "wait": "wfi wfe",
    "interrupt_mask": "cpsid cpsie",
    "status": "mrs msr",
    "barrier": "dmb dsb isb",
    "trap": "bkpt svc udf",
    "float_alu": "vadd vsub vabs vneg vcmp vcmpe vmaxnm vminnm vseleq vselge vselgt vselvs",
    "float_multiply": "vmul vnmul",
    "float_accumulate": "vmla vmls vfma vfms vnmla vnmls vfnma vfnms",
    "float_divide": "vdiv",
    "float_root": "vsqrt",
    "float_convert": "vcvt vcvtr",
    "float_move": "vmov",
    "float_load": "vldr",
    "float_store": "vstr",
    "float_load_multiple": "vldmia vldmdb vpop",
    "float_store_multiple": "vstmia vstmdb vpush",
    "float_status": "vmrs vmsr",
}
CLASSES = {name: kind for kind, names in NAMES.items() for name in names.split()}
ONE_RESULT = {
    "shift",
    "bitfield",
    "extend",
    "reverse",
    "saturate",
    "simd",
    "multiply",
    "accumulate",
    "divide",
    "divide_signed",
}
ONE_RESULT |= {"alu", "alu_shifted", "load", "load_narrow", "load_literal"}
MOV_R8_R8 = 0x46C0  # the disassembler calls it nop
COMPARES = {"cmp", "cmn", "tst", "teq"}


class Line(NamedTuple):
    """One instruction as the disassembler prints it."""

    code: int
    bits: int
    name: str
    operands: str


def base_name(name: str) -> str:
    """Return a mnemonic without width, data type, condition and the s of flags."""
    plain = name.split(".", maxsplit=1)[0]
    for pattern in ("", f"({CONDITIONS})$", "s$", f"s({CONDITIONS})$"):
        candidate = re.sub(pattern, "", plain)
        if candidate in CLASSES:
            return candidate
    return plain


def disassemble(files: list[Path]) -> Iterator[Line]:
    """Give all instructions of object files."""
    objdump = Path(toolchain.arm_compiler().command[0]).with_name("arm-none-eabi-objdump")
    text = tools.run([objdump, "--disassemble", "--no-show-raw-insn", *files], what="objdump")
    raw = tools.run([objdump, "--disassemble", *files], what="objdump")
    for plain, full in zip(text.splitlines(), raw.splitlines(), strict=True):
        found = re.match(r"\s*[0-9a-f]+:\s+([a-z][a-z0-9.]*)(?:\s+([^@;]*))?", plain)
        code = re.match(r"\s*[0-9a-f]+:\s+([0-9a-f]{4})(?: ([0-9a-f]{4}))?\s", full)
        if found and code:
            halves = [half for half in code.groups() if half]
            yield Line(int("".join(halves), 16), 16 * len(halves), found[1], (found[2] or "").strip())


def expected_class(line: Line) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each peculiarity of the notation
    """Return the class by mnemonic and operands."""
    name, text = base_name(line.name), line.operands
    kind = CLASSES.get(name, "")
    if line.code == MOV_R8_R8:
        return "alu"
    if re.fullmatch(r"it[te]*", line.name):
        return "if_then"
    if re.fullmatch(rf"b({CONDITIONS})", line.name.split(".")[0]):
        return "branch_conditional"
    if kind in {"alu", "shift"} and line.bits == 32 and re.search(r"(lsl|lsr|asr|ror) #|rrx", f"{name} {text}"):
        return "alu_shifted"
    if name in {"lsl", "lsr", "asr", "ror"} and line.bits == 32 and "#" in text:
        return "alu_shifted"
    if name in {"mov", "add"} and line.bits == 16 and text.startswith("pc"):
        return "alu_pc"
    if kind in {"load", "load_narrow"} and "[pc" in text:
        return "load_literal"
    if name == "ldr" and text.startswith("pc"):
        return "load_pc"
    if kind == "store" and re.search(r"\[\w+, [rsfil]", text):
        return "store_register"
    if kind in {"push", "pop"} and line.bits == 32:
        # One register is a store or load with write-back, several are a multiple.
        if "," not in text and "-" not in text:
            return {"push": "store", "pop": "load_pc" if "pc" in text else "load"}[kind]
        kind = {"push": "store_multiple", "pop": "load_multiple"}[kind]
    if kind in {"pop", "load_multiple"} and "pc" in text:
        return f"{kind}_pc"
    if name == "vmov" and re.search(r"\b(r\d+|sl|fp|ip|lr)\b", text):
        return "float_core_move" if text.count(",") == 1 else "float_core_move_two"
    if kind in {"float_load", "float_store"} and text.startswith("d"):
        return f"{kind}_double"
    return kind


def list_length(text: str) -> int:
    """Return how many registers (or words, of d registers) stand in braces."""
    count = 0
    for part in text[text.index("{") + 1 : text.index("}")].split(", "):
        first, _, last = part.partition("-")
        number = REGISTERS.get if first in REGISTERS else lambda name: int(name[1:])
        count += (number(last or first) - number(first) + 1) * (2 if first.startswith("d") else 1)
    return count


def find_row(rows: tuple[Row, ...], code: int) -> Row | None:
    """Return the first row that fits."""
    return next((row for row in rows if code & row.mask == row.value), None)


def registers_written(row: Row, code: int) -> set[int]:
    """Return the registers that a row says an instruction writes, but for base addresses that it moves."""
    numbers = set()
    for operand in row.operands:
        if operand.access & (WRITE | EARLY) == WRITE:
            digits = "".join(str(code >> bit & 1) for bit in operand.bits)
            numbers.add(operand.first + int(digits, 2))
    return numbers


def check(timing: Timing, files: list[Path]) -> int:
    """Compare all instructions of object files; return how many they are."""
    seen = 0
    for line in disassemble(files):
        seen += 1
        row = find_row(timing.halfword if line.bits == 16 else timing.word, line.code)
        kind = expected_class(line)
        assert row is not None, line
        assert kind == row.kind, line
        if "{" in line.operands:
            number = (line.code & row.number) // (row.number & -row.number) if row.number else 0
            assert list_length(line.operands) == (line.code & row.list).bit_count() + number, line
        result = line.operands.split(",")[0].strip()
        if kind in ONE_RESULT and base_name(line.name) not in COMPARES and result not in {"", "sp"}:
            assert registers_written(row, line.code) == {REGISTERS[result]}, line
    return seen


@pytest.mark.parametrize("name", boards())
def test_the_table_reads_the_firmware_as_a_disassembler_does(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every instruction of every kernel has a row, and the row's class, result and list are those of objdump."""
    board = load_board(name)
    elf = model_firmware(board, tmp_path_factory)

    seen = check(load_timing(board.core), [elf, *sorted(elf.parent.rglob("*.c.o*"))])

    assert seen > 3000


@pytest.mark.parametrize("name", ["nrf52840", "imxrt1062"])
def test_the_table_reads_instructions_that_no_kernel_uses_yet(name: str, tmp_path: Path) -> None:
    """A kernel written tomorrow must not meet a wrong row."""
    board = load_board(name)
    source = Path(__file__).parent / "chip" / "armv7em.s"
    made = tmp_path / "armv7em.o"
    command = [*toolchain.arm_compiler().command, *board.compile_flags, "-c", source, "-o", made]
    tools.run(command, what="assembling the list of instructions")

    seen = check(load_timing(board.core), [made])

    written = [text for text in source.read_text(encoding="utf-8").splitlines() if re.match(r"    [a-z]", text)]
    assert seen == len(written)
