"""What the kernel knows of the mail system under test: CPU, memory, system calls, and the file system's flushes."""
import os, signal, subprocess, time

TOOLS = {"python3", "python", "bash", "sh", "smtp-source", "smtp-sink", "crowd", "perf", "strace", "sleep", "enter", "compare", "unshare"}


def mail_processes():
    """Pids of the mail system's processes: all of this world's but the tools."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    stat = file.read()
            except OSError:
                continue
            command = stat[stat.index("(") + 1:stat.rindex(")")]
            if command not in TOOLS:
                yield int(name), stat[stat.rindex(")") + 2:].split()


def cpu_seconds():
    # Own time and that of children already waited for: a Postfix daemon that ended counts in master's.
    ticks = sum(int(value) for _, stat in mail_processes() for value in stat[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kb():
    total = 0
    for pid, _ in mail_processes():
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def disk_counters(job):
    """Bytes written to the file system's device and flushes of it."""
    with open(f"/sys/block/{job['device']}/stat") as file:
        fields = [int(value) for value in file.read().split()]
    return fields[6] * 512, fields[15] if len(fields) > 15 else 0


class Calls:
    """System calls of the mail system, counted by perf (cheap enough to leave the rates alone)."""

    def __init__(self, job):
        pids = ",".join(str(pid) for pid, _ in mail_processes())
        command = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", pids]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=30)
        for line in said.splitlines():
            if "raw_syscalls" in line and line.split(",")[0].isdigit():
                return int(line.split(",")[0])
        raise RuntimeError("perf stat: " + said.strip())


class Profile:
    """Where the time goes, by perf record."""

    def __init__(self, job):
        pids = ",".join(str(pid) for pid, _ in mail_processes())
        command = ["perf", "record", "-q", "-g", "-F", "997", "-o", job["profile"], "-p", pids]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
