"""Debian's postgrey and policyd-spf behind check_policy_service; prints the replies and the log lines about them.

Runs inside a world of the test kit, with a name server of its own. Arguments: the unpacked packages, and `postfix` or
`posthaste`. policyd-spf answers on its standard output, one process a connection, as spawn(8) starts it.
"""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
from world import (
    Client, debian_master_cf, main_cf, oracle, serve_names, settled_log, start, start_mail, wait, wait_for_port, without_id
)

program = sys.argv[2]
SPF = """
pass.example.net TXT v=spf1 ip4:192.0.2.10 -all
fail.example.net TXT v=spf1 -all
"""
GREYLIST_SECONDS = 2


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
    start("/tmp/postgrey.out", "perl", "-T", *[f"-I{library}" for library in libraries], oracle / "usr/sbin/postgrey", *options)


def configure():
    main_cf(
        """
virtual_mailbox_domains = example.com
virtual_mailbox_base = /var/mail/vhosts
virtual_mailbox_maps = static:box
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
    check_policy_service unix:spf/socket
    check_policy_service { inet:127.0.0.1:10023, default_action=DUNNO }
"""
    )
    debian_master_cf()


def send(sender, recipient):
    """A message; prints the reply to each command."""
    client = Client("192.0.2.10")
    print("connect:", client.greeting)

    def ask(command):
        [reply] = client.ask(command)
        print(f"{command.splitlines()[0]}: {without_id(reply)}")
        return reply

    ask("HELO client.example.net")
    ask(f"MAIL FROM:<{sender}>")
    if ask(f"RCPT TO:<{recipient}>").startswith("250"):
        ask("DATA")
        ask("Subject: x\r\n\r\nbody\r\n.")
    ask("QUIT")


serve_names(SPF)
threading.Thread(target=serve_spf, args=(pathlib.Path("/var/spool/postfix/spf/socket"),), daemon=True).start()
start_postgrey()
wait_for_port(10023)
configure()
start_mail(program)
send("a@fail.example.net", "ann@example.com")
send("a@pass.example.net", "ann@example.com")
send("a@pass.example.net", "ann@example.com")
time.sleep(GREYLIST_SECONDS + 1)
send("a@pass.example.net", "ann@example.com")
send("a@pass.example.net", "bob@example.com")
box = pathlib.Path("/var/mail/vhosts/box")
wait("mail in the box", lambda: box.exists() and "body" in box.read_text())
for line in box.read_text().splitlines():
    if not line.startswith(("Received-SPF", "X-Greylist")):
        continue
    line = re.sub(r"delayed \d+ seconds", "delayed N seconds", line)
    line = re.sub(r"\w{3}, \d+ \w{3} \d{4} [\d:]+ [A-Z]+", "DATE", line)
    print("mail:", line)
for line in settled_log().splitlines():
    if found := re.search(r"/smtpd\[\d+\]: (NOQUEUE: reject: .*|warning: .*)", line):
        text = re.sub(r"in \d+ seconds", "in N seconds", found[1])
        print("log:", text)
