"""Programs that know nothing but sendmail send to a user of this host: cron's pipe, mutt, s-nail, mailx, git, PHP.

Runs inside a world of the test kit. Argument: the unpacked packages. Prints a line for each that arrived as it was sent.
"""
import email
import pathlib
import subprocess
import sys
from world import debian_master_cf, main_cf, oracle, read_log, start_mail, stop_mail, wait

ANN = ["setpriv", "--reuid=5004", "--regid=5004", "--clear-groups", "env", "HOME=/home/ann", "USER=ann", "LOGNAME=ann"]
ANN.append(f"LD_LIBRARY_PATH={oracle}/usr/lib/x86_64-linux-gnu")
MAILBOX = pathlib.Path("/home/bob/Maildir")

main_cf(
    """
maillog_file_prefixes = /var
mydestination = mail.example.com
home_mailbox = Maildir/
"""
)
debian_master_cf()
start_mail("posthaste")


def sends(who, words, text, *, subject, body, sender="ann@mail.example.com", env=(), recipient="bob"):
    """Runs a program and waits for its mail."""
    for old in (MAILBOX / "new").glob("*"):
        old.unlink()
    done = subprocess.run([*ANN, *env, *words], input=text, capture_output=True, check=False, cwd="/home/ann", timeout=60)
    if done.returncode != 0:
        sys.exit(f"{who}: {done}\n{read_log()[-3000:]}")
    found = wait(f"{who}: {done}", lambda: list((MAILBOX / "new").glob("*")))
    raw = found[0].read_bytes()
    message = email.message_from_bytes(raw)
    content = message.get_payload(decode=True)
    wanted = (f"Return-Path: <{sender}>", f"Subject: {subject}", f"Delivered-To: {recipient}@mail.example.com")
    wrong = [line for line in wanted if f"\n{line}\n".encode() not in b"\n" + raw]
    if wrong or content != body or len(found) != 1:
        sys.exit(f"{who}: {done}\n{wrong}\n{content!r}\n{raw!r}")
    print(who, "sends")


TEXT = b"one line\n.\n..two\nFrom here\n"
sends(
    "cron",
    ["/usr/sbin/sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "bob"],
    b"From: root (Cron Daemon)\nTo: bob\nSubject: Cron <root@mail> gr\xc3\xbc\xc3\x9fe\n\n" + TEXT,
    subject="Cron <root@mail> grüße",
    body=TEXT,
)
sends(
    "a script",
    ["/usr/sbin/sendmail", "-t", "-oi"],
    b"From: Ann <ann@mail.example.com>\nBcc: Bob <bob@mail.example.com>\nSubject: script\n\n" + TEXT,
    subject="script",
    body=TEXT,
)
mutt = ["-n", "-F", "/dev/null", "-e", "set copy=no", "-e", "set from=ann@mail.example.com", "-e", "set use_envelope_from"]
sends(
    "mutt",
    [f"{oracle}/usr/bin/mutt", *mutt, "-s", "mutt", "bob@mail.example.com"],
    TEXT,
    subject="mutt",
    body=TEXT,
)
sends(
    "s-nail",
    [f"{oracle}/usr/bin/s-nail", "-:/", "-S", "mta=/usr/sbin/sendmail", "-S", "sendwait", "-s", "s-nail", "bob"],
    TEXT,
    subject="s-nail",
    body=TEXT,
)
sends(
    "mailx",
    [f"{oracle}/usr/bin/bsd-mailx", "-I", "-n", "-s", "mailx", "bob"],
    b"one line\n..two\n",
    subject="mailx",
    body=b"one line\n..two\n",
)
pathlib.Path("/home/ann/.gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@mail.example.com\n")
patch = pathlib.Path("/home/ann/1.patch")
patch.write_bytes(
    b"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n"
    b"From: Ann <ann@mail.example.com>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nSubject: [PATCH] patch\n\n" + TEXT
)
git = [f"{oracle}/usr/lib/git-core/git-send-email", "--sendmail-cmd=/usr/sbin/sendmail", "--confirm=never"]
git += ["--from=ann@mail.example.com", "--to=bob@mail.example.com", "--suppress-cc=all", "--quiet"]
sends(
    "git send-email",
    ["GIT_CONFIG_NOSYSTEM=1", f"PERL5LIB={oracle}/usr/share/perl5", *git, str(patch)],
    b"",
    subject="[PATCH] patch",
    body=b"From: Ann <ann@mail.example.com>\n\n" + TEXT,
)
code = "exit(mail('bob@mail.example.com', 'php', \"one line\\n.\\n..two\\nFrom here\\n\", \"From: ann@mail.example.com\\r\\nX-A: b\") ? 0 : 1);"
for path, more in (("/usr/sbin/sendmail -t -i", ""), ("/usr/sbin/sendmail -t -i -f ann", "-fann@mail.example.com")):
    sends(
        f"PHP ({path})",
        [f"{oracle}/usr/bin/php8.2", "-n", "-d", f"sendmail_path={path}", "-r", code],
        b"",
        subject="php",
        body=TEXT + b"\n",
    )
sends(
    "who speaks SMTP to a pipe",
    ["/usr/sbin/sendmail", "-bs"],
    b"EHLO me\r\nMAIL FROM:<ann@mail.example.com>\r\nRCPT TO:<bob@mail.example.com>\r\nDATA\r\nSubject: bs\r\n\r\n"
    + TEXT.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
    + b".\r\nQUIT\r\n",
    subject="bs",
    body=TEXT,
)
listed = subprocess.run([*ANN, "mailq"], capture_output=True, text=True, check=False)
if listed.stdout != "Mail queue is empty\n":
    sys.exit(f"mailq: {listed}")
print("mailq lists")
stop_mail("posthaste")
