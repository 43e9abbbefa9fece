"""Where the user is, held in the address bar: a link reopens the same variant, views, step and options.

The widgets' state is the truth while a page is open. The query is read when it did not come from this session: at the
first run, after a link, after the back button. All of it lives in `st.session_state`, so tabs do not meet.
"""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

Query = dict[str, list[str]]

REMEMBERED = 50  # queries that this session wrote, so that a late request with an older one is not taken for a link


def arrive() -> None:
    """Take over what the address bar says, if somebody other than this session wrote it."""
    query = {key: st.query_params.get_all(key) for key in st.query_params}
    if query and query not in st.session_state.get("written", []):
        for key in st.session_state.get("bound", ()):
            st.session_state.pop(key, None)
        st.session_state["place"] = query


def bind(key: str, default: Any, parse: Callable[[list[str]], Any] = lambda texts: texts[0]) -> Any:
    """The value under `key` of the session; at first what the address bar says, or else the default.

    `parse` raises ValueError for what it cannot read; then the default is taken and the user is told.
    """
    st.session_state.setdefault("bound", set()).add(key)
    if key not in st.session_state:
        st.session_state[key] = _parsed(key, default, parse)
    return st.session_state[key]


def _parsed(key: str, default: Any, parse: Callable[[list[str]], Any]) -> Any:
    texts = st.session_state.get("place", {}).get(key)
    if not texts:
        return default
    try:
        return parse(texts)
    except ValueError as error:
        st.warning(f"The address says `{key}={', '.join(texts)}`: {error}")
        return default


def show(query: Mapping[str, list[str]]) -> None:
    """Write the place into the address bar."""
    place = {key: list(texts) for key, texts in query.items() if texts}
    if place != st.session_state.get("place") or place not in st.session_state.get("written", []):
        st.session_state["place"] = place
        st.session_state["written"] = [*st.session_state.get("written", []), place][-REMEMBERED:]
    if place != {key: st.query_params.get_all(key) for key in st.query_params}:
        st.query_params.from_dict(place)
