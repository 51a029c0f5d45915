/* Bills of materials in an image follow the packages. */
#include "image_fixture.h"

#define TWO                                                                                                            \
    "usr/lib/a zeros=1\nusr/lib/b zeros=1\nvar/lib/dpkg/status text=" DPKG_STATUS("one+x", "") DPKG_STATUS(            \
        "two",                                                                                                         \
        "") "\nvar/lib/dpkg/info/one+x.list text=/usr/lib/a\\n\nvar/lib/dpkg/info/two.list text=/usr/lib/b\\n\n"
#define ONE_PURL "pkg:deb/debian/one%2Bx@1.0-1?arch=amd64"
#define TWO_PURL "pkg:deb/debian/two@1.0-1?arch=amd64"

static void carry_out(struct fixture *f, const char *layer)
{
    struct qn_err e;

    fixture_make(f, layer, "", ALL_OFF);
    fixture_remove(f, QN_RULE_caches, "usr/lib/a");
    qn_ok(qn_plan_check(&f->plan, &e), e);
    qn_ok(qn_plan_databases(&f->plan, &e), e);
    fixture_verified(f);
}

START_TEST(cyclonedx)
{
    auto_fixture f = {0};

    carry_out(
        &f, TWO
        "opt/x.cdx.json text={\"bomFormat\":\"CycloneDX\",\"components\":[{\"bom-ref\":\"1\",\"purl\":\"" ONE_PURL
        "\"},{\"bom-ref\":\"2\",\"purl\":\"" TWO_PURL
        "\"},{\"name\":\"three\"}],\"dependencies\":[{\"ref\":\"1\",\"dependsOn\":[\"2\"]},{\"ref\":\"2\","
        "\"dependsOn\":[\"1\",\"3\"]}]}\n"
        "opt/other.cdx.json text={\"bomFormat\":\"CycloneDX\",   \"components\":[{\"purl\":\"" TWO_PURL
        "\"}]}\nopt/about.cdx.json text={\"bomFormat\":\"CycloneDX\",\"metadata\":{\"component\":{\"purl\":\"" ONE_PURL
        "\"}}}\n");
    struct qn_str text = fixture_text(&f, "opt/x.cdx.json");
    qn_auto_json json_t *j = NULL;
    struct qn_err e;
    qn_ok(qn_json_parse(text, 1u << 20, &j, &e), e);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "components")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "dependencies")), 1);
    ck_assert(qn_str_find(text, QN_STR("one%2Bx")) < 0 && qn_str_find(text, QN_STR("\"1\"")) < 0);
    ck_assert(qn_str_find(text, QN_STR("\"3\"")) >= 0 && qn_str_find(text, QN_STR("three")) >= 0);
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_caches, "opt/x.cdx.json"));
    ck_assert(!f.plan.fate[fixture_node(&f, "opt/other.cdx.json")].edited);
}
END_TEST

#define SPDX(id, purl)                                                                                                 \
    "{\"SPDXID\":\"" id "\",\"externalRefs\":[{\"referenceType\":\"cpe23Type\",\"referenceLocator\":\"x\"},"           \
    "{\"referenceType\":\"purl\",\"referenceLocator\":\"" purl "\"}]}"

START_TEST(spdx)
{
    auto_fixture f = {0};

    carry_out(
        &f,
        TWO "var/lib/db/sbom/one.spdx.json text={\"spdxVersion\":\"SPDX-2.3\",\"packages\":[" SPDX(
            "P1",
            ONE_PURL) "],\"relationships\":[{\"spdxElementId\":\"DOC\",\"relationshipType\":"
                      "\"DESCRIBES\",\"relatedSpdxElement\":\"P1\"}]}\n"
                      "var/lib/db/sbom/all.spdx.json text={\"spdxVersion\":\"SPDX-2.3\","
                      "\"documentDescribes\":[\"P1\",\"P2\"],\"packages\":[" SPDX("P1", ONE_PURL) "," SPDX(
                          "P2",
                          TWO_PURL) "],\"relationships\":[{\"spdxElementId\":\"P1\",\"relationshipType\":\"CONTAINS\","
                                    "\"relatedSpdxElement\":\"P2\"}]}\n"
                                    "opt/bitnami/x/.spdx-x.spdx text={\"spdxVersion\":\"SPDX-2.3\",\"packages\":[" SPDX(
                                        "P2", TWO_PURL) "]}\nopt/broken.spdx.json text={]\n");
    ck_assert(fixture_removed(&f, "var/lib/db/sbom/one.spdx.json"));
    struct qn_str text = fixture_text(&f, "var/lib/db/sbom/all.spdx.json");
    ck_assert(qn_str_find(text, QN_STR("P1")) < 0 && qn_str_find(text, QN_STR("two@1.0-1")) >= 0);
    ck_assert(!f.plan.fate[fixture_node(&f, "opt/bitnami/x/.spdx-x.spdx")].edited);
    ck_assert(!f.plan.fate[fixture_node(&f, "opt/broken.spdx.json")].edited);
}
END_TEST

START_TEST(nothing_goes)
{
    auto_fixture f = {0};
    struct qn_err e;

    fixture_make(&f, TWO "x.cdx.json text={\"bomFormat\":\"CycloneDX\",\"components\":[{\"purl\":\"" ONE_PURL "\"}]}\n",
                 "", ALL_OFF);
    qn_ok(qn_plan_databases(&f.plan, &e), e);
    ck_assert(!f.plan.fate[fixture_node(&f, "x.cdx.json")].edited);
}
END_TEST

Suite *suite_sbom(void)
{
    const TTest *const tests[] = {cyclonedx, spdx, nothing_goes};
    return qn_suite("sbom", tests, QN_ARRAY_LEN(tests));
}
