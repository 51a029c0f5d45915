"""More servers: databases, queues, proxies, and several programs in one container."""
import clients
import probes
from image import Image
from servers import PATH

MARIADB = """#!/bin/bash
set -eo pipefail
shopt -s nullglob
note() { printf '%s [Note] [Entrypoint]: %s\\n' "$(date --rfc-3339=seconds)" "$*"; }
if [ "${1:0:1}" = '-' ]; then
    set -- mariadbd "$@"
fi
if [ "$1" = 'mariadbd' ]; then
    if [ "$(id -u)" = "0" ]; then
        note "Switching to dedicated user 'mysql'"
        mkdir -p /var/lib/mysql /run/mysqld
        find /var/lib/mysql /run/mysqld \\! -user mysql -exec chown mysql: '{}' +
        exec gosu mysql "${BASH_SOURCE[0]}" "$@"
    fi
    if [ ! -d "/var/lib/mysql/mysql" ]; then
        note "Initializing database files"
        mariadb-install-db --datadir=/var/lib/mysql --skip-test-db --auth-root-authentication-method=normal > /dev/null
        mariadbd --skip-networking --socket=/run/mysqld/mysqld.sock &
        for i in {30..0}; do
            if mariadb --protocol=socket -uroot --socket=/run/mysqld/mysqld.sock -e 'SELECT 1' &> /dev/null; then
                break
            fi
            sleep 1
        done
        mariadb -uroot --socket=/run/mysqld/mysqld.sock --database=mysql <<-SQL
            DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1';
            CREATE USER 'root'@'%' IDENTIFIED BY '${MARIADB_ROOT_PASSWORD}';
            GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
            ALTER USER 'root'@'localhost' IDENTIFIED BY '${MARIADB_ROOT_PASSWORD}';
SQL
        kill "$!"
        wait "$!" || true
        note "Temporary server stopped"
    fi
fi
exec "$@"
"""

RABBITMQ = """#!/bin/bash
set -euo pipefail
if [[ "$1" == rabbitmq* ]] && [ "$(id -u)" = '0' ]; then
    if [ "$1" = 'rabbitmq-server' ]; then
        find /var/lib/rabbitmq \\! -user rabbitmq -exec chown rabbitmq '{}' +
    fi
    exec gosu rabbitmq "$BASH_SOURCE" "$@"
fi
exec "$@"
"""

HAPROXY = """#!/bin/sh
set -e
# the first argument is a flag: it is for haproxy
if [ "${1#-}" != "$1" ]; then
    set -- haproxy "$@"
fi
if [ "$1" = 'haproxy' ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
"""
HAPROXY_CFG = """global
    maxconn 100
    stats socket /tmp/haproxy.sock mode 600
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind :8080
    http-request return status 404 content-type text/plain string "nothing\\n" if { path_beg /not-there }
    http-request return status 200 content-type text/plain lf-string "hello from haproxy %[lua.word]\\n"
"""
HAPROXY_LUA = 'core.register_fetches("word", function(txn) return "and lua" end)\n'

SUPERVISOR = """[supervisord]
nodaemon=true
user=root
logfile=/dev/null
logfile_maxbytes=0
pidfile=/run/supervisord.pid
[program:nginx]
command=nginx -g 'daemon off;'
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
redirect_stderr=true
[program:app]
command=/usr/bin/env python3 -m http.server --directory /srv/www 9000
user=www-data
environment=PYTHONUNBUFFERED="1"
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
redirect_stderr=true
"""
PROXY = """server {
    listen 8080 default_server;
    location / { proxy_pass http://127.0.0.1:9000; }
    location = /front { default_type text/plain; return 200 'from nginx\\n'; }
}
"""

VCL = """vcl 4.1;
import std;
backend none { .host = "127.0.0.1"; .port = "1"; }
sub vcl_recv {
    if (req.url ~ "^/not-there") { return (synth(404, "nothing")); }
    return (synth(200, std.toupper("hello from varnish")));
}
"""

SSHD = """#!/bin/sh
set -e
ssh-keygen -A
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e "$@"
"""


def both_programs(box):
    box.until(lambda: clients.http(9000))
    probes.page(8080, "served by python")(box)
    probes.expect("the proxy itself", clients.http(8080, "/front"), (200, "from nginx\n"))


