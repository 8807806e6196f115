"""Everything the app does for people; each feature plugs into the spine by its FEATURE."""

from hoa_app.features.audit import FEATURE as AUDIT
from hoa_app.features.communities import FEATURE as COMMUNITIES
from hoa_app.features.home import FEATURE as HOME
from hoa_app.features.imports import FEATURE as IMPORTS
from hoa_app.features.people import FEATURE as PEOPLE
from hoa_app.features.requests import FEATURE as REQUESTS
from hoa_app.features.settings import FEATURE as SETTINGS
from hoa_app.features.team import FEATURE as TEAM

FEATURES = (HOME, REQUESTS, PEOPLE, COMMUNITIES, IMPORTS, TEAM, SETTINGS, AUDIT)
