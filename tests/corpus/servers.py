"""Images of servers, with entrypoint scripts such as their publishers write."""
import probes
from image import Image

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

REDIS = """#!/bin/sh
set -e
# options alone, or a configuration file, mean the server
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = 'redis-server' -a "$(id -u)" = '0' ]; then
    find . \\! -user redis -exec chown redis '{}' +
    exec gosu redis "$0" "$@"
fi
um="$(umask)"
if [ "$um" = '0022' ]; then
    umask 0077
fi
exec "$@"
"""

NGINX = """#!/bin/sh
set -e
entrypoint_log() {
    if [ -z "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ]; then
        echo "$@"
    fi
}
if [ "$1" = "nginx" ] || [ "$1" = "nginx-debug" ]; then
    if /usr/bin/find "/docker-entrypoint.d/" -mindepth 1 -maxdepth 1 -type f -print -quit 2>/dev/null | read v; then
        entrypoint_log "$0: files in /docker-entrypoint.d/ are run"
        find "/docker-entrypoint.d/" -follow -type f -print | sort -V | while read -r f; do
            case "$f" in
                *.envsh) if [ -x "$f" ]; then . "$f"; fi ;;
                *.sh) if [ -x "$f" ]; then entrypoint_log "$0: running $f"; "$f"; fi ;;
                *) entrypoint_log "$0: ignoring $f" ;;
            esac
        done
        entrypoint_log "$0: ready to start"
    fi
fi
exec "$@"
"""
NGINX_TEMPLATES = """#!/bin/sh
set -e
template_dir="${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}"
output_dir="${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}"
[ -d "$template_dir" ] || exit 0
if [ ! -w "$output_dir" ]; then
    echo "$0: $output_dir is not writable"
    exit 0
fi
defined_envs=$(printf '${%s} ' $(awk "END { for (name in ENVIRON) { print name } }" < /dev/null ))
find "$template_dir" -follow -type f -name "*.template" -print | while read -r template; do
    relative_path="${template#"$template_dir/"}"
    output_path="$output_dir/${relative_path%.template}"
    mkdir -p "$(dirname "$output_path")"
    envsubst "$defined_envs" < "$template" > "$output_path"
done
"""
NGINX_WORKERS = """#!/bin/sh
set -eu
ncpu=$(getconf _NPROCESSORS_ONLN)
sed -i.bak -r 's/^(worker_processes)(.*)$/# from '"$(basename $0)"'\\n\\1 '"$ncpu"';/' /etc/nginx/nginx.conf || true
rm -f /etc/nginx/nginx.conf.bak
"""
NGINX_SITE = """server {
    listen 8080 default_server;
    root /usr/share/nginx/html;
    location / { try_files $uri $uri/ =404; }
}
"""

POSTGRES = """#!/usr/bin/env bash
set -Eeo pipefail
_main_dirs() {
    local user; user="$(id -u)"
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 03775 /var/run/postgresql || :
    if [ "$user" = '0' ]; then
        find "$PGDATA" \\! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql \\! -user postgres -exec chown postgres '{}' +
    fi
}
_init_database() {
    # a user that passwd does not know: nss_wrapper is how the publisher's script helps itself
    if ! getent passwd "$(id -u)" &> /dev/null; then
        echo "no passwd row for $(id -u)" >&2
    fi
    local command='initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\\n" "$POSTGRES_PASSWORD")'
    eval "$command $POSTGRES_INITDB_ARGS"' "$@"'
}
_process_init_files() {
    printf '\\n'
    local f
    for f; do
        case "$f" in
            *.sh) if [ -x "$f" ]; then printf '%s: running %s\\n' "$0" "$f"; "$f"; else . "$f"; fi ;;
            *.sql) printf '%s: running %s\\n' "$0" "$f"; _sql -f "$f" ;;
            *.sql.gz) gunzip -c "$f" | _sql ;;
            *) printf '%s: ignoring %s\\n' "$0" "$f" ;;
        esac
    done
}
_sql() {
    PGHOST= PGHOSTADDR= psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password \\
        --dbname postgres "$@"
}
if [ "${1:0:1}" = '-' ]; then
    set -- postgres "$@"
fi
if [ "$1" = 'postgres' ]; then
    _main_dirs
    if [ "$(id -u)" = '0' ]; then
        exec gosu postgres "$BASH_SOURCE" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        ls /docker-entrypoint-initdb.d/ > /dev/null
        _init_database
        printf '\\nhost all all all scram-sha-256\\n' >> "$PGDATA/pg_hba.conf"
        PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
        _process_init_files /docker-entrypoint-initdb.d/*
        PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" -m fast -w stop
    fi
fi
exec "$@"
"""


