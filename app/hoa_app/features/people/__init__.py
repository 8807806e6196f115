"""People, and what they own from when to when."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.people import inviting, routes
from hoa_app.features.people.api import OPERATIONS
from hoa_app.features.people.service import accepted

FEATURE = Feature(
    name="people",
    routes=(*inviting.ROUTES, *routes.ROUTES),
    nav=(NavItem("People", "/people", "people:read", 20, "people"),),
    operations=OPERATIONS,
    on_invitation_accepted=accepted,
)
