"""The app's style sheet, and how pages tell the user what is wrong."""

import streamlit as st

from miscope.catalog import Catalog
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import View

CSS = """
.stMainBlockContainer { padding: 3.6rem 2rem 3rem; max-width: 1500px; }
.stSidebar h3 { padding: 0.2rem 0 0; }
.st-key-bar, :has(> .st-key-bar:only-child) { position: sticky; top: 3.2rem; z-index: 90; }
.st-key-bar { background: white; padding: 0.5rem 0 0.35rem; border-bottom: 1px solid #E3E5E8; }
.st-key-bar .stSlider { padding-top: 0.15rem; }
.st-key-bar .stMarkdown p { white-space: nowrap; font-variant-numeric: tabular-nums; }
[class*="st-key-card_"] { padding-top: 0.4rem; }
[class*="st-key-tools_"] { margin-top: -0.4rem; border-bottom: 1px solid #EFEFEF; padding-bottom: 0.6rem; }
[class*="st-key-tools_"] button { color: #6B6B6B; }
[class*="st-key-tools_"] { align-items: center; }
.st-key-bar [data-testid="stSliderThumbValue"] { display: none; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.matrix { border-collapse: collapse; font-size: 0.86rem; width: 100%; }
.matrix th { text-align: left; font-weight: 500; color: #6B6B6B; padding: 0.35rem 0.6rem;
             border-bottom: 1px solid #E3E5E8; }
.matrix td { padding: 0.35rem 0.6rem; border-bottom: 1px solid #EFEFEF; white-space: nowrap; }
.state { display: inline-block; padding: 0.05rem 0.5rem; border-radius: 0.8rem; }
.state.fresh { background: #E3F1EA; color: #20603F; }
.state.stale { background: #FBEEDC; color: #8A5200; }
.state.missing { background: #E8EEF4; color: #3F5A73; }
.state.not-applicable { background: #EEEEEE; color: #5A5A5A; }
.facts { color: #6B6B6B; font-size: 0.9rem; }
.facts b { color: #222222; font-weight: 600; }
"""


def apply() -> None:
    """Give the page the app's look."""
    st.html(f"<style>{CSS}</style>")


def say(sentence: str, *, is_error: bool = False) -> None:
    """Show a sentence; a command at its end, `Run `...``, is shown as code that can be copied."""
    text, _, command = sentence.partition(" Run `")
    show = st.error if is_error else st.info
    show(text if command else sentence)
    if command:
        st.code(command.split("`")[0], language="bash")


def say_why_not(view: View, error: MiscopeError) -> None:
    """A view's question, and why the view cannot be drawn."""
    st.markdown(f"##### {view.question}")
    say(f"Not applicable: {error}" if isinstance(error, NotApplicable) else str(error))


def say_faults(catalog: Catalog) -> None:
    """One line for each instrument that cannot be loaded, or whose views cannot be loaded."""
    for name, fault in catalog.faults.items():
        st.warning(f"The instrument `{name}` is left out. {fault}")
    for name, fault in catalog.view_faults.items():
        st.warning(f"The views of `{name}` are left out. {fault}")
