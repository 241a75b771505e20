"""The private interfaces of other libraries that the package depends on, one module per library.

tests/compat/ checks each of them, so a new release that changes one fails a test that names it.
"""
