"""Everything the environment may say to the app, the worker and their tools, parsed once at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

MEBIBYTE = 1024 * 1024


class SettingsError(ValueError):
    """A variable is missing or holds something that cannot be meant; whoever deploys must change it."""


@dataclass(frozen=True)
class MailSettings:
    """Where mail leaves; `host` empty means that no mail server is configured and every send fails, to be retried."""

    host: str = ""
    port: int = 25
    username: str = ""
    password_file: Path | None = None
    implicit_tls: bool = False
    sender: str = "HOA Connect <no-reply@localhost>"
    timeout_seconds: float = 15.0


@dataclass(frozen=True)
class Settings:
    """One frozen value, made by `from_env`; nothing else reads the environment."""

    registry_dir: Path
    sealing_keys_file: Path
    base_domain: str = "localhost"
    url_scheme: str = "http"
    url_port: int | None = None
    storage_url: str = "file:///var/lib/hoa/files"
    mail: MailSettings = field(default_factory=MailSettings)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    pool_max_total: int = 100
    pool_idle_seconds: float = 120.0
    pool_tenant_share: float = 0.5
    only_tenant: str | None = None
    app_version: str = "dev"
    log_level: str = "info"
    host: str = "0.0.0.0"  # noqa: S104 - a pod listens on its own address; the NetworkPolicy says who may reach it
    port: int = 8000
    metrics_port: int = 9090
    max_body_bytes: int = 20 * MEBIBYTE
    shutdown_seconds: int = 25
    worker_concurrency: int = 8
    worker_sweep_seconds: float = 30.0

    @property
    def secure(self) -> bool:
        """Whether people reach the app over https, which decides cookies and HSTS."""
        return self.url_scheme == "https"

    @property
    def port_suffix(self) -> str:
        """`:8080` when links must name a port, else nothing."""
        default = 443 if self.secure else 80
        return "" if self.url_port in (None, default) else f":{self.url_port}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Parse `environ`; raises SettingsError naming the variable."""
        read = _Reader(environ)
        return cls(
            registry_dir=Path(read.required("HOA_REGISTRY_DIR")),
            sealing_keys_file=Path(read.required("HOA_SEALING_KEYS_FILE")),
            base_domain=read.text("HOA_BASE_DOMAIN", "localhost"),
            url_scheme=read.choice("HOA_URL_SCHEME", "http", ("http", "https")),
            url_port=read.integer("HOA_URL_PORT", 0, low=0, high=65535) or None,
            storage_url=read.text("HOA_STORAGE_URL", "file:///var/lib/hoa/files"),
            mail=_mail(read),
            trusted_proxies=read.networks("HOA_TRUSTED_PROXIES"),
            pool_max_total=read.integer("HOA_POOL_MAX_TOTAL", 100, low=1),
            pool_idle_seconds=read.number("HOA_POOL_IDLE_SECONDS", 120.0, low=1.0),
            pool_tenant_share=read.number("HOA_POOL_TENANT_SHARE", 0.5, low=0.01),
            only_tenant=read.text("HOA_ONLY_TENANT", "") or None,
            app_version=read.text("HOA_APP_VERSION", "dev"),
            log_level=read.choice("HOA_LOG_LEVEL", "info", ("debug", "info", "warning", "error"), str.lower),
            host=read.text("HOA_HOST", "0.0.0.0"),  # noqa: S104 - as above
            port=read.integer("HOA_PORT", 8000, low=0, high=65535),
            metrics_port=read.integer("HOA_METRICS_PORT", 9090, low=0, high=65535),
            max_body_bytes=read.integer("HOA_MAX_BODY_BYTES", 20 * MEBIBYTE, low=1024),
            shutdown_seconds=read.integer("HOA_SHUTDOWN_SECONDS", 25, low=1),
            worker_concurrency=read.integer("HOA_WORKER_CONCURRENCY", 8, low=1, high=64),
            worker_sweep_seconds=read.number("HOA_WORKER_SWEEP_SECONDS", 30.0, low=0.05),
        )


def _mail(read: _Reader) -> MailSettings:
    from urllib.parse import unquote, urlsplit

    sender = read.text("HOA_MAIL_FROM", f"HOA Connect <no-reply@{read.text('HOA_BASE_DOMAIN', 'localhost')}>")
    url = read.text("HOA_SMTP_URL", "")
    if not url:
        return MailSettings(sender=sender)
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingsError("HOA_SMTP_URL must look like smtp://[user@]host:port or smtps://[user@]host:port")
    if parts.password:
        raise SettingsError(
            "HOA_SMTP_URL must not hold a password; mount it and name the file in HOA_SMTP_PASSWORD_FILE"
        )
    password_file = read.text("HOA_SMTP_PASSWORD_FILE", "")
    return MailSettings(
        host=parts.hostname,
        port=parts.port or (465 if parts.scheme == "smtps" else 25),
        username=unquote(parts.username or ""),
        password_file=Path(password_file) if password_file else None,
        implicit_tls=parts.scheme == "smtps",
        sender=sender,
        timeout_seconds=read.number("HOA_SMTP_TIMEOUT_SECONDS", 15.0, low=0.1),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads typed values out of the environment and names the variable in every complaint."""

    environ: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.environ.get(name, "").strip() or default

    def required(self, name: str) -> str:
        value = self.text(name, "")
        if not value:
            raise SettingsError(f"{name} is not set")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...], spelling: Callable[[str], str] = str) -> str:
        value = spelling(self.text(name, default))
        if value not in allowed:
            raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, default: int, *, low: int, high: int = 2**31) -> int:
        value = self.text(name, str(default))
        try:
            number = int(value)
        except ValueError:
            raise SettingsError(f"{name} is {value!r}; it must be a whole number") from None
        if not low <= number <= high:
            raise SettingsError(f"{name} is {number}; it must be between {low} and {high}")
        return number

    def number(self, name: str, default: float, *, low: float) -> float:
        value = self.text(name, str(default))
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{name} is {value!r}; it must be a number") from None
        if not number >= low:
            raise SettingsError(f"{name} is {number}; it must be at least {low}")
        return number

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        found = []
        for item in filter(None, (part.strip() for part in self.text(name, "").split(","))):
            try:
                found.append(ip_network(item))
            except ValueError:
                raise SettingsError(
                    f"{name} holds {item!r}, which is not an address range such as 10.0.0.0/8"
                ) from None
        return tuple(found)
