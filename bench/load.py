"""Load and what counts it: Debian's smtp-sink, a client that times each durable accept, one message to many, the log."""
import os, re, socket, subprocess, threading, time

from world import SINK_PORT, tail, wait_for_port


class Sink:
    """Debian's smtp-sink, counting what it takes."""

    def __init__(self):
        command = ["smtp-sink", "-u", "nobody", "-c", f"0.0.0.0:{SINK_PORT}", "1000"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open("/tmp/out", "w"))
        self.taken = 0
        self.delivered = threading.Event()
        self.wanted = None
        wait_for_port(port=SINK_PORT)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        rest = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            rest = (rest + chunk)[-200:]
            counts = re.findall(rb"mesg=(\d+)\r", rest)
            if counts:
                self.taken = int(counts[-1])
                if self.wanted and self.taken >= self.wanted:
                    self.delivered.set()


class Peer:
    """An SMTP client that waits for each reply."""

    def __init__(self, address="127.0.0.1", source="127.0.0.1"):
        self.socket = socket.create_connection((address, 25), timeout=60, source_address=(source, 0))
        self.file = self.socket.makefile("rb")
        self.reply()
        self.ask("EHLO client.example.net")

    def reply(self):
        while (line := self.file.readline())[3:4] == b"-":
            pass
        return line

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        reply = self.reply()
        if reply[:1] not in (b"2", b"3"):
            raise RuntimeError(f"{line[:60]}: {reply.decode()}")

    def ask_many(self, lines):
        """Sends the lines of a transaction at once, reads all replies and gives it up."""
        lines = ["MAIL FROM:<sender@example.net>", *lines, "RSET"]
        self.socket.sendall("".join(line + "\r\n" for line in lines).encode())
        for line in lines:
            if (reply := self.reply())[:1] != b"2":
                raise RuntimeError(f"{line[:60]}: {reply.decode()}")

    def transaction(self, recipients, content):
        """Sends one message; gives the seconds from its end to the 250."""
        self.ask("MAIL FROM:<sender@example.net>")
        for recipient in recipients:
            self.ask(f"RCPT TO:<{recipient}>")
        self.ask("DATA")
        began = time.monotonic()
        self.ask(content + "\r\n.")
        return time.monotonic() - began

    def close(self):
        self.socket.close()


def one_message_to_many():
    """1,000 recipients in 50 domains in one transaction."""
    peer = Peer()
    peer.transaction([f"r{n}@d{n % 50}.example" for n in range(1000)], "Subject: to many\r\n\r\n" + "x" * 70)
    peer.ask("QUIT")


class Log:
    """The mail system's log, from its beginning or from the last `forget` on."""

    def __init__(self):
        self.text, self.at = b"", 0

    def read(self):
        with open("/var/log/mail.log", "rb") as log:
            log.seek(self.at)
            self.text += log.read()
            self.at = log.tell()
        return self.text

    def forget(self):
        self.read()
        self.text = b""

    def wait_for(self, text, wanted, deadline, pause=0.02):
        """Waits for so many lines with this text."""
        while (count := self.read().count(text)) < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {count} of {wanted} `{text.decode()}`: " + tail("/var/log/mail.log"))
            time.sleep(pause)


def wait_for_sent(wanted, began, seconds):
    """Waits for so many `status=sent` in the log."""
    Log().wait_for(b"status=sent", wanted, began + seconds)
