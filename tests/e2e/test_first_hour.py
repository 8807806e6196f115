"""A company's first hour in a browser: invitation, import, a request from the phone, the manager's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import ViewportSize

from tests.e2e.cluster import Cluster, HOATenant

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PASSWORD = "harbour lantern quiet maple"
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}


def test_the_first_hour_of_a_company(cluster: Cluster, browser: Browser, tmp_path: Path) -> None:
    tenant = cluster.make_tenant("harbor", branding={"primaryColor": "#14532d", "supportEmail": "help@harbor.example"})
    homeowner = f"ana@{tenant.name}.example"
    staff = _signed_in(cluster, browser, DESKTOP, tenant.obj["spec"]["admin"]["email"])
    _import_homeowners(staff, cluster, tenant, tmp_path, homeowner)
    _invite(staff, cluster, tenant, "Ana Torres")

    phone = _signed_in(cluster, browser, PHONE, homeowner)
    _file_request(phone)
    _answer(staff, cluster, tenant)
    phone.reload()
    assert phone.get_by_text("The gate is mended.").is_visible()
    assert _fits(phone)


def test_a_homeowner_cannot_reach_the_staffs_pages(cluster: Cluster, browser: Browser, tmp_path: Path) -> None:
    tenant = cluster.make_tenant("lock")
    homeowner = f"ben@{tenant.name}.example"
    staff = _signed_in(cluster, browser, DESKTOP, tenant.obj["spec"]["admin"]["email"])
    _import_homeowners(staff, cluster, tenant, tmp_path, homeowner)
    _invite(staff, cluster, tenant, "Ana Torres")
    phone = _signed_in(cluster, browser, PHONE, homeowner)
    for path in ("/people", "/imports", "/team", "/settings", "/audit"):
        answer = phone.goto(f"{cluster.url(tenant.name)}{path}")
        assert answer is not None
        assert answer.status == 403, path


def test_a_session_of_one_company_is_nothing_at_another(cluster: Cluster, browser: Browser) -> None:
    tenant = cluster.make_tenant("fence")
    page = _signed_in(cluster, browser, DESKTOP, tenant.obj["spec"]["admin"]["email"])
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
    own = cluster.get(f"{tenant.name}.localhost", "/people", headers={"Cookie": cookies})
    foreign = cluster.get("seabreeze.localhost", "/people", headers={"Cookie": cookies})
    assert own.status_code == 200
    assert foreign.status_code == 303
    assert foreign.headers["location"].startswith("/sign-in")


def _signed_in(cluster: Cluster, browser: Browser, viewport: ViewportSize, email: str) -> Page:
    """Follow the mailed invitation and choose a password."""
    context = browser.new_context(viewport=viewport, is_mobile=viewport is PHONE, has_touch=viewport is PHONE)
    page = context.new_page()
    page.goto(cluster.mailed_link(email, "/invitation/"))
    for field in page.locator("main input[type=password]").all():
        field.fill(PASSWORD)
    for box in page.locator("main input[type=checkbox]").all():
        box.check()
    page.locator("main form button").click()
    page.get_by_role("heading", name="Hello").wait_for()
    return page


def _import_homeowners(page: Page, cluster: Cluster, tenant: HOATenant, folder: Path, email: str) -> None:
    file = folder / "homeowners.csv"
    lines = ["community,unit,name,email", f"Harbor Point,1A,Ana Torres,{email}", "Harbor Point,1B,Bo Lindqvist,"]
    file.write_text("\n".join(lines) + "\n")
    page.goto(f"{cluster.url(tenant.name)}/imports")
    page.get_by_label("CSV file").set_input_files(str(file))
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("button", name="Import 2 lines").click()
    page.get_by_role("heading", name="Your homeowners are in").wait_for()


def _invite(page: Page, cluster: Cluster, tenant: HOATenant, name: str) -> None:
    page.goto(f"{cluster.url(tenant.name)}/people")
    page.get_by_role("link", name=name).first.click()
    page.get_by_role("button", name="Send invitation").click()
    page.get_by_role("status").first.wait_for()


def _file_request(page: Page) -> None:
    page.get_by_role("link", name="New request").first.click()
    page.get_by_text("Maintenance", exact=True).first.click()
    page.get_by_label("In a few words").fill("The pool gate does not close")
    page.get_by_label("Tell us more").fill("It has swung open since Monday.")
    assert _fits(page)
    page.get_by_role("button", name="Send request").click()
    page.get_by_role("heading", name="The pool gate does not close").wait_for()


def _answer(page: Page, cluster: Cluster, tenant: HOATenant) -> None:
    page.goto(f"{cluster.url(tenant.name)}/requests")
    page.get_by_role("link", name="The pool gate does not close").first.click()
    page.get_by_label("Message").fill("The gate is mended.")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("The gate is mended.").first.wait_for()


def _fits(page: Page) -> bool:
    """Whether nothing sticks out sideways of the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
