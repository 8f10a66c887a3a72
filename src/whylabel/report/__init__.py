"""The report: a run folder in, one self-contained HTML page or a model card out.

Start at `report.py`. `contents.py` reads the files, `verdict.py` says in words what they mean, `charts.py`,
`confusion.py` and `examples.py` prepare what the templates draw, `rendering.py` has the one environment that
escapes everything.
"""
