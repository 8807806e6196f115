"""How the portal looks and in which time zone its days begin; the stylesheet with the tenant's colours."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.settings.routes import ROUTES

FEATURE = Feature(
    name="settings",
    routes=ROUTES,
    nav=(NavItem("Settings", "/settings", "settings:write", 80, "settings"),),
)
