"""Posthaste relays to Debian's smtp-sink, Debian's Postfix and Dovecot's LMTP; each must get the bodies byte for byte.

Runs inside a world of the test kit (own network, mounts and processes). Arguments: the unpacked packages, and
`direct` to send to the peers without Posthaste between, which checks this script.
"""
import os
import pathlib
import smtplib
import sys
import time
from world import dovecot_conf, logs, main_cf, oracle, start, start_mail, wait, wait_for_port, write

direct = "direct" in sys.argv[2:]
logs.append(pathlib.Path("/var/log/peer.log"))

BODIES = {
    "dots": b".\r\n..\r\n.x\r\nx.\r\n",
    "eightbit": bytes(range(0x80, 0x100)) + b"\r\n",
    "empty": b"",
    "large": b"".join(b"%08d %s\r\n" % (n, b"y" * 69) for n in range(120_000)),
    "longlines": b"z" * 998 + b"\r\n" + b"w" * 998 + b"\r\nend\r\n",
}


def start_dovecot():
    run = f"LD_LIBRARY_PATH={oracle}/usr/lib/dovecot"
    path = dovecot_conf(
        """
default_internal_user = postfix
default_internal_group = postfix
userdb {
  driver = static
  args = uid=5003 gid=5003 home=/var/mail/dovecot/%u
}
service lmtp {
  chroot =
  inet_listener lmtp {
    address = 127.0.0.1
    port = 2424
  }
  unix_listener /run/dovecot-lmtp {
    mode = 0666
  }
}
"""
    )
    os.makedirs("/var/mail/dovecot")
    os.chmod("/var/mail/dovecot", 0o777)
    overlay("dovecot", f"{run} exec /usr/sbin/dovecot -F -c {path}")
    wait_for_port(2424)


def overlay(name, command):
    """Runs a command where Debian's packages stand at their usual paths."""
    mount = f"mount -t overlay overlay -o lowerdir={oracle}/usr:/usr /usr && "
    start(f"/tmp/{name}.out", "unshare", "--mount", "--propagation", "private", "sh", "-c", mount + command)


def start_postfix():
    master = (oracle / "usr/share/postfix/master.cf.dist").read_text()
    lines = [line for line in master.splitlines() if line and not line.startswith("#")]
    lines = ["127.0.0.1:2626 inet n - n - - smtpd" if line.startswith("smtp      inet") else line for line in lines]
    write("/etc/peer/master.cf", "\n".join(lines).replace("-       y       -", "-       n       -") + "\n")
    write(
        "/etc/peer/main.cf",
        """
compatibility_level = 3.6
queue_directory = /var/spool/peer
data_directory = /var/lib/peer
maillog_file = /var/log/peer.log
myhostname = peer.example
mydestination =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = postfix.example
virtual_mailbox_base = /var/mail/peer
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
smtputf8_enable = yes
local_recipient_maps =
alias_maps =
smtpd_client_connection_rate_limit = 0
""",
    )
    for directory in ("/var/spool/peer", "/var/lib/peer", "/var/mail/peer"):
        os.makedirs(directory)
    os.chown("/var/lib/peer", 5001, 5001)
    os.chown("/var/mail/peer", 5003, 5003)
    overlay("postfix", "/usr/sbin/postfix -c /etc/peer start && sleep 600")
    wait_for_port(2626)


def start_sink():
    os.makedirs("/tmp/sink")
    overlay("sink", "cd /tmp/sink && exec smtp-sink -u root -R /tmp/sink -d m%Y. 127.0.0.1:2727 100")
    wait_for_port(2727)


def start_posthaste():
    write("/etc/postfix/master.cf", (oracle / "usr/share/postfix/master.cf.dist").read_text())
    main_cf(
        """
smtpd_peername_lookup = no
dns_nameservers = 127.0.0.1:1
relay_domains = dovecot.example, unix.example, postfix.example, sink.example
transport_maps = inline:{
    dovecot.example=lmtp:inet:127.0.0.1:2424,
    unix.example=lmtp:unix:/run/dovecot-lmtp,
    postfix.example=smtp:[127.0.0.1]:2626,
    sink.example=smtp:[127.0.0.1]:2727}
"""
    )
    start_mail("posthaste")


def send():
    ports = {"sink.example": 2727, "postfix.example": 2626, "dovecot.example": 2424, "unix.example": 2424}
    for domain, port in ports.items():
        lmtp = direct and port == 2424
        server = smtplib.LMTP("127.0.0.1", port) if lmtp else smtplib.SMTP("127.0.0.1", port if direct else 25)
        for name, body in BODIES.items():
            header = b"From: a@example.com\r\nTo: b@%s\r\nSubject: %s\r\n\r\n" % (domain.encode(), name.encode())
            server.sendmail("a@example.com", [f"box@{domain}"], header + body, mail_options=["BODY=8BITMIME"])
        server.quit()


def stored(directory):
    """Messages by subject: bodies with LF line ends."""
    found = {}
    for path in pathlib.Path(directory).rglob("*"):
        if path.is_file() and (path.parent.name in ("new", "cur") or directory == "/tmp/sink"):
            header, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
            for line in header.split(b"\n"):
                if line.startswith(b"Subject: "):
                    found[line[9:].decode()] = body
    return found


def check(name, directory):
    wait(f"{name}: all bodies stored", lambda: set(stored(directory)) == set(BODIES))
    time.sleep(0.3)
    for subject, body in stored(directory).items():
        expected = BODIES[subject].replace(b"\r\n", b"\n")
        # smtp-sink writes an empty line behind each message.
        if body != expected and body.rstrip(b"\n") != expected.rstrip(b"\n"):
            sys.exit(f"{name}: {subject} arrived changed: {body[:80]!r} instead of {expected[:80]!r}")
    print(f"{name}: {len(BODIES)} bodies arrived unchanged")


start_dovecot()
start_postfix()
start_sink()
if not direct:
    start_posthaste()
send()
check("smtp-sink", "/tmp/sink")
check("Postfix", "/var/mail/peer")
check("Dovecot by TCP", "/var/mail/dovecot/box@dovecot.example")
check("Dovecot by socket", "/var/mail/dovecot/box@unix.example")
