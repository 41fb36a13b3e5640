"""The tabs of the page: a file that binds ``METHOD`` to a `agentrec.ui.page.Tab` is one; others come by entry point."""
