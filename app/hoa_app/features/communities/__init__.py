"""Communities and their units."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.communities.api import OPERATIONS
from hoa_app.features.communities.routes import ROUTES

FEATURE = Feature(
    name="communities",
    routes=ROUTES,
    nav=(NavItem("Communities", "/communities", "communities:read", 30, "communities"),),
    operations=OPERATIONS,
)
