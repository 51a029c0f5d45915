"""A row of the corpus."""
import dataclasses


@dataclasses.dataclass
class Image:
    name: str
    config: dict                     # config.config of the image
    probe: object                    # called with a Box; raises when the image does not do what it is for
    packages: list = dataclasses.field(default_factory=list)   # Debian packages beyond minbase
    hook: str = ""                   # shell script run inside the root after them
    layers: list = dataclasses.field(default_factory=list)     # of files, as make_image.file_layer() takes them
    base: str = "minbase"            # or "": an empty base
    options: list = dataclasses.field(default_factory=list)    # of docker run, always
    command: list = dataclasses.field(default_factory=list)    # instead of Cmd
    tmpfs: list = dataclasses.field(default_factory=list)      # directories to write to when the root is read-only
    variants: dict = dataclasses.field(default_factory=dict)   # further ways to run it: name -> docker run's options
    ends: bool = False               # it runs to its end instead of serving
    docker: bool = False             # the docker family instead of OCI
    secrets: list = dataclasses.field(default_factory=list)    # texts that no layer of a strict result may hold
    quick: bool = False              # part of make check

    def ways(self, uid=""):
        """Ways to run it: name -> options. What the original can do, the hardened image must do as well. Docker gives
        what it mounts with --tmpfs to root whoever the image's user is; whoever mounts says uid=."""
        tmpfs = []
        for directory in ["/tmp", "/run"] + self.tmpfs:
            tmpfs += ["--tmpfs", directory + (f":uid={uid}" if uid else "")]
        read_only, drop, fixed = ["--read-only"] + tmpfs, ["--cap-drop", "ALL"], ["--security-opt", "no-new-privileges"]
        out = {"default": [], "locked": read_only + drop + fixed, "read-only": read_only, "cap-drop": drop,
               "no-new-privileges": fixed}
        out.update(self.variants)
        return out


# When an image can do the first, the others need not be tried.
IMPLIES = {"locked": ["read-only", "cap-drop", "no-new-privileges"]}
