"""What stands above every table: the machine, and when."""

import datetime
import os
import platform

# Those that decide which kernels are taken.
FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16",
         "amx_tile", "amx_bf16", "asimd", "sve")  # fmt: skip


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(versions: dict[str, str], probes: list[float], threads: int) -> str:
    """One line: date, CPU, flags, cores, threads, GEMM, versions.

    Args:
      versions: of what took part.
      probes: GFLOP/s of the fixed matrix product, all that were taken.
      threads: of each contender.
    """
    model, flags = _cpu()
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{datetime.date.today()}; {model} ({' '.join(flags)}), {cores()} cores, {threads} threads;"
        f" GEMM peak {max(probes):.0f} GFLOP/s (least {min(probes):.0f});"
        f" {platform.system()}, Python {platform.python_version()}, {told}."
    )


def _cpu() -> tuple[str, list[str]]:
    """Model, and those of its flags that matter here."""
    try:
        with open("/proc/cpuinfo") as file:
            pairs = [line.split(":", 1) for line in file if ":" in line]
    except OSError:
        pairs = []
    known = {key.strip(): value.strip() for key, value in reversed(pairs)}
    present = known.get("flags", known.get("Features", "")).split()
    model = known.get("model name", platform.processor() or platform.machine())
    return model, [flag for flag in FLAGS if flag in present]
