#include "sarif.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* The index of a check among the tool's rules; added when it is new. */
static size_t rule_of(json_t *rules, const char *check)
{
    json_t *row;
    size_t i;

    json_array_foreach (rules, i, row) {
        if (strcmp(text(row, "id"), check) == 0)
            return i;
    }
    row = json_object();
    qn_json_set_c(row, "id", check);
    qn_json_push(rules, row);
    return json_array_size(rules) - 1;
}

static const char *level_of(const char *level)
{
    return strcmp(level, "fatal") == 0 ? "error" : strcmp(level, "warn") == 0 ? "warning" : "note";
}

/* Percent-encodes what a URI reference may not hold as it is (RFC 3986 section 2.3). */
static char *uri_of(const char *path)
{
    size_t n = strlen(path), at = 0;
    char *out = qn_xcalloc(n + 1, 3);

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)path[i];
        bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~/+@", c) != NULL;
        if (plain)
            out[at++] = (char)c;
        else
            at += (size_t)snprintf(out + at, 4, "%%%02X", c);
    }
    return out;
}

/* A path in the image is an artifact, anything else a logical place. */
static json_t *location(const char *where)
{
    json_t *o = json_object();

    if (where[0] == '/') {
        json_t *artifact = json_object(), *physical = json_object();
        qn_auto_free char *uri = uri_of(where + 1);
        qn_json_set_c(artifact, "uri", uri);
        qn_json_set_c(artifact, "uriBaseId", "IMAGE");
        qn_json_set(physical, "artifactLocation", artifact);
        qn_json_set(o, "physicalLocation", physical);
    } else {
        json_t *list = json_array(), *logical = json_object();
        qn_json_set_c(logical, "fullyQualifiedName", where[0] ? where : "image");
        qn_json_push(list, logical);
        qn_json_set(o, "logicalLocations", list);
    }
    return o;
}

static json_t *result(const json_t *finding, const json_t *report, json_t *rules, bool as_is)
{
    const char *check = text(finding, "check"), *level = text(finding, "level");
    bool fixed = json_is_true(json_object_get(finding, "fixed"));
    json_t *o = json_object(), *message = json_object(), *places = json_array(), *properties = json_object();

    qn_json_set_c(o, "ruleId", check);
    qn_json_set_int(o, "ruleIndex", (int64_t)rule_of(rules, check));
    qn_json_set_c(o, "kind", fixed && !as_is ? "pass" : "fail");
    qn_json_set_c(o, "level", fixed && !as_is ? "none" : level_of(level));
    qn_json_set_c(message, "text", text(finding, "detail"));
    qn_json_set(o, "message", message);
    qn_json_push(places, location(text(finding, "where")));
    qn_json_set(o, "locations", places);
    qn_json_set_c(properties, "platform", text(report, "platform"));
    qn_json_set_bool(properties, as_is ? "fixable" : "fixed", fixed);
    qn_json_set_c(properties, "source", text(json_object_get(report, "source"), "digest"));
    qn_json_set(o, "properties", properties);
    return o;
}

static json_t *tool(json_t *rules)
{
    json_t *o = json_object(), *driver = json_object();

    qn_json_set_c(driver, "name", "quench");
    qn_json_set_c(driver, "version", QN_VERSION);
    qn_json_set(driver, "rules", rules);
    qn_json_set(o, "driver", driver);
    return o;
}

/* What paths are relative to. */
static json_t *bases(const char *uri)
{
    json_t *o = json_object(), *image = json_object(), *description = json_object();

    qn_json_set_c(description, "text", uri);
    qn_json_set(image, "description", description);
    qn_json_set(o, "IMAGE", image);
    return o;
}

json_t *qn_sarif_make(const json_t *const *reports, size_t n, const char *uri, bool as_is)
{
    json_t *root = json_object(), *runs = json_array(), *run = json_object(), *results = json_array();
    json_t *rules = json_array(), *row;
    size_t k;

    for (size_t i = 0; i < n; i++)
        json_array_foreach (json_object_get(reports[i], "findings"), k, row) {
            qn_json_push(results, result(row, reports[i], rules, as_is));
        }
    qn_json_set_c(root, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    qn_json_set_c(root, "version", "2.1.0");
    qn_json_set(run, "tool", tool(rules));
    qn_json_set(run, "originalUriBaseIds", bases(uri));
    qn_json_set(run, "results", results);
    qn_json_push(runs, run);
    qn_json_set(root, "runs", runs);
    return root;
}
