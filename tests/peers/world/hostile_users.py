"""Local users attack sendmail, postdrop and postqueue: environment, descriptors, arguments, kills, full disks, crowds.

Runs inside a world of the test kit, without a running mail system: what is judged is maildrop/. Prints a line for each
attack that hurt nobody.
"""
import collections
import os
import pathlib
import re
import resource
import subprocess
from world import holds

ANN = ["setpriv", "--reuid=5004", "--regid=5004", "--clear-groups"]
SPOOL = pathlib.Path("/var/spool/postfix")
MAILDROP = SPOOL / "maildrop"
MESSAGE = b"Subject: x\n\nbody\n"
MAIN = "compatibility_level = 3.6\nmyhostname = mail.example.com\nmail_owner = postfix\nsetgid_group = postdrop\nmessage_size_limit = 1000000\n"

etc = pathlib.Path("/etc/postfix")
(etc / "main.cf").write_text(MAIN)
(etc / "master.cf").write_text("25 inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n")
subprocess.run(["postfix", "check"], check=True)


def as_ann(words, text=MESSAGE, env=None, **more):
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})}
    pipes = {} if "stderr" in more else {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run([*ANN, *words], input=text, env=environment, check=False, timeout=60, **pipes, **more)


def files():
    """Complete files and partial ones in maildrop/."""
    found = list(MAILDROP.iterdir())
    complete = [f for f in found if f.stat().st_mode & 0o100 and "." not in f.name]
    return complete, [f for f in found if f not in complete]


def clear():
    for file in MAILDROP.iterdir():
        file.unlink()


def whole(file):
    """Whether a complete file is a whole message of ann's, of which nobody else may change anything."""
    text, stat = file.read_bytes(), file.stat()
    return text.startswith(b"T") and text.endswith(b"E\x00") and stat.st_uid == 5004 and stat.st_mode & 0o022 == 0


# Whose configuration: the set-gid programs believe only what main.cf names.
own = pathlib.Path("/tmp/own")
own.mkdir(mode=0o755)
(own / "main.cf").write_text(f"{MAIN}queue_directory = {own}/spool\ncommand_directory = {own}\n")
for words in (["postdrop", "-r", "-c", str(own)], ["postqueue", "-p", "-c", str(own)]):
    done = as_ann(words)
    holds(f"{words[0]} -c", done.returncode != 0 and b"unauthorized configuration directory" in done.stderr, done)
    done = as_ann([w for w in words if w not in ("-c", str(own))], env={"MAIL_CONFIG": str(own)})
    holds(f"{words[0]} MAIL_CONFIG", done.returncode != 0 and b"unauthorized" in done.stderr, done)
os.symlink("/etc/postfix", "/tmp/link")
for name in ("/tmp/link", "/etc/postfix/../postfix", "etc/postfix", ""):
    done = as_ann(["postdrop", "-r", "-c", name], text=b"", cwd="/")
    holds(f"postdrop -c '{name}'", done.returncode == 1 and not any(files()), done)
clear()

# The environment, and what an attacker's libraries could be made to do.
hostile = {
    "LD_PRELOAD": "/tmp/evil.so", "LD_LIBRARY_PATH": "/tmp", "TZ": "/etc/shadow", "LANG": "../../etc", "HOME": "/nonexistent",
    "NAME": "x\x1b[31m\nBcc: eve", "RUST_BACKTRACE": "full", "TMPDIR": "/nonexistent", "MAIL_DEBUG": "1", "IFS": "/",
    "MAIL_VERBOSE": "9", "MAIL_LOGTAG": "%n%s", "LOGNAME": "root", "USER": "root", "MALLOC_CONF": "x", "GLIBC_TUNABLES": "x=y",
}
done = as_ann(["sendmail", "-f", "ann", "bob"], env=hostile)
complete, partial = files()
holds("a hostile environment", done.returncode == 0 and len(complete) == 1 and not partial and whole(complete[0]), done)
done = as_ann(["sendmail", "bob"], env={f"V{n}": "x" * 1000 for n in range(1000)})
holds("a large environment", done.returncode == 0 and len(files()[0]) == 2, done)
clear()

# Descriptors that are closed, or full.
for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"):
    for command in ("sendmail -f ann bob", "postdrop -r", "postqueue -p", "sendmail -y", "mailq"):
        done = as_ann(["sh", "-c", f"{command} {closed}"], text=b"" if command == "postdrop -r" else MESSAGE)
        complete, partial = files()
        holds(f"{command} {closed}", 0 <= done.returncode < 101 and not partial and all(map(whole, complete)), done, partial)
        clear()

# Arguments.
for words, count in (
    (["-f", "a@b"] + ["bob@example.com"] * 5000, 1),
    (["x" * 100_000], 0),
    (["-f", "x" * 100_000, "bob"], 0),
    (["-F", "x" * 100_000, "bob"], 0),
    (["-" + "t" * 10_000, "bob"], 1),
    (["(" * 50_000 + "bob"], None),
    (["<" * 50_000 + "bob"], None),
    (["-f", "a\nS\x03eve", "bob"], 1),
    (["-f", b"\xff\xfe\x80", b"\xff"], 1),
    (["-V", "x\ny=z", "bob"], 1),
    (["--", "-bd"], 1),
):
    done = as_ann(["sendmail", *words], cwd="/")
    complete, partial = files()
    fine = done.returncode in (0, 75) and not partial and all(map(whole, complete))
    holds(f"{str(words)[:40]}…", fine and count in (None, len(complete)), done.returncode, done.stderr[-300:], complete)
    clear()
said = [
    as_ann(words).stderr
    for words in (
        ["sendmail", "-f", "\x1b]0;x\x07 \x9b31m b", "\x1b[2J"],
        ["sendmail", "-f", "\x1b]0;x\x07", "-y\x1b[2J"],
        ["sendmail", "-f", "\x1b]0;x\x07"],
        ["sendmail", "-C", "/\x1b[2J", "bob"],
        ["postqueue", "-i", "\x1b[2J"],
    )
]
holds("no escapes for a terminal", all(said) and not any(b in text for text in said for b in (b"\x1b", b"\x07")), said)
for words in (["mailq"], ["postqueue", "-j"]):
    listed = subprocess.run(words, capture_output=True, check=True).stdout
    holds(f"nor from {words[0]}", b"2J" in listed and not any(b in listed for b in (b"\x1b", b"\x07")), listed)
clear()

# Texts.
for text in (b"\0" * 100_000, b"x" * 500_000, b"\n" * 100_000, b"To: " + b"a," * 100_000 + b"\n\nx", bytes(range(256)) * 100, b""):
    for words in (["-t", "bob"], ["-i", "bob"], ["-bs"]):
        done = as_ann(["sendmail", *words], text=text)
        complete, partial = files()
        holds(f"{words[0]} {text[:8]!r}…", done.returncode in (0, 75) and not partial and all(map(whole, complete)), done)
        clear()
done = as_ann(["sendmail", "bob"], text=b"x" * 2_000_000)
holds("more than message_size_limit", done.returncode == 75 and not any(files()), done)

# Killed at any system call: what is there is whole, and what was told to be sent is there. strace is root's, since with
# a user's own tracer the programs would not be set-gid.
STREAM = b"S\x03annR\x03bobM\x00N\x04bodyX\x00E\x00"


def traced(options, words):
    strace = ["strace", "-qq", "-f", "-u", "ann", *options]
    text = MESSAGE if words[0] == "sendmail" else STREAM
    return subprocess.run([*strace, *words], input=text, check=False, capture_output=True, timeout=60)


for words in (["sendmail", "-f", "ann", "bob"], ["postdrop", "-r"]):
    done = traced(["-o", "/tmp/trace"], words)
    holds(f"{words[0]} with a tracer", done.returncode == 0 and len(files()[0]) == 1, done)
    clear()
    calls = collections.Counter(re.findall(r"^\d+ +(\w+)\(", pathlib.Path("/tmp/trace").read_text(), re.MULTILINE))
    survived = tried = 0
    for call, count in sorted(calls.items()):
        for number in sorted({1, 2, count // 2, count - 1, count} & set(range(1, count + 1))):
            done = traced(["-o", "/dev/null", "-e", f"inject={call}:signal=SIGKILL:when={number}"], words)
            complete, partial = files()
            told = done.returncode == 0
            survived, tried = survived + told, tried + 1
            holds(f"{words[0]} killed at {call} {number}", all(map(whole, complete)) and (not told or complete), done, complete)
            clear()
    # Of two processes neither makes all of a call's calls.
    holds(f"{words[0]} is killed at most of them", survived < tried / 2, survived, tried)

# Limits that the user sets for himself.
def limited(which, value):
    return lambda: resource.setrlimit(which, (value, value))


for which, value in (
    (resource.RLIMIT_FSIZE, 1000), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_NOFILE, 5),
    (resource.RLIMIT_AS, 30_000_000), (resource.RLIMIT_STACK, 100_000), (resource.RLIMIT_CPU, 0), (resource.RLIMIT_DATA, 1_000_000),
):
    done = as_ann(["sendmail", "-f", "ann", "bob"], text=b"Subject: x\n\n" + b"y" * 200_000, preexec_fn=limited(which, value))
    complete, partial = files()
    holds(f"limit {which} {value}", all(map(whole, complete)) and (done.returncode != 0 or len(complete) == 1), done)
    clear()

# Many at once: as many whole messages as were told to be sent, each once.
crowd = [subprocess.Popen([*ANN, "sendmail", "-f", "ann", "bob"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(100)]
for one in crowd:
    one.stdin.write(MESSAGE)
    one.stdin.close()
sent = sum(one.wait() == 0 for one in crowd)
complete, partial = files()
holds("a hundred at once", sent == 100 == len(complete) and not partial and all(map(whole, complete)), sent, len(complete))
clear()

# A full disk: what does not fit is refused, and nothing of it stays.
stat = MAILDROP.stat()
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=64k,mode=730,uid={stat.st_uid},gid={stat.st_gid}", "tmpfs", MAILDROP], check=True)
done = as_ann(["sendmail", "-f", "ann", "bob"], text=b"y\n" * 100_000)
holds("a full disk", done.returncode == 75 and b"No space left on device" in done.stderr and not any(files()), done, files())
done = as_ann(["sendmail", "-f", "ann", "bob"])
holds("room again", done.returncode == 0 and len(files()[0]) == 1, done)
while as_ann(["sendmail", "-f", "ann", "bob"], text=b"y\n" * 3000).returncode == 0:
    pass
complete, partial = files()
holds("filled to the brim", not partial and len(complete) > 2 and all(map(whole, complete)), complete, partial)
done = as_ann(["sendmail", "-bs"], text=b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + b"y\r\n" * 20_000 + b".\r\nQUIT\r\n")
holds("-bs on a full disk", b"\r\n451 4.3.0 " in done.stdout and not files()[1], done)
print("done")
