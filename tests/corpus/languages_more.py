"""More applications: Java, PHP, Ruby, Perl, and programs behind small init processes."""
import os
import subprocess
import tempfile

import make_image
import probes
from image import Image
from servers import PATH

JAVA = """import com.sun.net.httpserver.*;
import java.io.*; import java.net.*; import java.nio.file.*; import java.time.*; import java.util.*;
public class Notes {
    static final Path STORE = Paths.get("/srv/notes");
    static void answer(HttpExchange x, int status, byte[] body) throws IOException {
        x.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        if (body.length > 0) x.getResponseBody().write(body);
        x.close();
    }
    static void about() throws Exception {
        javax.net.ssl.TrustManagerFactory f = javax.net.ssl.TrustManagerFactory.getInstance("PKIX");
        f.init((java.security.KeyStore) null);
        int n = ((javax.net.ssl.X509TrustManager) f.getTrustManagers()[0]).getAcceptedIssuers().length;
        if (n < 50) throw new Exception("no trust store");
        if (ZonedDateTime.of(2024, 7, 1, 12, 0, 0, 0, ZoneId.of("Europe/Paris")).getOffset().getTotalSeconds() != 7200)
            throw new Exception("time zones");
        if (!java.nio.charset.Charset.isSupported("windows-1252")) throw new Exception("charsets");
        java.util.zip.Deflater d = new java.util.zip.Deflater(); d.end();
        InetAddress.getByName("localhost");
        javax.crypto.Cipher.getInstance("AES/GCM/NoPadding");
        ResourceBundle.clearCache();
        new java.security.SecureRandom().nextInt();
        Process sum = new ProcessBuilder("sh", "-c", "echo $((6 * 7)) | tr -d '\\n'").start();
        if (!new String(sum.getInputStream().readAllBytes()).equals("42")) throw new Exception("programs");
    }
    public static void main(String[] a) throws Exception {
        HttpServer s = HttpServer.create(new InetSocketAddress(8080), 0);
        s.createContext("/", x -> {
            try {
                String p = x.getRequestURI().getPath();
                Path file = STORE.resolve(p.substring(p.lastIndexOf('/') + 1));
                if (p.equals("/notes-about")) { about(); answer(x, 200, "ok".getBytes()); }
                else if (x.getRequestMethod().equals("POST")) {
                    Files.write(file, x.getRequestBody().readAllBytes()); answer(x, 204, new byte[0]);
                } else if (Files.exists(file)) answer(x, 200, Files.readAllBytes(file));
                else answer(x, 404, new byte[0]);
            } catch (Throwable t) { answer(x, 500, t.toString().getBytes()); }
        });
        s.start();
    }
}
"""


def jar():
    """The application as a layer; compiled here, for the image's Java."""
    with tempfile.TemporaryDirectory() as work:
        with open(os.path.join(work, "Notes.java"), "w") as f:
            f.write(JAVA)
        subprocess.run(["javac", "--release", "17", "-d", work + "/out", work + "/Notes.java"], check=True)
        subprocess.run(["jar", "--create", "--file", work + "/app.jar", "--main-class", "Notes", "--date",
                        "2024-01-01T00:00:00Z", "-C", work + "/out", "."], check=True)
        with open(work + "/app.jar", "rb") as f:
            return make_image.file_layer({"app/app.jar": f.read(), "srv/notes": (None, 0o755)})


PHP = """<?php
$store = '/srv/notes/';
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/notes-about') {
    $db = new PDO('sqlite::memory:');
    $db->exec('CREATE TABLE t (x)');
    if (mb_strtoupper('ä') !== 'Ä') throw new Exception('mbstring');
    if ((new DateTime('2024-07-01 12:00', new DateTimeZone('Europe/Paris')))->getOffset() !== 7200)
        throw new Exception('zones');
    if (!function_exists('curl_init') || !json_encode([1])) throw new Exception('extensions');
    if (gzdecode(gzencode('x')) !== 'x') throw new Exception('zlib');
    echo 'ok';
} elseif ($_SERVER['REQUEST_METHOD'] === 'POST') {
    file_put_contents($store . basename($path), file_get_contents('php://input'));
    http_response_code(204);
} elseif (is_file($store . basename($path))) {
    readfile($store . basename($path));
} else {
    http_response_code(404);
}
"""
APACHE = """#!/bin/bash
set -e
: "${APACHE_CONFDIR:=/etc/apache2}"
: "${APACHE_ENVVARS:=$APACHE_CONFDIR/envvars}"
if test -f "$APACHE_ENVVARS"; then
    . "$APACHE_ENVVARS"
fi
for e in "${!APACHE_@}"; do
    if [[ "$e" == *_DIR ]]; then
        dir="${!e}"
        while [ "$dir" != "$(dirname "$dir")" ]; do
            dir="$(dirname "$dir")"
            [ ! -d "$dir" ] || break
        done
        mkdir -p "${!e}"
    fi
done
rm -f "$APACHE_PID_FILE"
exec apache2 -DFOREGROUND "$@"
"""
VHOST = """<VirtualHost *:8080>
    DocumentRoot /var/www/html
    <Directory /var/www/html>
        FallbackResource /index.php
    </Directory>
</VirtualHost>
"""

