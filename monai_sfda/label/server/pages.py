"""The server's own few pages: complete in themselves, nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff }
a { color: #0b57a4 } h1 { font-size: 1.5rem } code { background: #f1f3f5; padding: 0 .25rem }
label { display: block; margin: .75rem 0 } input { font: inherit; width: 100%; padding: .4rem;
  box-sizing: border-box } button { font: inherit; padding: .4rem 1rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .5rem;
  border-bottom: 1px solid #dde1e5; vertical-align: top }
.error { color: #a40b2b } .quiet { color: #57606a }
@media (prefers-color-scheme: dark) { body { color: #e6e8ea; background: #14171a } a { color: #8ab8e8 }
  code { background: #262b30 } td, th { border-color: #343a40 } .quiet { color: #9aa4ad }
  .error { color: #ff8ca0 } }
"""
_USE = "Research software: not for diagnosis."


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1>{body}<p class="quiet">{_USE}</p></body></html>'
    )


def login_page(wanted: str, error: str | None = None) -> str:
    """The form to log in.

    Args:
        wanted: path to go to afterwards.
        error: why it did not work.
    """
    told = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    return _page(
        "Log in",
        f'{told}<form method="post" action="/login">'
        f'<input type="hidden" name="next" value="{escape(wanted, quote=True)}">'
        '<label>Name <input name="username" autocomplete="username" required autofocus></label>'
        '<label>Password <input name="password" type="password" autocomplete="current-password" required>'
        "</label><button>Log in</button></form>",
    )


def first_page(info: dict[str, Any], user: str | None, *, has_viewer: bool) -> str:
    """What the server offers, with links.

    Args:
        info: `name`, `models` (name to description).
        user: who is logged in; None where nobody has to.
        has_viewer: whether OHIF can show the studies: they are in a PACS.
    """
    models = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(told))}</td></tr>"
        for name, told in info.get("models", {}).items()
    )
    viewer = (
        '<li><a href="/ohif/">OHIF</a>: look at the studies of the PACS and segment them</li>'
        if has_viewer
        else "<li>OHIF needs the studies in a PACS; these are in a folder: use 3D Slicer</li>"
    )
    out = (
        f'<form method="post" action="/logout"><p>Logged in as {escape(user)}. <button>Log out</button></p>'
        "</form>"
        if user
        else ""
    )
    return _page(
        str(info.get("name") or "MONAI Label"),
        f"{out}<ul>{viewer}"
        '<li><a href="/sfda/">Models and adaptations</a>: versions, verdicts, before and after, sign-off</li>'
        '<li><a href="/sfda/drift/page">Drift</a>: whether the studies move away from what a model knows</li>'
        '<li><a href="/docs">Endpoints</a> (<a href="/openapi.json">OpenAPI</a>)</li></ul>'
        "<p>3D Slicer: in the MONAI Label module, give this page's address as the server.</p>"
        f"<h2>Models</h2><table><tbody>{models}</tbody></table>",
    )


def endpoints_page(paths: Iterable[tuple[str, str, str, str]]) -> str:
    """All endpoints: method, path, role, summary."""
    rows = "".join(
        f"<tr><td>{escape(method)}</td><td><code>{escape(path)}</code></td><td>{escape(role)}</td>"
        f"<td>{escape(summary)}</td></tr>"
        for method, path, role, summary in paths
    )
    return _page(
        "Endpoints",
        '<p><a href="/">Back</a></p><table><thead><tr><th>Method</th><th>Path</th><th>Role</th><th></th></tr>'
        f"</thead><tbody>{rows}</tbody></table>",
    )
