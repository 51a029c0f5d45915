/* language-managers: units go whole, or stay whole. */
#include "image/units.h"
#include "image_fixture.h"

#define STARTS "'Entrypoint':['/app/run']"
#define SITE   "usr/local/lib/python3.12/site-packages/"
#define PYTHON                                                                                                         \
    "app/run text=#!/usr/local/bin/python3\\nimport app\\n\nusr/local/bin/python3 elf\n"                               \
    "usr/local/bin/pip text=#!/usr/local/bin/python3\\nfrom pip import main\\n\nusr/local/bin/pip3.12 => "             \
    "usr/local/bin/pip\n" SITE "pip/__init__.py text=import setuptools\\n\n" SITE "pip/_vendor/x.py text=1\n" SITE     \
    "pip-24.0.dist-info/RECORD text=x\n" SITE "setuptools/__init__.py text=import distutils\\n\n" SITE                 \
    "setuptools-70.dist-info/METADATA text=x\n" SITE "pkg_resources/__init__.py text=x\n" SITE                         \
    "_distutils_hack/__init__.py text=x\n" SITE "distutils-precedence.pth text=x\n" SITE "wheel/x.py text=x\n" SITE    \
    "wheel-1.dist-info/METADATA text=x\nusr/local/bin/wheel text=#!/usr/local/bin/python3\\n\n"                        \
    "usr/local/lib/python3.12/ensurepip/__init__.py text=x\n" SITE "flask/app.py text=import re\\n\n"                  \
    "usr/local/lib/python3.12/os.py text=import setuptools\\n\n"

static void gone(const struct fixture *f, const char *path)
{
    ck_assert_msg(fixture_removed(f, path), "%s stays", path);
    ck_assert_ptr_nonnull(fixture_change(f, QN_RULE_language_managers, path));
}

static void stays(const struct fixture *f, const char *path)
{
    ck_assert_msg(!fixture_removed(f, path), "%s goes", path);
}

START_TEST(python)
{
    auto_fixture f = {0};

    fixture_make(&f, PYTHON "app/app.py text=print('pipe')\\n\n", STARTS, "");
    gone(&f, "usr/local/bin/pip");
    gone(&f, "usr/local/bin/pip3.12");
    gone(&f, SITE "pip");
    gone(&f, SITE "pip/_vendor/x.py");
    gone(&f, SITE "pip-24.0.dist-info");
    gone(&f, SITE "setuptools");
    gone(&f, SITE "setuptools-70.dist-info/METADATA");
    gone(&f, SITE "pkg_resources");
    gone(&f, SITE "_distutils_hack");
    gone(&f, SITE "distutils-precedence.pth");
    gone(&f, SITE "wheel");
    gone(&f, "usr/local/bin/wheel");
    gone(&f, "usr/local/lib/python3.12/ensurepip");
    stays(&f, SITE "flask/app.py");
    stays(&f, "usr/local/lib/python3.12/os.py");
    fixture_verified(&f);
}
END_TEST

START_TEST(python_that_is_used)
{
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_make(&f, PYTHON "app/app.py text=import pkg_resources\\n\n", STARTS, "");
    stays(&f, SITE "setuptools/__init__.py");
    stays(&f, SITE "pkg_resources/__init__.py");
    stays(&f, SITE "distutils-precedence.pth");
    gone(&f, SITE "pip");
    fixture_make(&g, PYTHON SITE "lib/x.py text=from setuptools.extern import six\\n\n", STARTS, "");
    stays(&g, SITE "setuptools/__init__.py");
    gone(&g, SITE "wheel");
    fixture_make(&h, PYTHON "app/app.py text=run([exe, '-m', 'pip', 'install'])\\n\n", STARTS, "");
    stays(&h, "usr/local/bin/pip");
    stays(&h, SITE "pip/_vendor/x.py");
    stays(&h, SITE "setuptools/__init__.py");
    fixture_make(&i, PYTHON, "'Cmd':['pip','list']", "");
    stays(&i, SITE "pip/__init__.py");
    fixture_verified(&i);
}
END_TEST

