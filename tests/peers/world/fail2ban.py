"""Clients that misbehave in every way that fail2ban's stock filter knows; prints what each of its modes finds in the log.

Runs inside a world of the test kit, with a name server of its own. Arguments: the unpacked packages, and `postfix` or
`posthaste`. Each client has an address of its own. Lines are printed without their time and the number in brackets.
"""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

oracle, program = pathlib.Path(sys.argv[1]) / "root", sys.argv[2]
LOG = pathlib.Path("/var/log/mail.log")
MODES = ["normal", "more", "auth", "rbl", "ddos", "extra", "errors", "aggressive"]
SMTPD, SCREENED = 25, 2525
HELO = ["EHLO client.example.net"]
MAIL = [*HELO, "MAIL FROM:<a@example.net>"]
LISTED = "192.0.2.26"


def serve_names():
    """One client stands in a list; example.net has an address; nothing else exists."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 53))
    known = {".".join(reversed(LISTED.split("."))) + ".bl.example", "example.net"}
    while True:
        packet, peer = listener.recvfrom(4096)
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1 : at + 1 + packet[at]])
            at += 1 + packet[at]
        is_known, question = b".".join(labels).decode().lower() in known, packet[12 : at + 5]
        has_address = is_known and packet[at + 1 : at + 3] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\2" if has_address else b""
        counts = b"\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0"
        listener.sendto(packet[:2] + (b"\x85\x80" if is_known else b"\x85\x83") + counts + question + answer, peer)


def start_mail():
    pathlib.Path("/etc/postfix/main.cf").write_text(
        """
compatibility_level = 3.6
maillog_file = /var/log/mail.log
myhostname = mail.example.com
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.1
virtual_mailbox_domains = example.com
virtual_mailbox_base = /var/mail/vhosts
virtual_mailbox_maps = inline:{ann@example.com=box}
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_restrictions =
    check_client_access inline:{{192.0.2.25=REJECT go away},{192.0.2.27=reject_unknown_client_hostname}}
    reject_rbl_client bl.example
smtpd_helo_restrictions = reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_unknown_sender_domain
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_hard_error_limit = 3
smtpd_soft_error_limit = 100
smtpd_timeout = 5s
disable_vrfy_command = no
postscreen_greet_wait = 2s
postscreen_greet_action = enforce
postscreen_command_count_limit = 3
postscreen_command_time_limit = 2s
"""
    )
    # Debian's 3.7 lets clients pipeline where they must not by default, and closes such sessions if told to.
    pathlib.Path("/etc/postfix/master.cf").write_text(
        """
smtp inet n - n - - smtpd -o smtpd_forbid_unauth_pipelining=yes
2525 inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
    )
    said = subprocess.DEVNULL
    subprocess.run([program, "start"], check=True, stdout=said, stderr=said)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if all(listens(port) for port in (SMTPD, SCREENED)):
            return
        time.sleep(0.05)
    sys.exit(f"does not listen: {LOG.read_text(errors='replace')}")


def listens(port):
    table = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in map(str.split, table))


class Client:
    """A connection from an address of its own."""

    def __init__(self, number, port=SMTPD, early=""):
        self.stream = socket.create_connection(("127.0.0.1", port), 20, source_address=(f"192.0.2.{number}", 0))
        self.replies = self.stream.makefile("rb")
        self.send(early)
        if early:
            # Alone, so that it is what was sent early.
            time.sleep(0.3)
        else:
            self.reply()

    def send(self, text):
        self.stream.sendall(text.encode())

    def reply(self):
        while (line := self.replies.readline())[3:4] == b"-":
            pass
        return line

    def close(self):
        """Without QUIT."""
        self.replies.close()
        self.stream.close()

    def ask(self, lines):
        for line in lines:
            self.send(line + "\r\n")
            self.reply()
        return self


def smtpd_clients():
    Client(20).ask([*MAIL, "RCPT TO:<ann@example.com>", "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT"])
    Client(21).ask([*MAIL, "RCPT TO:<x@example.org>", "QUIT"])
    Client(22).ask([*MAIL, "RCPT TO:<nobody@example.com>", "QUIT"])
    Client(23).ask([*HELO, "MAIL FROM:<a@nowhere.example>", "RCPT TO:<ann@example.com>", "QUIT"])
    Client(24).ask(["EHLO client", "MAIL FROM:<a@example.net>", "RCPT TO:<ann@example.com>", "QUIT"])
    for number in (25, 26, 27):
        Client(number).ask([*MAIL, "RCPT TO:<ann@example.com>", "QUIT"])
    Client(28).ask([*HELO, *["NONSENSE"] * 3])
    Client(29).ask([*MAIL, "RCPT TO:<ann@example.com>", *["NONSENSE"] * 3])
    early = Client(30).ask(MAIL)
    early.ask(["RCPT TO:<ann@example.com>"])
    early.send("DATA\r\nMAIL FROM:<b@example.net>\r\n")
    early.reply()
    early.close()
    Client(31, early="EHLO client.example.net\r\n").reply()
    Client(32).close()
    Client(33).ask(HELO).close()
    Client(34).ask([*MAIL, "RCPT TO:<ann@example.com>"]).close()
    Client(35).ask([*HELO, "AUTH PLAIN AAAA", "QUIT"])
    Client(36).ask([*MAIL, "RCPT TO:<ann@example.com>", "DATA"]).close()
    Client(37).ask(["VRFY nobody@example.com", "QUIT"])
    Client(38).ask(HELO).reply()


def screened_clients():
    """Who talks early gets postscreen's own server, with its limits."""
    Client(50, SCREENED, early="EHLO early.example\r\n").ask(["QUIT"])
    gone = socket.create_connection(("127.0.0.1", SCREENED), 20, source_address=("192.0.2.51", 0))
    time.sleep(0.3)
    gone.close()
    Client(52, SCREENED, early="EHLO early.example\r\n").ask(["NOOP"] * 4)
    slow = Client(53, SCREENED, early="EHLO early.example\r\n")
    while slow.reply():
        pass
    Client(54, SCREENED, early="EHLO early.example\r\n").ask(["x" * 3000])


def settle():
    """The log is complete once it no longer grows."""
    before = -1
    while (now := LOG.stat().st_size) != before:
        before = now
        time.sleep(1)


def found(mode):
    words = [sys.executable, oracle / "usr/bin/fail2ban-regex", "-c", oracle / "etc/fail2ban", "-o", "<ip> <matches>"]
    modules = dict(os.environ, PYTHONPATH=str(oracle / "usr/lib/python3/dist-packages"))
    done = subprocess.run([*words, LOG, f"postfix[mode={mode}]"], capture_output=True, text=True, env=modules)
    if done.returncode:
        sys.exit(f"fail2ban-regex: {done.returncode}\n{done.stdout}{done.stderr}")
    for line in done.stdout.splitlines():
        if match := re.fullmatch(r"(\S+) \w+ +\d+ [\d:]+ \S+ ([^\[]+)\[\d+\]: (.*)", line):
            text = re.sub(r"after \d+(\.\d+)? from", "after T from", match[3])
            yield f"{mode}: {match[1]} {match[2]}: {re.sub(r'](:)[0-9]+', r']:PORT', text)}"
        elif line.strip():
            sys.exit(f"fail2ban-regex: {line}")


threading.Thread(target=serve_names, daemon=True).start()
start_mail()
smtpd_clients()
screened_clients()
settle()
for mode in MODES:
    print(*sorted(re.sub(r": [0-9A-Za-z]{8,}: ", ": QUEUEID: ", line) for line in found(mode)), sep="\n")
print("---")
print(LOG.read_text(errors="replace"))
