"""Who did what, for the owner to read."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.audit import check
from hoa_app.features.audit.routes import ROUTES

FEATURE = Feature(
    name="audit",
    routes=ROUTES,
    nav=(NavItem("Audit log", "/audit", "audit:read", 90, "audit"),),
    jobs={check.KIND: check.check},
    daily=(check.KIND,),
)