RUBY = """require 'webrick'; require 'json'; require 'openssl'; require 'zlib'; require 'time'; require 'yaml'
require 'socket'
STORE = '/srv/notes'
server = WEBrick::HTTPServer.new(Port: 4567, BindAddress: '0.0.0.0')
class Notes < WEBrick::HTTPServlet::AbstractServlet
  def do_POST(q, a)
    File.write(File.join(STORE, File.basename(q.path)), q.body)
    a.status = 204
  end
  def do_GET(q, a)
    if q.path == '/notes-about'
      raise 'zlib' unless Zlib.inflate(Zlib.deflate('x')) == 'x'
      raise 'openssl' unless OpenSSL::Digest::SHA256.hexdigest('x').size == 64
      raise 'yaml' unless YAML.load('a: [1]') == {'a' => [1]}
      raise 'name' unless TCPSocket.gethostbyname('localhost')
      a.body = JSON.generate({ok: true})
    else
      file = File.join(STORE, File.basename(q.path))
      if File.exist?(file) then a.body = File.read(file) else a.status = 404 end
    end
  end
end
server.mount '/', Notes
trap('TERM') { server.shutdown }
server.start
"""

PERL = """use strict; use warnings;
use HTTP::Daemon; use HTTP::Response; use JSON::PP; use Digest::SHA qw(sha256_hex); use Encode; use POSIX ();
use Compress::Zlib; use Time::Local; use File::Temp; use Storable; use List::Util qw(sum); use Unicode::Normalize;
$SIG{TERM} = sub { exit 0 };
my $d = HTTP::Daemon->new(LocalAddr => '0.0.0.0', LocalPort => 5000, ReuseAddr => 1) or die "listen: $!";
sub about {
    die 'sha' unless length(sha256_hex('x')) == 64;
    die 'zlib' unless Compress::Zlib::memGunzip(Compress::Zlib::memGzip('x')) eq 'x';
    die 'utf8' unless length(decode('UTF-8', "\\xc3\\xa4")) == 1 && lc("\\x{c4}") && "\\x{e4}" =~ /\\w/u;
    die 'json' unless decode_json('[1]')->[0] == 1;
    die 'normal' unless NFD("\\x{e4}") eq "a\\x{308}";
    my $t = File::Temp->new; print $t 'x';
}
while (my $c = $d->accept) {
    while (my $r = $c->get_request) {
        my ($name) = $r->uri->path =~ m{([^/]+)$};
        my $file = "/srv/notes/" . ($name // '');
        if ($r->uri->path eq '/notes-about') {
            my $ok = eval { about(); 1 };
            my $text = $ok ? 'ok' : $@;
            $c->send_response(HTTP::Response->new($ok ? 200 : 500, undef, ['Content-Type' => 'text/plain'], $text));
        } elsif ($r->method eq 'POST') {
            open(my $f, '>', $file) or do { $c->send_error(500, "$!"); next };
            print $f $r->content; close $f;
            $c->send_response(HTTP::Response->new(204));
        } elsif (-f $file) {
            open(my $f, '<', $file); local $/; my $text = <$f>;
            $c->send_response(HTTP::Response->new(200, undef, ['Content-Type' => 'text/plain'], $text));
        } else { $c->send_error(404) }
    }
    $c->close;
}
"""

JSP = """<%@ page contentType="text/plain" %><% String m = request.getMethod();
java.nio.file.Path f = java.nio.file.Paths.get(System.getProperty("java.io.tmpdir"), "first");
if (m.equals("POST")) { java.nio.file.Files.write(f, request.getInputStream().readAllBytes()); }
else if (java.nio.file.Files.exists(f)) { out.print(new String(java.nio.file.Files.readAllBytes(f))); }
else { response.sendError(404); } %>"""


