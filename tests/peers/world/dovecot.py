"""Dovecot behind Posthaste: its LMTP server as virtual_transport over a socket of the queue directory, and its delivery
agent by pipe.

Runs inside a world of the test kit in which Debian's packages stand at their usual paths. Prints one line a finding; the
test counts them.
"""
import os
import pathlib
import re
import smtplib
from world import dovecot_conf, main_cf, read_log, start, start_mail, wait, write

MAIL = pathlib.Path("/var/mail/dovecot")
USERS = ["ann@lmtp.example", "bob@lmtp.example", "locked@lmtp.example", "ann@lda.example"]
write("/etc/dovecot-users", "".join(f"{user}:::::\n" for user in USERS))
CONFIG = dovecot_conf(
    """
default_internal_user = vmail
default_internal_group = vmail
recipient_delimiter = +
postmaster_address = postmaster@example.com
hostname = mail.example.com
userdb {
  driver = passwd-file
  args = /etc/dovecot-users
  override_fields = uid=5003 gid=5003 home=/var/mail/dovecot/%u
}
service auth {
  unix_listener auth-userdb {
    mode = 0666
  }
}
service lmtp {
  chroot =
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
  }
}
"""
)
main_cf(
    """
smtpd_peername_lookup = no
recipient_delimiter = +
virtual_mailbox_domains = lmtp.example, lda.example
virtual_transport = lmtp:unix:private/dovecot-lmtp
transport_maps = inline:{lda.example=dovecot:}
dovecot_destination_recipient_limit = 1
"""
)
write(
    "/etc/postfix/master.cf",
    """smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
lmtp unix - - n - - lmtp
dovecot unix - n n - - pipe
  flags=DRhuX user=vmail argv=/usr/lib/dovecot/dovecot-lda -c /etc/dovecot-peer.conf -f ${sender} -a ${original_recipient} -d ${user}@${domain}
""",
)
for directory in (MAIL, MAIL / "locked@lmtp.example"):
    directory.mkdir()
os.chown(MAIL, 5003, 5003)
# The delivery agent, which runs as vmail, writes there too.
pathlib.Path("/tmp/dovecot.log").touch(0o666)
os.chmod("/tmp/dovecot.log", 0o666)
os.chmod(MAIL / "locked@lmtp.example", 0o700)
start_mail("posthaste")
start("/tmp/dovecot.out", "/usr/sbin/dovecot", "-F", "-c", CONFIG)
wait("Dovecot's socket", pathlib.Path("/var/spool/postfix/private/dovecot-lmtp").exists)


def send(subject, *recipients):
    with smtplib.SMTP("127.0.0.1", 25) as server:
        message = f"From: a@example.net\r\nSubject: {subject}\r\n\r\n.dot\r\nFrom here\r\n"
        server.sendmail("sender@example.net", list(recipients), message)


def stored(user, subject):
    for path in (MAIL / user / "new").glob("*"):
        if f"Subject: {subject}\n" in (text := path.read_text()):
            return text
    return None


def line(recipient):
    return wait(
        f"a line for {recipient}", lambda: re.search(rf"to=<{re.escape(recipient)}>, (.*)", read_log())
    ).group(1)


send("several", "ann@lmtp.example", "nobody@lmtp.example", "bob+list@lmtp.example")
for user in ("ann@lmtp.example", "bob@lmtp.example"):
    text = wait(f"mail of {user}", lambda: stored(user, "several"))
    assert "\n\n.dot\nFrom here\n" in text and "Return-Path: <sender@example.net>\n" in text, text
assert "status=sent (250 2.0.0 <ann@lmtp.example> " in line("ann@lmtp.example"), line("ann@lmtp.example")
assert "relay=mail.example.com[private/dovecot-lmtp]" in line("ann@lmtp.example"), line("ann@lmtp.example")
assert "dsn=5.1.1, status=bounced (host mail.example.com[private/dovecot-lmtp] said: 550 5.1.1" in line(
    "nobody@lmtp.example"
), line("nobody@lmtp.example")
print("each recipient has a reply of its own")
send("locked", "locked@lmtp.example")
assert "dsn=4.2.0, status=deferred" in line("locked@lmtp.example"), line("locked@lmtp.example")
print("a mailbox that Dovecot cannot open is tried again")
send("lda", "Ann+List@LDA.example")
text = wait("mail by the delivery agent", lambda: stored("ann@lda.example", "lda"))
assert "Return-Path: <sender@example.net>\n" in text and "Delivered-To: Ann+List@LDA.example\n" in text, text
assert "relay=dovecot, " in line("Ann+List@LDA.example"), line("Ann+List@LDA.example")
assert "status=sent (delivered via dovecot service)" in line("Ann+List@LDA.example"), line("Ann+List@LDA.example")
print("the delivery agent delivers by pipe")
send("none", "none@lda.example")
assert "dsn=5.1.1, status=bounced (user unknown" in line("none@lda.example"), line("none@lda.example")
print("its exit status is understood")