#define NODE                                                                                                           \
    "app/run text=#!/usr/local/bin/node\\nrequire('./x')\\n\nusr/local/bin/node elf\n"                                 \
    "usr/local/lib/node_modules/npm/bin/npm-cli.js text=#!/usr/bin/env node\\nx\\n\n"                                  \
    "usr/local/lib/node_modules/npm/package.json text={}\nusr/local/lib/node_modules/npm/lib/x.js text=y\n"            \
    "usr/local/bin/npm -> ../lib/node_modules/npm/bin/npm-cli.js\nusr/local/bin/npx -> "                               \
    "../lib/node_modules/npm/bin/npm-cli.js\nusr/local/lib/node_modules/corepack/dist/corepack.js "                    \
    "text=#!/usr/bin/env "                                                                                             \
    "node\\nx\\n\nusr/local/bin/corepack -> ../lib/node_modules/corepack/dist/corepack.js\n"                           \
    "opt/yarn-v1.22.19/bin/yarn.js text=#!/usr/bin/env node\\nx\\n\nusr/local/bin/yarn -> "                            \
    "/opt/yarn-v1.22.19/bin/yarn.js\napp/node_modules/express/readme.json text={\"a\":\"npm\"}\n"                      \
    "app/node_modules/npm/x.js text=1\n"

START_TEST(node)
{
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, NODE, STARTS, "");
    gone(&f, "usr/local/lib/node_modules/npm");
    gone(&f, "usr/local/bin/npm");
    gone(&f, "usr/local/bin/npx");
    gone(&f, "usr/local/lib/node_modules/corepack/dist/corepack.js");
    gone(&f, "usr/local/bin/corepack");
    gone(&f, "opt/yarn-v1.22.19");
    gone(&f, "usr/local/bin/yarn");
    /* The application's own. */
    stays(&f, "app/node_modules/npm/x.js");
    fixture_verified(&f);
    fixture_make(&g, NODE, "'Cmd':['npm','start']", "");
    stays(&g, "usr/local/lib/node_modules/npm/lib/x.js");
    stays(&g, "usr/local/bin/npx");
    gone(&g, "usr/local/bin/yarn");
    fixture_verified(&g);
    fixture_make(&h, NODE "bin/sh elf\nstart text=#!/bin/sh\\nexec yarn start\\n\n", "'Cmd':['/start']", "");
    stays(&h, "opt/yarn-v1.22.19/bin/yarn.js");
    gone(&h, "usr/local/bin/npm");
}
END_TEST

START_TEST(ruby_and_php)
{
    static const char *const layer =
        "app/run text=#!/usr/local/bin/ruby\\nputs 1\\n\nusr/local/bin/ruby elf\nusr/local/bin/gem "
        "text=#!/usr/local/bin/ruby\\n\nusr/local/bin/bundle text=#!/usr/local/bin/ruby\\n\n"
        "usr/local/lib/ruby/3.2.0/bundler/x.rb text=1\nusr/local/lib/ruby/3.2.0/bundler.rb text=1\n"
        "usr/local/lib/ruby/3.2.0/rubygems.rb text=1\n"
        "usr/local/lib/ruby/gems/3.2.0/specifications/default/bundler-2.4.gemspec text=1\n"
        "usr/local/lib/ruby/gems/3.2.0/gems/bundler-2.4/x text=1\nusr/local/bin/composer text=#!/usr/bin/php\\n\n";
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, layer, STARTS, "");
    gone(&f, "usr/local/bin/gem");
    gone(&f, "usr/local/bin/bundle");
    gone(&f, "usr/local/lib/ruby/3.2.0/bundler");
    gone(&f, "usr/local/lib/ruby/3.2.0/bundler.rb");
    gone(&f, "usr/local/lib/ruby/gems/3.2.0/specifications/default/bundler-2.4.gemspec");
    gone(&f, "usr/local/lib/ruby/gems/3.2.0/gems/bundler-2.4");
    gone(&f, "usr/local/bin/composer");
    stays(&f, "usr/local/lib/ruby/3.2.0/rubygems.rb");
    fixture_verified(&f);
    qn_auto_free char *more = qn_xasprintf("%sapp/Gemfile text=gem 'x'\\n\n", layer);
    fixture_make(&g, more, STARTS, "");
    stays(&g, "usr/local/bin/bundle");
    stays(&g, "usr/local/lib/ruby/3.2.0/bundler/x.rb");
    gone(&g, "usr/local/bin/gem");
}
END_TEST

