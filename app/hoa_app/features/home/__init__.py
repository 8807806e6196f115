"""The first page after signing in: what waits for staff, and what a homeowner came for."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.home.routes import ROUTES

FEATURE = Feature(name="home", routes=ROUTES, nav=(NavItem("Home", "/", None, 0, "home"),))
