"""One container of a private dockerd with a network namespace of its own, and what a probe can do with it. Probes run
on the host, inside that namespace: tools that are missing in the image do not matter, and no port is taken here."""
import ctypes
import os
import subprocess
import threading
import time


class Died(Exception):
    """The container ended while a probe was waiting."""


def inside(pid, run):
    """Calls run() in a thread that has joined the network namespace of a process."""
    out = {}

    def body():
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with open(f"/proc/{pid}/ns/net") as ns:
                if libc.setns(ns.fileno(), 0x40000000) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            out["value"] = run()
        except Exception as e:  # given to the caller
            out["error"] = e
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in out:
        raise out["error"]
    return out.get("value")


class Box:
    def __init__(self, docker, image, options, command, name):
        self.docker, self.name = docker, name
        r = docker.run("run", "-d", "--name", name, "--network", "none", *options, image, *command, check=False)
        self.started, self.problem = r.returncode == 0, r.stderr.strip()
        self.pid = self.state("{{.State.Pid}}") if self.started else "0"

    def state(self, what):
        return self.docker.run("inspect", "-f", what, self.name, check=False).stdout.strip()

    def running(self):
        return self.state("{{.State.Running}}") == "true"

    def health(self):
        return self.state("{{.State.Health.Status}}")

    def logs(self):
        r = self.docker.run("logs", self.name, check=False)
        return r.stdout + r.stderr

    def wait(self, seconds):
        time.sleep(seconds)

    def until(self, check, seconds=60):
        """Calls `check` until it gives something and raises no error of connections."""
        end, last = time.monotonic() + seconds, "nothing"
        while time.monotonic() < end:
            try:
                value = check()
                if value is not None:
                    return value
            except (OSError, EOFError) as e:
                last = e
            if not os.path.exists(f"/proc/{self.pid}"):
                raise Died(f"it ended with status {self.state('{{.State.ExitCode}}')}: {self.logs()[-600:]}")
            time.sleep(0.2)
        raise Died(f"nothing happened in {seconds} s ({last}): {self.logs()[-600:]}")

    def finished(self, seconds=120):
        """(exit status, output) of a container that runs to its end."""
        end = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > end:
                raise Died(f"it still runs after {seconds} s: {self.logs()[-600:]}")
            time.sleep(0.2)
        return int(self.state("{{.State.ExitCode}}")), self.logs()

    def read(self, path):
        """A file of the container as its processes see it."""
        with open(f"/proc/{self.pid}/root{path}", errors="replace") as f:
            return f.read()

    def host(self, *argv, **kwargs):
        """Runs a client of the host in the container's network namespace (the thread is in it)."""
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, **kwargs)

    def stop(self, patience):
        """The exit status after SIGTERM; 137 when it had to be killed after so many seconds."""
        self.docker.run("stop", "-t", str(patience), self.name, check=False)
        return int(self.state("{{.State.ExitCode}}") or -1)

    def remove(self):
        self.docker.run("rm", "-f", "-v", self.name, check=False)


def attempt(docker, name, options, image, label, patience=30):
    """Starts, probes, stops: (what is wrong or "", exit status after SIGTERM)."""
    box = Box(docker, name, options, image.command, label)
    try:
        if not box.started:
            return "does not start: " + box.problem[-400:], None
        try:
            if image.ends:
                image.probe(box)
                return "", 0
            inside(box.pid, lambda: image.probe(box))
        except FileNotFoundError:
            return "it ended at once: " + box.logs()[-600:], None
        except Exception as e:
            return f"{type(e).__name__}: {e}", None
        return "", box.stop(patience)
    finally:
        box.remove()
