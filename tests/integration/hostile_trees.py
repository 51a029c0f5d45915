"""Layers that somebody made to hurt: one function each. What quench makes of them: test_hostile_trees.py."""
import hashlib
import io
import random
import struct
import zlib

EPOCH = 1704067200
TINY = 100000


class Layer:
    """A tar that is compressed while it is written, so that big ones are neither held nor stored."""

    def __init__(self):
        self.packed, self.hash = io.BytesIO(), hashlib.sha256()
        self.gzip = zlib.compressobj(1, zlib.DEFLATED, 31)

    def raw(self, data):
        self.hash.update(data)
        self.packed.write(self.gzip.compress(data))

    def add(self, name, data=b"", mode=0o644, kind=b"0", link="", size=None, uid=0):
        """One ustar entry as its fields say, with no check of their sense."""
        data = data.encode() if isinstance(data, str) else data
        name, link, prefix = name.encode(), link.encode(), b""
        if len(name) > 100 or len(link) > 100:
            records = b""
            for key, value in ((b"path", name), (b"linkpath", link)):
                if len(value) > 100:
                    records += record(key, value)
            self.pax(records)
            name, link = name[:100], link[:100]
        size = len(data) if size is None else size
        head = struct.pack("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x", name, b"%07o" % mode, b"%07o" % uid,
                           b"%07o" % 0, b"%011o" % size, b"%011o" % EPOCH, b" " * 8, kind, link, b"ustar", b"00", b"",
                           b"", b"", b"", prefix)
        head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
        self.raw(head + data + b"\0" * (-len(data) % 512))

    def pax(self, records):
        self.add("PaxHeaders/x", records, kind=b"x")

    def dir(self, name, mode=0o755):
        self.add(name + "/", mode=mode, kind=b"5")

    def symlink(self, name, target):
        self.add(name, kind=b"2", link=target, mode=0o777)

    def hardlink(self, name, target):
        self.add(name, kind=b"1", link=target)

    def close(self):
        """(compressed bytes, diff id)"""
        self.raw(bytes(1024))
        self.packed.write(self.gzip.flush())
        return self.packed.getvalue(), "sha256:" + self.hash.hexdigest()


def record(key, value):
    """A PAX record; its length counts its own digits."""
    body = len(key) + len(value) + 3
    n = body + len(str(body))
    n = body + len(str(n))
    return b"%d %s=%s\n" % (n, key, value)


def base(t):
    """What every one of them has: something to start, and something to harden."""
    t.add("bin/app", b"#!/bin/sh\necho hello\n", mode=0o755)
    t.add("bin/sh", elf(), mode=0o755)
    t.add("usr/bin/su", elf(), mode=0o4755)
    t.add("usr/share/man/man1/app.1", "manual\n")
    t.add("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")


def elf(**fields):
    """A header of an ELF64 program, with fields of the caller's choice."""
    v = dict(phoff=64, shoff=0, phentsize=56, phnum=1, shentsize=64, shnum=0, shstrndx=0, body=b"")
    v.update(fields)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, v["phoff"], v["shoff"], 0, 64,
                                                     v["phentsize"], v["phnum"], v["shentsize"], v["shnum"],
                                                     v["shstrndx"])
    return head + (v["body"] or segment(1, 0, 64, 64))


def segment(kind, offset, size, memory, address=0):
    return struct.pack("<IIQQQQQQ", kind, 5, offset, address, address, size, memory, 4096)


def symlink_loops(t):
    base(t)
    t.symlink("self", "self")
    t.symlink("a", "b")
    t.symlink("b", "a")
    t.dir("d")
    t.symlink("d/up", "../d")
    t.symlink("d/deep", "up/up/up/up/up/up/up/up/up/up/up/up/up/deep")
    t.symlink("etc/shadow", "../a")
    t.symlink("etc/ld.so.preload", "/self")
    t.symlink("usr/lib", "lib64")
    t.symlink("usr/lib64", "lib")
    t.symlink("usr/local", "/usr/local/../local")
    for i in range(20000):
        t.symlink(f"d/l{i}", f"l{i + 1}")


def symlink_escapes(t):
    base(t)
    for i, target in enumerate(["../../../../../etc/passwd", "/../../etc/shadow", "..", "/", "", "/proc/self/root/etc",
                                "../" * 1300, "\x01\x02", "x" * 4000]):
        t.symlink(f"esc{i}", target)
    t.dir("in")
    t.symlink("in/out", "../../../..")


def name_escapes(t):
    base(t)
    t.add("usr/../../etc/passwd", "root::0:0::/:/bin/sh\n")


def deep(t):
    base(t)
    for i in range(2000):
        t.dir("a/" * 1000 + f"d{i % 100}" + f"/{i}")
    t.add("b/" * 2000 + "f", "x")


def tiny_entries(t):
    base(t)
    for i in range(TINY):
        t.add(f"srv/{i % 997}/{i}", b"x")


def too_many_entries(t):
    base(t)
    for i in range(500001):
        t.add(f"srv/{i % 997}/{i}")


def hard_links(t):
    base(t)
    t.add("srv/l0", b"#!/bin/sh\nexec /bin/app\n", mode=0o4755)
    for i in range(50000):
        t.hardlink(f"srv/l{i + 1}", f"srv/l{i}")


