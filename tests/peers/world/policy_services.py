"""Debian's postgrey and policyd-spf behind check_policy_service; prints the replies and the log lines about them.

Runs inside a world of the test kit, with a name server of its own. Arguments: the unpacked packages, and `postfix` or
`posthaste`. policyd-spf answers on its standard output, one process a connection, as spawn(8) starts it.
"""
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading
import time

oracle, program = pathlib.Path(sys.argv[1]) / "root", sys.argv[2]
SPF = {"pass.example.net": "v=spf1 ip4:192.0.2.10 -all", "fail.example.net": "v=spf1 -all"}
GREYLIST_SECONDS = 2


def serve_names():
    """Answers TXT questions from SPF; every other name does not exist."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 53))
    while True:
        packet, peer = listener.recvfrom(4096)
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1 : at + 1 + packet[at]])
            at += 1 + packet[at]
        name = b".".join(labels).decode().lower()
        kind = struct.unpack(">H", packet[at + 1 : at + 3])[0]
        question, text = packet[12 : at + 5], SPF.get(name)
        answer = b""
        if text and kind == 16:
            answer = b"\xc0\x0c" + struct.pack(">HHIHB", 16, 1, 60, len(text) + 1, len(text)) + text.encode()
        flags = 0x8580 if text else 0x8583
        head = packet[:2] + struct.pack(">HHHHH", flags, 1, 1 if answer else 0, 0, 0)
        listener.sendto(head + question + answer, peer)


def serve_spf(path):
    """One policyd-spf a connection."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen()
    main = "import sys; sys.argv[0] = 'policyd-spf'; from spf_engine.policyd_spf import main; main()"
    command = ["/usr/bin/python3", "-c", main, oracle / "etc/postfix-policyd-spf-python/policyd-spf.conf"]
    modules = dict(os.environ, PYTHONPATH=str(oracle / "usr/lib/python3/dist-packages"))
    while True:
        stream, _ = listener.accept()
        subprocess.Popen(command, stdin=stream, stdout=stream, env=modules)
        stream.close()


def start_postgrey():
    """As Debian's init script starts it, but for a private user, and with a short delay."""
    os.makedirs("/tmp/postgrey")
    subprocess.run(["chown", "nobody:nogroup", "/tmp/postgrey"], check=True)
    libraries = [oracle / "usr/share/perl5", *oracle.glob("usr/lib/*/perl5/5.*")]
    options = [f"--delay={GREYLIST_SECONDS}", "--inet=127.0.0.1:10023", "--dbdir=/tmp/postgrey", "--user=nobody"]
    options += ["--group=nogroup", "--whitelist-clients=/dev/null", "--whitelist-recipients=/dev/null"]
    said = open("/tmp/postgrey.out", "wb")
    words = ["perl", "-T", *[f"-I{library}" for library in libraries], oracle / "usr/sbin/postgrey", *options]
    subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)


def wait_for(address):
    for _ in range(200):
        try:
            return socket.create_connection(address, 1).close()
        except OSError:
            time.sleep(0.1)
    for log in ("/tmp/postgrey.out", "/var/log/mail.log"):
        if os.path.exists(log):
            print(log, pathlib.Path(log).read_text(errors="replace"))
    sys.exit(f"nothing listens on {address}")


def start_mail():
    pathlib.Path("/etc/postfix/main.cf").write_text(
        f"""
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
virtual_mailbox_maps = static:box
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
    check_policy_service unix:spf/socket
    check_policy_service {{ inet:127.0.0.1:10023, default_action=DUNNO }}
"""
    )
    master = (oracle / "usr/share/postfix/master.cf.dist").read_text()
    lines = [line.split() for line in master.splitlines() if line and line[0] not in "# "]
    text = "".join(" ".join([*words[:4], "n", *words[5:]]) + "\n" for words in lines if len(words) >= 8 and words[7] != "pipe")
    pathlib.Path("/etc/postfix/master.cf").write_text(text)
    subprocess.run([program, "start"], check=True, stdout=subprocess.DEVNULL)


def send(sender, recipient):
    """A message; prints the reply to each command."""
    with socket.create_connection(("127.0.0.1", 25), 30, source_address=("192.0.2.10", 0)) as stream:
        replies = stream.makefile("rb")

        def ask(line):
            if line:
                stream.sendall(line.encode() + b"\r\n")
            while (reply := replies.readline())[3:4] == b"-":
                pass
            reply = reply.decode().strip()
            print(f"{line.splitlines()[0] if line else 'connect'}: {re.sub('queued as .*', 'queued as ID', reply)}")
            return reply

        ask("")
        ask("HELO client.example.net")
        ask(f"MAIL FROM:<{sender}>")
        if ask(f"RCPT TO:<{recipient}>").startswith("250"):
            ask("DATA")
            ask("Subject: x\r\n\r\nbody\r\n.")
        ask("QUIT")


threading.Thread(target=serve_names, daemon=True).start()
threading.Thread(target=serve_spf, args=(pathlib.Path("/var/spool/postfix/spf/socket"),), daemon=True).start()
start_postgrey()
wait_for(("127.0.0.1", 10023))
start_mail()
wait_for(("127.0.0.1", 25))
send("a@fail.example.net", "ann@example.com")
send("a@pass.example.net", "ann@example.com")
send("a@pass.example.net", "ann@example.com")
time.sleep(GREYLIST_SECONDS + 1)
send("a@pass.example.net", "ann@example.com")
send("a@pass.example.net", "bob@example.com")
box, end = pathlib.Path("/var/mail/vhosts/box"), time.monotonic() + 20
while not (box.exists() and box.read_text().count("body")) and time.monotonic() < end:
    time.sleep(0.1)
headers = [line for line in box.read_text().splitlines() if line.startswith(("Received-SPF", "X-Greylist"))]
for line in headers:
    line = re.sub(r"delayed \d+ seconds", "delayed N seconds", line)
    line = re.sub(r"\w{3}, \d+ \w{3} \d{4} [\d:]+ [A-Z]+", "DATE", line)
    print("mail:", line)
for line in pathlib.Path("/var/log/mail.log").read_text(errors="replace").splitlines():
    if found := re.search(r"/smtpd\[\d+\]: (NOQUEUE: reject: .*|warning: .*)", line):
        text = re.sub(r"in \d+ seconds", "in N seconds", found[1])
        print("log:", text)
