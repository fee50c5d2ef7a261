"""What the kernel knows of a process: CPU time and resident memory."""

import os
import time


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads, ended ones too, user and system together.

    The same as utime + stime of /proc/PID/stat, but in nanoseconds instead of ticks of 10 ms: the process's CPU
    clock (clock_getcpuclockid), which any process may read.
    """
    return time.clock_gettime(~pid << 3 | 2)


def stat_seconds(pid: int) -> float:
    """utime + stime of /proc/PID/stat (fields 14 and 15, proc(5)), for comparison."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict:
    """Resident bytes now (`rss`) and at their highest (`highest`)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return {name: int(lines[key].split()[0]) * 1024 for name, key in (("rss", "VmRSS"), ("highest", "VmHWM"))}


def load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]
