"""Engines that serve a generator behind one protocol: the tree beam and vLLM in process, and vLLM over HTTP."""
