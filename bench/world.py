"""The world of a trial: its own network, mounts and processes, and a queue directory on a loop-mounted ext4 with a journal.

A script calls `own_namespace`, `prepare` and then `trial` for each run; `trial` starts the script again inside the world, with
`--inside JOB`, and takes the dictionary that it prints.
"""
import json, os, shutil, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
WORK = os.path.join(ROOT, "target", "bench")
ORACLE = os.path.join(ROOT, "target", "oracle")
DISK = os.path.join(WORK, "mnt")
RESULTS = os.path.join(HERE, "results")
RELEASE = os.path.join(ROOT, "target", "release", "posthaste")
SINK_PORT = 2500


# ---- outside ----

def own_namespace():
    """Starts the script again in a mount namespace of its own, so that the loop mount disappears with it."""
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: needs root for namespaces and the loop device")
    if "BENCH_NAMESPACE" not in os.environ:
        os.environ["BENCH_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable] + sys.argv)


def prepare(posthaste, gigabytes=4):
    """Makes the file system and mounts it on DISK; gives the name of its device."""
    os.makedirs(DISK, exist_ok=True)
    run([os.path.join(ROOT, "tests", "testkit", "world", "fetch"), ORACLE])
    if posthaste and not os.path.exists(posthaste):
        sys.exit(f"{sys.argv[0]}: no {posthaste}: cargo build --release --workspace --bins")
    image = os.path.join(WORK, "disk.img")
    if not is_written(image, gigabytes << 30):
        # A hole would be filled by the file system below, whose own journal each flush would then wait for.
        run(["dd", "if=/dev/zero", f"of={image}", "bs=1M", f"count={gigabytes << 10}", "conv=fsync"])
    run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image])
    device = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", image], capture_output=True, text=True)
    if device.returncode != 0:
        device = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if device.returncode != 0:
        sys.exit(f"{sys.argv[0]}: losetup: {device.stderr.strip()}")
    device = device.stdout.strip()
    run(["mount", "-t", "ext4", "-o", "noatime", device, DISK])
    # The device goes when the last mount does.
    subprocess.run(["losetup", "--detach", device], stderr=subprocess.DEVNULL)
    if "has_journal" not in subprocess.run(["dumpe2fs", "-h", device], capture_output=True, text=True).stdout:
        sys.exit(f"{sys.argv[0]}: the file system has no journal")
    return os.path.basename(device)


def is_written(path, size):
    """Whether a file has this size and no holes."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    return found.st_size == size and found.st_blocks * 512 >= size


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{sys.argv[0]}: {' '.join(command)}: {done.stderr.strip()}")


def trial(job, posthaste, seconds):
    """One run in a world of its own, at most `seconds` long; its figures as a dictionary.

    `job` names at least `program` and `device`; the queue directory is new."""
    directory = os.path.join(DISK, "trial")
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("spool", "log", "mail"):
        os.makedirs(os.path.join(directory, name))
    os.sync()
    job = dict(job, directory=directory)
    kind = "posthaste" if job["program"] == "posthaste" else "postfix"
    command = [os.path.join(ROOT, "tests", "testkit", "world", "enter"), kind, ORACLE,
               sys.executable, os.path.abspath(sys.argv[0]), "--inside", json.dumps(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, POSTHASTE=os.path.abspath(posthaste)),
                              timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        return {"error": "the trial did not end"}
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": (done.stderr.strip() or done.stdout.strip())[-2000:]}


def keep(text, results):
    """Prints the tables and keeps them, and all figures, below RESULTS."""
    print(text)
    os.makedirs(RESULTS, exist_ok=True)
    stamp = os.path.join(RESULTS, os.path.basename(sys.argv[0]) + time.strftime("-%Y%m%d-%H%M%S"))
    with open(stamp + ".md", "w") as out:
        out.write(text)
    with open(stamp + ".json", "w") as out:
        json.dump(results, out, indent=1)


# ---- inside ----

def inside(measure):
    """The script's inner half: `measure(job)` gives the figures."""
    job = json.loads(sys.argv[2])
    for name, place in (("spool", "/var/spool"), ("log", "/var/log"), ("mail", "/var/mail")):
        subprocess.run(["mount", "--bind", os.path.join(job["directory"], name), place], check=True)
    os.makedirs("/var/spool/postfix")
    os.makedirs("/var/mail/vhosts")
    shutil.chown("/var/mail/vhosts", "vmail", "vmail")
    try:
        result = measure(job)
    except Exception as error:  # the outer half shows it
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result))
    sys.stdout.flush()


