"""What a person may write in values, in which words the rest is refused, and what the pods' environment becomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hoa_app.settings import Settings as AppSettings
from hoa_operator.settings import Settings as OperatorSettings
from tests.chart.conftest import COMBINATIONS, DOMAIN
from tests.chart.pods import environment, of_kind
from tests.cluster.helm import CHART, Helm, HelmError, one
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from tests.chart.conftest import Rendered

Json = dict[str, Any]
SEED = {
    "small": ({"min": 0, "max": 99}, "250m", "512Mi", "10Gi"),
    "medium": ({"min": 100, "max": 499}, "500m", "1Gi", "50Gi"),
    "large": ({"min": 500, "max": 1999}, "1", "2Gi", "100Gi"),
    "enterprise": ({"min": 2000}, "2", "4Gi", "500Gi"),
}
REFUSED: dict[str, tuple[Json, str]] = {
    "a typo at the top": ({"ingres": {}}, "additional properties 'ingres' not allowed"),
    "a typo below": (
        {"ingress": {"baseDomian": "x"}},
        "at '/ingress': additional properties 'baseDomian' not allowed",
    ),
    "a typo in a tier": (
        {"tiers": {"small": {"statementTimout": "1s"}}},
        "at '/tiers/small': additional properties 'statementTimout' not allowed",
    ),
    "a tier without limits": (
        {"tiers": {"tiny": {"homeowners": {"min": 0}}}},
        "at '/tiers/tiny': missing properties 'cpu', 'memory'",
    ),
    "an unknown scheme": ({"ingress": {"scheme": "ftp"}}, "at '/ingress/scheme': value must be one of 'http', 'https'"),
    "a base domain with a scheme": ({"ingress": {"baseDomain": "https://x"}}, "at '/ingress/baseDomain'"),
    "no replicas": ({"app": {"replicas": 0}}, "at '/app/replicas': minimum: got 0, want 1"),
    "a value of an older chart": (
        {"app": {"schemaRevision": "0001"}},
        "at '/app': additional properties 'schemaRevision' not allowed",
    ),
    "a value that is null": (
        {"operator": {"jobConcurrency": None}},
        "at '/operator': missing property 'jobConcurrency'",
    ),
    "fewer pods at most than at least": (
        {"app": {"autoscaling": {"minReplicas": 9, "maxReplicas": 3}}},
        "app.autoscaling.minReplicas is 9, above app.autoscaling.maxReplicas, which is 3",
    ),
    "a migration that outlasts the provisioning": (
        {"operator": {"jobDeadlineSeconds": 900}},
        "operator.jobDeadlineSeconds is 900, above operator.provisioningDeadlineSeconds, which is 600",
    ),
    "a log level in capitals": ({"app": {"logLevel": "INFO"}}, "at '/app/logLevel': value must be one of 'debug'"),
    "a mail password in the URL": ({"mail": {"smtpUrl": "smtp://a:secret@mail.example"}}, "at '/mail/smtpUrl'"),
    "files in a relative folder": ({"files": {"url": "file://files"}}, "at '/files/url'"),
    "an unknown pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy'"),
    "postgres as root": ({"postgres": {"runAsUser": 0}}, "at '/postgres/runAsUser': minimum: got 0, want 1"),
}


def leaves(schema: Json, definitions: Json) -> list[Json]:
    """Return every object schema below, following references."""
    schema = definitions[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    found = [schema] if "properties" in schema else []
    children = [*schema.get("properties", {}).values()]
    children += [
        child for child in (schema.get("items"), schema.get("additionalProperties")) if isinstance(child, dict)
    ]
    return found + [leaf for child in children for leaf in leaves(child, definitions)]


def test_the_schema_refuses_unknown_names_everywhere() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    objects = leaves(schema, schema["$defs"])
    assert len(objects) > 20
    assert all(item["additionalProperties"] is False for item in objects)


def test_the_schema_knows_every_value_and_no_other_and_asks_for_all_but_null() -> None:
    """What `--reuse-values` leaves out of a newer chart's values is refused, as is a null, which takes a value away."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(path: str, value: Json, part: Json) -> None:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        if "properties" not in part:
            return
        assert set(value) == set(part["properties"]) - {"global"}, path
        if not path.endswith("/resources"):
            assert set(part["required"]) == {name for name, child in value.items() if child is not None}, path
        for name, child in value.items():
            if isinstance(child, dict):
                compare(f"{path}/{name}", child, part["properties"][name])

    compare("", values, schema)


def test_every_value_is_explained() -> None:
    block: list[str] = []
    for line in [*(CHART / "values.yaml").read_text().splitlines(), ""]:
        if line:
            block.append(line)
            continue
        assert any(part.strip().startswith("#") for part in block), block
        block = []


@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_nobody_reads_or_cannot_be_meant_is_refused(renderer: Helm, values: Json, words: str) -> None:
    merged = {**DOMAIN, **values}
    with pytest.raises(HelmError) as refusal:
        renderer.render(merged)
    assert words in str(refusal.value)


def test_the_base_domain_must_be_given(renderer: Helm) -> None:
    with pytest.raises(HelmError, match=r"ingress\.baseDomain is not set: tenants are served at <slug>.<baseDomain>"):
        renderer.render({})


