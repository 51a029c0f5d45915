"""Every image of the corpus, in the order of the table."""
import dirty
import languages
import languages_more
import rpms
import servers
import servers_more
import shapes
import small

IMAGES = (servers.IMAGES + servers_more.IMAGES + languages.IMAGES + languages_more.IMAGES + small.IMAGES + rpms.IMAGES
          + shapes.IMAGES + dirty.IMAGES)


def select(names=None, quick=False):
    unknown = set(names or []) - {i.name for i in IMAGES}
    if unknown:
        raise SystemExit("no such image: " + ", ".join(sorted(unknown)))
    return [i for i in IMAGES if (not names or i.name in names) and (i.quick or not quick)]