START_TEST(packages)
{
    static const char layer[] =
        "app/run text=#!/usr/bin/python3\\n\nusr/bin/python3 elf\nusr/bin/pip3 text=#!/usr/bin/python3\\n\n"
        "usr/lib/python3/dist-packages/pip/x.py text=1\nusr/lib/python3/dist-packages/pkg_resources/x.py text=1\n"
        "usr/lib/python3/dist-packages/web.py text=1\n"
        "var/lib/dpkg/status text=" DPKG_STATUS("python3-pip", "") DPKG_STATUS("python3-pkg-resources", "") DPKG_STATUS(
            "python3-web",
            "Depends: python3-pkg-resources\\n") "\n"
                                                 "var/lib/dpkg/info/python3-pip.list "
                                                 "text=/usr/bin/pip3\\n/usr/lib/python3/dist-packages/pip/x.py\\n\n"
                                                 "var/lib/dpkg/info/python3-pkg-resources.list "
                                                 "text=/usr/lib/python3/dist-packages/pkg_resources/x.py\\n\n"
                                                 "var/lib/dpkg/info/python3-web.list "
                                                 "text=/usr/lib/python3/dist-packages/web.py\\n\n";
    auto_fixture f = {0};

    fixture_make(&f, layer, STARTS, "{'rules':{'package-managers':'off'}}");
    gone(&f, "usr/bin/pip3");
    gone(&f, "usr/lib/python3/dist-packages/pip");
    stays(&f, "usr/lib/python3/dist-packages/pkg_resources/x.py");
    ck_assert(qn_str_find(fixture_text(&f, "var/lib/dpkg/status"), QN_STR("python3-pip")) < 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(off_in_builds_and_reported_in_safe)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, PYTHON, STARTS, "{'use':'build'}");
    stays(&f, "usr/local/bin/pip");
    fixture_verified(&f);
    fixture_make(&g, PYTHON, STARTS, "{'profile':'safe'}");
    stays(&g, "usr/local/bin/pip");
    ck_assert_ptr_nonnull(fixture_change(&g, QN_RULE_language_managers, "usr/local/bin/pip"));
    fixture_verified(&g);
}
END_TEST

START_TEST(what_texts_use)
{
#define USES(text, unit) ck_assert(qn_units_used(QN_STR(text)) & QN_UNIT_BIT(QN_UNIT_##unit))
#define NOTHING(text)    ck_assert_uint_eq(qn_units_used(QN_STR(text)), 0)
    USES("import setuptools\n", SETUPTOOLS);
    USES("  from setuptools.command import x", SETUPTOOLS);
    USES("import pkg_resources as p", SETUPTOOLS);
    USES("from distutils import util\n", SETUPTOOLS);
    USES("import pip\n", PIP);
    USES("x = [\"pip\", 1]", PIP);
    USES("spawn('npm', ['i'])", NPM);
    USES("exec(\"npx x\")", NPM);
    USES("require 'bundler/setup'", BUNDLER);
    NOTHING("important setuptools");
    NOTHING("import mysetuptools\nimport setuptools_scm\n");
    NOTHING("# uses setuptools\n");
    NOTHING("import pipeline\n'pipe'\n");
}
END_TEST

Suite *suite_rules_languages(void)
{
    const TTest *const tests[] = {
        python, python_that_is_used, node, ruby_and_php, packages, off_in_builds_and_reported_in_safe, what_texts_use};
    return qn_suite("rules_languages", tests, QN_ARRAY_LEN(tests));
}
