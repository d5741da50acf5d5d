"""The banner of a service in development mode."""

from __future__ import annotations


def welcome(base_url: str, key: str | None, accounts: tuple[str, ...], agents: tuple[str, ...] = ()) -> str:
    """The address of the service, a key, the names of agents that have one, and a command to paste."""
    shown = key or "$KEY"
    lines = [
        "",
        f"  levelup_ov is ready at {base_url}",
        f"  API key for development: {key}"
        if key
        else "  API keys: yours, from LEVELUP_OV_API_KEYS (put one into $KEY)",
        f"  accounts: {', '.join(accounts)}",
        *([f"  agents: {', '.join(agents)}; their profile: {base_url}/.well-known/ucp"] if agents else []),
        "",
        f"  Try it in a browser: {base_url}/",
        "",
        "  Or here:",
    ]
    if "sandbox" in accounts:
        body = (
            '{"order_validation": {"items": [{"item": {"provider_id": "sandwich", "quantity": 1}}], '
            '"tip": 200, "merchant_funded_discount": 100, "user": {"name": "Ada Example", "email": "ada@example.com"}}}'
        )
        lines.append(
            f'  curl -s {base_url}/locations/sandbox.congress/order_validations -H "Authorization: token {shown}" '
            f"-H 'Content-Type: application/json' -d '{body}'"
        )
    else:
        lines.append(f'  curl -s {base_url}/merchants -H "Authorization: token {shown}"')
    return "\n".join([*lines, ""])
