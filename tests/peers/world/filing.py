"""Programs that file mail: procmail, maildrop and Dovecot's delivery agent by mailbox_command, .forward and pipe(8).

Runs inside a world of the test kit in which Debian's packages stand at their usual paths, once with Postfix and once with
Posthaste. Prints what the log says of each recipient and what was filed, so that the two can be compared.
Arguments: the unpacked packages, and `postfix` or `posthaste`.
"""
import os
import pathlib
import re
import smtplib
import subprocess
import sys
from world import debian_master_cf, main_cf, read_log, start_mail, stop_mail, wait, write

program = sys.argv[2]
HOMES = {"proc": 6001, "forw": 6002, "drop": 6003, "lda": 6004}
BODY = "body\r\nFrom here\r\n.dot\r\n"
VHOSTS = pathlib.Path("/var/mail/vhosts")


def make_users():
    for name, number in HOMES.items():
        home = pathlib.Path("/home", name)
        home.mkdir(mode=0o700)
        os.chown(home, number, number)
        with open("/etc/passwd", "a") as passwd:
            passwd.write(f"{name}:x:{number}:{number}::{home}:/bin/sh\n")
        with open("/etc/group", "a") as group:
            group.write(f"{name}:x:{number}:\n")


def write_rules():
    rules = """MAILDIR=$HOME
DEFAULT=$HOME/inbox
LOGFILE=$HOME/log
EXTENSION=$1
:0
* ^Subject: maildir
Maildir/
:0
* ^Subject: unknown
{
  EXITCODE=67
  HOST
}
:0
* ^Subject: later
{
  EXITCODE=75
  HOST
}
:0
* EXTENSION ?? .
box-$EXTENSION
"""
    write("/home/proc/.procmailrc", rules, HOMES["proc"])
    write("/home/forw/.procmailrc", rules, HOMES["forw"])
    # As procmail's manual has it.
    write("/home/forw/.forward", "\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #forw\"\n", HOMES["forw"])
    write("/etc/procmailrcs/common", "DEFAULT=/var/mail/vhosts/common-$USER\nLOGFILE=/dev/null\n")
    filters = """if (/^Subject: maildir/)
  to "$HOME/Maildir"
if (/^Subject: unknown/)
{
  EXITCODE = 67
  exit
}
if (/^Subject: later/)
{
  EXITCODE = 75
  exit
}
to "$HOME/inbox"
"""
    write("/home/drop/.mailfilter", filters, HOMES["drop"], 0o600)
    write("/etc/maildrop-virtual", 'to "/var/mail/vhosts/dropped"\n', 5003, 0o600)
    for name in ("drop", "proc", "forw"):
        home = f"/home/{name}/Maildir"
        subprocess.run(["maildirmake.maildrop", home], check=True)
        subprocess.run(["chown", "-R", f"{HOMES[name]}:{HOMES[name]}", home], check=True)


def write_settings():
    write("/etc/dovecot-lda.conf", "mail_location = maildir:~/Maildir\nlog_path = /tmp/lda.log\nssl = no\n"
          "postmaster_address = postmaster@example.com\nhostname = mail.example.com\nfirst_valid_uid = 1\n"
          "recipient_delimiter = +\n")
    pathlib.Path("/tmp/lda.log").touch()
    os.chmod("/tmp/lda.log", 0o666)
    main_cf("""
maillog_file_prefixes = /var
mydestination = mail.example.com
alias_maps = inline:{ { quoted = "|/usr/bin/procmail -d proc" } }
smtpd_peername_lookup = no
recipient_delimiter = +
notify_classes =
mailbox_command = /usr/bin/procmail -a "$EXTENSION"
mailbox_command_maps = texthash:/etc/postfix/commands
transport_maps = inline:{ proc.example=procmail:, drop.example=maildrop: }
virtual_mailbox_domains = proc.example, drop.example
virtual_mailbox_maps =
procmail_destination_recipient_limit = 1
maildrop_destination_recipient_limit = 1
""")
    # As the programs' manuals have them; a table's values are not expanded as those of main.cf are.
    write("/etc/postfix/commands", """drop /usr/bin/maildrop /home/drop/.mailfilter
lda /usr/lib/dovecot/dovecot-lda -c /etc/dovecot-lda.conf -f "$SENDER" -a "$RECIPIENT"
""")
    debian_master_cf("""procmail unix - n n - - pipe
  flags=R user=vmail argv=/usr/bin/procmail -t -m USER=${user} EXTENSION=${extension} /etc/procmailrcs/common
maildrop unix - n n - - pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop /etc/maildrop-virtual
""")


def lines(recipient):
    found = re.findall(rf"/(\w+)\[\d+\]: \w+: (to=<{re.escape(recipient)}>, .*)", read_log())
    return [f"{agent}: {text}" for agent, text in found if "status=" in text]


def send(recipient, subject):
    """A message; prints what the log says of it."""
    before = len(lines(recipient))
    with smtplib.SMTP("127.0.0.1", 25) as server:
        headers = f"From: sender@example.net\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.net>\r\n"
        headers += "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
        sender = "" if subject == "from-nobody" else "sender@example.net"
        server.sendmail(sender, [recipient], f"{headers}\r\n{BODY}")
    wait(f"a result for {recipient}", lambda: len(lines(recipient)) > before)
    for line in lines(recipient)[before:]:
        print("log:", re.sub(r"delays?=[\d./]+, ", "", line))


def show_files():
    roots = [pathlib.Path("/home"), VHOSTS]
    for path in sorted(path for root in roots for path in root.rglob("*")):
        if path.is_file() and path.name not in (".procmailrc", ".mailfilter", ".forward", "log") and "dovecot" not in path.name:
            place = path.parent if path.parent.name == "new" else path
            owner = path.stat()
            print(f"file: {place} {owner.st_uid}:{owner.st_gid} {oct(owner.st_mode & 0o777)}")
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith(("\tby ", "\tid ", "\tfor ", "Received:")):
                    continue
                print("  |", re.sub(r"\w{3} \w{3} +\d+ [\d:]+ \d{4}", "DATE", line))


make_users()
write_rules()
write_settings()
start_mail(program)
try:
    for user in ("proc", "forw", "drop"):
        for subject in ("inbox", "maildir", "unknown", "later"):
            send(f"{user}@mail.example.com", subject)
    send("proc+list@mail.example.com", "extension")
    send("proc+null@mail.example.com", "from-nobody")
    send("quoted@mail.example.com", "by-alias")
    send("lda@mail.example.com", "lda")
    send("lda+Box@mail.example.com", "extension")
    send("Ann+x@proc.example", "by-pipe")
    send("Bob@drop.example", "by-pipe")
    show_files()
finally:
    stop_mail(program)
