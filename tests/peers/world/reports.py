"""Every type of report, read by Python's email package; prints a line of JSON for each: structure and fields, without
what differs from run to run and without the words for people.

Runs inside a world of the test kit. Each message has a sender of its own, whose maildir gets the report.
"""
import email
import email.policy
import json
import pathlib
import re
import smtplib
import subprocess
import time
from world import debian_master_cf, main_cf, start_mail, wait

HOME = pathlib.Path("/var/mail/vhosts")
READERS = """failure headers large eight-bit long-address quoted.one success expansion delay global global-headers global-success
 doubles copies-of-delays copies""".split()
MAILBOXES = " ".join(f"{{{name}@example.com={name}/}}" for name in [*READERS, "ann", "bob"])

debian_master_cf()
main_cf(
    """
smtpd_reject_unlisted_recipient = no
transport_maps = inline:{{err.example = error:5.1.2 never}, {later.example = retry:4.2.0 later}}
virtual_mailbox_domains = example.com
virtual_mailbox_base = /var/mail/vhosts
virtual_mailbox_maps = inline:{MAILBOXES}
virtual_alias_maps = inline:{{list@example.com = ann@example.com, bob@example.com}}
virtual_uid_maps = static:5003
virtual_gid_maps = static:5003
delay_warning_time = 2s
enable_threaded_bounces = yes
bounce_size_limit = 4000
notify_classes = bounce, 2bounce, delay
bounce_notice_recipient = copies@example.com
2bounce_notice_recipient = doubles@example.com
delay_notice_recipient = copies-of-delays@example.com
""".replace("MAILBOXES", MAILBOXES)
)
start_mail("postfix")


def send(sender, recipient, mail_options=(), rcpt_options=(), body="body\r\n"):
    """The sender is a name in example.com, or nothing for the null sender."""
    address = f"{sender}@example.com" if sender else ""
    text = f"From: {address or 'nobody@example.com'}\r\nMessage-ID: <{sender or 'null'}@example.net>\r\nSubject: test\r\n\r\n{body}"
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as server:
        server.ehlo("client.example.net")
        if "SMTPUTF8" in mail_options:
            server.command_encoding = "utf-8"
        server.sendmail(address, [recipient], text.encode(), mail_options, rcpt_options)


UTF8 = ["SMTPUTF8", "BODY=8BITMIME"]
send("failure", "x@err.example", ["ENVID=my+2Bid"], ["ORCPT=rfc822;other+40x@y.example"])
send("headers", "x@err.example", ["RET=HDRS"])
send("large", "x@err.example", body="a line of the body\r\n" * 400)
send("eight-bit", "x@err.example", ["BODY=8BITMIME"], body="größer\r\n")
send("long-address", "x" * 60 + "." + "y" * 60 + "@err.example")
send("quoted.one", '"x y"@err.example')
send("", "x@err.example")
send("success", "ann@example.com", rcpt_options=["NOTIFY=SUCCESS"])
send("expansion", "list@example.com", rcpt_options=["NOTIFY=SUCCESS"])
send("delay", "x@later.example")
send("global", "bäd@err.example", UTF8, body="größer\r\n")
send("global-headers", "bäd@err.example", [*UTF8, "RET=HDRS"], body="größer\r\n")
send("global-success", "ann@example.com", UTF8, ["NOTIFY=SUCCESS"])
time.sleep(3)
subprocess.run(["postqueue", "-f"], check=True)


def count(reader):
    return len(list((HOME / reader / "new").glob("*")))


# Each failure above but the null sender's has a copy.
wait("every report came", lambda: all(map(count, READERS)) and count("copies") == 8)


def groups(part):
    """The groups of fields of a delivery status, whether the package knows its type or takes it for a message."""
    text = b"\n\n".join(p.as_bytes() for p in part.get_payload()).decode()
    for group in re.split(r"\n{2,}", text.strip()):
        fields = email.message_from_string(group, policy=email.policy.default)
        assert not fields.defects, (group, fields.defects)
        yield [[name, "ID" if name == "X-Postfix-Queue-ID" else masked(str(value))] for name, value in fields.items()]


def masked(value):
    value = re.sub(r"\s+", " ", value)
    return re.sub(r"\w{3}, +\d+ \w{3} \d{4} [\d:]+ [+-]\d{4}( \(\w+\))?", "DATE", value)


def defects(message):
    return [str(d) for part in message.walk() for d in part.defects]


for reader in READERS:
    for path in (HOME / reader / "new").glob("*"):
        with path.open("rb") as file:
            message = email.message_from_binary_file(file, policy=email.policy.default)
        notification, status, original = message.iter_parts()
        told = {
            "reader": reader,
            "defects": defects(message),
            "types": [part.get_content_type() for part in message.iter_parts()],
            "type": [message.get_content_type(), message.get_param("report-type")],
            "descriptions": [part["Content-Description"] for part in message.iter_parts()],
            "encodings": [part["Content-Transfer-Encoding"] for part in [message, *message.iter_parts()]],
            "header": {name: message[name] and masked(str(message[name])) for name in
                ["From", "To", "Subject", "Auto-Submitted", "References", "In-Reply-To", "MIME-Version"]},
            "charset": notification.get_content_charset(),
            "status": list(groups(status)),
            "body is there": b"body" in original.as_bytes() or "größer".encode() in original.as_bytes(),
        }
        print(json.dumps(told, ensure_ascii=False, sort_keys=True))
