"""MIScope in the browser: make app, or streamlit run app/main.py -- --root PATH"""

import argparse
from pathlib import Path

import calibration
import catalogue
import compare
import explore
import lead_lag
import scaling
import streamlit as st
import style
import train
import variants
from data import OpenWorkspace

from miscope.core import MiscopeError

ICON = Path(__file__).with_name("icon.svg")


def root() -> Path:
    """The workspace that the command line names; the current folder if it names none."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--root", type=Path, default=Path())
    return parser.parse_known_args()[0].root.resolve()


def main() -> None:
    st.set_page_config(page_title="MIScope", page_icon=str(ICON), layout="wide")
    style.apply()
    workspace = OpenWorkspace(root())
    exploring = st.Page(lambda: explore.page(workspace), title="Explore", url_path="explore")
    listing = st.Page(lambda: variants.page(workspace, exploring), title="Variants", url_path="start", default=True)
    pages = [
        listing,
        st.Page(
            lambda: variants.page(workspace, exploring), title="Variants", url_path="variants", visibility="hidden"
        ),
        exploring,
        st.Page(lambda: compare.page(workspace), title="Compare", url_path="compare"),
        st.Page(lambda: lead_lag.page(workspace), title="Lead-lag", url_path="lead_lag"),
        st.Page(lambda: scaling.page(workspace), title="Scaling", url_path="scaling"),
        st.Page(lambda: train.page(workspace), title="Train", url_path="train"),
        st.Page(lambda: catalogue.page(workspace, exploring), title="Catalogue", url_path="catalogue"),
        st.Page(lambda: calibration.page(workspace), title="Calibration", url_path="calibration"),
    ]
    try:
        st.navigation(pages, position="top").run()
    except MiscopeError as error:
        style.say(str(error), is_error=True)


main()
