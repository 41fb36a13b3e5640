"""A page to try a running service in the browser: one tab per workflow, each a file of `agentrec.ui.tabs`.

The page talks to the service's own API and to nobody else: no analytics, no fonts or scripts of other sites.
"""
