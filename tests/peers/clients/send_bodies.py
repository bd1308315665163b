"""Sends the bodies of a directory, one message each, by Python's smtplib; argument: port and directory."""
import pathlib
import smtplib
import sys

port, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
with smtplib.SMTP("127.0.0.1", port, timeout=30) as server:
    for path in sorted(directory.iterdir()):
        header = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: %s\r\n\r\n" % path.name.encode()
        server.sendmail("a@example.com", ["b@example.org"], header + path.read_bytes(), mail_options=["BODY=8BITMIME"])
