"""Who calls: the Authorization header and the tokens in it."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from levelup_ov.standins.levelup.problems import ErrorResponse, unauthorized
from levelup_ov.standins.levelup.store import PlatformUser, StoredToken, Transaction, hashed
from levelup_ov.standins.levelup.world import ACCOUNT_PERMISSION

# Clients differ: with and without quotes, with and without a space after the comma.
_PART = re.compile(r'\s*(?:(merchant|user)\s*=\s*)?("?)([^\s",=]+)\2\s*')
CODE_BEGINS = "LU"
_NAMES = {"app": "The app token", "user": "The user token", "merchant": "The merchant token"}


def read_authorization(header: str) -> dict[str, str]:
    """The tokens of ``token t``, ``token user="t"`` or ``token merchant="t", user="t"``, by their kind.

    Empty if the header is of another form.
    """
    scheme, _, rest = header.strip().partition(" ")
    if scheme.casefold() != "token":
        return {}
    found = {}
    for part in rest.split(","):
        match = _PART.fullmatch(part)
        kind = match and (match[1] or "app")
        if match is None or kind is None or kind in found:
            return {}
        found[kind] = match[3]
    return found


class Caller:
    """The tokens of one request, looked up in its transaction. Refusals name ``object``."""

    def __init__(self, header: str, transaction: Transaction, object: str = "access_token") -> None:
        self._given = read_authorization(header)
        self._transaction = transaction
        self._object = object

    def app(self) -> StoredToken:
        """:raises ErrorResponse: 401, there is no app token or it is not valid."""
        return self._token("app", "app")

    def merchant(self, permission: str | None = "manage_merchant_orders") -> StoredToken:
        """:raises ErrorResponse: 401."""
        return self._token("merchant", "merchant", permission)

    def older_merchant(self, permission: str | None = None) -> StoredToken:
        """A merchant token as the older version of the API has it: without saying that it is one."""
        return self._token("app", "merchant", permission) if "app" in self._given else self.merchant(permission)

    def user(self, permission: str | None = None) -> tuple[StoredToken, PlatformUser]:
        """The token with ``permission``, and whose it is; phone apps send it without saying that it is a user's.

        :raises ErrorResponse: 401.
        """
        given_as = "app" if "app" in self._given and "user" not in self._given else "user"
        token = self._token(given_as, "user", permission)
        user = token.user_id and self._transaction.user(token.user_id)
        if not user:
            raise self.refusal("user_token", "The user token belongs to no user.")
        return token, user

    def account(self, permission: str = ACCOUNT_PERMISSION) -> PlatformUser:
        """The user who logged in with this token, who may own a merchant. ``permission`` is enough instead of that.

        :raises ErrorResponse: 401.
        """
        for given_as in ("user", "merchant", "app"):
            if given_as in self._given:
                token = self._transaction.token(hashed(self._given[given_as]))
                user = token and token.user_id and self._transaction.user(token.user_id)
                if user and token and not token.permissions.isdisjoint({permission, ACCOUNT_PERMISSION}):
                    return user
        self.user()
        raise self.refusal("user_token", "Only a token of the user's own login may do this.")

    def refusal(self, property: str, message: str) -> ErrorResponse:
        """401 for a token."""
        return unauthorized(property, message, self._object)

    def names_something(self) -> bool:
        """Whether any token was given."""
        return bool(self._given)

    def names_user(self) -> bool:
        """Whether a user's token was given, as one or untagged."""
        untagged = self._untagged()
        return "user" in self._given or untagged is not None and untagged.kind == "user"

    def maybe_user(self) -> PlatformUser | None:
        """The user, where a token of one was given."""
        return self.user()[1] if self.names_user() else None

    def code(self) -> str | None:
        """A QR code in the place of the user's token."""
        value = self._given.get("user", "")
        return value if value.startswith(CODE_BEGINS) else None

    def all(self) -> list[StoredToken]:
        """Every token given, tagged or not.

        :raises ErrorResponse: 401, there is none or one is not valid.
        """
        untagged = self._untagged()
        kinds = {kind: untagged.kind if untagged and kind == "app" else kind for kind in self._given}
        return [self._token(given_as, kind) for given_as, kind in kinds.items()] or [self.app()]

    def _untagged(self) -> StoredToken | None:
        value = self._given.get("app")
        return self._transaction.token(hashed(value)) if value else None

    def _token(self, given_as: str, kind: str, permission: str | None = None) -> StoredToken:
        value = self._given.get(given_as)
        if value is None:
            raise self.refusal(f"{kind}_token", f"{_NAMES[kind]} is missing.")
        token = self._transaction.token(hashed(value))
        if token is None or token.kind != kind:
            raise self.refusal(f"{kind}_token", f"{_NAMES[kind]} is not valid.")
        if permission and permission not in token.permissions:
            raise self.refusal(f"{kind}_token", f"{_NAMES[kind]} lacks the permission {permission}.")
        return token


def new_token(
    transaction: Transaction,
    now: datetime,
    app_id: int,
    permissions: frozenset[str] = frozenset(),
    *,
    user_id: int | None = None,
    merchant_id: int | None = None,
) -> str:
    """A token that does not expire: a merchant's, a user's or, with neither, the app's own. Only its hash is kept."""
    # None may start as a code does.
    token = f"t{secrets.token_urlsafe(32)}"
    kind = "merchant" if merchant_id else "user" if user_id else "app"
    transaction.add_token(
        StoredToken(hashed(token), kind, app_id, user_id, merchant_id, permissions, now)  # type: ignore[arg-type]
    )
    return token
