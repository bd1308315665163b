"""20 interleaved sessions of known length, then pflogsumm --smtpd_stats over the log; prints its figures.

Runs inside a world of the test kit. pflogsumm joins `connect` and `disconnect` by the number in brackets, so a number
that two open sessions share would make it count wrongly.
"""
import re
import subprocess
import sys
import time
from world import LOG, Client, debian_master_cf, main_cf, start_mail, stop_mail

program = sys.argv[2]
SESSIONS, SECONDS, MESSAGES = 20, 3, 2

debian_master_cf()
main_cf("\ndefault_transport = discard:\n")
start_mail(program)
time.sleep(1)
LOG.write_text("")
began = time.time()
# Whole seconds, since the log has no finer time.
time.sleep(1.1 - began % 1)
start = time.time()
sessions = [Client() for _ in range(SESSIONS)]
for message in range(MESSAGES):
    for command in ("EHLO client.test", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA", "Subject: x\r\n\r\nx\r\n."):
        for session in sessions:
            [reply] = session.ask(command)
            assert reply[0] in "23", reply
time.sleep(max(0, start + SECONDS - time.time()))
for session in sessions:
    session.ask("QUIT")
time.sleep(2)
stop_mail(program)
report = subprocess.run(["pflogsumm", "--smtpd_stats", LOG], check=True, capture_output=True, text=True).stdout
wanted = r"received|delivered|forwarded|deferred|bounced|rejected|senders|recipients|connections|hosts/domains|total connect time"
for line in report.splitlines():
    if re.fullmatch(rf"\s+[\d:.k]+\s+({wanted}).*", line):
        print(" ".join(line.split()))
