"""What the scripts of this directory share: files, programs, waiting, clients; inside a world of the test kit.

The first argument is the directory of Debian's unpacked packages, the second, if any, the program under test.
"""
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

oracle = pathlib.Path(sys.argv[1]) / "root"
LOG = pathlib.Path("/var/log/mail.log")
# Shown when something did not happen in time.
logs = [LOG]

MAIN = f"""
compatibility_level = 3.6
maillog_file = {LOG}
myhostname = mail.example.com
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
"""

DOVECOT = """
base_dir = /run/dovecot-peer
state_dir = /run/dovecot-peer
log_path = /tmp/dovecot.log
protocols = lmtp
default_login_user = ann
ssl = no
mail_location = maildir:/var/mail/dovecot/%u
first_valid_uid = 1
passdb {
  driver = static
  args = nopassword=y
}
"""


def write(path, text, user=0, mode=0o644):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, user, user)


def main_cf(text):
    """The settings of every world but for those that the text sets, then the text."""
    kept = [line for line in MAIN.splitlines() if f"\n{line.split(' =')[0]} =" not in text]
    write("/etc/postfix/main.cf", "\n".join(kept) + text)


def debian_master_cf(more=""):
    """Debian's services outside the chroot, without those of pipe(8); then more."""
    text = (oracle / "usr/share/postfix/master.cf.dist").read_text()
    lines = [line.split() for line in text.splitlines() if line and line[0] not in "# "]
    lines = [words for words in lines if words[7] != "pipe"]
    write("/etc/postfix/master.cf", "".join(" ".join([*words[:4], "n", *words[5:]]) + "\n" for words in lines) + more)


def dovecot_conf(text):
    """What all Dovecots have, then the text; Dovecot is started with `-c` and the path that this gives."""
    path = "/etc/dovecot-peer.conf"
    write(path, DOVECOT + text)
    logs.append(pathlib.Path("/tmp/dovecot.log"))
    return path


def start_mail(program):
    subprocess.run([program, "start"], check=True, stdout=subprocess.DEVNULL)
    wait_for_port(25)


def stop_mail(program):
    subprocess.run([program, "stop"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(log, *words, **more):
    """Starts a program whose output goes to a file."""
    logs.append(pathlib.Path(log))
    with open(log, "wb") as out:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)


def serve_names(zone):
    """A name server with the records of a zone, one a line: `NAME TYPE DATA`; nothing else exists."""
    server = subprocess.Popen([os.environ["NAMES"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server.stdin.write(zone)
    server.stdin.close()
    assert server.stdout.readline() == "serving\n"


def read_log():
    return LOG.read_text(errors="replace") if LOG.exists() else ""


def settled_log():
    """The whole log, once it no longer grows."""
    before = None
    while (now := read_log()) != before:
        before = now
        time.sleep(1)
    return now


def wait(what, condition, seconds=30):
    """Waits until a condition holds, and gives what it gave; else shows the logs and fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    for log in logs:
        if log.exists():
            print(log, log.read_text(errors="replace")[-4000:], sep="\n")
    sys.exit(f"timed out: {what}")


def wait_for_port(port):
    """Looks without connecting, so that no log tells of it."""

    def listens():
        lines = [line.split() for table in pathlib.Path("/proc/net").glob("tcp*") for line in open(table)]
        return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in lines)

    wait(f"port {port} is listened on", listens)


class Client:
    """A connection to a server; without `greeted` the greeting is left to be read."""

    def __init__(self, address="127.0.0.1", server=("127.0.0.1", 25), greeted=True):
        self.stream = socket.create_connection(server, 20, source_address=(address, 0))
        self.replies = self.stream.makefile("rb")
        self.greeting = self.reply() if greeted else None

    def send(self, text):
        self.stream.sendall(text.encode())

    def reply(self):
        """The last line of a reply; empty where the connection ended."""
        while (line := self.replies.readline())[3:4] == b"-":
            pass
        return line.decode().strip()

    def ask(self, *commands):
        """The last line of the reply to each command."""
        replies = []
        for command in commands:
            self.send(command + "\r\n")
            replies.append(self.reply())
        return replies

    def close(self):
        """Without QUIT."""
        self.replies.close()
        self.stream.close()


def holds(what, condition, *shown):
    """Prints what holds; else shows what was found, and fails."""
    if not condition:
        print(f"FAILED: {what}", *shown, sep="\n", file=sys.stderr)
        sys.exit(1)
    print(what)


def without_id(reply):
    return re.sub("queued as .*", "queued as ID", reply)
