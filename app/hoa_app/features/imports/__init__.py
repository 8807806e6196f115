"""Homeowners from a spreadsheet: upload, preview, confirm."""

from hoa_app.feature import Feature, NavItem
from hoa_app.features.imports.api import OPERATIONS
from hoa_app.features.imports.routes import ROUTES

FEATURE = Feature(
    name="imports",
    routes=ROUTES,
    nav=(NavItem("Import", "/imports", "imports:run", 40, "imports"),),
    operations=OPERATIONS,
)
