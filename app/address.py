"""The state of a page in the address bar: a link reopens the same variant, views, step and options.

While a page is open, the state of its widgets decides. The query is read only when this session did not write it: at
the first run, after a link, after the back button. All of it is in `st.session_state`, so tabs do not share it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

Query = dict[str, list[str]]

REMEMBERED = 50  # queries that this session wrote: a late request with an older one is not a link


def arrive() -> None:
    """Read the address bar, if this session did not write it."""
    query = _query()
    if query and query not in st.session_state.get("written", []):
        for key in st.session_state.get("bound", ()):
            st.session_state.pop(key, None)
        st.session_state["address"] = query


def bind(key: str, default: Any, parse: Callable[[list[str]], Any] = lambda texts: texts[0]) -> Any:
    """The value under `key` of the session; it starts with the value in the address bar, or else the default.

    Where `parse` raises ValueError, the default is taken and the page says so.
    """
    st.session_state.setdefault("bound", set()).add(key)
    if key not in st.session_state:
        st.session_state[key] = _parsed(key, default, parse)
    return st.session_state[key]


def one_of(text: str, known: Iterable[str]) -> str:
    """The text, if it is one of those known.

    Raises:
        ValueError: it is not.
    """
    if text not in known:
        raise ValueError(f"there is no `{text}`.")
    return text


def whole_number(text: str) -> int:
    """
    Raises:
        ValueError: the text is no whole number.
    """
    if not text.isdecimal():
        raise ValueError(f"`{text}` is not a whole number.")
    return int(text)


def _parsed(key: str, default: Any, parse: Callable[[list[str]], Any]) -> Any:
    texts = st.session_state.get("address", {}).get(key)
    if not texts:
        return default
    try:
        return parse(texts)
    except ValueError as error:
        st.warning(f"The address has `{key}={', '.join(texts)}`, which is ignored: {error}")
        return default


def show(query: Mapping[str, list[str]]) -> None:
    """Write the query into the address bar."""
    wanted = {key: list(texts) for key, texts in query.items() if texts}
    if wanted != st.session_state.get("address") or wanted not in st.session_state.get("written", []):
        st.session_state["address"] = wanted
        st.session_state["written"] = [*st.session_state.get("written", []), wanted][-REMEMBERED:]
    if wanted != _query():
        st.query_params.from_dict(wanted)


def _query() -> Query:
    return {key: st.query_params.get_all(key) for key in st.query_params}
