"""The people who run the portal: managers, board members and owners, and inviting more of them."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.team.routes import ROUTES

FEATURE = Feature(name="team", routes=ROUTES, nav=(NavItem("Team", "/team", "users:read", 50, "team"),))
