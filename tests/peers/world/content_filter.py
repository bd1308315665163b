"""Debian's clamsmtp as an after-queue content filter; prints the replies, the boxes and the log lines of the loop.

Runs inside a world of the test kit. Arguments: the unpacked packages, and `postfix` or `posthaste`. The virus scanner
behind clamsmtp is scripted: a file that holds the word `virus` has one.
"""
import pathlib
import re
import socket
import sys
import threading
from world import Client, debian_master_cf, main_cf, oracle, read_log, settled_log, start, start_mail, wait, wait_for_port, without_id

program = sys.argv[2]
SCANNER = "/tmp/clamd.socket"


def serve_scans():
    """What clamsmtp asks of clamd: a session with PING and SCAN."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SCANNER)
    listener.listen()
    while True:
        threading.Thread(target=scan, args=(listener.accept()[0],), daemon=True).start()


def scan(stream):
    for line in stream.makefile("rb"):
        word, _, path = line.decode().strip().partition(" ")
        if word == "PING":
            stream.sendall(b"PONG\n")
        elif word in ("SCAN", "CONTSCAN"):
            found = b"virus" in pathlib.Path(path).read_bytes()
            stream.sendall(f"{path}: {'Test.Virus FOUND' if found else 'OK'}\n".encode())
        elif word == "END":
            break
    stream.close()


def start_filter():
    config = pathlib.Path("/tmp/clamsmtpd.conf")
    config.write_text(
        f"""Listen: 127.0.0.1:10025
OutAddress: 127.0.0.1:10026
ClamAddress: {SCANNER}
TempDirectory: /tmp
Header: X-Virus-Scanned: by clamsmtp
Action: bounce
XClient: off
"""
    )
    start("/tmp/clamsmtp.out", oracle / "usr/sbin/clamsmtpd", "-d", "4", "-f", config)


def configure():
    main_cf(
        """
virtual_mailbox_domains = example.com
virtual_mailbox_base = /var/mail/vhosts
virtual_mailbox_maps = inline:{ann@example.com=ann, bob@example.com=bob}
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
content_filter = scan:[127.0.0.1]:10025
receive_override_options = no_address_mappings
header_checks = pcre:{{/^Subject: (.*)/ REPLACE Subject: checked $$1}}
"""
    )
    debian_master_cf(
        """scan unix - - n - 16 smtp -o smtp_send_xforward_command=yes
127.0.0.1:10026 inet n - n - 16 smtpd -o content_filter= -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters -o smtpd_authorized_xforward_hosts=127.0.0.0/8
"""
    )


def send(sender, recipients, body):
    """A message; prints the last reply."""
    client = Client()
    client.ask("EHLO client.example.net", f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{to}>" for to in recipients], "DATA")
    [told, _] = client.ask(f"Subject: x\r\n\r\n{body}\r\n.", "QUIT")
    print("told:", without_id(told))


def wait_for_removed(count):
    """Each message is removed twice: as it came, and as it came back or was returned."""
    wait("the mail is through", lambda: read_log().count(": removed\n") >= count)


def masked(line):
    line = re.sub(r"(queued as |orig_queue_id=)\w+", r"\1ID", line)
    return re.sub(r"delays?=[\d./]+", "D", re.sub(r"conn_use=\d+, ", "", line))


threading.Thread(target=serve_scans, daemon=True).start()
start_filter()
wait_for_port(10025)
configure()
start_mail(program)
wait_for_port(10026)
send("bob@example.com", ["ann@example.com"], "harmless")
wait_for_removed(2)
send("bob@example.com", ["ann@example.com", "bob@example.com"], "..\r\nlong " + "x" * 500)
wait_for_removed(4)
send("bob@example.com", ["ann@example.com"], "a virus")
wait_for_removed(6)
for user in ("ann", "bob"):
    for line in pathlib.Path("/var/mail/vhosts", user).read_text().splitlines():
        if line.startswith(("Subject:", "X-Virus", "X-Original-To:", "harmless", "..", ".", "long", "Status:", "Diag")):
            print(f"{user}:", masked(line))
results = set()
for line in settled_log().splitlines():
    if found := re.search(r"/(smtp|virtual)\[\d+\]: (\w+: to=.*)|/smtpd\[\d+\]: (\w+: client=.*orig.*)", line):
        results.add(masked(found[2] or found[3]).split(": ", 1)[1])
print("\n".join("log: " + line for line in sorted(results)))
