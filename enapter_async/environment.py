"""The environment variables that several layers read, and the server that is called by default."""

from typing import Final

DEFAULT_BASE_URL: Final = "https://api.enapter.com"
ENVIRONMENT: Final = "ENAPTER_HTTP_API_"
"""The beginning of the variables of a connection, such as `ENAPTER_HTTP_API_TOKEN`."""
LOG_VARIABLE: Final = "ENAPTER_LOG"
PROFILE_VARIABLE: Final = "ENAPTER_PROFILE"
