"""Engines that serve a generator: the tree beam in process, vLLM in process, and vLLM over HTTP, behind one protocol."""
