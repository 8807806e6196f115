"""Names always fit, and two tenants never share one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import names

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
revisions = st.from_regex(r"[0-9]{4}", fullmatch=True)
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def every_name(tenant: str, revision: str, attempt: int) -> list[str]:
    return [
        names.credentials_secret(tenant),
        names.migrator_secret(tenant),
        names.migration_job(tenant, revision, attempt),
        names.ingress(tenant),
        names.dedicated(tenant),
        names.issued_ingress(tenant, "ClusterIssuer", "letsencrypt-production"),
        names.template_job(tenant, revision, attempt),
        names.template_secret(tenant),
    ]


@given(labels, revisions, st.integers(1, 9999))
def test_names_are_labels_that_fit(tenant: str, revision: str, attempt: int) -> None:
    for name in every_name(tenant, revision, attempt):
        assert len(name) <= 63
        assert DNS_LABEL.fullmatch(name)


@given(labels, labels, revisions, st.integers(1, 9999))
def test_two_tenants_share_no_name(one: str, other: str, revision: str, attempt: int) -> None:
    if one != other:
        for mine, theirs in zip(every_name(one, revision, attempt), every_name(other, revision, attempt), strict=True):
            assert mine != theirs


@given(st.text(alphabet="abc-.", min_size=1, max_size=200))
def test_bounded_keeps_what_fits(name: str) -> None:
    short = names.bounded(name)
    assert len(short) <= 63
    assert (short == name) == (len(name) <= 63)


def test_names_that_people_type() -> None:
    assert names.credentials_secret("seabreeze") == "tenant-seabreeze-credentials"
    assert names.migration_job("seabreeze", "0002") == "tenant-seabreeze-migrate-0002"
    assert names.migration_job("seabreeze", "0002", 3) == "tenant-seabreeze-migrate-0002-3"
    assert names.ingress("seabreeze") == "tenant-seabreeze"
    assert names.dedicated("seabreeze") == "tenant-seabreeze-app"
    assert names.template_job("default", "0002") == "template-default-0002"