def postgres_probe(box):
    probes.postgres("chosen")(box)
    import clients
    probes.expect("what the scripts of the image did", clients.Postgres(5432, password="chosen")(
        "SELECT word FROM prepared"), [["by sql"]])


IMAGES = [
    Image("redis", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server", "--protected-mode", "no"],
                    "WorkingDir": "/data", "Volumes": {"/data": {}}, "ExposedPorts": {"6379/tcp": {}}, "Env": [PATH]},
          probes.redis, packages=["redis-server", "gosu"], quick=True, tmpfs=["/data"],
          hook="mkdir /data && chown redis:redis /data",
          layers=[{"usr/local/bin/docker-entrypoint.sh": (REDIS, 0o755)}],
          variants={"user": ["--user", "redis", "--cap-drop", "ALL"]}),
    Image("nginx", {"Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["nginx", "-g", "daemon off;"], "Env": [PATH],
                    "ExposedPorts": {"8080/tcp": {}}, "StopSignal": "SIGQUIT",
                    "Healthcheck": {"Test": ["CMD-SHELL", "curl -fsS http://localhost:8080/ || exit 1"],
                                    "Interval": 1000000000, "Retries": 30}},
          probes.both(probes.page(8080, "hello from nginx"), probes.page(8081, "from a template"), probes.healthy),
          packages=["nginx-light", "curl", "gettext-base"], quick=True,
          tmpfs=["/var/lib/nginx", "/etc/nginx/conf.d"],
          layers=[{"etc/nginx/sites-enabled/default": NGINX_SITE, "docker-entrypoint.sh": (NGINX, 0o755),
                   "docker-entrypoint.d/20-envsubst-on-templates.sh": (NGINX_TEMPLATES, 0o755),
                   "docker-entrypoint.d/30-tune-worker-processes.sh": (NGINX_WORKERS, 0o755),
                   "etc/nginx/templates/more.conf.template":
                   "server { listen 8081; location = / { return 200 'from a $WHERE\\n'; }\n"
                   "location / { return 404; } }\n",
                   "usr/share/nginx/html/index.html": "hello from nginx\n"},
                  {"var/log/nginx/access.log": "@/dev/stdout", "var/log/nginx/error.log": "@/dev/stderr"}],
          options=["-e", "WHERE=template"]),
    Image("postgres", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["postgres"], "StopSignal": "SIGINT",
                        "Env": [PATH + ":/usr/lib/postgresql/15/bin",
                               "PGDATA=/var/lib/postgresql/data", "POSTGRES_USER=postgres", "LANG=C.UTF-8"],
                       "Volumes": {"/var/lib/postgresql/data": {}}, "ExposedPorts": {"5432/tcp": {}}},
          postgres_probe, packages=["postgresql-15", "gosu"],
          hook="rm -rf /var/lib/postgresql/15 /etc/postgresql/15\n"
               "install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data\n"
               "sed -i \"s/^#listen_addresses.*/listen_addresses = '*'/\" "
               "/usr/share/postgresql/15/postgresql.conf.sample",
          layers=[{"usr/local/bin/docker-entrypoint.sh": (POSTGRES, 0o755), "run/postgresql": (None, 0o3777),
                   "docker-entrypoint-initdb.d/10-first.sql":
                   "CREATE TABLE prepared (word text); INSERT INTO prepared VALUES ('by sql');\n",
                   "docker-entrypoint-initdb.d/20-second.sh":
                   ("#!/bin/bash\nset -e\npsql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" <<-SQL\n"
                    "UPDATE prepared SET word = word WHERE true;\nSQL\n", 0o755)}],
          options=["-e", "POSTGRES_PASSWORD=chosen", "-e", "POSTGRES_INITDB_ARGS=--auth-host=scram-sha-256"],
          tmpfs=["/var/lib/postgresql/data", "/var/run/postgresql"],
          variants={"user": ["--user", "postgres", "--cap-drop", "ALL"]}),
]
