"""The emulator's endpoints for rule engines and their rules (API page "Rule Engine")."""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import attrs

from enapter_async.emulator.request import Call, Noun, Request, no_endpoint, text
from enapter_async.emulator.state import Refusal, invalid_parameter, not_found, require, slug_taken
from enapter_async.emulator.world import World

_VERSIONS: Final = ("V1", "V3")
_PREFIXES: Final = ("site/rule_engine", "sites/{site_id}/rule_engine")
_SHAPES: Final = ("", "/{action}", "/rules", "/rules/{rule}", "/rules/{rule}/{verb}")


@attrs.frozen(kw_only=True)
class _Rule:
    id: str
    slug: str
    disabled: bool
    script: Mapping[str, Any]

    def to_json(self, *, suspended: bool) -> dict[str, Any]:
        return {
            "id": self.id,
            "slug": self.slug,
            "disabled": self.disabled,
            "state": "STOPPED" if self.disabled or suspended else "STARTED",
            "script": dict(self.script),
        }


class Rules(Noun):
    """The rule engine of each site, with its rules; slugs are unique within a site.

    Switches: with `legacy` the engine is that of an old gateway, which sends all rules at once,
    without `total_count`, and refuses query parameters. `gateway_site` is the id of the site that
    `/v3/site` refers to, as on a gateway. The sites in `offline` have no gateway to ask: the API
    page leaves open how that is refused, here 409. OWNER is needed for a change.
    """

    paths: ClassVar[tuple[str, ...]] = tuple(
        prefix + shape for prefix in _PREFIXES for shape in _SHAPES
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.legacy = False
        self.gateway_site: str | None = None
        self.offline: set[str] = set()
        self._suspended: set[str] = set()
        self._rules: dict[str, dict[str, _Rule]] = {}
        self._made = 0

    def add(self, site_id: str, slug: str, code: str = "", *, disabled: bool = False) -> str:
        """Add a rule with a V3 script, as if it had always been there; return its id."""
        script = {"code": base64.b64encode(code.encode()).decode(), "runtime_version": "V3"}
        return self._put(site_id, slug=slug, script=script, disabled=disabled).id

    def rule_id(self, call: Call) -> str:
        """Return the id of the rule that a path names, or refuse."""
        return self._find(self._site(call), call.ids["rule"]).id

    def code(self, site_id: str, slug: str) -> str:
        """Return the text of a rule's script."""
        rule = next(each for each in self._rules[site_id].values() if each.slug == slug)
        return base64.b64decode(rule.script["code"]).decode()

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a request for a rule engine or its rules."""
        site_id = self._site(call)
        action, name = call.ids.get("action"), call.ids.get("rule")
        lists = action is None and call.path.rstrip("/").endswith("/rules")
        if call.method != "GET":
            site = self.world.site(site_id)
            require(request.role or (site and site.authorized_role) or "", "OWNER")
        match call.method:
            case "GET" if name is None and not lists and action is None:
                return self._engine(site_id)
            case "POST" if action in ("suspend", "resume"):
                return self._turn(site_id, action)
            case "GET" if name is None and lists:
                return self._page(site_id, request)
            case "POST" if name is None and lists:
                return self._shown(site_id, self._create(site_id, request.object()))
            case _ if name is not None:
                return self._one(call, site_id, name, request)
        raise no_endpoint()

    def _site(self, call: Call) -> str:
        site_id = call.site_id or self.gateway_site
        if site_id is None:
            raise no_endpoint()
        if self.world.site(site_id) is None:
            raise not_found("There is no such site.")
        if site_id in self.offline:
            raise Refusal(409, "gateway_offline", "The site's gateway is offline.")
        return site_id

    def _engine(self, site_id: str) -> dict[str, Any]:
        site = self.world.site(site_id)
        state = "SUSPENDED" if site_id in self._suspended else "ACTIVE"
        timezone = "" if site is None else site.timezone
        shown = {"id": _id(f"engine {site_id}"), "state": state, "timezone": timezone}
        return {"engine": shown}

    def _turn(self, site_id: str, action: str) -> dict[str, Any]:
        change = self._suspended.add if action == "suspend" else self._suspended.discard
        change(site_id)
        self.world.log.applied(f"rule_engine.{action}", site_id, {})
        return self._engine(site_id)

    def _page(self, site_id: str, request: Request) -> dict[str, Any]:
        if self.legacy and request.query:
            raise invalid_parameter(request.query[0][0], "There is no such parameter.")
        suspended = site_id in self._suspended
        rules = [each.to_json(suspended=suspended) for each in self._of(site_id).values()]
        if self.legacy:
            return {"rules": rules}
        return {"rules": rules[request.page()], "total_count": len(rules)}

    def _one(self, call: Call, site_id: str, name: str, request: Request) -> dict[str, Any]:
        rule = self._find(site_id, name)
        match call.method, call.verb:
            case "GET", None:
                return self._shown(site_id, rule)
            case "PATCH", None:
                slug = _slug(request.object())
                self._refuse_taken(site_id, slug, besides=rule.id)
                return self._change(site_id, rule, "rename", slug=slug)
            case "POST", "update_script":
                script = _script(request.object())
                return self._change(site_id, rule, "update_script", script=script)
            case "POST", ("enable" | "disable") as verb:
                return self._change(site_id, rule, verb, disabled=verb == "disable")
            case "DELETE", None:
                del self._of(site_id)[rule.id]
                self.world.log.applied("rule.delete", rule.id, {})
                return {}
        raise no_endpoint()

    def _create(self, site_id: str, asked: Mapping[str, Any]) -> _Rule:
        slug, script = _slug(asked), _script(asked)
        self._refuse_taken(site_id, slug)
        disabled = asked.get("disable") is True
        rule = self._put(site_id, slug=slug, script=script, disabled=disabled)
        values = {"slug": slug, "script": script, "disabled": rule.disabled}
        self.world.log.applied("rule.create", rule.id, values)
        return rule

    def _put(self, site_id: str, **fields: Any) -> _Rule:
        self._made += 1
        rule = _Rule(id=_id(f"rule {self._made}"), **fields)
        self._of(site_id)[rule.id] = rule
        return rule

    def _change(self, site_id: str, rule: _Rule, verb: str, **fields: Any) -> dict[str, Any]:
        changed = attrs.evolve(rule, **fields)
        self._of(site_id)[rule.id] = changed
        self.world.log.applied(f"rule.{verb}", rule.id, fields)
        return self._shown(site_id, changed)

    def _shown(self, site_id: str, rule: _Rule) -> dict[str, Any]:
        return {"rule": rule.to_json(suspended=site_id in self._suspended)}

    def _of(self, site_id: str) -> dict[str, _Rule]:
        return self._rules.setdefault(site_id, {})

    def _find(self, site_id: str, name: str) -> _Rule:
        for rule in self._of(site_id).values():
            if name in (rule.id, rule.slug):
                return rule
        raise not_found("There is no such rule.")

    def _refuse_taken(self, site_id: str, slug: str, besides: str = "") -> None:
        if any(each.slug == slug and each.id != besides for each in self._of(site_id).values()):
            raise slug_taken("rule")


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _slug(asked: Mapping[str, Any]) -> str:
    slug = text(asked, "slug") or ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", slug):
        raise invalid_parameter("slug", "It must be letters, digits, '-' and '_'.")
    return slug


def _script(asked: Mapping[str, Any]) -> dict[str, Any]:
    script = asked.get("script")
    if not isinstance(script, dict):
        raise invalid_parameter("script", "It must be an object.")
    try:
        base64.b64decode(text(script, "code") or "", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise invalid_parameter("script.code", "It must be UTF-8 in base64.") from None
    version = text(script, "runtime_version")
    if version not in _VERSIONS:
        raise invalid_parameter("script.runtime_version", "It may be V1 or V3.")
    interval = text(script, "exec_interval")
    if interval is not None and not re.fullmatch(r"([0-9.]+(ms|s|m|h))+", interval):
        raise invalid_parameter("script.exec_interval", "It must be a duration such as 1m.")
    return {key: value for key, value in script.items() if value is not None}
