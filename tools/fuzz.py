"""Coverage-guided fuzzing: of the C parsers with libFuzzer under AddressSanitizer and UBSan, of readers in
Python by tools/fuzz_python.py.

    python tools/fuzz.py --seconds 60             every target of tests/fuzz, that long each
    python tools/fuzz.py --target frame --keep    one target; minimise what is known into the committed corpus

A target is tests/fuzz/fuzz_NAME.c or .py, with the inputs of tests/fuzz/corpus/NAME and the words of
NAME.dict.
New inputs are collected in build/fuzz/corpus. A failing target's input is kept and named; the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools import fuzz_python

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
COMPILERS = ("clang", *(f"clang-{version}" for version in range(20, 13, -1)))
FLAGS = ("-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
MISSING = "fuzzing needs clang with libFuzzer; on Debian: apt-get install clang libclang-rt-dev"
PROBE = """
#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n) { return p && n > 1u << 30; }
"""


class FuzzError(Exception):
    """Why fuzzing cannot be done, in one line."""


def targets() -> list[str]:
    """Names of the targets, sorted."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HOME.glob("fuzz_*.c"))


def python_targets() -> list[str]:
    """Of those that are Python, likewise."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HOME.glob("fuzz_*.py"))


def fuzz_in_python(name: str, seconds: float, keep_corpus: bool = False) -> bool:
    """Hunt with one target of Python and say how it went; False when it failed."""
    committed, learnt = HOME / "corpus" / name, BUILD / "corpus" / name
    learnt.mkdir(parents=True, exist_ok=True)
    seeds = [path.read_bytes() for folder in (committed, learnt) for path in sorted(folder.iterdir())]
    seed = random.randrange(1 << 32)
    target = fuzz_python.load(HOME / f"fuzz_{name}.py")
    hunt = fuzz_python.hunt(target, seeds, seconds, random.Random(seed))
    print(f"{name:14} {hunt.runs} runs, coverage {hunt.coverage}, seed {seed}", flush=True)
    for data in hunt.found:
        (learnt / fuzz_python.name_of(data)).write_bytes(data)
    if hunt.broken is not None:
        data, how = hunt.broken
        where = BUILD / f"{name}-{fuzz_python.name_of(data)}"
        where.write_bytes(data)
        print(f"{how}\n{name} failed; the input is {where.relative_to(ROOT)}")
        return False
    if keep_corpus:
        smaller = fuzz_python.hunt(target, sorted(hunt.found, key=len, reverse=True), 0, random.Random(seed))
        shutil.rmtree(committed)
        committed.mkdir()
        for data in smaller.found:
            (committed / fuzz_python.name_of(data)).write_bytes(data)
        print(f"{'':14} corpus of {len(smaller.found)} inputs")
    return True


def compiler() -> str:
    """A clang that links libFuzzer; raises FuzzError saying how to get one."""
    BUILD.mkdir(parents=True, exist_ok=True)
    probe = BUILD / "probe.c"
    probe.write_text(PROBE, encoding="utf-8")
    for name in filter(shutil.which, COMPILERS):
        linked = subprocess.run(
            [name, *SANITIZERS, str(probe), "-o", str(BUILD / "probe")], check=False, capture_output=True
        )
        if linked.returncode == 0:
            return name
    raise FuzzError(MISSING)


def build(name: str, clang: str) -> Path:
    """Compile one target; raises FuzzError with the compiler's words."""
    program = BUILD / name
    command = [clang, *FLAGS, *SANITIZERS, f"-I{ROOT}", str(HOME / f"fuzz_{name}.c"), "-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise FuzzError(f"{name} does not compile:\n{done.stderr}")
    return program


def run(name: str, program: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    """Fuzz for that many seconds, starting from what is committed and what was learnt before."""
    learnt = BUILD / "corpus" / name
    learnt.mkdir(parents=True, exist_ok=True)
    command = [
        str(program),
        f"-max_total_time={seconds}",
        "-max_len=2048",
        "-timeout=5",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={BUILD}/{name}-",
        str(learnt),
        str(HOME / "corpus" / name),
    ]
    words = HOME / f"{name}.dict"
    if words.exists():
        command.append(f"-dict={words}")
    return subprocess.run(command, check=False, capture_output=True, text=True)


def keep(name: str, program: Path) -> int:
    """Make the committed corpus the smallest set that covers all that is known; return its size."""
    committed, smaller = HOME / "corpus" / name, BUILD / "smaller" / name
    shutil.rmtree(smaller, ignore_errors=True)
    smaller.mkdir(parents=True)
    sources = [str(committed), str(BUILD / "corpus" / name)]
    merge = [str(program), "-merge=1", "-use_counters=0", "-max_len=2048", str(smaller), *sources]
    done = subprocess.run(merge, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise FuzzError(f"{name}: merging failed:\n{done.stderr[-2000:]}")
    shutil.rmtree(committed)
    shutil.copytree(smaller, committed)
    return len(list(committed.iterdir()))


def summary(output: str) -> str:
    """`N runs, coverage C` from libFuzzer's words."""
    runs = re.findall(r"number_of_executed_units:\s*(\d+)", output)
    covered = re.findall(r" cov: (\d+) ", output)
    return f"{runs[-1] if runs else 0} runs, coverage {covered[-1] if covered else 0}"


def fuzz(name: str, clang: str, seconds: int, keep_corpus: bool) -> bool:
    """Build and run one target and say how it went; False when it failed."""
    program = build(name, clang)
    done = run(name, program, seconds)
    print(f"{name:14} {summary(done.stderr)}", flush=True)
    if done.returncode != 0:
        print(done.stderr[-6000:])
        print(f"{name} failed; the input is build/fuzz/{name}-*, run build/fuzz/{name} with it")
        return False
    if keep_corpus:
        print(f"{'':14} corpus of {keep(name, program)} inputs")
    return True


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="per target")
    parser.add_argument(
        "--target",
        action="append",
        choices=[*targets(), *python_targets()],
        help="only this one; may be repeated",
    )
    parser.add_argument("--keep", action="store_true", help="minimise into the committed corpus")
    args = parser.parse_args(argv)
    try:
        chosen = args.target or [*targets(), *python_targets()]
        clang = compiler() if set(chosen) & set(targets()) else ""
        results = [
            fuzz(name, clang, args.seconds, args.keep)
            if name in targets()
            else fuzz_in_python(name, args.seconds, args.keep)
            for name in chosen
        ]
    except FuzzError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
