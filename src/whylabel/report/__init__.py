"""The report: a run folder in, one self-contained HTML page or a model card out.

Start at `report.py`. `contents.py` reads the files, `verdict.py` states their results in words, `charts.py`,
`confusion.py` and `examples.py` prepare the data of the templates, `rendering.py` has the template environments,
which escape all values.
"""
