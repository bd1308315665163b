"""Installs into trees of its own, takes it back, and tries what must be refused. Prints a line for each that holds."""

import os
import pathlib
import shutil
import subprocess
from world import holds

HOME = pathlib.Path("/tmp/install")


def fresh(name):
    """A tree with the users of a new system."""
    root = HOME / name
    for directory in ("etc", "usr/sbin", "usr/bin", "usr/lib", "var/lib", "var/spool"):
        (root / directory).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/gshadow").write_text("root:*::\n")
    return root


def posthaste(command, root, *before):
    words = [*before, "posthaste", command, "--root", str(root)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def tree(root):
    """What lies below, apart from the user database and its copies."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.relative_to(root).parts[0] != "etc")


def refused(what, root, *names):
    before = tree(root)
    done = posthaste("install", root)
    told = done.returncode == 1 and all(name in done.stderr for name in names)
    holds(what, told and tree(root) == before, done.stderr, tree(root))


# The whole of it, twice, and back.
root = fresh("whole")
before = tree(root)
done = posthaste("install", root)
holds("it installs", done.returncode == 0, done.stderr)
ids = {line.split(":")[0]: line.split(":") for line in (root / "etc/passwd").read_text().splitlines()}
groups = {line.split(":")[0]: int(line.split(":")[2]) for line in (root / "etc/group").read_text().splitlines()}
owner, group = int(ids["postfix"][2]), groups["postdrop"]
for name, mode, uid, gid in [
    ("usr/sbin/posthaste", 0o100755, 0, 0),
    ("usr/sbin/sendmail", 0o100755, 0, 0),
    ("usr/sbin/postdrop", 0o102755, 0, group),
    ("usr/sbin/postqueue", 0o102755, 0, group),
    ("var/spool/postfix", 0o040755, 0, 0),
    ("var/spool/postfix/maildrop", 0o040730, owner, group),
    ("var/spool/postfix/public", 0o040710, owner, group),
    ("var/lib/postfix", 0o040700, owner, 0),
]:
    found = (root / name).lstat()
    holds(f"{name} {mode:o}", (found.st_mode, found.st_uid, found.st_gid) == (mode, uid, gid), oct(found.st_mode), found)
for name, target in [
    ("usr/sbin/postfix", "posthaste"),
    ("usr/sbin/postconf", "posthaste"),
    ("usr/bin/mailq", "../sbin/sendmail"),
    ("usr/bin/newaliases", "../sbin/sendmail"),
    ("usr/lib/sendmail", "../sbin/sendmail"),
]:
    holds(f"{name} -> {target}", os.readlink(root / name) == target)
once = tree(root)
done = posthaste("install", root)
holds("again changes nothing", done.returncode == 0 and tree(root) == once, done.stderr)
done = posthaste("uninstall", root)
holds("it is taken back", done.returncode == 0 and tree(root) == before, done.stderr, tree(root))
users = (root / "etc/passwd").read_text() + (root / "etc/group").read_text()
holds("its users too", "postfix" not in users and "postdrop" not in users, users)
done = posthaste("uninstall", root)
holds("once", done.returncode == 1 and "nothing was installed" in done.stderr, done.stderr)

# What is not ours.
root = fresh("package")
info = root / "var/lib/dpkg/info"
info.mkdir(parents=True)
fields = "Package: exim4\nStatus: install ok installed\nMaintainer: x\nArchitecture: amd64\nVersion: 1\nDescription: x\n"
(root / "var/lib/dpkg/status").write_text(fields)
(info / "exim4.list").write_text("/.\n/usr\n/usr/sbin\n/usr/sbin/sendmail\n/usr/bin\n/usr/bin/mailq\n/lib/other\n")
refused("a package's paths", root, "/usr/sbin/sendmail: belongs to the package exim4", "/usr/bin/mailq")
root = fresh("file")
(root / "usr/bin/newaliases").write_text("mine\n")
refused("a file that is there", root, "/usr/bin/newaliases: is there")
root = fresh("link")
shutil.rmtree(root / "usr/bin")
(HOME / "elsewhere").mkdir()
(root / "usr/bin").symlink_to(HOME / "elsewhere")
refused("a link out of the tree", root, "/usr/bin/mailq: lies outside")

# What was changed since.
root = fresh("changed")
posthaste("install", root)
with open(root / "usr/sbin/sendmail", "ab") as file:
    file.write(b"mine")
os.unlink(root / "usr/bin/mailq")
os.symlink("/bin/true", root / "usr/bin/mailq")
refused("changed files", root, "/usr/sbin/sendmail: was changed", "/usr/bin/mailq: was changed")
done = posthaste("uninstall", root)
left = [name for name in tree(root) if name.startswith("usr/") and name.count("/") == 2]
holds("changed files stay", done.returncode == 1 and left == ["usr/bin/mailq", "usr/sbin/sendmail"], done.stderr, left)

# Mail is never taken away, nor the user whose it is.
root = fresh("mail")
posthaste("install", root)
(root / "var/spool/postfix/maildrop/A1").write_text("mail")
done = posthaste("uninstall", root)
holds("mail stays", (root / "var/spool/postfix/maildrop/A1").exists() and done.returncode == 1, done.stderr)
holds("and its owner", "postfix" in (root / "etc/passwd").read_text(), done.stderr)
os.unlink(root / "var/spool/postfix/maildrop/A1")
done = posthaste("uninstall", root)
holds("until it is gone", done.returncode == 0 and not (root / "var/spool/postfix").exists(), done.stderr)

# Killed as it puts things in place, here and there.
for call, step in (("rename", 5), ("symlink", 2), ("fchown", 1), ("chmod", 3)):
    for number in range(1, 200, step):
        root = fresh(f"killed-{call}-{number}")
        before = tree(root)
        strace = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        killed = posthaste("install", root, *strace, "-e", f"inject={call}:signal=SIGKILL:when={number}")
        if killed.returncode == 0:
            break
        done = posthaste("install", root)
        holds(f"after a kill at {call} {number}", done.returncode == 0 and tree(root) == once, done.stderr, tree(root))
        shutil.rmtree(root)
    else:
        holds(f"an end of kills at {call}", False)
print("done")
