"""20 interleaved sessions of known length, then pflogsumm --smtpd_stats over the log; prints its figures.

Runs inside a world of the test kit. pflogsumm joins `connect` and `disconnect` by the number in brackets, so a number
that two open sessions share would make it count wrongly.
"""
import pathlib
import re
import socket
import subprocess
import sys
import time

oracle, program = pathlib.Path(sys.argv[1]), sys.argv[2]
SESSIONS, SECONDS, MESSAGES = 20, 3, 2

master = (oracle / "root/usr/share/postfix/master.cf.dist").read_text()
lines = [line.split() for line in master.splitlines() if line and line[0] not in "# "]
text = "".join(" ".join([*words[:4], "n", *words[5:]]) + "\n" for words in lines if len(words) >= 8 and words[7] != "pipe")
pathlib.Path("/etc/postfix/master.cf").write_text(text)
pathlib.Path("/etc/postfix/main.cf").write_text(
    """
compatibility_level = 3.6
maillog_file = /var/log/mail.log
myhostname = mail.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
default_transport = discard:
alias_maps =
local_recipient_maps =
"""
)
subprocess.run([program, "start"], check=True, stdout=subprocess.DEVNULL)


class Session:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", 25), 20)
        self.file = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                assert line[:1] in b"23", line
                return

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        self.reply()


for _ in range(100):
    try:
        socket.create_connection(("127.0.0.1", 25), 1).recv(3)
        break
    except OSError:
        time.sleep(0.1)
time.sleep(1)
pathlib.Path("/var/log/mail.log").write_text("")
began = time.time()
# Whole seconds, since the log has no finer time.
time.sleep(1.1 - began % 1)
start = time.time()
sessions = [Session() for _ in range(SESSIONS)]
for message in range(MESSAGES):
    for command in ("EHLO client.test", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA", "Subject: x\r\n\r\nx\r\n."):
        for session in sessions:
            session.ask(command)
time.sleep(max(0, start + SECONDS - time.time()))
for session in sessions:
    session.ask("QUIT")
time.sleep(2)
subprocess.run([program, "stop"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
report = subprocess.run(
    ["pflogsumm", "--smtpd_stats", "/var/log/mail.log"], check=True, capture_output=True, text=True
).stdout
wanted = r"received|delivered|forwarded|deferred|bounced|rejected|senders|recipients|connections|hosts/domains|total connect time"
for line in report.splitlines():
    if re.fullmatch(rf"\s+[\d:.k]+\s+({wanted}).*", line):
        print(" ".join(line.split()))