def hard_link_to_nothing(t):
    base(t)
    t.hardlink("srv/x", "srv/nothing")


def hard_link_to_itself(t):
    base(t)
    t.hardlink("srv/x", "srv/x")


def huge_xattr(t):
    base(t)
    t.pax(record(b"SCHILY.xattr.user.big", b"v" * (64 << 20)))
    t.add("srv/x")


def many_xattrs(t):
    base(t)
    for i in range(200):
        t.pax(b"".join(record(b"SCHILY.xattr.user.%d" % k, b"v" * 50) for k in range(1000)))
        t.add(f"srv/{i}")


def bad_elf(t):
    base(t)
    top = (1 << 64) - 1
    shapes = {"phoff": elf(phoff=top), "shoff": elf(shoff=1 << 63, shnum=65535), "phnum": elf(phnum=65535),
              "entsize": elf(phentsize=0, phnum=65535), "end": elf(phoff=top - 55, phnum=2),
              "interp": elf(body=segment(3, top - 4, top, top)), "short": elf()[:40],
              "dynamic": elf(phnum=2, body=segment(2, 176, 1 << 62, 1 << 62) + segment(1, 0, top, top) +
                             struct.pack("<QQQQQQ", 5, top, 10, top, 1, top)),
              "needed": elf(phnum=2, body=segment(2, 176, 16 * 100001, 16 * 100001, 176) +
                            segment(1, 0, 1 << 24, 1 << 24) + struct.pack("<QQ", 5, 0) +
                            b"".join(struct.pack("<QQ", 1, i % 200) for i in range(100000))),
              "notes": elf(body=segment(4, 120, 24, 24) + struct.pack("<III", (1 << 32) - 1, (1 << 32) - 1, 1))}
    for name, data in shapes.items():
        t.add(f"usr/bin/{name}", data, mode=0o755)
        t.add(f"usr/lib/lib{name}.so.1", data, mode=0o755)
    t.add("usr/bin/calls", "#!/bin/sh\n" + "\n".join(shapes) + "\n", mode=0o755)


def bad_databases(t):
    base(t)
    r = random.Random(1)
    t.add("var/lib/dpkg/status", r.randbytes(1 << 20))
    t.add("lib/apk/db/installed", r.randbytes(1 << 20))
    t.add("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0" + r.randbytes(1 << 20))
    t.add("etc/ld.so.cache", b"glibc-ld.so.cache1.1" + struct.pack("<II", 1 << 31, 1 << 31) + r.randbytes(4096))
    t.add("etc/group", r.randbytes(100000))
    t.add("etc/shadow", r.randbytes(100000))


def big_database(t):
    """Very many packages that all need one another."""
    base(t)
    text = []
    for i in range(15000):
        needs = ", ".join(f"p{(i * 7 + k * 131) % 15000} | q{k}" for k in range(12))
        text.append(f"Package: p{i}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nProvides: v{i % 50}\n"
                    f"Depends: {needs}, v{i % 50}\nDescription: x\n\n")
    t.add("var/lib/dpkg/status", "".join(text))
    for i in range(0, 15000, 40):
        t.add(f"var/lib/dpkg/info/p{i}.list", f"/.\n/usr\n/usr/share\n/usr/share/p{i}\n")
        t.add(f"usr/share/p{i}", "x")


def endless_line(t):
    base(t)
    t.add("var/lib/dpkg/status", b"Package: a\nStatus: install ok installed\nDepends: " + b"a, " * (8 << 20) + b"\n\n")
    t.add("etc/group", b"root:x:0:" + b"a," * (1 << 20) + b"\n")


def huge_script(t):
    line = b"/usr/bin/su $x /srv/* ${y} `id` $(ls /usr/*/*)\n"
    t.add("bin/app", b"#!/bin/sh\n" + line * ((100 << 20) // len(line)), mode=0o755)
    t.add("bin/sh", elf(), mode=0o755)
    t.add("usr/bin/su", elf(), mode=0o4755)


def calling_scripts(t):
    """Thousands of scripts of which each calls many others and looks into directories."""
    base(t)
    for i in range(4000):
        body = "#!/bin/sh\n" + "".join(f"s{(i * 31 + k * 97) % 4000} /srv/{k}* /usr/*/bin/*\n" for k in range(20))
        t.add(f"usr/bin/s{i}", body, mode=0o755)
    t.add("usr/bin/first", "#!/bin/sh\ns0\n", mode=0o755)


def same_names(t):
    """One name in very many directories of programs."""
    base(t)
    for i in range(15000):
        t.add(f"opt/{i}/bin/app", "#!/bin/sh\napp app app\n", mode=0o755)


def whiteouts(t):
    base(t)
    for i in range(100000):
        t.add(f"srv/{i % 100}/.wh.f{i}")
    t.add("srv/.wh..wh..opq")
    t.add("srv/0/.wh.", b"")


def size_beyond_the_end(t):
    base(t)
    t.add("srv/x", b"abc", size=1 << 32)


def bomb(t):
    base(t)
    t.add("srv/x", size=192 << 20)
    for _ in range(192):
        t.raw(bytes(1 << 20))
