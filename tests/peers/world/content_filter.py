"""Debian's clamsmtp as an after-queue content filter; prints the replies, the boxes and the log lines of the loop.

Runs inside a world of the test kit. Arguments: the unpacked packages, and `postfix` or `posthaste`. The virus scanner
behind clamsmtp is scripted: a file that holds the word `virus` has one.
"""
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

oracle, program = pathlib.Path(sys.argv[1]) / "root", sys.argv[2]
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
    said = open("/tmp/clamsmtp.out", "wb")
    subprocess.Popen([oracle / "usr/sbin/clamsmtpd", "-d", "4", "-f", config], stdout=said, stderr=said)


def wait_for(address):
    for _ in range(200):
        try:
            return socket.create_connection(address, 1).close()
        except OSError:
            time.sleep(0.1)
    for log in ("/tmp/clamsmtp.out", "/var/log/mail.log"):
        if pathlib.Path(log).exists():
            print(log, pathlib.Path(log).read_text(errors="replace"))
    sys.exit(f"nothing listens on {address}")


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
mynetworks = 127.0.0.0/8
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
    master = (oracle / "usr/share/postfix/master.cf.dist").read_text()
    lines = [line.split() for line in master.splitlines() if line and line[0] not in "# "]
    text = "".join(" ".join([*words[:4], "n", *words[5:]]) + "\n" for words in lines if len(words) >= 8 and words[7] != "pipe")
    text += """scan unix - - n - 16 smtp -o smtp_send_xforward_command=yes
127.0.0.1:10026 inet n - n - 16 smtpd -o content_filter= -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters -o smtpd_authorized_xforward_hosts=127.0.0.0/8
"""
    pathlib.Path("/etc/postfix/master.cf").write_text(text)
    subprocess.run([program, "start"], check=True, stdout=subprocess.DEVNULL)


def send(sender, recipients, body):
    """A message; prints the last reply."""
    with socket.create_connection(("127.0.0.1", 25), 30) as stream:
        replies = stream.makefile("rb")
        lines = ["", "EHLO client.example.net", f"MAIL FROM:<{sender}>"]
        lines += [f"RCPT TO:<{recipient}>" for recipient in recipients]
        for line in [*lines, "DATA", f"Subject: x\r\n\r\n{body}\r\n.", "QUIT"]:
            if line:
                stream.sendall(line.encode() + b"\r\n")
            while (reply := replies.readline())[3:4] == b"-":
                pass
            if line.startswith("Subject"):
                print("told:", re.sub("queued as .*", "queued as ID", reply.decode().strip()))


def wait_for_removed(count):
    """Each message is removed twice: as it came, and as it came back or was returned."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        removed = len(re.findall(r": removed\n", pathlib.Path("/var/log/mail.log").read_text(errors="replace")))
        if removed >= count:
            return
        time.sleep(0.1)


def masked(line):
    line = re.sub(r"(queued as |orig_queue_id=)\w+", r"\1ID", line)
    return re.sub(r"delays?=[\d./]+", "D", re.sub(r"conn_use=\d+, ", "", line))


threading.Thread(target=serve_scans, daemon=True).start()
start_filter()
wait_for(("127.0.0.1", 10025))
start_mail()
wait_for(("127.0.0.1", 25))
wait_for(("127.0.0.1", 10026))
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
for line in pathlib.Path("/var/log/mail.log").read_text(errors="replace").splitlines():
    if found := re.search(r"/(smtp|virtual)\[\d+\]: (\w+: to=.*)|/smtpd\[\d+\]: (\w+: client=.*orig.*)", line):
        results.add(masked(found[2] or found[3]).split(": ", 1)[1])
print("\n".join("log: " + line for line in sorted(results)))
