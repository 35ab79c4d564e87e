"""On PYTHONPATH, this replaces a package that takes 1.5 seconds of processor time to import, in each process.

jsonschema 4.25 and later imports it to check the format of internationalised addresses, and accepts that it is missing.
nbformat imports jsonschema, so each pytest, build, server and nbgrader process imports it. None of them checks such an
address.
"""

raise ImportError("the tests don't need rfc3987_syntax, because nothing checks the format of an IRI")
