"""Sends one message between addresses that need SMTPUTF8; argument: port."""
import smtplib
import sys
from email.message import EmailMessage
from email.policy import SMTPUTF8

message = EmailMessage(policy=SMTPUTF8)
message["From"] = "grüße@example.com"
message["To"] = "δοκιμή@example.org"
message["Subject"] = "ü"
message.set_content("größer\n", cte="8bit")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=30) as server:
    server.send_message(message)