def test_an_external_postgres_needs_its_address_and_its_secret(renderer: Helm) -> None:
    with pytest.raises(HelmError, match=r"postgres.external.host is not set"):
        renderer.render({**DOMAIN, "postgres": {"enabled": False, "existingSecret": "a"}})
    with pytest.raises(HelmError, match=r"postgres.existingSecret is not set"):
        renderer.render({**DOMAIN, "postgres": {"enabled": False, "external": {"host": "db.example"}}})


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS.keys())
def test_lint_finds_nothing(renderer: Helm, values: Json) -> None:
    text = renderer("lint", str(CHART), "--strict", "--kube-version=1.34.4", values=values)
    assert "0 chart(s) failed" in text
    assert "[WARNING]" not in text


def test_the_tiers_have_the_figures_that_were_agreed(default_objects: Rendered) -> None:
    tiers = {item["metadata"]["name"]: item["spec"] for item in of_kind(default_objects, "HOATier")}
    assert {
        name: (spec["homeowners"], spec["cpu"], spec["memory"], spec["storage"]) for name, spec in tiers.items()
    } == SEED


def test_a_tier_can_be_left_out(combinations: dict[str, Rendered]) -> None:
    names = {item["metadata"]["name"] for item in of_kind(combinations["everything off"], "HOATier")}
    assert names == {"small", "medium", "large"}


def test_the_operator_understands_its_environment(rendered: Rendered) -> None:
    settings = OperatorSettings.from_env(environment(rendered, "hoa-connect-operator"))
    app = one(rendered, "Deployment", "hoa-connect-app")
    assert settings.app.deployment == app["metadata"]["name"]
    assert settings.app.image == app["spec"]["template"]["spec"]["containers"][0]["image"]
    assert settings.release == "hoa-connect"
    assert settings.capacity.minimum == 2
    assert settings.capacity.maximum == 20
    assert settings.app.schema_revision == newest_revision()


def newest_revision() -> str:
    """The revision of the tenants' schema that the app's migrations lead to."""
    return max(file.name[:4] for file in (REPOSITORY / "app/hoa_app/migrations/versions").glob("[0-9]*.py"))


@pytest.mark.parametrize("deployment", ["hoa-connect-app", "hoa-connect-worker"])
def test_the_app_understands_its_environment(rendered: Rendered, deployment: str) -> None:
    pod = one(rendered, "Deployment", deployment)["spec"]["template"]["spec"]
    settings = AppSettings.from_env(environment(rendered, deployment))
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {str(settings.registry_dir), str(settings.sealing_keys_file.parent)} <= mounts
    if settings.storage_url.startswith("file://"):
        assert settings.storage_url.removeprefix("file://") in mounts
    if settings.mail.password_file:
        assert str(settings.mail.password_file.parent) in mounts


def test_mounted_secrets_are_the_ones_that_are_made_or_named(rendered: Rendered) -> None:
    plan = json.loads(one(rendered, "ConfigMap", "hoa-connect-setup")["data"]["secrets.json"])
    made = {entry["name"] for entry in plan["secrets"]}
    given = {"mail", "object-store", "server-admin", "registry", "reader", "sealing"}
    for deployment in [*of_kind(rendered, "Deployment"), *of_kind(rendered, "StatefulSet")]:
        for volume in deployment["spec"]["template"]["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["secretName"] in made | given


def test_images_come_from_the_registry_that_is_named(combinations: dict[str, Rendered]) -> None:
    objects = combinations["everything on"]
    images = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in [*of_kind(objects, "Deployment"), *of_kind(objects, "StatefulSet")]
    }
    assert images == {
        "hoa-connect-operator": "registry.example/hoa/hoa-connect/operator:1.2.3",
        "hoa-connect-app": "registry.example/hoa/hoa-connect/app:1.2.3",
        "hoa-connect-worker": "registry.example/hoa/hoa-connect/app:1.2.3",
        "hoa-connect-postgres": "registry.example/hoa/postgres:17",
    }


def test_an_image_can_be_named_by_its_digest(renderer: Helm) -> None:
    digest = "sha256:" + "0" * 64
    objects = renderer.render({**DOMAIN, "app": {"image": {"tag": digest}}})
    app = one(objects, "Deployment", "hoa-connect-app")["spec"]["template"]["spec"]["containers"][0]
    assert app["image"] == f"hoa-connect/app@{digest}"
    AppSettings.from_env(environment(objects, "hoa-connect-app"))


def test_another_release_has_names_of_its_own(renderer: Helm) -> None:
    objects = renderer.render(DOMAIN, release="blue", namespace="blue-space")
    for item in objects:
        name = item["metadata"]["name"]
        shared = item["kind"] in ("HOATier", "HOADatabaseServer")
        assert shared or name.startswith(("blue-", "blue-space-")), name


def test_the_chart_carries_the_crds_of_the_repository(renderer: Helm) -> None:
    shown = [document for document in yaml.safe_load_all(renderer("show", "crds", str(CHART))) if document]
    source = [yaml.safe_load(path.read_text()) for path in sorted((CHART.parents[1] / "crds").glob("*.yaml"))]
    assert sorted(shown, key=lambda crd: crd["metadata"]["name"]) == source


def test_a_package_carries_the_crds_too(renderer: Helm) -> None:
    renderer("package", str(CHART), f"--destination={renderer.home}")
    package = next(renderer.home.glob("hoa-connect-*.tgz"))
    assert renderer("show", "crds", str(package)).count("kind: CustomResourceDefinition") == 3
