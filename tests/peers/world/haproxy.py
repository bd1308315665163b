"""Debian's HAProxy in front of smtpd and postscreen: versions 1 and 2, IPv4 and IPv6, its health checks, and clients without a proxy.

Runs inside a world of the test kit. Argument: the unpacked packages. Prints one line a finding; the test counts them.
"""
import os
from world import Client, main_cf, oracle, read_log, start, start_mail, wait, write

main_cf(
    """
inet_interfaces = 127.0.0.1, [::1]
inet_protocols = all
mynetworks = 192.0.2.77, [2001:db8::77]
smtpd_peername_lookup = no
smtpd_upstream_proxy_protocol = haproxy
smtpd_upstream_proxy_timeout = 1s
postscreen_upstream_proxy_protocol = haproxy
postscreen_access_list = permit_mynetworks, static:reject
postscreen_denylist_action = drop
postscreen_cache_map =
default_transport = discard:
"""
)
write(
    "/etc/postfix/master.cf",
    """smtp inet n - n - - smtpd
2525 inet n - n - - smtpd -o posthaste_upstream_proxy_direct=yes -o mynetworks=
2526 inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
discard unix - - n - - discard
""",
)
write(
    "/etc/haproxy.cfg",
    """
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen v1
    bind 127.0.0.1:2601
    bind ::1:2601
    server s 127.0.0.1:25 send-proxy check inter 200
listen v2
    bind 127.0.0.1:2602
    bind ::1:2602
    server s ::1:25 send-proxy-v2 check inter 200
listen screened1
    bind 127.0.0.1:2604
    bind ::1:2604
    server s 127.0.0.1:2526 send-proxy check inter 200
listen screened2
    bind 127.0.0.1:2605
    bind ::1:2605
    server s 127.0.0.1:2526 send-proxy-v2
listen mixed
    bind 127.0.0.1:2603
    server s 127.0.0.1:2525 send-proxy-v2
""",
)
start_mail("posthaste")
libraries = f"{oracle}/usr/lib/x86_64-linux-gnu:{os.environ.get('LD_LIBRARY_PATH', '')}"
environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
start("/tmp/haproxy.out", oracle / "usr/sbin/haproxy", "-q", "-f", "/etc/haproxy.cfg", env=environment)


def talk(client, server, commands, quiet=True):
    """The last line of the reply to each command; the greeting first, if it is waited for."""
    client = Client(client, server, greeted=quiet)
    replies = client.ask(*commands)
    client.close()
    return [client.greeting, *replies] if quiet else replies


def is_up():
    try:
        return talk("192.0.2.60", ("127.0.0.1", 2601), ["QUIT"])[0][:3] == "220"
    except OSError:
        return False


wait("HAProxy and its servers are up", is_up)
RELAY = ["EHLO x", "MAIL FROM:<a@example.net>", "RCPT TO:<x@example.org>", "QUIT"]
for version, port in ((1, 2601), (2, 2602)):
    for stranger, friend, host in (("192.0.2.60", "192.0.2.77", "127.0.0.1"), ("2001:db8::60", "2001:db8::77", "::1")):
        refused = talk(stranger, (host, port), RELAY)
        taken = talk(friend, (host, port), RELAY)
        assert refused[3][:3] == "454" and taken[3][:3] == "250", (version, refused, taken)
        for client in (stranger, friend):
            wait("the log names the client", lambda: f"connect from unknown[{client}]" in read_log())
        print(f"version {version} tells {stranger} and {friend} apart")
for version, port in ((1, 2604), (2, 2605)):
    for stranger, friend, host in (("192.0.2.60", "192.0.2.77", "127.0.0.1"), ("2001:db8::60", "2001:db8::77", "::1")):
        refused = talk(stranger, (host, port), [])
        taken = talk(friend, (host, port), RELAY)
        assert refused[0][:3] == "521" and taken[3][:3] == "250", (version, refused, taken)
        wait("the log names the client", lambda: f"DENYLISTED [{stranger}]:" in read_log())
        print(f"version {version} tells {stranger} and {friend} apart, for postscreen")
# HAProxy's health checks come with LOCAL, or say nothing and go: neither keeps it from being up.
wait("a check was logged", lambda: "connect from unknown[127.0.0.1]" in read_log())
print("health checks are taken")
proxied = talk("192.0.2.61", ("127.0.0.1", 2603), RELAY)
direct = talk("192.0.2.62", ("127.0.0.1", 2525), RELAY)
assert proxied[0][:3] == direct[0][:3] == "220", (proxied, direct)
for client in ("192.0.2.61", "192.0.2.62"):
    wait("the log names the client", lambda: f"connect from unknown[{client}]" in read_log())
print("one listener takes clients with and without the proxy")
# Who cannot wait is a client without a proxy at once; who begins a header must end it.
early = talk("192.0.2.63", ("127.0.0.1", 2525), ["EHLO x"], quiet=False)
assert early[0][:3] == "554", early
wait("the log says so", lambda: "improper command pipelining after CONNECT from unknown[192.0.2.63]" in read_log())
torn = talk("192.0.2.64", ("127.0.0.1", 2525), ["PROXY TCP4 192.0.2.9"], quiet=False)
assert torn[0] == "421 4.3.0 mail.example.com Server local error", torn
strict = talk("192.0.2.65", ("127.0.0.1", 25), [])
assert strict[0] == "421 4.3.0 mail.example.com Server local error", strict
print("a header that is begun must be whole")
