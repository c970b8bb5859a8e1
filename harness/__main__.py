"""python -m harness: another name of `shipei`."""

import runpy

runpy.run_module("shipei", run_name="__main__", alter_sys=True)
