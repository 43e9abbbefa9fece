"""Widgets made from a view's options: the type of each keyword-only argument decides which widget."""

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import address
import streamlit as st
from data import Options

from miscope.instrument import View


def key_of(view: str, option: str) -> str:
    """The option's key in the session and in the address bar."""
    return f"{view}.{option}"


def values(view: View) -> Options:
    """The options that are set to something other than their defaults."""
    chosen = {option: _value(view, option, hint) for option, hint in _hints(view).items()}
    return tuple(sorted((option, value) for option, value in chosen.items() if value != view.options[option]))


def _value(view: View, option: str, hint: Any) -> Any:
    """The value in the session, which holds a list of numbers as a text."""
    read, default = reader(hint), view.options[option]
    if read is not numbers:
        return address.bind(key_of(view.name, option), default, lambda texts: read(texts[0]))
    text = address.bind(key_of(view.name, option), text_of(default))
    try:
        return numbers(text)
    except ValueError as error:
        st.warning(f"`{option}`: {error}")
        return default


def widgets(view: View) -> None:
    """Draw a widget for each option; call `values` first."""
    for option, hint in _hints(view).items():
        _widget(option.replace("_", " "), key_of(view.name, option), hint)


def popovers(view: View) -> None:
    """Buttons below a drawing: how to read it, and its options."""
    with st.popover("How to read it", type="tertiary"):
        st.markdown(f"**{view.question}**\n\n{view.reading}\n\n`{view.name}`")
    if view.options:
        with st.popover("Options", type="tertiary"):
            widgets(view)


def _hints(view: View) -> dict[str, Any]:
    """Option -> type; that of its default where it is not annotated."""
    hints = get_type_hints(view.table)
    return {option: hints.get(option, type(default)) for option, default in view.options.items()}


def query(view: str, chosen: Options) -> dict[str, list[str]]:
    """The options for the address bar."""
    return {key_of(view, option): [text_of(value)] for option, value in chosen}


def text_of(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def reader(hint: Any) -> Callable[[str], Any]:
    """A function that turns a text into a value of this type."""
    if hint is bool:
        return _boolean
    if get_origin(hint) is Literal:
        return lambda text: _one_of(text, get_args(hint))
    if get_origin(hint) is tuple:
        return numbers
    return hint if hint in (int, float) else str


def numbers(text: str) -> tuple[int, ...]:
    """`3, 17` as (3, 17)."""
    parts = text.replace(",", " ").split()
    if not all(part.lstrip("-").isdigit() for part in parts):
        raise ValueError(f"`{text}` is not a list of whole numbers such as `3, 17`.")
    return tuple(int(part) for part in parts)


def _boolean(text: str) -> bool:
    return _one_of(text, ("True", "False")) == "True"


def _one_of(text: str, allowed: tuple[Any, ...]) -> Any:
    for value in allowed:
        if str(value) == text:
            return value
    raise ValueError(f"allowed: {', '.join(map(str, allowed))}.")


def _widget(label: str, key: str, hint: Any) -> Any:
    if hint is bool:
        return st.toggle(label, key=key)
    if get_origin(hint) is Literal:
        return st.selectbox(label, get_args(hint), key=key)
    if get_origin(hint) is tuple:
        return st.text_input(label, key=key, placeholder="automatic; or numbers such as 3, 17")
    if hint in (int, float):
        return st.number_input(label, key=key, step=hint(1) if hint is int else None, format=None)
    return st.text_input(label, key=key)


def input_for(label: str, key: str, hint: Any, default: Any) -> Any:
    """A widget of this type that starts at a default, and its value."""
    if key not in st.session_state:
        st.session_state[key] = text_of(default) if get_origin(hint) is tuple else default
    value = _widget(label, key, hint)
    return numbers(value) if get_origin(hint) is tuple else value