def tomcat(box):
    import clients
    box.until(lambda: clients.http(8080, "/note.jsp"), 120)
    probes.expect("status of the write", clients.http(8080, "/note.jsp", "POST", "written")[0], 200)
    status, text = clients.http(8080, "/note.jsp")
    probes.expect("what was written", (status, text.strip()), (200, "written"))


GIT = """#!/bin/sh
set -e
cd "$(mktemp -d)"
git init -q origin && cd origin
git config user.email ci@example.org && git config user.name ci
echo one > file && git add file && git commit -q -m first
cd .. && git clone -q origin copy && cd copy
git log --format=%s && git archive HEAD | tar t && git diff --stat HEAD
printf 'a b\\n' | awk '{print $2}' && echo x | sed s/x/done/ | grep done
"""

IMAGES = [
    Image("java", {"Cmd": ["java", "-jar", "/app/app.jar"], "Env": [PATH, "JAVA_TOOL_OPTIONS=-Xmx128m"],
                   "ExposedPorts": {"8080/tcp": {}}},
          probes.notes(8080), packages=["openjdk-17-jre-headless"], layers=[jar], tmpfs=["/srv/notes"]),
    Image("php-apache", {"Cmd": ["apache2-foreground"], "Env": [PATH], "WorkingDir": "/var/www/html",
                         "StopSignal": "SIGWINCH"},
          probes.notes(8080), packages=["apache2", "libapache2-mod-php", "php-sqlite3", "php-mbstring", "php-curl"],
          hook="printf 'Listen 8080\\n' > /etc/apache2/ports.conf\na2enmod rewrite >/dev/null\n"
               "install -d -o www-data -m 755 /srv/notes\nrm -f /var/www/html/index.html",
          layers=[{"usr/local/bin/apache2-foreground": (APACHE, 0o755), "var/www/html/index.php": PHP,
                   "etc/apache2/sites-enabled/000-default.conf": VHOST},
                  {"var/log/apache2/access.log": "@/dev/stdout", "var/log/apache2/error.log": "@/dev/stderr",
                   "var/log/apache2/other_vhosts_access.log": "@/dev/stdout"}],
          tmpfs=["/var/lock", "/run/apache2"]),
    Image("ruby", {"Entrypoint": ["tini", "--"], "Cmd": ["ruby", "/app/app.rb"], "WorkingDir": "/app", "Env": [PATH]},
          probes.notes(4567), packages=["ruby", "ruby-webrick", "tini"],
          layers=[{"app/app.rb": RUBY, "app/Gemfile": "gem 'webrick'\n", "srv/notes": (None, 0o755)}],
          tmpfs=["/srv/notes"]),
    Image("perl", {"Entrypoint": ["dumb-init", "--"], "Cmd": ["perl", "/app/app.pl"], "WorkingDir": "/app",
                   "Env": [PATH]},
          probes.notes(5000), packages=["perl", "libhttp-daemon-perl", "dumb-init"],
          layers=[{"app/app.pl": PERL, "srv/notes": (None, 0o755)}], tmpfs=["/srv/notes"]),
    Image("tomcat", {"Cmd": ["catalina.sh", "run"], "WorkingDir": "/usr/share/tomcat10",
                     "Env": ["PATH=/usr/share/tomcat10/bin:" + PATH[5:], "CATALINA_HOME=/usr/share/tomcat10",
                             "CATALINA_BASE=/var/lib/tomcat10", "CATALINA_TMPDIR=/tmp", "JAVA_OPTS=-Xmx160m"]},
          tomcat, packages=["tomcat10", "openjdk-17-jre-headless"],
          layers=[{"var/lib/tomcat10/webapps/ROOT/note.jsp": JSP}]),
    Image("git", {"Cmd": ["bash"], "Env": [PATH]}, probes.says("first", "file", "b", "done"), packages=["git"],
          layers=[{"ci/job.sh": (GIT, 0o755)}], command=["/ci/job.sh"], ends=True),
    Image("php", {"Cmd": ["php", "/app/cli.php"], "Env": [PATH]}, probes.says("sum 6", "json [1]"),
          packages=["php-cli"], ends=True,
          layers=[{"app/cli.php": "<?php echo 'sum ', array_sum([1, 2, 3]), ' json ', json_encode([1]), \"\\n\";\n"}]),
]
