"""The recommendation service over HTTP: one file per idea, routes in a folder of their own, any engine behind it."""