def ssh(box):
    """Logs in with a key that is added to the running container, as a mount would."""
    import os
    import tempfile
    box.until(lambda: clients.connect(22)[1].readline() or None)
    with tempfile.TemporaryDirectory() as work:
        key = os.path.join(work, "key")
        box.host("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        box.docker.run("cp", key + ".pub", f"{box.name}:/home/login/.ssh/authorized_keys")
        r = box.host("ssh", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                     "UserKnownHostsFile=/dev/null", "login@127.0.0.1", "echo written > ~/note && cat ~/note && id -un")
        probes.expect("what the login said", (r.returncode, r.stdout.split()), (0, ["written", "login"]))


def cron(box):
    """A job of every minute runs a script of the image, as a user of its own."""
    box.until(lambda: ("ran as daemon" in box.read("/srv/out/log")) or None, 100)


IMAGES = [
    Image("memcached", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["memcached"], "User": "memcache",
                        "ExposedPorts": {"11211/tcp": {}}, "Env": [PATH]},
          probes.memcached, packages=["memcached"],
          layers=[{"usr/local/bin/docker-entrypoint.sh":
                   ("#!/bin/sh\nset -e\nif [ \"${1#-}\" != \"$1\" ]; then\n    set -- memcached \"$@\"\n"
                    "fi\nexec \"$@\"\n",
                    0o755)}]),
    Image("haproxy", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["haproxy", "-f", "/etc/haproxy/haproxy.cfg"],
                      "StopSignal": "SIGUSR1", "Env": [PATH]},
          probes.page(8080, "hello from haproxy and lua"), packages=["haproxy"],
          layers=[{"usr/local/bin/docker-entrypoint.sh": (HAPROXY, 0o755),
                   "etc/haproxy/haproxy.cfg": HAPROXY_CFG.replace(
                   "global\n", "global\n    lua-load /etc/haproxy/w.lua\n"),
                   "etc/haproxy/w.lua": HAPROXY_LUA}]),
    Image("mariadb", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["mariadbd"], "Volumes": {"/var/lib/mysql": {}},
                      "ExposedPorts": {"3306/tcp": {}}, "Env": [PATH]},
          probes.mariadb("chosen"), packages=["mariadb-server", "gosu"],
          hook="rm -rf /var/lib/mysql && install -d -o mysql -g mysql -m 1777 /var/lib/mysql\n"
               "printf '[mariadbd]\\nbind-address = 0.0.0.0\\nskip-name-resolve\\n' "
               "> /etc/mysql/mariadb.conf.d/99-docker.cnf",
          layers=[{"usr/local/bin/docker-entrypoint.sh": (MARIADB, 0o755)}],
          options=["-e", "MARIADB_ROOT_PASSWORD=chosen"], tmpfs=["/var/lib/mysql"]),
    Image("rabbitmq", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["rabbitmq-server"],
                       "Volumes": {"/var/lib/rabbitmq": {}}, "ExposedPorts": {"5672/tcp": {}},
                       "Env": ["PATH=/usr/lib/rabbitmq/bin:" + PATH[5:], "HOME=/var/lib/rabbitmq", "LANG=C.UTF-8"]},
          probes.rabbitmq, packages=["rabbitmq-server", "gosu"],
          hook="rm -rf /var/lib/rabbitmq/* /var/lib/rabbitmq/.erlang.cookie\n"
               "sed -i 's/^NODENAME.*//' /etc/default/rabbitmq-server",
          layers=[{"usr/local/bin/docker-entrypoint.sh": (RABBITMQ, 0o755),
                   "etc/rabbitmq/enabled_plugins": "[rabbitmq_management].\n"}],
          options=["--hostname", "queue", "--add-host", "queue:127.0.0.1"]),
    Image("supervisord", {"Cmd": ["/usr/bin/supervisord", "-c", "/etc/supervisor/supervisord.conf"], "Env": [PATH]},
          both_programs, packages=["supervisor", "nginx-light"],
          layers=[{"etc/supervisor/supervisord.conf": SUPERVISOR, "srv/www/index.html": "served by python\n",
                   "etc/nginx/sites-enabled/default": PROXY}]),
    Image("varnish", {"Cmd": ["varnishd", "-F", "-f", "/etc/varnish/default.vcl", "-a", ":8080", "-s", "malloc,16m"],
                      "Env": [PATH]},
          probes.page(8080, "HELLO FROM VARNISH"), packages=["varnish"],
          layers=[{"etc/varnish/default.vcl": VCL}]),
    Image("sshd", {"Entrypoint": ["/entry.sh"], "ExposedPorts": {"22/tcp": {}}, "Env": [PATH]}, ssh,
          packages=["openssh-server"],
          hook="rm -f /etc/ssh/ssh_host_*\nuseradd -m -s /bin/sh login\nsed -i 's/^login:!/login:*/' /etc/shadow\n"
               "install -d -o login -g login -m 700 /home/login/.ssh",
          layers=[{"entry.sh": (SSHD, 0o755)}]),
    Image("cron", {"Cmd": ["cron", "-f"], "Env": [PATH]}, cron, packages=["cron"],
          layers=[{"etc/cron.d/job": "* * * * * daemon /usr/local/bin/job >> /srv/out/log 2>&1\n",
                   "usr/local/bin/job": ("#!/bin/sh\necho ran as $(id -un)\n", 0o755), "srv/out": (None, 0o1777)}]),
]
