"""Clients that misbehave in every way that fail2ban's stock filter knows; prints what each of its modes finds in the log.

Runs inside a world of the test kit, with a name server of its own. Arguments: the unpacked packages, and `postfix` or
`posthaste`. Each client has an address of its own. Lines are printed without their time and the number in brackets.
"""
import os
import re
import subprocess
import sys
import time
from world import LOG, Client, main_cf, oracle, serve_names, settled_log, start_mail, wait_for_port, write

program = sys.argv[2]
MODES = ["normal", "more", "auth", "rbl", "ddos", "extra", "errors", "aggressive"]
SCREENED = 2525
HELO = ["EHLO client.example.net"]
MAIL = [*HELO, "MAIL FROM:<a@example.net>"]
# One client stands in a list; example.net has an address; nothing else exists.
NAMES = """
26.2.0.192.bl.example A 127.0.0.2
example.net A 127.0.0.2
"""


def configure():
    main_cf(
        """
virtual_mailbox_domains = example.com
virtual_mailbox_base = /var/mail/vhosts
virtual_mailbox_maps = inline:{ann@example.com=box}
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_restrictions =
    check_client_access inline:{{192.0.2.25=REJECT go away},{192.0.2.27=reject_unknown_client_hostname}}
    reject_rbl_client bl.example
smtpd_helo_restrictions = reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_unknown_sender_domain
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_hard_error_limit = 3
smtpd_soft_error_limit = 100
smtpd_timeout = 5s
disable_vrfy_command = no
postscreen_greet_wait = 2s
postscreen_greet_action = enforce
postscreen_command_count_limit = 3
postscreen_command_time_limit = 2s
"""
    )
    # Debian's 3.7 lets clients pipeline where they must not by default, and closes such sessions if told to.
    write(
        "/etc/postfix/master.cf",
        """
smtp inet n - n - - smtpd -o smtpd_forbid_unauth_pipelining=yes
2525 inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
""",
    )

class Stranger(Client):
    """A client from an address of its own, which may talk early."""

    def __init__(self, number, port=25, early=""):
        super().__init__(f"192.0.2.{number}", ("127.0.0.1", port), greeted=not early)
        if early:
            self.send(early)
            # Alone, so that it is what was sent early.
            time.sleep(0.3)

    def tell(self, commands):
        self.ask(*commands)
        return self


def smtpd_clients():
    Stranger(20).tell([*MAIL, "RCPT TO:<ann@example.com>", "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT"])
    Stranger(21).tell([*MAIL, "RCPT TO:<x@example.org>", "QUIT"])
    Stranger(22).tell([*MAIL, "RCPT TO:<nobody@example.com>", "QUIT"])
    Stranger(23).tell([*HELO, "MAIL FROM:<a@nowhere.example>", "RCPT TO:<ann@example.com>", "QUIT"])
    Stranger(24).tell(["EHLO client", "MAIL FROM:<a@example.net>", "RCPT TO:<ann@example.com>", "QUIT"])
    for number in (25, 26, 27):
        Stranger(number).tell([*MAIL, "RCPT TO:<ann@example.com>", "QUIT"])
    Stranger(28).tell([*HELO, *["NONSENSE"] * 3])
    Stranger(29).tell([*MAIL, "RCPT TO:<ann@example.com>", *["NONSENSE"] * 3])
    early = Stranger(30).tell(MAIL)
    early.tell(["RCPT TO:<ann@example.com>"])
    early.send("DATA\r\nMAIL FROM:<b@example.net>\r\n")
    early.reply()
    early.close()
    Stranger(31, early="EHLO client.example.net\r\n").reply()
    Stranger(32).close()
    Stranger(33).tell(HELO).close()
    Stranger(34).tell([*MAIL, "RCPT TO:<ann@example.com>"]).close()
    Stranger(35).tell([*HELO, "AUTH PLAIN AAAA", "QUIT"])
    Stranger(36).tell([*MAIL, "RCPT TO:<ann@example.com>", "DATA"]).close()
    Stranger(37).tell(["VRFY nobody@example.com", "QUIT"])
    Stranger(38).tell(HELO).reply()


def screened_clients():
    """Who talks early gets postscreen's own server, with its limits."""
    Stranger(50, SCREENED, early="EHLO early.example\r\n").tell(["QUIT"])
    gone = Client("192.0.2.51", ("127.0.0.1", SCREENED), greeted=False)
    time.sleep(0.3)
    gone.close()
    Stranger(52, SCREENED, early="EHLO early.example\r\n").tell(["NOOP"] * 4)
    slow = Stranger(53, SCREENED, early="EHLO early.example\r\n")
    while slow.reply():
        pass
    Stranger(54, SCREENED, early="EHLO early.example\r\n").tell(["x" * 3000])


def found(mode):
    words = [sys.executable, oracle / "usr/bin/fail2ban-regex", "-c", oracle / "etc/fail2ban", "-o", "<ip> <matches>"]
    modules = dict(os.environ, PYTHONPATH=str(oracle / "usr/lib/python3/dist-packages"))
    done = subprocess.run([*words, LOG, f"postfix[mode={mode}]"], capture_output=True, text=True, env=modules)
    if done.returncode:
        sys.exit(f"fail2ban-regex: {done.returncode}\n{done.stdout}{done.stderr}")
    for line in done.stdout.splitlines():
        if match := re.fullmatch(r"(\S+) \w+ +\d+ [\d:]+ \S+ ([^\[]+)\[\d+\]: (.*)", line):
            text = re.sub(r"after \d+(\.\d+)? from", "after T from", match[3])
            yield f"{mode}: {match[1]} {match[2]}: {re.sub(r'](:)[0-9]+', r']:PORT', text)}"
        elif line.strip():
            sys.exit(f"fail2ban-regex: {line}")


serve_names(NAMES)
configure()
start_mail(program)
wait_for_port(SCREENED)
smtpd_clients()
screened_clients()
log = settled_log()
for mode in MODES:
    print(*sorted(re.sub(r": [0-9A-Za-z]{8,}: ", ": QUEUEID: ", line) for line in found(mode)), sep="\n")
print("---")
print(log)