def configure(**settings):
    """Writes main.cf, with these settings over the common ones, and Debian's master.cf."""
    main = dict(compatibility_level="3.6", maillog_file="/var/log/mail.log", myhostname="mail.example.com", mydestination="",
                alias_maps="", inet_interfaces="all", inet_protocols="ipv4", mynetworks="127.0.0.0/8",
                relayhost=f"[127.0.0.1]:{SINK_PORT}", message_size_limit="50000000", smtpd_recipient_limit="2000",
                # The same session may hold thousands of connections here, and the measure is not about abuse.
                smtpd_client_connection_count_limit="0", virtual_mailbox_limit="0", mailbox_size_limit="0")
    main.update(settings)
    with open("/etc/postfix/main.cf", "w") as out:
        out.writelines(f"{name} = {value}\n" for name, value in main.items())
    with open("/etc/postfix/master.cf", "w") as out:
        for name, kind, private, root, process_limit, command in SERVICES:
            out.write(f"{name} {kind} {private} {root} n - {process_limit} {command}\n")


# Debian's master.cf outside chroot: name, type, private, unprivileged, process limit, command.
SERVICES = [line.split(None, 5) for line in """\
smtp inet n - - smtpd
pickup unix n - 1 pickup
cleanup unix n - 0 cleanup
qmgr unix n - 1 qmgr
tlsmgr unix - - 1 tlsmgr
rewrite unix - - - trivial-rewrite
bounce unix - - 0 bounce
defer unix - - 0 bounce
trace unix - - 0 bounce
verify unix - - 1 verify
flush unix n - 0 flush
proxymap unix - - - proxymap
proxywrite unix - - 1 proxymap
smtp unix - - - smtp
relay unix - - - smtp
showq unix n - - showq
error unix - - - error
retry unix - - - error
discard unix - - - discard
local unix - n - local
virtual unix - n - virtual
lmtp unix - - - lmtp
anvil unix - - 1 anvil
scache unix - - 1 scache
postlog unix-dgram n - 1 postlogd""".splitlines()]


def start(program, trace=None):
    """Starts the mail system; gives the process to kill at the end, if there is one."""
    output = dict(stdin=subprocess.DEVNULL, stdout=open("/tmp/out", "w"), stderr=subprocess.STDOUT)
    if program == "posthaste":
        strace = ["strace", "-f", "-c", "-o", trace] if trace else []
        process = subprocess.Popen(strace + ["posthaste", "start-fg", "-c", "/etc/postfix"], **output)
        wait_for_port(process)
        return process
    if subprocess.run(["postfix", "start"], **output).returncode != 0:
        raise RuntimeError("postfix start: " + tail("/tmp/out") + tail("/var/log/mail.log"))
    wait_for_port()
    return None


def wait_for_port(process=None, port=25):
    deadline = time.monotonic() + 20
    wanted = f":{port:04X}"
    while time.monotonic() < deadline:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table) as file:
                if any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in file if ":" in line.split()[1]):
                    return
        if process and process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}: " + tail("/tmp/out") + tail("/var/log/mail.log"))


def tail(path):
    try:
        with open(path, errors="replace") as file:
            return " ".join(file.read().strip().splitlines()[-5:])
    except OSError:
        return ""
