"""Requests that homeowners file and staff answer."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.requests import mail, sweep
from hoa_app.features.requests.api import OPERATIONS
from hoa_app.features.requests.routes import ROUTES

FEATURE = Feature(
    name="requests",
    routes=ROUTES,
    nav=(NavItem("Requests", "/requests", "requests:read", 10, "requests"),),
    operations=OPERATIONS,
    jobs={mail.KIND: mail.send, sweep.KIND: sweep.sweep},
    daily=(sweep.KIND,),
)
